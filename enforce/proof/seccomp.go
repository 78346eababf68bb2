package proof

import (
	"fmt"
	"math"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// What a profile means is worked out here once more, from the specification and from what runc makes of it (libcontainer/seccomp),
// and not with the code that made the profile: a mistake in that would go unseen.

// condition is one on an argument of a system call.
type condition = specs.LinuxSeccompArg

// rule lets a system call through or denies it where all of its conditions hold.
type rule struct {
	executes   bool
	conditions []condition
}

// meaning is what a profile says of the native architecture's system calls, by their numbers.
type meaning struct {
	executes bool // the default
	rules    [][]rule
	// strange: it lets something through that has no number here. It may be a system call that came later.
	strange bool
}

func meaningOf(p *specs.LinuxSeccomp) meaning {
	m := meaning{executes: lets(p.DefaultAction), rules: make([][]rule, len(nativeCalls))}
	numbers := make(map[string]int, len(nativeCalls))
	for n, name := range nativeCalls {
		if name != "" {
			numbers[name] = n
		}
	}
	for _, s := range p.Syscalls {
		if s.Action == p.DefaultAction && m.executes {
			continue // runc drops what is the default anyway
		}
		var all []rule
		for _, conditions := range alternatives(s.Args) {
			all = append(all, rule{lets(s.Action), conditions})
		}
		for _, name := range s.Names {
			n, ok := numbers[name]
			switch {
			case !ok:
				m.strange = m.strange || lets(s.Action)
			case m.rules[n] == nil:
				m.rules[n] = slices.Clip(all) // whoever appends gets a list of its own
			default:
				m.rules[n] = append(m.rules[n], all...)
			}
		}
	}
	return m
}

// alternatives are the conditions of an entry, each of which is enough. Two on the same argument make every condition of the
// entry stand for itself (runc, matchCall: "Revert to old behavior").
func alternatives(args []condition) [][]condition {
	for i, a := range args {
		if slices.ContainsFunc(args[:i], func(b condition) bool { return a.Index == b.Index }) {
			var each [][]condition
			for _, a := range args {
				each = append(each, []condition{a})
			}
			return each
		}
	}
	return [][]condition{args}
}

func lets(a specs.LinuxSeccompAction) bool {
	switch a {
	case specs.ActErrno, specs.ActKill, specs.ActKillProcess, specs.ActKillThread, specs.ActTrap:
		return false
	}
	return true
}

func (c arguments) hold(a condition) bool {
	v := c[a.Index]
	switch a.Op {
	case specs.OpEqualTo:
		return v == a.Value
	case specs.OpNotEqual:
		return v != a.Value
	case specs.OpLessThan:
		return v < a.Value
	case specs.OpLessEqual:
		return v <= a.Value
	case specs.OpGreaterThan:
		return v > a.Value
	case specs.OpGreaterEqual:
		return v >= a.Value
	case specs.OpMaskedEqual:
		return v&a.Value == a.ValueTwo
	}
	return true // runc refuses what it does not know
}

// arguments are the six arguments of a call.
type arguments [6]uint64

// denied: no rule lets the call through, and one denies it, or the default does. Which rule wins where both are there is not
// defined, so that is not denied.
func denied(rules []rule, executes bool, args arguments) bool {
	denies := !executes
	for _, r := range rules {
		if slices.ContainsFunc(r.conditions, func(a condition) bool { return !args.hold(a) }) {
			continue
		}
		if r.executes {
			return false
		}
		denies = true
	}
	return denies
}

const (
	// beyond is how many numbers behind the last known system call are tried. The kernel knows none of them, yet.
	beyond = 64
	// maxPoints is the most that one system call is tried with.
	maxPoints = 4096
	// x32Bit marks a number of the x32 ABI (__X32_SYSCALL_BIT).
	x32Bit = 1 << 30
)

// looser tells what the programs let through and the profile denies, in a few words each. Of a system call without conditions every
// possible argument is followed; with conditions, it is called with what lies at and next to their constants and the programs'. Foreign
// architectures must be shut unless the profile names them; if it does, they are not looked into.
func looser(p *specs.LinuxSeccomp, programs []Program) ([]string, error) {
	m := meaningOf(p)
	var found []string
	try := func(c call, say func() string) error {
		let, err := letThrough(programs, c)
		if err != nil {
			return fmt.Errorf("%s: %w", say(), err)
		}
		if let {
			found = append(found, say())
		}
		return nil
	}
	for n := range len(nativeCalls) + beyond {
		var rules []rule
		if n < len(m.rules) {
			rules = m.rules[n]
		}
		if m.strange && len(rules) == 0 && nameOf(n) == "" {
			continue
		}
		c := newCall(nativeArch, uint32(n))
		if !slices.ContainsFunc(rules, func(r rule) bool { return len(r.conditions) > 0 }) {
			if denied(rules, m.executes, arguments{}) {
				if err := try(c, func() string { return describe(n) }); err != nil {
					return nil, err
				}
			}
			continue
		}
		compared, err := constants(programs, c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", describe(n), err)
		}
		indices, points := pointsOf(rules, compared)
		before := len(found)
		for args := range points {
			if len(found) > before {
				break
			}
			if !denied(rules, m.executes, args) {
				continue
			}
			c := c
			for _, i := range indices {
				c = c.withArg(i, args[i])
			}
			if err := try(c, func() string { return describe(n) + " with " + describeArgs(indices, args) }); err != nil {
				return nil, err
			}
		}
	}
	return found, shut(p, try, func() bool { return len(found) > 0 })
}

// shut: the architectures that a process can call as besides its own let nothing through. One that does is enough.
func shut(p *specs.LinuxSeccomp, try func(call, func() string) error, found func() bool) error {
	for _, f := range foreign() {
		if slices.Contains(p.Architectures, f.named) {
			continue
		}
		for n := range len(nativeCalls) + beyond {
			if found() {
				return nil
			}
			if err := try(newCall(f.arch, uint32(n)|f.bit), func() string { return fmt.Sprintf("%s number %d", f.named, n) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// architecture is one that a process can call as besides the native one.
type architecture struct {
	named specs.Arch
	arch  uint32
	bit   uint32
}

func nameOf(n int) string {
	if n < len(nativeCalls) {
		return nativeCalls[n]
	}
	return ""
}

func describe(n int) string {
	if name := nameOf(n); name != "" {
		return name
	}
	return fmt.Sprintf("number %d", n)
}

func describeArgs(indices []int, args arguments) string {
	var parts []string
	for _, i := range indices {
		parts = append(parts, fmt.Sprintf("argument %d = %#x", i, args[i]))
	}
	return strings.Join(parts, ", ")
}

// pointsOf has the arguments that the rules look at, and calls that lie at and next to all constants, the rules' and those that
// the programs compare with: every combination, if they are not too many, or else one argument at a time.
func pointsOf(rules []rule, compared []uint32) (indices []int, points func(yield func(arguments) bool)) {
	var values [6][]uint64
	for _, r := range rules {
		for _, c := range r.conditions {
			if len(values[c.Index]) == 0 {
				indices = append(indices, int(c.Index))
				values[c.Index] = []uint64{0, math.MaxUint32, math.MaxUint64}
				for _, k := range compared {
					// Of a low word or a high one.
					k := uint64(k)
					values[c.Index] = append(values[c.Index], k-1, k, k+1, k<<32)
				}
			}
			values[c.Index] = append(values[c.Index], around(c)...)
		}
	}
	slices.Sort(indices)
	product := 1
	for _, i := range indices {
		slices.Sort(values[i])
		values[i] = slices.Compact(values[i])
		product = min(product*len(values[i]), maxPoints+1)
	}
	return indices, func(yield func(arguments) bool) {
		if product > maxPoints {
			oneByOne(indices, values, yield)
			return
		}
		var args arguments
		var combine func(k int) bool
		combine = func(k int) bool {
			if k == len(indices) {
				return yield(args)
			}
			for _, v := range values[indices[k]] {
				args[indices[k]] = v
				if !combine(k + 1) {
					return false
				}
			}
			return true
		}
		combine(0)
	}
}

func oneByOne(indices []int, values [6][]uint64, yield func(arguments) bool) {
	for _, i := range indices {
		var args arguments
		for _, v := range values[i] {
			args[i] = v
			if !yield(args) {
				return
			}
		}
	}
}

func around(c condition) []uint64 {
	if c.Op != specs.OpMaskedEqual {
		return []uint64{c.Value - 1, c.Value, c.Value + 1}
	}
	v := []uint64{c.ValueTwo, c.ValueTwo | ^c.Value}
	for bit := uint64(1); bit != 0; bit <<= 1 {
		if c.Value&bit != 0 {
			v = append(v, c.ValueTwo^bit)
		}
	}
	return v
}
