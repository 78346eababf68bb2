package seccomp

import (
	"fmt"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Explanation is what a profile says, in people's words.
type Explanation struct {
	// Default is what happens to a call that no rule is about.
	Default string
	// Architectures are those that calls may be made on. Another one's kill the process.
	Architectures []specs.Arch
	Groups        []Explained
	// Denied are calls that are denied in another way than the rest.
	Denied []string
}

// Explained is what a profile says of one group.
type Explained struct {
	Group string
	// Allowed are let through whatever their arguments are; Conditional say when they are.
	Allowed, Conditional []string
}

// Explain says what a profile lets through, in the order of Groups.
func Explain(p *specs.LinuxSeccomp) Explanation {
	e := Explanation{Default: inWords(p.DefaultAction, p.DefaultErrnoRet), Architectures: p.Architectures}
	if len(e.Architectures) == 0 {
		e.Architectures = []specs.Arch{Native()}
	}
	groups := map[string]*Explained{}
	in := func(name string) *Explained {
		g := GroupOf(name)
		if groups[g] == nil {
			groups[g] = &Explained{Group: g}
		}
		return groups[g]
	}
	set := rulesOf(p, false)
	for _, c := range set.calls {
		name, rules := c.name, c.rules
		switch conditions := conditional(rules); {
		case len(rules) > 0 && slices.ContainsFunc(rules, func(r rule) bool { return unconditional(r) && lets(r) }):
			g := in(name)
			g.Allowed = append(g.Allowed, name)
		case len(conditions) > 0:
			g := in(name)
			g.Conditional = append(g.Conditional, name+" "+strings.Join(conditions, ", or "))
		}
		for _, r := range rules {
			if denies(r) {
				text := name + ": " + inWords(r.action, r.errno)
				if !unconditional(r) {
					text += " " + allOf(r.args)
				}
				e.Denied = append(e.Denied, text)
			}
		}
	}
	for _, g := range Groups() {
		if x := groups[g.Name]; x != nil {
			e.Groups = append(e.Groups, x.sorted())
		}
	}
	if x := groups["others"]; x != nil {
		e.Groups = append(e.Groups, x.sorted())
	}
	slices.Sort(e.Denied)
	return e
}

func (e *Explained) sorted() Explained {
	slices.Sort(e.Allowed)
	slices.Sort(e.Conditional)
	return *e
}

// conditional says for each rule that lets through when it does.
func conditional(rules []rule) []string {
	var words []string
	for _, r := range rules {
		if lets(r) && !unconditional(r) {
			words = append(words, allOf(r.args))
		}
	}
	return words
}

func allOf(args []specs.LinuxSeccompArg) string {
	var words []string
	for _, a := range args {
		words = append(words, argument(a))
	}
	return "if " + strings.Join(words, " and ")
}

// argument is one condition in words; arguments are counted from 0, as profiles do.
func argument(a specs.LinuxSeccompArg) string {
	if a.Op == specs.OpMaskedEqual {
		return fmt.Sprintf("argument %d & %#x is %#x", a.Index, a.Value, a.ValueTwo)
	}
	words := map[specs.LinuxSeccompOperator]string{
		specs.OpEqualTo: "is", specs.OpNotEqual: "is not", specs.OpLessThan: "is below", specs.OpLessEqual: "is at most",
		specs.OpGreaterThan: "is above", specs.OpGreaterEqual: "is at least",
	}
	return fmt.Sprintf("argument %d %s %d", a.Index, words[a.Op], a.Value)
}

func inWords(a specs.LinuxSeccompAction, errno *uint) string {
	switch a {
	case specs.ActErrno:
		n := uint(unix.EPERM)
		if errno != nil {
			n = *errno
		}
		return fmt.Sprintf("denied with error %d (%s)", n, unix.ErrnoName(unix.Errno(n)))
	case specs.ActKill, specs.ActKillThread:
		return "kills the thread"
	case specs.ActKillProcess:
		return "kills the process"
	case specs.ActTrap:
		return "denied with the signal SIGSYS"
	case specs.ActLog:
		return "let through and logged"
	case specs.ActTrace:
		return "a tracer decides"
	case specs.ActNotify:
		return "an agent decides"
	}
	return "let through"
}

// Stats are a profile's numbers for the machine's own architecture.
type Stats struct {
	// Allowed are let through whatever their arguments are, Conditional depending on them. Denied are named and never let through.
	Allowed, Conditional, Denied int
	Rules                        int
}

// Count counts.
func Count(p *specs.LinuxSeccomp) Stats {
	var s Stats
	set := rulesOf(p, false)
	for _, c := range set.calls {
		rules := c.rules
		s.Rules += len(rules)
		switch {
		case slices.ContainsFunc(rules, func(r rule) bool { return unconditional(r) && lets(r) }):
			s.Allowed++
		case slices.ContainsFunc(rules, lets):
			s.Conditional++
		default:
			s.Denied++
		}
	}
	return s
}
