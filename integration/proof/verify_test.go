package proof

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestVerify: clampctl verify says what somebody has changed of a container since its start, and of crun's the seccomp filter holds at last.
func TestVerify(t *testing.T) {
	forEachRunc(t, func(t *testing.T, l *lab) {
		verify := func(t *testing.T, want string, findings ...string) {
			t.Helper()
			cmd := exec.Command(filepath.Join(l.dir, "clampctl"), "verify", "--root", l.runclamp.Root)
			out, err := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); !strings.HasPrefix(string(out), id+": "+want+": unknown, ") || (code == 1) != (len(findings) > 0) || code > 1 {
				t.Errorf("verify says %v: %s", err, out)
			}
			if n := strings.Count(string(out), "  wanted  "); n != len(findings) {
				t.Errorf("%d findings, wanted %q: %s", n, findings, out)
			}
			for _, f := range findings {
				if !strings.Contains(string(out), "\n"+f+"\n") {
					t.Errorf("verify does not say %q: %s", f, out)
				}
			}
		}
		call := func(t *testing.T, args ...string) {
			t.Helper()
			if err := l.delegate().Call(nil, args...); err != nil {
				t.Fatal(err)
			}
		}
		l.create(t, nil)
		defer l.remove(t)
		if l.crun {
			verify(t, "1 finding", "proof:seccompProgram (audit)")
		} else {
			verify(t, "holds")
		}
		if err := l.runclamp.Call(nil, "start", id); err != nil {
			t.Fatal(err)
		}
		verify(t, "holds")
		pid := l.state(t).Pid

		call(t, "update", "--pids-limit", "500", id)
		verify(t, "holds") // within the policy's limit
		call(t, "update", "--pids-limit", "600", id)
		const more = "proof:pids (reject)\n  at      /linux/resources/pids/limit\n  found   600\n  wanted  100"
		verify(t, "1 finding", more)
		if err := l.runclamp.Call(nil, "update", "--pids-limit", "500", id); err != nil {
			t.Fatal(err)
		}
		verify(t, "holds")

		call(t, "pause", id)
		if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
			verify(t, "holds") // with cgroup v2, what is frozen can be traced
		} else {
			verify(t, "1 finding", fmt.Sprintf("proof:seccompProgram (audit)\n  found   it could not be read: process %d did not stop within 2s: is it frozen?", pid))
		}
		call(t, "resume", id)
		verify(t, "holds")

		if err := remount(pid, "/"); err != nil {
			t.Fatal(err)
		}
		verify(t, "1 finding", "proof:root (reject)\n  at      /root/readonly\n  found   a root filesystem that can be written\n  wanted  a read-only one")

		call(t, "kill", id, "KILL")
		l.gone(t, pid)
		verify(t, "stopped")
	})
}

// TestVerifyUnmanaged: a container that another runtime created was never decided about.
func TestVerifyUnmanaged(t *testing.T) {
	forEachRunc(t, func(t *testing.T, l *lab) {
		for _, tt := range []struct {
			text  string
			spoil func() error
		}{
			{"no record of runclamp's in the bundle", func() error { return os.Remove(filepath.Join(l.bundle, "runclamp.json")) }},
			{"config.json is not the one that was decided about", func() error { return os.WriteFile(l.config(), l.asked, 0o600) }},
		} {
			t.Run(tt.text, func(t *testing.T) {
				l.create(t, nil)
				l.remove(t)
				if err := tt.spoil(); err != nil {
					t.Fatal(err)
				}
				if err := l.delegate().Call(nil, "create", "--bundle", l.bundle, id); err != nil {
					t.Fatal(err)
				}
				defer l.remove(t)
				cmd := exec.Command(filepath.Join(l.dir, "clampctl"), "verify", "--root", l.runclamp.Root, id[:4])
				out, err := cmd.CombinedOutput()
				if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "record (reject)\n  found   "+tt.text) {
					t.Errorf("verify says %v: %s", err, out)
				}
			})
		}
	})
}

// gone waits for a process to end.
func (l *lab) gone(t *testing.T, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Close(fd); err != nil {
			t.Error(err)
		}
	}()
	const patience = 10_000 // milliseconds
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, patience); n != 1 {
		t.Fatalf("process %d goes on: %v", pid, err)
	}
}

// remount makes a mount of a process's writable, as root of the host can.
func remount(pid int, path string) error {
	done := make(chan error, 1)
	go func() {
		// This thread is in another mount namespace for good, and ends with the goroutine.
		runtime.LockOSThread()
		done <- func() (err error) {
			ns, err := unix.Open(fmt.Sprintf("/proc/%d/ns/mnt", pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, unix.Close(ns)) }()
			// Threads share their root folder, and setns(2) does not let go of it.
			if err := unix.Unshare(unix.CLONE_FS); err != nil {
				return err
			}
			if err := unix.Setns(ns, unix.CLONE_NEWNS); err != nil {
				return err
			}
			return unix.Mount("", path, "", unix.MS_REMOUNT|unix.MS_BIND, "")
		}()
	}()
	return <-done
}

// TestVerifyMeanwhile: who looks at containers while they are made finds nothing, and keeps none from being started.
func TestVerifyMeanwhile(t *testing.T) {
	forEachRunc(t, func(t *testing.T, l *lab) {
		l.policy(t, "requireProof: "+fmt.Sprint(!l.crun)+"\n")
		stop, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for {
				select {
				case <-stop:
					return
				default:
				}
				cmd := exec.Command(filepath.Join(l.dir, "clampctl"), "verify", "--root", l.runclamp.Root)
				if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() == 1 && !l.crun {
					t.Errorf("verify says %s", out)
				}
			}
		}()
		for range 10 {
			l.create(t, nil)
			if err := l.runclamp.Call(nil, "start", id); err != nil {
				t.Error(err)
			}
			l.remove(t)
		}
		close(stop)
		<-done
	})
}
