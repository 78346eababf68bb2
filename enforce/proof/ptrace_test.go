package proof

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestProgramsAtOnce: a process has one tracer at a time. A start waits while clampctl verify looks, and the other way round.
func TestProgramsAtOnce(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Skip("left out: ", err)
	}
	defer func() {
		if err := errors.Join(cmd.Process.Kill(), ended(cmd.Wait())); err != nil {
			t.Error(err)
		}
	}()
	if _, err := programsOf(cmd.Process.Pid); errors.Is(err, unix.EPERM) {
		t.Skip("left out: nobody may trace here")
	}
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for range 50 {
				if _, err := programsOf(cmd.Process.Pid); errors.Is(err, unix.EPERM) {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// ended passes over the signal.
func ended(err error) error {
	if errors.As(err, new(*exec.ExitError)) {
		return nil
	}
	return err
}

// TestProgramsOrder: the kernel gives the oldest filter first. This test's own process, started once more, installs two.
func TestProgramsOrder(t *testing.T) {
	const child = "RUNCLAMP_TEST_TWO_FILTERS"
	if os.Getenv(child) != "" {
		for _, filter := range [][]unix.SockFilter{{ret(unix.SECCOMP_RET_ALLOW)}, {{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, ret(unix.SECCOMP_RET_ALLOW)}} {
			if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
				t.Fatal(err)
			}
			program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
			if _, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program))); e != 0 {
				t.Fatal(e)
			}
		}
		if _, err := fmt.Println("ready"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
			t.Fatal(err)
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestProgramsOrder$")
	cmd.Env = append(os.Environ(), child+"=1")
	stdin, err := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err := errors.Join(err, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(stdin.Close(), cmd.Wait()); err != nil {
			t.Error(err)
		}
	}()
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	programs, err := programsOf(cmd.Process.Pid)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		t.Skip("left out: nobody may trace here")
	}
	if err != nil || len(programs) != 2 || len(programs[0]) != 1 || len(programs[1]) != 2 {
		t.Errorf("%v, %v", programs, err)
	}
}
