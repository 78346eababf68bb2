// Package filters has the test that the seccomp algebra says no more than what libseccomp's filters do.
package filters

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"runclamp/enforce/seccomp"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// held is a profile with what libseccomp makes of it.
type held struct {
	profile *specs.LinuxSeccomp
	program program
	err     error
}

func (l *library) hold(p *specs.LinuxSeccomp) held {
	l.t.Helper()
	built, err := l.build(p)
	return held{p, built, err}
}

// target is a system call of an architecture with the arguments to try it with.
type target struct {
	call call
	args [][6]uint64
}

// targets are all system calls that are tried, on all architectures.
func (l *library) targets(r *rand.Rand, profiles ...*specs.LinuxSeccomp) []target {
	values, indices := constants(profiles)
	var all []target
	var audits []uint32
	for _, a := range l.family {
		if slices.Contains(audits, a.audit) {
			continue
		}
		audits = append(audits, a.audit)
		audit, names := a.audit, make(map[uint32]string)
		for _, a := range l.family {
			if a.audit == audit {
				for name, number := range a.calls {
					names[number] = name
				}
			}
		}
		for _, nr := range numbers() {
			name := names[nr]
			all = append(all, target{call{arch: audit, nr: nr}, arguments(r, values[name], indices[name])})
		}
	}
	return append(all, target{call{arch: unix.AUDIT_ARCH_RISCV64}, [][6]uint64{{}}}) // a machine of another kind
}

// weaker looks for a point where one is weaker than the other, by what weaker says of what they return.
func (l *library) weaker(one, other program, targets []target, weaker func(c *call, one, other uint32) bool) string {
	l.t.Helper()
	for _, t := range targets {
		for _, t.call.args = range t.args {
			a, err1 := one.run(&t.call)
			b, err2 := other.run(&t.call)
			if err1 != nil || err2 != nil {
				l.t.Fatal(err1, err2)
			}
			if weaker(&t.call, a, b) {
				return fmt.Sprintf("architecture %#x, call %d (%#x), arguments %#x: %#x, and not %#x", t.call.arch, t.call.nr&^x32Bit, t.call.nr, t.call.args, a, b)
			}
		}
	}
	return ""
}

func looser(_ *call, one, other uint32) bool { return strictness(one) == 0 && strictness(other) > 0 }

func text(p *specs.LinuxSeccomp) string {
	t, err := json.Marshal(p)
	if err != nil {
		panic(err)
	}
	return string(t)
}

// pair holds the algebra's word on two profiles against the programs: Compare says Yes only where nothing is looser, and what Intersect
// makes is built, is not looser than either, and denies nothing less strictly than the first.
func (l *library) pair(r *rand.Rand, p, bound held) (answer seccomp.Answer) {
	t := l.t
	t.Helper()
	answer, _ = seccomp.Compare(p.profile, bound.profile)
	both, err := seccomp.Intersect(p.profile, bound.profile)
	if err != nil {
		t.Errorf("Intersect: %v\np %s\nbound %s", err, text(p.profile), text(bound.profile))
		return answer
	}
	out := l.hold(both.Profile)
	fail := func(format string, args ...any) {
		t.Errorf("%s\np     %s\nbound %s\nout   %s", fmt.Sprintf(format, args...), text(p.profile), text(bound.profile), text(both.Profile))
	}
	targets := l.targets(r, p.profile, bound.profile, both.Profile)
	if answer == seccomp.Yes && p.err == nil && bound.err == nil {
		if at := l.weaker(p.program, bound.program, targets, looser); at != "" {
			fail("Compare says yes; p is looser at %s", at)
		}
	}
	if out.err != nil {
		if p.err == nil && bound.err == nil {
			fail("what Intersect made of them can't be built: %v", out.err)
		}
		return answer
	}
	if p.err == nil {
		weakened := func(c *call, one, other uint32) bool {
			// A filter kills the thread that calls on an architecture that it does not have, whatever its default action.
			return strictness(one) < strictness(other) && !(one == foreign && len(both.Architectures) > 0) && strictness(one) < l.written(p.profile, c)
		}
		if at := l.weaker(out.program, p.program, targets, weakened); at != "" {
			fail("the intersection is weaker than p at %s", at)
		}
	}
	if bound.err == nil {
		if at := l.weaker(out.program, bound.program, targets, looser); at != "" {
			fail("the intersection is looser than the bound at %s", at)
		}
	}
	return answer
}

// written is the least strict of what a profile says of a call: rules that hold may not agree, and libseccomp does not define which counts,
// or builds them otherwise than they are written. What comes of multiplexers on 32-bit x86 is not modelled; then it is as strict as can be.
func (l *library) written(p *specs.LinuxSeccomp, c *call) int {
	least := strictness(unix.SECCOMP_RET_KILL_PROCESS)
	for _, a := range l.family {
		if a.audit != c.arch || multiplexer(a, c.nr) || a.audit == x86_64 && (c.nr >= x32Bit) != (a.named == specs.ArchX32) {
			continue
		}
		if m, has := meaningOf(p, a); has {
			at := a.words(*c)
			for _, returns := range m.at(&at) {
				least = min(least, strictness(returns))
			}
		}
	}
	return least
}

// seeded is the source of what is generated, and how many to generate: RUNCLAMP_TEST_SEED and RUNCLAMP_TEST_FILTERS.
func seeded(t *testing.T, count int) (*rand.Rand, int) {
	t.Helper()
	seed := uint64(1)
	for name, set := range map[string]func(uint64){
		"RUNCLAMP_TEST_SEED": func(n uint64) { seed = n }, "RUNCLAMP_TEST_FILTERS": func(n uint64) { count = int(n) },
	} {
		if text := os.Getenv(name); text != "" {
			n, err := strconv.ParseUint(text, 10, 32)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			set(n)
		}
	}
	return rand.New(rand.NewPCG(seed, 0)), count
}

// TestGenerated: pairs of generated profiles.
func TestGenerated(t *testing.T) {
	l := newLibrary(t)
	r, count := seeded(t, 400)
	answers := make(map[seccomp.Answer]int)
	unbuilt := 0
	for i := range count {
		l.tree = i%2 == 0
		p, bound := l.hold(l.generate(r)), l.hold(l.generate(r))
		if p.err != nil || bound.err != nil {
			unbuilt++
		}
		answers[l.pair(r, p, bound)]++
		if t.Failed() {
			return
		}
	}
	t.Logf("%d pairs: Compare says %v; %d with a profile that libseccomp does not build", count, answers, unbuilt)
	if count >= 100 && (answers[seccomp.Yes] == 0 || answers[seccomp.No] == 0 || answers[seccomp.Unknown] == 0 || unbuilt > count/2) {
		t.Error("too few of some kind to say anything")
	}
}

// TestExact: what is decided of one system call at one point, each way, is what the program returns there.
func TestExact(t *testing.T) {
	l := newLibrary(t)
	r, count := seeded(t, 1500)
	decided, unbuilt := make(map[bool]int), 0
	for range count {
		var p *specs.LinuxSeccomp
		for p == nil || seccomp.Check(p, nil) != nil {
			p = &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: l.names()[:1], Syscalls: entries(r, "prctl")}
			if r.IntN(3) == 0 {
				p.Architectures = l.names()
			}
		}
		h := l.hold(p)
		if h.err != nil {
			unbuilt++ // whatever is said of it is true of no container
			continue
		}
		values, indices := constants([]*specs.LinuxSeccomp{p})
		points := arguments(r, values["prctl"], indices["prctl"])
		for range 25 {
			args := points[r.IntN(len(points))]
			var at []specs.LinuxSeccompArg
			for i, v := range args {
				at = append(at, specs.LinuxSeccompArg{Index: uint(i), Op: specs.OpEqualTo, Value: v})
			}
			// One profile lets just this point through, and on 32-bit architectures all that have its low words.
			point := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: p.Architectures,
				Syscalls: []specs.LinuxSyscall{{Names: []string{"prctl"}, Action: specs.ActAllow, Args: at}}}
			_, differences := seccomp.Compare(point, p)
			for _, a := range l.family {
				if !slices.Contains(p.Architectures, a.named) {
					continue
				}
				answer := seccomp.Yes
				if i := slices.IndexFunc(differences, func(d seccomp.Difference) bool { return d.Arch == a.named }); i >= 0 {
					answer = differences[i].Answer
				}
				decided[answer != seccomp.Unknown]++
				if answer == seccomp.Unknown {
					continue
				}
				got, err := h.program.run(&call{a.audit, a.calls["prctl"], args})
				if err != nil {
					t.Fatal(err)
				}
				if let := strictness(got) == 0; let != (answer == seccomp.Yes) {
					t.Fatalf("%s: at %#x Compare says that it is let through: %v; the program returns %#x: %s", a.named, args, answer, got, text(p))
				}
			}
		}
	}
	t.Logf("%d profiles: %d points decided, %d not; %d profiles that libseccomp does not build", count, decided[true], decided[false], unbuilt)
	if unbuilt > count/2 || decided[true] == 0 || decided[false] == 0 {
		t.Error("too few of some kind to say anything")
	}
}

// TestEngines: the engines' default profiles for several sets of capabilities and our own, all pairs.
func TestEngines(t *testing.T) {
	l := newLibrary(t)
	r, _ := seeded(t, 0)
	all := l.engines()
	for i, p := range all {
		for k, bound := range all {
			answer := l.pair(r, p, bound)
			if i == k && answer != seccomp.Yes {
				t.Errorf("Compare says %v of one profile twice: %s", answer, text(p.profile))
			}
			both, err := seccomp.Intersect(p.profile, bound.profile)
			if err != nil {
				t.Fatal(err)
			}
			for _, of := range []held{p, bound} {
				if answer, d := seccomp.Compare(both.Profile, of.profile); answer != seccomp.Yes {
					t.Errorf("Compare says %v of the intersection %s: %+v", answer, text(both.Profile), d)
				}
			}
		}
	}
}

// engines are the engines' profiles, which can be built.
func (l *library) engines() []held {
	l.t.Helper()
	profiles := engines(l.t)
	var all []held
	for _, name := range slices.Sorted(maps.Keys(profiles)) {
		h := l.hold(profiles[name])
		if h.err != nil {
			l.t.Fatalf("%s: %v", name, h.err)
		}
		all = append(all, h)
	}
	return all
}

// TestMeaning: the engines' profiles do what they say, everywhere.
func TestMeaning(t *testing.T) {
	l := newLibrary(t)
	r, _ := seeded(t, 0)
	for _, l.tree = range []bool{true, false} {
		for _, h := range l.engines() {
			targets := l.targets(r, h.profile)
			for _, a := range l.family {
				if at := l.otherwise(h, a, targets); at != "" {
					t.Errorf("%s: %s: %s", a.named, at, text(h.profile))
				}
			}
		}
	}
}

// otherwise looks for a point on an architecture where a program does something else than its profile says.
func (l *library) otherwise(h held, a arch, targets []target) string {
	l.t.Helper()
	m, has := meaningOf(h.profile, a)
	for _, t := range targets {
		// libseccomp takes all numbers from the bit on for those of x32, but for -1, which is what a tracer that wants no call writes there.
		onX32 := t.call.nr >= x32Bit && t.call.nr != math.MaxUint32
		if t.call.arch != a.audit || a.audit == x86_64 && onX32 != (a.named == specs.ArchX32) || multiplexer(a, t.call.nr) {
			continue
		}
		for _, t.call.args = range t.args {
			want := []uint32{foreign}
			if has {
				c := a.words(t.call)
				want = m.at(&c)
			}
			got, err := h.program.run(&t.call)
			if err != nil {
				l.t.Fatal(err)
			}
			if !slices.Contains(want, got) {
				return fmt.Sprintf("call %#x, arguments %#x: %#x, and not %#x", t.call.nr, t.call.args, got, want)
			}
		}
	}
	return ""
}

// words is a call with what libseccomp looks at of its arguments: 32 bits but on the machine's own architecture, also for x32.
func (a arch) words(c call) call {
	for i := range c.args {
		if a.named != seccomp.Native() {
			c.args[i] &= math.MaxUint32
		}
	}
	return c
}

// multiplexer: a call whose rules libseccomp makes of those of others, too (arch-x86.c).
func multiplexer(a arch, nr uint32) bool {
	return a.named == specs.ArchX86 && (nr == a.calls["socketcall"] || nr == a.calls["ipc"])
}

// TestPartings: rules like Podman's for socket(2) do what they say, with the action that they say.
func TestPartings(t *testing.T) {
	l := newLibrary(t)
	r, count := seeded(t, 400)
	for range count {
		p := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: l.names(), Syscalls: partings(r, "prctl")}
		h := l.hold(p)
		if h.err != nil {
			t.Fatalf("%v: %s", h.err, text(p))
		}
		values, indices := constants([]*specs.LinuxSeccomp{p})
		for _, a := range l.family {
			targets := []target{{call{arch: a.audit, nr: a.calls["prctl"]}, arguments(r, values["prctl"], indices["prctl"])}}
			if at := l.otherwise(h, a, targets); at != "" {
				t.Fatalf("%s: %s: %s", a.named, at, text(p))
			}
		}
	}
}
