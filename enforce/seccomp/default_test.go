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
