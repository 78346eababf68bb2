//go:build !guest

// In the guest everything is on a tmpfs, of which its kernel maps no IDs.

package proof

import (
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestIDMappedMount: files that belong to others in the container are in nobody's way.
func TestIDMappedMount(t *testing.T) {
	forEachRunc(t, func(t *testing.T, l *lab) {
		mapped := filepath.Join(l.dir, "mapped")
		mkdir(t, mapped)
		mkdir(t, l.bundle, "rootfs", "home", "mapped") // the image is not that root's, either
		l.inUserNamespace(t)
		l.ask(t, func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{
				Destination: "/home/mapped", Type: "bind", Source: mapped, Options: []string{"bind", "rprivate", "ro"}, UIDMappings: users(), GIDMappings: users(),
			})
		})
		l.create(t, nil)
		defer l.remove(t)
		err := l.runclamp.Call(nil, "start", id)
		if line := l.audited(t); err != nil || line.Proof != l.passed() || len(l.known(line.Findings)) > 0 {
			t.Errorf("start says %v, the audit log %+v", err, line)
		}
	})
}
