package seccomp

import (
	"math"
	"math/rand/v2"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// What a profile means is worked out here once more, point by point and from the definition, and shares nothing with the code under test.

// outcome is what a profile does with one call: what it may do, where rules contradict each other.
type outcome struct {
	may, must bool // it is let through: perhaps; certainly
	level     int  // of the denial, the strictest
}

func levelOf(a specs.LinuxSeccompAction) int {
	return slices.Index([]specs.LinuxSeccompAction{"", specs.ActErrno, specs.ActTrap, specs.ActKillThread, specs.ActKillProcess}, map[specs.LinuxSeccompAction]specs.LinuxSeccompAction{
		specs.ActErrno: specs.ActErrno, specs.ActTrap: specs.ActTrap, specs.ActKill: specs.ActKillThread, specs.ActKillThread: specs.ActKillThread, specs.ActKillProcess: specs.ActKillProcess,
	}[a])
}

func effective(a specs.LinuxSeccompAction, e *uint) string {
	if a == specs.ActKill {
		a = specs.ActKillThread
	}
	if a != specs.ActErrno && a != specs.ActTrace {
		return string(a)
	}
	if e == nil || *e == 1 {
		return string(a) + " EPERM"
	}
	return string(a) + string(rune('0'+*e))
}

func does(p *specs.LinuxSeccomp, name string, args [6]uint64, narrow bool) outcome {
	cut := func(v uint64) uint64 {
		if narrow {
			return v & math.MaxUint32
		}
		return v
	}
	holds := func(c specs.LinuxSeccompArg) bool {
		v, w := cut(args[c.Index]), cut(c.Value)
		switch c.Op {
		case specs.OpEqualTo:
			return v == w
		case specs.OpNotEqual:
			return v != w
		case specs.OpLessThan:
			return v < w
		case specs.OpLessEqual:
			return v <= w
		case specs.OpGreaterThan:
			return v > w
		case specs.OpGreaterEqual:
			return v >= w
		}
		return v&w == cut(c.ValueTwo)
	}
	letting, level, unconditional := false, 0, false
	for _, e := range p.Syscalls {
		if !slices.Contains(e.Names, name) || effective(e.Action, e.ErrnoRet) == effective(p.DefaultAction, p.DefaultErrnoRet) || unconditional {
			continue
		}
		matched := 0
		seen := map[uint]bool{}
		for _, c := range e.Args {
			seen[c.Index] = true
			if holds(c) {
				matched++
			}
		}
		if len(e.Args) == 0 {
			letting, level, unconditional = false, 0, true // nothing before it counts, either
		}
		if matched == len(e.Args) || len(seen) < len(e.Args) && matched > 0 {
			if l := levelOf(e.Action); l == 0 {
				letting = true
			} else {
				level = max(level, l)
			}
		}
	}
	if !letting && level == 0 {
		level = levelOf(p.DefaultAction)
		letting = level == 0
	}
	return outcome{may: letting, must: letting && level == 0, level: level}
}

// edges has every constant of the profiles for a name, what is next to it, and the limits.
func edges(r *rand.Rand, name string, profiles ...*specs.LinuxSeccomp) []uint64 {
	values := []uint64{0, 1, 1 << 31, 1<<32 - 1, 1 << 32, 1 << 63, 1<<64 - 1, r.Uint64(), r.Uint64() >> 32}
	for _, p := range profiles {
		for _, e := range p.Syscalls {
			if !slices.Contains(e.Names, name) {
				continue
			}
			for _, a := range e.Args {
				values = append(values, a.Value-1, a.Value, a.Value+1, a.Value^1<<32)
				if a.Op == specs.OpMaskedEqual {
					values = append(values, a.ValueTwo, a.ValueTwo|^a.Value, a.ValueTwo^1<<r.IntN(64), a.ValueTwo|r.Uint64()&^a.Value)
				}
			}
		}
	}
	slices.Sort(values)
	return slices.Compact(values)
}

// pointsFor are calls at the edges: every value for one argument at a time, the others at random.
func pointsFor(r *rand.Rand, name string, profiles ...*specs.LinuxSeccomp) [][6]uint64 {
	values := edges(r, name, profiles...)
	var points [][6]uint64
	for i := range 6 {
		for _, v := range values {
			var p [6]uint64
			for k := range p {
				p[k] = values[r.IntN(len(values))]
			}
			p[i] = v
			points = append(points, p)
		}
	}
	return points
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

var generatedNames = []string{"read", "write", "socket", "personality", "clone", "clone3", "mount", "no_such_call", "chown32"}

// generated makes a profile such as a person might write, and some that nobody would.
func generated(r *rand.Rand) *specs.LinuxSeccomp { return generatedFor(r, generatedNames) }

func generatedFor(r *rand.Rand, named []string) *specs.LinuxSeccomp {
	value := func() uint64 {
		return pick[uint64](r, 0, 1, 2, 3, 5, 8, 16, 38, 40, 0x7e020000, 1<<31, 1<<32-1, 1<<32, 1<<32+40, 1<<63, 1<<64-1)
	}
	p := &specs.LinuxSeccomp{
		DefaultAction: pick(r, specs.ActErrno, specs.ActErrno, specs.ActErrno, specs.ActKillProcess, specs.ActTrap, specs.ActKill, specs.ActAllow, specs.ActLog),
	}
	for _, a := range []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32} {
		if r.IntN(3) == 0 {
			p.Architectures = append(p.Architectures, a)
		}
	}
	ops := []specs.LinuxSeccompOperator{specs.OpEqualTo, specs.OpEqualTo, specs.OpEqualTo, specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpGreaterThan, specs.OpGreaterEqual, specs.OpMaskedEqual}
	for range r.IntN(10) {
		e := specs.LinuxSyscall{
			Names:  []string{pick(r, named...), pick(r, named...)}[:1+r.IntN(2)],
			Action: pick(r, specs.ActAllow, specs.ActAllow, specs.ActAllow, specs.ActAllow, specs.ActErrno, specs.ActLog, specs.ActKillProcess, specs.ActTrap),
		}
		for range max(0, r.IntN(5)-2) {
			a := specs.LinuxSeccompArg{Index: uint(r.IntN(3)), Value: value(), Op: pick(r, ops...)}
			if a.Op == specs.OpMaskedEqual {
				if uint32(a.Value) == 0 {
					a.Value |= 4 // with 32-bit architectures Check does not take such a mask
				}
				a.ValueTwo = value() & a.Value
			}
			e.Args = append(e.Args, a)
		}
		if r.IntN(3) == 0 {
			e.ErrnoRet = new(uint)
			*e.ErrnoRet = pick[uint](r, 1, 38)
		}
		p.Syscalls = append(p.Syscalls, e)
	}
	return p
}
