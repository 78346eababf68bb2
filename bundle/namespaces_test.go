package bundle

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"runclamp/enforce"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// elsewhere is a host whose namespaces are none of this test's.
func elsewhere(t *testing.T) Host {
	t.Helper()
	proc := t.TempDir()
	if err := os.MkdirAll(filepath.Join(proc, "self/ns"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(proc, "self/ns/net"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return Host{Proc: proc}
}

func TestNamespaceFacts(t *testing.T) {
	here, pid := Host{Proc: "/proc"}, strconv.Itoa(os.Getpid())
	link := filepath.Join(t.TempDir(), "net")
	if err := os.Symlink("/proc/self/ns/net", link); err != nil {
		t.Fatal(err)
	}
	mine := "/proc/" + pid + "/ns/net"
	for _, tt := range []struct {
		name    string
		host    Host
		path    string
		hosts   bool
		problem string
	}{
		{"the host's", here, mine, true, ""},
		{"the host's, of a thread", here, "/proc/" + pid + "/task/" + pid + "/ns/uts", true, ""},
		{"another's", elsewhere(t), mine, false, ""},
		{"nobody's", here, "/proc/999999999/ns/net", false, "no such file"},
		{"not a namespace", here, "/etc/passwd", false, "is not a namespace"},
		{"in procfs, by a link", here, "/proc/self/ns/net", false, "a link of procfs"},
		{"through another's files", here, "/proc/" + pid + "/root/proc/1/ns/net", false, "/proc/"},
		{"where others may put another", here, link, false, "can be written by others than root"},
		{"where others may put another, rootless", Host{Proc: "/proc", UserNamespace: true}, link, true, ""},
		{"relative", here, "ns/net", false, "is not an absolute path"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			list := []specs.LinuxNamespace{{Type: "pid"}, {Type: "network", Path: tt.path}}
			all, err := tt.host.namespaces(&specs.Linux{Namespaces: list})
			if err != nil {
				t.Fatal(err)
			}
			ns, ok := all[tt.path]
			if len(all) != 1 || !ok || ns.Host != tt.hosts {
				t.Errorf("%+v", all)
			}
			if tt.problem == "" && ns.Problem != "" || !strings.Contains(ns.Problem, tt.problem) {
				t.Errorf("problem %q, want %q", ns.Problem, tt.problem)
			}
		})
	}
	if all, err := here.namespaces(nil); err != nil || all != nil {
		t.Errorf("no linux section: %v, %v", all, err)
	}
	if _, err := (Host{Proc: t.TempDir()}).namespaces(&specs.Linux{Namespaces: []specs.LinuxNamespace{{Path: mine}}}); err == nil {
		t.Error("without procfs, namespaces were told apart")
	}
}

func TestHookFacts(t *testing.T) {
	here, pid := Host{Proc: "/proc"}, strconv.Itoa(os.Getpid())
	shell, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	mine := "/proc/" + pid + "/exe"
	// The test itself was built where everybody may write.
	mineProblem := "can be written by others than root"
	if os.Getuid() != 0 {
		mineProblem = "is not root's"
	}
	hook := func(path string) []specs.Hook { return []specs.Hook{{Path: path}} }
	for _, tt := range []struct {
		name           string
		host           Host
		path, resolved string
		problem        string
	}{
		{"the system's", here, "/bin/sh", shell, ""},
		{"with dots", here, "/usr/../bin//sh", shell, ""},
		{"of a process", here, mine, "", mineProblem},
		{"of a process, rootless", Host{Proc: "/proc", UserNamespace: true}, mine, self, ""},
		{"through another's files", here, "/proc/" + pid + "/root/bin/sh", "", "/proc/"},
		{"of whoever asks", here, "/proc/self/exe", "", "a link of procfs"},
		{"nobody's", here, "/proc/999999999/exe", "", "no such file"},
		{"not there", here, "/no/such/hook", "", "no such file"},
		{"not a program", here, "/usr", "/usr", "is not a regular file"},
		{"relative", here, "bin/sh", "", "is not an absolute path"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.host.hooks(&specs.Hooks{Poststop: hook(tt.path)})[tt.path]
			if got.Path != tt.resolved || tt.problem == "" && got.Problem != "" || !strings.Contains(got.Problem, tt.problem) {
				t.Errorf("%+v, want %q, %q", got, tt.resolved, tt.problem)
			}
		})
	}
	all := here.hooks(&specs.Hooks{CreateRuntime: hook("/a"), CreateContainer: hook("/b"), StartContainer: hook("/c"), Poststart: hook("/d"), Poststop: hook("/e")})
	for _, path := range []string{"/a", "/b", "/c", "/d", "/e"} {
		if all[path] == (enforce.Hook{}) {
			t.Errorf("nobody looked at %s", path)
		}
	}
}
