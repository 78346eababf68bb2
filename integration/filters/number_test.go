package filters

import (
	"slices"
	"strings"
	"testing"

	"runclamp/enforce/seccomp"
	"runclamp/enforce/seccomp/syscalls"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestNumber: where libseccomp builds a filter that does not look at the system call's number, so that no denial is in force, Compare does
// not trust it, and what is installed has the rule with which it is built as it is written.
func TestNumber(t *testing.T) {
	if seccomp.Native() != specs.ArchX86_64 {
		t.Skip("left out: it is about x86-64")
	}
	l := newLibrary(t)
	l.tree = false
	r, _ := seeded(t, 0)
	native, all := []specs.Arch{specs.ArchX86_64}, []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32}
	for _, tt := range []struct {
		name  string
		archs []specs.Arch
		calls [3]string // those with no condition, with one, and with two
		wrong bool      // libseccomp builds a filter that does not look at the number
	}{
		{"a call of 32-bit x86 only", all, [3]string{"chown32", "personality"}, true},
		{"the same with a condition", all, [3]string{"", "chown32", "personality"}, true},
		{"the same, and x32 by itself", all[2:], [3]string{"chown32", "personality"}, true},
		{"a call of another machine", all, [3]string{"cacheflush", "personality"}, true},
		{"one that only x32 lacks", all, [3]string{"", "epoll_ctl_old", "personality"}, true},
		{"one that 32-bit x86 has by a multiplexer only", all[:2], [3]string{"accept", "personality"}, true},
		{"the native architecture", native, [3]string{"chown32", "personality"}, false},
		{"a call that all have", all, [3]string{"chown32 mount", "personality"}, false},
		{"no call that one lacks", all, [3]string{"", "personality", "prctl"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			errno := uint(13)
			p := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: tt.archs}
			for n, names := range tt.calls {
				args := []specs.LinuxSeccompArg{{Index: 0, Value: 8, Op: specs.OpEqualTo}, {Index: 1, Value: 8, Op: specs.OpEqualTo}}[:n]
				p.Syscalls = append(p.Syscalls, specs.LinuxSyscall{Names: strings.Fields(names), Action: specs.ActErrno, ErrnoRet: &errno, Args: args})
			}
			made, added := seccomp.Numbered(p)
			if added != tt.wrong {
				t.Errorf("a rule was added: %v, wanted %v", added, tt.wrong)
			}
			both, err := seccomp.Intersect(p, p)
			if err != nil {
				t.Fatal(err)
			}
			targets := l.targets(r, p)
			// The same rules in another order: of the very same profile Compare says that it does the same.
			same := *p
			same.Syscalls = slices.Clone(p.Syscalls)
			slices.Reverse(same.Syscalls)
			if answer, _ := seccomp.Compare(p, &same); (answer == seccomp.Unknown) != tt.wrong {
				t.Errorf("Compare says %v", answer)
			}
			wrong := false
			for _, a := range l.family {
				wrong = wrong || l.otherwise(l.hold(p), a, targets) != ""
				for _, p := range []*specs.LinuxSeccomp{made, both.Profile} {
					if at := l.otherwise(l.hold(p), a, targets); at != "" {
						t.Errorf("%s: %s: %s", a.named, at, text(p))
					}
				}
			}
			if wrong != tt.wrong {
				t.Errorf("libseccomp builds it otherwise than it is written: %v, wanted %v", wrong, tt.wrong)
			}
		})
	}
}

// TestNumberGenerated: pairs of generated profiles that let through by default.
func TestNumberGenerated(t *testing.T) {
	l := newLibrary(t)
	r, count := seeded(t, 100)
	needed := 0
	for i := range count {
		l.tree = i%2 == 0
		var two [2]held
		for k := range two {
			p := l.generate(r)
			p.DefaultAction, p.DefaultErrnoRet = specs.ActAllow, nil
			if _, added := seccomp.Numbered(p); added {
				needed++
			}
			two[k] = l.hold(p)
		}
		l.pair(r, two[0], two[1])
		if t.Failed() {
			return
		}
	}
	t.Logf("%d of %d profiles need a rule more", needed, 2*count)
	if needed < count/10 {
		t.Error("too few to say anything")
	}
}

// TestNumbers: libseccomp has what the algebra takes for calls that it has known since it builds such filters (ofOld).
func TestNumbers(t *testing.T) {
	l := newLibrary(t)
	for name, numbers := range syscalls.All() {
		for _, a := range l.family {
			n, ok := numbers.On(a.named)
			own := a.named != specs.ArchX86 && n&^syscalls.X32Bit >= 335 && n&^syscalls.X32Bit < 424 // uprobe, uretprobe: see there
			if has, known := a.calls[name]; ok && !own && (n&^syscalls.X32Bit < 439 || n >= x32Bit|512) && (!known || has != n) {
				t.Errorf("%s on %s: %d, and libseccomp has %d (%v)", name, a.named, n, has, known)
			}
		}
	}
}
