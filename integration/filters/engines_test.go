package filters

import (
	"encoding/json"
	"os"
	"testing"

	"runclamp/enforce/seccomp"

	moby "github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// engines are the default profiles of engines (enforce/seccomp/testdata says where they come from) for several sets of capabilities, and
// those that runclamp ships.
func engines(t *testing.T) map[string]*specs.LinuxSeccomp {
	t.Helper()
	read := func(name string) []byte {
		text, err := os.ReadFile("../../enforce/seccomp/testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	containerd := new(specs.LinuxSeccomp)
	if err := json.Unmarshal(read("containerd.json"), containerd); err != nil {
		t.Fatal(err)
	}
	all := map[string]*specs.LinuxSeccomp{"containerd": containerd, "strict": seccomp.Strict()}
	for name, caps := range map[string][]string{
		"none": nil, "admin": {"CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_MODULE", "CAP_BPF"}, "audit": {"CAP_AUDIT_WRITE", "CAP_SYS_CHROOT", "CAP_SYS_NICE"},
	} {
		spec := &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: caps}}}
		docker, err := moby.GetDefaultProfile(spec)
		if err != nil {
			t.Fatal(err)
		}
		podman, err := moby.LoadProfile(string(read("podman.json")), spec)
		if err != nil {
			t.Fatal(err)
		}
		all["docker "+name], all["podman "+name] = docker, podman
	}
	return all
}
