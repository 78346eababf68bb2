package enforce

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// specification: the configuration has what the other controls judge, and nothing that none of them does.
//
// The delegate accepts a configuration without a process or a root (config.md: both are optional) and fails later, or
// takes a default. A guarantee about something that is not there is none, so it is refused here. So are fields that no
// engine sends for an ordinary container and that give it a part of the host: its realtime scheduling, its network devices,
// its caches, another's cgroup; and sections for other platforms, which other runtimes than runc heed.
//
// So is what the command line and the environment put beside it (beside.go).
//
// A field that the specification does not have is refused where a newer delegate might act on it: in process, root, mounts,
// hooks and linux. Elsewhere it is recorded (config.md, "Extensibility": runtimes must ignore what they don't know).
//
// What is wanted all the same can be allowed by its name: specification.allow, or an exception.
func specification() Control {
	return Control{
		Name: "specification",
		Fields: []string{
			"/ociVersion", "/process/cwd", "/process/commandLine", "/process/user/umask", "/process/scheduler", "/process/ioPriority",
			"/process/execCPUAffinity", "/process/selinuxLabel", "/linux/mountLabel", "/linux/cgroupsPath", "/linux/intelRdt",
			"/linux/memoryPolicy", "/linux/netDevices", "/linux/personality", "/linux/timeOffsets", "/linux/resources/network",
			"/linux/resources/cpu/realtimeRuntime", "/linux/resources/cpu/realtimePeriod", "/linux/resources/unified",
			"/solaris", "/windows", "/vm", "/zos", "/freebsd",
		},
		Action: func(c policy.Controls) policy.Action { return c.Specification.Action },
		Check:  checkSpecification,
		Reference: Reference{
			Docker: "no --cgroup-parent with .., no --security-opt label=type, no --cpu-rt-runtime", Compose: "cgroup_parent, security_opt",
			Kubernetes: "securityContext.seLinuxOptions",
			PSS:        []string{"seLinuxOptions", "windowsHostProcess"}, CIS: []string{"5.3", "5.25"}, Gatekeeper: []string{"selinux", "host-process"},
		},
	}
}

func checkSpecification(in Input) []Finding {
	s := in.Spec
	var found []Finding
	if s.Process == nil {
		found = append(found, Finding{
			Detail: "process", Pointer: "/process",
			Found: "no process", Wanted: "a process to run",
			Mend: "give the bundle's config.json a process",
		})
	}
	if s.Root == nil || s.Root.Path == "" {
		found = append(found, Finding{
			Detail: "root", Pointer: "/root",
			Found: "no root filesystem", Wanted: "a root filesystem with a path",
			Mend: "give the bundle's config.json a root.path",
		})
	}
	for _, f := range slices.Concat(odd(s), otherPlatforms(s), unknownFields(in.Facts.Unknown), besides(in.Beside)) {
		if !slices.Contains(in.Policy.Controls.Specification.Allow, f.Detail) {
			found = append(found, f)
		}
	}
	return found
}

// odd are the fields that are not as an ordinary container has them.
func odd(s *specs.Spec) []Finding {
	var found []Finding
	// bad records a field, given by its pointer, as something else than wanted.
	bad := func(pointer, is, wanted, mend string) {
		found = append(found, Finding{Detail: fieldName(pointer), Pointer: pointer, Found: is, Wanted: wanted, Mend: mend})
	}
	unset := func(pointer, is string) { bad(pointer, is, "a configuration without it", "leave it out") }

	if !knownVersion(s.Version) {
		bad("/ociVersion", fmt.Sprintf("version %q of the runtime specification", s.Version), fmt.Sprintf("1.0 to %d.%d", specs.VersionMajor, specs.VersionMinor),
			"update runclamp, or use an engine that writes one of these versions")
	}
	if p := s.Process; p != nil {
		if !goodCwd(p.Cwd) {
			bad("/process/cwd", fmt.Sprintf("the working directory %q", p.Cwd), "an absolute path, not in /proc or /dev/fd",
				`use "--workdir" with a folder of the container's (Kubernetes: workingDir)`)
		}
		if p.CommandLine != "" {
			unset("/process/commandLine", "a command line for Windows")
		}
		if u := p.User.Umask; u != nil && *u > 0o777 {
			bad("/process/user/umask", fmt.Sprintf("the umask %#o", *u), "at most 0777", `use "--umask" with permission bits only`)
		}
		if c := p.Scheduler; c != nil && !ordinaryScheduler(c) {
			bad("/process/scheduler", fmt.Sprintf("the scheduler %s with nice %d", c.Policy, c.Nice), "SCHED_OTHER, SCHED_BATCH or SCHED_IDLE, with nice from 0 on", "leave it out")
		}
		if i := p.IOPriority; i != nil && i.Class != specs.IOPRIO_CLASS_BE && i.Class != specs.IOPRIO_CLASS_IDLE {
			bad("/process/ioPriority", fmt.Sprintf("the I/O priority class %q", i.Class), "IOPRIO_CLASS_BE or IOPRIO_CLASS_IDLE", "leave it out")
		}
		if p.ExecCPUAffinity != nil {
			unset("/process/execCPUAffinity", "CPUs of its own for what exec starts")
		}
		if !hasType(p.SelinuxLabel, "container_t", "container_init_t", "container_kvm_t", "container_engine_t") {
			bad("/process/selinuxLabel", fmt.Sprintf("the SELinux label %q", p.SelinuxLabel), "the type container_t, container_init_t, container_kvm_t or container_engine_t",
				`drop "--security-opt label=…" (Kubernetes: securityContext.seLinuxOptions)`)
		}
	}
	if l := s.Linux; l != nil {
		if !hasType(l.MountLabel, "container_file_t", "container_ro_file_t") {
			bad("/linux/mountLabel", fmt.Sprintf("the SELinux label %q for its files", l.MountLabel), "the type container_file_t or container_ro_file_t", "leave it to the engine")
		}
		if why := badCgroup(l.CgroupsPath); why != "" {
			bad("/linux/cgroupsPath", fmt.Sprintf("the cgroup %q, which is %s", l.CgroupsPath, why), "a path from the root of the hierarchy, or SLICE:PREFIX:NAME",
				`drop "--cgroup-parent" (compose: cgroup_parent)`)
		}
		if l.IntelRdt != nil {
			unset("/linux/intelRdt", "a share of the host's caches and memory bandwidth")
		}
		if l.MemoryPolicy != nil {
			unset("/linux/memoryPolicy", "a NUMA memory policy")
		}
		if len(l.NetDevices) > 0 {
			bad("/linux/netDevices", "network devices of the host's", "none: the host would lose them", "connect it to a network")
		}
		if p := l.Personality; p != nil && (p.Domain != specs.PerLinux || len(p.Flags) > 0) {
			bad("/linux/personality", fmt.Sprintf("the personality %s %q", p.Domain, p.Flags), "LINUX without flags", "leave it out")
		}
		if len(l.TimeOffsets) > 0 {
			unset("/linux/timeOffsets", "clocks that differ from the host's")
		}
		if r := l.Resources; r != nil {
			if n := r.Network; n != nil && (n.ClassID != nil && *n.ClassID != 0 || len(n.Priorities) > 0) {
				bad("/linux/resources/network", "a class or priority for its packets", "none: the host's traffic rules go by them", "leave it out")
			}
			if n := realtimeRuntime(r.CPU); n > 0 {
				bad("/linux/resources/cpu/realtimeRuntime", fmt.Sprintf("%d microseconds of realtime scheduling", n), "none", `drop "--cpu-rt-runtime"`)
			}
			for _, key := range slices.Sorted(maps.Keys(r.Unified)) {
				if !limitsOnly(key) {
					bad("/linux/resources/unified/"+pointerPart(key), "the cgroup's file "+strconv.Quote(key), "files of a controller that limit the container", "leave it out")
				}
			}
		}
	}
	return found
}

// limitsOnly: a file of cgroup v2 by which a controller shares out what there is, and not one that arranges the hierarchy or takes
// CPUs away from others (Linux, Documentation/admin-guide/cgroup-v2.rst).
func limitsOnly(key string) bool {
	controller, _, _ := strings.Cut(key, ".")
	return slices.Contains([]string{"cpu", "cpuset", "hugetlb", "io", "memory", "misc", "pids", "rdma"}, controller) &&
		key != "cpuset.cpus.partition" && key != "cpuset.cpus.exclusive" && !strings.Contains(key, "/")
}

// fieldName writes a pointer as a policy names the field: by dots, and the same for every item of a list.
func fieldName(pointer string) string {
	parts, err := SplitPointer(pointer)
	if err != nil {
		return pointer
	}
	parts = slices.DeleteFunc(parts, func(p string) bool { _, err := strconv.Atoi(p); return err == nil })
	return strings.Join(parts, ".")
}

// knownVersion: 1.0 up to the version that runclamp's types are of. The specification goes by semantic versioning: what is
// behind the second number changes nothing.
func knownVersion(v string) bool {
	major, rest, _ := strings.Cut(v, ".")
	minor, patch, ok := strings.Cut(rest, ".")
	n, err := strconv.Atoi(minor)
	return ok && patch != "" && major == strconv.Itoa(specs.VersionMajor) && err == nil && n >= 0 && n <= specs.VersionMinor && minor == strconv.Itoa(n)
}

// goodCwd: descriptors of the runtime's that are still open when it changes to the working directory lead out of the
// container (CVE-2024-21626). They are named in /proc, and /dev/fd is a link there.
func goodCwd(cwd string) bool {
	return path.IsAbs(cwd) && !amongDescriptors(cwd)
}

func amongDescriptors(cwd string) bool {
	clean := path.Clean(cwd)
	return within(clean, "/proc") || within(clean, "/dev/fd")
}

// ordinaryScheduler: neither realtime nor deadline (sched(7)), and not before others of the host.
func ordinaryScheduler(s *specs.Scheduler) bool {
	ordinary := s.Policy == specs.SchedOther || s.Policy == specs.SchedBatch || s.Policy == specs.SchedIdle
	return ordinary && s.Nice >= 0
}

// hasType: the SELinux label is none, which leaves it to the kernel, or has one of the types that the Pod Security Standards
// allow, and what goes with them for files. A label is user:role:type:level.
func hasType(label string, types ...string) bool {
	if label == "" {
		return true
	}
	parts := strings.SplitN(label, ":", 4)
	return len(parts) >= 3 && slices.Contains(types, parts[2])
}

// badCgroup says what is wrong with linux.cgroupsPath. None is the delegate's own choice.
func badCgroup(p string) string {
	parts := strings.FieldsFunc(p, func(r rune) bool { return r == '/' || r == ':' })
	switch {
	case p == "":
		return ""
	case slices.Contains(parts, ".."):
		return "a way into another"
	case path.IsAbs(p) && path.Clean(p) == "/":
		return "that of the whole host"
	case path.IsAbs(p):
		return ""
	}
	// SLICE:PREFIX:NAME (runc, libcontainer/specconv). An absent slice is systemd's own choice.
	unit := strings.Split(p, ":")
	switch {
	case len(unit) != 3 || strings.Contains(p, "/"):
		return "relative"
	case unit[2] == "":
		return "without a name"
	case unit[0] == "-.slice":
		return "that of the whole host"
	case strings.HasSuffix(unit[2], ".slice"):
		// runc makes no scope of it then, and takes a slice that exists for its own (opencontainers/cgroups, systemd, getUnitName).
		return "a slice, which may be of the host's services"
	}
	return ""
}

func otherPlatforms(s *specs.Spec) []Finding {
	var found []Finding
	for _, o := range []struct {
		name  string
		given bool
	}{
		{"solaris", s.Solaris != nil}, {"windows", s.Windows != nil}, {"vm", s.VM != nil}, {"zos", s.ZOS != nil}, {"freebsd", s.FreeBSD != nil},
	} {
		if o.given {
			found = append(found, Finding{
				Detail: o.name, Pointer: "/" + o.name,
				Found: "a section for " + o.name, Wanted: "a configuration for Linux containers", Mend: "leave it out",
			})
		}
	}
	return found
}

// unknownFields: one finding for a name, wherever it stands.
func unknownFields(pointers []string) []Finding {
	var found []Finding
	seen := map[string]bool{}
	for _, p := range pointers {
		f := Finding{
			Detail: fieldName(p), Pointer: p,
			Found: "a field that the runtime specification " + specs.Version + " does not have", Wanted: "fields that can be judged",
			Mend: "leave it out, or update runclamp",
		}
		if seen[f.Detail] {
			continue
		}
		seen[f.Detail] = true
		section, _, _ := strings.Cut(strings.TrimPrefix(p, "/"), "/")
		if !slices.Contains([]string{"process", "root", "mounts", "hooks", "linux"}, section) {
			f.Action = policy.Audit
		}
		found = append(found, f)
	}
	return found
}

// process is the configuration's process; an empty one where there is none, so that a control can always look.
func process(s *specs.Spec) *specs.Process {
	if s.Process == nil {
		return &specs.Process{}
	}
	return s.Process
}

// linux is the configuration's linux section; an empty one where there is none.
func linux(s *specs.Spec) *specs.Linux {
	if s.Linux == nil {
		return &specs.Linux{}
	}
	return s.Linux
}
