package proof

import (
	"fmt"
	"path/filepath"
	"strconv"

	"runclamp/enforce/seccomp/syscalls"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Filters asks the kernel for the seccomp filters of a process, the oldest first. That takes root; the process stops for a moment.
func Filters(h Host, p Process) ([]Program, error) {
	r := &reader{host: h, dir: filepath.Join(h.Proc, strconv.Itoa(p.PID))}
	if err := r.same(p); err != nil {
		return nil, err
	}
	programs, err := h.Programs(p.PID)
	if err != nil {
		return nil, err
	}
	return programs, r.same(p) // it was still this one
}

// Answer is what filters make of a system call, whatever its arguments are.
type Answer int

const (
	// Denied: no arguments let it through.
	Denied Answer = iota
	// Depends on the arguments.
	Depends
	// Allowed: all arguments do.
	Allowed
)

// Answers runs the filters for every system call that an architecture is known to have, and hands over the answers by the order of the
// calls' names. An architecture without a table has none.
func Answers(programs []Program, arch specs.Arch, yield func(name string, a Answer)) error {
	audit, ok := auditArch(arch)
	if !ok {
		return fmt.Errorf("no table of the system calls of %s", arch)
	}
	left := maxWork
	for name, numbers := range syscalls.All() {
		number, ok := numbers.On(arch)
		if !ok {
			continue
		}
		a, err := answer(programs, newCall(audit, number), &left)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		yield(name, a)
	}
	return nil
}

// answer asks every program: the strictest counts (seccomp(2)).
func answer(programs []Program, c call, left *int) (Answer, error) {
	strictest := Allowed
	for _, p := range programs {
		let, deny := false, false
		err := p.run(&c, left, func(r word) bool {
			if executes(r) {
				let = true
			} else {
				deny = true
			}
			return !let || !deny
		}, nil)
		switch {
		case err != nil:
			return Denied, err
		case !let:
			return Denied, nil
		case deny:
			strictest = Depends
		}
	}
	return strictest, nil
}

// auditArch is what the kernel calls an architecture (linux/audit.h). x32 is that of x86-64, with a bit in the number.
func auditArch(a specs.Arch) (uint32, bool) {
	switch a {
	case specs.ArchX86_64, specs.ArchX32:
		return unix.AUDIT_ARCH_X86_64, true
	case specs.ArchX86:
		return unix.AUDIT_ARCH_I386, true
	case specs.ArchAARCH64:
		return unix.AUDIT_ARCH_AARCH64, true
	case specs.ArchARM:
		return unix.AUDIT_ARCH_ARM, true
	}
	return 0, false
}

// Beyond tells what filters let through and a profile denies, in a few words each: the machine's own architecture and those that the
// profile names, call by call; of the others, that they are not shut.
func Beyond(programs []Program, p *specs.LinuxSeccomp) ([]string, error) { return looser(p, programs) }
