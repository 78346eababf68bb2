package seccomp

import (
	"fmt"
	"slices"
	"strings"

	"runclamp/enforce/seccomp/syscalls"
	"runclamp/enforce/spelling"
	"runclamp/enforce/strictjson"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Lint says what in a profile does not do what it seems to, or lets through more than people think: where it stands, as far as that is
// known. What it finds is not wrong enough for Read to refuse it.
func Lint(d *Document) Errors {
	l := &linter{document: d}
	l.whole()
	for i := range d.Rules {
		l.rule(i)
	}
	l.calls()
	return l.found
}

type linter struct {
	document *Document
	found    Errors
}

func (l *linter) say(r *Rule, format string, args ...any) {
	e := strictjson.Error{Line: 1, Column: 1, Message: fmt.Sprintf(format, args...)}
	if r != nil && r.Line > 0 {
		e.Line, e.Column = r.Line, r.Column
	}
	l.found = append(l.found, e)
}

// whole looks at what is not about one rule.
func (l *linter) whole() {
	d := l.document
	if executes(d.DefaultAction) {
		l.say(nil, "the default action %s lets through what no rule denies, and every system call of later kernels", d.DefaultAction)
	}
	if d.ListenerPath != "" || d.ListenerMetadata != "" {
		l.say(nil, "a listener (%s) decides about system calls; the policy has to name it (seccomp.listeners)", d.ListenerPath)
	}
	for _, f := range d.Flags {
		if !harmless(f) {
			l.say(nil, "the flag %s weakens the process: SPEC_ALLOW turns the mitigation of Speculative Store Bypass off", f)
		}
	}
}

func (l *linter) rule(i int) {
	d, r := l.document, &l.document.Rules[i]
	own := rule{action: r.Action, errno: r.ErrnoRet}
	names := shorten(r.Names)
	switch {
	case sameAction(own, rule{action: d.DefaultAction, errno: d.DefaultErrnoRet}):
		l.say(r, "%s: the action is the default one: the rule does nothing", names)
	case r.Action == specs.ActNotify:
		l.say(r, "%s: a notify agent decides, which may let through", names)
	case r.Action == specs.ActTrace:
		l.say(r, "%s: SCMP_ACT_TRACE lets a tracer decide, which may let through", names)
	case r.Action == specs.ActLog:
		l.say(r, "%s: SCMP_ACT_LOG lets through, and logs", names)
	case r.Action == specs.ActErrno && r.ErrnoRet != nil && *r.ErrnoRet == 0:
		l.say(r, "%s: error 0 says that the call was carried out, and it was not", names)
	}
	if r.ErrnoRet != nil && r.Action != specs.ActErrno && r.Action != specs.ActTrace {
		l.say(r, "%s: errnoRet means nothing for %s", names, r.Action)
	}
	for k, a := range r.Args {
		if slices.ContainsFunc(r.Args[:k], func(b specs.LinuxSeccompArg) bool { return a.Index == b.Index }) {
			l.say(r, "%s: two conditions on argument %d: runc makes a rule of each condition, any of which is enough", names, a.Index)
			break
		}
	}
	for _, a := range r.Args {
		switch {
		case a.Op == specs.OpMaskedEqual && a.ValueTwo&^a.Value != 0:
			l.say(r, "%s: %s never holds as written: the value has bits that the mask has not; libseccomp cuts them off", names, argument(a))
		case a.Op == specs.OpMaskedEqual && a.Value == 0, a.Op == specs.OpGreaterEqual && a.Value == 0, a.Op == specs.OpLessEqual && a.Value == 1<<64-1:
			l.say(r, "%s: %s always holds", names, argument(a))
		case a.Op == specs.OpLessThan && a.Value == 0, a.Op == specs.OpGreaterThan && a.Value == 1<<64-1:
			l.say(r, "%s: %s never holds", names, argument(a))
		}
	}
	for _, name := range r.Names {
		if _, known := syscalls.Lookup(name); !known && GroupOf(name) == "others" {
			l.say(r, "unknown system call %s: runc ignores it", near(name))
		}
	}
	l.unreachable(i)
}

// near quotes a name with the nearest that is known.
func near(name string) string {
	var known []string
	for n := range syscalls.All() {
		known = append(known, n)
	}
	if text := spelling.Unknown(name, known); len(text) < 100 {
		return text
	}
	return fmt.Sprintf("%q", name)
}

// unreachable: another rule without conditions on anything is all that libseccomp heeds for a call, if it comes first or if this one has
// conditions on arguments.
func (l *linter) unreachable(i int) {
	r := &l.document.Rules[i]
	if slices.Contains(duplicates(r.Names), true) {
		l.say(r, "%s: a system call stands twice in one rule", shorten(r.Names))
	}
	by := map[int][]string{}
	for _, name := range r.Names {
		for k := range l.document.Rules {
			o := &l.document.Rules[k]
			if k != i && len(o.Args) == 0 && o.always() && (k < i || len(r.Args) > 0) && slices.Contains(o.Names, name) && !l.isDefault(o) {
				by[k] = append(by[k], name)
				break
			}
		}
	}
	for k := range l.document.Rules {
		if names := by[k]; names != nil {
			where := ""
			if o := l.document.Rules[k]; o.Line > 0 {
				where = fmt.Sprintf(" (line %d)", o.Line)
			}
			l.say(r, "%s: never reached: another rule for it has no conditions%s", shorten(names), where)
		}
	}
}

func (l *linter) isDefault(r *Rule) bool {
	return sameAction(rule{action: r.Action, errno: r.ErrnoRet}, rule{action: l.document.DefaultAction, errno: l.document.DefaultErrnoRet})
}

// always: the rule is in the profile for every container on every machine.
func (r *Rule) always() bool {
	for _, c := range []Condition{r.Includes, r.Excludes} {
		if len(c.Caps) > 0 || len(c.Arches) > 0 || c.MinKernel != (Kernel{}) {
			return false
		}
	}
	return true
}

// calls looks at all rules for one call together, for a container without capabilities on this machine.
func (l *linter) calls() {
	p := l.document.Profile(nil, Native(), Kernel{Version: 255})
	set := rulesOf(p, false)
	x86 := slices.Contains(p.Architectures, specs.ArchX86)
	if set.numberless(covered(p)) {
		l.say(nil, "libseccomp may build a filter that does not look at the system call's number, so that nothing is denied; deny a call that every architecture has, such as %s, without conditions", void)
	}
	for _, c := range set.calls {
		name, rules := c.name, c.rules
		first := l.first(name)
		if !exact(rules) {
			l.say(first, "%s: libseccomp may build these conditions looser or stricter than written; use one condition a rule, or only SCMP_CMP_EQ", name)
		}
		conditional := slices.ContainsFunc(rules, func(r rule) bool { return lets(r) && !unconditional(r) })
		if mux, _ := multiplexer(name); x86 && mux != "" && conditional {
			l.say(first, "%s: on 32-bit x86 %s(2) gets round its conditions; leave SCMP_ARCH_X86 out (the policy's architectures: native does)", name, mux)
		}
	}
}

func (l *linter) first(name string) *Rule {
	for i := range l.document.Rules {
		if slices.Contains(l.document.Rules[i].Names, name) {
			return &l.document.Rules[i]
		}
	}
	return nil
}

// duplicates says of each name whether it stood before.
func duplicates(names []string) []bool {
	seen := map[string]bool{}
	var twice []bool
	for _, n := range names {
		twice = append(twice, seen[n])
		seen[n] = true
	}
	return twice
}

// shorten names a few of the calls, and how many more there are.
func shorten(names []string) string {
	const most = 3
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
