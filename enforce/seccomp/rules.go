// Package seccomp compares seccomp profiles and makes one that is at least as strict as two. It is pure.
//
// The meaning of a profile is that of runc (libcontainer/seccomp) and libseccomp: the rules for one system call are a union, the
// conditions of one rule all have to hold, and what no rule names gets the default action. A system call has a rule or it has none; it
// is let through under ALLOW, LOG and NOTIFY, where it is carried out or may be, and denied under all others. TRACE is refused (Check).
package seccomp

import (
	"cmp"
	"slices"

	"runclamp/enforce/seccomp/syscalls"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// rule is one rule for one system call, as runc gives it to libseccomp.
type rule struct {
	action specs.LinuxSeccompAction
	errno  *uint // of ERRNO; none is EPERM
	args   []specs.LinuxSeccompArg
}

// executes: the system call is carried out, or may be (by a notify agent), under this action. An action that
// is not known is taken for one that does.
func executes(a specs.LinuxSeccompAction) bool { return strictness(a) == 0 }

// strictness orders what happens to a call: nothing, an error, a signal, the end of the thread, the end of the process.
func strictness(a specs.LinuxSeccompAction) int {
	switch a {
	case specs.ActErrno:
		return 1
	case specs.ActTrap:
		return 2
	case specs.ActKill, specs.ActKillThread:
		return 3
	case specs.ActKillProcess:
		return 4
	}
	return 0
}

// sameAction: the same thing happens. KILL is KILL_THREAD to runc, and no number is EPERM.
func sameAction(a, b rule) bool {
	return kind(a.action) == kind(b.action) && number(a) == number(b)
}

func kind(a specs.LinuxSeccompAction) specs.LinuxSeccompAction {
	if a == specs.ActKill {
		return specs.ActKillThread
	}
	return a
}

// number is the error that a call gets; 0 where an action has none.
func number(r rule) uint {
	switch {
	case r.action != specs.ActErrno:
		return 0
	case r.errno == nil:
		return uint(unix.EPERM)
	}
	return *r.errno
}

func sameRule(a, b rule) bool { return sameAction(a, b) && slices.Equal(a.args, b.args) }

// asks: a notify agent decides.
func asks(r rule) bool { return r.action == specs.ActNotify }

func unconditional(r rule) bool { return len(r.args) == 0 }

func lets(r rule) bool { return executes(r.action) }

func denies(r rule) bool { return !executes(r.action) }

// call is a system call with the rules that it gets.
type call struct {
	name  string
	known bool // row is its place in the tables
	row   syscalls.Row
	rules []rule
	// doubtful is why it is not certain what becomes of the call; empty if it is. The profile may have a rule without conditions and another with
	// another outcome: which of them counts is how libseccomp is made, and no promise of its. Or it may be tangled with another call.
	doubtful string
}

func named(name string) call { return namedNear(name, 0) }

// namedNear is quicker if the row is a little before the name's.
func namedNear(name string, near syscalls.Row) call {
	row, known := near.FindNear(name)
	return call{name: name, known: known, row: row}
}

// on: an architecture has the system call, or one that came into the kernel after the tables were made.
func (c *call) on(a specs.Arch) bool {
	if !c.known || !syscalls.Tabled(a) {
		return true
	}
	_, ok := c.row.Numbers().On(a)
	return ok
}

// ruleset is a profile by system calls.
type ruleset struct {
	fallback rule   // the default action
	calls    []call // in the order of the profile
	// places has where in calls one is, from 1, by its row; later has it for those that are in no table. A map of
	// hundreds of names would be most of what a comparison costs.
	places [syscalls.Rows]uint16
	later  map[string]uint16
	// multiplexed are the rules of 32-bit x86's socketcall(2) and ipc(2), those that come with other calls' rules included. They are made
	// only where that architecture counts.
	multiplexed map[string][]rule
}

// rulesOf reads a profile as runc does: a rule whose action is the default one is dropped (matchCall), and two conditions on one argument
// make every condition of the rule one of its own. The first rule without conditions is all that counts for a call: libseccomp
// drops those before it and ignores those behind it (src/db.c, db_rule_add). mux: the multiplexers of 32-bit x86 are wanted.
func rulesOf(p *specs.LinuxSeccomp, mux bool) ruleset {
	names := 0
	for _, e := range p.Syscalls {
		names += len(e.Names)
	}
	s := ruleset{fallback: rule{action: p.DefaultAction, errno: p.DefaultErrnoRet}, calls: make([]call, 0, names)}
	for _, e := range p.Syscalls {
		if sameAction(rule{action: e.Action, errno: e.ErrnoRet}, s.fallback) {
			continue
		}
		all := alternatives(e)
		var last syscalls.Row
		for _, name := range e.Names {
			c := s.add(namedNear(name, last))
			last = c.row
			if contradict(c.rules, all) || contradict(all, c.rules) {
				c.doubtful = "rules contradict one without conditions"
			}
			c.rules = joined(c.rules, all)
			if mux {
				s.multiplex(name, all)
			}
		}
	}
	for _, i := range tangled(s.calls, covered(p)) {
		s.calls[i].doubtful = cmp.Or(s.calls[i].doubtful, "libseccomp may build the rules otherwise than they are written, next to another call's")
	}
	return s
}

// add has a call's place, which is a new one if it had none.
func (s *ruleset) add(c call) *call {
	place := s.place(&c)
	if place == 0 {
		s.calls = append(s.calls, c)
		place = uint16(len(s.calls))
		switch {
		case c.known:
			s.places[c.row] = place
		case s.later == nil:
			s.later = map[string]uint16{c.name: place}
		default:
			s.later[c.name] = place
		}
	}
	return &s.calls[place-1]
}

func (s *ruleset) place(c *call) uint16 {
	if c.known {
		return s.places[c.row]
	}
	return s.later[c.name]
}

// rules are those of a call; none if the profile doesn't name it.
func (s *ruleset) rules(c *call) []rule {
	if place := s.place(c); place > 0 {
		return s.calls[place-1].rules
	}
	return nil
}

// withhold makes denials of what s leaves to a notify agent: that is no permission to carry it out unasked. Where p has the very same
// rules it stays.
func (s *ruleset) withhold(p *ruleset) {
	denied := func(rules []rule) []rule {
		rules = slices.Clone(rules)
		for i := range rules {
			if asks(rules[i]) {
				rules[i].action, rules[i].errno = specs.ActErrno, nil
			}
		}
		return rules
	}
	for i := range s.calls {
		c := &s.calls[i]
		if slices.ContainsFunc(c.rules, asks) && !(sameAction(p.fallback, s.fallback) && slices.EqualFunc(p.rules(c), c.rules, sameRule)) {
			c.rules = denied(c.rules)
		}
	}
	for name, rules := range s.multiplexed {
		if slices.ContainsFunc(rules, asks) {
			s.multiplexed[name] = denied(rules)
		}
	}
}

// doubt is why it is not certain what becomes of a call.
func (s *ruleset) doubt(c *call) string {
	if place := s.place(c); place > 0 {
		return s.calls[place-1].doubtful
	}
	return ""
}

func (s *ruleset) multiplex(name string, rules []rule) {
	if s.multiplexed == nil {
		s.multiplexed = map[string][]rule{}
	}
	if name == "socketcall" || name == "ipc" {
		s.multiplexed[name] = joined(s.multiplexed[name], rules)
		return
	}
	call, number := multiplexer(name)
	if call == "" {
		return
	}
	for _, r := range rules {
		args := []specs.LinuxSeccompArg{{Index: 0, Value: number, Op: specs.OpEqualTo}}
		for _, a := range r.args {
			if a.Index != 0 {
				args = append(args, a)
			}
		}
		r.args = args
		s.multiplexed[call] = joined(s.multiplexed[call], []rule{r})
	}
}

// contradict: one of the rules has no conditions, and one of the others has another outcome.
func contradict(rules, others []rule) bool {
	i := slices.IndexFunc(rules, unconditional)
	return i >= 0 && slices.ContainsFunc(others, func(r rule) bool { return strictness(r.action) != strictness(rules[i].action) })
}

// joined adds rules to those that a call has.
func joined(had, more []rule) []rule {
	if len(had) == 0 && len(more) == 1 {
		return more
	}
	for _, r := range more {
		switch {
		case len(had) > 0 && unconditional(had[0]):
			return had
		case unconditional(r):
			return []rule{r}
		case !slices.ContainsFunc(had, func(h rule) bool { return sameRule(h, r) }):
			had = append(had, r) // a copy if it is shared: alternatives leave no room
		}
	}
	return had
}

// alternatives are the rules that an entry stands for.
func alternatives(e specs.LinuxSyscall) []rule {
	r := rule{action: e.Action, errno: e.ErrnoRet, args: e.Args}
	if len(e.Args) == 0 {
		r.args = nil
	}
	for i, a := range e.Args {
		if slices.ContainsFunc(e.Args[:i], func(b specs.LinuxSeccompArg) bool { return a.Index == b.Index }) {
			var each []rule
			for i := range e.Args {
				each = append(each, rule{e.Action, e.ErrnoRet, e.Args[i : i+1 : i+1]})
			}
			return slices.Clip(each)
		}
	}
	return []rule{r}
}

// meaning is what a profile says of one system call on one architecture.
type meaning struct {
	fallback rule
	rules    []rule
}

// on is what a profile says of a call on an architecture that it covers.
func (s *ruleset) on(a specs.Arch, c *call) meaning {
	m := meaning{s.fallback, s.rules(c)}
	if a == specs.ArchX86 && s.multiplexed[c.name] != nil {
		m.rules = s.multiplexed[c.name]
	}
	m.rules = words(a, m.rules)
	return m
}

// words cuts constants to what the filter of an architecture looks at.
func words(a specs.Arch, rules []rule) []rule {
	if !narrowWords(a) || !slices.ContainsFunc(rules, func(r rule) bool { return !unconditional(r) }) {
		return rules
	}
	cut := make([]rule, len(rules))
	for i, r := range rules {
		r.args = slices.Clone(r.args)
		for k := range r.args {
			r.args[k].Value = uint64(uint32(r.args[k].Value))
			r.args[k].ValueTwo = uint64(uint32(r.args[k].ValueTwo))
		}
		cut[i] = r
	}
	return cut
}

// point has the six arguments of a call.
type point [6]uint64

func holds(a specs.LinuxSeccompArg, v uint64) bool {
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
	}
	return v&a.Value == a.ValueTwo // Check has refused all but MASKED_EQ
}

func (r rule) matches(p *point) bool {
	for _, a := range r.args {
		if !holds(a, p[a.Index]) {
			return false
		}
	}
	return true
}

// at says what becomes of a call: whether a rule or the default lets it through, and the strictest denial if one denies it. Both are there
// where rules contradict each other; then libseccomp's order of them decides, which is not defined.
func (m *meaning) at(p *point) (lets bool, denial rule, denied bool) {
	ruled := false
	for _, r := range m.rules {
		if !r.matches(p) {
			continue
		}
		ruled = true
		if executes(r.action) {
			lets = true
		} else if !denied || strictness(r.action) > strictness(denial.action) {
			denial, denied = r, true
		}
	}
	if ruled {
		return lets, denial, denied
	}
	if executes(m.fallback.action) {
		return true, rule{}, false
	}
	return false, m.fallback, true
}
