package filters

import (
	"os"
	"testing"

	moby "github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// engines are the default profiles of engines, for several sets of capabilities.
func engines(t *testing.T) map[string]*specs.LinuxSeccomp {
	t.Helper()
	podman, err := os.ReadFile("testdata/podman.json")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]*specs.LinuxSeccomp)
	for name, caps := range map[string][]string{
		"none": nil, "some": {"CAP_CHOWN", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT"}, "admin": {"CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_MODULE", "CAP_BPF"},
		"audit": {"CAP_AUDIT_WRITE", "CAP_SYS_NICE"},
	} {
		spec := &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: caps}}}
		docker, err := moby.GetDefaultProfile(spec)
		if err != nil {
			t.Fatal(err)
		}
		p, err := moby.LoadProfile(string(podman), spec)
		if err != nil {
			t.Fatal(err)
		}
		all["docker "+name], all["podman "+name] = docker, p
	}
	return all
}
