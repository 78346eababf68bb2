package policy_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"runclamp/enforce/policy"
)

var update = flag.Bool("update", false, "write the golden files anew")

func now() time.Time { return time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC) }

const head = "apiVersion: runclamp/v1\n"

// example has everything that a file can say.
const example = head + `mode: audit
preset: restricted
audit: {log: /var/log/audit.jsonl, required: true}
trustNames: true
requireProof: true
controls:
  nonRoot: {action: reject, assign: {uid: 20000, gid: 20001}, low: assign, groups: {allow: [0]}, passwd: true}
  appArmor: {profile: "file:/etc/apparmor.d/x", ifUnavailable: reject}
rules:
  - name: ingress
    match: {engine: kubernetes, namespace: ingress, container: [controller, "web-*"]}
    controls:
      capabilities: {allow: [net_bind_service, CAP_CHOWN]}
      readOnlyRootfs: {action: fix, tmpfs: [{path: /var/cache/nginx, size: 64Mi, mode: 0700}]}
  - name: second
    match: {engine: kubernetes}
    controls: {seccomp: {profile: any}, exec: {user: container}}
  - name: by name
    match: {image: "registry.example/*", name: web}
    controls: {procMounts: {action: off}}
tighten:
  - match: {label.tier: public}
    controls: {capabilities: {allow: []}, nonRoot: {low: reject, groups: {allow: []}}}
  - name: small
    match: {annotation.example.org/size: small}
    controls:
      readOnlyRootfs: {tmpfs: [{path: /var/cache/nginx, size: 1M, mode: 1777, exec: true}, {path: /other, size: 4096}]}
exceptions:
  - name: debugger
    match: {engine: kubernetes, namespace: debug}
    allow: ["capabilities:SYS_PTRACE", "exec:root", privileged]
    reason: agreed
    expires: 2027-03-31
  - name: old
    match: {engine: kubernetes}
    allow: [privileged]
    reason: agreed
    expires: "2026-11-23"
`

func parse(t testing.TB, text string) *policy.File {
	t.Helper()
	f, err := policy.Parse([]byte(text), now())
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return f
}

func forWorkload(t testing.TB, f *policy.File, w policy.Workload) policy.Policy {
	t.Helper()
	p, err := f.For(w, now())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDefaultIsTheLeastFile(t *testing.T) {
	d, err := policy.Default()
	if err != nil {
		t.Fatal(err)
	}
	w := policy.Workload{Engine: policy.Docker}
	built, read := forWorkload(t, d, w), forWorkload(t, parse(t, head), w)
	if built.Source != "built-in preset hardened" || read.Source != "preset hardened" {
		t.Errorf("sources %q and %q", built.Source, read.Source)
	}
	if built.Audit != (policy.AuditLog{}) {
		t.Errorf("a log without anybody's wish for one: %+v", built.Audit)
	}
	built.Source, built.Audit = read.Source, read.Audit
	if !reflect.DeepEqual(built, read) {
		t.Errorf("no file\n%+v\nan empty file\n%+v", built, read)
	}
	if read.Mode != policy.ModeEnforce || read.Audit.Log != "/var/log/runclamp/audit.jsonl" || read.Audit.Required || read.RequireProof {
		t.Errorf("defaults: %+v", read)
	}
}

// TestPresets: a preset says everything, so that no control is left to a zero value; and each is stricter than the one below.
func TestPresets(t *testing.T) {
	var previous *policy.Controls
	for _, name := range []string{"baseline", "restricted", "hardened"} {
		c := parse(t, head+"preset: "+name+"\n").Base
		text, err := c.YAML()
		if err != nil {
			t.Fatal(err)
		}
		if again := parse(t, head+string(text)).Base; !reflect.DeepEqual(again, c) {
			t.Errorf("%s does not survive being written as YAML, so it leaves something unsaid:\n%s", name, text)
		}
		if previous != nil {
			if err := looser(reflect.ValueOf(*previous), reflect.ValueOf(c), ""); err != nil {
				t.Errorf("%s is looser than the preset below it: %v", name, err)
			}
		}
		previous = &c
	}
	if got, want := previous.ReadOnlyRootfs.Tmpfs, []policy.Tmpfs{
		{Path: "/tmp", Size: 64 << 20, Mode: 0o1777},
		{Path: "/var/tmp", Size: 64 << 20, Mode: 0o1777},
		{Path: "/run", Size: 16 << 20, Mode: 0o755, CopyUp: true},
	}; !slices.Equal(got, want) {
		t.Errorf("tmpfs of hardened: %+v", got)
	}
}

func TestFor(t *testing.T) {
	kube := policy.Workload{Engine: policy.Kubernetes, Namespace: "ingress", Container: "web-1"}
	tests := []struct {
		name     string
		workload policy.Workload
		rule     string
		source   string
		tighten  []string
		holds    func(policy.Controls) bool
	}{
		{"nothing known", policy.Workload{}, "", "preset restricted", nil, func(c policy.Controls) bool {
			return c.NonRoot.Action == policy.Reject && c.NonRoot.Assign == policy.User{UID: 20000, GID: 20001} &&
				c.NonRoot.Groups.Allow[0] == 0 && c.NonRoot.Passwd && c.AppArmor.Action == policy.Fix &&
				c.AppArmor.Profile == "file:/etc/apparmor.d/x" && c.ReadOnlyRootfs.Action == policy.Off
		}},
		{"the first rule that matches, and no other", kube, "ingress", "preset restricted, rule ingress", nil, func(c policy.Controls) bool {
			return slices.Equal(c.Capabilities.Allow, []string{"CAP_NET_BIND_SERVICE", "CAP_CHOWN"}) && c.Capabilities.Action == policy.Fix &&
				slices.Equal(c.ReadOnlyRootfs.Tmpfs, []policy.Tmpfs{{Path: "/var/cache/nginx", Size: 64 << 20, Mode: 0o700}}) &&
				c.Seccomp.Profile == policy.DefaultProfile
		}},
		{"a later one", policy.Workload{Engine: policy.Kubernetes, Namespace: "ingress"}, "second", "preset restricted, rule second", nil, func(c policy.Controls) bool {
			return c.Seccomp.Profile == policy.AnyProfile && slices.Equal(c.Capabilities.Allow, []string{"CAP_NET_BIND_SERVICE"})
		}},
		{"names that are trusted", policy.Workload{Engine: policy.Docker, Image: "registry.example/a/b", Name: "web"}, "by name", "preset restricted, rule by name", nil, func(c policy.Controls) bool {
			return c.ProcMounts.Action == policy.Off
		}},
		{"namespace is nobody's outside kubernetes", policy.Workload{Engine: policy.Docker, Namespace: "ingress", Container: "controller"}, "", "preset restricted", nil, nil},
		{"tightened", func() policy.Workload {
			w := kube
			w.Labels, w.Annotations = map[string]string{"tier": "public"}, map[string]string{"example.org/size": "small"}
			return w
		}(), "ingress", "preset restricted, rule ingress", []string{"label.tier=public", "small"}, func(c policy.Controls) bool {
			return len(c.Capabilities.Allow) == 0 && c.NonRoot.Low == policy.RejectLow && len(c.NonRoot.Groups.Allow) == 0 &&
				slices.Equal(c.ReadOnlyRootfs.Tmpfs, []policy.Tmpfs{{Path: "/var/cache/nginx", Size: 1e6, Mode: 0o1700}})
		}},
	}
	f := parse(t, example)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := forWorkload(t, f, tt.workload)
			if p.Rule != tt.rule || p.Source != tt.source || !slices.Equal(p.Tightened, tt.tighten) {
				t.Errorf("rule %q, source %q, tightened %q", p.Rule, p.Source, p.Tightened)
			}
			if tt.holds != nil && !tt.holds(p.Controls) {
				t.Errorf("controls %+v", p.Controls)
			}
			if p.Mode != policy.ModeAudit || !p.RequireProof || p.Audit != (policy.AuditLog{Log: "/var/log/audit.jsonl", Required: true}) {
				t.Errorf("the file's own settings: %+v", p)
			}
			if again := forWorkload(t, f, tt.workload); !reflect.DeepEqual(p, again) {
				t.Error("asking changed the file")
			}
		})
	}
}

// TestDoubt: what is not known, and what says nothing, matches nothing.
func TestDoubt(t *testing.T) {
	f := parse(t, head+"rules: [{name: r, match: {namespace: a}, controls: {}}]\n")
	for engine, want := range map[policy.Engine]string{policy.Kubernetes: "r", policy.Docker: "", policy.Unknown: "", "": ""} {
		if got := forWorkload(t, f, policy.Workload{Engine: engine, Namespace: "a"}).Rule; got != want {
			t.Errorf("a namespace under %q: rule %q", engine, got)
		}
	}
	// Parse lets no such rule through; a file that was read back from elsewhere might have one.
	f.Rules = []policy.Rule{{Name: "empty"}, {Name: "no such key", Match: policy.Match{"owner": {"*"}}}, {Name: "no pattern", Match: policy.Match{"kind": nil}}}
	if got := forWorkload(t, f, policy.Workload{Engine: policy.Docker, Kind: policy.Container}).Rule; got != "" {
		t.Errorf("rule %q", got)
	}
	f.Rules = []policy.Rule{{Name: "r", Match: policy.Match{"engine": {"docker"}}, Controls: policy.Overlay{"nonRoot": {"nosuch": []byte("1")}}}}
	if p, err := f.For(policy.Workload{Engine: policy.Docker}, now()); err == nil {
		t.Errorf("an overlay that names an unknown key: %+v", p)
	}
}

func TestTightenedTmpfs(t *testing.T) {
	const entry = "{path: /a, size: %s, mode: %s, exec: %s, copyUp: %s}"
	for _, tt := range []struct {
		base, tighten string
		want          []policy.Tmpfs
	}{
		{"[]", "[" + fmt.Sprintf(entry, "1", "0", "true", "true") + "]", []policy.Tmpfs{}},
		{"[" + fmt.Sprintf(entry, "1", "0", "true", "true") + "]", "[]", []policy.Tmpfs{}},
		{"[" + fmt.Sprintf(entry, "1", "0770", "true", "true") + "]", "[" + fmt.Sprintf(entry, "2", "1755", "true", "true") + "]",
			[]policy.Tmpfs{{Path: "/a", Size: 1, Mode: 0o1750, Exec: true, CopyUp: true}}},
		{"[" + fmt.Sprintf(entry, "2", "1777", "true", "false") + "]", "[" + fmt.Sprintf(entry, "1", "0777", "false", "true") + "]",
			[]policy.Tmpfs{{Path: "/a", Size: 1, Mode: 0o1777}}},
	} {
		f := parse(t, head+"controls: {readOnlyRootfs: {tmpfs: "+tt.base+"}}\ntighten: [{match: {engine: docker}, controls: {readOnlyRootfs: {tmpfs: "+tt.tighten+"}}}]\n")
		got := forWorkload(t, f, policy.Workload{Engine: policy.Docker}).Controls.ReadOnlyRootfs.Tmpfs
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s tightened by %s is %+v", tt.base, tt.tighten, got)
		}
	}
}

func TestExceptionsExpire(t *testing.T) {
	f := parse(t, example)
	w := policy.Workload{Engine: policy.Kubernetes, Namespace: "debug"}
	names := func(list []policy.Exception) string {
		var n []string
		for _, e := range list {
			n = append(n, e.Name)
		}
		return strings.Join(n, ",")
	}
	for _, tt := range []struct {
		at             time.Time
		holds, expired string
	}{
		{time.Date(2026, 11, 23, 23, 59, 59, 0, time.UTC), "debugger,old", ""},
		{time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC), "debugger", "old"},
		{time.Date(2027, 4, 1, 1, 0, 0, 0, time.FixedZone("", 3600)), "", "debugger,old"},
		{time.Date(2027, 4, 1, 0, 59, 0, 0, time.FixedZone("", 3600)), "debugger", "old"},
	} {
		p, err := f.For(w, tt.at)
		if err != nil {
			t.Fatal(err)
		}
		if names(p.Exceptions) != tt.holds || names(p.Expired) != tt.expired {
			t.Errorf("%s: hold %q, expired %q", tt.at, names(p.Exceptions), names(p.Expired))
		}
	}
	if p := forWorkload(t, f, policy.Workload{Engine: policy.Docker}); p.Exceptions != nil || p.Expired != nil {
		t.Errorf("exceptions of others: %+v", p)
	}
}

func TestPatterns(t *testing.T) {
	for _, tt := range []struct {
		patterns, value string
		want            bool
	}{
		{"a", "a", true}, {"a", "b", false}, {"a", "ab", false}, {"'*'", "a", true}, {"'*'", "", false},
		{"a*", "a", true}, {"a*", "abc", true}, {"a*", "ba", false}, {"'*a'", "ba", true}, {"'*a'", "ab", false},
		{"a*c", "abc", true}, {"a*c", "ac", true}, {"a*c", "acb", false}, {"a*a", "a", false}, {"a*b*c", "a1b2c", true},
		{"a*b*c", "acb", false}, {"a**b", "ab", true}, {"'*b*'", "abc", true}, {"ab*bc", "abc", false}, {"'*ab'", "aab", true},
		{"[a, b*]", "b1", true}, {"[a, b*]", "c", false}, {"A", "a", false}, {"'?'", "a", false}, {"'[a]'", "a", false}, {"a.c", "abc", false},
	} {
		f := parse(t, head+"rules: [{name: r, match: {imageDigest: "+tt.patterns+"}, controls: {}}]\n")
		if got := forWorkload(t, f, policy.Workload{ImageDigest: tt.value}).Rule == "r"; got != tt.want {
			t.Errorf("%s matches %q: %v", tt.patterns, tt.value, got)
		}
	}
	for pattern, want := range map[string]string{"'*'": "", "unknown": "r", "[docker, unknown]": "r"} {
		f := parse(t, head+"rules: [{name: r, match: {engine: "+pattern+"}, controls: {}}]\n")
		if got := forWorkload(t, f, policy.Workload{Engine: policy.Unknown}).Rule; got != want {
			t.Errorf("engine: %s and an unknown engine: rule %q", pattern, got)
		}
	}
}

func TestYAMLRoundTrip(t *testing.T) {
	for seed := range uint64(200) {
		g := newGenerator(seed)
		text := g.file(true)
		if seed == 0 {
			text = example
		}
		f := parse(t, text)
		printed, err := f.YAML()
		if err != nil {
			t.Fatal(err)
		}
		again := parse(t, string(printed))
		for range 20 {
			w := g.workload()
			a, b := forWorkload(t, f, w), forWorkload(t, again, w)
			for _, list := range [][]policy.Exception{a.Exceptions, a.Expired, b.Exceptions, b.Expired} {
				for i := range list {
					list[i].Line = 0
				}
			}
			if !reflect.DeepEqual(a, b) {
				t.Fatalf("%s\nwas printed as\n%s\nwhich says\n%+v\nand not\n%+v", text, printed, b, a)
			}
		}
	}
}

// TestErrors: every mistake is told, where it is, and with the mend.
func TestErrors(t *testing.T) {
	rule := func(match string) string { return head + "rules:\n- name: r\n  controls: {}\n  match: " + match + "\n" }
	controls := func(text string) string { return head + "controls:\n  " + text + "\n" }
	exception := func(change, to string) string {
		text := "exceptions:\n- name: e\n  match: {engine: docker}\n  allow: [privileged]\n  reason: because\n  expires: 2027-01-01\n"
		if !strings.Contains(text, change) {
			t.Fatalf("no %q to change", change)
		}
		return head + strings.Replace(text, change, to, 1)
	}
	for _, tt := range []struct{ text, want string }{
		{"", "1:1: it is empty"},
		{"# only a comment\n", "1:1: it is empty"},
		{"- a\n", "1:1: wanted keys with values, found a list"},
		{"text\n", `1:1: wanted keys with values, found "text"`},
		{"mode: audit\n", `1:1: "apiVersion" is missing`},
		{"apiVersion: runclamp/v2\n", `1:13: apiVersion: "runclamp/v2" is not the version that this runclamp reads: runclamp/v1`},
		{"apiVersion: [\n", "1:1: not YAML: did not find expected node content"},
		{head + "mode: 'x\n", "not YAML"},
		{head + "---\n" + head, "2:1: a second document"},
		{head + "...\n" + head, "2:1: not YAML: did not find expected <document start>"},
		{head + strings.Repeat("#", 1<<20), "1:1: it has 1048600 bytes, and at most 1048576"},
		{head + "\xff", "1:1: it is not valid UTF-8"},
		{head + "prest: hardened\n", `2:1: unknown key "prest"; did you mean "preset"?`},
		{head + "zzz: 1\n", `2:1: unknown key "zzz"; known are apiVersion, mode, preset`},
		{head + "Mode: audit\n", `2:1: unknown key "Mode"; did you mean "mode"?`},
		{head + "base: {}\n", `2:1: unknown key "base"`},
		{head + "mode: audit\nmode: enforce\n", `3:1: the key "mode" stands twice`},
		{head + "mode: \n", "2:6: mode: there is no value"},
		{head + "mode: ~\n", "2:7: mode: there is no value"},
		{head + "mode: fix\n", `2:7: mode: "fix"; known are audit, enforce`},
		{head + "mode: enforced\n", `2:7: mode: "enforced"; did you mean "enforce"?`},
		{head + "mode: [audit]\n", "2:7: mode: wanted one of audit, enforce, found a list"},
		{head + "preset: hard\n", `2:9: preset: "hard"`},
		{head + "trustNames: yes\n", `2:13: trustNames: wanted true or false, found "yes"`},
		{head + "trustNames: 1\n", "2:13: trustNames: wanted true or false, found the number 1"},
		{head + "trustNames: 'true'\n", `2:13: trustNames: wanted true or false, found "true"`},
		{head + "audit: /var/log/x\n", `2:8: audit: wanted keys with values, found "/var/log/x"`},
		{head + "audit: {log: x}\n", "2:14: log: wanted an absolute path"},
		{head + "audit: {log: /a/../b}\n", "2:14: log: wanted an absolute path"},
		{head + "mode: &m audit\n", "2:7: mode: anchors (&m) are not allowed"},
		{head + "preset: &m hardened\nmode: *m\n", "2:9: preset: anchors (&m) are not allowed; 3:7: mode: aliases (*m) are not allowed"},
		{head + "mode: !!str audit\n", "2:7: mode: tags (!!str) are not allowed"},
		{head + "controls: !x {}\n", "2:11: controls: tags (!x) are not allowed"},
		{head + "controls: {<<: {}}\n", "2:12: controls: merge keys (<<) are not allowed"},
		{head + "controls: {&a nonRoot: {}}\n", "2:12: controls: a key is a plain word"},
		{head + "controls: {[a]: {}}\n", "2:12: controls: a key is a plain word"},
		{head + "controls: {? !!str nonRoot : {}}\n", "controls: a key is a plain word"},

		{controls("nonroot: {}"), `3:3: controls: unknown control "nonroot"; did you mean "nonRoot"?`},
		{controls("seccomp: {architectures: all}"), `3:28: seccomp.architectures: "all"; known are keep, native`},
		{controls("resources: {pids: 0}"), `3:21: resources.pids: wanted a number of processes from 1 to 4194304, found "0", or none`},
		{controls("resources: {pids: unlimited}"), `3:21: resources.pids: wanted a number of processes`},
		{controls("resources: {memory: 64MB}"), `3:23: resources.memory: wanted a size like 64Mi, 1Gi, 500M or bytes, found "64MB", or none`},
		{controls("resources: {cpus: 0}"), `3:21: resources.cpus: wanted a number of CPUs from 0.01 on, like 1.5 or 1500m, found "0", or none`},
		{controls("resources: {cpus: 1.5m}"), `resources.cpus: wanted a number of CPUs`},
		{controls("resources: {cpus: -1}"), `resources.cpus: wanted a number of CPUs`},
		{controls("resources: {cpus: 1e3}"), `resources.cpus: wanted a number of CPUs`},
		{controls("resources: {rlimits: {cores: 0}}"), `3:25: resources.rlimits: unknown limit "cores"; did you mean "core"?`},
		{controls("resources: {rlimits: {core: 0, RLIMIT_CORE: 1}}"), `3:34: resources.rlimits: the limit "core" stands twice`},
		{controls("resources: {rlimits: {core: -1}}"), `3:31: resources.rlimits.core: wanted a number from 0 on, found the number -1`},
		{controls("resources: {rlimits: [core]}"), `3:24: resources.rlimits: wanted keys with values, found a list`},
		{controls("resources: {oomScoreAdj: {}}"), `"min" is missing: it is all there is to say about oomScoreAdj`},
		{controls("resources: {oomScoreAdj: {min: -1001}}"), `3:34: min: wanted a number from -1000 to 1000`},
		{controls("specification: {allow: [/linux/intelRdt]}"), `3:27: specification.allow: wanted a field as a refusal names it, like linux.intelRdt, found "/linux/intelRdt"`},
		{controls("seccomp: {listeners: [run/agent.sock]}"), `3:25: seccomp.listeners: wanted an absolute path without "..", "//" or a slash at its end, found "run/agent.sock"`},
		{controls("nonRoot:"), "3:11: nonRoot: there is no value"},
		{controls("nonRoot: fix"), `3:12: nonRoot: wanted keys with values, found "fix"`},
		{controls("nonRoot: {aktion: fix}"), `3:13: nonRoot: unknown key "aktion"; did you mean "action"?`},
		{controls("nonRoot: {action: fxi}"), `3:21: nonRoot.action: "fxi"; did you mean "fix"?`},
		{controls("nonRoot: {action: true}"), "3:21: nonRoot.action: wanted one of off, audit, fix, reject, found the truth value true"},
		{controls("nonRoot: {assign: {uid: 1000}}"), `3:21: nonRoot.assign: "gid" is missing`},
		{controls("nonRoot: {assign: {uid: 0, gid: 1}}"), "3:27: uid: 0 is what nobody may run as"},
		{controls("nonRoot: {assign: {uid: 1, gid: 65534}}"), "3:35: gid: 65534 is what nobody may run as"},
		{controls("nonRoot: {assign: {uid: app, gid: 1}}"), `3:27: uid: wanted a number, neither 0 nor 65534, found "app"`},
		{controls("nonRoot: {assign: {uid: '5', gid: 1}}"), `3:27: uid: wanted a number, neither 0 nor 65534, found "5"`},
		{controls("nonRoot: {assign: {uid: -1, gid: 4294967295}}"), `3:27: uid: wanted a number from 0 to 4294967294, found "-1"; 3:36: gid: wanted a number`},
		{controls("nonRoot: {assign: {uid: 010, gid: 1_0}}"), `3:27: uid: wanted a number from 0 to 4294967294, found "010"; 3:37: gid: wanted`},
		{controls("nonRoot: {groups: [0]}"), "3:21: nonRoot.groups: wanted keys with values, found a list"},
		{controls("nonRoot: {groups: {}}"), `3:21: nonRoot.groups: "allow" is missing`},
		{controls("nonRoot: {groups: {allow: [root]}}"), `3:30: allow: wanted a number, found "root"`},
		{controls("capabilities: {allow: NET_ADMIN}"), `3:25: capabilities.allow: wanted a list, found "NET_ADMIN"`},
		{controls("capabilities: {allow: }"), "3:25: capabilities.allow: there is no value"},
		{controls("capabilities: {allow: [NET_ADMN]}"), `3:26: capabilities.allow: unknown capability "NET_ADMN"; did you mean "NET_ADMIN"?`},
		{controls("capabilities: {allow: [ALL]}"), `3:26: capabilities.allow: unknown capability "ALL"`},
		{controls("seccomp: {profile: unconfined}"), `3:22: seccomp.profile: unconfined is no profile; action: off turns the control off`},
		{controls("seccomp: {profile: any+default}"), `3:22: seccomp.profile: "any+default": any is every profile, and makes no other stricter; leave it out`},
		{controls("seccomp: {profile: web+default+web}"), `3:22: seccomp.profile: "web+default+web": web stands twice`},
		{controls("seccomp: {profile: default+}"), `3:22: seccomp.profile: wanted a profile's name (letters, digits, ".", "_", "-") or file:/absolute/path, found ""`},
		{controls("seccomp: {profile: file:web.json}"), `3:22: seccomp.profile: wanted an absolute path without "..", "//" or a slash at its end, found "web.json"`},
		{controls("exec: {user: root}"), `3:16: exec.user: "root"; known are container`},
		{controls("appArmor: {profile: unconfined}"), "3:23: appArmor.profile: unconfined is no profile; action: off turns the control off"},
		{controls("appArmor: {profile: a/b}"), "3:23: appArmor.profile: wanted a profile's name"},
		{controls("appArmor: {profile: 'file:b'}"), "3:23: appArmor.profile: wanted an absolute path"},

		{controls("readOnlyRootfs: {tmpfs: [/tmp]}"), `3:28: readOnlyRootfs.tmpfs: wanted keys with values, found "/tmp"`},
		{controls("readOnlyRootfs: {tmpfs: [{path: /a}]}"), `3:28: readOnlyRootfs.tmpfs: "size" is missing`},
		{controls("readOnlyRootfs: {tmpfs: [{path: /a, size: 1}, {path: /a, size: 2}]}"), `3:49: readOnlyRootfs.tmpfs: the path "/a" stands twice`},

		{rule("{}"), `5:10: an empty match: what is to hold for every workload belongs under "controls" at the top`},
		{rule("{engine: []}"), "5:19: engine: an empty list matches nothing"},
		{rule("{engine: ''}"), "5:19: engine: an empty text matches nothing"},
		{rule("{engine: dokcer}"), `5:19: engine: "dokcer"; did you mean "docker"?`},
		{rule("{kind: init}"), `5:17: kind: "init"; known are container, sandbox, build, plugin`},
		{rule("{namespace: 7}"), "5:22: namespace: wanted text or a list of texts, found the number 7"},
		{rule("{namespace: [a, ~]}"), "5:26: namespace: there is no value"},
		{rule("{image: a}"), `5:11: match: "image" is chosen by whoever starts the container; use imageDigest, or trustNames: true`},
		{rule("{name: a}"), `5:11: match: "name" is chosen by whoever starts the container; use namespace, pod and container`},
		{rule("{label.a: b}"), `5:11: match: "label.a" is chosen by whoever starts the container; use engine`},
		{rule("{annotation.a: b}"), `5:11: match: "annotation.a" is chosen by whoever`},
		{rule("{label.a: b}") + "trustNames: true\n", `5:11: match: "label.a" is chosen by whoever`},
		{rule("{label.*: b}"), `5:11: match: "label.*": write the whole key of the label`},
		{rule("{engine: docker, namespace: a}"), `5:27: match: "namespace" is known under kubernetes only, and engine matches docker as well`},
		{rule("{engine: '*', pod: a}"), `5:24: match: "pod" is known under kubernetes only, and engine matches docker as well`},
		{rule("{engine: kubernetes, pod: a, container: b}"), `5:31: match: "pod" alone is chosen by whoever writes the pod, in any namespace; name the namespace`},
		{rule("{nampespace: a}"), `5:11: match: unknown key "nampespace"; did you mean "namespace"?`},
		{head + "rules:\n- match: {engine: docker}\n", `3:3: rules: "controls" is missing: a rule is a match and the controls for it; 3:3: rules: "name" is missing`},
		{head + "rules:\n- {name: '', match: {engine: docker}, controls: {}}\n", "3:10: name: an empty name"},
		{head + "rules:\n- {name: \"a\\nb\", match: {engine: docker}, controls: {}}\n", "3:10: name: \"a\\nb\" has characters that can't be printed"},
		{rule("{engine: docker}") + "- {name: r, match: {engine: docker}, controls: {}}\n", `6:3: rules: the name "r" stands twice`},

		{head + "tighten:\n- match: {}\n  controls: {}\n", `3:10: an empty match: what is to hold for every workload belongs under "controls"`},
		{head + "tighten:\n- match: {label.a: b}\n  controls: {nonRoot: {passwd: true, assign: {uid: 1, gid: 1}}}\n",
			`4:24: nonRoot: "passwd" can't be tightened: none of its values is stricter than another; use a rule; 4:38: nonRoot: "assign" can't`},
		{head + "tighten:\n- match: {label.a: b}\n  controls: {appArmor: {profile: x}, exec: {user: container}}\n",
			`4:25: appArmor: "profile" can't be tightened: none of its values is stricter than another; use a rule; 4:45: exec: "user" can't`},

		{exception("name: e\n  ", ""), `"name" is missing`},
		{exception("  match: {engine: docker}\n", ""), `3:3: exceptions: "match" is missing: an exception for every workload is a setting`},
		{exception("  allow: [privileged]\n", ""), `3:3: exceptions: "allow" is missing`},
		{exception("  reason: because\n", ""), `3:3: exceptions: "reason" is missing`},
		{exception("  expires: 2027-01-01\n", ""), `3:3: exceptions: "expires" is missing`},
		{exception("{engine: docker}", "{}"), "4:10: an empty match: an exception for every workload is a setting"},
		{exception("{engine: docker}", "{image: x}"), `4:11: match: "image" is chosen by whoever`},
		{exception("[privileged]", "[]"), "5:10: allow is empty"},
		{exception("[privileged]", "[priviledged]"), `5:11: allow: unknown control "priviledged"; did you mean "privileged"?`},
		{exception("[privileged]", "['exec:']"), `5:11: allow: "exec:" names no detail behind the colon`},
		{exception("[privileged]", "['exec:*']"), `5:11: allow: "exec:*": findings have no patterns`},
		{exception("[privileged]", "['capabilities:CAP_BPF']"), `5:11: allow: "capabilities:CAP_BPF" lifts nothing: the finding is named "capabilities:BPF"`},
		{exception("because", "' '"), "6:11: reason: an empty text"},
		{exception("because", "7"), "6:11: reason: wanted text, found the number 7"},
		{exception("2027-01-01", "tomorrow"), `7:12: expires: wanted a date like 2027-03-31, found "tomorrow"`},
		{exception("2027-01-01", "2027-02-30"), `7:12: expires: wanted a date like 2027-03-31, found "2027-02-30"`},
		{exception("2027-01-01", "2027-01-01T00:00:00Z"), "7:12: expires: wanted a date like 2027-03-31"},
		{exception("2027-01-01", "2027-12-30"), "7:12: expires: 2027-12-30 is more than 400 days ahead; the last that is allowed today is 2027-12-29"},
	} {
		f, err := policy.Parse([]byte(tt.text), now())
		var all policy.Errors
		if err == nil || f != nil || !errors.As(err, &all) {
			t.Errorf("%s\n%v is no error, want %s", tt.text, err, tt.want)
			continue
		}
		if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s\n got  %v\n want %s", tt.text, err, tt.want)
		}
	}
	parse(t, exception("2027-01-01", "2027-12-29"))
	parse(t, exception("2027-01-01", "2020-01-01"))
}

func TestAllErrorsAtOnce(t *testing.T) {
	_, err := policy.Parse([]byte(head+"requireProof: 1\ntrustNames: 1\ncontrols: {x: 1}\nmode: x\n"), now())
	var all policy.Errors
	if !errors.As(err, &all) || len(all) != 4 {
		t.Fatalf("%v", err)
	}
	for i, e := range all {
		if e.Line != i+2 {
			t.Errorf("error %d is about line %d", i, e.Line)
		}
	}
}

func TestTmpfs(t *testing.T) {
	tmpfs := func(entry string) ([]policy.Tmpfs, error) {
		f, err := policy.Parse([]byte(head+"controls: {readOnlyRootfs: {tmpfs: ["+entry+"]}}\n"), now())
		if err != nil {
			return nil, err
		}
		return f.Base.ReadOnlyRootfs.Tmpfs, nil
	}
	for text, want := range map[string]int64{
		"64Mi": 64 << 20, "1Gi": 1 << 30, "500M": 500e6, "4096": 4096, "'4096'": 4096, "1k": 1000, "1Ki": 1024, "2Ti": 2 << 40, "1T": 1e12,
		"0": 0, "-1": 0, "+1": 0, "64mi": 0, "64MB": 0, "1.5Gi": 0, "1e6": 0, "Mi": 0, "''": 0, "9223372036854775808": 0, "8388608Ti": 0, "01": 0, "0x10": 0, "1_0": 0,
	} {
		got, err := tmpfs("{path: /a, size: " + text + "}")
		if want == 0 && err == nil {
			t.Errorf("size %s is %d", text, got[0].Size)
		}
		if want != 0 && (err != nil || got[0].Size != want) {
			t.Errorf("size %s is %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]int{
		"0755": 0o755, "755": 0o755, "1777": 0o1777, "'0700'": 0o700, "0o700": 0o700, "0": 0,
		"2777": -1, "888": -1, "0x1ff": -1, "-1": -1, "rwx": -1, "1.0": -1, "true": -1,
	} {
		got, err := tmpfs("{path: /a, size: 1, mode: " + text + "}")
		if want < 0 && err == nil {
			t.Errorf("mode %s is %o", text, got[0].Mode)
		}
		if want >= 0 && (err != nil || got[0].Mode != uint32(want)) {
			t.Errorf("mode %s is %v, %v", text, got, err)
		}
	}
	for path, good := range map[string]bool{
		"/tmp": true, "/var/cache/nginx": true, "/etc/nginx": true, "/process": true, "/run": true, "/run/secret": true, "/etc/hosts.d": true,
		"/": false, "tmp": false, "/tmp/": false, "/a/../b": false, "//a": false, "/./a": false, "/proc": false, "/proc/x": false, "/sys": false,
		"/dev": false, "/dev/shm": false, "/etc/hosts": false, "/etc/hostname": false, "/etc/resolv.conf": false, "/run/secrets": false,
		"/run/secrets/x": false, "/var/run/secrets": false, "\"/a\\0b\"": false,
	} {
		if _, err := tmpfs("{size: 1, path: " + path + "}"); (err == nil) != good {
			t.Errorf("path %s: %v", path, err)
		}
	}
}

func TestKernelCapabilities(t *testing.T) {
	all := policy.KernelCapabilities()
	if len(all) != 41 || all[0] != "CAP_CHOWN" || all[21] != "CAP_SYS_ADMIN" || all[40] != "CAP_CHECKPOINT_RESTORE" {
		t.Errorf("%d: %q", len(all), all)
	}
	f := parse(t, head+"controls: {capabilities: {allow: ["+strings.ToLower(strings.Join(all, ", "))+"]}}\n")
	if !slices.Equal(f.Base.Capabilities.Allow, all) {
		t.Errorf("%q", f.Base.Capabilities.Allow)
	}
}

func TestWarnings(t *testing.T) {
	rules := func(matches ...string) string {
		text := head + "rules:\n"
		for i, m := range matches {
			text += fmt.Sprintf("- {name: r%d, match: %s, controls: {}}\n", i, m)
		}
		return text
	}
	for _, tt := range []struct{ text, want string }{
		{example, `35:1: exception "old" has expired: it held until 2026-11-23`},
		{strings.Replace(example, "2027-03-31", "2026-12-23", 1), `expires soon: it holds until 2026-12-23`},
		{rules("{kind: build}", "{engine: docker}"), ""},
		{rules("{engine: docker}", "{engine: docker}"), `4:1: rule "r1" never applies: rule "r0" above matches all that it does`},
		{rules("{engine: docker}", "{engine: docker, kind: build}"), `4:1: rule "r1" never applies`},
		{rules("{engine: docker, kind: build}", "{engine: docker}"), ""},
		{rules("{namespace: 'a*'}", "{namespace: [ab, 'a*c']}"), `4:1: rule "r1" never applies`},
		{rules("{namespace: 'a*'}", "{namespace: [ab, b]}"), ""},
		{rules("{namespace: 'a*c'}", "{namespace: 'a*'}"), ""},
		{rules("{engine: '*'}", "{engine: unknown}"), ""},
		{rules("{engine: '*'}", "{engine: docker}"), `4:1: rule "r1" never applies`},
	} {
		got := parse(t, tt.text).Warnings(now()).Error()
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%s\n got  %s\n want %s", tt.text, got, tt.want)
		}
	}
}

func thousandRules() []byte {
	var b strings.Builder
	b.WriteString(head + "rules:\n")
	for i := range 1000 {
		fmt.Fprintf(&b, `  - name: rule-%d
    match: {engine: kubernetes, namespace: team-%d, container: ["app-*", web]}
    controls:
      capabilities: {allow: [NET_BIND_SERVICE]}
      readOnlyRootfs: {tmpfs: [{path: /var/cache/nginx, size: 64Mi}]}
`, i, i)
	}
	return []byte(b.String())
}

func BenchmarkParse(b *testing.B) {
	text := thousandRules()
	run := func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := policy.Parse(text, now()); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("1000 rules", run)
	b.Run("1000 rules, no GC", func(b *testing.B) {
		defer debug.SetGCPercent(debug.SetGCPercent(-1))
		run(b)
	})
	b.Run("example", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := policy.Parse([]byte(example), now()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkFor(b *testing.B) {
	f := parse(b, string(thousandRules()))
	w := policy.Workload{Engine: policy.Kubernetes, Namespace: "team-999", Container: "web"}
	b.ReportAllocs()
	for b.Loop() {
		if p, err := f.For(w, now()); err != nil || p.Rule != "rule-999" {
			b.Fatal(p.Rule, err)
		}
	}
}

func BenchmarkKept(b *testing.B) {
	text, err := parse(b, string(thousandRules())).Keep()
	if err != nil {
		b.Fatal(err)
	}
	w := policy.Workload{Engine: policy.Kubernetes, Namespace: "team-999", Container: "web"}
	b.ReportAllocs()
	for b.Loop() {
		f, err := policy.ReadKept(text)
		if err != nil {
			b.Fatal(err)
		}
		if p, err := f.For(w, now()); err != nil || p.Rule != "rule-999" {
			b.Fatal(p.Rule, err)
		}
	}
}

func BenchmarkDefault(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := policy.Default(); err != nil {
			b.Fatal(err)
		}
	}
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s is not current: go test ./enforce/policy -update", path)
	}
}

// TestLimits: how limits may be written, and how they are written back.
func TestLimits(t *testing.T) {
	for _, tt := range []struct{ written, back string }{
		{"pids: none", "pids: none"}, {"pids: 7", "pids: 7"}, {"pids: '7'", "pids: 7"},
		{"memory: none", "memory: none"}, {"memory: 65536k", "memory: 64000Ki"}, {"memory: 2Gi", "memory: 2Gi"},
		{"cpus: none", "cpus: none"}, {"cpus: 2", "cpus: 2"}, {"cpus: 1.5", "cpus: 1.5"}, {"cpus: 1500m", "cpus: 1.5"}, {"cpus: 0.01", "cpus: 0.01"}, {"cpus: 10m", "cpus: 0.01"},
		{"rlimits: {}", "rlimits: {}"}, {"rlimits: {RLIMIT_NOFILE: 1, Core: 18446744073709551615}", "rlimits: {core: 18446744073709551615, nofile: 1}"},
		{"oomScoreAdj: {min: -5}", "min: -5"},
	} {
		c, err := parse(t, head+"controls: {resources: {"+tt.written+"}}").For(policy.Workload{}, now())
		if err != nil {
			t.Fatal(err)
		}
		text, err := c.Controls.YAML()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "    "+tt.back+"\n") {
			t.Errorf("%s is written back as\n%s", tt.written, text)
		}
	}
}
