package shim

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
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
