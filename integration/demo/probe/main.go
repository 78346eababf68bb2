// Probe runs inside the container, as its only program, and tries what an attacker would.
//
// Without arguments it tries every attack, each in a process of its own so that none can disturb another, and prints the
// results as JSON. It does no harm where it succeeds: it opens and does not write, and removes what it made.
//
// The other arguments are the parts that such a process plays: one attack, or what an attack starts.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"syscall"
	"time"

	"runclamp/integration/demo/outcome"

	"golang.org/x/sys/unix"
)

// patience is how long one attack may take. All of them are a few system calls, and one that does not end is a failure of the demo.
const patience = time.Minute

func main() {
	// Several attacks change the thread they run on, and one may lose it. The main thread has to survive.
	runtime.LockOSThread()
	if err := play(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func play(args []string) error {
	switch {
	case len(args) == 0:
		return report()
	case len(args) == 2 && args[0] == "run":
		return one(args[1])
	case args[0] == "true":
		return nil
	case args[0] == "pause":
		done := make(chan os.Signal, 1)
		signal.Notify(done, unix.SIGTERM, unix.SIGINT)
		<-done
		return nil
	case args[0] == "euid":
		fmt.Println(os.Geteuid())
		return nil
	case args[0] == "rawsocket":
		return rawSocket()
	default:
		return fmt.Errorf("unknown part %q", args)
	}
}

// report tries every attack.
func report() error {
	var results []outcome.Result
	for _, a := range attacks() {
		r := outcome.Result{Name: a.name, Open: a.open}
		r.Outcome, r.Detail = isolated(a.name)
		results = append(results, r)
	}
	if err := json.NewEncoder(os.Stdout).Encode(results); err != nil {
		return fmt.Errorf("write the results: %w", err)
	}
	return nil
}

// isolated tries one attack in a process of its own.
func isolated(name string) (outcome.Outcome, string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, "run", name)
	cmd.WaitDelay = time.Second // a descendant may hold the pipe
	out, err := cmd.Output()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return outcome.Unmeasured, "it did not end"
	case errors.As(err, &exit):
		if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() && s.Signal() == unix.SIGSYS {
			return outcome.Blocked, "SIGSYS"
		}
		return outcome.Unmeasured, fmt.Sprintf("it ended with %v", err)
	case err != nil:
		return outcome.Unmeasured, err.Error()
	}
	var r outcome.Result
	if err := json.Unmarshal(out, &r); err != nil {
		return outcome.Unmeasured, fmt.Sprintf("it answered %q", out)
	}
	return r.Outcome, r.Detail
}

// one tries one attack in this process.
func one(name string) error {
	all := attacks()
	i := slices.IndexFunc(all, func(a attack) bool { return a.name == name })
	if i < 0 {
		return fmt.Errorf("no attack %q", name)
	}
	var r outcome.Result
	r.Outcome, r.Detail = judge(all[i].try())
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

// denied is an attack that was blocked without an error of the kernel's: the text says how that shows.
type denied string

func (d denied) Error() string { return string(d) }

// unmeasured is an attack that did not come as far as to be blocked.
type unmeasured struct{ error }

// tidied is what came of undoing an attack. That it failed says nothing about the attack.
func tidied(err error) error {
	if err != nil {
		return unmeasured{fmt.Errorf("undo: %w", err)}
	}
	return nil
}

// judge makes an outcome of an attack's error. Only the errors that mean "you may not" are a block: any other one (no
// such file, no such system call) says that the attack is not possible on this kernel, whatever the container.
func judge(err error) (outcome.Outcome, string) {
	var (
		setup unmeasured
		d     denied
		errno syscall.Errno
	)
	switch {
	case err == nil:
		return outcome.Succeeded, ""
	case errors.As(err, &setup):
		return outcome.Unmeasured, err.Error()
	case errors.As(err, &d):
		return outcome.Blocked, string(d)
	case errors.As(err, &errno) && (errno == unix.EPERM || errno == unix.EACCES || errno == unix.EROFS):
		return outcome.Blocked, unix.ErrnoName(errno)
	default:
		return outcome.Unmeasured, err.Error()
	}
}
