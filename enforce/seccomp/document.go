package seccomp

import (
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Document is a profile as people write it: what depends on the machine and on the container's capabilities is still in it.
// It is a profile of the OCI runtime specification (linux.seccomp), or of Docker and Podman, which add to that archMap and rules
// with includes and excludes.
type Document struct {
	DefaultAction    specs.LinuxSeccompAction
	DefaultErrnoRet  *uint
	Flags            []specs.LinuxSeccompFlag
	ListenerPath     string
	ListenerMetadata string
	// Architectures are as linux.seccomp has them, ArchMap are those that each machine adds. A document has one of the two.
	Architectures []specs.Arch
	ArchMap       []ArchMap
	Rules         []Rule
}

// ArchMap is what a machine of one architecture adds to it.
type ArchMap struct {
	Architecture     specs.Arch
	SubArchitectures []specs.Arch
}

// Rule is one entry of syscalls.
type Rule struct {
	specs.LinuxSyscall
	Comment string
	// Includes has to hold for the rule to be in the profile; Excludes must not.
	Includes, Excludes Condition
	// Line and Column are where it begins. 0: it was not read from a text.
	Line, Column int
}

// Condition is about the machine and the container. Empty, it has nothing to say.
type Condition struct {
	// Caps are names like CAP_SYS_ADMIN, held against the bounding set.
	Caps []string
	// Arches are names of the machine's architecture in libseccomp's words: amd64, arm64, x86.
	Arches []string
	// MinKernel is the oldest kernel. The zero value is any.
	MinKernel Kernel
}

// Kernel is a kernel's version as far as profiles look at it: VERSION and PATCHLEVEL of its Makefile, 6 and 12 of 6.12.3.
type Kernel struct{ Version, Patchlevel int }

// ParseKernel reads what uname(2) gives as the release: 6.12.3-amd64.
func ParseKernel(release string) (Kernel, error) {
	var k Kernel
	if _, err := fmt.Sscanf(release, "%d.%d", &k.Version, &k.Patchlevel); err != nil {
		return Kernel{}, fmt.Errorf("the kernel's release %q does not begin with two numbers: %w", release, err)
	}
	return k, nil
}

func (k Kernel) String() string { return fmt.Sprintf("%d.%d", k.Version, k.Patchlevel) }

func (k Kernel) atLeast(least Kernel) bool {
	return k.Version > least.Version || k.Version == least.Version && k.Patchlevel >= least.Patchlevel
}

// DocumentOf is a profile in which nothing depends on anything.
func DocumentOf(p *specs.LinuxSeccomp) *Document {
	d := &Document{
		DefaultAction: p.DefaultAction, DefaultErrnoRet: p.DefaultErrnoRet, Flags: p.Flags,
		ListenerPath: p.ListenerPath, ListenerMetadata: p.ListenerMetadata, Architectures: p.Architectures,
	}
	for _, s := range p.Syscalls {
		d.Rules = append(d.Rules, Rule{LinuxSyscall: s})
	}
	return d
}

// Profile is what the document says for a container with a bounding set, on a machine of an architecture with a kernel. It is what
// Docker makes of it (moby/profiles, seccomp.setupSeccomp).
func (d *Document) Profile(bounding []string, arch specs.Arch, kernel Kernel) *specs.LinuxSeccomp {
	p := &specs.LinuxSeccomp{
		DefaultAction: d.DefaultAction, DefaultErrnoRet: d.DefaultErrnoRet, Flags: d.Flags,
		ListenerPath: d.ListenerPath, ListenerMetadata: d.ListenerMetadata, Architectures: d.architectures(arch),
	}
	name := archName(arch)
	for _, r := range d.Rules {
		if r.applies(bounding, name, kernel) {
			p.Syscalls = append(p.Syscalls, r.LinuxSyscall)
		}
	}
	return p
}

func (d *Document) architectures(arch specs.Arch) []specs.Arch {
	for _, m := range d.ArchMap {
		if m.Architecture == arch {
			return append([]specs.Arch{m.Architecture}, m.SubArchitectures...)
		}
	}
	return d.Architectures
}

// applies: arch is the machine's in libseccomp's words.
func (r Rule) applies(bounding []string, arch string, kernel Kernel) bool {
	has := func(c string) bool { return slices.Contains(bounding, c) }
	lacks := func(c string) bool { return !has(c) }
	in, ex := r.Includes, r.Excludes
	switch {
	case slices.Contains(ex.Arches, arch), slices.ContainsFunc(ex.Caps, has), ex.MinKernel != Kernel{} && kernel.atLeast(ex.MinKernel):
		return false
	case len(in.Arches) > 0 && !slices.Contains(in.Arches, arch), slices.ContainsFunc(in.Caps, lacks), !kernel.atLeast(in.MinKernel):
		return false
	}
	return true
}

// archNames are libseccomp's names of architectures (seccomp_arch_resolve_name(3)), which includes and excludes use, and those
// that linux.seccomp has for them.
func archNames() map[string]specs.Arch {
	return map[string]specs.Arch{
		"x86": specs.ArchX86, "amd64": specs.ArchX86_64, "x32": specs.ArchX32, "arm": specs.ArchARM, "arm64": specs.ArchAARCH64,
		"mips": specs.ArchMIPS, "mips64": specs.ArchMIPS64, "mips64n32": specs.ArchMIPS64N32, "mipsel": specs.ArchMIPSEL,
		"mipsel64": specs.ArchMIPSEL64, "mipsel64n32": specs.ArchMIPSEL64N32, "ppc": specs.ArchPPC, "ppc64": specs.ArchPPC64,
		"ppc64le": specs.ArchPPC64LE, "s390": specs.ArchS390, "s390x": specs.ArchS390X, "parisc": specs.ArchPARISC,
		"parisc64": specs.ArchPARISC64, "riscv64": specs.ArchRISCV64, "loongarch64": specs.ArchLOONGARCH64, "m68k": specs.ArchM68K,
		"sh": specs.ArchSH, "sheb": specs.ArchSHEB,
	}
}

// archName is an architecture in libseccomp's words; "" if it has none.
func archName(arch specs.Arch) string {
	for name, a := range archNames() {
		if a == arch {
			return name
		}
	}
	return ""
}
