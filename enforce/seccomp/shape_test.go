package seccomp

import (
	"runtime"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestShape: calls with the same rules are in one entry, those without conditions come first, and the call with the highest number before the others.
func TestShape(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("left out: the numbers are x86-64's")
	}
	conditions := allow("clone", eq(1))
	p := profile(conditions, allow("read"), allow("tomorrow"), errno("clone3", 38), allow("chown32"), allow("openat2"), allow("write"))
	n, err := Intersect(p, p)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range n.Profile.Syscalls {
		got = append(got, strings.Join(e.Names, " "))
	}
	const want = "tomorrow openat2 write read; clone3; clone"
	if got := strings.Join(got, "; "); got != want {
		t.Errorf("%s, wanted %s", got, want)
	}
	everywhere := *p
	everywhere.Architectures = []specs.Arch{specs.ArchX86_64, specs.ArchX86}
	if n, err = Intersect(&everywhere, &everywhere); err != nil {
		t.Fatal(err)
	}
	const last = "tomorrow openat2 write read chown32" // it is 32-bit x86's alone
	if got := strings.Join(n.Profile.Syscalls[0].Names, " "); got != last {
		t.Errorf("%s, wanted %s", got, last)
	}
}
