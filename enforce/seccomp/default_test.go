package seccomp

import (
	"slices"
	"testing"

	moby "github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

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

// docker is the profile that Docker sends for a container with the capabilities that it gives by default.
func docker(t testing.TB) *specs.LinuxSeccomp {
	t.Helper()
	p, err := moby.GetDefaultProfile(&specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP",
		"CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestDocker: what Docker sends is left alone but for the foreign architectures and what capabilities that are gone had opened.
func TestDocker(t *testing.T) {
	bound, err := Default([]string{"CAP_CHOWN"})
	if err != nil {
		t.Fatal(err)
	}
	p := docker(t)
	n, err := Intersect(p, bound)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(n.Removed, []string{"chroot"}) || len(n.Limited)+len(n.Undecided)+len(n.Denied) > 0 || !slices.Equal(n.Architectures, Family()) {
		t.Errorf("removed %v, limited %v, undecided %v, denied %v, architectures %v", n.Removed, n.Limited, n.Undecided, n.Denied, n.Architectures)
	}
	if answer, why := Compare(n.Profile, bound); answer != Yes {
		t.Errorf("as strict as the bound: %v %v", answer, why)
	}
	if answer, why := Compare(p, bound); answer != No || !slices.ContainsFunc(why, func(d Difference) bool {
		return d == Difference{Native(), "chroot", No, "it is let through, and denied by the other"}
	}) {
		t.Errorf("before: %v", answer)
	}
	if answer, why := Compare(p, docker(t)); answer != Yes {
		t.Errorf("as strict as itself: %v %v", answer, why)
	}
}

func BenchmarkIntersect(b *testing.B) {
	p := docker(b)
	bound, err := Default([]string{"CAP_CHOWN"})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Intersect(p, bound); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompare(b *testing.B) {
	p := docker(b)
	bound, err := Default([]string{"CAP_CHOWN"})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		Compare(p, bound)
	}
}

func BenchmarkDefault(b *testing.B) {
	for b.Loop() {
		if _, err := Default([]string{"CAP_CHOWN"}); err != nil {
			b.Fatal(err)
		}
	}
}

// podman is the part of Podman's default that has conditions, for a container without CAP_AUDIT_WRITE (containers/common,
// pkg/seccomp/seccomp.json).
func podman() *specs.LinuxSeccomp {
	enosys := uint(38)
	netlink, audit := eq(16), on(2, eq(9))
	p := profile(allow("read"), allow("clone"), allow("clone3"), allow("keyctl"), errno("bpf", 1),
		allow("personality", eq(0)), allow("personality", eq(8)), allow("personality", eq(0x20000)), allow("personality", eq(0x20008)), allow("personality", eq(0xffffffff)),
		errno("socket", 22, netlink, audit), allow("socket", on(2, arg(specs.OpNotEqual, 9))), allow("socket", arg(specs.OpNotEqual, 16)), allow("socket", on(2, arg(specs.OpNotEqual, 9))))
	p.DefaultErrnoRet = &enosys
	return p
}

// TestPodman: what one engine's default says of socket(2) is held against what another's does.
func TestPodman(t *testing.T) {
	if answer, why := Compare(podman(), podman()); answer != Yes {
		t.Errorf("as strict as itself: %v %v", answer, why)
	}
	s := rulesOf(podman(), false)
	for _, c := range s.calls {
		if !exact(c.rules) {
			t.Errorf("%s is not built as it is written", c.name)
		}
	}
	bound, err := Default(nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err := Intersect(podman(), bound)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(n.Removed, []string{"clone3", "keyctl"}) || !slices.Contains(n.Limited, "clone") || len(n.Denied) > 0 {
		t.Errorf("removed %v, limited %v, denied %v", n.Removed, n.Limited, n.Denied) // ENOSYS is Podman's default
	}
	for _, tt := range []struct {
		name string
		args [6]uint64
		want bool
	}{
		{"read", [6]uint64{}, true},
		{"keyctl", [6]uint64{}, false},
		{"clone", [6]uint64{0x10000000}, false},
		{"clone", [6]uint64{17}, true},
		{"socket", [6]uint64{16, 3, 9}, false},
		{"socket", [6]uint64{16, 3, 0}, true},
		{"socket", [6]uint64{2, 1, 9}, true},
		{"socket", [6]uint64{40, 1, 0}, false},
		{"personality", [6]uint64{8}, true},
	} {
		if is := does(n.Profile, tt.name, tt.args, false); is.must != tt.want || is.may != tt.want {
			t.Errorf("%s %v: %+v", tt.name, tt.args, is)
		}
	}
	if answer, why := Compare(n.Profile, bound); answer != Yes {
		t.Errorf("as strict as Docker's: %v %v", answer, why)
	}
	if len(n.Undecided) > 0 {
		t.Errorf("given up: %v", n.Undecided)
	}
}
