package seccomp

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	moby "github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

var update = flag.Bool("update", false, "write docs/seccomp.md and testdata anew")

// TestOmissions: docs/seccomp.md has them all.
func TestOmissions(t *testing.T) {
	const path, begin, end = "../../docs/seccomp.md", "-run TestOmissions -update -->\n", "<!-- end of omissions -->"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the table", path)
	}
	var b strings.Builder
	b.WriteString("| what | calls | why |\n|---|---|---|\n")
	for _, o := range Omissions() {
		fmt.Fprintf(&b, "| %s | `%s` | %s |\n", o.Group, strings.Join(o.Calls, "` `"), o.Why)
	}
	want := before + begin + b.String() + end + after
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(text) != want {
		t.Errorf("%s is out of date: go test ./enforce/seccomp -run TestOmissions -update", path)
	}
}

// withoutCapabilities are all calls that Docker's default lets a container without capabilities make, on any machine.
func withoutCapabilities() map[string]bool {
	calls := map[string]bool{}
	for _, s := range moby.DefaultProfile().Syscalls {
		if s.Action != specs.ActAllow || s.Includes != nil && len(s.Includes.Caps) > 0 {
			continue
		}
		for _, name := range s.Names {
			calls[name] = true
		}
	}
	return calls
}

// TestStrictExplained: what Docker's default lets through, strict lets through, or says why not; and nothing else.
func TestStrictExplained(t *testing.T) {
	docker := withoutCapabilities()
	allowed := map[string]bool{}
	for _, s := range Strict().Syscalls {
		for _, name := range s.Names {
			if s.Action == specs.ActAllow {
				allowed[name] = true
			}
		}
	}
	for _, arch := range []specs.Arch{specs.ArchARM, specs.ArchRISCV64} {
		for _, name := range own(arch) {
			allowed[name] = true
		}
	}
	omitted := map[string]bool{}
	for _, o := range Omissions() {
		if o.Group == "" || o.Why == "" || len(o.Calls) == 0 {
			t.Errorf("%+v does not say what and why", o)
		}
		for _, name := range o.Calls {
			if omitted[name] {
				t.Errorf("%s is explained twice", name)
			}
			omitted[name] = true
		}
	}
	for name := range docker {
		if allowed[name] == omitted[name] {
			t.Errorf("%s: allowed %v, explained %v", name, allowed[name], omitted[name])
		}
	}
	for _, set := range []map[string]bool{allowed, omitted} {
		for name := range set {
			if !docker[name] {
				t.Errorf("Docker's default does not have %s", name)
			}
		}
	}
	if names := strictCalls(specs.ArchAARCH64); len(slices.Compact(slices.Sorted(slices.Values(names)))) != len(names) {
		t.Error("a call stands twice in strict")
	}
}

// TestStrictIsStricter than Docker's default, in the algebra's eyes, and fit to be installed.
func TestStrictIsStricter(t *testing.T) {
	docker, err := Default(nil)
	if err != nil {
		t.Fatal(err)
	}
	if p := Check(Strict(), nil); p != nil {
		t.Errorf("unfit: %+v", p)
	}
	if answer, found := Compare(Strict(), docker); answer != Yes {
		t.Errorf("%s: %+v", answer, found)
	}
	if answer, _ := Compare(docker, Strict()); answer != No {
		t.Errorf("Docker's default is as strict: %s", answer)
	}
}
