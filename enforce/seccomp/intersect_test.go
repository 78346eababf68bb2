package seccomp

import (
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func eq(v uint64) specs.LinuxSeccompArg { return arg(specs.OpEqualTo, v) }

func arg(op specs.LinuxSeccompOperator, v uint64) specs.LinuxSeccompArg {
	return specs.LinuxSeccompArg{Value: v, Op: op}
}

func on(index uint, a specs.LinuxSeccompArg) specs.LinuxSeccompArg {
	a.Index = index
	return a
}

func allow(name string, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
	return act(specs.ActAllow, name, args...)
}

func act(a specs.LinuxSeccompAction, name string, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
	return specs.LinuxSyscall{Names: []string{name}, Action: a, Args: args}
}

func errno(name string, n uint, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
	s := act(specs.ActErrno, name, args...)
	s.ErrnoRet = &n
	return s
}

func profile(s ...specs.LinuxSyscall) *specs.LinuxSeccomp {
	return &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: s}
}

type rulesOut = []specs.LinuxSyscall

// TestNewest: what is named no more would let runc answer ENOSYS where the profile kills.
func TestNewest(t *testing.T) {
	kill := func(p *specs.LinuxSeccomp, a specs.LinuxSeccompAction) *specs.LinuxSeccomp {
		p.DefaultAction = a
		return p
	}
	enosys := uint(38)
	bound := profile(allow("read"), allow("openat2"), errno("clone3", enosys))
	for _, tt := range []struct {
		name     string
		p, bound *specs.LinuxSeccomp
		out      rulesOut
	}{
		{"the newest is taken out", kill(profile(allow("read"), allow("mseal"), allow("landlock_create_ruleset")), specs.ActKillProcess), bound, rulesOut{allow("read"), act(specs.ActKillProcess, "mseal")}},
		{"the newest does what the default does", kill(profile(allow("read"), act(specs.ActKillProcess, "mseal"), allow("bpf")), specs.ActKillProcess), bound, rulesOut{allow("read"), act(specs.ActKillProcess, "mseal")}},
		{"under TRAP", kill(profile(allow("read"), allow("mseal")), specs.ActTrap), bound, rulesOut{allow("read"), act(specs.ActTrap, "mseal")}},
		{"another is as new", kill(profile(allow("openat2"), allow("mount")), specs.ActKillProcess), bound, rulesOut{allow("openat2")}},
		{"perhaps newer than all", kill(profile(allow("openat2"), allow("no_such_call")), specs.ActKillProcess), bound, rulesOut{allow("openat2"), act(specs.ActKillProcess, "no_such_call")}},
		{"an error is no stricter than ENOSYS", profile(allow("read"), allow("mseal")), bound, rulesOut{allow("read")}},
		{"the other's default", kill(profile(act(specs.ActErrno, "bpf")), specs.ActAllow), kill(profile(allow("read"), act(specs.ActKillProcess, "openat2")), specs.ActKillProcess),
			rulesOut{act(specs.ActErrno, "bpf"), allow("read"), act(specs.ActKillProcess, "openat2")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n, err := Intersect(tt.p, tt.bound)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := string(text(t, n.Profile.Syscalls)), string(text(t, tt.out)); got != want {
				t.Errorf("\ngot  %s\nwant %s", got, want)
			}
		})
	}
}

// TestNativeStaysUnnamed: runc answers ENOSYS for new calls on architectures that are named only.
func TestNativeStaysUnnamed(t *testing.T) {
	p := profile(allow("read"))
	p.DefaultAction, p.Architectures = specs.ActKillProcess, Family()
	n, err := Intersect(p, profile(allow("read")))
	if err != nil {
		t.Fatal(err)
	}
	if n.Profile.Architectures == nil || len(n.Profile.Architectures) > 0 || !slices.Equal(n.Architectures, Family()) {
		t.Errorf("%#v are left, without %v", n.Profile.Architectures, n.Architectures)
	}
}

func TestIntersect(t *testing.T) {
	masked := specs.LinuxSeccompArg{Value: 0x7e020000, Op: specs.OpMaskedEqual}
	bound := profile(
		allow("read"), allow("socket", arg(specs.OpLessThan, 3)), allow("socket", eq(16)), allow("clone", masked),
		errno("clone3", 38), allow("personality", eq(0)), allow("personality", eq(8)), act(specs.ActErrno, "ptrace"),
	)
	for _, tt := range []struct {
		name                                string
		in, out                             rulesOut
		removed, limited, undecided, denied []string
	}{
		{name: "both unconditional", in: rulesOut{allow("read")}, out: rulesOut{allow("read")}},
		{name: "ours conditional", in: rulesOut{allow("read", eq(0))}, out: rulesOut{allow("read", eq(0))}},
		{name: "beyond", in: rulesOut{allow("mount"), act(specs.ActLog, "bpf"), allow("kexec_load")}, removed: []string{"mount", "bpf", "kexec_load"}},
		{name: "denied by default in so many words", in: rulesOut{allow("ptrace")}, removed: []string{"ptrace"}},
		{name: "a denial stays", in: rulesOut{errno("mount", 38)}, out: rulesOut{errno("mount", 38)}},
		{name: "the bound's errno comes in", in: rulesOut{allow("clone3")}, out: rulesOut{errno("clone3", 38)}, removed: []string{"clone3"}, denied: []string{"clone3"}},
		{name: "our own errno stays", in: rulesOut{allow("clone3", eq(1)), errno("clone3", 2)}, out: rulesOut{errno("clone3", 2)}, undecided: []string{"clone3"}},
		{name: "the bound's conditions", in: rulesOut{allow("clone")}, out: rulesOut{allow("clone", masked)}, limited: []string{"clone"}},
		{name: "the same conditions", in: rulesOut{allow("clone", masked)}, out: rulesOut{allow("clone", masked)}},
		{name: "fewer of the same conditions", in: rulesOut{allow("personality", eq(8))}, out: rulesOut{allow("personality", eq(8))}},
		{name: "wider values", in: rulesOut{allow("socket", arg(specs.OpNotEqual, 40))},
			out: rulesOut{allow("socket", arg(specs.OpLessThan, 3)), allow("socket", eq(16))}, limited: []string{"socket"}},
		{name: "narrower values", in: rulesOut{allow("socket", eq(1))}, out: rulesOut{allow("socket", eq(1))}},
		{name: "overlapping values", in: rulesOut{allow("socket", arg(specs.OpGreaterThan, 1))}, out: rulesOut{allow("socket", eq(2)), allow("socket", eq(16))}, limited: []string{"socket"}},
		{name: "another argument", in: rulesOut{allow("socket", on(1, eq(1)))},
			out: rulesOut{allow("socket", eq(0), on(1, eq(1))), allow("socket", eq(1), on(1, eq(1))), allow("socket", eq(2), on(1, eq(1))), allow("socket", eq(16), on(1, eq(1)))}, limited: []string{"socket"}},
		{name: "another mask", in: rulesOut{allow("clone", specs.LinuxSeccompArg{Value: 1, Op: specs.OpMaskedEqual})},
			out: rulesOut{allow("clone", specs.LinuxSeccompArg{Value: 0x7e020001, Op: specs.OpMaskedEqual})}, limited: []string{"clone"}},
		{name: "masks that exclude each other", in: rulesOut{allow("clone", specs.LinuxSeccompArg{Value: 0x20000, ValueTwo: 0x20000, Op: specs.OpMaskedEqual})}, undecided: []string{"clone"}},
		// runc makes "at least 1 and at most 2" into "at least 1, or at most 2".
		{name: "twice the same argument", in: rulesOut{allow("socket", arg(specs.OpGreaterEqual, 1), arg(specs.OpLessEqual, 2))}, undecided: []string{"socket"}},
		{name: "one without conditions, and its contrary", in: rulesOut{allow("socket"), act(specs.ActKillProcess, "socket", eq(2))},
			out: rulesOut{act(specs.ActKillProcess, "socket")}, undecided: []string{"socket"}},
		{name: "allowed and denied", in: rulesOut{allow("personality", eq(8)), act(specs.ActKillProcess, "personality", eq(0))},
			out: rulesOut{allow("personality", eq(8)), act(specs.ActKillProcess, "personality", eq(0))}},
		{name: "logging goes on", in: rulesOut{act(specs.ActLog, "clone")}, out: rulesOut{act(specs.ActLog, "clone", masked)}, limited: []string{"clone"}},
		// The rule means nothing to runc, so the conditions of the allow are all that counts.
		{name: "a denial like the default", in: rulesOut{act(specs.ActErrno, "socket"), allow("socket")},
			out: rulesOut{allow("socket", arg(specs.OpLessThan, 3)), allow("socket", eq(16))}, limited: []string{"socket"}},
		{name: "of another architecture", in: rulesOut{allow("cacheflush")}},
		{name: "newer than the tables", in: rulesOut{allow("no_such_call")}, removed: []string{"no_such_call"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n, err := Intersect(profile(tt.in...), bound)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := string(text(t, n.Profile.Syscalls)), string(text(t, tt.out)); got != want {
				t.Errorf("\ngot  %s\nwant %s", got, want)
			}
			if !slices.Equal(n.Removed, tt.removed) || !slices.Equal(n.Limited, tt.limited) || !slices.Equal(n.Undecided, tt.undecided) || !slices.Equal(n.Denied, tt.denied) {
				t.Errorf("removed %v, limited %v, undecided %v, denied %v", n.Removed, n.Limited, n.Undecided, n.Denied)
			}
		})
	}
}

// TestSameConditions: of two denials with the same conditions, which libseccomp does not take, p's is written.
func TestSameConditions(t *testing.T) {
	byDefault := func(s ...specs.LinuxSyscall) *specs.LinuxSeccomp {
		return &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: s}
	}
	n := under(t, byDefault(errno("socket", 1, eq(38)), errno("socket", 1, eq(40))), byDefault(errno("socket", 97, eq(38)), errno("socket", 97, eq(16))))
	want := rulesOut{errno("socket", 1, eq(38)), errno("socket", 1, eq(40)), errno("socket", 97, eq(16))}
	if got, want := string(text(t, n.Profile.Syscalls)), string(text(t, want)); got != want || !slices.Equal(n.Limited, []string{"socket"}) {
		t.Errorf("%+v\ngot  %s\nwant %s", n, got, want)
	}
	if exact([]rule{{action: specs.ActErrno, args: []specs.LinuxSeccompArg{eq(38)}}, {action: specs.ActTrap, args: []specs.LinuxSeccompArg{eq(38)}}}) {
		t.Error("two actions for the same conditions are taken for something that can be built")
	}
}

// TestTangled: rules of two calls that libseccomp builds into each other are not trusted, wherever they come from; engines have none.
func TestTangled(t *testing.T) {
	socket := rulesOut{allow("socket", eq(2), on(1, eq(2))), allow("socket", eq(0))}
	pair := rulesOut{allow("socketpair", eq(2), on(1, arg(specs.OpNotEqual, 2))), allow("socketpair", eq(0)), allow("socketpair", eq(1))}
	other := rulesOut{allow("socketpair", eq(7), on(1, arg(specs.OpNotEqual, 7))), allow("socketpair", eq(6)), allow("socketpair", eq(5))}
	values := rulesOut{allow("socketpair", eq(0)), allow("socketpair", eq(2))}
	all := func(lists ...rulesOut) *specs.LinuxSeccomp { return profile(slices.Concat(lists...)...) }
	open := rulesOut{allow("socket"), allow("socketpair")}
	for _, tt := range []struct {
		name      string
		p, bound  *specs.LinuxSeccomp
		undecided []string
	}{
		{"of one profile", all(socket, pair), all(open), []string{"socket"}},
		{"of the bound", all(open), all(socket, pair), []string{"socket"}},
		{"of both", all(socket, open[1:]), all(open[:1], pair), []string{"socket"}},
		{"nothing in common", all(socket, other), all(open), nil},
		{"next to values only", all(socket, values), all(open), []string{"socket"}},
		{"values only", all(rulesOut{allow("socket", eq(0)), allow("socket", eq(1))}, values), all(open), nil},
		{"next to a single rule", all(socket, values[:1]), all(open), nil},
	} {
		n := under(t, tt.p, tt.bound)
		if !slices.Equal(n.Undecided, tt.undecided) {
			t.Errorf("%s: %v is undecided, wanted %v", tt.name, n.Undecided, tt.undecided)
		}
		if again := under(t, n.Profile, n.Profile); again.Changed() {
			t.Errorf("%s: %+v", tt.name, again)
		}
	}
	if answer, _ := Compare(all(socket, pair), all(socket, open[1:])); answer != Unknown {
		t.Errorf("of tangled rules Compare says %v", answer)
	}
}
