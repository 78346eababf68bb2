package seccomp

import (
	"slices"

	"runclamp/enforce/seccomp/syscalls"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// libseccomp sorts the system calls of an architecture: those with the fewest conditions come first, and of these the one with the lowest
// number. The code for the first one is what loads the number that all are compared with. Calls that the architecture does not have are
// in the order, too, and are then left out; if one of them was the first, nothing loads the number, and every call gets the default action
// (2.5.4; src/gen_bpf.c, _gen_bpf_syscalls and _skip_syscall). A tree loads the number in any case, but runc 1.1 has none built, and
// later ones only for more than 32 rules.
//
// x86-64 by itself is safe: the number is loaded before, to keep x32 out. With x32 both are in one order, x86-64 before x32. 32-bit x86 leaves
// out before it sorts, but not calls that it has by a multiplexer only.

// void is a system call that no kernel carries out since 3.1, and that libseccomp knows on all architectures but x32.
const void = "nfsservctl"

// Numbered is p with a rule that has the filter look at the system call's number: void is denied, with ENOSYS as by the kernel itself. added is
// false where p needs none. One that denies by default does not: what comes of it without one lets nothing through.
func Numbered(p *specs.LinuxSeccomp) (_ *specs.LinuxSeccomp, added bool) {
	if !executes(p.DefaultAction) {
		return p, false
	}
	s := rulesOf(p, false)
	if !s.numberless(covered(p)) {
		return p, false
	}
	c := named(void)
	r := voided(s.rules(&c))
	out := *p
	out.Syscalls = append([]specs.LinuxSyscall{{Names: []string{void}, Action: r.action, ErrnoRet: r.errno}}, p.Syscalls...) // the first without conditions counts
	return &out, true
}

// numberless: a filter that lets through by default may not look at the number on one of the architectures.
func (s *ruleset) numberless(archs []specs.Arch) bool {
	return lets(s.fallback) && slices.ContainsFunc(archs, func(a specs.Arch) bool { return !loads(a, archs, s.calls) })
}

// voided is the denial of void, no less strict than the rules that it has.
func voided(rules []rule) rule {
	number := uint(unix.ENOSYS)
	denial := rule{action: specs.ActErrno, errno: &number}
	for _, r := range rules {
		if strictness(r.action) > strictness(denial.action) {
			denial = rule{action: r.action}
		}
	}
	return denial
}

// loads: the filter that libseccomp builds for calls and architectures loads the number on one of them. That is certain if one call that is
// there has no conditions, or if all are there. Sometimes it is so without that.
func loads(a specs.Arch, archs []specs.Arch, calls []call) bool {
	list := []specs.Arch{a}
	if a == specs.ArchX86_64 || a == specs.ArchX32 {
		if !slices.Contains(archs, specs.ArchX32) {
			return true
		}
		list = []specs.Arch{specs.ArchX86_64, specs.ArchX32}
	}
	missing := false
	for i := range calls {
		c := &calls[i]
		if unconditional(c.rules[0]) && c.ofOld(list[0]) {
			return true
		}
		missing = missing || slices.ContainsFunc(list, func(a specs.Arch) bool { return !c.ofOld(a) })
	}
	return !missing
}

// ofOld: an architecture has the system call, and libseccomp has known that since 2.5.0, the first that leaves any out. Where there is no
// table, that is said of read(2) only, which all profiles for programs let through, and of void.
func (c *call) ofOld(a specs.Arch) bool {
	if !syscalls.Tabled(a) {
		return c.name == "read" || c.name == void
	}
	if !c.known {
		return false
	}
	const newer = 439 // faccessat2(2); since 5.1 new calls have the same number everywhere
	number, ok := c.row.Numbers().On(a)
	number &^= syscalls.X32Bit
	switch {
	case !ok:
		return false
	case a == specs.ArchX86_64 || a == specs.ArchX32:
		// Those behind rseq(2) were left out up to 5.1, and some are taken now. From 512 on are x32's own.
		return number <= 334 || number >= 424 && number < newer || a == specs.ArchX32 && number >= 512
	}
	return number < newer
}
