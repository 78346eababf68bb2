package seccomp

import (
	"cmp"
	"reflect"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Answer is what Compare says. The zero value is Unknown.
type Answer int

const (
	Unknown Answer = iota
	Yes
	No
)

func (a Answer) String() string {
	switch a {
	case Yes:
		return "yes"
	case No:
		return "no"
	}
	return "unknown"
}

// Difference is one system call that p may let through and q does not.
type Difference struct {
	Arch specs.Arch
	// Name is empty for what neither profile names.
	Name   string
	Answer Answer // No or Unknown
	Why    string
}

// Compare: is p at least as strict as q, for every architecture of this machine, system call and argument value? That is so if p lets nothing
// through that q denies or leaves to a notify agent; how it is denied does not count. Exact where decidable, Unknown otherwise, never a wrong Yes. Both are profiles
// that Check has nothing against.
func Compare(p, q *specs.LinuxSeccomp) (Answer, []Difference) {
	if reflect.DeepEqual(p, q) {
		return Yes, nil
	}
	mux := slices.Contains(covered(p), specs.ArchX86)
	a, b := rulesOf(p, mux), rulesOf(q, mux)
	b.withhold(&a)
	calls := a.union(&b)
	var found []Difference
	archs, theirs := covered(p), covered(q)
	for _, arch := range archs {
		other := &b
		if !slices.Contains(theirs, arch) {
			other = &ruleset{fallback: rule{action: specs.ActKillThread}}
		}
		if !loads(arch, archs, a.calls) || !loads(arch, theirs, other.calls) {
			if a.does(lets) && other.does(denies) {
				found = append(found, Difference{arch, "", Unknown, "libseccomp may build a filter that does not look at the system call's number"})
			}
			continue
		}
		for _, c := range callsOn(arch, calls, &a, other) {
			ours, theirs := a.on(arch, &c), other.on(arch, &c)
			answer, why := within(arch, ours, theirs)
			if mine, its := a.doubt(&c), other.doubt(&c); mine != "" && (its != "" || !all(theirs, lets)) || its != "" && !all(ours, denies) {
				answer, why = Unknown, cmp.Or(mine, its)
			}
			if answer != Yes {
				found = append(found, Difference{arch, c.name, answer, why})
			}
		}
		if lets(a.fallback) && denies(other.fallback) {
			found = append(found, Difference{arch, "", No, "it is let through by default"})
		}
	}
	answer := Yes
	for _, d := range found {
		if d.Answer == No {
			return No, found
		}
		answer = Unknown
	}
	return answer, found
}

// does: something happens to some call.
func (s *ruleset) does(what func(rule) bool) bool {
	return what(s.fallback) || slices.ContainsFunc(s.calls, func(c call) bool { return slices.ContainsFunc(c.rules, what) })
}

// union are the calls that either names, s's first.
func (s *ruleset) union(other *ruleset) []call {
	calls := slices.Clip(s.calls)
	for _, c := range other.calls {
		if s.place(&c) == 0 {
			calls = append(calls, c)
		}
	}
	return calls
}

// callsOn are the calls that mean something on an architecture; on 32-bit x86 the multiplexers come in with what they multiplex.
func callsOn(arch specs.Arch, calls []call, sets ...*ruleset) []call {
	on := make([]call, 0, len(calls)+2)
	for _, c := range calls {
		if c.on(arch) {
			on = append(on, c)
		}
	}
	if arch == specs.ArchX86 {
		for _, mux := range []string{"socketcall", "ipc"} {
			is := func(c call) bool { return c.name == mux }
			if !slices.ContainsFunc(on, is) && slices.ContainsFunc(sets, func(s *ruleset) bool { return s.multiplexed[mux] != nil }) {
				on = append(on, named(mux))
			}
		}
	}
	return on
}

// within: what p lets through of one call, q does.
func within(arch specs.Arch, p, q meaning) (Answer, string) {
	if lets(p.fallback) == lets(q.fallback) && slices.EqualFunc(p.rules, q.rules, sameRule) {
		return Yes, "" // the same filter is built for both, whatever it does
	}
	if all(p, denies) || all(q, lets) {
		return Yes, "" // nothing or everything is let through, however it is built
	}
	if !exact(p.rules) || !exact(q.rules) {
		return Unknown, "libseccomp may build the rules otherwise than they are written"
	}
	points, ok := cells(narrowWords(arch), p.rules, q.rules)
	if !ok {
		return Unknown, "there are too many conditions"
	}
	answer, why := Yes, ""
	for i := range points {
		pLets, _, pDenied := p.at(&points[i])
		qLets, _, qDenied := q.at(&points[i])
		switch {
		case !pLets || qLets && !qDenied:
		case pDenied || qLets:
			answer, why = Unknown, "rules that let through and rules that deny overlap"
		case len(p.rules) == 0 || len(q.rules) == 0 || unconditional(p.rules[0]) && unconditional(q.rules[0]):
			return No, "it is let through, and denied by the other"
		default:
			return No, "its conditions let more through"
		}
	}
	return answer, why
}

// all: every call is treated alike. Without conditions that needs no looking at values.
func all(m meaning, how func(rule) bool) bool {
	if len(m.rules) == 1 && unconditional(m.rules[0]) {
		return how(m.rules[0])
	}
	return how(m.fallback) && !slices.ContainsFunc(m.rules, func(r rule) bool { return !how(r) })
}
