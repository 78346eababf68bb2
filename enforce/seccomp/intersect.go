package seccomp

import (
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Intersection is the outcome of Intersect.
type Intersection struct {
	// Profile is at least as strict as both, and shaped so that a filter is built from it in the least time. What the first profile denies is
	// denied with its own action and error.
	Profile *specs.LinuxSeccomp
	// Default says that the bound's default action was taken, because the first profile lets through by default.
	Default bool
	// Removed are the system calls that the bound does not let through, and the first profile does.
	Removed []string
	// Limited are those that are now let through under fewer conditions.
	Limited []string
	// Undecided are those that were given up, wholly or in part, because what both let through can't be decided or said.
	Undecided []string
	// Denied are explicit denials that were added: the bound's, with its error, and those of the multiplexers that would get round conditions.
	Denied []string
	// Void are system calls that no kernel has: they are denied because libseccomp would build a filter that does not look at a call's number.
	Void []string
	// Architectures are those that were taken out.
	Architectures []specs.Arch
}

// Changed says whether the profile means something else than the one that came in.
func (i *Intersection) Changed() bool {
	return i.Default || len(i.Removed)+len(i.Limited)+len(i.Undecided)+len(i.Denied)+len(i.Void)+len(i.Architectures) > 0
}

// Intersect makes a profile that lets nothing through that p or the bound denies. Its default action, with its error, and its flags are p's,
// unless p lets through by default: then the default is the bound's, and p's explicit denials stay. What p denies is denied no less
// strictly (but for what libseccomp makes of architectures that are not named, of rules that contradict each other, and of a profile that
// denies by default if nothing loads the number: numbers.go), and with p's own error: programs depend on it (glibc uses clone(2) only if
// clone3(2) says ENOSYS). Architectures that the bound does not name are taken out. Errors are those of profiles that Check finds unfit.
func Intersect(p, bound *specs.LinuxSeccomp) (Intersection, error) {
	for _, s := range []*specs.LinuxSeccomp{p, bound} {
		if problem := Check(s, []string{s.ListenerPath}); problem != nil {
			return Intersection{}, fmt.Errorf("not a profile that can be intersected: %s%s: %s, wanted %s", problem.Detail, problem.Field, problem.Found, problem.Wanted)
		}
	}
	out := *p
	mux := slices.Contains(covered(p), specs.ArchX86) && slices.Contains(covered(bound), specs.ArchX86)
	x := intersection{profiles: [2]*specs.LinuxSeccomp{p, bound}, p: rulesOf(p, mux), bound: rulesOf(bound, mux)}
	x.bound.withhold(&x.p)
	x.fallback = x.p.fallback
	if lets(x.p.fallback) && denies(x.bound.fallback) {
		x.fallback = x.bound.fallback
		out.DefaultAction, out.DefaultErrnoRet, x.Default = bound.DefaultAction, bound.DefaultErrnoRet, true
	}
	out.Architectures, x.Architectures = architectures(p, bound)
	for _, a := range covered(&out) {
		if slices.Contains(covered(bound), a) {
			x.archs = append(x.archs, a)
		}
	}

	named := x.p.calls
	if lets(x.p.fallback) {
		named = x.p.union(&x.bound)
	}
	calls := make([]call, 0, len(named))
	for _, c := range named {
		if !slices.ContainsFunc(x.archs, func(a specs.Arch) bool { return called(a, &c) }) {
			continue // a rule for no call of these architectures
		}
		if c.rules = x.call(&c); len(c.rules) > 0 {
			calls = append(calls, c)
		}
	}
	calls, ok := x.shutMultiplexers(x.untangled(calls), &out)
	if !ok {
		without := *p
		without.Architectures = slices.DeleteFunc(slices.Clone(p.Architectures), func(a specs.Arch) bool { return a == specs.ArchX86 })
		n, err := Intersect(&without, bound)
		n.Architectures = append(n.Architectures, specs.ArchX86)
		// What only 32-bit x86 has goes as well, and somebody may want to keep that architecture.
		had := slices.Concat(n.Removed, n.Limited, n.Undecided)
		for _, more := range []struct {
			names *[]string
			of    []string
		}{{&n.Removed, x.Removed}, {&n.Limited, x.Limited}, {&n.Undecided, x.Undecided}} {
			for _, name := range more.of {
				if !slices.Contains(had, name) {
					*more.names = append(*more.names, name)
				}
			}
		}
		return n, err
	}
	calls = x.numbered(calls)
	whose := p // default it is
	if x.Default {
		whose = bound
	}
	out.Syscalls = append(shaped(calls), newest(whose, covered(&out), calls)...)
	x.Profile = &out
	return x.Intersection, nil
}

type intersection struct {
	Intersection
	profiles [2]*specs.LinuxSeccomp
	p, bound ruleset // what they mean
	fallback rule
	archs    []specs.Arch
}

// architectures are those of p that the bound covers. The list stays as it is if all are. The native one is covered whether it is in the
// list or not; it is not put there, because runc answers ENOSYS for new system calls only on those that are (patchbpf).
func architectures(p, bound *specs.LinuxSeccomp) (kept, gone []specs.Arch) {
	native := Native()
	kept = []specs.Arch{} // as JSON, an empty list
	for _, a := range p.Architectures {
		if a == native || slices.Contains(bound.Architectures, a) {
			kept = append(kept, a)
		} else {
			gone = append(gone, a)
		}
	}
	if len(gone) == 0 {
		return p.Architectures, nil
	}
	return kept, gone
}

// called: a name means something on an architecture.
func called(a specs.Arch, c *call) bool {
	if !c.on(a) && a == specs.ArchX86 {
		mux, _ := multiplexer(c.name)
		return mux != ""
	}
	return c.on(a)
}

// call decides what rules a system call has in the end.
func (x *intersection) call(c *call) []rule {
	p, bound := x.p.rules(c), x.bound.rules(c)
	if x.p.doubt(c) != "" || x.bound.doubt(c) != "" && !all(meaning{x.p.fallback, p}, denies) {
		x.Undecided = append(x.Undecided, c.name)
		return x.meant([]rule{x.strictest(c.name)})
	}
	if denies(x.fallback) {
		return x.meant(x.underDenial(c, p, bound))
	}
	return x.meant(x.underPermission(c, p, bound))
}

// strictest is the strictest denial that the default or a rule of either profile has for a call. Of equal ones it is p's first rule.
func (x *intersection) strictest(name string) rule {
	denial, ruled := rule{action: specs.ActErrno}, false
	if denies(x.fallback) {
		denial = x.fallback
	}
	for _, profile := range x.profiles {
		for _, e := range profile.Syscalls {
			s := strictness(e.Action) - strictness(denial.action)
			if (s > 0 || s == 0 && !ruled) && !executes(e.Action) && slices.Contains(e.Names, name) {
				denial, ruled = rule{action: e.Action, errno: e.ErrnoRet}, true
			}
		}
	}
	return denial
}

// meant are the rules that runc doesn't drop because they are the default.
func (x *intersection) meant(rules []rule) []rule {
	same := func(r rule) bool { return sameAction(r, x.fallback) }
	if !slices.ContainsFunc(rules, same) {
		return rules
	}
	return filter(rules, func(r rule) bool { return !same(r) })
}

// underDenial: what has no rule in the end is denied.
func (x *intersection) underDenial(c *call, p, bound []rule) []rule {
	if isAll(p, lets) && isAll(bound, lets) {
		return p // nearly all are like that
	}
	if denies(x.p.fallback) && denies(x.bound.fallback) && slices.EqualFunc(p, bound, sameRule) {
		return p // the same filter is built for all three, whatever it does
	}
	ours, oursWhole := allowing(x.p.fallback, p)
	theirs, theirsWhole := allowing(x.bound.fallback, bound)
	denials := filter(p, denies)
	switch {
	case !slices.ContainsFunc(ours, lets) && oursWhole:
		return denials
	case isAll(theirs, lets):
		if denies(x.p.fallback) {
			return p
		}
		if isAll(ours, lets) {
			return ours
		}
	case !slices.ContainsFunc(theirs, lets) && theirsWhole:
		x.Removed = append(x.Removed, c.name)
		if len(denials) == 0 && isAll(theirs, denies) && (isAll(ours, lets) || strictness(theirs[0].action) >= strictness(x.fallback.action)) && !sameAction(theirs[0], x.fallback) {
			x.Denied = append(x.Denied, c.name)
			return theirs
		}
		if !slices.ContainsFunc(denials, func(r rule) bool { return sameAction(r, x.fallback) }) && certain(p) {
			return denials
		}
		return x.givenUp(c.name, p, denials)
	}
	if x.Default && len(p) == 0 {
		return theirs // all that is said of it
	}
	// Both let something through, at least one of them under conditions.
	action := rule{action: specs.ActAllow}
	i := slices.IndexFunc(ours, asks) // what is asked for under some conditions is not let through unasked under others
	if i < 0 {
		i = slices.IndexFunc(ours, lets)
	}
	if i >= 0 {
		action = rule{action: ours[i].action, errno: ours[i].errno}
	}
	with := func(list []alternative) []rule {
		var rules []rule
		for _, l := range list {
			rules = append(rules, rule{action.action, action.errno, l})
		}
		return rules
	}
	under := func(rules []rule) []rule { // the bound's rules, with p's way to let through
		rules = slices.Clone(rules)
		for i := range rules {
			if lets(rules[i]) {
				rules[i].action, rules[i].errno = action.action, action.errno
			}
		}
		return rules
	}
	asked := ours
	if denies(x.p.fallback) {
		asked = p
	}
	rules, complete, found := x.best(c, [][]rule{asked, under(theirs)})
	if !complete {
		common, _ := products(letting(ours), letting(theirs))
		plain := writtenOut(common)
		denials := slices.Clip(denials)
		candidates := [][]rule{asked, under(theirs), append(denials, under(filter(theirs, lets))...), append(denials, with(common)...), append(denials, with(plain)...)}
		rules, complete, found = x.best(c, append(candidates, filter(ours, lets), under(filter(theirs, lets)), with(common), with(plain)))
	}
	switch {
	case !found || !slices.ContainsFunc(rules, lets):
		x.Undecided = append(x.Undecided, c.name)
		return x.givenUp(c.name, p, denials)
	case !complete:
		x.Undecided = append(x.Undecided, c.name)
	case !slices.EqualFunc(rules, p, sameRule):
		x.Limited = append(x.Limited, c.name)
	}
	return rules
}

// givenUp: what is left of p's rules for a call that is let through no more. Under another default than p's, conditional denials would be
// taken apart where one is the same as the default, so there is one for all; and so where p's filter may deny more than p says.
func (x *intersection) givenUp(name string, p, denials []rule) []rule {
	if len(denials) == 0 || isAll(denials, denies) || !x.Default && certain(p) {
		return denials
	}
	return []rule{x.strictest(name)}
}

// certain: what the rules deny is known, and stays so without those that let through.
func certain(rules []rule) bool {
	return !slices.ContainsFunc(rules, lets) || exact(rules) && exact(filter(rules, denies))
}

// underPermission: both profiles let through by default, and what has no rule in the end is let through.
func (x *intersection) underPermission(c *call, p, bound []rule) []rule {
	if !slices.ContainsFunc(bound, denies) || isAll(p, denies) {
		return p
	}
	denials := append(filter(p, denies), filter(bound, denies)...)
	var once []rule // of two actions for the same conditions libseccomp takes none
	for _, d := range denials {
		if !slices.ContainsFunc(once, func(r rule) bool { return slices.Equal(r.args, d.args) }) {
			once = append(once, d)
		}
	}
	rules, complete, found := x.best(c, [][]rule{p, bound, once})
	if !found {
		strictest := rule{action: specs.ActErrno}
		for _, d := range denials {
			if strictness(d.action) > strictness(strictest.action) {
				strictest = rule{action: d.action}
			}
		}
		if isAll(bound, denies) && strictness(bound[0].action) >= strictness(strictest.action) {
			strictest = bound[0]
		}
		rules, complete = []rule{strictest}, isAll(bound, denies)
	}
	switch {
	case !complete:
		x.Undecided = append(x.Undecided, c.name)
	case slices.EqualFunc(rules, p, sameRule):
	case isAll(rules, denies):
		x.Removed = append(x.Removed, c.name)
	default:
		x.Limited = append(x.Limited, c.name)
	}
	return rules
}

// best is the first candidate that lets through all that both profiles do and no more, or else the first that lets through some of it. Rather
// than give that up, a denial gets another error than p's.
func (x *intersection) best(c *call, candidates [][]rule) (rules []rule, complete, found bool) {
	for _, errors := range []bool{true, false} {
		for _, candidate := range candidates {
			candidate = x.meant(candidate)
			sound, whole := x.judge(c, candidate, errors)
			if sound && whole {
				return candidate, true, true
			}
			if sound && !found && slices.ContainsFunc(candidate, lets) {
				rules, found = candidate, true
			}
		}
	}
	return rules, false, found
}

// judge holds a candidate against both profiles at every point, on every architecture. It is sound if it is built as it is written, lets
// through only what both do, and what p denies it denies no less strictly, with p's error where p has a rule for it if errors count. It is whole if it lets
// through all of that.
func (x *intersection) judge(of *call, candidate []rule, errors bool) (sound, whole bool) {
	whole = true
	for _, arch := range x.archs {
		if !of.on(arch) {
			continue // on 32-bit x86 by a multiplexer only: shutMultiplexers
		}
		c := meaning{x.fallback, words(arch, candidate)}
		p := meaning{x.p.fallback, words(arch, x.p.rules(of))}
		bound := meaning{x.bound.fallback, words(arch, x.bound.rules(of))}
		same := func(m meaning) bool {
			return lets(m.fallback) == lets(c.fallback) && slices.EqualFunc(m.rules, c.rules, sameRule)
		}
		if same(p) && (same(bound) || all(bound, lets)) || same(bound) && all(p, lets) {
			continue // the same filter is built as for a profile that is stricter than the other, whatever it does
		}
		if !exact(c.rules) || !exact(p.rules) || !exact(bound.rules) {
			return false, false
		}
		points, ok := cells(narrowWords(arch), c.rules, p.rules, bound.rules)
		if !ok {
			return false, false
		}
		for i := range points {
			at := &points[i]
			let, denial, denied := c.at(at)
			pLet, pDenial, pDenied := p.at(at)
			boundLet, _, boundDenied := bound.at(at)
			may := pLet && !pDenied && boundLet && !boundDenied
			switch {
			case let && (denied || !may):
				return false, false
			case !let && may:
				whole = false
			case !let && pDenied && strictness(denial.action) < strictness(pDenial.action):
				return false, false
			case errors && !let && pDenied && !pLet && strictness(denial.action) == strictness(pDenial.action) && len(filter(p.rules, denies)) > 0 && !sameAction(denial, pDenial):
				return false, false
			}
		}
	}
	return true, whole
}

// untangled gives up calls that are tangled with others, the last first: without it, another may be so no more.
func (x *intersection) untangled(calls []call) []call {
	for places := tangled(calls, x.archs); len(places) > 0; places = tangled(calls, x.archs) {
		c := &calls[places[len(places)-1]]
		if c.rules = x.meant([]rule{x.strictest(c.name)}); !slices.Contains(x.Undecided, c.name) {
			x.Undecided = append(x.Undecided, c.name)
		}
		x.Limited = slices.DeleteFunc(x.Limited, func(name string) bool { return name == c.name })
	}
	return slices.DeleteFunc(calls, func(c call) bool { return len(c.rules) == 0 })
}

// allowing has the rules of a call for a default action that denies. whole is false if they don't let through all that they should.
func allowing(fallback rule, rules []rule) (out []rule, whole bool) {
	if denies(fallback) || isAll(rules, denies) {
		return rules, true
	}
	denials := filter(rules, denies)
	if len(denials) == 0 {
		return []rule{{action: specs.ActAllow}}, true
	}
	rest, whole := complement(denials)
	out = denials
	for _, l := range rest {
		out = append(out, rule{specs.ActAllow, nil, l})
	}
	return out, whole
}

// letting is what rules let through and none of them denies, as far as that can be said.
func letting(rules []rule) []alternative {
	list := disjoint(conditionsOf(filter(rules, lets)))
	rest, whole := complement(filter(rules, denies))
	if less, ok := products(list, rest); whole && ok {
		return less
	}
	return list
}

// isAll: there is one rule, without conditions.
func isAll(rules []rule, how func(rule) bool) bool {
	return len(rules) == 1 && unconditional(rules[0]) && how(rules[0])
}

func filter(rules []rule, keep func(rule) bool) []rule {
	var kept []rule
	for _, r := range rules {
		if keep(r) {
			kept = append(kept, r)
		}
	}
	return kept
}

func conditionsOf(rules []rule) []alternative {
	var list []alternative
	for _, r := range rules {
		list = append(list, r.args)
	}
	return list
}

// shutMultiplexers: conditions on a call that 32-bit x86 also has by way of socketcall(2) or ipc(2) say nothing there, where arguments are in
// memory. The multiplexer is denied, with ENOSYS, which makes programs call directly; so it is where one of the profiles denies more of it
// than comes with the other calls' rules, or where p denies some of it more strictly. Where that can't be said, ok is false, and the architecture has to go.
func (x *intersection) shutMultiplexers(calls []call, out *specs.LinuxSeccomp) (_ []call, ok bool) {
	if !slices.Contains(x.archs, specs.ArchX86) {
		return calls, true
	}
	out.Syscalls = shaped(calls)
	made := rulesOf(out, true)
	for _, name := range []string{"socketcall", "ipc"} {
		mux := named(name)
		conditional := slices.ContainsFunc(calls, func(c call) bool {
			by, _ := multiplexer(c.name)
			return by == name && !unconditional(c.rules[0])
		})
		is := made.on(specs.ArchX86, &mux)
		asked := x.p.on(specs.ArchX86, &mux)
		ours, _ := within(specs.ArchX86, is, asked)
		theirs, _ := within(specs.ArchX86, is, x.bound.on(specs.ArchX86, &mux))
		if (!conditional && ours == Yes && theirs == Yes || isAll(is.rules, denies)) && keepsDenials(is, asked.rules) {
			continue
		}
		denial := x.denial(&mux)
		shut := meaning{x.fallback, []rule{denial}}
		at := slices.IndexFunc(calls, func(c call) bool { return c.name == name })
		if strictness(x.fallback.action) > strictness(denial.action) || !keepsDenials(shut, asked.rules) || at >= 0 && slices.ContainsFunc(calls[at].rules, denies) {
			return nil, false
		}
		if at >= 0 {
			calls[at].rules = []rule{denial}
		} else {
			mux.rules = []rule{denial}
			calls = append(calls, mux)
		}
		x.Denied = append(x.Denied, name)
	}
	return calls, true
}

// numbered has a filter look at the system call's number (Numbered). That p's does not is a difference, too: its rules for calls of other
// architectures, which are left out of the intersection, may be all that brings it about.
func (x *intersection) numbered(calls []call) []call {
	s := ruleset{fallback: x.fallback, calls: calls}
	if !s.numberless(x.archs) && (x.Default || !x.p.numberless(x.archs)) {
		return calls
	}
	x.Void = []string{void}
	at := slices.IndexFunc(calls, func(c call) bool { return c.name == void })
	if at < 0 {
		at, calls = len(calls), append(calls, named(void))
	}
	calls[at].rules = []rule{voided(calls[at].rules)}
	return calls
}

// keepsDenials: each denial among the rules is kept, or nothing is denied less strictly.
func keepsDenials(is meaning, rules []rule) bool {
	weakest := strictness(specs.ActKillProcess)
	for _, r := range is.rules {
		if denies(r) {
			weakest = min(weakest, strictness(r.action))
		}
	}
	if denies(is.fallback) && !isAll(is.rules, denies) {
		weakest = min(weakest, strictness(is.fallback.action))
	}
	return !slices.ContainsFunc(rules, func(r rule) bool {
		return strictness(r.action) > weakest && !slices.ContainsFunc(is.rules, func(kept rule) bool { return sameRule(kept, r) })
	})
}

// denial is the bound's of a multiplexer, or else ENOSYS. It is another than the default, which runc would drop.
func (x *intersection) denial(mux *call) rule {
	if theirs := x.bound.rules(mux); isAll(theirs, denies) && !sameAction(theirs[0], x.fallback) {
		return theirs[0]
	}
	number := uint(unix.ENOSYS)
	denial := rule{action: specs.ActErrno, errno: &number}
	if sameAction(denial, x.fallback) {
		number = uint(unix.EPERM)
	}
	return denial
}
