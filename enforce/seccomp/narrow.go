// Package seccomp makes seccomp profiles stricter. It is pure.
//
// The meaning of a profile is that of runc and libseccomp: the rules for one system call are a union, the conditions of
// one rule all have to hold, and what no rule names gets the default action.
package seccomp

import (
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Narrowed is the outcome of Narrow.
type Narrowed struct {
	// Profile is at least as strict as both inputs. Its default action, flags and errno are the first one's.
	Profile *specs.LinuxSeccomp
	// Removed are the system calls that the first profile let through and the bound does not.
	Removed []string
	// Limited are those that are now let through under the bound's conditions only.
	Limited []string
	// Dropped are those that both let through under conditions which could not be brought together: denied altogether.
	Dropped []string
	// Architectures are the foreign ones that were taken out.
	Architectures []specs.Arch
}

// Changed says whether the profile is another than the one that came in.
func (n Narrowed) Changed() bool {
	return len(n.Removed)+len(n.Limited)+len(n.Dropped)+len(n.Architectures) > 0
}

// Narrow takes out of profile p whatever bound does not let through. What p denies stays denied, with p's own errno.
//
// p must deny by default: Check says so. bound is a trusted profile for the native architecture, made by Default.
func Narrow(p, bound *specs.LinuxSeccomp) (Narrowed, error) {
	if problem := Check(p); problem != nil {
		return Narrowed{}, fmt.Errorf("not a profile that can be narrowed: %s", problem.Found)
	}
	var n Narrowed
	ours, theirs := rulesByName(p), rulesByName(bound)

	verdicts := map[string]verdict{}
	judge := func(name string) verdict {
		v, ok := verdicts[name]
		if !ok {
			v = compare(ours[name], theirs[name])
			verdicts[name] = v
			switch v {
			case remove:
				n.Removed = append(n.Removed, name)
			case limit:
				n.Limited = append(n.Limited, name)
			case drop:
				n.Dropped = append(n.Dropped, name)
			}
		}
		return v
	}

	out := *p
	out.Syscalls = nil
	for _, s := range p.Syscalls {
		if executes(s.Action) {
			kept := []string{}
			for _, name := range s.Names {
				if judge(name) == keep {
					kept = append(kept, name)
				}
			}
			if len(kept) == 0 {
				continue
			}
			s.Names = kept
		}
		out.Syscalls = append(out.Syscalls, s)
	}
	for _, name := range n.Limited {
		// The bound's conditions with our own action: one that logs or asks a tracer goes on doing so.
		ours := ours[name][0]
		for _, r := range theirs[name] {
			out.Syscalls = append(out.Syscalls, specs.LinuxSyscall{Names: []string{name}, Action: ours.action, ErrnoRet: ours.errno, Args: r.args})
		}
	}
	// The bound may deny with an errno of its own that programs depend on: glibc falls back to clone(2) only if clone3(2)
	// says ENOSYS.
	for _, name := range n.Removed {
		for _, r := range theirs[name] {
			if !executes(r.action) && !slices.ContainsFunc(ours[name], func(o rule) bool { return !executes(o.action) }) {
				out.Syscalls = append(out.Syscalls, specs.LinuxSyscall{Names: []string{name}, Action: r.action, ErrnoRet: r.errno, Args: r.args})
			}
		}
	}

	if native := bound.Architectures; len(native) == 1 && len(p.Architectures) > 0 && !slices.Equal(p.Architectures, native) {
		for _, a := range p.Architectures {
			if a != native[0] {
				n.Architectures = append(n.Architectures, a)
			}
		}
		// runc's libseccomp filters always have the native architecture, named or not.
		out.Architectures = slices.Clone(native)
	}
	n.Profile = &out
	return n, nil
}

// rule is one rule for one system call.
type rule struct {
	action specs.LinuxSeccompAction
	errno  *uint
	args   []specs.LinuxSeccompArg
}

// rulesByName has the rules of every system call. A rule whose action is the default one is left out: runc drops it
// (libcontainer/seccomp, matchCall), so it has no meaning.
func rulesByName(p *specs.LinuxSeccomp) map[string][]rule {
	m := map[string][]rule{}
	for _, s := range p.Syscalls {
		if s.Action == p.DefaultAction && sameErrno(s.ErrnoRet, p.DefaultErrnoRet) {
			continue
		}
		for _, name := range s.Names {
			m[name] = append(m[name], rule{s.Action, s.ErrnoRet, s.Args})
		}
	}
	return m
}

// sameErrno: none is EPERM to runc.
func sameErrno(a, b *uint) bool {
	errno := func(e *uint) uint {
		if e == nil {
			return uint(unix.EPERM)
		}
		return *e
	}
	return errno(a) == errno(b)
}

// executes: the system call is carried out, or may be (by a tracer or a notify agent), under this action. An action that
// is not known is taken for one that does.
func executes(a specs.LinuxSeccompAction) bool {
	switch a {
	case specs.ActKill, specs.ActKillProcess, specs.ActKillThread, specs.ActTrap, specs.ActErrno:
		return false
	}
	return true
}

type verdict int

const (
	keep   verdict = iota // our rules, as they are
	limit                 // the bound's rules in their place
	remove                // the bound does not let it through
	drop                  // both do, and what both let through can't be said
)

// compare decides what becomes of the rules by which a profile lets one system call through, held against the bound's.
func compare(ours, bound []rule) verdict {
	boundAllows, boundDenies := split(bound)
	if len(boundAllows) == 0 {
		return remove
	}
	if len(boundDenies) > 0 {
		return drop // a bound that both allows and denies is none of ours; libseccomp's order of such rules is not defined
	}
	if slices.ContainsFunc(boundAllows, unconditional) {
		return keep
	}
	allows, denies := split(ours)
	if sameConditions(allows, boundAllows) {
		return keep
	}
	if len(denies) > 0 || slices.ContainsFunc(allows, func(r rule) bool { return r.action != allows[0].action }) {
		return drop // the bound's conditions can't take the place of rules with more than one action
	}
	if slices.ContainsFunc(allows, unconditional) {
		return limit
	}
	a, aok := valuesOf(allows)
	b, bok := valuesOf(boundAllows)
	switch {
	case !aok || !bok || a.index != b.index:
		return drop
	case b.values.contains(a.values):
		return keep
	case a.values.contains(b.values):
		return limit
	default:
		return drop
	}
}

func split(rules []rule) (allows, denies []rule) {
	for _, r := range rules {
		if executes(r.action) {
			allows = append(allows, r)
		} else {
			denies = append(denies, r)
		}
	}
	return allows, denies
}

func unconditional(r rule) bool { return len(r.args) == 0 }

// sameConditions: every rule of a has a rule in b with the very same conditions.
func sameConditions(a, b []rule) bool {
	for _, r := range a {
		if !slices.ContainsFunc(b, func(o rule) bool { return slices.Equal(r.args, o.args) }) {
			return false
		}
	}
	return true
}
