package policy_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"runclamp/enforce/policy"
)

// generator writes policy files, and workloads that they may be about.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator { return generator{rand.New(rand.NewPCG(seed, seed))} }

func (g generator) pick(of ...string) string { return of[g.IntN(len(of))] }

// some is a list in YAML of none to all of the texts, each once.
func (g generator) some(of ...string) string {
	of = slices.Clone(of)
	g.Shuffle(len(of), func(i, j int) { of[i], of[j] = of[j], of[i] })
	return "[" + strings.Join(of[:g.IntN(len(of)+1)], ", ") + "]"
}

func (g generator) action() string { return "action: " + g.pick("off", "audit", "fix", "reject") }

func (g generator) tmpfs() string {
	entry := func(path string) string {
		return fmt.Sprintf("{path: %s, size: %s, mode: %s, exec: %s, copyUp: %s}", path, g.pick("1", "1Mi", "64Mi", "1G"),
			g.pick("0", "0755", "1777", "0777", "1000"), g.pick("true", "false"), g.pick("true", "false"))
	}
	return g.some(entry("/tmp"), entry("/run"), entry("/var/tmp"), entry("/a"))
}

// controls are an overlay in YAML: some controls, some of their keys.
func (g generator) controls(tighten bool) string {
	var blocks []string
	block := func(name string, keys ...string) {
		if g.IntN(3) == 0 {
			return
		}
		keys = slices.DeleteFunc(keys, func(string) bool { return g.IntN(3) == 0 })
		blocks = append(blocks, name+": {"+strings.Join(keys, ", ")+"}")
	}
	block("specification", g.action(), "allow: "+g.some("linux.intelRdt", "process.cwd", "x"))
	block("resources", g.action(), "pids: "+g.pick("none", "1", "512"), "memory: "+g.pick("none", "64Mi", "1Gi"), "cpus: "+g.pick("none", "0.5", "2", "1500m"),
		"rlimits: "+g.pick("{}", "{core: 0}", "{RLIMIT_NOFILE: 1024, core: 5}", "{nofile: 18446744073709551615}"), "oomScoreAdj: {min: "+g.pick("-1000", "0", "7")+"}")
	block("privileged", g.action())
	block("noNewPrivileges", g.action())
	block("checkpoint", g.action())
	block("procMounts", g.action())
	block("hostMounts", g.action(), "allow: "+g.some("{source: /a}", "{source: /b, readOnly: true}", "{source: /c, readOnly: "+g.pick("true", "false")+"}"))
	block("devices", g.action(), "allow: "+g.some("/dev/kvm", "/dev/fuse"))
	block("capabilities", g.action(), "allow: "+g.some("CHOWN", "CAP_SYS_ADMIN", "net_raw", "BPF"))
	block("annotations", g.action(), "allow: "+g.some("a", "org.criu.config"))
	block("hooks", g.action(), "allow: "+g.some("/a", "/b"))
	block("hostNamespaces", g.action(), "allow: "+g.some("pid", "ipc", "network", "uts", "cgroup"))
	block("environment", g.action(), "deny: "+g.some("A", "LD_PRELOAD"))
	block("sysctls", g.action(), "allow: "+g.some("net.core.somaxconn", "kernel/sem"))
	block("readOnlyRootfs", g.action(), "tmpfs: "+g.tmpfs())
	block("seccomp", g.action(), "profile: "+g.pick("any", "default", "strict", "web+default", "file:/a+strict"),
		"architectures: "+g.pick("keep", "native"), "listeners: "+g.some("/run/a", "/run/b"))
	nonRoot := []string{g.action(), "low: " + g.pick("keep", "assign", "reject"), "groups: {allow: " + g.some("0", "5") + "}"}
	appArmor := []string{g.action(), "ifUnavailable: " + g.pick("skip", "reject")}
	exec := []string{g.action()}
	if !tighten {
		nonRoot = append(nonRoot, "assign: {uid: 5, gid: 6}", "passwd: "+g.pick("true", "false"))
		appArmor = append(appArmor, "profile: "+g.pick("a", "file:/b"), "allow: "+g.pick("{}", "{read: [/a], network: [inet]}", "{execute: [/b c], write: [/]}"))
		exec = append(exec, "user: container")
	}
	block("nonRoot", nonRoot...)
	block("appArmor", appArmor...)
	block("exec", exec...)
	return "{" + strings.Join(blocks, ", ") + "}"
}

func (g generator) match(keys ...string) string {
	kubernetes := g.IntN(2) == 0
	var parts []string
	for _, k := range keys {
		if g.IntN(3) > 0 {
			continue
		}
		if kubernetes || k != "namespace" {
			parts = append(parts, k+": "+g.pick("a", "b", "'*'", "'a*'", "[a, b]"))
		}
	}
	if kubernetes {
		parts = append(parts, "engine: kubernetes")
	} else if len(parts) == 0 || g.IntN(2) == 0 {
		parts = append(parts, "engine: "+g.pick("docker", "'*'", "unknown", "[docker, podman]"))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// file is a policy file; with facts only, its rules and exceptions match on nothing that a user chooses.
func (g generator) file(trustNames bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%spreset: %s\ntrustNames: %v\ncontrols: %s\n", head, g.pick("baseline", "restricted", "hardened"), trustNames, g.controls(false))
	facts := []string{"namespace", "imageDigest"}
	if trustNames {
		facts = append(facts, "image", "name")
	}
	list := func(title string, entry func(i int) string) {
		fmt.Fprintf(&b, "%s:\n", title)
		for i := range 1 + g.IntN(4) {
			fmt.Fprintf(&b, "- %s\n", entry(i))
		}
	}
	list("rules", func(i int) string {
		return fmt.Sprintf("{name: r%d, match: %s, controls: %s}", i, g.match(facts...), g.controls(false))
	})
	list("tighten", func(int) string {
		return fmt.Sprintf("{match: %s, controls: %s}", g.match("namespace", "image", "name", "label.x", "annotation.x"), g.controls(true))
	})
	list("exceptions", func(i int) string {
		return fmt.Sprintf("{name: e%d, match: %s, allow: [privileged], reason: x, expires: %s}", i, g.match(facts...), g.pick("2026-11-24", "2020-01-01"))
	})
	return b.String()
}

func (g generator) workload() policy.Workload {
	value := func() string { return g.pick("", "a", "b", "ab", "c") }
	return policy.Workload{
		Engine: policy.Engine(g.pick("", "docker", "kubernetes", "kubernetes", "podman", "unknown")), Kind: policy.Container,
		Namespace: value(), Pod: value(), Container: value(), ImageDigest: value(),
		Image: value(), Name: value(), Labels: map[string]string{"x": value()}, Annotations: map[string]string{"x": value()},
	}
}

// looser says where b lets through what a does not. It is a second reading of what stricter means, and shares nothing with
// the code under test.
func looser(a, b reflect.Value, path string) error {
	rank := func(v string, order ...string) int { return slices.Index(order, v) }
	switch x := a.Interface().(type) {
	case policy.Action:
		if rank(b.String(), "off", "audit", "fix", "reject") < rank(string(x), "off", "audit", "fix", "reject") {
			return fmt.Errorf("%s went from %s to %s", path, x, b)
		}
		return nil
	case policy.Low:
		if rank(b.String(), "keep", "assign", "reject") < rank(string(x), "keep", "assign", "reject") {
			return fmt.Errorf("%s went from %s to %s", path, x, b)
		}
		return nil
	case policy.IfUnavailable:
		if x == policy.RejectUnavailable && b.String() != "reject" {
			return fmt.Errorf("%s is %s", path, b)
		}
		return nil
	case policy.SeccompProfile:
		for _, name := range strings.Split(string(x), "+") {
			if name != "any" && !slices.Contains(strings.Split(b.String(), "+"), name) {
				return fmt.Errorf("%s went from %s to %s", path, x, b)
			}
		}
		return nil
	case policy.Architectures:
		if x == policy.NativeArchitecture && b.String() != "native" {
			return fmt.Errorf("%s is %s", path, b)
		}
		return nil
	case policy.Resources:
		return looserLimits(x, b.Interface().(policy.Resources), path)
	case []policy.Tmpfs:
		for _, after := range b.Interface().([]policy.Tmpfs) {
			at := slices.IndexFunc(x, func(t policy.Tmpfs) bool { return t.Path == after.Path })
			switch {
			case at < 0:
				return fmt.Errorf("%s has %s", path, after.Path)
			case after.Size > x[at].Size, after.Exec && !x[at].Exec, after.Mode&^x[at].Mode&0o777 != 0, x[at].Mode&^after.Mode&0o1000 != 0:
				return fmt.Errorf("%s: %+v became %+v", path, x[at], after)
			}
		}
		return nil
	}
	if strings.HasSuffix(path, ".Deny") {
		a, b = b, a
	}
	switch a.Kind() {
	case reflect.Slice: // allow-lists
		for i := range b.Len() {
			found := false
			for j := range a.Len() {
				found = found || a.Index(j).Equal(b.Index(i))
			}
			if !found {
				return fmt.Errorf("%s has %v", path, b.Index(i))
			}
		}
		return nil
	case reflect.Struct:
		for i := range a.NumField() {
			if err := looser(a.Field(i), b.Field(i), path+"."+a.Type().Field(i).Name); err != nil {
				return err
			}
		}
		return nil
	}
	if !a.Equal(b) {
		return fmt.Errorf("%s, which has no order, went from %v to %v", path, a, b)
	}
	return nil
}

func looserLimits(a, b policy.Resources, path string) error {
	if err := looser(reflect.ValueOf(a.Action), reflect.ValueOf(b.Action), path); err != nil {
		return err
	}
	for name, limits := range map[string][2]int64{"pids": {a.Pids, b.Pids}, "memory": {a.Memory, b.Memory}, "cpus": {a.CPUs, b.CPUs}} {
		if was, is := limits[0], limits[1]; was > 0 && (is == 0 || is > was) {
			return fmt.Errorf("%s.%s went from %d to %d", path, name, was, is)
		}
	}
	for name, was := range a.Rlimits {
		if is, ok := b.Rlimits[name]; !ok || is > was {
			return fmt.Errorf("%s.%s went from %d to %d", path, name, was, is)
		}
	}
	if b.OOMScoreAdj.Min < a.OOMScoreAdj.Min {
		return fmt.Errorf("%s: oomScoreAdj went from %d to %d", path, a.OOMScoreAdj.Min, b.OOMScoreAdj.Min)
	}
	return nil
}

// TestTightening: whatever tighten entries say, the result is no looser than without them; and each of them is heeded.
func TestTightening(t *testing.T) {
	changed := 0
	for seed := range uint64(400) {
		g := newGenerator(seed)
		f := parse(t, g.file(false))
		without := *f
		without.Tighten = nil
		for range 5 {
			w := g.workload()
			a, b := forWorkload(t, &without, w), forWorkload(t, f, w)
			if err := looser(reflect.ValueOf(a.Controls), reflect.ValueOf(b.Controls), ""); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if !reflect.DeepEqual(a.Controls, b.Controls) {
				changed++
			}
			// Once more with the same entries changes nothing.
			twice := *f
			twice.Tighten = append(slices.Clone(f.Tighten), f.Tighten...)
			if c := forWorkload(t, &twice, w); !reflect.DeepEqual(b.Controls, c.Controls) {
				t.Fatalf("seed %d: tightening twice is not tightening once", seed)
			}
		}
	}
	if changed < 250 {
		t.Errorf("only %d of 2000 were tightened at all", changed)
	}
}

// unbribable: nothing that a user chooses makes what holds looser than it is for one who chooses nothing.
func unbribable(f *policy.File, w policy.Workload) error {
	bare := w
	bare.Image, bare.Name, bare.Labels, bare.Annotations = "", "", nil, nil
	a, err := f.For(bare, now())
	if err != nil {
		return err
	}
	b, err := f.For(w, now())
	if err != nil {
		return err
	}
	if err := looser(reflect.ValueOf(a.Controls), reflect.ValueOf(b.Controls), ""); err != nil {
		return err
	}
	switch {
	case !reflect.DeepEqual(a.Exceptions, b.Exceptions) || !reflect.DeepEqual(a.Expired, b.Expired):
		return errors.New("other exceptions")
	case a.Rule != b.Rule || a.Mode != b.Mode || a.RequireProof != b.RequireProof || a.Audit != b.Audit:
		return errors.New("another rule, mode, proof or log")
	}
	return nil
}

func TestUnbribable(t *testing.T) {
	for seed := range uint64(400) {
		g := newGenerator(seed)
		f := parse(t, g.file(false))
		for range 10 {
			w := g.workload()
			if err := unbribable(f, w); err != nil {
				t.Fatalf("seed %d: %+v: %v", seed, w, err)
			}
		}
	}
}

func FuzzPolicyLaws(f *testing.F) {
	for seed := range uint64(10) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		g := newGenerator(seed)
		file := parse(t, g.file(false))
		if err := unbribable(file, g.workload()); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzParseFile: no text makes it panic; an error says where; what parses is printed and parses to the same.
func FuzzParseFile(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte(head))
	for _, text := range []string{"a: &a [*a]\n", "%TAG ! tag:x,2000:\n---\na: !b c\n", "? [a]\n: b\n", "\xff\xfea\x00", "a: |\n b\n", "<<: {}\n", "-\n", "{", "a: 'b"} {
		f.Add([]byte(text))
	}
	for seed := range uint64(5) {
		f.Add([]byte(newGenerator(seed).file(true)))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := policy.Parse(text, now())
		if err != nil {
			var all policy.Errors
			if !errors.As(err, &all) || len(all) == 0 {
				t.Fatalf("%v is not of type Errors", err)
			}
			for _, e := range all {
				if e.Line < 1 || e.Column < 1 || e.Message == "" {
					t.Fatalf("%+v does not say where or what", e)
				}
			}
			return
		}
		printed, err := file.YAML()
		if err != nil {
			t.Fatal(err)
		}
		again, err := policy.Parse(printed, now())
		if err != nil {
			t.Fatalf("%v\n%s\nwas printed as\n%s", err, text, printed)
		}
		if !reflect.DeepEqual(file.Base, again.Base) || len(file.Rules) != len(again.Rules) || len(file.Exceptions) != len(again.Exceptions) {
			t.Fatalf("%s\nwas printed as\n%s", text, printed)
		}
	})
}
