package shim

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"runclamp/bundle"
)

// TestVerifyRootless: who is who in a rootless engine's containers can't be told out here, so nothing is said of it, and nothing wrong.
func TestVerifyRootless(t *testing.T) {
	if inUserNamespace() {
		t.Skip("left out: this is a user namespace itself")
	}
	l := newLab(t)
	l.mustRun(t, "--root", l.root, "create", "c1")
	state := `{"init_process_pid":1,"init_process_start":1,"config":{"labels":["bundle=` + l.bundle + `"]}}`
	l.write(t, filepath.Join(l.root, "c1", "state.json"), state)
	if v, err := Verify(l.root, "c1", time.Now()); err != nil || v.Status != Stopped || len(v.Findings) > 0 {
		t.Errorf("%+v, %v", v, err)
	}
	if err := replaceIn(filepath.Join(l.bundle, "runclamp.json"), `"policy":{`, `"policy":{"unchecked":true,`); err != nil {
		t.Fatal(err)
	}
	if v, err := Verify(l.root, "c1", time.Now()); err == nil || !strings.Contains(err.Error(), "podman unshare clampctl verify") {
		t.Errorf("%+v, %v", v, err)
	}
	l.write(t, filepath.Join(l.bundle, "config.json"), dockerLike)
	if v, err := Verify(l.root, "c1", time.Now()); err != nil || len(v.Findings) != 1 || v.Findings[0].Control != "record" || v.Findings[0].Action != "reject" {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestVerifyRemoved: a container that is removed while it is looked at does not exist, and is no error of another kind.
func TestVerifyRemoved(t *testing.T) {
	root, bundles := t.TempDir(), t.TempDir()
	var last atomic.Int64 // an ID is not given out again
	stop, done := make(chan struct{}), make(chan error)
	go func() {
		done <- func() error {
			for {
				select {
				case <-stop:
					return nil
				default:
				}
				id := fmt.Sprint(last.Load() + 1)
				record, at := filepath.Join(root, id), filepath.Join(bundles, id)
				state := `{"init_process_pid": 0, "config": {"labels": ["bundle=` + at + `"]}}`
				err := errors.Join(
					os.Mkdir(at, 0o700), os.WriteFile(filepath.Join(at, "config.json"), []byte(`{"ociVersion": "1.2.0"}`), 0o600),
					os.Mkdir(record, 0o700), os.WriteFile(filepath.Join(record, "state.json"), []byte(state), 0o600),
				)
				last.Add(1)
				// So do runc and, after that, containerd's shim.
				if err := errors.Join(err, os.RemoveAll(record), os.RemoveAll(at)); err != nil {
					return err
				}
			}
		}()
	}()
	stopped := 0
	for begun := time.Now(); time.Since(begun) < time.Second && !t.Failed(); {
		v, err := Verify(root, fmt.Sprint(last.Load()), time.Now())
		switch {
		case errors.Is(err, bundle.ErrNoContainer):
		case err != nil:
			t.Error(err)
		case v.Status == Stopped:
			stopped++
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if stopped == 0 {
		t.Error("it was never there")
	}
}
