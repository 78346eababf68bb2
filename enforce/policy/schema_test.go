package policy_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"runclamp/enforce/policy"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

func TestSchemaIsCurrent(t *testing.T) {
	text, err := policy.Schema()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "../../configs/policy.schema.json", text)
}

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := policy.Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("policy.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("policy.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asJSON is what an editor makes of YAML before it holds it against a schema. Dates are text in JSON.
func asJSON(t *testing.T, text string) any {
	t.Helper()
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(text), &root); err != nil {
		t.Fatal(err)
	}
	var dates func(*yaml.Node)
	dates = func(n *yaml.Node) {
		if n.Tag == "!!timestamp" {
			n.Tag = "!!str"
		}
		for _, c := range n.Content {
			dates(c)
		}
	}
	dates(&root)
	var v any
	if err := root.Decode(&v); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestSchemaAccepts: what Parse accepts, an editor must not mark as wrong.
func TestSchemaAccepts(t *testing.T) {
	s := compiledSchema(t)
	good := []string{head, example}
	good = append(good, documented(t)...)
	for seed := range uint64(300) {
		good = append(good, newGenerator(seed).file(seed%2 == 0))
	}
	for _, text := range good {
		f := parse(t, text)
		if err := s.Validate(asJSON(t, text)); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		printed, err := f.YAML()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(asJSON(t, string(printed))); err != nil {
			t.Fatalf("as printed: %v\n%s", err, printed)
		}
	}
}

func TestSchemaRejects(t *testing.T) {
	s := compiledSchema(t)
	for _, bad := range []string{
		"mode: audit", "apiVersion: v1", head + "prest: hardened", head + "preset: hard", head + "mode: off", head + "trustNames: yes please",
		head + "audit: {log: relative}", head + "base: {}", head + "controls: {seccomp: {architectures: all}}", head + "controls: {resources: {pids: 0}}", head + "controls: {resources: {cpus: fast}}", head + "controls: {resources: {memory: 64MB}}", head + "controls: {resources: {rlimits: {core: -1}}}", head + "controls: {resources: {oomScoreAdj: {}}}", head + "controls: {specification: {allow: [a..b]}}", head + "controls: {nonRoot: fix}",
		head + "controls: {nonRoot: {action: fxi}}", head + "controls: {nonRoot: {assign: {uid: 1}}}", head + "controls: {nonRoot: {assign: {uid: 0, gid: 1}}}",
		head + "controls: {nonRoot: {assign: {uid: 65534, gid: 1}}}", head + "controls: {nonRoot: {low: }}", head + "controls: {capabilities: {allow: CHOWN}}",
		head + "controls: {readOnlyRootfs: {tmpfs: [{path: /a}]}}", head + "controls: {readOnlyRootfs: {tmpfs: [{path: a, size: 1}]}}",
		head + "controls: {readOnlyRootfs: {tmpfs: [{path: /a, size: 64MB}]}}", head + "controls: {readOnlyRootfs: {tmpfs: [{path: /a, size: 1, mode: rwx}]}}",
		head + "controls: {seccomp: {profile: 'a++b'}}", head + "controls: {exec: {user: root}}", head + "controls: {appArmor: {profile: 'a/b'}}",
		head + "rules: [{match: {engine: docker}, controls: {}}]", head + "rules: [{name: a, match: {}, controls: {}}]", head + "rules: [{name: a, controls: {}}]",
		head + "rules: [{name: a, match: {label.x: y}, controls: {}}]", head + "rules: [{name: a, match: {engine: []}, controls: {}}]",
		head + "rules: [{name: a, match: {namespace: 1}, controls: {}}]", head + "rules: [{name: a, match: {engine: docker}}]",
		head + "tighten: [{match: {label.x: y}, controls: {nonRoot: {passwd: true}}}]", head + "tighten: [{match: {label.*: y}, controls: {}}]",
		head + "tighten: [{match: {label.x: y}, controls: {exec: {user: container}}}]", head + "tighten: [{match: {label.x: y}, controls: {appArmor: {profile: a}}}]",
		head + "exceptions: [{name: a, match: {engine: docker}, allow: [], reason: r, expires: 2027-01-01}]",
		head + "exceptions: [{name: a, match: {engine: docker}, allow: [nosuch], reason: r, expires: 2027-01-01}]",
		head + "exceptions: [{name: a, match: {engine: docker}, allow: [exec], reason: r, expires: soon}]",
		head + "exceptions: [{name: a, match: {engine: docker}, allow: [exec], expires: 2027-01-01}]",
		head + "exceptions: [{name: a, match: {label.x: y}, allow: [exec], reason: r, expires: 2027-01-01}]",
	} {
		if s.Validate(asJSON(t, bad)) == nil {
			t.Errorf("the schema accepts\n%s", bad)
		}
		if _, err := policy.Parse([]byte(bad), now()); err == nil {
			t.Errorf("Parse accepts\n%s", bad)
		}
	}
}

// TestTags: a setting has a key, an explanation, and tags that are known.
func TestTags(t *testing.T) {
	var look func(reflect.Type, string)
	look = func(typ reflect.Type, path string) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			at := path + "." + f.Name
			if f.Tag.Get("file") == "-" {
				continue
			}
			if f.Tag.Get("json") == "" || f.Tag.Get("doc") == "" {
				t.Errorf("%s has no key or no explanation", at)
			}
			switch f.Tag.Get("tighten") {
			case "", "order", "intersect", "union", "fields", "tmpfs", "limit", "floor", "rlimits", "join":
			default:
				t.Errorf("%s: tighten:%q", at, f.Tag.Get("tighten"))
			}
			inner := f.Type
			if inner.Kind() == reflect.Slice {
				inner = inner.Elem()
			}
			if inner.Kind() == reflect.Struct {
				look(inner, at)
			}
		}
	}
	look(reflect.TypeFor[policy.File](), "File")
	look(reflect.TypeFor[policy.Controls](), "Controls")
}

// documented are the policy files in the README and in the guide.
func documented(t *testing.T) []string {
	t.Helper()
	var text []byte
	for _, path := range []string{"../../README.md", "../../docs/policy.md"} {
		part, err := os.ReadFile(filepath.FromSlash(path))
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, part...)
	}
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		block := m[1]
		if !strings.Contains(block, "apiVersion:") {
			block = head + block
		}
		blocks = append(blocks, block)
	}
	if len(blocks) < 5 {
		t.Fatalf("only %d examples in README.md and docs/policy.md", len(blocks))
	}
	return blocks
}

// TestGuide: the examples are good, and every key and value that can be written is explained.
func TestGuide(t *testing.T) {
	for _, block := range documented(t) {
		if w := parse(t, block).Warnings(now()); len(w) > 0 {
			t.Errorf("%v\n%s", w, block)
		}
	}
	text, err := os.ReadFile(filepath.FromSlash("../../docs/policy.md"))
	if err != nil {
		t.Fatal(err)
	}
	reference, err := policy.Reference()
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "<!-- reference: go test ./enforce/policy -update -->\n")
	written, after, ok2 := strings.Cut(rest, "<!-- end of reference -->\n")
	if !ok || !ok2 {
		t.Fatal("docs/policy.md has no place for the reference")
	}
	if written != reference && *update {
		before, _, _ := strings.Cut(string(text), rest)
		if err := os.WriteFile(filepath.FromSlash("../../docs/policy.md"), []byte(before+reference+"<!-- end of reference -->\n"+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if written != reference {
		t.Error("the reference in docs/policy.md is not current: go test ./enforce/policy -update")
	}
}
