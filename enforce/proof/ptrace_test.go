package proof

import (
	"errors"
	"os/exec"
	"sync"
	"testing"

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
