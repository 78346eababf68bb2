package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestVerify: what the proof found before the first instruction still holds of a container that runs.
func TestVerify(t *testing.T) {
	clampctl := filepath.Join(t.TempDir(), "clampctl")
	if err := build("../..", clampctl, "./cmd/clampctl"); err != nil {
		t.Fatal(err)
	}
	forEachEngine(t, func(t *testing.T, e engine) {
		p := e.where()
		id := start(t, e, container{args: asleep})
		// Where the engines' delegates have their records by default, and where those of the tests do.
		roots := []string{"/run/docker/runtime-*/moby", p.file("exec/runtime-*/moby"), "/run/containerd/runc/*", p.file("state/runc/*"), "/run/runc"}
		out, err := exec.Command(clampctl, "verify", "--root", strings.Join(roots, ","), id).CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), id+": holds: ") || strings.HasPrefix(string(out), id+": holds: unknown") {
			t.Errorf("%v: %s", err, out)
		}
		out, err = exec.Command(clampctl, "profile", "show", "--root", strings.Join(roots, ","), "container:"+id).CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), "allowed: ") {
			t.Errorf("%v: %s", err, out)
		}
	})
}
