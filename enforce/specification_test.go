package enforce_test

import (
	"reflect"
	"testing"

	"runclamp/bundle"
	"runclamp/enforce"
	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestBeside: what does not stand in the configuration.
func TestBeside(t *testing.T) {
	all := []string{enforce.NoPivot, enforce.NoNewKeyring, enforce.PreserveFDs, enforce.ListenFDs, enforce.NotifySocket}
	given := func(names ...string) func(*enforce.Input) { return func(in *enforce.Input) { in.Beside = names } }
	runControlCases(t, []controlCase{
		{name: "all", input: given(all...), findings: []string{"specification:LISTEN_FDS reject", "specification:NOTIFY_SOCKET reject", "specification:no-new-keyring reject",
			"specification:no-pivot reject", "specification:preserve-fds reject"}, verdict: enforce.Refused},
		{name: "allowed", input: given(all...), policy: func(c *policy.Controls) { c.Specification.Allow = all }, verdict: enforce.Unchanged},
		{name: "none that is known", input: given("x"), verdict: enforce.Unchanged},
	})
}

func TestOddFields(t *testing.T) {
	process := func(change func(*specs.Process)) func(*specs.Spec) {
		return func(s *specs.Spec) { change(s.Process) }
	}
	linux := func(change func(*specs.Linux)) func(*specs.Spec) {
		return func(s *specs.Spec) { change(s.Linux) }
	}
	cases := []struct {
		name  string
		field string // empty: it is good
		spoil func(*specs.Spec)
	}{
		{"1.0", "", func(s *specs.Spec) { s.Version = "1.0.0" }},
		{"a development version", "", func(s *specs.Spec) { s.Version = "1.0.2-dev" }},
		{"1.3", "", func(s *specs.Spec) { s.Version = "1.3.0" }},
		{"1.4", "ociVersion", func(s *specs.Spec) { s.Version = "1.4.0" }},
		{"2.0", "ociVersion", func(s *specs.Spec) { s.Version = "2.0.0" }},
		{"01.0", "ociVersion", func(s *specs.Spec) { s.Version = "01.0.0" }},
		{"1.-1", "ociVersion", func(s *specs.Spec) { s.Version = "1.-1.0" }},
		{"no version", "ociVersion", func(s *specs.Spec) { s.Version = "" }},
		{"two numbers", "ociVersion", func(s *specs.Spec) { s.Version = "1.0" }},
		{"a folder", "", process(func(p *specs.Process) { p.Cwd = "/srv/../proceedings" })},
		{"a descriptor", "process.cwd", process(func(p *specs.Process) { p.Cwd = "/proc/self/fd/7" })},
		{"a descriptor behind dots", "process.cwd", process(func(p *specs.Process) { p.Cwd = "/srv/..//proc/self/fd/7/" })},
		{"proc itself", "process.cwd", process(func(p *specs.Process) { p.Cwd = "/proc" })},
		{"a descriptor by its link", "process.cwd", process(func(p *specs.Process) { p.Cwd = "/dev/fd/7" })},
		{"a relative folder", "process.cwd", process(func(p *specs.Process) { p.Cwd = "srv" })},
		{"no folder", "process.cwd", process(func(p *specs.Process) { p.Cwd = "" })},
		{"a command line", "process.commandLine", process(func(p *specs.Process) { p.CommandLine = "x" })},
		{"a umask", "", process(func(p *specs.Process) { p.User.Umask = number[uint32](0o777) })},
		{"too much of a umask", "process.user.umask", process(func(p *specs.Process) { p.User.Umask = number[uint32](0o1000) })},
		{"an ordinary scheduler", "", process(func(p *specs.Process) { p.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 19} })},
		{"before others", "process.scheduler", process(func(p *specs.Process) { p.Scheduler = &specs.Scheduler{Policy: specs.SchedOther, Nice: -1} })},
		{"realtime", "process.scheduler", process(func(p *specs.Process) { p.Scheduler = &specs.Scheduler{Policy: specs.SchedRR} })},
		{"deadline", "process.scheduler", process(func(p *specs.Process) { p.Scheduler = &specs.Scheduler{Policy: specs.SchedDeadline} })},
		{"idle I/O", "", process(func(p *specs.Process) { p.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_IDLE} })},
		{"realtime I/O", "process.ioPriority", process(func(p *specs.Process) { p.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_RT} })},
		{"I/O of no class", "process.ioPriority", process(func(p *specs.Process) { p.IOPriority = &specs.LinuxIOPriority{} })},
		{"CPUs for exec", "process.execCPUAffinity", process(func(p *specs.Process) { p.ExecCPUAffinity = &specs.CPUAffinity{} })},
		{"a container's label", "", process(func(p *specs.Process) { p.SelinuxLabel = "system_u:system_r:container_t:s0:c1,c2" })},
		{"a label without a level", "", process(func(p *specs.Process) { p.SelinuxLabel = "u:r:container_init_t" })},
		{"a privileged label", "process.selinuxLabel", process(func(p *specs.Process) { p.SelinuxLabel = "system_u:system_r:spc_t:s0" })},
		{"a type that is not at its place", "process.selinuxLabel", process(func(p *specs.Process) { p.SelinuxLabel = "u:r:spc_t:container_t" })},
		{"no label", "process.selinuxLabel", process(func(p *specs.Process) { p.SelinuxLabel = "container_t" })},
		{"a label for files", "", linux(func(l *specs.Linux) { l.MountLabel = "system_u:object_r:container_file_t:s0:c1,c2" })},
		{"another label for files", "linux.mountLabel", linux(func(l *specs.Linux) { l.MountLabel = "system_u:object_r:shadow_t:s0" })},
		{"Docker's cgroup", "", linux(func(l *specs.Linux) { l.CgroupsPath = "/docker/a" })},
		{"systemd's", "", linux(func(l *specs.Linux) { l.CgroupsPath = "kubepods-pod1.slice:cri-containerd:a" })},
		{"systemd's, of its choice", "", linux(func(l *specs.Linux) { l.CgroupsPath = ":docker:a" })},
		{"the host's cgroup", "linux.cgroupsPath", linux(func(l *specs.Linux) { l.CgroupsPath = "//./" })},
		{"the host's slice", "linux.cgroupsPath", linux(func(l *specs.Linux) { l.CgroupsPath = "-.slice:docker:a" })},
		{"a slice for a name", "linux.cgroupsPath", linux(func(l *specs.Linux) { l.CgroupsPath = "system.slice::user.slice" })},
		{"another cgroup", "linux.cgroupsPath", linux(func(l *specs.Linux) { l.CgroupsPath = "/docker/../system.slice" })},
		{"another slice", "linux.cgroupsPath", linux(func(l *specs.Linux) { l.CgroupsPath = "..:docker:a" })},
		{"a relative cgroup", "linux.cgroupsPath", linux(func(l *specs.Linux) { l.CgroupsPath = "docker/a" })},
		{"a slice with a path", "linux.cgroupsPath", linux(func(l *specs.Linux) { l.CgroupsPath = "a.slice:docker/b:c" })},
		{"a unit without a name", "linux.cgroupsPath", linux(func(l *specs.Linux) { l.CgroupsPath = "a.slice:docker:" })},
		{"caches", "linux.intelRdt", linux(func(l *specs.Linux) { l.IntelRdt = &specs.LinuxIntelRdt{} })},
		{"NUMA", "linux.memoryPolicy", linux(func(l *specs.Linux) { l.MemoryPolicy = &specs.LinuxMemoryPolicy{} })},
		{"a network device", "linux.netDevices", linux(func(l *specs.Linux) { l.NetDevices = map[string]specs.LinuxNetDevice{"bait0": {}} })},
		{"the ordinary personality", "", linux(func(l *specs.Linux) { l.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux} })},
		{"another personality", "linux.personality", linux(func(l *specs.Linux) { l.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32} })},
		{"flags", "linux.personality", linux(func(l *specs.Linux) {
			l.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux, Flags: []specs.LinuxPersonalityFlag{"ADDR_NO_RANDOMIZE"}}
		})},
		{"clocks", "linux.timeOffsets", linux(func(l *specs.Linux) { l.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 1}} })},
		{"no class of packets", "", linux(func(l *specs.Linux) { l.Resources.Network = &specs.LinuxNetwork{ClassID: number[uint32](0)} })},
		{"a class of packets", "linux.resources.network", linux(func(l *specs.Linux) { l.Resources.Network = &specs.LinuxNetwork{ClassID: number[uint32](1)} })},
		{"a priority of packets", "linux.resources.network", linux(func(l *specs.Linux) {
			l.Resources.Network = &specs.LinuxNetwork{Priorities: []specs.LinuxInterfacePriority{{}}}
		})},
		{"files of cgroup v2", "", linux(func(l *specs.Linux) { l.Resources.Unified = map[string]string{"memory.high": "1", "cpuset.cpus": "0"} })},
		{"its hierarchy", "linux.resources.unified.cgroup.procs", linux(func(l *specs.Linux) { l.Resources.Unified = map[string]string{"cgroup.procs": "1"} })},
		{"others' CPUs", "linux.resources.unified.cpuset.cpus.partition", linux(func(l *specs.Linux) { l.Resources.Unified = map[string]string{"cpuset.cpus.partition": "root"} })},
		{"a file elsewhere", "linux.resources.unified.memory.../memory.max", linux(func(l *specs.Linux) { l.Resources.Unified = map[string]string{"memory.../memory.max": "1"} })},
		{"no realtime", "", linux(func(l *specs.Linux) { l.Resources.CPU = &specs.LinuxCPU{RealtimeRuntime: number[int64](0)} })},
		{"realtime CPU", "linux.resources.cpu.realtimeRuntime", linux(func(l *specs.Linux) { l.Resources.CPU = &specs.LinuxCPU{RealtimeRuntime: number[int64](1)} })},
		{"Solaris", "solaris", func(s *specs.Spec) { s.Solaris = &specs.Solaris{} }},
		{"Windows", "windows", func(s *specs.Spec) { s.Windows = &specs.Windows{} }},
		{"a virtual machine", "vm", func(s *specs.Spec) { s.VM = &specs.VM{} }},
		{"z/OS", "zos", func(s *specs.Spec) { s.ZOS = &specs.ZOS{} }},
		{"FreeBSD", "freebsd", func(s *specs.Spec) { s.FreeBSD = &specs.FreeBSD{} }},
	}
	var run []controlCase
	for _, c := range cases {
		one := controlCase{name: c.name, spoil: c.spoil, verdict: enforce.Unchanged}
		if c.field != "" {
			one.findings, one.verdict = []string{"specification:" + c.field + " reject"}, enforce.Refused
			run = append(run, controlCase{name: c.name + ", allowed", spoil: c.spoil, verdict: enforce.Unchanged,
				policy: func(p *policy.Controls) { p.Specification.Allow = []string{c.field} }})
		}
		run = append(run, one)
	}
	runControlCases(t, run)
}

func TestUnknownFields(t *testing.T) {
	unknown := func(pointers ...string) func(*enforce.Input) {
		return func(in *enforce.Input) { in.Facts.Unknown = pointers }
	}
	runControlCases(t, []controlCase{
		{name: "recorded", input: unknown("/x"), findings: []string{"specification:x audit"}, verdict: enforce.Unchanged},
		{name: "refused", input: unknown("/process/x", "/root/x", "/mounts/3/x", "/hooks/x/0/y", "/linux/seccomp/x~1y"), verdict: enforce.Refused,
			findings: []string{"specification:hooks.x.y reject", "specification:linux.seccomp.x/y reject", "specification:mounts.x reject", "specification:process.x reject", "specification:root.x reject"}},
		{name: "named once", input: unknown("/mounts/3/x", "/mounts/4/x"), findings: []string{"specification:mounts.x reject"}, verdict: enforce.Refused},
		{name: "allowed", input: unknown("/mounts/3/x"), policy: func(c *policy.Controls) { c.Specification.Allow = []string{"mounts.x"} }, verdict: enforce.Unchanged},
		{name: "by exception", input: func(in *enforce.Input) {
			unknown("/mounts/3/x")(in)
			in.Policy.Exceptions = []policy.Exception{{Name: "e", Allow: []string{"specification:mounts.x"}}}
		}, findings: []string{"specification:mounts.x audit"}, verdict: enforce.Unchanged},
	})
}

// TestEnginesSendNothingOdd: what real engines send has nothing in it that these controls refuse.
func TestEnginesSendNothingOdd(t *testing.T) {
	for _, c := range engineConfigs(t) {
		t.Run(c.name, func(t *testing.T) {
			doc, err := bundle.ParseDocument(c.text, reflect.TypeFor[specs.Spec]())
			if err != nil {
				t.Fatal(err)
			}
			in := hardenedInput(t)
			if err := doc.Decode(&in.Spec); err != nil {
				t.Fatal(err)
			}
			in.Facts.Unknown = doc.Unknown()
			for _, f := range enforce.Decide(in).Findings {
				if f.Control == "specification" || f.Control == "resources" && f.Action != policy.Fix {
					t.Errorf("%s %s: %s", f.Name(), f.Action, f.Found)
				}
			}
		})
	}
}
