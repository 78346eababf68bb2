package proof

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"runclamp/enforce/seccomp/syscalls"

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

// meaning is what a profile says of one architecture's system calls, by their numbers.
type meaning struct {
	names    []string
	executes bool // the default
	rules    [][]rule
	// strange: it lets something through that has no number here. It may be a system call that came later.
	strange bool
}

// meaningOf leaves the multiplexers of 32-bit x86 out, unless the profile names them: rules for them come with other calls' (libseccomp,
// src/arch-x86.c).
func meaningOf(p *specs.LinuxSeccomp, on architecture) meaning {
	m := meaning{executes: lets(p.DefaultAction), names: namesOn(on)}
	m.rules = make([][]rule, len(m.names))
	for _, s := range p.Syscalls {
		if s.Action == p.DefaultAction && m.executes {
			continue // runc drops what is the default anyway
		}
		var all []rule
		for _, conditions := range alternatives(on.cut(s.Args)) {
			all = append(all, rule{lets(s.Action), conditions})
		}
		var row syscalls.Row
		for _, name := range s.Names {
			var known bool
			if row, known = row.FindNear(name); !known {
				m.strange = m.strange || lets(s.Action)
				continue
			}
			number, ok := row.Numbers().On(on.named)
			number &^= on.bit
			switch {
			case !ok || number >= uint32(len(m.rules)):
			case m.rules[number] == nil:
				m.rules[number] = slices.Clip(all) // whoever appends gets a list of its own
			default:
				m.rules[number] = append(m.rules[number], all...)
			}
		}
	}
	return m
}

// mostCalls is more than any architecture has in its table; what lies far beyond (arm's own calls) is not looked into.
const mostCalls = 1024

// namesOn are the names of an architecture's calls, by number.
func namesOn(on architecture) []string {
	names := make([]string, 0, 512) // room for nearly all of an architecture's
	for name, numbers := range syscalls.All() {
		number, ok := numbers.On(on.named)
		if number &^= on.bit; !ok || number >= mostCalls {
			continue
		}
		for uint32(len(names)) <= number {
			names = append(names, "")
		}
		names[number] = name
	}
	return names
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
	maxPoints = 1 << 13
)

// looser tells what the programs let through and the profile denies, in a few words each. Of a system call without conditions every
// possible argument is followed; with conditions, it is called with what lies at and next to their constants and the programs'. That goes
// for every architecture that the profile names; the others must be shut. The error says what could not be followed, and what is found besides holds.
func looser(p *specs.LinuxSeccomp, programs []Program) ([]string, error) {
	for _, s := range p.Syscalls {
		for _, a := range s.Args {
			if a.Index >= uint(len(arguments{})) {
				// The delegate passes over it if its libseccomp does not know the call, and the table here may.
				return nil, fmt.Errorf("a condition on argument %d of %s", a.Index, strings.Join(s.Names, ", "))
			}
		}
	}
	left := maxWork
	if len(programs) > 1 {
		// Others can only deny more. The oldest come first: those that came later may be the program's own, many, and made to be followed for long.
		for i := range programs {
			found, err := looserThan(p, programs[i:i+1], &left)
			if err == nil && len(found) == 0 {
				return nil, nil
			}
			if err != nil {
				break
			}
		}
	}
	return looserThan(p, programs, &left)
}

func looserThan(p *specs.LinuxSeccomp, programs []Program, left *int) (found []string, err error) {
	for _, on := range append([]architecture{native}, foreign()...) {
		if on != native && !slices.Contains(p.Architectures, on.named) {
			continue
		}
		more, missed := looserOn(p, programs, on, left)
		found, err = append(found, more...), cmp.Or(err, missed)
	}
	if len(found) > 0 {
		return found, err
	}
	for _, f := range foreign() {
		if slices.Contains(p.Architectures, f.named) {
			continue
		}
		open, missed := opening(programs, f, left)
		if open != "" {
			return []string{open}, err
		}
		err = cmp.Or(err, missed)
	}
	return nil, err
}

func looserOn(p *specs.LinuxSeccomp, programs []Program, on architecture, left *int) (found []string, err error) {
	m := meaningOf(p, on)
	for n := range len(m.names) + beyond {
		var rules []rule
		name := ""
		if n < len(m.rules) {
			rules, name = m.rules[n], m.names[n]
		}
		if len(rules) == 0 && (m.strange && name == "" || on.named == specs.ArchX86 && (name == "socketcall" || name == "ipc")) {
			continue
		}
		c := newCall(on.arch, uint32(n)|on.bit)
		conditional := slices.ContainsFunc(rules, func(r rule) bool { return len(r.conditions) > 0 })
		if !conditional && !denied(rules, m.executes, arguments{}) {
			continue
		}
		var with string
		var let bool
		var missed error
		if conditional {
			with, let, missed = letWith(rules, m.executes, programs, c, on, left)
		} else {
			let, missed = letThrough(programs, c, left)
		}
		if missed != nil && err == nil {
			// And on to the others: whoever chooses the profile may have chosen one of which a call takes too long.
			err = fmt.Errorf("%s%s: %w", on.describe(n, name), with, missed)
		}
		if let {
			found = append(found, on.describe(n, name)+with)
		}
	}
	return found, err
}

// letWith finds arguments that the rules deny and the programs let through. with says which.
func letWith(rules []rule, executes bool, programs []Program, c call, on architecture, left *int) (with string, let bool, err error) {
	compared, err := constants(programs, c, left)
	if err != nil {
		return "", false, err
	}
	indices, points := pointsOf(rules, compared)
	for args := range points {
		if on.narrow {
			for i := range args {
				args[i] = uint64(uint32(args[i]))
			}
		}
		if !denied(rules, executes, args) {
			continue
		}
		c := c
		for _, i := range indices {
			c = c.withArg(i, args[i])
		}
		if let, err = letThrough(programs, c, left); let || err != nil {
			return " with " + describeArgs(indices, args), let, err
		}
	}
	return "", false, nil
}

// opening is a call of an architecture that the programs let through. None: they are shut for it.
func opening(programs []Program, on architecture, left *int) (string, error) {
	if on.bit == 0 {
		// Of all numbers at once. Programs look at the architecture first, and most are done then.
		c := newCall(on.arch, 0)
		c[0] = word{}
		if let, err := letThrough(programs, c, left); err == nil && !let {
			return "", nil
		}
	}
	for n := range mostCalls {
		let, err := letThrough(programs, newCall(on.arch, uint32(n)|on.bit), left)
		if err != nil {
			return "", fmt.Errorf("%s number %d: %w", on.named, n, err)
		}
		if let {
			return fmt.Sprintf("%s number %d", on.named, n), nil
		}
	}
	return "", nil
}

// architecture is one that a process can call as.
type architecture struct {
	named specs.Arch
	arch  uint32
	bit   uint32
	// narrow: filters look at 32 bits of an argument (libseccomp's ARCH_SIZE_32).
	narrow bool
}

// cut has the conditions as an architecture's filter has them.
func (a architecture) cut(args []condition) []condition {
	if !a.narrow {
		return args
	}
	args = slices.Clone(args)
	for i := range args {
		args[i].Value, args[i].ValueTwo = uint64(uint32(args[i].Value)), uint64(uint32(args[i].ValueTwo))
	}
	return args
}

func (a architecture) describe(n int, name string) string {
	if name == "" {
		name = fmt.Sprintf("number %d", n)
	}
	if a == native {
		return name
	}
	return fmt.Sprintf("%s %s", a.named, name)
}

func describeArgs(indices []int, args arguments) string {
	var parts []string
	for _, i := range indices {
		parts = append(parts, fmt.Sprintf("argument %d = %#x", i, args[i]))
	}
	return strings.Join(parts, ", ")
}

// pointsOf has the arguments that the rules look at, and calls that lie at and next to all constants, the rules' and those that
// the programs compare with: every combination, if they are not too many. Or else every combination of the rules' own constants, and each
// argument by itself with the others as a rule wants them.
func pointsOf(rules []rule, compared []uint32) (indices []int, points func(yield func(arguments) bool)) {
	var values, own [6][]uint64
	for _, r := range rules {
		for _, c := range r.conditions {
			if len(values[c.Index]) == 0 {
				indices = append(indices, int(c.Index))
				values[c.Index] = []uint64{0, math.MaxUint32, math.MaxUint64}
				own[c.Index] = []uint64{0, math.MaxUint64}
				for _, k := range compared {
					// Of a low word or a high one.
					k := uint64(k)
					values[c.Index] = append(values[c.Index], k-1, k, k+1, k<<32)
				}
			}
			values[c.Index] = append(values[c.Index], around(c)...)
			own[c.Index] = append(own[c.Index], holding(c))
		}
	}
	slices.Sort(indices)
	all, few := 1, 1
	for _, i := range indices {
		slices.Sort(values[i])
		slices.Sort(own[i])
		values[i], own[i] = slices.Compact(values[i]), slices.Compact(own[i])
		all, few = min(all*len(values[i]), maxPoints+1), min(few*len(own[i]), maxPoints+1)
	}
	return indices, func(yield func(arguments) bool) {
		if all <= maxPoints {
			combined(indices, values, arguments{}, yield)
			return
		}
		if few > maxPoints || combined(indices, own, arguments{}, yield) {
			oneByOne(indices, values, rules, yield)
		}
	}
}

// combined has every combination of the arguments at the indices. It is false if no more is wanted.
func combined(indices []int, values [6][]uint64, args arguments, yield func(arguments) bool) bool {
	if len(indices) == 0 {
		return yield(args)
	}
	for _, v := range values[indices[0]] {
		args[indices[0]] = v
		if !combined(indices[1:], values, args, yield) {
			return false
		}
	}
	return true
}

// oneByOne has each argument by itself, with the others 0, and then as each rule wants them, as long as that are not too many.
func oneByOne(indices []int, values [6][]uint64, rules []rule, yield func(arguments) bool) {
	count := 0
	for at := range len(rules) + 1 {
		var base arguments
		if at > 0 {
			for _, c := range rules[at-1].conditions {
				base[c.Index] = holding(c)
			}
		}
		for _, i := range indices {
			args := base
			for _, v := range values[i] {
				args[i] = v
				if !yield(args) {
					return
				}
			}
			count += len(values[i])
		}
		if count > maxPoints {
			return
		}
	}
}

// holding is a value that a condition holds for.
func holding(c condition) uint64 {
	switch c.Op {
	case specs.OpMaskedEqual:
		return c.ValueTwo
	case specs.OpLessThan:
		return c.Value - 1
	case specs.OpGreaterThan, specs.OpNotEqual:
		return c.Value + 1
	}
	return c.Value
}

func around(c condition) []uint64 {
	if c.Op != specs.OpMaskedEqual {
		return []uint64{c.Value - 1, c.Value, c.Value + 1, c.Value ^ 1<<32} // the last for a program that looks at half of it
	}
	v := []uint64{c.ValueTwo, c.ValueTwo | ^c.Value}
	for bit := uint64(1); bit != 0; bit <<= 1 {
		if c.Value&bit != 0 {
			v = append(v, c.ValueTwo^bit)
		}
	}
	return v
}
