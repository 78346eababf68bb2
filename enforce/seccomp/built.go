package seccomp

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// exact says that libseccomp makes of these rules for one system call a filter that does exactly what they say. It has to be asked,
// because libseccomp merges the rules of a call into one tree, and some sets come out looser than written, some stricter, and some bring it
// into an endless loop (CVE-2019-9893, GHSA-4q85-33p6-j5g6; 2.5.4 was measured). What is known to be exact is:
//
//   - a single rule;
//   - equalities only, all with one action: on the same arguments, or with values of 32 bits;
//   - equalities only, on one argument, with whatever actions, if each value has one;
//   - one condition each, on the same argument, all with one action: only NE, only GT, only GE, only EQ and MASKED_EQ, or EQ and one LT or
//     one GT that does not overlap them, or both, if their values have 32 bits;
//   - equalities of one argument with different values of 32 bits, some of them with an NE of a later argument, or with that and an EQ of the
//     same value; and besides, where only one value has such a second condition, an NE of that value, or of any if none has; or else one LT
//     and one GT that do not overlap them; with whatever actions. That is how Podman's default keeps AF_VSOCK and NETLINK_AUDIT from socket(2)
//     since containers/common 0.67. The NE and an equality of another value may contradict each other, unless both deny; which of them
//     counts then depends on their values, and is nothing to rely on;
//   - one NE each, on different arguments, with one action; and before them a denial of what is left, which is how it did so before.
//
// Several LT or LE on one argument come out stricter than written. Rules of several conditions come out looser, even equalities if their
// values differ above the 32nd bit and their arguments are others, or they are errors (EEXIST) where their actions differ. Of everything else
// nothing is known, and nothing may be concluded. integration/filters holds this list against libseccomp.
func exact(rules []rule) bool {
	for _, r := range rules {
		for _, a := range r.args {
			// A value with bits outside its mask never fits, but libseccomp cuts them off, and then it does.
			if a.Op == specs.OpMaskedEqual && (a.Value == 0 || a.ValueTwo&^a.Value != 0) {
				return false
			}
		}
	}
	if len(rules) <= 1 {
		return true
	}
	oneAction := !slices.ContainsFunc(rules, func(r rule) bool { return !sameAction(r, rules[0]) })
	if only(rules, specs.OpEqualTo) {
		return sameArguments(rules) && (oneAction || len(rules[0].args) == 1 && oneActionEach(rules)) || oneAction && short(rules)
	}
	if parts(rules) {
		return true
	}
	if oneAction {
		return sameArguments(rules) && len(rules[0].args) == 1 && oneArgument(rules) || apart(rules)
	}
	return denies(rules[0]) && only(rules[:1], specs.OpEqualTo) && leaves(rules[0], rules[1:])
}

// tangled has the places of calls that may be built otherwise than their rules are written because of another call, with which they have a condition in
// common. libseccomp shares code between calls that go on alike, and may leave out that the argument is loaded again where one of them comes
// from the code for another argument, or for the other half of the same (2.5.4; src/gen_bpf.c, _gen_bpf_build_bpf: that is decided once, for
// the jump that is found first). Then a call is let through, or denied, by what is left of another comparison, also where the rules of each call
// by itself are exact. That was never seen of flat rules, nor next to a single rule or to the very same rules (integration/filters, TestTangled).
func tangled(calls []call, archs []specs.Arch) (places []int) {
	// All that matters of an architecture is how wide its words are.
	archs = slices.CompactFunc(slices.Clone(archs), func(a, b specs.Arch) bool { return narrowWords(a) == narrowWords(b) })
	for _, a := range archs {
		var goesOn []map[end]bool // what the code for each call may go on with, worked out once: there may be thousands of rules
		for i := range calls {
			rules := calls[i].rules
			if flat(rules) || slices.Contains(places, i) {
				continue
			}
			inner := ends(words(a, rules), true)
			if len(inner) == 0 {
				continue
			}
			if goesOn == nil {
				goesOn = make([]map[end]bool, len(calls))
			}
			for k, c := range calls {
				if len(c.rules) < 2 || slices.EqualFunc(c.rules, rules, sameRule) {
					continue
				}
				if goesOn[k] == nil {
					goesOn[k] = ends(words(a, c.rules), false)
				}
				if meet(goesOn[k], inner) {
					places = append(places, i)
					break
				}
			}
		}
	}
	slices.Sort(places)
	return places
}

func meet(a, b map[end]bool) bool {
	for e := range a {
		if b[e] {
			return true
		}
	}
	return false
}

// flat: there is one rule, or each is a value of the same argument, or of the same argument under a mask.
func flat(rules []rule) bool {
	return len(rules) <= 1 || len(rules[0].args) == 1 && sameArguments(rules) && (only(rules, specs.OpEqualTo) || only(rules, specs.OpMaskedEqual))
}

// end is a condition, or the argument and the values of 32 bits that are left of it, each as eight bytes.
type end struct {
	condition specs.LinuxSeccompArg
	values    string
}

// ends has what the code may go on with. libseccomp compares with the greatest value of an argument first, and goes on with the next one. inner:
// only what is left behind a value that has further conditions.
func ends(rules []rule, inner bool) map[end]bool {
	type level struct {
		index  uint
		before string // the conditions on earlier arguments
	}
	nested := slices.ContainsFunc(rules, func(r rule) bool { return len(r.args) > 1 })
	all := map[end]bool{}
	values, further := map[level][]uint64{}, map[level][]uint64{}
	for _, r := range rules {
		args := r.args
		if len(args) > 1 {
			args = slices.SortedFunc(slices.Values(args), func(a, b specs.LinuxSeccompArg) int { return cmp.Compare(a.Index, b.Index) })
		}
		at := level{}
		for i, a := range args {
			if i > 0 {
				at.before = fmt.Sprint(args[:i])
			}
			if at.index = a.Index; a.Op != specs.OpEqualTo || a.Value > math.MaxUint32 {
				all[end{condition: compared(a)}] = true
				continue
			}
			if inner && !nested {
				continue // no value has further conditions
			}
			values[at] = append(values[at], a.Value)
			if i+1 < len(args) {
				further[at] = append(further[at], a.Value)
			}
		}
	}
	for at, list := range values {
		slices.Sort(list)
		list = slices.Compact(list)
		values := binary.BigEndian.AppendUint64(nil, uint64(at.index))
		for i, v := range list {
			values = binary.BigEndian.AppendUint64(values, v)
			if !inner || i+1 < len(list) && slices.Contains(further[at], list[i+1]) {
				all[end{values: string(values)}] = true
			}
		}
	}
	return all
}

// compared is what libseccomp makes of a condition; it does not tell one from its contrary.
func compared(a specs.LinuxSeccompArg) specs.LinuxSeccompArg {
	switch a.Op {
	case specs.OpMaskedEqual:
		return a
	case specs.OpLessThan:
		a.Op = specs.OpGreaterEqual
	case specs.OpLessEqual:
		a.Op = specs.OpGreaterThan
	}
	a.ValueTwo = 0 // nobody looks at it
	return a
}

func only(rules []rule, ops ...specs.LinuxSeccompOperator) bool {
	return !slices.ContainsFunc(rules, func(r rule) bool {
		return slices.ContainsFunc(r.args, func(a specs.LinuxSeccompArg) bool { return !slices.Contains(ops, a.Op) })
	})
}

func sameArguments(rules []rule) bool {
	return !slices.ContainsFunc(rules, func(r rule) bool {
		return !slices.EqualFunc(r.args, rules[0].args, func(a, b specs.LinuxSeccompArg) bool { return a.Index == b.Index })
	})
}

// oneActionEach: of equalities of one argument. libseccomp takes no second action for the same conditions (EEXIST).
func oneActionEach(rules []rule) bool {
	had := make(map[uint64]rule, len(rules))
	for _, r := range rules {
		v := r.args[0].Value
		if before, again := had[v]; again && !sameAction(before, r) {
			return false
		}
		had[v] = r
	}
	return true
}

// oneArgument: of rules with one condition each, on one argument.
func oneArgument(rules []rule) bool {
	if only(rules, specs.OpNotEqual) || only(rules, specs.OpGreaterThan) || only(rules, specs.OpGreaterEqual) || only(rules, specs.OpEqualTo, specs.OpMaskedEqual) {
		return true
	}
	var below, above, values []specs.LinuxSeccompArg
	for _, r := range rules {
		switch a := r.args[0]; a.Op {
		case specs.OpLessThan:
			below = append(below, a)
		case specs.OpGreaterThan:
			above = append(above, a)
		case specs.OpEqualTo:
			values = append(values, a)
		default:
			return false
		}
	}
	if len(below) > 1 || len(above) > 1 || len(below)+len(above) == 2 && (below[0].Value > above[0].Value || !short(rules)) {
		return false
	}
	bounds := append(below, above...)
	return !slices.ContainsFunc(values, func(a specs.LinuxSeccompArg) bool {
		return slices.ContainsFunc(bounds, func(b specs.LinuxSeccompArg) bool { return holds(b, a.Value) })
	})
}

// short: no value is compared with more than 32 bits.
func short(rules []rule) bool {
	return !slices.ContainsFunc(rules, func(r rule) bool {
		return slices.ContainsFunc(r.args, func(a specs.LinuxSeccompArg) bool { return a.Value > math.MaxUint32 })
	})
}

// apart: one NE each, on different arguments.
func apart(rules []rule) bool {
	if !only(rules, specs.OpNotEqual) {
		return false
	}
	var had [6]bool
	for _, r := range rules {
		if len(r.args) != 1 || had[r.args[0].Index] {
			return false
		}
		had[r.args[0].Index] = true
	}
	return true
}

// leaves: the others, all with one action, are about the very arguments and values of the first, and leave just it.
func leaves(first rule, others []rule) bool {
	if !apart(others) || len(others) < 2 || len(others) != len(first.args) || slices.ContainsFunc(others, func(r rule) bool { return !sameAction(r, others[0]) }) {
		return false
	}
	return !slices.ContainsFunc(others, func(r rule) bool {
		return !slices.ContainsFunc(first.args, func(a specs.LinuxSeccompArg) bool { return a.Index == r.args[0].Index && a.Value == r.args[0].Value })
	})
}

// parts: different values of one argument; behind each at most an NE of a later argument, or that and an EQ of the same value; and with those of
// at most one value, an NE of it, or else an LT below all and a GT above all.
func parts(rules []rule) bool {
	if !short(rules) {
		return false
	}
	var others *rule                               // the NE
	var below, above *specs.LinuxSeccompArg        // the LT, the GT
	behind := map[uint64][]specs.LinuxSeccompArg{} // empty: the value by itself
	for _, r := range rules {
		if len(r.args) == 0 || len(r.args) > 2 || r.args[0].Index != rules[0].args[0].Index {
			return false
		}
		first := &r.args[0]
		list, seen := behind[first.Value]
		switch {
		case len(r.args) == 1 && first.Op == specs.OpNotEqual && others == nil:
			others = &r
		case len(r.args) == 1 && first.Op == specs.OpLessThan && below == nil:
			below = first
		case len(r.args) == 1 && first.Op == specs.OpGreaterThan && above == nil:
			above = first
		case first.Op != specs.OpEqualTo || seen && (len(list) != 1 || len(r.args) == 1):
			return false
		default:
			behind[first.Value] = append(list, r.args[1:]...)
		}
	}
	if others != nil && (below != nil || above != nil) || len(behind) == 0 {
		return false
	}
	// Of two denials that are not the same it is not known which one counts.
	if others != nil && denies(*others) && slices.ContainsFunc(rules, func(r rule) bool {
		return r.args[0].Value != others.args[0].Value && denies(r) && !sameAction(r, *others)
	}) {
		return false
	}
	for v, list := range behind {
		is := func(op specs.LinuxSeccompOperator) bool {
			return slices.ContainsFunc(list, func(a specs.LinuxSeccompArg) bool {
				return a.Op == op && a.Index > rules[0].args[0].Index && a.Index == list[0].Index && a.Value == list[0].Value
			})
		}
		switch {
		case below != nil && v < below.Value || above != nil && v > above.Value:
			return false
		case len(list) > 0 && (others != nil && others.args[0].Value != v || !is(specs.OpNotEqual) || len(list) == 2 && !is(specs.OpEqualTo)):
			return false
		}
	}
	return true
}
