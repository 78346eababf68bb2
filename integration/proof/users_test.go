package proof

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// users are who the container's are outside of its user namespace.
func users() []specs.LinuxIDMapping {
	return []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
}

func withUsers(s *specs.Spec) {
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	s.Linux.UIDMappings, s.Linux.GIDMappings = users(), users()
	delete(s.Linux.Sysctl, "net.ipv4.ping_group_range") // of groups that there are not
}

func withoutUsers(s *specs.Spec) {
	s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UserNamespace })
	s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
}

// inUserNamespace asks for a user namespace, whose root is nobody out here.
func (l *lab) inUserNamespace(t *testing.T) {
	t.Helper()
	for _, dir := range []string{l.dir, l.bundle} {
		if err := os.Chmod(dir, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	l.ask(t, withUsers)
}

// ask changes what is asked for.
func (l *lab) ask(t *testing.T, change func(*specs.Spec)) {
	t.Helper()
	l.asked = changed(t, l.asked, change)
}

func changed(t *testing.T, config []byte, change func(*specs.Spec)) []byte {
	t.Helper()
	var spec specs.Spec
	if err := json.Unmarshal(config, &spec); err != nil {
		t.Fatal(err)
	}
	change(&spec)
	config, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// clampedNow is what runclamp makes of what is asked for now.
func (l *lab) clampedNow(t *testing.T) []byte {
	t.Helper()
	l.create(t, nil)
	defer l.remove(t)
	config, err := os.ReadFile(l.config())
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// TestUserNamespace: in a user namespace the IDs are those of the configuration, and outside of it they are those that its mappings say.
func TestUserNamespace(t *testing.T) {
	forEachRunc(t, func(t *testing.T, l *lab) {
		l.inUserNamespace(t)
		with := l.clampedNow(t)
		if l.crun {
			t.Run("crun 1.8.1 leaves out nosuid and nodev of what it binds", func(t *testing.T) { l.loosened(t, with, "mounts", func(*specs.Spec) {}) })
			l.ask(t, func(s *specs.Spec) {
				s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { return m.Type == "bind" })
			})
			with = l.clampedNow(t)
		}
		hostsRoot := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 10001}, {ContainerID: 10001, HostID: 0, Size: 1}}
		for _, tt := range []struct {
			name, fact string // without a fact it is started
			change     func(*specs.Spec)
		}{
			{"as told", "", func(*specs.Spec) {}},
			{"root", "uid", func(s *specs.Spec) { s.Process.User.UID = 0 }},
			{"the host's root", "mappings", func(s *specs.Spec) { s.Linux.UIDMappings = hostsRoot }},
			{"the host's group", "mappings", func(s *specs.Spec) { s.Linux.GIDMappings = hostsRoot }},
			{"the host's user namespace", "namespaces", withoutUsers},
		} {
			t.Run(tt.name, func(t *testing.T) { l.loosened(t, with, tt.fact, tt.change) })
		}
		l.ask(t, withoutUsers)
		t.Run("one that was not asked for", func(t *testing.T) {
			l.loosened(t, l.clampedNow(t), "uid", func(s *specs.Spec) {
				withUsers(s)
				s.Linux.UIDMappings = hostsRoot
			})
		})
	})
}

// loosened has a container whose delegate changes the configuration, and a start that finds out, or finds nothing.
func (l *lab) loosened(t *testing.T, clamped []byte, fact string, change func(*specs.Spec)) {
	t.Helper()
	l.create(t, changed(t, clamped, change))
	defer l.remove(t)
	err := l.runclamp.Call(nil, "start", id)
	line := l.audited(t)
	if fact == "" {
		if err != nil || line.Proof != l.passed() || len(l.known(line.Findings)) > 0 {
			t.Errorf("start says %v, the audit log %+v", err, line)
		}
		return
	}
	found := slices.ContainsFunc(line.Findings, func(f finding) bool { return f.Detail == fact && f.Action == "reject" })
	if !found || err == nil || !strings.Contains(err.Error(), "runclamp: refused: proof:") {
		t.Errorf("start says %v, the audit log %+v", err, line)
	}
}
