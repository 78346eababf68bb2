// run boots guests, each with one test program, relays what they say, and ends with their result.
//
// An argument is a job: the name of a test program, and perhaps @ and the delegate that its tests are about, and perhaps + and an
// archive to unpack over the guest's root, of what only this job needs. As many guests run at once as there are processors, with one
// processor each: an emulated machine with two loses much of the second to the locks between them, and tests that share a machine's
// control groups and configuration would be in each other's way.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// bootTime is how long a guest may take to say its first word. It takes five seconds where nothing else runs, and a few more with
	// an archive of its own.
	bootTime = 5 * time.Minute
	// silence is how long a guest may say nothing afterwards before it is taken for one that hangs: longer than the tests wait
	// for a verb (fixture.Patience), so that a test can say itself what hangs, and much longer than any test takes, which says nothing
	// in between: Docker's first took 24 seconds on an idle machine, and 171 on a busy one.
	silence = 20 * time.Minute
	// attempts is how often a guest is started that gives no result: now and then an emulated one hangs while it boots.
	attempts = 3
)

func main() {
	image := flag.String("image", "", "the `folder` that setup.sh has made")
	programs := flag.String("programs", "", "the `folder` with the test programs and what they need")
	arch := flag.String("arch", runtime.GOARCH, "the `architecture` of the guest")
	tests := flag.String("tests", ".", "the tests to run, a `regexp` as of go test -run")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, os.Stdout, *arch, *image, *programs, *tests, flag.Args())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e-guest:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, arch, image, programs, tests string, jobs []string) (err error) {
	m, err := machineOf(arch)
	if err != nil {
		return err
	}
	begin := time.Now()
	dir, err := os.MkdirTemp("", "runclamp-guest-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var (
		mu     sync.Mutex
		all    result
		errs   []error
		guests sync.WaitGroup
	)
	free := make(chan struct{}, runtime.NumCPU())
	for i, job := range jobs {
		label, _, _ := strings.Cut(job, "+")
		say := func(line string) {
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintf(out, "[%s] %s\n", label, line)
		}
		// Here, so that they begin in their order.
		free <- struct{}{}
		guests.Go(func() {
			defer func() { <-free }()
			// The thread that starts a process has to outlive it (prctl(2), PR_SET_PDEATHSIG).
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			r, err := guest(ctx, m, say, image, programs, filepath.Join(dir, strconv.Itoa(i)), job, tests)
			if err != nil {
				err = fmt.Errorf("%s: %w", label, err)
			}
			mu.Lock()
			defer mu.Unlock()
			all.passed, all.failed, all.skipped = all.passed+r.passed, all.failed+r.failed, all.skipped+r.skipped
			errs = append(errs, err)
		})
	}
	guests.Wait()
	fmt.Fprintf(out, "e2e-guest: %d tests passed, %d failed, %d left out, in %v\n", all.passed, all.failed, all.skipped, time.Since(begin).Round(time.Second))
	if all.skipped > 0 && os.Getenv("RUNCLAMP_E2E_ALL") != "" {
		errs = append(errs, errors.New("RUNCLAMP_E2E_ALL is set, and something was left out"))
	}
	if all.passed == 0 {
		errs = append(errs, errors.New("no test has passed"))
	}
	return errors.Join(errs...)
}

// guest runs a job, in a folder that is made for it.
func guest(ctx context.Context, m machine, say func(string), image, programs, dir, job, tests string) (r result, err error) {
	job, archive, _ := strings.Cut(job, "+")
	name, delegate, _ := strings.Cut(job, "@")
	if err := os.MkdirAll(filepath.Join(dir, "job"), 0o700); err != nil {
		return r, err
	}
	if err := os.WriteFile(filepath.Join(dir, "job", "job"), []byte(name+"\n"+delegate+"\n"+tests+"\n"), 0o600); err != nil {
		return r, err
	}
	initrd := filepath.Join(dir, "initrd")
	archives := []string{filepath.Join(image, "root.cpio")}
	if archive != "" {
		archives = append(archives, archive)
	}
	if err := writeInitrd(initrd, archives, programs, filepath.Join(dir, "job")); err != nil {
		return r, fmt.Errorf("the guest's initramfs: %w", err)
	}
	for i := 1; ; i++ {
		r = result{}
		err := boot(ctx, m, filepath.Join(image, "vmlinuz"), initrd, func(line string) {
			if r.add(line) {
				say(line)
			}
		})
		if r.ended || ctx.Err() != nil || i == attempts {
			return r, r.judge(err)
		}
		say(fmt.Sprintf("the guest gave no result (%v): it is started once more", err))
	}
}

// writeInitrd appends folders to the archive of the root and to others. The kernel unpacks one archive after the other
// (Documentation/driver-api/early-userspace/buffer-format.rst), so these are never made anew.
func writeInitrd(path string, archives []string, folders ...string) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for _, archive := range archives {
		a, err := os.Open(archive)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, a)
		if err := errors.Join(err, a.Close()); err != nil {
			return err
		}
	}
	for _, folder := range folders {
		entries, err := os.ReadDir(folder)
		if err != nil {
			return err
		}
		var names strings.Builder
		for _, e := range entries {
			fmt.Fprintln(&names, filepath.Join(filepath.Base(folder), e.Name()))
		}
		cpio := exec.Command("cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0")
		cpio.Dir = filepath.Dir(folder)
		cpio.Stdin = strings.NewReader(names.String())
		cpio.Stdout, cpio.Stderr = f, os.Stderr
		if err := cpio.Run(); err != nil {
			return fmt.Errorf("cpio: %w", err)
		}
	}
	return nil
}

// machine is what QEMU calls a guest of an architecture, and what its kernel calls the console.
type machine struct {
	qemu          string
	args          []string
	console, boot string
}

func machineOf(arch string) (machine, error) {
	switch arch {
	case "amd64":
		// q35 and Nehalem, because microvm and newer processors hang now and then under emulation.
		return machine{"qemu-system-x86_64", []string{"-machine", "q35", "-cpu", "Nehalem"}, "ttyS0", "tsc=reliable no_timer_check random.trust_cpu=on"}, nil
	case "arm64":
		return machine{"qemu-system-aarch64", []string{"-machine", "virt", "-cpu", "cortex-a72"}, "ttyAMA0", ""}, nil
	}
	return machine{}, fmt.Errorf("no guest is known for the architecture %q", arch)
}

// boot runs a guest to its end, and hands over each line of its console. One that says nothing for too long is ended.
func boot(ctx context.Context, m machine, kernel, initrd string, line func(string)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Of the kernel's options most only save time; panic=-1 reboots at once, and -no-reboot makes an end of that.
	qemu := exec.CommandContext(ctx, m.qemu, append(slices.Clone(m.args), "-accel", "tcg,thread=multi",
		"-smp", "1", "-m", "2048", "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot", "-nic", "none",
		"-kernel", kernel, "-initrd", initrd, "-append", "console="+m.console+" loglevel=3 panic=-1 apparmor=1 security=apparmor "+
			"cryptomgr.notests mitigations=off nokaslr rcupdate.rcu_expedited=1 "+m.boot)...)
	qemu.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	qemu.Stderr = os.Stderr
	console, err := qemu.StdoutPipe()
	if err != nil {
		return err
	}
	if err := qemu.Start(); err != nil {
		return err
	}
	hung := time.AfterFunc(bootTime, func() { cancel(errors.New("it said nothing for too long")) })
	defer hung.Stop()
	lines := bufio.NewScanner(console)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		hung.Reset(silence)
		line(strings.ReplaceAll(lines.Text(), "\r", ""))
	}
	if err := errors.Join(lines.Err(), qemu.Wait()); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return fmt.Errorf("qemu: %w", err)
	}
	return nil
}
