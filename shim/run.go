// Package shim is the runtime's command line: it takes apart what the engine says, decides, and hands over to the
// delegate by execve. The engine's shim relies on the PID, on inherited descriptors and on death signals, so the delegate
// is never a child.
package shim

import (
	"fmt"
	"io"
	"runtime/debug"
	"time"
)

// Runtime is one call of the runtime, with all that it gets from outside.
type Runtime struct {
	// ConfDir is the configuration folder, fixed at link time.
	ConfDir string
	// RunDir is where what can be made again is kept until the next boot, fixed at link time.
	RunDir string
	// Name is the program's name as it was called by. It says which policy holds.
	Name string
	// Args are the command line without the program's name.
	Args []string
	Env  []string
	// Stdin is read where an update says that its document comes from there, and nowhere else: it is the container's.
	Stdin io.Reader
	// Stderr gets a refusal, and nothing else. There is no Stdout: it is the container's.
	Stderr io.Writer
	// Host tells what the command line's defaults depend on.
	Host func() Host
	Now  func() time.Time
	// begin is when it was called.
	begin time.Time
	// host is what Host told: the kernel is asked once.
	host Host
	// to is who is handed over to.
	to delegate
}

// Run executes the delegate and does not return, or it reports why not and returns the exit status.
func (r Runtime) Run() (status int) {
	r.begin, r.host = r.Now(), r.Host()
	to, delegateErr := r.delegate()
	dialect := Runc()
	if delegateErr == nil {
		dialect, delegateErr = to.dialect()
	}
	r.to = to
	// Whatever the delegate is, runc's flags before the verb say where an error is to be seen.
	global, verb, rest, err := ParseGlobal(dialect, r.Args)
	defer func() {
		// A panic is an error in runclamp. The container must not start because of it, and its user must see why.
		if p := recover(); p != nil {
			err = fmt.Errorf("internal error in runclamp, please report it: %v\n%s", p, debug.Stack())
		}
		status = 1
		report(global, r.Stderr, r.Now(), "runclamp: refused: "+err.Error())
	}()
	if delegateErr != nil {
		err = delegateErr
	}
	if err != nil {
		return 1
	}
	err = r.verb(global, verb, rest)
	return 1
}

// verb returns only if it fails.
func (r Runtime) verb(g Global, verb string, rest []string) error {
	switch verb {
	case "create", "run", "restore":
		return r.intercept(g, verb, rest, r.create)
	case "start":
		return r.intercept(g, verb, rest, r.start)
	case "exec":
		return r.intercept(g, verb, rest, r.exec)
	case "update":
		return r.intercept(g, verb, rest, r.update)
	case "checkpoint":
		return r.intercept(g, verb, rest, r.checkpoint)
	case "--help", "--version":
		// Nothing but the flag: behind it, runc would take "--help=false" and a verb.
		return r.handOver([]string{verb})
	}
	if g.dialect.pass(verb) {
		// Signals, kill, delete and state always work: nothing is read but the delegate itself, and nothing is judged.
		return r.handOver(r.Args)
	}
	return fmt.Errorf("unknown verb %q; %s", verb, g.dialect.known())
}

// intercept takes the verb's command line apart before anything else is done.
func (r Runtime) intercept(g Global, verb string, rest []string, do func(Global, Invocation) error) error {
	inv, err := ParseVerb(g, verb, rest, r.host)
	if err != nil {
		// Under mode audit nothing is refused, and the delegate is asked what it makes of it.
		e := r.newEntry(Invocation{Verb: verb})
		r.judgedBy(nil, &e)
		e.Unmanaged = false
		if err := r.conclude(g, e, err); err != nil {
			return err
		}
		return r.handOver(r.Args)
	}
	if inv.Help {
		return r.handOver(inv.Argv())
	}
	return do(g, inv)
}

func (r Runtime) handOver(args []string) error { return r.to.exec(args, r.Env) }
