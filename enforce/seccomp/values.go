package seccomp

import (
	"cmp"
	"math"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// argValues are the values of one argument that a set of rules lets through.
type argValues struct {
	index  uint
	values intervals
}

// valuesOf finds them where every rule has exactly one condition, all on the same argument, and none is a mask. Anything
// else can't be said with values of one argument: ok is false. (Two conditions on one argument are also out: runc makes
// them alternatives, not a range.)
func valuesOf(rules []rule) (v argValues, ok bool) {
	for i, r := range rules {
		if len(r.args) != 1 || i > 0 && r.args[0].Index != v.index {
			return argValues{}, false
		}
		v.index = r.args[0].Index
		in, ok := intervalsOf(r.args[0])
		if !ok {
			return argValues{}, false
		}
		v.values = append(v.values, in...)
	}
	v.values = v.values.normal()
	return v, len(rules) > 0
}

// interval has all values from first to last, both included.
type interval struct{ first, last uint64 }

type intervals []interval

// intervalsOf are the values that fulfil a condition. libseccomp compares the whole 64 bits, without sign.
func intervalsOf(a specs.LinuxSeccompArg) (intervals, bool) {
	const most = math.MaxUint64
	switch a.Op {
	case specs.OpEqualTo:
		return intervals{{a.Value, a.Value}}, true
	case specs.OpNotEqual:
		var in intervals
		if a.Value > 0 {
			in = append(in, interval{0, a.Value - 1})
		}
		if a.Value < most {
			in = append(in, interval{a.Value + 1, most})
		}
		return in, true
	case specs.OpLessEqual:
		return intervals{{0, a.Value}}, true
	case specs.OpGreaterEqual:
		return intervals{{a.Value, most}}, true
	case specs.OpLessThan:
		if a.Value == 0 {
			return nil, true
		}
		return intervals{{0, a.Value - 1}}, true
	case specs.OpGreaterThan:
		if a.Value == most {
			return nil, true
		}
		return intervals{{a.Value + 1, most}}, true
	}
	return nil, false
}

// normal sorts the intervals and joins those that touch.
func (in intervals) normal() intervals {
	slices.SortFunc(in, func(a, b interval) int { return cmp.Compare(a.first, b.first) })
	var out intervals
	for _, i := range in {
		if n := len(out); n > 0 && (out[n-1].last == math.MaxUint64 || i.first <= out[n-1].last+1) {
			out[n-1].last = max(out[n-1].last, i.last)
			continue
		}
		out = append(out, i)
	}
	return out
}

// contains: every value of other is in in. Both are normal.
func (in intervals) contains(other intervals) bool {
	for _, o := range other {
		if !slices.ContainsFunc(in, func(i interval) bool { return i.first <= o.first && o.last <= i.last }) {
			return false
		}
	}
	return true
}
