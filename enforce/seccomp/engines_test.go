package seccomp

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestEngines: what engines send by default meets Docker's default for a container without capabilities. All that both let through without
// conditions stays so, nothing else changes the second time, and what comes of it is in testdata/intersections.txt.
func TestEngines(t *testing.T) {
	bound, err := Default(nil)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	engines := []struct {
		name string
		p    *specs.LinuxSeccomp
		full bool // all of it is in the file, and not just what has conditions
	}{
		{"Docker", docker(t), true},
		{"moby 2.0.0-beta.24", shipped(t, "moby-2.json"), true},
		{"containerd", shipped(t, "containerd.json"), true},
		{"Podman", shipped(t, "podman.json"), true},
		{"Podman 0.69", shipped(t, "podman-0.69.json"), false},
		{"Podman 0.69 with CAP_AUDIT_WRITE", shipped(t, "podman-0.69.json", "CAP_AUDIT_WRITE"), false},
		{"containerd 2.4", shipped(t, "containerd-2.4.json"), false},
		{"Docker 28", shipped(t, "docker-28.json"), false},
		{"Docker 20.10", shipped(t, "docker-20.10.json"), false},
		{"one that denies AF_ALG only", &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{
			{Names: []string{"socket"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{{Value: unix.AF_ALG, Op: specs.OpEqualTo}}},
		}}, false},
	}
	for _, engine := range engines[:len(engines)-1] {
		n := under(t, engine.p, bound)
		kept := 0
		for name := range unconditionally(engine.p) {
			if !unconditionally(bound)[name] || !calledOn(Native(), name) {
				continue
			}
			kept++
			if !unconditionally(n.Profile)[name] {
				t.Errorf("%s: %s is let through by both, and no more", engine.name, name)
			}
		}
		if kept < 240 { // arm64 has fewer calls than x86-64
			t.Errorf("%s: both let only %d calls through", engine.name, kept)
		}
		for name := range unconditionally(n.Profile) {
			if !unconditionally(bound)[name] || !unconditionally(engine.p)[name] {
				t.Errorf("%s: %s came in", engine.name, name)
			}
		}
		for what, of := range map[string]*specs.LinuxSeccomp{"the engine's": engine.p, "the bound": bound} {
			if answer, why := Compare(n.Profile, of); answer != Yes {
				t.Errorf("%s: as strict as %s: %s, %v", engine.name, what, answer, why)
			}
		}
		// A policy may name any of them.
		keepsNetwork(t, engine.name, &n)
		strict := under(t, engine.p, Strict())
		keepsNetwork(t, engine.name+" under strict", &strict)
		for _, other := range engines {
			n := under(t, engine.p, other.p)
			keepsNetwork(t, engine.name+" under "+other.name, &n)
		}
		again := under(t, n.Profile, bound)
		if again.Changed() || !bytes.Equal(text(t, again.Profile), text(t, n.Profile)) {
			t.Errorf("%s: changed the second time: %+v", engine.name, again)
		}
		fmt.Fprintf(&all, "# %s\n\n%s\n", engine.name, said(&n, engine.full))
	}

	const path = "testdata/intersections.txt"
	if runtime.GOARCH != "amd64" {
		t.Skipf("left out: %s is of x86-64", path)
	}
	if *update {
		if err := os.WriteFile(path, []byte(all.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if all.String() != string(want) {
		t.Errorf("not what is in %s (-update writes it): %s", path, firstDifference(all.String(), string(want)))
	}
}

// keepsNetwork: nothing that an ordinary program needs is given up.
func keepsNetwork(t *testing.T, name string, n *Intersection) {
	t.Helper()
	// Podman both allows setns and denies it to a container without CAP_SYS_ADMIN.
	if given := slices.DeleteFunc(slices.Clone(n.Undecided), func(name string) bool { return name == "setns" }); len(given) > 0 {
		t.Errorf("%s: %v is given up", name, given)
	}
	for _, family := range []uint64{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK} {
		if !does(n.Profile, "socket", [6]uint64{family}, false).must {
			t.Errorf("%s: there are no sockets of family %d", name, family)
		}
	}
}

func under(t *testing.T, p, bound *specs.LinuxSeccomp) Intersection {
	t.Helper()
	n, err := Intersect(p, bound)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// shipped is an engine's profile for a container with some capabilities.
func shipped(t *testing.T, name string, caps ...string) *specs.LinuxSeccomp {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, string(text)).Profile(caps, Native(), Kernel{6, 0})
}

// unconditionally are the calls that a profile lets through whatever their arguments are.
func unconditionally(p *specs.LinuxSeccomp) map[string]bool {
	names := map[string]bool{}
	for _, s := range p.Syscalls {
		for _, name := range s.Names {
			if len(s.Args) == 0 && s.Action == specs.ActAllow {
				names[name] = true
			}
		}
	}
	return names
}

// said is an intersection in lines that can be read, and compared.
func said(n *Intersection, full bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "default %s\n", inWords(n.Profile.DefaultAction, n.Profile.DefaultErrnoRet))
	for _, list := range []struct {
		what  string
		names []string
	}{{"removed", n.Removed}, {"limited", n.Limited}, {"undecided", n.Undecided}, {"denied", n.Denied}} {
		fmt.Fprintf(&b, "%s: %s\n", list.what, strings.Join(slices.Sorted(slices.Values(list.names)), " "))
	}
	fmt.Fprintf(&b, "architectures %v, without %v\n", n.Profile.Architectures, n.Architectures)
	for _, s := range n.Profile.Syscalls {
		if !full && len(s.Args) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n%s", inWords(s.Action, s.ErrnoRet))
		if len(s.Args) > 0 {
			fmt.Fprintf(&b, " %s", allOf(s.Args))
		}
		fmt.Fprintf(&b, ":\n%s\n", strings.Join(slices.Sorted(slices.Values(s.Names)), "\n"))
	}
	return b.String()
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d is %q, wanted %q", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, wanted %d", len(g), len(w))
}
