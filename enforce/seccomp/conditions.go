package seccomp

import (
	"math"
	"math/bits"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const (
	// maxValues is how many values of one argument are written out where no comparison can say what is meant.
	maxValues = 64
	// maxRules is how many rules one system call may get.
	maxRules = 256
)

// alternative are the conditions of one rule.
type alternative = []specs.LinuxSeccompArg

// both has rules for what both of two rules match. whole is false if there is more than that: libseccomp takes no more than one condition on
// an argument, and not everything can be said with one.
func both(a, b alternative) (out []alternative, whole bool) {
	out = []alternative{nil}
	for index := range uint(6) {
		var on []specs.LinuxSeccompArg
		for _, list := range []alternative{a, b} {
			for _, c := range list {
				if c.Index == index && !slices.Contains(on, c) {
					on = append(on, c)
				}
			}
		}
		if len(on) == 0 {
			continue
		}
		one, ok := asOne(on)
		if !ok || len(out)*len(one) > maxRules {
			return nil, false
		}
		var next []alternative
		for _, o := range out {
			for _, c := range one {
				next = append(next, append(slices.Clip(o), c))
			}
		}
		out = next
	}
	return out, true
}

// asOne has conditions on one argument, one of which holds exactly where all of those given do. There are none if they exclude each other.
func asOne(on []specs.LinuxSeccompArg) ([]specs.LinuxSeccompArg, bool) {
	if len(on) == 1 {
		return on, true
	}
	if values, ok := valuesOf(on); ok {
		return equal(on[0].Index, values), true
	}
	if len(on) != 2 {
		return nil, false
	}
	a, b := on[0], on[1]
	if a.Op == specs.OpNotEqual {
		a, b = b, a
	}
	first, last, hasRange := interval(a)
	otherFirst, otherLast, otherRange := interval(b)
	switch {
	case b.Op == specs.OpNotEqual:
		if !holds(a, b.Value) {
			return []specs.LinuxSeccompArg{a}, true // it excludes the value anyway
		}
		return without(a, b.Value)
	case a.Op == specs.OpMaskedEqual && b.Op == specs.OpMaskedEqual:
		common := a.Value & b.Value
		if a.ValueTwo&common != b.ValueTwo&common {
			return nil, true
		}
		return []specs.LinuxSeccompArg{{Index: a.Index, Value: a.Value | b.Value, ValueTwo: a.ValueTwo | b.ValueTwo, Op: specs.OpMaskedEqual}}, true
	case hasRange && otherRange && first >= otherFirst && last <= otherLast:
		return []specs.LinuxSeccompArg{a}, true
	case hasRange && otherRange && otherFirst >= first && otherLast <= last:
		return []specs.LinuxSeccompArg{b}, true
	}
	return nil, false
}

// without has conditions, one of which holds where the given one, NE or GT, does, but for a value: what is below both, the few values between
// them, and what is above both.
func without(a specs.LinuxSeccompArg, value uint64) ([]specs.LinuxSeccompArg, bool) {
	if a.Op != specs.OpNotEqual && a.Op != specs.OpGreaterThan {
		return nil, false
	}
	low, high := min(value, a.Value), max(value, a.Value)
	values, ok := valuesOf([]specs.LinuxSeccompArg{{Value: low, Op: specs.OpGreaterThan}, {Value: high, Op: specs.OpLessThan}})
	if !ok {
		return nil, false
	}
	out := equal(a.Index, values)
	if a.Op == specs.OpNotEqual && low > 0 {
		out = append(out, specs.LinuxSeccompArg{Index: a.Index, Value: low, Op: specs.OpLessThan})
	}
	if high < math.MaxUint64 {
		out = append(out, specs.LinuxSeccompArg{Index: a.Index, Value: high, Op: specs.OpGreaterThan})
	}
	return out, true
}

// interval has the values from first to last that a comparison is for. ok is false for masks and NE.
func interval(a specs.LinuxSeccompArg) (first, last uint64, ok bool) {
	const most = math.MaxUint64
	switch a.Op {
	case specs.OpEqualTo:
		return a.Value, a.Value, true
	case specs.OpLessThan:
		return 0, a.Value - 1, a.Value > 0
	case specs.OpLessEqual:
		return 0, a.Value, true
	case specs.OpGreaterThan:
		return a.Value + 1, most, a.Value < most
	case specs.OpGreaterEqual:
		return a.Value, most, true
	}
	return 0, most, false
}

// valuesOf writes out the values for which all conditions hold, if they can be no more than maxValues.
func valuesOf(on []specs.LinuxSeccompArg) ([]uint64, bool) {
	first, last := uint64(0), uint64(math.MaxUint64)
	for _, a := range on {
		f, l, ok := interval(a)
		switch {
		case ok:
			first, last = max(first, f), min(last, l)
		case a.Op == specs.OpLessThan || a.Op == specs.OpGreaterThan:
			return nil, true // below 0, or above everything
		}
	}
	if first > last {
		return nil, true
	}
	if last-first >= maxValues {
		return nil, false
	}
	var values []uint64
	for v := first; ; v++ {
		if !slices.ContainsFunc(on, func(a specs.LinuxSeccompArg) bool { return !holds(a, v) }) {
			values = append(values, v)
		}
		if v == last {
			return values, true
		}
	}
}

func equal(index uint, values []uint64) []specs.LinuxSeccompArg {
	list := make([]specs.LinuxSeccompArg, 0, len(values))
	for _, v := range values {
		list = append(list, specs.LinuxSeccompArg{Index: index, Value: v, Op: specs.OpEqualTo})
	}
	return list
}

// not has conditions, one of which holds exactly where the given one does not.
func not(a specs.LinuxSeccompArg) []specs.LinuxSeccompArg {
	opposite := map[specs.LinuxSeccompOperator]specs.LinuxSeccompOperator{
		specs.OpEqualTo: specs.OpNotEqual, specs.OpNotEqual: specs.OpEqualTo, specs.OpLessThan: specs.OpGreaterEqual,
		specs.OpGreaterEqual: specs.OpLessThan, specs.OpLessEqual: specs.OpGreaterThan, specs.OpGreaterThan: specs.OpLessEqual,
	}
	if op, ok := opposite[a.Op]; ok {
		return []specs.LinuxSeccompArg{{Index: a.Index, Value: a.Value, Op: op}}
	}
	var list []specs.LinuxSeccompArg
	for mask := a.Value; mask != 0; mask &= mask - 1 {
		bit := uint64(1) << bits.TrailingZeros64(mask)
		list = append(list, specs.LinuxSeccompArg{Index: a.Index, Value: bit, ValueTwo: ^a.ValueTwo & bit, Op: specs.OpMaskedEqual})
	}
	return list
}

// complement has rules that match exactly what none of the given ones does. whole is as with both.
func complement(rules []rule) (out []alternative, whole bool) {
	out, whole = []alternative{nil}, true
	for _, r := range rules {
		var parts []alternative
		for _, a := range r.args {
			for _, n := range not(a) {
				parts = append(parts, alternative{n})
			}
		}
		var ok bool
		if out, ok = products(out, parts); !ok {
			whole = false
		}
	}
	return out, whole
}

// products is what an alternative of the one list and one of the other match together.
func products(a, b []alternative) (out []alternative, whole bool) {
	whole = true
	for _, x := range a {
		for _, y := range b {
			list, ok := both(x, y)
			if !ok || len(out)+len(list) > maxRules {
				whole = false
				continue
			}
			for _, l := range list {
				if !slices.ContainsFunc(out, func(o alternative) bool { return slices.Equal(o, l) }) {
					out = append(out, l)
				}
			}
		}
	}
	return withoutCovered(out), whole
}

// disjoint has two NE of different arguments so that they do not overlap. More can be said of that together with other conditions.
func disjoint(list []alternative) []alternative {
	differs := func(l alternative) bool { return len(l) == 1 && l[0].Op == specs.OpNotEqual }
	if len(list) != 2 || !differs(list[0]) || !differs(list[1]) || list[0][0].Index == list[1][0].Index {
		return list
	}
	first, later := list[0][0], list[1][0]
	if first.Index > later.Index {
		first, later = later, first
	}
	is := first
	is.Op = specs.OpEqualTo
	return []alternative{{is, later}, {first}}
}

// withoutCovered leaves out what another alternative says with fewer of the same conditions.
func withoutCovered(list []alternative) []alternative {
	return slices.DeleteFunc(slices.Clone(list), func(l alternative) bool {
		return slices.ContainsFunc(list, func(other alternative) bool {
			return len(other) < len(l) && !slices.ContainsFunc(other, func(a specs.LinuxSeccompArg) bool { return !slices.Contains(l, a) })
		})
	})
}

// writtenOut has the same alternatives, with equalities in place of what holds for few values; none if they are too many.
func writtenOut(list []alternative) []alternative {
	out := []alternative{}
	for _, l := range list {
		parts := []alternative{nil}
		for _, a := range l {
			each := []specs.LinuxSeccompArg{a}
			if values, ok := valuesOf(each); ok {
				each = equal(a.Index, values)
			}
			if len(parts)*len(each) > maxRules {
				return nil
			}
			var next []alternative
			for _, p := range parts {
				for _, e := range each {
					next = append(next, append(slices.Clip(p), e))
				}
			}
			parts = next
		}
		for _, p := range parts {
			if !slices.ContainsFunc(out, func(o alternative) bool { return slices.Equal(o, p) }) {
				out = append(out, p)
			}
		}
	}
	if len(out) > maxRules {
		return nil
	}
	return withoutCovered(out)
}
