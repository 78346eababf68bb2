// Package confinement is what the tests in the guest ask the kernel about AppArmor, and have done to it.
package confinement

import (
	"os/exec"
	"strings"
	"testing"

	"runclamp/enforce/apparmor"
)

// Loaded are the profiles that the kernel has.
func Loaded(t *testing.T) []apparmor.Loaded {
	t.Helper()
	state, err := apparmor.ReadState("/sys")
	if err != nil || !state.Enabled {
		t.Fatalf("the guest's AppArmor: %+v, %v", state, err)
	}
	return state.Profiles
}

// Shipped is the name of runclamp's own profile.
func Shipped(t *testing.T) string {
	t.Helper()
	p, err := apparmor.Default()
	if err != nil {
		t.Fatal(err)
	}
	return p.Name
}

// Parse has the parser do something with a profile, as somebody else would.
func Parse(t *testing.T, text string, flags ...string) {
	t.Helper()
	cmd := exec.Command("/usr/sbin/apparmor_parser", append([]string{"-K"}, flags...)...)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}
