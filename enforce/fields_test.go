package enforce_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"runclamp/enforce"
	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

var update = flag.Bool("update", false, "write docs/controls.md")

// leaves are the pointers of all fields that hold a value, with all structures on the way to them. Lists and maps add
// nothing to a pointer.
func leaves(t reflect.Type, at string) (leaf, inner []string) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return leaves(t.Elem(), at)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			below := at + "/" + name
			if f.Anonymous && name == "" {
				below = at
			} else {
				inner = append(inner, below)
			}
			l, n := leaves(f.Type, below)
			leaf, inner = append(leaf, l...), append(inner, n...)
		}
		return leaf, inner
	}
	return []string{at}, nil
}

func below(pointer, field string) bool {
	return pointer == field || strings.HasPrefix(pointer, field+"/")
}

// TestEveryFieldIsDecidedAbout: every field of the runtime specification has a control, or a reason why it needs none. It fails when a
// release of the specification brings a field, until somebody has decided.
func TestEveryFieldIsDecidedAbout(t *testing.T) {
	all, inner := leaves(reflect.TypeFor[specs.Spec](), "")
	if len(all) < 150 || !slices.Contains(all, "/process/user/uid") || !slices.Contains(all, "/linux/seccomp/syscalls/args/valueTwo") {
		t.Fatalf("not all of the specification: %q", all)
	}
	known := slices.Concat(all, inner)
	judged := map[string]string{}
	for _, c := range enforce.Controls() {
		for _, f := range c.Fields {
			if !slices.Contains(known, f) {
				t.Errorf("%s answers for %s, which is no field of the specification", c.Name, f)
			}
			judged[f] = c.Name
		}
	}
	reasons := map[string]bool{}
	for _, u := range enforce.UnjudgedFields() {
		if u.Reason == "" || reasons[u.Field] || !slices.Contains(known, u.Field) {
			t.Errorf("%s has no reason, stands twice, or is no field of the specification", u.Field)
		}
		reasons[u.Field] = true
	}
	for _, field := range all {
		control, reason := "", ""
		for f, name := range judged {
			if below(field, f) {
				control = name
			}
		}
		for f := range reasons {
			if below(field, f) {
				reason = f
			}
		}
		switch {
		case control == "" && reason == "":
			t.Errorf("nobody has decided about %s: a control's Fields, or UnjudgedFields with a reason", field)
		case judged[field] != "" && reasons[field]:
			t.Errorf("%s belongs to %s, and stands among the unjudged", field, control)
		}
	}
}

// TestReference: docs/controls.md says what the controls are, in everybody's words.
func TestReference(t *testing.T) {
	const path = "../docs/controls.md"
	want := reference(t)
	have, err := os.ReadFile(filepath.FromSlash(path))
	if err != nil && !*update {
		t.Fatal(err)
	}
	switch {
	case string(have) == want:
	case *update:
		if err := os.WriteFile(filepath.FromSlash(path), []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is not current: go test ./enforce -run TestReference -update", path)
	}
}

func reference(t *testing.T) string {
	t.Helper()
	presets := []string{"baseline", "restricted", "hardened"}
	var settings []policy.Controls
	for _, p := range presets {
		f, err := policy.Parse([]byte("apiVersion: runclamp/v1\npreset: "+p+"\n"), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		settings = append(settings, f.Base)
	}
	var b strings.Builder
	b.WriteString(`# Controls

Made from the controls themselves: ` + "`go test ./enforce -run TestReference -update`" + `. What they can be set to is in [policy.md](policy.md).

The order is that of a decision. ` + "`exec`" + ` is missing because it judges no ` + "`config.json`" + `: it holds what is started in a running
container to the container.

## What each does

| control | ` + strings.Join(presets, " | ") + ` | what fix does | fields of config.json |
|---|---|---|---|---|---|
`)
	controls := enforce.Controls()
	for _, c := range controls {
		if c.Reference.Docker == "" && c.Reference.Kubernetes == "" {
			t.Errorf("%s does not say how a container satisfies it (Control.Reference)", c.Name)
		}
		fmt.Fprintf(&b, "| `%s` |", c.Name)
		for _, s := range settings {
			fmt.Fprintf(&b, " %s |", c.Action(s))
		}
		fmt.Fprintf(&b, " %s | %s |\n", or(c.Reference.Fix, "nothing: it refuses"), or(quoted(c.Fields), "none: it is about the verb"))
	}
	b.WriteString(`
## What satisfies it

| control | Docker | compose | Kubernetes |
|---|---|---|---|
`)
	for _, c := range controls {
		r := c.Reference
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", c.Name, or(r.Docker, "nothing to say"), or(r.Compose, "nothing to say"), or(r.Kubernetes, "nothing to say"))
	}
	b.WriteString(`
## How others call it

The checks of the Kubernetes Pod Security Standards, section 5 of the CIS Docker Benchmark, and the templates of Gatekeeper's library that
are about the same.

| control | Pod Security Standards | CIS Docker | Gatekeeper |
|---|---|---|---|
`)
	for _, c := range controls {
		r := c.Reference
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", c.Name, or(strings.Join(r.PSS, ", "), "none"), or(strings.Join(r.CIS, ", "), "none"), or(strings.Join(r.Gatekeeper, ", "), "none"))
	}
	b.WriteString(`
## Fields that no control answers for

| field | why |
|---|---|
`)
	for _, u := range enforce.UnjudgedFields() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", u.Field, u.Reason)
	}
	return b.String()
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func quoted(fields []string) string {
	var q []string
	for _, f := range fields {
		q = append(q, "`"+f+"`")
	}
	return strings.Join(q, " ")
}
