// Package profiles has the test that every profile that runclamp ships lets a container start.
package profiles

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"runclamp/enforce/seccomp"
	"runclamp/enforce/seccomp/syscalls"
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
	conditional := slices.DeleteFunc([]string{"clone", "mknod", "mknodat", "socket"}, func(name string) bool {
		numbers, _ := syscalls.Lookup(name)
		_, has := numbers.On(seccomp.Native())
		return !has // arm64 has no mknod
	})
	dir, program := workshop(t)
	clampctl, delegate := buildClampctl(t, dir)
	for i, runc := range filepath.SplitList(list) {
		t.Run(runc, func(t *testing.T) {
			r, id := prepared(t, runc, program, filepath.Join(dir, fmt.Sprint("container-", i)), func(s *specs.Spec) { s.Linux.Seccomp = seccomp.Strict() })
			if err := r.Call(nil, "create", "--bundle", filepath.Join(dir, fmt.Sprint("container-", i)), id); err != nil {
				t.Fatal(err)
			}
			for command, want := range map[string][]string{
				"explain": {"\ndepending on arguments\n  " + strings.Join(conditional, " ") + "\n", "\nsandboxing\n  landlock_add_rule"},
				"show":    {"allowed: accept accept4 ", "denied: all others"},
				"stats":   {"filter 0: ", fmt.Sprintf("conditional: %d\n", len(conditional))},
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
			diff(t, clampctl, r.Root, id)

			// The filter of a profile that no container has is the one that this runc makes of it.
			delegate(t, runc)
			of, err := exec.Command(clampctl, "profile", "stats", "--root", r.Root, "container:"+id).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, of)
			}
			_, rest, _ := strings.Cut(string(of), "filter 0: ")
			n, _, _ := strings.Cut(rest, " ")
			tmp := t.TempDir()
			stats := exec.Command(clampctl, "profile", "stats", "strict")
			stats.Env = append(os.Environ(), "TMPDIR="+tmp)
			text, err := stats.CombinedOutput()
			if want := "\ninstructions: " + n + ", built by runc\n"; err != nil || !strings.Contains(string(text), want) {
				t.Errorf("%v: %q is missing in\n%s", err, want, text)
			}
			if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// diff: a container under strict goes beyond a smaller profile, and not beyond strict or Docker's.
func diff(t *testing.T, clampctl, root, id string) {
	t.Helper()
	small := filepath.Join(t.TempDir(), "small.json")
	if err := os.WriteFile(small, []byte(`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[
		{"names":["read","ptrace"],"action":"SCMP_ACT_ALLOW"},
		{"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":2,"op":"SCMP_CMP_EQ"}]}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	const either = -1 // 0 or 1
	for _, tt := range []struct {
		profile    string
		status     int
		want, none []string
	}{
		// Calls that are newer than the libseccomp of this runc are denied: whether there are any depends on it.
		{"strict", either, nil, []string{"+ ", "- read ", "- socket ", "- clone "}},
		{"default", 1, []string{"- ptrace "}, []string{"+ "}},
		{small, 1, []string{"+ write\n", "+ socket with argument 0 = 0x1", "- ptrace "}, []string{"+ read\n", "- read ", "- socket "}},
	} {
		text, err := exec.Command(clampctl, "profile", "diff", "--root", root, "container:"+id, tt.profile).CombinedOutput()
		status := 0
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			status = exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		if status != tt.status && (tt.status != either || status > 1) {
			t.Errorf("diff with %s: exit status %d, want %d: %s", tt.profile, status, tt.status, text)
		}
		for _, w := range tt.want {
			if !strings.Contains(string(text), w) {
				t.Errorf("diff with %s: %q is missing in\n%s", tt.profile, w, text)
			}
		}
		for _, n := range tt.none {
			if strings.Contains(string(text), n) {
				t.Errorf("diff with %s: %q is in\n%s", tt.profile, n, text)
			}
		}
	}
}

// built is the folder of what the guest has instead of Go (make e2e-guest).
func built() string { return os.Getenv("RUNCLAMP_TEST_PROGRAMS") }

// buildClampctl builds it for a configuration folder of its own; delegate puts a copy of a runtime there that nobody else can change.
func buildClampctl(t *testing.T, dir string) (clampctl string, delegate func(t *testing.T, runc string)) {
	t.Helper()
	conf := filepath.Join(dir, "conf")
	if built() != "" {
		conf = "/etc/runclamp"
	}
	if err := os.MkdirAll(conf, 0o755); err != nil {
		t.Fatal(err)
	}
	delegate = func(t *testing.T, runc string) {
		t.Helper()
		path, err := exec.LookPath(runc)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(conf, "delegate"), text, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if built() != "" {
		return filepath.Join(built(), "clampctl"), delegate
	}
	return build(t, dir, "clampctl", "runclamp/cmd/clampctl", "-ldflags", "-X main.confDir="+conf), delegate
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
	if built() != "" {
		return dir, filepath.Join(built(), "program")
	}
	return dir, build(t, dir, "program", "./program")
}

func build(t *testing.T, dir, name, pkg string, flags ...string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	cmd := exec.Command("go", append(append([]string{"build", "-o", path}, flags...), pkg)...)
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
		t.Fatal(err)
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
