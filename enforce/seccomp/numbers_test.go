package seccomp

import (
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// open lets through by default, for three architectures.
func open(s ...specs.LinuxSyscall) *specs.LinuxSeccomp {
	return &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32}, Syscalls: s}
}

// TestNumbered: what libseccomp would build without a look at the number gets one rule more, and nothing else does. integration/filters
// has what libseccomp builds.
func TestNumbered(t *testing.T) {
	if Native() != specs.ArchX86_64 {
		t.Skip("left out: it is about x86-64")
	}
	only := func(p *specs.LinuxSeccomp, archs ...specs.Arch) *specs.LinuxSeccomp {
		p.Architectures = archs
		return p
	}
	kill := specs.ActKillProcess
	void := errno("nfsservctl", 38)
	for _, tt := range []struct {
		name string
		p    *specs.LinuxSeccomp
		want *specs.LinuxSyscall
	}{
		{"a call of another architecture comes first", open(errno("chown32", 1), errno("clone", 1, eq(1))), &void},
		{"fewer conditions", open(errno("chown32", 1, eq(1)), errno("clone", 1, eq(1), on(1, eq(1)))), &void},
		{"no table has it", open(errno("no_such_call", 1), errno("clone", 1, eq(1))), &void},
		{"by a multiplexer only", only(open(errno("accept", 1), errno("clone", 1, eq(1))), specs.ArchX86), &void},
		{"new, and so perhaps unknown", open(errno("landlock_create_ruleset", 1), errno("chown32", 1)), &void},
		{"under LOG", &specs.LinuxSeccomp{DefaultAction: specs.ActLog, Architectures: []specs.Arch{specs.ArchX32}, Syscalls: rulesOut{errno("chown32", 1)}}, &void},
		{"the same, denied more strictly under conditions", open(errno("chown32", 1), act(kill, "nfsservctl", eq(1))), &specs.LinuxSyscall{Names: []string{"nfsservctl"}, Action: kill}},
		{"one that is there comes first", open(errno("chown32", 1), errno("mount", 1), errno("clone", 1, eq(1))), nil},
		{"all have all", open(errno("ioctl", 1, eq(1)), errno("clone", 1, eq(1), on(1, eq(1)))), nil},
		{"a rule that runc drops", open(allow("chown32"), errno("clone", 1, eq(1))), nil},
		{"no rule", open(), nil},
		{"the native architecture", only(open(errno("chown32", 1), errno("clone", 1, eq(1)))), nil},
		{"the native architecture and 32-bit x86", only(open(errno("chown32", 1), errno("clone", 1, eq(1))), specs.ArchX86), nil},
		{"it denies by default", only(profile(allow("chown32"), allow("clone", eq(1))), specs.ArchX32), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := tt.p.Syscalls
			if tt.want != nil {
				want = append(rulesOut{*tt.want}, want...)
			}
			got, added := Numbered(tt.p)
			if string(text(t, got.Syscalls)) != string(text(t, want)) || added != (tt.want != nil) {
				t.Errorf("%v: %s\nwant %s", added, text(t, got.Syscalls), text(t, want))
			}
			if _, again := Numbered(got); again {
				t.Error("one is not enough")
			}
		})
	}
	for name, p := range map[string]*specs.LinuxSeccomp{"Docker": docker(t), "containerd": shipped(t, "containerd.json"), "Podman": shipped(t, "podman.json")} {
		if rules := rulesOf(p, false); !loads(specs.ArchX86_64, Family(), rules.calls) || !loads(specs.ArchX86, Family(), rules.calls) {
			t.Errorf("%s's profile is taken for one without a look at the number", name)
		}
	}
}

// TestVoid: the call is there, and of old, wherever a filter has to look at the number because of it.
func TestVoid(t *testing.T) {
	c := named(void)
	for _, a := range []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchAARCH64, specs.ArchARM, specs.ArchRISCV64} {
		if !c.ofOld(a) {
			t.Errorf("not on %s", a)
		}
	}
}

// TestNumberless: such a profile is compared with nothing but itself, and what is installed is another.
func TestNumberless(t *testing.T) {
	if Native() != specs.ArchX86_64 {
		t.Skip("left out: it is about x86-64")
	}
	x32 := func(s ...specs.LinuxSyscall) *specs.LinuxSeccomp {
		p := open(s...)
		p.Architectures = []specs.Arch{specs.ArchX32}
		return p
	}
	p, clone := x32(errno("chown32", 1), errno("clone", 1, eq(1))), x32(errno("clone", 1, eq(1)))
	for _, tt := range []struct {
		name string
		p, q *specs.LinuxSeccomp
		want Answer
	}{
		{"itself", p, p, Yes},
		{"no less", p, clone, Unknown},
		{"no more", clone, p, Unknown},
		{"nothing", p, x32(), Yes},
		{"nothing, which may be as strict", x32(), p, Unknown},
		{"what denies all", profile(), p, Yes},
		{"what lets through some of it", profile(allow("read")), p, Unknown},
	} {
		if got, why := Compare(tt.p, tt.q); got != tt.want {
			t.Errorf("%s: %s, wanted %s: %v", tt.name, got, tt.want, why)
		}
	}
	n, err := Intersect(open(p.Syscalls...), open(clone.Syscalls...))
	if err != nil {
		t.Fatal(err)
	}
	want := rulesOut{errno("nfsservctl", 38), errno("chown32", 1), errno("clone", 1, eq(1))}
	if got := string(text(t, n.Profile.Syscalls)); got != string(text(t, want)) || !slices.Equal(n.Void, []string{"nfsservctl"}) || !n.Changed() {
		t.Errorf("%v: %s", n.Void, got)
	}
}
