package filters

import (
	"slices"

	"runclamp/enforce/seccomp"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// What a profile means at one point is worked out here by the book, from the runtime specification and from what runc makes of it,
// and not with the algebra: that is what is to be tested.

// rule is one that libseccomp is given.
type rule struct {
	returns    uint32
	conditions []specs.LinuxSeccompArg
}

// meaning is a profile on one architecture: the rules of each system call, by its number.
type meaning struct {
	byDefault uint32
	rules     map[uint32][]rule
}

// meaningOf is false if the profile does not have the architecture. The machine's own is always there.
func meaningOf(p *specs.LinuxSeccomp, a arch) (meaning, bool) {
	m := meaning{byDefault: returned(p.DefaultAction, p.DefaultErrnoRet), rules: make(map[uint32][]rule)}
	for _, s := range p.Syscalls {
		returns := returned(s.Action, s.ErrnoRet)
		if returns == m.byDefault {
			continue // runc, matchCall: "This rule is redundant, silently skip it"
		}
		for _, name := range s.Names {
			number, ok := a.calls[name]
			if !ok {
				continue // "unknown seccomp syscall ignored"
			}
			for _, conditions := range alternatives(s.Args) {
				m.rules[number] = append(m.rules[number], rule{returns, conditions})
			}
		}
	}
	return m, a.named == seccomp.Native() || slices.Contains(p.Architectures, a.named)
}

// alternatives are the conditions of an entry, of which each is enough. Two on the same argument make all of the entry's stand for
// themselves (runc, matchCall: "Revert to old behavior").
func alternatives(args []specs.LinuxSeccompArg) [][]specs.LinuxSeccompArg {
	seen := make(map[uint]bool)
	for _, a := range args {
		if seen[a.Index] {
			return slices.Collect(slices.Chunk(args, 1))
		}
		seen[a.Index] = true
	}
	return [][]specs.LinuxSeccompArg{args}
}

func holds(c specs.LinuxSeccompArg, args [6]uint64) bool {
	v := args[c.Index]
	switch c.Op {
	case specs.OpEqualTo:
		return v == c.Value
	case specs.OpNotEqual:
		return v != c.Value
	case specs.OpLessThan:
		return v < c.Value
	case specs.OpLessEqual:
		return v <= c.Value
	case specs.OpGreaterThan:
		return v > c.Value
	case specs.OpGreaterEqual:
		return v >= c.Value
	case specs.OpMaskedEqual:
		return v&c.Value == c.ValueTwo
	}
	panic("no profile of these tests has the operator " + string(c.Op))
}

func (r rule) holds(args [6]uint64) bool {
	return !slices.ContainsFunc(r.conditions, func(c specs.LinuxSeccompArg) bool { return !holds(c, args) })
}

// at is what the profile can mean by a call: the default, or what the rules that hold say. They may not agree, and no order between
// them is defined.
func (m meaning) at(c *call) []uint32 {
	var all []uint32
	for _, r := range m.rules[c.nr] {
		if r.holds(c.args) && !slices.Contains(all, r.returns) {
			all = append(all, r.returns)
		}
	}
	if all == nil {
		return []uint32{m.byDefault}
	}
	return all
}

// foreign is what a filter returns for an architecture that it does not have (libseccomp, SCMP_FLTATR_ACT_BADARCH).
const foreign = unix.SECCOMP_RET_KILL_THREAD
