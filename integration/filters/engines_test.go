package filters

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
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
		text, err := os.ReadFile(filepath.Join(cmp.Or(built(), "../../enforce/seccomp/testdata"), name))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	all := map[string]*specs.LinuxSeccomp{"strict": seccomp.Strict()}
	for _, name := range []string{"containerd", "containerd-2.4", "moby-2"} {
		p := new(specs.LinuxSeccomp)
		if err := json.Unmarshal(read(name+".json"), p); err != nil {
			t.Fatal(err)
		}
		if own := seccomp.Native(); own != specs.ArchX86_64 {
			p.Architectures = append([]specs.Arch{own}, seccomp.Family()...) // they were recorded on x86-64
		}
		all[name] = p
	}
	for name, caps := range map[string][]string{
		"none": nil, "admin": {"CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_MODULE", "CAP_BPF"}, "audit": {"CAP_AUDIT_WRITE", "CAP_SYS_CHROOT", "CAP_SYS_NICE"},
	} {
		spec := &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: caps}}}
		docker, err := moby.GetDefaultProfile(spec)
		if err != nil {
			t.Fatal(err)
		}
		all["docker "+name] = docker
		for _, file := range []string{"podman", "podman-0.69"} {
			if all[file+" "+name], err = moby.LoadProfile(string(read(file+".json")), spec); err != nil {
				t.Fatal(err)
			}
		}
	}
	return all
}
