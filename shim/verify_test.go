package shim

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runclamp/bundle"
	"runclamp/enforce"
	"runclamp/enforce/policy"
	"runclamp/enforce/proof"
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
	for i := range 200 {
		id := fmt.Sprint(i) // is not given out again
		record, at := filepath.Join(root, id), filepath.Join(bundles, id)
		state := `{"init_process_pid": 0, "config": {"labels": ["bundle=` + at + `"]}}`
		if err := errors.Join(
			os.Mkdir(at, 0o700), os.WriteFile(filepath.Join(at, "config.json"), []byte(`{"ociVersion": "1.2.0"}`), 0o600),
			os.Mkdir(record, 0o700), os.WriteFile(filepath.Join(record, "state.json"), []byte(state), 0o600),
		); err != nil {
			t.Fatal(err)
		}
		if v, err := Verify(root, id, time.Now()); err != nil || v.Status != Stopped {
			t.Fatalf("while it is there: %+v, %v", v, err)
		}
		removed := make(chan error)
		// So do runc and, after that, containerd's shim.
		go func() { removed <- errors.Join(os.RemoveAll(record), os.RemoveAll(at)) }()
		err := error(nil)
		for err == nil {
			_, err = Verify(root, id, time.Now())
		}
		if err := <-removed; err != nil {
			t.Fatal(err)
		}
		if !errors.Is(err, bundle.ErrNoContainer) {
			t.Fatal(err)
		}
	}
}

// TestMayBeUpdated: limits are passed over that an update could have brought, as the kernel has them then.
func TestMayBeUpdated(t *testing.T) {
	c := container{record: &bundle.Record{Resources: enforce.ResourceSettings{Action: policy.Fix, Pids: 100, Memory: 1 << 20, MilliCPUs: 333}}}
	for _, tt := range []struct {
		name              string
		pids, memory, cpu int64
		want              bool
		milliCPUs         int64
	}{
		{"at the limits", 100, 1 << 20, 333_000, true, 0},
		{"rounded up by systemd", 100, 1 << 20, 340_000, true, 0},
		{"less", 10, 1 << 19, 5_000, true, 0},
		{"a small one, rounded up", 100, 1 << 20, 10_000, true, 5},
		{"more processes", 101, 1 << 20, 333_000, false, 0},
		{"more memory", 100, 1<<20 + 4096, 333_000, false, 0},
		{"more time", 100, 1 << 20, 343_001, false, 0},
		{"any time", 100, 1 << 20, proof.Unlimited, false, 0},
	} {
		c.record.Resources.MilliCPUs = cmp.Or(tt.milliCPUs, 333)
		if got := c.mayBeUpdated(proof.Cgroup{Pids: &tt.pids, Memory: &tt.memory, CPU: &tt.cpu}, time.Now()); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
