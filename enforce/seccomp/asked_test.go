package seccomp

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestAsked: what a profile leaves to a notify agent is no permission to carry it out unasked.
func TestAsked(t *testing.T) {
	asking := profile(allow("read"), act(specs.ActNotify, "mount"))
	asking.ListenerPath = "/run/agent.sock"
	letting := profile(allow("read"), allow("mount"))
	if answer, _ := Compare(letting, asking); answer != No {
		t.Errorf("a profile that lets through what another asks for is at least as strict: %v", answer)
	}
	for _, p := range []*specs.LinuxSeccomp{asking, profile(allow("read"))} {
		if answer, found := Compare(p, asking); answer != Yes {
			t.Errorf("%v: %v %v", p.Syscalls, answer, found)
		}
	}
	n, err := Intersect(letting, asking)
	if err != nil {
		t.Fatal(err)
	}
	if len(n.Removed) != 1 || n.Removed[0] != "mount" {
		t.Errorf("removed %v, want mount", n.Removed)
	}
	if n, err = Intersect(asking, letting); err != nil || n.Changed() {
		t.Errorf("an agent that is asked for what both let through: %+v, %v", n, err)
	}
	// Under conditions of the other profile's, all that is let through is asked for.
	mixed := profile(allow("socket", eq(1)), act(specs.ActNotify, "socket", eq(2)))
	mixed.ListenerPath = asking.ListenerPath
	if n, err = Intersect(mixed, profile(allow("socket", arg(specs.OpLessThan, 9)))); err != nil {
		t.Fatal(err)
	}
	for _, s := range n.Profile.Syscalls {
		if s.Action == specs.ActAllow && (len(s.Args) != 1 || s.Args[0].Value != 1 || s.Args[0].Op != specs.OpEqualTo) {
			t.Errorf("let through unasked: %+v", s)
		}
	}
}
