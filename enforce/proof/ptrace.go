package proof

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// patience is how long a process may take to stop. One that waits for its start does so at once; one that is frozen never does.
const patience = 2 * time.Second

// maxPrograms and maxLength are more than the kernel takes (kernel/seccomp.c, MAX_INSNS_PER_PATH).
const (
	maxPrograms = 1024
	maxLength   = 4096
)

// programsOf asks the kernel for the seccomp filters of a process, which stops for that. It goes on however this ends, even if
// runclamp is killed: a tracer that is gone lets go of everything (ptrace(2)).
func programsOf(pid int) ([]Program, error) {
	type answer struct {
		programs []Program
		err      error
	}
	done := make(chan answer, 1)
	go func() {
		// All requests must come from one thread. It is not given back: nothing of this must be left on a thread of others.
		runtime.LockOSThread()
		p, err := traced(pid)
		done <- answer{p, err}
	}()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case a := <-done:
		return a.programs, a.err
	case <-timeout.C:
		return nil, fmt.Errorf("process %d did not stop within %v: is it frozen?", pid, patience)
	}
}

func traced(pid int) (programs []Program, err error) {
	if err := seize(pid); err != nil {
		return nil, fmt.Errorf("ptrace: seize process %d: %w", pid, err)
	}
	signal := unix.Signal(0) // none
	defer func() {
		if _, _, e := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_DETACH, uintptr(pid), 0, uintptr(signal), 0, 0); e != 0 && !errors.Is(e, unix.ESRCH) {
			err = errors.Join(err, fmt.Errorf("ptrace: let go of process %d: %w", pid, e))
		}
	}()
	if err := unix.PtraceInterrupt(pid); err != nil {
		return nil, fmt.Errorf("ptrace: stop process %d: %w", pid, err)
	}
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, unix.WALL, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("waiting for process %d to stop: %w", pid, err)
		}
		break
	}
	if !status.Stopped() {
		return nil, fmt.Errorf("process %d has ended", pid)
	}
	if uint32(status)>>16 != unix.PTRACE_EVENT_STOP {
		// A signal was faster. It gets its signal when it is let go.
		signal = status.StopSignal()
	}
	for i := range maxPrograms {
		p, err := program(pid, i)
		if errors.Is(err, unix.ENOENT) {
			return programs, nil
		}
		if err != nil {
			return nil, err
		}
		programs = append(programs, p)
	}
	return nil, fmt.Errorf("more than %d seccomp filters", maxPrograms)
}

// seize waits for another tracer to let go: start and clampctl verify may look at a process at the same time.
func seize(pid int) error {
	const (
		most  = 200 * time.Millisecond
		tries = 5 // while there is no tracer: there was one, or another was faster again, or it is not allowed
	)
	alone := 0
	for wait := time.Millisecond; ; {
		err := unix.PtraceSeize(pid)
		if !errors.Is(err, unix.EPERM) || wait > most || alone == tries {
			return err
		}
		status, readErr := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if readErr != nil {
			return err
		}
		if bytes.Contains(status, []byte("\nTracerPid:\t0\n")) {
			alone++
			continue
		}
		time.Sleep(wait)
		wait *= 2
	}
}

// program is the i-th filter, the oldest first (kernel/seccomp.c, get_nth_filter).
func program(pid, i int) (Program, error) {
	// Without a place to put it, the kernel says how long it is.
	n, _, e := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SECCOMP_GET_FILTER, uintptr(pid), uintptr(i), 0, 0, 0)
	var p Program
	if e == 0 && 1 <= n && n <= maxLength {
		p = make(Program, n)
		_, _, e = unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SECCOMP_GET_FILTER, uintptr(pid), uintptr(i), uintptr(unsafe.Pointer(&p[0])), 0, 0)
	}
	switch e {
	case 0:
	case unix.EACCES:
		return nil, fmt.Errorf("ptrace: seccomp filter %d: %w: that takes CAP_SYS_ADMIN in the initial user namespace, and no seccomp filter of one's own", i, e)
	case unix.EIO, unix.EINVAL:
		return nil, fmt.Errorf("ptrace: seccomp filter %d: %w: the kernel was built without CHECKPOINT_RESTORE", i, e)
	default:
		return nil, fmt.Errorf("ptrace: seccomp filter %d: %w", i, e)
	}
	if p == nil {
		return nil, fmt.Errorf("seccomp filter %d has %d instructions", i, n)
	}
	return p, nil
}
