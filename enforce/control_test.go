package enforce_test

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"runclamp/enforce"
	"runclamp/enforce/apparmor"
	"runclamp/enforce/policy"
	"runclamp/enforce/seccomp"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// clean is a configuration in which the hardened preset finds nothing. Every control's test spoils one thing in it.
func clean(t *testing.T) *specs.Spec {
	t.Helper()
	profile, err := seccomp.Default(nil)
	if err != nil {
		t.Fatal(err)
	}
	pids := int64(100)
	return &specs.Spec{
		Version: "1.0.2",
		Process: &specs.Process{
			User: specs.User{UID: 20000, GID: 20000}, Args: []string{"/app"}, Cwd: "/",
			Env:          []string{"PATH=/bin", "HOME=/home/app"},
			Capabilities: &specs.LinuxCapabilities{}, NoNewPrivileges: true, ApparmorProfile: "docker-default",
			Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_CORE"}},
		},
		Root: &specs.Root{Path: "rootfs", Readonly: true},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc"},
			{Destination: "/etc/hosts", Type: "bind", Source: "/hosts", Options: []string{"rbind"}},
		},
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{{Type: "pid"}, {Type: "network"}, {Type: "ipc"}, {Type: "uts"}, {Type: "mount"}, {Type: "cgroup"}},
			Seccomp:    profile,
			MaskedPaths: []string{"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
				"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware"},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
			Resources:     &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}, Pids: &specs.LinuxPids{Limit: &pids}},
		},
	}
}

// facts are those of a host that has everything.
func facts() enforce.Facts {
	shipped, err := apparmor.Default()
	if err != nil {
		panic(err)
	}
	return enforce.Facts{
		ImageContent: map[string]bool{"/run": true}, BundlePath: "/bundle",
		AppArmor:   enforce.AppArmor{Enabled: true, Loaded: map[string]bool{shipped.Name: true, "docker-default": true}},
		Namespaces: map[string]enforce.Namespace{"/proc/1/ns/net": {Host: true}, "/proc/7/ns/net": {}, "/run/netns/gone": {Problem: "it is gone"}},
		Hooks:      map[string]enforce.Hook{"/proc/7/exe": {Path: "/usr/bin/dockerd"}, "/usr/bin/hook": {Path: "/usr/bin/hook"}, "/tmp/hook": {Path: "/tmp/hook", Problem: "it is anybody's"}},
		Names:      &enforce.Names{Passwd: "root:x:0:0:root:/root:/bin/sh\n", Group: "root:x:0:"},
		Owners:     map[string]enforce.Owner{"/roots": {Mode: 0o755}, "/all": {Mode: 0o777}, "/group": {GID: 10001, Mode: 0o775}, "/other": {UID: 5, Mode: 0o755}},
		Mounts:     hostFacts(),
	}
}

// controlCase spoils the clean configuration, or the preset, and says what must be found and done.
type controlCase struct {
	name string
	// only is the architecture (GOARCH) that the case is about. Empty: it is the same on all.
	only   string
	spoil  func(*specs.Spec)
	policy func(*policy.Controls)
	input  func(*enforce.Input)
	// findings as "control:detail action", edits as "op pointer value".
	findings []string
	edits    []string
	// load are the profiles that have to be loaded.
	load    []string
	verdict enforce.Verdict
}

func runControlCases(t *testing.T, cases []controlCase) {
	t.Helper()
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			if tt.only != "" && tt.only != runtime.GOARCH {
				t.Skipf("left out: it is about %s", tt.only)
			}
			spec := clean(t)
			in := enforce.Input{Policy: policy.Policy{Controls: hardened(t)}, Facts: facts(), Spec: spec}
			controls := &in.Policy.Controls
			if tt.spoil != nil {
				tt.spoil(spec)
			}
			if tt.policy != nil {
				tt.policy(controls)
			}
			if tt.input != nil {
				tt.input(&in)
			}
			d := enforce.Decide(in)
			var findings, edits, load []string
			for _, f := range d.Findings {
				findings = append(findings, fmt.Sprintf("%s %s", f.Name(), f.Action))
				if f.Found == "" || f.Wanted == "" || f.Pointer == "" && f.Control != "checkpoint" && len(in.Beside) == 0 {
					t.Errorf("%s does not say what was found, what was wanted and where: %+v", f.Name(), f)
				}
			}
			for _, e := range d.Edits {
				edits = append(edits, strings.TrimSuffix(fmt.Sprintf("%s %s %s", e.Op, e.Pointer, mustJSON(t, e.Value)), " null"))
			}
			if !slices.Equal(findings, tt.findings) {
				t.Errorf("findings\n got  %q\n want %q", findings, tt.findings)
			}
			for _, p := range d.Prepare {
				load = append(load, p.Profile.Name)
			}
			if !slices.Equal(load, tt.load) {
				t.Errorf("loads %q, want %q", load, tt.load)
			}
			if !slices.Equal(edits, tt.edits) {
				t.Errorf("edits\n got  %q\n want %q", edits, tt.edits)
			}
			if d.Verdict != tt.verdict {
				t.Errorf("verdict %s, want %s", d.Verdict, tt.verdict)
			}
		})
	}
}

func TestClean(t *testing.T) {
	runControlCases(t, []controlCase{{name: "hardened finds nothing", verdict: enforce.Unchanged}})
}

func TestRegistry(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range enforce.Controls() {
		if seen[c.Name] || c.Name == "" {
			t.Errorf("%q stands twice, or is no name", c.Name)
		}
		seen[c.Name] = true
		if len(c.Fields) == 0 && c.Name != "checkpoint" || c.Check == nil || c.Action(hardened(t)) == "" {
			t.Errorf("%s: no fields, no check or no action in the preset", c.Name)
		}
	}
}

func TestAllFindingsAtOnce(t *testing.T) {
	d := enforce.Decide(enforce.Input{Policy: policy.Policy{Controls: hardened(t)}, Spec: &specs.Spec{}})
	var names []string
	for _, f := range d.Findings {
		names = append(names, f.Control)
	}
	if d.Verdict != enforce.Refused || !slices.IsSorted(names) || len(names) < 7 {
		t.Errorf("%s, %q", d.Verdict, names)
	}
}

func TestActions(t *testing.T) {
	root := func(s *specs.Spec) { s.Root.Readonly = false }
	act := func(a policy.Action) func(*policy.Controls) {
		return func(c *policy.Controls) { c.ReadOnlyRootfs.Action, c.ReadOnlyRootfs.Tmpfs = a, nil }
	}
	runControlCases(t, []controlCase{
		{name: "fix", spoil: root, policy: act(policy.Fix), findings: []string{"readOnlyRootfs fix"}, edits: []string{"set /root/readonly true"}, verdict: enforce.Fixed},
		{name: "reject", spoil: root, policy: act(policy.Reject), findings: []string{"readOnlyRootfs reject"}, verdict: enforce.Refused},
		{name: "audit", spoil: root, policy: act(policy.Audit), findings: []string{"readOnlyRootfs audit"}, verdict: enforce.Unchanged},
		{name: "off", spoil: root, policy: act(policy.Off), verdict: enforce.Unchanged},
		{name: "no such action", spoil: root, policy: act("fxi"), findings: []string{"readOnlyRootfs reject"}, verdict: enforce.Refused},
		{name: "none", spoil: root, policy: act(""), findings: []string{"readOnlyRootfs reject"}, verdict: enforce.Refused},
	})
}

func TestSpecification(t *testing.T) {
	only := func(c *policy.Controls) {
		*c = policy.Controls{Specification: policy.Specification{Action: policy.Reject}}
		offExceptSpecification(c)
	}
	runControlCases(t, []controlCase{
		{name: "no process", spoil: func(s *specs.Spec) { s.Process = nil }, policy: only, findings: []string{"specification:process reject"}, verdict: enforce.Refused},
		{name: "no root", spoil: func(s *specs.Spec) { s.Root = nil }, policy: only, findings: []string{"specification:root reject"}, verdict: enforce.Refused},
		{name: "no path", spoil: func(s *specs.Spec) { s.Root.Path = "" }, policy: only, findings: []string{"specification:root reject"}, verdict: enforce.Refused},
	})
}

func offExceptSpecification(c *policy.Controls) {
	for _, a := range []*policy.Action{&c.Privileged.Action, &c.NonRoot.Action, &c.Capabilities.Action, &c.NoNewPrivileges.Action,
		&c.ReadOnlyRootfs.Action, &c.ProcMounts.Action, &c.Seccomp.Action, &c.AppArmor.Action, &c.Checkpoint.Action, &c.Resources.Action,
		&c.Annotations.Action, &c.Hooks.Action, &c.HostNamespaces.Action, &c.Environment.Action, &c.Sysctls.Action,
		&c.HostMounts.Action, &c.Devices.Action} {
		*a = policy.Off
	}
}

func TestNonRoot(t *testing.T) {
	ids := func(inside, outside uint32) []specs.LinuxIDMapping {
		return []specs.LinuxIDMapping{{ContainerID: inside, HostID: outside, Size: 1}}
	}
	user := func(u specs.User, env ...string) func(*specs.Spec) {
		return func(s *specs.Spec) { s.Process.User, s.Process.Env = u, env }
	}
	low := func(l policy.Low) func(*policy.Controls) { return func(c *policy.Controls) { c.NonRoot.Low = l } }
	const uid, gid = "set /process/user/uid 10001", "set /process/user/gid 10001"
	runControlCases(t, []controlCase{
		{name: "root", spoil: user(specs.User{}), findings: []string{"nonRoot:uid fix"},
			edits: []string{uid, gid, `insert /process/env/0 "HOME=/tmp"`}, verdict: enforce.Fixed},
		{name: "root with a home", spoil: user(specs.User{}, "A=b", "HOME=/root", "HOME="), findings: []string{"nonRoot:uid fix"},
			edits: []string{uid, gid, `set /process/env/1 "HOME=/tmp"`, `set /process/env/2 "HOME=/tmp"`}, verdict: enforce.Fixed},
		{name: "root with a home of its own", spoil: user(specs.User{}, "HOME=/srv"), findings: []string{"nonRoot:uid fix"}, edits: []string{uid, gid}, verdict: enforce.Fixed},
		{name: "nobody", spoil: user(specs.User{UID: 65534, GID: 65534}, "HOME=/srv"), findings: []string{"nonRoot:uid fix"}, edits: []string{uid, gid}, verdict: enforce.Fixed},
		{name: "root's group", spoil: user(specs.User{UID: 20000}, "HOME=/"), findings: []string{"nonRoot:gid fix"}, edits: []string{gid}, verdict: enforce.Fixed},
		{name: "nobody by exception, in root's group", spoil: user(specs.User{UID: 65534}), findings: []string{"nonRoot:gid fix", "nonRoot:uid audit"},
			input: func(in *enforce.Input) { in.Policy.Exceptions = []policy.Exception{{Allow: []string{"nonRoot:uid"}}} },
			edits: []string{gid}, verdict: enforce.Fixed},
		{name: "root's group allowed", spoil: user(specs.User{UID: 20000, AdditionalGids: []uint32{0}}), policy: func(c *policy.Controls) { c.NonRoot.Groups.Allow = []uint32{0} }, verdict: enforce.Unchanged},
		{name: "root among the groups", spoil: user(specs.User{UID: 20000, GID: 20000, AdditionalGids: []uint32{0, 5, 0, 6}}), findings: []string{"nonRoot:groups fix"},
			edits: []string{"set /process/user/additionalGids [5,6]"}, verdict: enforce.Fixed},
		{name: "root by the mapping", spoil: func(s *specs.Spec) { s.Linux.UIDMappings = ids(20000, 0) }, findings: []string{"nonRoot:mapping reject"}, verdict: enforce.Refused},
		{name: "root's group by the mapping", spoil: func(s *specs.Spec) { s.Process.User.AdditionalGids, s.Linux.GIDMappings = []uint32{7}, ids(7, 0) },
			findings: []string{"nonRoot:mapping reject"}, verdict: enforce.Refused},
		{name: "a rootless engine's own user", spoil: func(s *specs.Spec) { s.Linux.UIDMappings = ids(20000, 0) },
			input: func(in *enforce.Input) { in.Facts.UserNamespace = true }, verdict: enforce.Unchanged},
		{name: "root moved to root by the mapping", spoil: func(s *specs.Spec) {
			s.Process.User, s.Linux.UIDMappings, s.Linux.GIDMappings = specs.User{}, append(ids(0, 100000), ids(10001, 0)...), ids(10001, 5)
		}, findings: []string{"nonRoot:mapping reject", "nonRoot:uid fix"}, verdict: enforce.Refused},
		{name: "high", spoil: user(specs.User{UID: 1000650000, GID: 1}), verdict: enforce.Unchanged},
		{name: "the sandbox's", spoil: user(specs.User{UID: 65535, GID: 65535}), verdict: enforce.Unchanged},
		{name: "low, kept", spoil: user(specs.User{UID: 999, GID: 999}), findings: []string{"nonRoot:low audit"}, verdict: enforce.Unchanged},
		{name: "low, assigned", spoil: user(specs.User{UID: 999, GID: 999}, "HOME=/srv"), policy: low(policy.AssignLow), findings: []string{"nonRoot:uid fix"}, edits: []string{uid, gid}, verdict: enforce.Fixed},
		{name: "low, refused", spoil: user(specs.User{UID: 999, GID: 999}), policy: low(policy.RejectLow), findings: []string{"nonRoot:low reject"}, verdict: enforce.Refused},
		{name: "10000 is not low", spoil: user(specs.User{UID: 10000, GID: 1}), policy: low(policy.RejectLow), verdict: enforce.Unchanged},
		{name: "not mapped", spoil: func(s *specs.Spec) {
			s.Process.User = specs.User{}
			s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 100000, Size: 10001}}
			s.Linux.GIDMappings = []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}}
		}, findings: []string{"nonRoot:gid fix", "nonRoot:uid reject"}, verdict: enforce.Refused},
		{name: "mapped", spoil: func(s *specs.Spec) {
			s.Process.User = specs.User{}
			s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}}
			s.Linux.GIDMappings = []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}}
		}, findings: []string{"nonRoot:uid fix"}, edits: []string{uid, gid}, verdict: enforce.Fixed},
		{name: "a sandbox's user is its own", spoil: user(specs.User{}), input: func(in *enforce.Input) { in.Workload.Kind = policy.Sandbox },
			findings: []string{"nonRoot:uid audit"}, verdict: enforce.Unchanged},
		{name: "root's volumes are named", spoil: func(s *specs.Spec) {
			user(specs.User{}, "HOME=/srv")(s)
			for _, source := range []string{"/roots", "/all", "/group", "/other", "/unknown"} {
				s.Mounts = append(s.Mounts, specs.Mount{Destination: "/v" + source, Type: "bind", Source: source, Options: []string{"rbind"}})
			}
		}, findings: []string{"nonRoot:volume audit", "nonRoot:uid fix"}, edits: []string{uid, gid}, verdict: enforce.Fixed},
		{name: "a name", spoil: user(specs.User{}, "HOME=/srv"), policy: func(c *policy.Controls) { c.NonRoot.Passwd = true }, findings: []string{"nonRoot:uid fix"},
			edits: []string{uid, gid,
				`insert /mounts/2 {"destination":"/etc/passwd","type":"bind","source":"/bundle/runclamp.passwd","options":["bind","ro","nosuid","nodev","noexec","private"]}`,
				`insert /mounts/3 {"destination":"/etc/group","type":"bind","source":"/bundle/runclamp.group","options":["bind","ro","nosuid","nodev","noexec","private"]}`}, verdict: enforce.Fixed},
		{name: "a name that the image has", spoil: user(specs.User{}, "HOME=/srv"), policy: func(c *policy.Controls) { c.NonRoot.Passwd = true },
			input:    func(in *enforce.Input) { in.Facts.Names = &enforce.Names{Passwd: "app:x:10001:1:::"} },
			findings: []string{"nonRoot:uid fix"}, edits: []string{uid, gid}, verdict: enforce.Fixed},
		{name: "a passwd of the user's own", spoil: func(s *specs.Spec) {
			user(specs.User{}, "HOME=/srv")(s)
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/etc/", Type: "bind", Source: "/all"})
		}, policy: func(c *policy.Controls) { c.NonRoot.Passwd = true }, findings: []string{"nonRoot:uid fix"}, edits: []string{uid, gid}, verdict: enforce.Fixed},
	})
}

// TestNames: what the mounts of a name show.
func TestNames(t *testing.T) {
	s := clean(t)
	s.Process.User = specs.User{}
	p := policy.Policy{Controls: hardened(t)}
	p.Controls.NonRoot.Passwd = true
	d := enforce.Decide(enforce.Input{Policy: p, Facts: facts(), Spec: s})
	for name, want := range map[string]string{
		"runclamp.passwd": "root:x:0:0:root:/root:/bin/sh\nrunclamp:x:10001:10001:runclamp:/tmp:/sbin/nologin\n",
		"runclamp.group":  "root:x:0:\nrunclamp:x:10001:\n",
	} {
		if d.Files[name] != want {
			t.Errorf("%s is %q, want %q", name, d.Files[name], want)
		}
	}
}

func TestAppArmor(t *testing.T) {
	label := func(l string) func(*specs.Spec) { return func(s *specs.Spec) { s.Process.ApparmorProfile = l } }
	named := func(name string) func(*policy.Controls) {
		return func(c *policy.Controls) { c.AppArmor.Profile = name }
	}
	host := func(change func(*enforce.AppArmor)) func(*enforce.Input) {
		return func(in *enforce.Input) { change(&in.Facts.AppArmor) }
	}
	loaded := func(names ...string) func(*enforce.AppArmor) {
		return func(a *enforce.AppArmor) {
			a.Loaded = map[string]bool{}
			for _, n := range names {
				a.Loaded[n] = true
			}
		}
	}
	own := func(text, problem string, names ...string) func(*enforce.Input) {
		return host(func(a *enforce.AppArmor) {
			loaded(names...)(a)
			a.Own, a.Problem = apparmor.Profile{Name: "site", Text: text}, problem
		})
	}
	shipped := defaultProfile(t).Name
	set := fmt.Sprintf("set /process/apparmorProfile %q", shipped)
	const setSite = `set /process/apparmorProfile "site"`
	mended, refused := []string{"appArmor:unconfined fix"}, []string{"appArmor:unconfined reject"}
	runControlCases(t, []controlCase{
		{name: "none", spoil: label(""), findings: mended, edits: []string{set}, verdict: enforce.Fixed},
		{name: "none, and not loaded", spoil: label(""), input: host(loaded()), findings: mended, edits: []string{set}, load: []string{shipped}, verdict: enforce.Fixed},
		{name: "unconfined", spoil: label("unconfined"), findings: mended, edits: []string{set}, verdict: enforce.Fixed},
		{name: "unconfined, and not loaded", spoil: label("unconfined"), input: host(loaded()), findings: mended, edits: []string{set}, load: []string{shipped}, verdict: enforce.Fixed},
		{name: "shipped, and not loaded", spoil: label(shipped), input: host(loaded()), findings: mended, edits: []string{set}, load: []string{shipped}, verdict: enforce.Fixed},
		{name: "shipped by another release", spoil: label("runclamp-default-0123456789ab"), findings: mended, edits: []string{set}, verdict: enforce.Fixed},
		{name: "confined by another profile", spoil: label("docker-default"), verdict: enforce.Unchanged},
		{name: "the kernel trims it", spoil: label("unconfined "), findings: mended, edits: []string{set}, verdict: enforce.Fixed},
		{name: "a stack of nothing", spoil: label("unconfined//&unconfined"), findings: mended, edits: []string{set}, verdict: enforce.Fixed},
		{name: "in complain or unconfined mode", spoil: label("crun"), findings: mended, edits: []string{set}, verdict: enforce.Fixed},
		{name: "rejected", spoil: label(""), policy: func(c *policy.Controls) { c.AppArmor.Action = policy.Reject }, findings: refused, verdict: enforce.Refused},
		{name: "audited, nothing is loaded", spoil: label(""), input: host(loaded()), policy: func(c *policy.Controls) { c.AppArmor.Action = policy.Audit },
			findings: []string{"appArmor:unconfined audit"}, verdict: enforce.Unchanged},

		{name: "a file's", spoil: label(""), policy: named("site"), input: own("text", ""), findings: mended, edits: []string{setSite}, load: []string{"site"}, verdict: enforce.Fixed},
		{name: "a file's, loaded: it may have changed", spoil: label(""), policy: named("site"), input: own("text", "", "site"), findings: mended, edits: []string{setSite}, load: []string{"site"}, verdict: enforce.Fixed},
		{name: "somebody else's, loaded", spoil: label(""), policy: named("site"), input: own("", "", "site"), findings: mended, edits: []string{setSite}, verdict: enforce.Fixed},
		{name: "somebody else's, not loaded", spoil: label(""), policy: named("site"), input: own("", ""), findings: refused, verdict: enforce.Refused},
		{name: "a file that is not good", spoil: label(""), policy: named("site"), input: own("", "a good file"), findings: refused, verdict: enforce.Refused},

		{name: "a service's", spoil: label(""), policy: func(c *policy.Controls) { c.AppArmor.Allow.Execute = []string{"/server"} }, findings: mended,
			edits: []string{fmt.Sprintf("set /process/apparmorProfile %q", allowProfile(t).Name)}, load: []string{allowProfile(t).Name}, verdict: enforce.Fixed},
		{name: "a service's without a list", spoil: label(""), policy: named("runclamp-allow"), findings: refused, verdict: enforce.Refused},
		{name: "a service's with a path that is none", spoil: label(""), policy: func(c *policy.Controls) { c.AppArmor.Allow.Execute = []string{"/a*"} }, findings: refused, verdict: enforce.Refused},

		{name: "rootless, none", spoil: label(""), input: func(in *enforce.Input) { loaded()(&in.Facts.AppArmor); in.Facts.UserNamespace = true },
			findings: []string{"appArmor:none audit"}, verdict: enforce.Unchanged},
		{name: "rootless, unconfined", spoil: label("unconfined"), input: func(in *enforce.Input) { loaded()(&in.Facts.AppArmor); in.Facts.UserNamespace = true },
			findings: refused, verdict: enforce.Refused},

		{name: "unavailable, skipped", input: host(func(a *enforce.AppArmor) { *a = enforce.AppArmor{} }), findings: []string{"appArmor:unavailable audit"}, verdict: enforce.Unchanged},
		{name: "unavailable, refused", input: host(func(a *enforce.AppArmor) { *a = enforce.AppArmor{} }), policy: func(c *policy.Controls) { c.AppArmor.IfUnavailable = policy.RejectUnavailable },
			findings: []string{"appArmor:unavailable reject"}, verdict: enforce.Refused},
		{name: "the kernel complains, skipped", input: host(func(a *enforce.AppArmor) { *a = enforce.AppArmor{Enabled: true, Permissive: "complain"} }),
			findings: []string{"appArmor:unavailable audit"}, verdict: enforce.Unchanged},
		{name: "the kernel complains, refused", input: host(func(a *enforce.AppArmor) { *a = enforce.AppArmor{Enabled: true, Permissive: "complain"} }),
			policy: func(c *policy.Controls) { c.AppArmor.IfUnavailable = policy.RejectUnavailable }, findings: []string{"appArmor:unavailable reject"}, verdict: enforce.Refused},
	})
}

// TestUnprepared: what can't be done on the host refuses, with the reason, and leaves nothing to be carried out.
func TestUnprepared(t *testing.T) {
	spec := clean(t)
	spec.Process.ApparmorProfile, spec.Process.NoNewPrivileges = "", false
	in := enforce.Input{Policy: policy.Policy{Controls: hardened(t)}, Facts: facts(), Spec: spec}
	in.Facts.AppArmor.Loaded = nil
	d := enforce.Decide(in)
	if d.Verdict != enforce.Fixed || len(d.Prepare) != 1 {
		t.Fatalf("%s, %v", d.Verdict, d.Prepare)
	}
	failed := d.Unprepared(d.Prepare[0], errors.New("line 7"))
	if failed.Verdict != enforce.Refused || failed.Edits != nil || failed.Prepare != nil || failed.Spec != nil {
		t.Errorf("%+v", failed)
	}
	const want = "appArmor:unconfined: no AppArmor profile at process.apparmorProfile, wanted the profile runclamp-default-"
	if got := failed.Refusal("test"); !strings.HasPrefix(got, want) || !strings.Contains(got, "which can't be loaded (line 7)") || strings.Contains(got, "noNewPrivileges") {
		t.Error(got)
	}
	if d.Findings[0].Action != policy.Fix {
		t.Error("the decision itself was changed")
	}
}

func defaultProfile(t testing.TB) apparmor.Profile {
	t.Helper()
	p, err := apparmor.Default()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func allowProfile(t testing.TB) apparmor.Profile {
	t.Helper()
	p, err := apparmor.Allow(policy.AppArmorAllow{Execute: []string{"/server"}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCheckpoint(t *testing.T) {
	restore := func(in *enforce.Input) { in.Verb = "restore" }
	runControlCases(t, []controlCase{
		{name: "restore", input: restore, findings: []string{"checkpoint reject"}, verdict: enforce.Refused},
		{name: "allowed", input: restore, policy: func(c *policy.Controls) { c.Checkpoint.Action = policy.Audit }, findings: []string{"checkpoint audit"}, verdict: enforce.Unchanged},
	})
	d := enforce.DecideCheckpoint(enforce.Input{Policy: policy.Policy{Controls: hardened(t)}, Verb: "checkpoint"})
	if want := "checkpoint: a restored container takes its user, capabilities and seccomp filter from the image, not from its configuration, wanted a container that is started anew: start it anew, with its data on a volume (p)"; d.Refusal("p") != want {
		t.Errorf("got  %s\nwant %s", d.Refusal("p"), want)
	}
}

// TestExceptions: what is lifted is recorded, nothing else changes, and what is mended together is lifted together.
func TestExceptions(t *testing.T) {
	except := func(names ...string) func(*enforce.Input) {
		return func(in *enforce.Input) { in.Policy.Exceptions = []policy.Exception{{Name: "e", Allow: names}} }
	}
	caps := func(s *specs.Spec) {
		s.Process.Capabilities.Bounding = []string{"CAP_CHOWN", "CAP_SYS_PTRACE"}
	}
	profile := func(s *specs.Spec) {
		s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{{Names: []string{"read", "mount", "personality"}, Action: specs.ActAllow}}}
	}
	foreign := func(rules ...specs.LinuxSyscall) func(*specs.Spec) {
		return func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: []specs.Arch{seccomp.Native(), seccomp.Family()[0]}, Syscalls: rules}
		}
	}
	socketcall := specs.LinuxSyscall{Names: []string{"socketcall"}, Action: specs.ActAllow}
	socket := specs.LinuxSyscall{Names: []string{"socket"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Value: 1, Op: specs.OpEqualTo}}}
	runControlCases(t, []controlCase{
		{name: "one capability", spoil: caps, input: except("capabilities:SYS_PTRACE"), findings: []string{"capabilities:CHOWN fix", "capabilities:SYS_PTRACE audit"},
			edits: []string{`set /process/capabilities/bounding ["CAP_SYS_PTRACE"]`}, verdict: enforce.Fixed},
		{name: "all capabilities", spoil: caps, input: except("capabilities"), findings: []string{"capabilities:CHOWN audit", "capabilities:SYS_PTRACE audit"}, verdict: enforce.Unchanged},
		{name: "another control", spoil: caps, input: except("nonRoot", "capabilities:KILL"), findings: []string{"capabilities:CHOWN fix", "capabilities:SYS_PTRACE fix"},
			edits: []string{`set /process/capabilities/bounding []`}, verdict: enforce.Fixed},
		{name: "what can't be fixed", spoil: func(s *specs.Spec) {
			s.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
		},
			input: except("privileged", "devices"), findings: []string{"devices:*:* audit", "privileged audit"}, verdict: enforce.Unchanged},
		{name: "half of what is mended together", spoil: profile, input: except("seccomp:beyond"),
			findings: []string{"seccomp:beyond fix", "seccomp:conditions fix"}, edits: []string{narrowed(t, profile)}, verdict: enforce.Fixed},
		// What stays is held against the policy's profile on its own architecture, too.
		{name: "foreign architectures, and a multiplexer that gets round conditions", only: "amd64", spoil: foreign(socketcall, socket), input: except("seccomp:architectures"),
			findings: []string{"seccomp:architectures audit", "seccomp:denied fix"},
			edits:    []string{`set /linux/seccomp/syscalls [{"names":["socketcall"],"action":"SCMP_ACT_ERRNO","errnoRet":38},{"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]}]`}, verdict: enforce.Fixed},
		{name: "foreign architectures, and calls of theirs", only: "amd64", spoil: foreign(specs.LinuxSyscall{Names: []string{"read", "chown32", "vm86"}, Action: specs.ActAllow}), input: except("seccomp:architectures"),
			findings: []string{"seccomp:architectures audit", "seccomp:beyond fix"},
			edits:    []string{`set /linux/seccomp/syscalls [{"names":["read","chown32"],"action":"SCMP_ACT_ALLOW"}]`}, verdict: enforce.Fixed},
		{name: "foreign architectures, and nothing else", spoil: foreign(specs.LinuxSyscall{Names: []string{"read"}, Action: specs.ActAllow}), input: except("seccomp:architectures"),
			findings: []string{"seccomp:architectures audit"}, verdict: enforce.Unchanged},
		{name: "all of seccomp", only: "amd64", spoil: foreign(specs.LinuxSyscall{Names: []string{"read", "vm86"}, Action: specs.ActAllow}), input: except("seccomp"),
			findings: []string{"seccomp:architectures audit", "seccomp:beyond audit"}, verdict: enforce.Unchanged},
		{name: "all of it", spoil: profile, input: except("seccomp:beyond", "seccomp:conditions"),
			findings: []string{"seccomp:beyond audit", "seccomp:conditions audit"}, verdict: enforce.Unchanged},
	})
}

// narrowed is the edit that a profile gets without any exception.
func narrowed(t *testing.T, spoil func(*specs.Spec)) string {
	t.Helper()
	s := clean(t)
	spoil(s)
	d := enforce.Decide(enforce.Input{Policy: policy.Policy{Controls: hardened(t)}, Facts: facts(), Spec: s})
	if len(d.Edits) != 1 {
		t.Fatalf("%+v", d.Edits)
	}
	return fmt.Sprintf("%s %s %s", d.Edits[0].Op, d.Edits[0].Pointer, mustJSON(t, d.Edits[0].Value))
}

func TestCapabilities(t *testing.T) {
	all := func(names ...string) func(*specs.Spec) {
		return func(s *specs.Spec) {
			s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: names, Effective: names, Permitted: names}
		}
	}
	allow := func(names ...string) func(*policy.Controls) {
		return func(c *policy.Controls) { c.Capabilities.Allow = names }
	}
	set := func(which, value string) string { return "set /process/capabilities/" + which + " " + value }
	const bind = "CAP_NET_BIND_SERVICE"
	runControlCases(t, []controlCase{
		{name: "absent", spoil: func(s *specs.Spec) { s.Process.Capabilities = nil }, findings: []string{"capabilities:absent fix"},
			edits:   []string{set("bounding", "[]"), set("effective", "[]"), set("permitted", "[]"), set("inheritable", "[]"), set("ambient", "[]")},
			verdict: enforce.Fixed},
		{name: "some", spoil: all("CAP_CHOWN", "CAP_KILL"), findings: []string{"capabilities:CHOWN fix", "capabilities:KILL fix"},
			edits: []string{set("bounding", "[]"), set("effective", "[]"), set("permitted", "[]")}, verdict: enforce.Fixed},
		{name: "an allowed one is kept", spoil: all("CAP_CHOWN", bind), policy: allow(bind), findings: []string{"capabilities:CHOWN fix"},
			edits: []string{set("bounding", `["`+bind+`"]`), set("effective", `["`+bind+`"]`), set("permitted", `["`+bind+`"]`)}, verdict: enforce.Fixed},
		{name: "an allowed one is not added", policy: allow(bind), verdict: enforce.Unchanged},
		{name: "not a name", spoil: func(s *specs.Spec) { s.Process.Capabilities.Ambient = []string{"chown"} }, policy: allow("CAP_CHOWN"),
			findings: []string{"capabilities:chown fix"}, edits: []string{set("ambient", "[]")}, verdict: enforce.Fixed},
		{name: "moved off root", spoil: func(s *specs.Spec) { all(bind)(s); s.Process.User.UID = 0 }, policy: allow(bind),
			findings: []string{"capabilities:ambient fix", "nonRoot:uid fix"},
			edits: []string{"set /process/user/uid 10001", "set /process/user/gid 10001",
				set("inheritable", `["`+bind+`"]`), set("ambient", `["`+bind+`"]`)}, verdict: enforce.Fixed},
		{name: "not moved off root", spoil: all(bind), policy: allow(bind), verdict: enforce.Unchanged},
	})
}

func TestNoNewPrivileges(t *testing.T) {
	runControlCases(t, []controlCase{{name: "off", spoil: func(s *specs.Spec) { s.Process.NoNewPrivileges = false },
		findings: []string{"noNewPrivileges fix"}, edits: []string{"set /process/noNewPrivileges true"}, verdict: enforce.Fixed}})
}

func TestReadOnlyRootfs(t *testing.T) {
	tmpfs := func(at int, path, mode, size, more string) string {
		return fmt.Sprintf(`insert /mounts/%d {"destination":"%s","type":"tmpfs","source":"tmpfs","options":["nosuid","nodev","noexec","mode=%s","uid=20000","gid=20000","size=%s"%s]}`, at, path, mode, size, more)
	}
	const readonly, found = "set /root/readonly true", "readOnlyRootfs fix"
	mounts := func(dest ...string) func(*specs.Spec) {
		return func(s *specs.Spec) {
			s.Root.Readonly, s.Mounts = false, nil
			for _, d := range dest {
				d, kind, _ := strings.Cut(d, " ")
				s.Mounts = append(s.Mounts, specs.Mount{Destination: d, Type: kind, Source: "/src"})
			}
		}
	}
	run := func(at int) string { return tmpfs(at, "/run", "755", "16777216", `,"tmpcopyup"`) }
	tmp := func(at int) string { return tmpfs(at, "/tmp", "1777", "67108864", "") }
	varTmp := func(at int) string { return tmpfs(at, "/var/tmp", "1777", "67108864", "") }
	runControlCases(t, []controlCase{
		{name: "before the first bind", spoil: func(s *specs.Spec) { s.Root.Readonly = false }, findings: []string{found},
			edits: []string{readonly, run(1), tmp(2), varTmp(3)}, verdict: enforce.Fixed},
		{name: "no mounts", spoil: mounts(), findings: []string{found}, edits: []string{readonly, run(0), tmp(1), varTmp(2)}, verdict: enforce.Fixed},
		{name: "before what lies below", spoil: mounts("/proc proc", "/run/lock tmpfs", "/data bind"), findings: []string{found},
			edits: []string{readonly, run(1), tmp(2), varTmp(3)}, verdict: enforce.Fixed},
		{name: "the user's own", spoil: mounts("/tmp/ bind", "/run tmpfs"), findings: []string{found}, edits: []string{readonly, varTmp(0)}, verdict: enforce.Fixed},
		{name: "a similar name is not below", spoil: mounts("/dev tmpfs", "/runner tmpfs"), findings: []string{found}, edits: []string{readonly, run(1), tmp(2), varTmp(3)}, verdict: enforce.Fixed},
		{name: "before what lies below by a link", spoil: mounts("/proc proc", "/var/run/data tmpfs"), findings: []string{found},
			edits: []string{readonly, run(1), tmp(2), varTmp(3)}, verdict: enforce.Fixed},
		{name: "a bind by option", spoil: func(s *specs.Spec) { mounts("/x none")(s); s.Mounts[0].Options = []string{"ro", "rbind"} },
			findings: []string{found}, edits: []string{readonly, run(0), tmp(1), varTmp(2)}, verdict: enforce.Fixed},
		{name: "exec, no copy", spoil: mounts(), policy: func(c *policy.Controls) {
			c.ReadOnlyRootfs.Tmpfs = []policy.Tmpfs{{Path: "/b/c", Size: 1, Mode: 0o700}, {Path: "/b", Size: 1, Mode: 0o700, Exec: true, CopyUp: true}}
		}, findings: []string{found}, edits: []string{readonly,
			`insert /mounts/0 {"destination":"/b","type":"tmpfs","source":"tmpfs","options":["nosuid","nodev","mode=700","uid=20000","gid=20000","size=1"]}`,
			tmpfs(1, "/b/c", "700", "1", "")}, verdict: enforce.Fixed},
		{name: "a sandbox writes nothing", spoil: mounts(), input: func(in *enforce.Input) { in.Workload.Kind = policy.Sandbox }, findings: []string{found}, edits: []string{readonly}, verdict: enforce.Fixed},
		{name: "named by the policy, and read-only already", input: func(in *enforce.Input) { in.Policy.TmpfsNamed = true }, findings: []string{"readOnlyRootfs:tmpfs fix"},
			edits: []string{run(1), tmp(2), varTmp(3)}, verdict: enforce.Fixed},
	})
}

func TestProcMounts(t *testing.T) {
	runControlCases(t, []controlCase{
		{name: "two are missing", spoil: func(s *specs.Spec) {
			s.Linux.MaskedPaths = append(slices.Delete(s.Linux.MaskedPaths, 3, 5), "/proc/own")
		}, findings: []string{"procMounts:maskedPaths fix"},
			edits: []string{`insert /linux/maskedPaths/11 "/proc/kcore"`, `insert /linux/maskedPaths/12 "/proc/keys"`}, verdict: enforce.Fixed},
		{name: "by way of a folder that may not exist", spoil: func(s *specs.Spec) {
			s.Linux.MaskedPaths[3], s.Linux.ReadonlyPaths[3] = "/nowhere/../proc/kcore", "/nowhere/../proc/sys"
		}, findings: []string{"procMounts:maskedPaths fix", "procMounts:readonlyPaths fix"},
			edits: []string{`insert /linux/maskedPaths/12 "/proc/kcore"`, `insert /linux/readonlyPaths/5 "/proc/sys"`}, verdict: enforce.Fixed},
		{name: "proc and sysfs elsewhere", spoil: func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/run/p", Type: "proc"}, specs.Mount{Destination: "/sys", Type: "sysfs"},
				specs.Mount{Destination: "/sys/", Type: "sysfs"}, specs.Mount{Destination: "/link/../proc", Type: "proc"})
		}, findings: []string{"procMounts:/run/p reject", "procMounts:/sys/ reject", "procMounts:/link/../proc reject"},
			policy: func(c *policy.Controls) { c.HostMounts.Action = policy.Off }, verdict: enforce.Refused},
		{name: "masked is more than read-only", spoil: func(s *specs.Spec) {
			s.Linux.ReadonlyPaths = s.Linux.ReadonlyPaths[:4]
			s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/proc/sysrq-trigger")
		}, verdict: enforce.Unchanged},
		{name: "read-only is less than masked", spoil: func(s *specs.Spec) {
			s.Linux.MaskedPaths = slices.Delete(s.Linux.MaskedPaths, 11, 12)
			s.Linux.ReadonlyPaths = append(s.Linux.ReadonlyPaths, "/sys/firmware")
		}, findings: []string{"procMounts:maskedPaths fix"}, edits: []string{`insert /linux/maskedPaths/11 "/sys/firmware"`}, verdict: enforce.Fixed},
	})
}

func TestPrivileged(t *testing.T) {
	devices := func(rules ...specs.LinuxDeviceCgroup) func(*specs.Spec) {
		return func(s *specs.Spec) { s.Linux.Resources.Devices = rules }
	}
	any, five := int64(-1), int64(5)
	deny := specs.LinuxDeviceCgroup{Access: "rwm"}
	refused := []string{"privileged reject"}
	runControlCases(t, []controlCase{
		{name: "all devices", spoil: devices(deny, specs.LinuxDeviceCgroup{Allow: true, Access: "rwm"}), findings: refused, verdict: enforce.Refused},
		{name: "all devices spelt out", spoil: devices(specs.LinuxDeviceCgroup{Allow: true, Type: "a", Major: &any, Minor: &any, Access: "rwm"}), findings: refused, verdict: enforce.Refused},
		{name: "taken back", spoil: devices(specs.LinuxDeviceCgroup{Allow: true, Access: "rwm"}, deny), verdict: enforce.Unchanged},
		{name: "all devices, to be made only", spoil: devices(deny, specs.LinuxDeviceCgroup{Allow: true, Access: "m"}), findings: refused, verdict: enforce.Refused},
		{name: "one device", spoil: devices(deny, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: &five, Access: "rwm"}), findings: []string{"devices:5:* reject"}, verdict: enforce.Refused},
		{name: "an administrator whom nothing confines", spoil: func(s *specs.Spec) {
			s.Process.Capabilities.Bounding = []string{"CAP_SYS_ADMIN"}
			s.Linux.Seccomp, s.Linux.MaskedPaths = nil, nil
		}, findings: []string{"capabilities:SYS_ADMIN fix", "privileged reject", "procMounts:maskedPaths fix", "seccomp:unconfined fix"}, verdict: enforce.Refused},
	})
}

func TestSeccomp(t *testing.T) {
	profile := func(p specs.LinuxSeccomp) func(*specs.Spec) { return func(s *specs.Spec) { s.Linux.Seccomp = &p } }
	rules := func(s ...specs.LinuxSyscall) []specs.LinuxSyscall { return s }
	allow := func(names ...string) specs.LinuxSyscall {
		return specs.LinuxSyscall{Names: names, Action: specs.ActAllow}
	}
	errno := specs.ActErrno
	own, other := seccomp.Native(), seccomp.Family()[0]
	ownOnly := []string{fmt.Sprintf("set /linux/seccomp/architectures [%q]", own)}
	foreign := specs.LinuxSeccomp{DefaultAction: errno, Architectures: []specs.Arch{own, other}, Syscalls: rules(allow("read"))}
	numberless := specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32}, Syscalls: rules(
		specs.LinuxSyscall{Names: []string{"chown32"}, Action: errno},
		specs.LinuxSyscall{Names: []string{"clone"}, Action: errno, Args: []specs.LinuxSeccompArg{{Value: 1, Op: specs.OpEqualTo}}})}
	numbered := []string{`set /linux/seccomp/syscalls [{"names":["nfsservctl"],"action":"SCMP_ACT_ERRNO","errnoRet":38},{"names":["chown32"],"action":"SCMP_ACT_ERRNO"},` +
		`{"names":["clone"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]}]`}
	program := func(a specs.Arch) func(*enforce.Input) {
		return func(in *enforce.Input) { in.Facts.Program = enforce.Program{Path: "/bin/old", Arch: a} }
	}
	anyProfile := func(c *policy.Controls) { c.Seccomp.Profile = policy.AnyProfile }
	runControlCases(t, []controlCase{
		{name: "own and stricter", spoil: profile(specs.LinuxSeccomp{DefaultAction: specs.ActKillProcess, Syscalls: rules(allow("read", "exit_group"))}), verdict: enforce.Unchanged},
		{name: "beyond", spoil: profile(specs.LinuxSeccomp{DefaultAction: errno, Syscalls: rules(allow("read", "mount"), allow("bpf"))}),
			findings: []string{"seccomp:beyond fix"}, edits: []string{`set /linux/seccomp/syscalls [{"names":["read"],"action":"SCMP_ACT_ALLOW"}]`}, verdict: enforce.Fixed},
		{name: "architectures", spoil: profile(specs.LinuxSeccomp{DefaultAction: errno, Architectures: append([]specs.Arch{own}, seccomp.Family()...), Syscalls: rules(allow("read"))}),
			findings: []string{"seccomp:architectures fix"}, edits: ownOnly, verdict: enforce.Fixed},
		{name: "a program of a foreign architecture", spoil: profile(foreign), input: program(other), findings: []string{"seccomp:architectures fix", "seccomp:program audit"},
			edits: ownOnly, verdict: enforce.Fixed},
		{name: "a program of one that the engine denies", only: "amd64", spoil: profile(foreign), input: program(specs.ArchX32), findings: []string{"seccomp:architectures fix"},
			edits: ownOnly, verdict: enforce.Fixed},
		{name: "a program of another machine", spoil: profile(foreign), input: program(specs.ArchRISCV64), findings: []string{"seccomp:architectures fix"},
			edits: ownOnly, verdict: enforce.Fixed},
		{name: "a program of a foreign architecture, and it is kept", spoil: profile(foreign), input: program(other),
			policy: func(c *policy.Controls) { c.Seccomp.Architectures = policy.KeepArchitectures }, verdict: enforce.Unchanged},
		{name: "a program of a foreign architecture, and any profile", spoil: profile(foreign), input: program(other), policy: anyProfile,
			findings: []string{"seccomp:architectures fix", "seccomp:program audit"}, edits: ownOnly, verdict: enforce.Fixed},
		{name: "a policy's profile that is not there", policy: func(c *policy.Controls) { c.Seccomp.Profile = "default+mine" },
			findings: []string{"seccomp:profile reject"}, verdict: enforce.Refused},
		{name: "architectures are kept", spoil: profile(specs.LinuxSeccomp{DefaultAction: errno, Architectures: []specs.Arch{own, other}, Syscalls: rules(allow("read"))}),
			policy: func(c *policy.Controls) { c.Seccomp.Architectures = policy.KeepArchitectures }, verdict: enforce.Unchanged},
		{name: "a multiplexer gets round conditions", only: "amd64", spoil: profile(specs.LinuxSeccomp{DefaultAction: errno, Architectures: []specs.Arch{specs.ArchX86}, Syscalls: rules(allow("socketcall"),
			specs.LinuxSyscall{Names: []string{"socket"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Value: 1, Op: specs.OpEqualTo}}})}),
			policy: func(c *policy.Controls) { c.Seccomp.Architectures = policy.KeepArchitectures }, findings: []string{"seccomp:denied fix"},
			edits: []string{`set /linux/seccomp/syscalls [{"names":["socketcall"],"action":"SCMP_ACT_ERRNO","errnoRet":38},{"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]}]`}, verdict: enforce.Fixed},
		{name: "a filter that would not look at the number", only: "amd64", spoil: profile(numberless), policy: func(c *policy.Controls) {
			c.Seccomp.Profile, c.Seccomp.Architectures = policy.AnyProfile, policy.KeepArchitectures
		}, findings: []string{"seccomp:number fix"}, edits: numbered, verdict: enforce.Fixed},
		{name: "a filter that would not, and refusing", only: "amd64", spoil: profile(numberless), policy: func(c *policy.Controls) {
			c.Seccomp.Profile, c.Seccomp.Architectures, c.Seccomp.Action = policy.AnyProfile, policy.KeepArchitectures, policy.Reject
		}, findings: []string{"seccomp:number fix"}, edits: numbered, verdict: enforce.Fixed},
		{name: "a filter that would not, and an exception for architectures", only: "amd64", spoil: profile(numberless), input: func(in *enforce.Input) {
			in.Policy.Exceptions = append(in.Policy.Exceptions, policy.Exception{Allow: []string{"seccomp:architectures"}})
		}, policy: anyProfile, findings: []string{"seccomp:architectures audit", "seccomp:number fix"}, edits: numbered, verdict: enforce.Fixed},
		{name: "a filter that would not, and the native architecture only", only: "amd64", spoil: profile(numberless), policy: anyProfile,
			findings: []string{"seccomp:architectures fix"}, edits: ownOnly, verdict: enforce.Fixed},
		{name: "a listener that the policy trusts", spoil: profile(specs.LinuxSeccomp{DefaultAction: errno, ListenerPath: "/run/a"}),
			policy: func(c *policy.Controls) { c.Seccomp.Listeners = []string{"/run/a"} }, verdict: enforce.Unchanged},
		{name: "a denial that says success", spoil: profile(specs.LinuxSeccomp{DefaultAction: errno, Syscalls: rules(specs.LinuxSyscall{Names: []string{"setuid", "capset"}, Action: errno, ErrnoRet: new(uint)})}),
			findings: []string{"seccomp:errno reject"}, verdict: enforce.Refused},
		{name: "a default that says success", spoil: profile(specs.LinuxSeccomp{DefaultAction: errno, DefaultErrnoRet: new(uint), Syscalls: rules(allow("read"))}), findings: []string{"seccomp:errno reject"}, verdict: enforce.Refused},
		{name: "a name that ends early", spoil: profile(specs.LinuxSeccomp{DefaultAction: errno, Syscalls: rules(allow("mount\x00x"))}), findings: []string{"seccomp:name reject"}, verdict: enforce.Refused},
		{name: "a seventh argument", spoil: profile(specs.LinuxSeccomp{DefaultAction: errno, Syscalls: rules(specs.LinuxSyscall{Names: []string{"read"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Index: 6, Op: specs.OpEqualTo}}})}),
			findings: []string{"seccomp:condition reject"}, verdict: enforce.Refused},
		{name: "listener", spoil: profile(specs.LinuxSeccomp{DefaultAction: errno, ListenerPath: "/run/a"}), findings: []string{"seccomp:listener reject"}, verdict: enforce.Refused},
		{name: "notify", spoil: profile(specs.LinuxSeccomp{DefaultAction: errno, Syscalls: rules(specs.LinuxSyscall{Names: []string{"mount"}, Action: specs.ActNotify})}),
			findings: []string{"seccomp:notify reject"}, verdict: enforce.Refused},
		{name: "flag", spoil: profile(specs.LinuxSeccomp{DefaultAction: errno, Flags: []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagSpecAllow}}), findings: []string{"seccomp:flags reject"}, verdict: enforce.Refused},
		{name: "any, and allow by default", spoil: profile(specs.LinuxSeccomp{DefaultAction: specs.ActAllow}), policy: anyProfile, verdict: enforce.Unchanged},
		{name: "any, and beyond", spoil: profile(specs.LinuxSeccomp{DefaultAction: errno, Syscalls: rules(allow("mount"))}), policy: anyProfile, verdict: enforce.Unchanged},
		{name: "any, allow by default, and a listener", spoil: profile(specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: "/run/a"}), policy: anyProfile,
			findings: []string{"seccomp:listener reject"}, verdict: enforce.Refused},
		{name: "any, allow by default, and a notify agent", spoil: profile(specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: rules(specs.LinuxSyscall{Names: []string{"mount"}, Action: specs.ActNotify})}), policy: anyProfile,
			findings: []string{"seccomp:notify reject"}, verdict: enforce.Refused},
		{name: "any, allow by default, and no mitigation", spoil: profile(specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagSpecAllow}}), policy: anyProfile,
			findings: []string{"seccomp:flags reject"}, verdict: enforce.Refused},
		{name: "any, and a notify agent by default", spoil: profile(specs.LinuxSeccomp{DefaultAction: specs.ActNotify}), policy: anyProfile,
			findings: []string{"seccomp:notify reject"}, verdict: enforce.Refused},
		{name: "any, and a listener", spoil: profile(specs.LinuxSeccomp{DefaultAction: errno, ListenerPath: "/run/a"}), policy: anyProfile, findings: []string{"seccomp:listener reject"}, verdict: enforce.Refused},
		{name: "no such action", spoil: profile(specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_DENY"}), findings: []string{"seccomp:action reject"}, verdict: enforce.Refused},
	})

	t.Run("a program of a foreign architecture, and no profile", func(t *testing.T) {
		for _, action := range []policy.Action{policy.Fix, policy.Reject} {
			s := clean(t)
			s.Linux.Seccomp = nil
			in := enforce.Input{Policy: policy.Policy{Controls: hardened(t)}, Facts: facts(), Spec: s}
			in.Policy.Controls.Seccomp.Action = action
			program(other)(&in)
			d := enforce.Decide(in)
			want := enforce.Finding{Control: "seccomp", Detail: "program", Pointer: "/process/args", Action: policy.Audit,
				Found:  `a 32-bit program, "/bin/old", whose system calls (` + string(other) + `) the policy takes out`,
				Wanted: "a program for the machine's own architecture",
				Mend:   "set seccomp.architectures: keep in the policy and let the engine send its default profile, or use an image for the machine's own architecture"}
			if !slices.ContainsFunc(d.Findings, func(f enforce.Finding) bool { return reflect.DeepEqual(f, want) }) {
				t.Errorf("%s: %+v", action, d.Findings)
			}
		}
	})

	// What lets through by default is mended: the policy's profile, without what this one denies.
	for _, action := range []specs.LinuxSeccompAction{specs.ActAllow, specs.ActLog} {
		t.Run("by default "+string(action), func(t *testing.T) {
			s := clean(t)
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: action, Syscalls: rules(specs.LinuxSyscall{Names: []string{"mount", "futex"}, Action: specs.ActKillProcess})}
			d := enforce.Decide(enforce.Input{Policy: policy.Policy{Controls: hardened(t)}, Facts: facts(), Spec: s})
			if d.Verdict != enforce.Fixed || d.Findings[0].Name() != "seccomp:default" {
				t.Fatalf("%s, %+v", d.Verdict, d.Findings)
			}
			p := d.Spec.Linux.Seccomp
			if p.DefaultAction != errno || !may(p, "read", 0) || may(p, "futex", 0) || may(p, "mount", 0) || may(p, "socket", 40) || !may(p, "socket", 2) {
				t.Errorf("not Docker's default without what is denied: %s", mustJSON(t, p))
			}
		})
	}

	// Nothing, and what runc takes for nothing: Docker's default comes in whole, for the capabilities that are left.
	for name, p := range map[string]*specs.LinuxSeccomp{"none": nil, "empty": {}} {
		t.Run(name, func(t *testing.T) {
			s := clean(t)
			s.Linux.Seccomp = p
			s.Process.Capabilities.Bounding = []string{"CAP_SYS_ADMIN"} // goes, and takes mount(2) with it
			d := enforce.Decide(enforce.Input{Policy: policy.Policy{Controls: hardened(t)}, Facts: facts(), Spec: s})
			if d.Verdict != enforce.Fixed || d.Spec.Linux.Seccomp == nil || d.Spec.Linux.Seccomp.DefaultAction != specs.ActErrno {
				t.Fatalf("%s, %+v", d.Verdict, d.Findings)
			}
			if text := string(mustJSON(t, d.Spec.Linux.Seccomp)); strings.Contains(text, `"mount"`) || !strings.Contains(text, `"futex"`) || strings.Contains(text, "SCMP_ARCH_X32") {
				t.Errorf("not the default for no capabilities on one architecture: %s", text)
			}
		})
	}
}

func TestDecideExec(t *testing.T) {
	lift := func(name, expires string) []enforce.LiftedFinding {
		return []enforce.LiftedFinding{{Name: name, Expires: expires}}
	}
	caps := func(names ...string) *specs.LinuxCapabilities {
		return &specs.LinuxCapabilities{Bounding: names, Effective: names, Permitted: names}
	}
	container := &specs.Process{
		User: specs.User{UID: 10001, GID: 10001}, Env: []string{"HOME=/tmp"}, Args: []string{"/app"}, Cwd: "/", ApparmorProfile: "docker-default",
		NoNewPrivileges: true, Capabilities: &specs.LinuxCapabilities{}, ConsoleSize: &specs.Box{Height: 1, Width: 1},
	}
	same := specs.Process{User: container.User, Args: []string{"id"}, Cwd: "/", NoNewPrivileges: true, ApparmorProfile: "docker-default"}
	with := func(change func(*specs.Process)) specs.Process {
		p := same
		change(&p)
		return p
	}
	root := with(func(p *specs.Process) { p.User = specs.User{} })
	everything := specs.Process{Args: []string{"id"}, Cwd: "/", Capabilities: caps("CAP_SYS_ADMIN", "CAP_CHOWN")}
	const plain = `set /args ["id"];set /env [];set /cwd "/";set /terminal false;remove /consoleSize null;`
	const moved = `set /args ["id"];set /env ["HOME=/tmp"];set /cwd "/";set /terminal false;remove /consoleSize null;`
	for _, tt := range []struct {
		name            string
		settings        enforce.ExecSettings
		asked           specs.Process
		findings, edits string
		verdict         enforce.Verdict
	}{
		{"the container's own", enforce.ExecSettings{Action: policy.Fix}, same, "", plain, enforce.Unchanged},
		{"root", enforce.ExecSettings{Action: policy.Fix}, root, "exec:root fix;", moved, enforce.Fixed},
		{"root's home", enforce.ExecSettings{Action: policy.Fix}, with(func(p *specs.Process) { p.User, p.Env = specs.User{}, []string{"HOME=/root"} }), "exec:root fix;", moved, enforce.Fixed},
		{"a home of its own", enforce.ExecSettings{Action: policy.Fix}, with(func(p *specs.Process) { p.User, p.Env = specs.User{}, []string{"HOME=/srv"} }), "exec:root fix;",
			strings.Replace(plain, "[]", `["HOME=/srv"]`, 1), enforce.Fixed},
		{"terminal", enforce.ExecSettings{Action: policy.Fix}, with(func(p *specs.Process) { p.Terminal, p.ConsoleSize = true, &specs.Box{Height: 2, Width: 3} }), "",
			`set /args ["id"];set /env [];set /cwd "/";set /terminal true;set /consoleSize {"height":2,"width":3};`, enforce.Unchanged},
		{"another user", enforce.ExecSettings{Action: policy.Fix}, with(func(p *specs.Process) { p.User.UID = 5 }), "exec:user fix;", moved, enforce.Fixed},
		{"another group", enforce.ExecSettings{Action: policy.Fix}, with(func(p *specs.Process) { p.User.AdditionalGids = []uint32{7} }), "exec:user fix;", plain, enforce.Fixed},
		{"everything", enforce.ExecSettings{Action: policy.Fix}, everything, "exec:root fix;exec:capabilities fix;exec:noNewPrivileges fix;exec:appArmor fix;", moved, enforce.Fixed},
		{"everything, refused", enforce.ExecSettings{Action: policy.Reject}, everything, "exec:root reject;exec:capabilities reject;exec:noNewPrivileges reject;exec:appArmor reject;", "as asked", enforce.Refused},
		{"a descriptor as its folder", enforce.ExecSettings{Action: policy.Fix}, with(func(p *specs.Process) { p.Cwd = "/x/../proc/self/fd/8" }), "exec:cwd reject;", "as asked", enforce.Refused},
		{"nothing to refuse", enforce.ExecSettings{Action: policy.Reject}, same, "", plain, enforce.Unchanged},
		{"audit", enforce.ExecSettings{Action: policy.Audit}, root, "exec:root audit;", "as asked", enforce.Unchanged},
		{"off", enforce.ExecSettings{Action: policy.Off}, root, "", "as asked", enforce.Unchanged},
		{"no such action", enforce.ExecSettings{Action: "x"}, root, "exec:root reject;", "as asked", enforce.Refused},
		{"root by exception", enforce.ExecSettings{Action: policy.Fix, Lifted: lift("exec:root", "2026-01-02")}, everything,
			"exec:root audit;exec:capabilities fix;exec:noNewPrivileges fix;exec:appArmor fix;", plain + `set /user {"uid":0,"gid":0};`, enforce.Fixed},
		{"root by exception, the day after", enforce.ExecSettings{Action: policy.Fix, Lifted: lift("exec:root", "2026-01-01")}, root, "exec:root fix;", moved, enforce.Fixed},
		{"root by exception that does not say for how long", enforce.ExecSettings{Action: policy.Fix, Lifted: lift("exec:root", "")}, root, "exec:root fix;", moved, enforce.Fixed},
		{"all by exception", enforce.ExecSettings{Action: policy.Reject, Lifted: lift("exec", "2026-01-02")}, everything,
			"exec:root audit;exec:capabilities audit;exec:noNewPrivileges audit;exec:appArmor audit;",
			plain + `set /user {"uid":0,"gid":0};set /capabilities {"bounding":["CAP_SYS_ADMIN","CAP_CHOWN"],"effective":["CAP_SYS_ADMIN","CAP_CHOWN"],"permitted":["CAP_SYS_ADMIN","CAP_CHOWN"]};set /noNewPrivileges false;set /apparmorProfile "";`, enforce.Unchanged},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := enforce.DecideExec(tt.settings, container, &tt.asked, time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC))
			var findings, edits strings.Builder
			for _, f := range d.Findings {
				fmt.Fprintf(&findings, "%s %s;", f.Name(), f.Action)
			}
			for _, e := range d.Edits {
				fmt.Fprintf(&edits, "%s %s %s;", e.Op, e.Pointer, mustJSON(t, e.Value))
			}
			if !d.Held {
				edits.WriteString("as asked")
			}
			if findings.String() != tt.findings || edits.String() != tt.edits || d.Verdict != tt.verdict {
				t.Errorf("%s\n got  %s %s\n want %s %s", d.Verdict, &findings, &edits, tt.findings, tt.edits)
			}
		})
	}
}

// TestManyEdits: what is asked for a hundred thousand times is not mended a hundred thousand times.
func TestManyEdits(t *testing.T) {
	many := func(s string) []string { return slices.Repeat([]string{s}, 100_000) }
	runControlCases(t, []controlCase{
		{name: "groups", spoil: func(s *specs.Spec) { s.Process.User.AdditionalGids = slices.Repeat([]uint32{0}, 100_000) },
			findings: []string{"nonRoot:groups fix"}, edits: []string{"set /process/user/additionalGids []"}, verdict: enforce.Fixed},
		{name: "homes", spoil: func(s *specs.Spec) { s.Process.User.UID, s.Process.Env = 0, many("HOME=/") },
			findings: []string{"nonRoot:uid reject"}, verdict: enforce.Refused},
	})
}
