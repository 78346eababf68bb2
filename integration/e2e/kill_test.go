package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// killAtEach runs a command of runclamp's as often as it makes system calls, and kills it at each in turn. Behind it stands a
// delegate that does nothing: what comes after the hand-over is not what is to be killed. before is called before
// each run, after when it was killed; it gives how often that was.
func killAtEach(t *testing.T, d *docker, args []string, before func() error, after func(when string)) (kills int) {
	t.Helper()
	nothing := filepath.Join(d.dir, "nothing")
	link := filepath.Join(d.conf, "delegate")
	if err := errors.Join(run("go", "build", "-C", "nothing", "-o", nothing, "."), os.Remove(link), os.Symlink(nothing, link)); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(os.Remove(link), os.Symlink(d.runc, link)); err != nil {
			t.Error(err)
		}
	}()
	if err := before(); err != nil {
		t.Fatal(err)
	}
	calls := map[uint64]int{}
	if _, err := traced(func(number uint64) (kill bool) { calls[number]++; return false }, d.runclamp, args...); err != nil {
		t.Fatal(err)
	}
	for call, times := range calls {
		for n := 1; n <= times; n++ {
			if err := before(); err != nil {
				t.Fatal(err)
			}
			so := 0
			killed, err := traced(func(number uint64) (kill bool) {
				if number == call {
					so++
				}
				return number == call && so == n
			}, d.runclamp, args...)
			if err != nil {
				t.Fatalf("killed at system call %d, occurrence %d: %v", call, n, err)
			}
			if !killed {
				continue // it got by with fewer calls than when they were counted
			}
			kills++
			after(fmt.Sprintf("killed at system call %d, occurrence %d", call, n))
		}
	}
	return kills
}

// traced runs a command and asks at each system call that one of its threads enters whether to kill it there, with SIGKILL. It
// says whether it did: a command that executes another program first is let go, and must then succeed. strace can inject
// signals too, and failed now and then by itself (PTRACE_LISTEN: Input/output error).
func traced(kill func(number uint64) bool, name string, args ...string) (killed bool, err error) {
	// ptrace(2): only the thread that began a trace can go on with it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	out, err := unnamed()
	if err != nil {
		return false, err
	}
	defer out.Close()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1") // fewer threads, so that the n-th call is the same in each run
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Setpgid: true}
	if err := cmd.Start(); err != nil {
		return false, err
	}
	leader := cmd.Process.Pid
	// On every way out nothing is left of it, neither running nor to be waited for.
	defer func() {
		if gone := unix.Kill(-leader, unix.SIGKILL); gone != nil && gone != unix.ESRCH {
			err = errors.Join(err, gone)
		}
		for waited := error(nil); waited == nil; {
			_, waited = unix.Wait4(-leader, nil, unix.WALL, nil)
		}
		err = errors.Join(err, cmd.Process.Release())
	}()
	seen := map[int]bool{}
	handedOver := false
	for {
		var status unix.WaitStatus
		thread, err := unix.Wait4(-leader, &status, unix.WALL, nil)
		if err != nil {
			return killed, fmt.Errorf("waiting for %s: %w", name, err)
		}
		request, signal := unix.PTRACE_SYSCALL, 0
		switch {
		case thread == leader && (status.Exited() || status.Signaled()):
			if killed && status.Signal() == unix.SIGKILL || handedOver && status.Exited() && status.ExitStatus() == 0 {
				return killed, nil
			}
			text, err := fromStart(out)
			return killed, errors.Join(fmt.Errorf("%s ended with status %#x before it handed over: %s", name, status, text), err)
		case !status.Stopped():
			continue // a thread that ended
		case !seen[thread]: // before its first instruction
			seen[thread] = true
			if thread == leader {
				if err := unix.PtraceSetOptions(leader, unix.PTRACE_O_TRACESYSGOOD|unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_TRACEFORK|
					unix.PTRACE_O_TRACEVFORK|unix.PTRACE_O_TRACEEXEC|unix.PTRACE_O_EXITKILL); err != nil {
					return killed, err
				}
			}
		case status.StopSignal() == unix.SIGTRAP|0x80:
			// struct ptrace_syscall_info: the operation is its first byte, the number of the call stands at 24.
			var info [11]uint64
			_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(thread), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
			if errno != 0 && errno != unix.ESRCH {
				return killed, fmt.Errorf("the system call of %d: %w", thread, errno)
			}
			if !killed && errno == 0 && byte(info[0]) == unix.PTRACE_SYSCALL_INFO_ENTRY && kill(info[3]) {
				killed = true
				if err := unix.Kill(leader, unix.SIGKILL); err != nil {
					return killed, err
				}
			}
		case status.TrapCause() == unix.PTRACE_EVENT_EXEC && thread == leader:
			handedOver, request = true, unix.PTRACE_DETACH
		case status.TrapCause() > 0: // a thread was begun
		default:
			signal = int(status.StopSignal())
		}
		_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, uintptr(request), uintptr(thread), 0, uintptr(signal), 0, 0)
		if errno != 0 && errno != unix.ESRCH { // killed meanwhile
			return killed, fmt.Errorf("ptrace %d: %w", thread, errno)
		}
	}
}
