package filters

import (
	"math/rand/v2"
	"testing"

	"runclamp/enforce/seccomp"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestTangled: two calls whose rules have conditions in common, each of which would be built as it is written without the other.
func TestTangled(t *testing.T) {
	l := newLibrary(t)
	r, count := seeded(t, 400)
	is := func(index uint, op specs.LinuxSeccompOperator, v uint64) specs.LinuxSeccompArg {
		return specs.LinuxSeccompArg{Index: index, Op: op, Value: v}
	}
	rules := func(name string, lists ...[]specs.LinuxSeccompArg) (all []specs.LinuxSyscall) {
		for _, args := range lists {
			all = append(all, specs.LinuxSyscall{Names: []string{name}, Action: specs.ActAllow, Args: args})
		}
		return all
	}
	type conditions = []specs.LinuxSeccompArg
	one := rules("prctl", conditions{is(0, specs.OpEqualTo, 2), is(1, specs.OpEqualTo, 2)}, conditions{is(0, specs.OpEqualTo, 0)})
	two := rules("clone", conditions{is(0, specs.OpEqualTo, 2), is(1, specs.OpNotEqual, 2)}, conditions{is(0, specs.OpEqualTo, 0)}, conditions{is(0, specs.OpEqualTo, 1)})
	sync := specs.LinuxSyscall{Names: []string{"sync"}, Action: specs.ActAllow}
	p := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: l.names()[:1], Syscalls: append(append(one, two...), sync)}
	wrong := l.otherwise(l.hold(p), l.family[0], l.targets(r, p))
	if wrong == "" {
		t.Error("libseccomp builds them as they are written")
	}
	open := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: append(rules("clone", nil), append(one, sync)...)}
	if answer, _ := seccomp.Compare(p, open); answer == seccomp.Yes {
		t.Errorf("Compare says yes, and it is let through: %s", wrong)
	}
	for range count {
		l.pair(r, l.hold(l.likened(r)), l.hold(l.likened(r)))
		if t.Failed() {
			return
		}
	}
}

// likened is a profile whose calls have few values and arguments, and so conditions in common.
func (l *library) likened(r *rand.Rand) *specs.LinuxSeccomp {
	p := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: pick(r, l.names()[:1], l.names())}
	for _, name := range []string{"prctl", "clone", "unshare"} {
		if r.IntN(4) == 0 {
			p.Syscalls = append(p.Syscalls, specs.LinuxSyscall{Names: []string{name}, Action: specs.ActAllow})
			continue
		}
		for range 1 + r.IntN(4) {
			first := uint(r.IntN(2))
			args := []specs.LinuxSeccompArg{{Index: first, Op: pick(r, specs.OpEqualTo, specs.OpEqualTo, specs.OpEqualTo, specs.OpNotEqual, specs.OpGreaterThan), Value: uint64(r.IntN(3))}}
			if r.IntN(3) == 0 {
				args = append(args, specs.LinuxSeccompArg{Index: first + 1 + uint(r.IntN(2)), Op: pick(r, specs.OpEqualTo, specs.OpNotEqual), Value: uint64(r.IntN(3))})
			}
			p.Syscalls = append(p.Syscalls, specs.LinuxSyscall{Names: []string{name}, Action: specs.ActAllow, Args: args})
		}
	}
	p.Syscalls = append(p.Syscalls, specs.LinuxSyscall{Names: []string{"sync"}, Action: specs.ActAllow})
	return p
}
