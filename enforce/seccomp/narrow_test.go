package seccomp

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func eq(v uint64) specs.LinuxSeccompArg {
	return specs.LinuxSeccompArg{Value: v, Op: specs.OpEqualTo}
}

func arg(op specs.LinuxSeccompOperator, v uint64) specs.LinuxSeccompArg {
	return specs.LinuxSeccompArg{Value: v, Op: op}
}

func allow(name string, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
	return act(specs.ActAllow, name, args...)
}

func act(a specs.LinuxSeccompAction, name string, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
	return specs.LinuxSyscall{Names: []string{name}, Action: a, Args: args}
}

func errno(name string, n uint) specs.LinuxSyscall {
	s := act(specs.ActErrno, name)
	s.ErrnoRet = &n
	return s
}

func profile(s ...specs.LinuxSyscall) *specs.LinuxSeccomp {
	return &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: s}
}

func TestNarrow(t *testing.T) {
	masked := specs.LinuxSeccompArg{Value: 0x7e020000, Op: specs.OpMaskedEqual}
	bound := profile(
		allow("read"), allow("socket", arg(specs.OpLessThan, 3)), allow("socket", eq(16)), allow("clone", masked),
		errno("clone3", 38), allow("personality", eq(0)), allow("personality", eq(8)),
	)
	bound.Architectures = []specs.Arch{specs.ArchX86_64}
	for _, tt := range []struct {
		name          string
		in, out       []specs.LinuxSyscall
		removed, lost []string
		limited       []string
	}{
		{name: "both unconditional", in: []specs.LinuxSyscall{allow("read")}, out: []specs.LinuxSyscall{allow("read")}},
		{name: "ours conditional", in: []specs.LinuxSyscall{allow("read", eq(0))}, out: []specs.LinuxSyscall{allow("read", eq(0))}},
		{name: "beyond", in: []specs.LinuxSyscall{allow("mount"), act(specs.ActLog, "bpf"), act(specs.ActTrace, "kexec_load")}, removed: []string{"mount", "bpf", "kexec_load"}},
		{name: "a denial stays", in: []specs.LinuxSyscall{errno("mount", 38)}, out: []specs.LinuxSyscall{errno("mount", 38)}},
		{name: "the bound's errno comes in", in: []specs.LinuxSyscall{allow("clone3")}, out: []specs.LinuxSyscall{errno("clone3", 38)}, removed: []string{"clone3"}},
		{name: "our own errno stays", in: []specs.LinuxSyscall{allow("clone3", eq(1)), errno("clone3", 2)}, out: []specs.LinuxSyscall{errno("clone3", 2)}, removed: []string{"clone3"}},
		{name: "the bound's conditions", in: []specs.LinuxSyscall{allow("clone")}, out: []specs.LinuxSyscall{allow("clone", masked)}, limited: []string{"clone"}},
		{name: "the same conditions", in: []specs.LinuxSyscall{allow("clone", masked)}, out: []specs.LinuxSyscall{allow("clone", masked)}},
		{name: "fewer of the same conditions", in: []specs.LinuxSyscall{allow("personality", eq(8))}, out: []specs.LinuxSyscall{allow("personality", eq(8))}},
		{name: "wider values", in: []specs.LinuxSyscall{allow("socket", arg(specs.OpNotEqual, 40))},
			out: []specs.LinuxSyscall{allow("socket", arg(specs.OpLessThan, 3)), allow("socket", eq(16))}, limited: []string{"socket"}},
		{name: "narrower values", in: []specs.LinuxSyscall{allow("socket", eq(1))}, out: []specs.LinuxSyscall{allow("socket", eq(1))}},
		{name: "overlapping values", in: []specs.LinuxSyscall{allow("socket", arg(specs.OpGreaterThan, 1))}, lost: []string{"socket"}},
		{name: "another argument", in: []specs.LinuxSyscall{allow("socket", specs.LinuxSeccompArg{Index: 1, Value: 1, Op: specs.OpEqualTo})}, lost: []string{"socket"}},
		{name: "another mask", in: []specs.LinuxSyscall{allow("clone", specs.LinuxSeccompArg{Value: 1, Op: specs.OpMaskedEqual})}, lost: []string{"clone"}},
		// runc makes "at least 1 and at most 2" into "at least 1, or at most 2".
		{name: "twice the same argument", in: []specs.LinuxSyscall{allow("socket", arg(specs.OpGreaterEqual, 1), arg(specs.OpLessEqual, 2))}, lost: []string{"socket"}},
		{name: "allowed and denied", in: []specs.LinuxSyscall{allow("socket"), act(specs.ActKillProcess, "socket", eq(2))},
			out: []specs.LinuxSyscall{act(specs.ActKillProcess, "socket", eq(2))}, lost: []string{"socket"}},
		{name: "logging goes on", in: []specs.LinuxSyscall{act(specs.ActLog, "clone")}, out: []specs.LinuxSyscall{act(specs.ActLog, "clone", masked)}, limited: []string{"clone"}},
		{name: "two ways to let through", in: []specs.LinuxSyscall{act(specs.ActLog, "clone"), allow("clone", eq(9))}, lost: []string{"clone"}},
		// The rule means nothing to runc, so the conditions of the allow are all that counts.
		{name: "a denial like the default", in: []specs.LinuxSyscall{act(specs.ActErrno, "socket"), allow("socket")},
			out: []specs.LinuxSyscall{act(specs.ActErrno, "socket"), allow("socket", arg(specs.OpLessThan, 3)), allow("socket", eq(16))}, limited: []string{"socket"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := profile(tt.in...)
			before, err := json.Marshal(in)
			if err != nil {
				t.Fatal(err)
			}
			n, err := Narrow(in, bound)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := text(t, n.Profile.Syscalls), text(t, tt.out); got != want {
				t.Errorf("\ngot  %s\nwant %s", got, want)
			}
			if !slices.Equal(n.Removed, tt.removed) || !slices.Equal(n.Dropped, tt.lost) || !slices.Equal(n.Limited, tt.limited) {
				t.Errorf("removed %v, dropped %v, limited %v", n.Removed, n.Dropped, n.Limited)
			}
			if n.Changed() != (len(tt.removed)+len(tt.lost)+len(tt.limited) > 0) {
				t.Errorf("changed is %v", n.Changed())
			}
			if after := text(t, in); after != string(before) {
				t.Errorf("the input was changed to %s", after)
			}
		})
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestNarrowArchitectures(t *testing.T) {
	bound := profile(allow("read"))
	bound.Architectures = []specs.Arch{specs.ArchX86_64}
	for _, tt := range []struct{ in, out, gone []specs.Arch }{
		{},
		{in: []specs.Arch{specs.ArchX86_64}, out: []specs.Arch{specs.ArchX86_64}},
		{in: []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32}, out: []specs.Arch{specs.ArchX86_64}, gone: []specs.Arch{specs.ArchX86, specs.ArchX32}},
		{in: []specs.Arch{specs.ArchX86}, out: []specs.Arch{specs.ArchX86_64}, gone: []specs.Arch{specs.ArchX86}},
	} {
		p := profile(allow("read"))
		p.Architectures = tt.in
		n, err := Narrow(p, bound)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(n.Profile.Architectures, tt.out) || !slices.Equal(n.Architectures, tt.gone) {
			t.Errorf("%v became %v, gone %v", tt.in, n.Profile.Architectures, n.Architectures)
		}
	}
}

func TestNarrowRefusesWhatCheckFinds(t *testing.T) {
	if _, err := Narrow(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow}, profile()); err == nil {
		t.Error("a profile that lets through by default was narrowed")
	}
}

func TestDefaultDependsOnCapabilities(t *testing.T) {
	names := func(bounding ...string) []string {
		p, err := Default(bounding)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Architectures) != 1 {
			t.Errorf("architectures %v", p.Architectures)
		}
		var names []string
		for _, s := range p.Syscalls {
			if s.Action == specs.ActAllow {
				names = append(names, s.Names...)
			}
		}
		return names
	}
	if n := names(); slices.Contains(n, "mount") || slices.Contains(n, "chroot") || !slices.Contains(n, "read") {
		t.Errorf("for no capabilities: %v", n)
	}
	if n := names("CAP_SYS_CHROOT"); slices.Contains(n, "mount") || !slices.Contains(n, "chroot") {
		t.Errorf("for CAP_SYS_CHROOT: %v", n)
	}
}

func TestIntervals(t *testing.T) {
	const most = math.MaxUint64
	for _, tt := range []struct {
		op   specs.LinuxSeccompOperator
		v    uint64
		want intervals
	}{
		{specs.OpEqualTo, most, intervals{{most, most}}},
		{specs.OpNotEqual, 0, intervals{{1, most}}},
		{specs.OpNotEqual, most, intervals{{0, most - 1}}},
		{specs.OpNotEqual, 5, intervals{{0, 4}, {6, most}}},
		{specs.OpLessThan, 0, nil},
		{specs.OpLessThan, 1, intervals{{0, 0}}},
		{specs.OpLessEqual, 0, intervals{{0, 0}}},
		{specs.OpGreaterThan, most, nil},
		{specs.OpGreaterThan, 1, intervals{{2, most}}},
		{specs.OpGreaterEqual, 0, intervals{{0, most}}},
	} {
		if got, ok := intervalsOf(arg(tt.op, tt.v)); !ok || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s %d: %v", tt.op, tt.v, got)
		}
	}
	if _, ok := intervalsOf(arg("SCMP_CMP_XX", 1)); ok {
		t.Error("an operator that is not one has values")
	}
	joined := intervals{{6, most}, {0, 4}, {5, 5}, {3, 3}}.normal()
	if !reflect.DeepEqual(joined, intervals{{0, most}}) {
		t.Errorf("joined to %v", joined)
	}
	if (intervals{{0, 4}, {6, 9}}).contains(intervals{{4, 6}}) || !(intervals{{0, 4}}).contains(nil) {
		t.Error("contains")
	}
}
