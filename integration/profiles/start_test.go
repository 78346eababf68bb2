// Package profiles has the test that every profile that runclamp ships lets a container start.
package profiles

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"runclamp/enforce/seccomp"
	"runclamp/integration/demo/fixture"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestStart: with each runc (RUNCLAMP_TEST_RUNC, paths with colons between them), with and without no-new-privileges, as root and as
// somebody else. Without no-new-privileges, runc loads the filter before it changes user and capabilities, and needs calls for that.
func TestStart(t *testing.T) {
	list := os.Getenv("RUNCLAMP_TEST_RUNC")
	if list == "" || os.Geteuid() != 0 {
		t.Skip("left out: it needs root, and runcs to test with in RUNCLAMP_TEST_RUNC (make test has both)")
	}
	dir, err := fixture.Workspace("/var/lib", "runclamp-profiles")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	program := filepath.Join(dir, "program")
	build := exec.Command("go", "build", "-o", program, "./program")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, text)
	}
	docker, err := seccomp.Default(nil)
	if err != nil {
		t.Fatal(err)
	}
	bare := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: docker.Architectures}
	for i, runc := range filepath.SplitList(list) {
		for _, tt := range []struct {
			name    string
			profile *specs.LinuxSeccomp
			starts  bool
		}{{"default", docker, true}, {"strict", seccomp.Strict(), true}, {"nothing", bare, false}} {
			for _, user := range []uint32{0, 10001} {
				for _, noNewPrivileges := range []bool{true, false} {
					t.Run(fmt.Sprintf("%s/%s/%d/%v", runc, tt.name, user, noNewPrivileges), func(t *testing.T) {
						err := start(t, runc, program, filepath.Join(dir, fmt.Sprintf("%d-%s-%d-%v", i, tt.name, user, noNewPrivileges)), func(s *specs.Spec) {
							s.Process.User.UID, s.Process.User.GID = user, user
							s.Process.NoNewPrivileges = noNewPrivileges
							s.Process.Capabilities = &specs.LinuxCapabilities{}
							s.Linux.Seccomp = tt.profile
						})
						if (err == nil) != tt.starts {
							t.Errorf("starts: %v, wanted %v: %v", err == nil, tt.starts, err)
						}
					})
				}
			}
		}
	}
}

// start runs a container to its end.
func start(t *testing.T, runc, program, bundle string, change func(*specs.Spec)) (err error) {
	t.Helper()
	spec, err := fixture.Config("/probe")
	if err != nil {
		t.Skip(err)
	}
	change(spec)
	if err := fixture.WriteBundle(bundle, spec, program); err != nil {
		t.Fatal(err)
	}
	r, err := fixture.NewRuntime(runc, bundle+".state")
	if err != nil {
		t.Fatal(err)
	}
	id := "runclamp-profiles-" + filepath.Base(bundle)
	defer func() { err = errors.Join(err, r.Remove(id)) }()
	return r.Call(nil, "run", "--bundle", bundle, id)
}
