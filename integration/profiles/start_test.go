// Package profiles has the test that every profile that runclamp ships lets a container start.
package profiles

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
	dir, program := workshop(t)
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

// TestContainer: clampctl asks the kernel what it filters of a container.
func TestContainer(t *testing.T) {
	list := os.Getenv("RUNCLAMP_TEST_RUNC")
	if list == "" || os.Geteuid() != 0 {
		t.Skip("left out: it needs root, and runcs to test with in RUNCLAMP_TEST_RUNC (make test has both)")
	}
	dir, program := workshop(t)
	clampctl := build(t, dir, "clampctl", "runclamp/cmd/clampctl")
	for i, runc := range filepath.SplitList(list) {
		t.Run(runc, func(t *testing.T) {
			r, id := prepared(t, runc, program, filepath.Join(dir, fmt.Sprint("container-", i)), func(s *specs.Spec) { s.Linux.Seccomp = seccomp.Strict() })
			if err := r.Call(nil, "create", "--bundle", filepath.Join(dir, fmt.Sprint("container-", i)), id); err != nil {
				t.Fatal(err)
			}
			for command, want := range map[string][]string{
				"explain": {"\ndepending on arguments\n  clone mknod mknodat socket\n", "\nsandboxing\n  landlock_add_rule"},
				"show":    {"allowed: accept accept4 ", "denied: all others"},
				"stats":   {"filter 0: ", "conditional: 4\n"},
			} {
				text, err := exec.Command(clampctl, "profile", command, "--root", r.Root, "container:"+id).CombinedOutput()
				if err != nil {
					t.Errorf("%s: %v: %s", command, err, text)
				}
				for _, w := range want {
					if !strings.Contains(string(text), w) {
						t.Errorf("%s: %q is missing in\n%s", command, w, text)
					}
				}
			}
		})
	}
}

// workshop is a folder, and a program to run in containers.
func workshop(t *testing.T) (dir, program string) {
	t.Helper()
	dir, err := fixture.Workspace("/var/lib", "runclamp-profiles")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir, build(t, dir, "program", "./program")
}

func build(t *testing.T, dir, name, pkg string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	cmd := exec.Command("go", "build", "-o", path, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, text)
	}
	return path
}

// start runs a container to its end.
func start(t *testing.T, runc, program, bundle string, change func(*specs.Spec)) error {
	t.Helper()
	r, id := prepared(t, runc, program, bundle, change)
	return r.Call(nil, "run", "--bundle", bundle, id)
}

// prepared is a runtime with a bundle. The container is taken away at the end.
func prepared(t *testing.T, runc, program, bundle string, change func(*specs.Spec)) (r fixture.Runtime, id string) {
	t.Helper()
	spec, err := fixture.Config("/probe")
	if err != nil {
		t.Skip(err)
	}
	change(spec)
	if err := fixture.WriteBundle(bundle, spec, program); err != nil {
		t.Fatal(err)
	}
	if r, err = fixture.NewRuntime(runc, bundle+".state"); err != nil {
		t.Fatal(err)
	}
	id = "runclamp-profiles-" + filepath.Base(bundle)
	t.Cleanup(func() {
		if err := r.Remove(id); err != nil {
			t.Error(err)
		}
	})
	return r, id
}
