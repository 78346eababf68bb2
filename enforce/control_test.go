package enforce_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"runclamp/enforce"
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
	return &specs.Spec{
		Version: "1.0.2",
		Process: &specs.Process{
			User: specs.User{UID: 20000, GID: 20000}, Args: []string{"/app"}, Cwd: "/",
			Env:          []string{"PATH=/bin", "HOME=/home/app"},
			Capabilities: &specs.LinuxCapabilities{}, NoNewPrivileges: true,
		},
		Root: &specs.Root{Path: "rootfs", Readonly: true},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc"},
			{Destination: "/etc/hosts", Type: "bind", Source: "/hosts", Options: []string{"rbind"}},
		},
		Linux: &specs.Linux{
			Seccomp: profile,
			MaskedPaths: []string{"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
				"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware"},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
			Resources:     &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}},
		},
	}
}

// controlCase spoils the clean configuration, or the preset, and says what must be found and done.
type controlCase struct {
	name   string
	spoil  func(*specs.Spec)
	policy func(*policy.Controls)
	// findings as "control:detail action", edits as "op pointer value".
	findings []string
	edits    []string
	verdict  enforce.Verdict
}

func runControlCases(t *testing.T, cases []controlCase) {
	t.Helper()
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			spec, controls := clean(t), hardened(t)
			if tt.spoil != nil {
				tt.spoil(spec)
			}
			if tt.policy != nil {
				tt.policy(&controls)
			}
			d := enforce.Decide(enforce.Input{Policy: controls, Facts: enforce.Facts{ImageFolders: map[string]bool{"/run": true}}, Spec: spec})
			var findings, edits []string
			for _, f := range d.Findings {
				findings = append(findings, fmt.Sprintf("%s %s", f.Name(), f.Action))
				if f.Found == "" || f.Wanted == "" || f.Pointer == "" {
					t.Errorf("%s does not say what was found, what was wanted and where: %+v", f.Name(), f)
				}
			}
			for _, e := range d.Edits {
				edits = append(edits, strings.TrimSuffix(fmt.Sprintf("%s %s %s", e.Op, e.Pointer, mustJSON(t, e.Value)), " null"))
			}
			if !slices.Equal(findings, tt.findings) {
				t.Errorf("findings\n got  %q\n want %q", findings, tt.findings)
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
		if len(c.Fields) == 0 || c.Check == nil || c.Action(hardened(t)) == "" {
			t.Errorf("%s: no fields, no check or no action in the preset", c.Name)
		}
	}
}

func TestAllFindingsAtOnce(t *testing.T) {
	d := enforce.Decide(enforce.Input{Policy: hardened(t), Spec: &specs.Spec{}})
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
		*c = policy.Controls{Specification: policy.Plain{Action: policy.Reject}}
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
		&c.ReadOnlyRootfs.Action, &c.ProcMounts.Action, &c.Seccomp.Action, &c.Checkpoint.Action} {
		*a = policy.Off
	}
}

func TestNonRoot(t *testing.T) {
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
		{name: "root's group allowed", spoil: user(specs.User{UID: 20000, AdditionalGids: []uint32{0}}), policy: func(c *policy.Controls) { c.NonRoot.Groups.Allow = []uint32{0} }, verdict: enforce.Unchanged},
		{name: "root among the groups", spoil: user(specs.User{UID: 20000, GID: 20000, AdditionalGids: []uint32{0, 5, 0, 6}}), findings: []string{"nonRoot:groups fix"},
			edits: []string{"remove /process/user/additionalGids/0", "remove /process/user/additionalGids/1"}, verdict: enforce.Fixed},
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
	})
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
				s.Mounts = append(s.Mounts, specs.Mount{Destination: d, Type: kind})
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
			edits: []string{readonly, run(1), tmp(3), varTmp(4)}, verdict: enforce.Fixed},
		{name: "the user's own", spoil: mounts("/tmp/ bind", "/run tmpfs"), findings: []string{found}, edits: []string{readonly, varTmp(0)}, verdict: enforce.Fixed},
		{name: "a similar name is not below", spoil: mounts("/runner tmpfs"), findings: []string{found}, edits: []string{readonly, run(1), tmp(2), varTmp(3)}, verdict: enforce.Fixed},
		{name: "a bind by option", spoil: func(s *specs.Spec) { mounts("/x none")(s); s.Mounts[0].Options = []string{"ro", "rbind"} },
			findings: []string{found}, edits: []string{readonly, run(0), tmp(1), varTmp(2)}, verdict: enforce.Fixed},
		{name: "exec, no copy", spoil: mounts(), policy: func(c *policy.Controls) {
			c.ReadOnlyRootfs.Tmpfs = []policy.Tmpfs{{Path: "/b/c", Size: 1, Mode: 0o700}, {Path: "/b", Size: 1, Mode: 0o700, Exec: true, CopyUp: true}}
		}, findings: []string{found}, edits: []string{readonly,
			`insert /mounts/0 {"destination":"/b","type":"tmpfs","source":"tmpfs","options":["nosuid","nodev","mode=700","uid=20000","gid=20000","size=1"]}`,
			tmpfs(1, "/b/c", "700", "1", "")}, verdict: enforce.Fixed},
	})
}

func TestProcMounts(t *testing.T) {
	runControlCases(t, []controlCase{
		{name: "two are missing", spoil: func(s *specs.Spec) {
			s.Linux.MaskedPaths = append(slices.Delete(s.Linux.MaskedPaths, 3, 5), "/proc/own")
		}, findings: []string{"procMounts:maskedPaths fix"},
			edits: []string{`insert /linux/maskedPaths/11 "/proc/kcore"`, `insert /linux/maskedPaths/12 "/proc/keys"`}, verdict: enforce.Fixed},
		{name: "another spelling", spoil: func(s *specs.Spec) { s.Linux.MaskedPaths[3] = "/proc//kcore/" }, verdict: enforce.Unchanged},
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
		{name: "mknod only", spoil: devices(deny, specs.LinuxDeviceCgroup{Allow: true, Access: "m"}), verdict: enforce.Unchanged},
		{name: "one device", spoil: devices(deny, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: &five, Access: "rwm"}), verdict: enforce.Unchanged},
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
	runControlCases(t, []controlCase{
		{name: "own and stricter", spoil: profile(specs.LinuxSeccomp{DefaultAction: specs.ActKillProcess, Syscalls: rules(allow("read", "exit_group"))}), verdict: enforce.Unchanged},
		{name: "beyond", spoil: profile(specs.LinuxSeccomp{DefaultAction: errno, Syscalls: rules(allow("read", "mount"), allow("bpf"))}),
			findings: []string{"seccomp:beyond-default fix"}, edits: []string{`set /linux/seccomp/syscalls [{"names":["read"],"action":"SCMP_ACT_ALLOW"}]`}, verdict: enforce.Fixed},
		{name: "architectures", spoil: profile(specs.LinuxSeccomp{DefaultAction: errno, Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32}, Syscalls: rules(allow("read"))}),
			findings: []string{"seccomp:architectures fix"}, edits: []string{`set /linux/seccomp/architectures ["SCMP_ARCH_X86_64"]`}, verdict: enforce.Fixed},
		{name: "allow by default", spoil: profile(specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: rules(specs.LinuxSyscall{Names: []string{"mount"}, Action: errno})}),
			findings: []string{"seccomp:default reject"}, verdict: enforce.Refused},
		{name: "log by default", spoil: profile(specs.LinuxSeccomp{DefaultAction: specs.ActLog}), findings: []string{"seccomp:default reject"}, verdict: enforce.Refused},
		{name: "listener", spoil: profile(specs.LinuxSeccomp{DefaultAction: errno, ListenerPath: "/run/a"}), findings: []string{"seccomp:listener reject"}, verdict: enforce.Refused},
		{name: "notify", spoil: profile(specs.LinuxSeccomp{DefaultAction: errno, Syscalls: rules(specs.LinuxSyscall{Names: []string{"mount"}, Action: specs.ActNotify})}),
			findings: []string{"seccomp:notify reject"}, verdict: enforce.Refused},
		{name: "flag", spoil: profile(specs.LinuxSeccomp{DefaultAction: errno, Flags: []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagSpecAllow}}), findings: []string{"seccomp:flags reject"}, verdict: enforce.Refused},
		{name: "no such action", spoil: profile(specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_DENY"}), findings: []string{"seccomp:action reject"}, verdict: enforce.Refused},
	})

	// Nothing, and what runc takes for nothing: Docker's default comes in whole, for the capabilities that are left.
	for name, p := range map[string]*specs.LinuxSeccomp{"none": nil, "empty": {}} {
		t.Run(name, func(t *testing.T) {
			s := clean(t)
			s.Linux.Seccomp = p
			s.Process.Capabilities.Bounding = []string{"CAP_SYS_ADMIN"} // goes, and takes mount(2) with it
			d := enforce.Decide(enforce.Input{Policy: hardened(t), Spec: s})
			if d.Verdict != enforce.Fixed || d.Spec.Linux.Seccomp == nil || d.Spec.Linux.Seccomp.DefaultAction != specs.ActErrno {
				t.Fatalf("%s, %+v", d.Verdict, d.Findings)
			}
			if text := string(mustJSON(t, d.Spec.Linux.Seccomp)); strings.Contains(text, `"mount"`) || !strings.Contains(text, `"futex"`) || strings.Contains(text, "SCMP_ARCH_X32") {
				t.Errorf("not the default for no capabilities on one architecture: %s", text)
			}
		})
	}
}

func TestHoldExec(t *testing.T) {
	container := &specs.Process{
		User: specs.User{UID: 10001, GID: 10001}, Env: []string{"HOME=/tmp"}, Args: []string{"/app"}, Cwd: "/",
		NoNewPrivileges: true, Capabilities: &specs.LinuxCapabilities{}, ConsoleSize: &specs.Box{Height: 1, Width: 1},
	}
	edits := func(asked *specs.Process) string {
		var b strings.Builder
		for _, e := range enforce.HoldExec(container, asked) {
			value, err := json.Marshal(e.Value)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "%s %s %s;", e.Op, e.Pointer, value)
		}
		return b.String()
	}
	for _, tt := range []struct {
		name  string
		asked specs.Process
		want  string
	}{
		{"root", specs.Process{Args: []string{"id"}, Cwd: "/x", Env: []string{"A=b"}, Terminal: true},
			`set /args ["id"];set /env ["A=b","HOME=/tmp"];set /cwd "/x";set /terminal true;remove /consoleSize null;`},
		{"root's home", specs.Process{Args: []string{"id"}, Cwd: "/", Env: []string{"HOME=/root"}, ConsoleSize: &specs.Box{Height: 2, Width: 3}},
			`set /args ["id"];set /env ["HOME=/tmp"];set /cwd "/";set /terminal false;set /consoleSize {"height":2,"width":3};`},
		{"a home of its own", specs.Process{Args: []string{"id"}, Cwd: "/", Env: []string{"HOME=/srv"}},
			`set /args ["id"];set /env ["HOME=/srv"];set /cwd "/";set /terminal false;remove /consoleSize null;`},
		{"the container's user", specs.Process{User: specs.User{UID: 10001}, Args: []string{"id"}, Cwd: "/"},
			`set /args ["id"];set /env [];set /cwd "/";set /terminal false;remove /consoleSize null;`},
	} {
		if got := edits(&tt.asked); got != tt.want {
			t.Errorf("%s:\n got  %s\n want %s", tt.name, got, tt.want)
		}
	}
}
