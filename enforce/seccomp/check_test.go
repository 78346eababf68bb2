package seccomp

import (
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestCheck(t *testing.T) {
	number := func(n uint) *uint { return &n }
	numbered := func(a specs.LinuxSeccompAction, n uint) specs.LinuxSyscall {
		s := act(a, "read")
		s.ErrnoRet = &n
		return s
	}
	with := func(change func(*specs.LinuxSeccomp), s ...specs.LinuxSyscall) *specs.LinuxSeccomp {
		p := profile(s...)
		change(p)
		return p
	}
	flags := func(f ...specs.LinuxSeccompFlag) *specs.LinuxSeccomp {
		return with(func(p *specs.LinuxSeccomp) { p.Flags = f })
	}
	listener := func(s ...specs.LinuxSyscall) *specs.LinuxSeccomp {
		return with(func(p *specs.LinuxSeccomp) { p.ListenerPath, p.ListenerMetadata = "/run/a", "x" }, s...)
	}
	byDefault := func(a specs.LinuxSeccompAction) *specs.LinuxSeccomp {
		return with(func(p *specs.LinuxSeccomp) { p.DefaultAction = a })
	}
	many := func(entries, names int, args ...specs.LinuxSeccompArg) *specs.LinuxSeccomp {
		e := act(specs.ActAllow, "read", args...)
		e.Names = slices.Repeat(e.Names, names)
		return profile(slices.Repeat([]specs.LinuxSyscall{e}, entries)...)
	}
	agent := []string{"/run/b", "/run/a"}
	for _, tt := range []struct {
		name      string
		p         *specs.LinuxSeccomp
		listeners []string
		want      Problem // without what is for people; empty: there is none
	}{
		{name: "nothing wrong", p: profile(allow("read"), errno("clone3", 38), act(specs.ActKill, "mount", eq(1), on(5, eq(2))))},
		{name: "no rules", p: profile()},

		{name: "a listener", p: listener(), want: Problem{Detail: "listener", Field: "/listenerPath"}},
		{name: "another listener", p: listener(), listeners: agent[:1], want: Problem{Detail: "listener", Field: "/listenerPath"}},
		{name: "a trusted listener", p: listener(act(specs.ActNotify, "mount")), listeners: agent},
		{name: "a listener's metadata", p: with(func(p *specs.LinuxSeccomp) { p.ListenerMetadata = "x" }), listeners: agent, want: Problem{Detail: "listener", Field: "/listenerPath"}},
		{name: "no path is trusted", p: with(func(p *specs.LinuxSeccomp) {}, act(specs.ActNotify, "mount")), listeners: []string{""}, want: Problem{Detail: "notify", Field: "/syscalls/0/action"}},

		{name: "notify by default", p: byDefault(specs.ActNotify), want: Problem{Detail: "notify", Field: "/defaultAction"}},
		{name: "notify by default, trusted", p: with(func(p *specs.LinuxSeccomp) { p.ListenerPath, p.DefaultAction = "/run/a", specs.ActNotify }), listeners: agent, want: Problem{Detail: "notify", Field: "/defaultAction"}},
		{name: "trace", p: profile(act(specs.ActTrace, "mount")), want: Problem{Detail: "action", Field: "/syscalls/0/action"}},
		{name: "trace by default", p: byDefault(specs.ActTrace), want: Problem{Detail: "action", Field: "/defaultAction"}},
		{name: "notify", p: profile(allow("read"), act(specs.ActNotify, "mount")), want: Problem{Detail: "notify", Field: "/syscalls/1/action"}},

		{name: "no default action", p: byDefault(""), want: Problem{Detail: "action", Field: "/defaultAction"}},
		{name: "an unknown default action", p: byDefault("SCMP_ACT_DENY"), want: Problem{Detail: "action", Field: "/defaultAction"}},
		{name: "an unknown action", p: profile(allow("read"), act("allow", "mount")), want: Problem{Detail: "action", Field: "/syscalls/1/action"}},

		{name: "the greatest errno", p: profile(numbered(specs.ActErrno, 4095))},
		{name: "an errno beyond", p: profile(allow("write"), numbered(specs.ActErrno, 4096)), want: Problem{Detail: "errno", Field: "/syscalls/1/errnoRet"}},
		{name: "an errno that is cut to 0", p: profile(numbered(specs.ActErrno, 1<<16)), want: Problem{Detail: "errno", Field: "/syscalls/0/errnoRet"}},
		{name: "an errno where it counts for nothing", p: profile(numbered(specs.ActAllow, 4096)), want: Problem{Detail: "errno", Field: "/syscalls/0/errnoRet"}},
		{name: "a default errno beyond", p: with(func(p *specs.LinuxSeccomp) { p.DefaultErrnoRet = number(4096) }), want: Problem{Detail: "errno", Field: "/defaultErrnoRet"}},

		{name: "a name that ends early", p: profile(allow("read"), specs.LinuxSyscall{Names: []string{"write", "mount\x00x"}, Action: specs.ActAllow}), want: Problem{Detail: "name", Field: "/syscalls/1/names/1"}},
		{name: "no name", p: profile(allow("")), want: Problem{Detail: "name", Field: "/syscalls/0/names/0"}},
		{name: "upper case", p: profile(allow("Read")), want: Problem{Detail: "name", Field: "/syscalls/0/names/0"}},
		{name: "a space", p: profile(allow("read ")), want: Problem{Detail: "name", Field: "/syscalls/0/names/0"}},
		{name: "digits and underscores", p: profile(allow("_llseek"), allow("pread64"))},

		{name: "the last argument", p: profile(allow("read", on(5, eq(1))))},
		{name: "a seventh argument", p: profile(allow("read", eq(0), on(6, eq(1)))), want: Problem{Detail: "condition", Field: "/syscalls/0/args/1/index"}},
		{name: "no operator", p: profile(allow("read", arg("", 1))), want: Problem{Detail: "condition", Field: "/syscalls/0/args/0/op"}},
		{name: "a mask of nothing", p: profile(allow("read", arg(specs.OpMaskedEqual, 0))), want: Problem{Detail: "condition", Field: "/syscalls/0/args/0/value"}},
		{name: "a mask of high bits", p: profile(allow("read", arg(specs.OpMaskedEqual, 1<<32)))},
		{name: "an unknown operator", p: profile(allow("read", arg("SCMP_CMP_MASKED", 1))), want: Problem{Detail: "condition", Field: "/syscalls/0/args/0/op"}},

		{name: "harmless flags", p: flags(specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagWaitKillableRecv, "SECCOMP_FILTER_FLAG_TSYNC")},
		{name: "the flag that turns a mitigation off", p: flags(specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagSpecAllow), want: Problem{Detail: "flags", Field: "/flags"}},
		{name: "an unknown flag", p: flags("SECCOMP_FILTER_FLAG_NEW"), want: Problem{Detail: "flags", Field: "/flags"}},

		{name: "as many rules as may be", p: many(4, maxRulesInAll/4)},
		{name: "a rule too many", p: many(1, maxRulesInAll+1), want: Problem{Detail: "size", Field: "/syscalls"}},
		{name: "conditions count", p: many(maxRulesInAll/2+1, 1, eq(1), eq(2)), want: Problem{Detail: "size", Field: "/syscalls"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Check(tt.p, tt.listeners)
			switch {
			case got == nil && tt.want != (Problem{}):
				t.Errorf("nothing was found, wanted %s at %s", tt.want.Detail, tt.want.Field)
			case got == nil:
			case got.Detail != tt.want.Detail || got.Field != tt.want.Field:
				t.Errorf("got %+v, wanted %s at %q", got, tt.want.Detail, tt.want.Field)
			case got.Found == "" || got.Wanted == "":
				t.Errorf("%+v does not say what was found and what was wanted", got)
			}
		})
	}
}
