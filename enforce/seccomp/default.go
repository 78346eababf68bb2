package seccomp

import (
	"fmt"

	moby "github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Default is Docker's default profile for a process with the given bounding set, for the native architecture only.
//
// Docker allows more system calls the more capabilities a container has, so the profile must be made for those that it
// has in the end. The other architectures of the machine are left out: a filter for three takes ten times as long to
// build, and the 32-bit socketcall(2) gets round every rule about address families.
func Default(bounding []string) (*specs.LinuxSeccomp, error) {
	p, err := moby.GetDefaultProfile(&specs.Spec{
		Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: bounding}},
	})
	if err != nil {
		return nil, fmt.Errorf("the default seccomp profile of Docker: %w", err)
	}
	if len(p.Architectures) > 1 {
		p.Architectures = p.Architectures[:1] // the native one comes first
	}
	return p, nil
}
