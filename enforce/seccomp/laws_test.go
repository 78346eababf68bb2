package seccomp

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"runclamp/enforce/seccomp/syscalls"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func text(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestLaws holds the laws of the algebra over generated profiles. `go test -fuzz FuzzIntersect ./enforce/seccomp` looks on.
func TestLaws(t *testing.T) {
	for seed := range uint64(1500) {
		holdLaws(t, seed)
	}
}

func FuzzIntersect(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) { holdLaws(t, seed) })
}

func holdLaws(t *testing.T, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	p, bound := generated(r), generated(r)
	if r.IntN(8) == 0 {
		bound = p
	}
	before := text(t, []any{p, bound})
	n, err := Intersect(p, bound)
	if err != nil {
		t.Fatal(err)
	}
	out := n.Profile
	say := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("seed %d: "+format+"\np     %s\nbound %s\nout   %s\n%+v", append(append([]any{seed}, args...), text(t, p), text(t, bound), text(t, out), n)...)
	}
	if !bytes.Equal(before, text(t, []any{p, bound})) {
		say("the inputs were changed")
	}

	// At least as strict as both, at every point, on every architecture.
	for _, arch := range covered(out) {
		if !slices.Contains(covered(p), arch) || !slices.Contains(covered(bound), arch) {
			say("architecture %s came in", arch)
		}
		for _, name := range append(generatedNames, "getpid") {
			if !calledOn(arch, name) {
				continue
			}
			for _, at := range pointsFor(r, name, p, bound, out) {
				is, ours, theirs := does(out, name, at, narrowWords(arch)), does(p, name, at, narrowWords(arch)), does(bound, name, at, narrowWords(arch))
				// Where rules contradict each other, the same rules do the same.
				if is.may && (!ours.may || !theirs.may) || is.must && !(ours.must && theirs.must) && !sameRules(p, out, name) && !sameRules(bound, out, name) {
					say("%s is let through on %s with %v", name, arch, at)
				}
				if !is.may && !ours.may && is.level < ours.level {
					say("%s is denied less strictly on %s with %v", name, arch, at)
				}
			}
		}
	}

	if _, added := Numbered(out); added {
		say("libseccomp's filter may not look at the number")
	}
	again, err := Intersect(out, bound)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text(t, again.Profile), text(t, out)) || again.Changed() {
		say("not idempotent: %s\n%+v", text(t, again.Profile), again)
	}
	if !n.Changed() {
		if answer, why := Compare(p, bound); answer == No {
			say("unchanged, but p is looser: %v", why)
		}
	}
	for _, of := range []*specs.LinuxSeccomp{p, bound} {
		if answer, why := Compare(out, of); answer == No {
			say("Compare says it is looser: %v", why)
		}
	}
	if answer, why := Compare(p, p); answer != Yes {
		say("a profile is not as strict as itself: %v", why)
	}

	// Compare never says yes, or no, wrongly.
	answer, differences := Compare(p, bound)
	for _, arch := range covered(p) {
		if arch == specs.ArchX86 {
			continue // its multiplexers have tests of their own
		}
		foreign := !slices.Contains(covered(bound), arch)
		for _, name := range append(generatedNames, "getpid") {
			if !calledOn(arch, name) {
				continue
			}
			looser := false
			for _, at := range pointsFor(r, name, p, bound) {
				ours, theirs := does(p, name, at, narrowWords(arch)), does(bound, name, at, narrowWords(arch))
				if foreign {
					theirs = outcome{}
				}
				looser = looser || ours.must && !theirs.may
			}
			i := slices.IndexFunc(differences, func(d Difference) bool { return d.Arch == arch && (d.Name == name || d.Name == "") })
			if looser && i < 0 {
				say("Compare says %v, and nothing of %s on %s, which is looser: %v", answer, name, arch, differences)
			}
		}
	}

	// runc answers ENOSYS for what is newer than all that is named. That may not come to be where the process would be killed.
	whose := p
	if n.Default {
		whose = bound
	}
	if levelOf(whose.DefaultAction) > 1 {
		for _, arch := range covered(out) {
			if before, kept := newestNumber(arch, whose), newestNumber(arch, out); kept < before && slices.Contains(covered(whose), arch) {
				say("the newest call on %s is %d, and was %d", arch, kept, before)
			}
		}
		for _, s := range whose.Syscalls {
			if slices.Contains(s.Names, "no_such_call") && !slices.ContainsFunc(out.Syscalls, func(s specs.LinuxSyscall) bool { return slices.Contains(s.Names, "no_such_call") }) {
				say("a call that may be the newest is named no more")
			}
		}
	}

	// The other way round, the same is let through where both ways decide.
	back, err := Intersect(bound, p)
	if err != nil {
		t.Fatal(err)
	}
	if len(n.Undecided)+len(back.Undecided) > 0 || !reflect.DeepEqual(covered(out), covered(back.Profile)) {
		return
	}
	for _, name := range generatedNames {
		for _, at := range pointsFor(r, name, p, bound, out) {
			if one, other := does(out, name, at, false), does(back.Profile, name, at, false); one.must != other.must && calledOn(Native(), name) {
				say("%s with %v depends on the order: %s", name, at, text(t, back.Profile))
			}
		}
	}
}

// newestNumber is the greatest number that a profile names on an architecture.
func newestNumber(a specs.Arch, p *specs.LinuxSeccomp) (greatest int64) {
	for _, s := range p.Syscalls {
		for _, name := range s.Names {
			if numbers, ok := syscalls.Lookup(name); ok {
				if number, ok := numbers.On(a); ok {
					greatest = max(greatest, int64(number))
				}
			}
		}
	}
	return greatest
}

func calledOn(a specs.Arch, name string) bool {
	c := named(name)
	return c.on(a)
}

// sameRules: both profiles say the very same of a call.
func sameRules(a, b *specs.LinuxSeccomp, name string) bool {
	x, y, c := rulesOf(a, false), rulesOf(b, false), named(name)
	return slices.EqualFunc(x.rules(&c), y.rules(&c), sameRule)
}

// TestOneArgument: of simple profiles Compare always knows.
func TestOneArgument(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	condition := func() *specs.LinuxSeccomp {
		a := specs.LinuxSeccompArg{Value: pick[uint64](r, 0, 1, 7, 8, 9, 1<<32, 1<<64-1), Op: pick(r, specs.OpEqualTo, specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpGreaterThan, specs.OpGreaterEqual)}
		if r.IntN(4) == 0 {
			a = specs.LinuxSeccompArg{Value: pick[uint64](r, 1, 7, 8, 0x7e020000, 1<<63), Op: specs.OpMaskedEqual}
		}
		return profile(allow("personality", a))
	}
	var said [3]int
	for range 3000 {
		p, q := condition(), condition()
		answer, why := Compare(p, q)
		said[answer]++
		if answer == Unknown {
			t.Fatalf("unknown: %v\n%s\n%s", why, text(t, p), text(t, q))
		}
		looser := false
		for _, v := range edges(r, "personality", p, q) {
			looser = looser || does(p, "personality", [6]uint64{v}, false).must && !does(q, "personality", [6]uint64{v}, false).may
		}
		if looser && answer == Yes {
			t.Fatalf("a wrong yes\n%s\n%s", text(t, p), text(t, q))
		}
	}
	if said[Yes] < 100 || said[No] < 100 {
		t.Errorf("%d times yes and %d times no: the profiles are not the kind to try this with", said[Yes], said[No])
	}
}
