package seccomp

import (
	"math"
	"math/bits"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const (
	// maxPoints is how many points are looked at, at the most, to decide about one system call.
	maxPoints = 1 << 12
	// maxMasks is how many masks on one argument are told apart.
	maxMasks = 12
	// maxWalk is how far the search for values under masks goes.
	maxWalk = 1 << 14
)

// cells has points of which every possible call is like one: all conditions of all the rules hold for the one as for the other. It is what
// makes questions about 2^384 calls decidable. ok is false if they were too many.
func cells(narrow bool, lists ...[]rule) (points []point, ok bool) {
	most := uint64(math.MaxUint64)
	if narrow {
		most = math.MaxUint32
	}
	points = []point{{}}
	for index := range uint(6) {
		var conditions []specs.LinuxSeccompArg
		for _, rules := range lists {
			for _, r := range rules {
				for _, a := range r.args {
					if a.Index == index {
						conditions = append(conditions, a)
					}
				}
			}
		}
		if len(conditions) == 0 {
			continue
		}
		values, ok := representatives(conditions, most)
		if !ok || len(points)*len(values) > maxPoints {
			return nil, false
		}
		product := make([]point, 0, len(points)*len(values))
		for _, p := range points {
			for _, v := range values {
				p[index] = v
				product = append(product, p)
			}
		}
		points = product
	}
	return points, true
}

// representatives are values of one argument: each differs from the others in one of the conditions, and every value is like one.
func representatives(conditions []specs.LinuxSeccompArg, most uint64) ([]uint64, bool) {
	firsts := []uint64{0} // where the comparisons' outcome changes
	var masks []specs.LinuxSeccompArg
	for _, a := range conditions {
		switch a.Op {
		case specs.OpLessThan, specs.OpGreaterEqual:
			firsts = append(firsts, a.Value)
		case specs.OpLessEqual, specs.OpGreaterThan:
			if a.Value < most {
				firsts = append(firsts, a.Value+1)
			}
		case specs.OpMaskedEqual:
			if !slices.ContainsFunc(masks, func(m specs.LinuxSeccompArg) bool { return m.Value == a.Value && m.ValueTwo == a.ValueTwo }) {
				masks = append(masks, a)
			}
		default:
			firsts = append(firsts, a.Value)
			if a.Value < most {
				firsts = append(firsts, a.Value+1)
			}
		}
	}
	slices.Sort(firsts)
	firsts = slices.Compact(firsts)
	if len(masks) == 0 {
		return firsts, true
	}
	if len(masks) > maxMasks {
		return nil, false
	}
	var values []uint64
	work := maxWalk
	for i, first := range firsts {
		last := most
		if i+1 < len(firsts) {
			last = firsts[i+1] - 1
		}
		s := search{first: first, last: last, masks: masks, seen: map[state]bool{}, work: &work}
		s.walk(state{bit: bits.Len64(most) - 1, onFirst: true, onLast: true, fitting: 1<<len(masks) - 1}, 0)
		values = append(values, s.found...)
	}
	return values, work > 0
}

// search finds, among the values from first to last, one for every set of masks that a value can fit together. It goes from the highest bit
// down, and what it may still find depends on the state alone.
type search struct {
	first, last uint64
	masks       []specs.LinuxSeccompArg
	seen        map[state]bool
	work        *int
	found       []uint64
}

type state struct {
	bit             int
	onFirst, onLast bool // so far the value is the bound's, so the next bit may not leave it
	fitting         uint16
}

func (s *search) walk(at state, v uint64) {
	if s.seen[at] || *s.work <= 0 {
		return
	}
	s.seen[at] = true
	*s.work--
	if at.bit < 0 {
		s.found = append(s.found, v)
		return
	}
	one := uint64(1) << at.bit
	for _, set := range []uint64{0, one} {
		if at.onFirst && set < s.first&one || at.onLast && set > s.last&one {
			continue
		}
		next := state{at.bit - 1, at.onFirst && set == s.first&one, at.onLast && set == s.last&one, at.fitting}
		for i, m := range s.masks {
			if (m.Value&one != 0 && m.ValueTwo&one != set) || (m.Value&one == 0 && m.ValueTwo&one != 0) {
				next.fitting &^= 1 << i
			}
		}
		s.walk(next, v|set)
	}
}
