package seccomp

import (
	"slices"

	"runclamp/enforce/seccomp/syscalls"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// newest has a rule that names the newest system calls of a profile, for what a filter of calls would name no more. It is the default
// action's, which runc drops; but before that it looks for the newest call that a profile names, and answers ENOSYS for all that are newer
// (libcontainer/seccomp/patchbpf, findLastSyscalls). Where the default is a signal or the end of the process, a profile that named fewer of
// the newest calls would be the looser one. There is none where the default is an error anyway.
//
// A call that is in no table may be the newest of all.
func newest(of *specs.LinuxSeccomp, archs []specs.Arch, calls []call) []specs.LinuxSyscall {
	if strictness(of.DefaultAction) <= strictness(specs.ActErrno) {
		return nil
	}
	var named []call // by of, once each
	seen := map[string]bool{}
	for _, s := range of.Syscalls {
		var row syscalls.Row
		for _, name := range s.Names {
			c := namedNear(name, row)
			row = c.row
			if !seen[name] {
				seen[name] = true
				named = append(named, c)
			}
		}
	}
	wanted := map[string]bool{}
	for _, arch := range archs {
		before, kept := last(arch, named), last(arch, calls)
		if before.number > kept.number {
			wanted[before.name] = true
		}
	}
	e := specs.LinuxSyscall{Action: of.DefaultAction}
	for _, c := range named {
		later := !c.known && !slices.ContainsFunc(calls, func(k call) bool { return k.name == c.name })
		if later || wanted[c.name] {
			e.Names = append(e.Names, c.name)
		}
	}
	if len(e.Names) == 0 {
		return nil
	}
	return []specs.LinuxSyscall{e}
}

type numbered struct {
	name   string
	number int64 // -1 if there is none
}

// last is the newest of the calls that an architecture's table has.
func last(a specs.Arch, calls []call) numbered {
	found := numbered{number: -1}
	for _, c := range calls {
		if !c.known {
			continue
		}
		if n, ok := c.row.Numbers().On(a); ok && int64(n) > found.number {
			found = numbered{c.name, int64(n)}
		}
	}
	return found
}
