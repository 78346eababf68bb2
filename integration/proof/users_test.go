package proof

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// inUserNamespace has what is asked for in a user namespace, with a bind mount whose files belong to others in there.
func (l *lab) inUserNamespace(t *testing.T) {
	t.Helper()
	// Root of the user namespace is nobody out here.
	for _, dir := range []string{l.dir, l.bundle} {
		if err := os.Chmod(dir, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	mapped := filepath.Join(l.dir, "mapped")
	mkdir(t, mapped)
	mkdir(t, l.bundle, "rootfs", "home", "mapped") // the image is not its root's, either
	var spec specs.Spec
	if err := json.Unmarshal(l.asked, &spec); err != nil {
		t.Fatal(err)
	}
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
	spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	spec.Linux.UIDMappings, spec.Linux.GIDMappings = ids, ids
	spec.Mounts = append(spec.Mounts, specs.Mount{
		Destination: "/home/mapped", Type: "bind", Source: mapped, Options: []string{"bind", "rprivate", "ro"}, UIDMappings: ids, GIDMappings: ids,
	})
	delete(spec.Linux.Sysctl, "net.ipv4.ping_group_range") // to groups that there are not
	var err error
	if l.asked, err = json.Marshal(spec); err != nil {
		t.Fatal(err)
	}
}

// TestUserNamespace: in a user namespace the IDs are those of the configuration, and outside of it they are those that its mappings say.
func TestUserNamespace(t *testing.T) {
	forEachRunc(t, func(t *testing.T, l *lab) {
		l.inUserNamespace(t)
		l.create(t, nil)
		clamped, err := os.ReadFile(l.config())
		if err != nil {
			t.Fatal(err)
		}
		l.remove(t)
		for name, tt := range map[string]struct {
			fact   string // none: it is started
			change func(*specs.Spec)
		}{
			"as told": {"", func(*specs.Spec) {}},
			"root":    {"uid", func(s *specs.Spec) { s.Process.User.UID = 0 }},
			"the host's root": {"mappings", func(s *specs.Spec) {
				s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 10001}, {ContainerID: 10001, HostID: 0, Size: 1}}
			}},
			"another's groups": {"mappings", func(s *specs.Spec) {
				s.Linux.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 200000, Size: 65536}}
			}},
			"the host's": {"namespaces", func(s *specs.Spec) {
				s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UserNamespace })
				s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
			}},
		} {
			t.Run(name, func(t *testing.T) {
				var spec specs.Spec
				if err := json.Unmarshal(clamped, &spec); err != nil {
					t.Fatal(err)
				}
				tt.change(&spec)
				given, err := json.Marshal(spec)
				if err != nil {
					t.Fatal(err)
				}
				l.create(t, given)
				defer l.remove(t)
				err = l.runclamp.Call(nil, "start", id)
				line := l.audited(t)
				if tt.fact == "" {
					if err != nil || line.Proof != l.passed() || len(l.known(line.Findings)) > 0 {
						t.Errorf("start says %v, the audit log %+v", err, line)
					}
					return
				}
				found := false
				for _, f := range line.Findings {
					found = found || f.Detail == tt.fact && f.Action == "reject"
				}
				if !found || err == nil || !strings.Contains(err.Error(), "runclamp: refused: proof:") {
					t.Errorf("start says %v, the audit log %+v", err, line)
				}
			})
		}
	})
}
