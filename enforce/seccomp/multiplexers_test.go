package seccomp

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// numbersIn are a few of the calls that 32-bit x86's multiplexers are for (linux/net.h, linux/ipc.h).
var numbersIn = map[string]map[string]uint64{
	"socketcall": {"socket": 1, "bind": 2, "connect": 3},
	"ipc":        {"semop": 1, "shmat": 21},
}

// multiplexed is a profile with the rules that libseccomp adds for a multiplexer (src/arch-x86.c): the number takes the place of the first
// argument, what else is said of arguments stays.
func multiplexed(p *specs.LinuxSeccomp, mux string) *specs.LinuxSeccomp {
	out := *p
	out.Syscalls = nil
	for _, e := range p.Syscalls {
		alone := [][]specs.LinuxSeccompArg{e.Args}
		seen := map[uint]bool{}
		for _, a := range e.Args {
			seen[a.Index] = true
		}
		if len(seen) < len(e.Args) {
			alone = nil
			for _, a := range e.Args {
				alone = append(alone, []specs.LinuxSeccompArg{a})
			}
		}
		for _, name := range e.Names {
			number, ok := numbersIn[mux][name]
			for _, args := range alone {
				s := specs.LinuxSyscall{Names: []string{name}, Action: e.Action, ErrnoRet: e.ErrnoRet, Args: args}
				if ok {
					s.Names, s.Args = []string{mux}, []specs.LinuxSeccompArg{eq(number)}
					for _, a := range args {
						if a.Index > 0 {
							s.Args = append(s.Args, a)
						}
					}
				}
				out.Syscalls = append(out.Syscalls, s)
			}
		}
	}
	return &out
}

// TestMultiplexers: what Intersect and Compare say of socketcall(2) and ipc(2), point by point. Whatever comes of two profiles, no
// condition can be got round.
func TestMultiplexers(t *testing.T) {
	if Native() != specs.ArchX86_64 {
		t.Skip("left out: it is about x86-64")
	}
	names := []string{"socket", "bind", "connect", "socketcall", "semop", "shmat", "ipc", "read"}
	stayed, shut := 0, 0
	for seed := range uint64(4000) {
		r := rand.New(rand.NewPCG(seed, 86))
		p, bound := generatedFor(r, names), generatedFor(r, names)
		for _, of := range []*specs.LinuxSeccomp{p, bound} {
			of.Architectures = []specs.Arch{specs.ArchX86_64, specs.ArchX86}
		}
		n, err := Intersect(p, bound)
		if err != nil {
			t.Fatal(err)
		}
		out := n.Profile
		say := func(format string, args ...any) {
			t.Helper()
			t.Fatalf("seed %d: "+format+"\np     %s\nbound %s\nout   %s\n%+v", append(append([]any{seed}, args...), text(t, p), text(t, bound), text(t, out), n)...)
		}
		if !slices.Contains(covered(out), specs.ArchX86) {
			continue
		}
		stayed++
		again, err := Intersect(out, bound)
		if err != nil {
			t.Fatal(err)
		}
		if again.Changed() || !bytes.Equal(text(t, again.Profile), text(t, out)) {
			say("not idempotent: %s\n%+v", text(t, again.Profile), again)
		}
		_, differences := Compare(p, bound)
		for mux, numbers := range numbersIn {
			is, ours, theirs := multiplexed(out, mux), multiplexed(p, mux), multiplexed(bound, mux)
			if slices.Contains(n.Denied, mux) {
				shut++
			}
			looser := false
			for _, at := range pointsFor(r, mux, is, ours, theirs) {
				o, a, b := does(is, mux, at, true), does(ours, mux, at, true), does(theirs, mux, at, true)
				if o.may && (!a.may || !b.may) {
					say("%s %v is let through", mux, at)
				}
				if !o.may && !a.may && o.level < a.level {
					say("%s %v is denied less strictly", mux, at)
				}
				looser = looser || a.must && !b.may
			}
			// Compare sees it.
			if looser && !slices.ContainsFunc(differences, func(d Difference) bool { return d.Arch == specs.ArchX86 && (d.Name == mux || d.Name == "") }) {
				say("Compare says nothing of %s, which is looser: %v", mux, differences)
			}
			for name, number := range numbers {
				conditional := slices.ContainsFunc(out.Syscalls, func(e specs.LinuxSyscall) bool { return slices.Contains(e.Names, name) && len(e.Args) > 0 })
				for _, at := range pointsFor(r, mux, is) {
					at[0] = number
					if conditional && does(is, mux, at, true).may {
						say("%s %v gets round the conditions on %s", mux, at, name)
					}
				}
			}
		}
	}
	if stayed < 500 || shut < 200 {
		t.Errorf("32-bit x86 stayed %d times, a multiplexer was shut %d times: the profiles are not the kind to try this with", stayed, shut)
	}
}
