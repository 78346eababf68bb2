package proof

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"runclamp/enforce"
	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Name is the control of all findings here.
const Name = "proof"

// AppArmor is the detail of the finding about the profile: who reads the facts about it may not be able to.
const AppArmor = "appArmor"

// The details of the other findings.
const (
	factStatus       = "status"
	factMappings     = "mappings"
	factUID          = "uid"
	factGID          = "gid"
	factGroups       = "groups"
	factCapabilities = "capabilities"
	factNoNewPrivs   = "noNewPrivileges"
	factSeccomp      = "seccomp"
	factProgram      = "seccompProgram"
	factRoot         = "root"
	factMounts       = "mounts"
	factMasked       = "maskedPaths"
	factReadonly     = "readonlyPaths"
	factNamespaces   = "namespaces"
	factCgroup       = "cgroup"
	factPids         = "pids"
	factMemory       = "memory"
	factCPU          = "cpu"
	factOOM          = "oomScoreAdj"
	factLimits       = "rlimits"
)

// Hold compares facts with the configuration that they are to come from. A finding with the action reject is a mismatch; one with
// the action audit says what could not be read, so that nothing is known of it.
func Hold(spec *specs.Spec, facts Facts) []enforce.Finding {
	h := holder{spec: spec, facts: facts}
	h.status()
	h.mounts()
	h.namespaces()
	h.process()
	h.cgroup()
	h.program()
	h.appArmor()
	for _, g := range h.facts.Unread {
		h.findings = append(h.findings, NotRead(g.Fact, g.Err))
	}
	slices.SortStableFunc(h.findings, func(a, b enforce.Finding) int {
		return cmp.Or(cmp.Compare(a.Detail, b.Detail), cmp.Compare(a.Pointer, b.Pointer))
	})
	return h.findings
}

// NotRead is the finding that a fact could not be read. An empty one means all of them.
func NotRead(fact string, err error) enforce.Finding {
	return enforce.Finding{Control: Name, Detail: cmp.Or(fact, "process"), Found: fmt.Sprintf("it could not be read: %v", err), Wanted: "what the kernel says", Action: policy.Audit}
}

type holder struct {
	spec     *specs.Spec
	facts    Facts
	findings []enforce.Finding
}

func (h *holder) found(fact, pointer, found, wanted string) {
	mend := "the delegate did not do what its config.json says: it must be runc 1.1 or later, or crun 1.8 or later"
	if h.facts.Started {
		mend = "find out who changed it since its start (as root of the host: nsenter, prlimit, mount, runc without runclamp), and make the container anew"
	}
	h.findings = append(h.findings, enforce.Finding{
		Control: Name, Detail: fact, Pointer: pointer, Found: found, Wanted: wanted, Action: policy.Reject, Mend: mend,
	})
}

func (h *holder) status() {
	s, p := h.facts.Status, h.spec.Process
	if s == nil || p == nil {
		return
	}
	if l := h.spec.Linux; l != nil {
		h.mappings("/linux/uidMappings", s.UIDMap, l.UIDMappings)
		h.mappings("/linux/gidMappings", s.GIDMap, l.GIDMappings)
	}
	// Exactly these: another user has no less rights, but other ones.
	if want := p.User.UID; !h.maybe("CAP_SETUID") && s.UIDs != [4]uint32{want, want, want, want} {
		h.found(factUID, "/process/user/uid", "the UIDs "+ids(s.UIDs[:]), fmt.Sprint(want))
	}
	if want := p.User.GID; !h.maybe("CAP_SETGID") && s.GIDs != [4]uint32{want, want, want, want} {
		h.found(factGID, "/process/user/gid", "the GIDs "+ids(s.GIDs[:]), fmt.Sprint(want))
	}
	for _, g := range s.Groups {
		if !h.could("CAP_SETGID") && g != p.User.GID && !slices.Contains(p.User.AdditionalGids, g) {
			h.found(factGroups, "/process/user/additionalGids", "the group "+ids([]uint32{g}), ids(p.User.AdditionalGids))
		}
	}
	if p.NoNewPrivileges && !s.NoNewPrivs {
		h.found(factNoNewPrivs, "/process/noNewPrivileges", "false", "true")
	}
	if hasSeccomp(h.spec) && s.Seccomp != unix.SECCOMP_MODE_FILTER && !h.filterLast() {
		h.found(factSeccomp, "/linux/seccomp", fmt.Sprintf("seccomp mode %d", s.Seccomp), "mode 2, with a filter")
	}
	if c := p.Capabilities; c != nil { // absent, it depends on the runtime what there is
		var more, inheritable []string // what a program may give itself (capabilities(7))
		switch {
		case !h.facts.Started:
		case p.NoNewPrivileges:
			more = c.Permitted
		default:
			more = c.Bounding // by a program with file capabilities, or a set-UID one of root's
		}
		if inheritable = more; h.maybe("CAP_SETPCAP") {
			inheritable = c.Bounding
		}
		h.capabilities("bounding", s.Bounding, c.Bounding)
		h.capabilities("effective", s.Effective, slices.Concat(c.Effective, more))
		h.capabilities("permitted", s.Permitted, slices.Concat(c.Permitted, more))
		h.capabilities("inheritable", s.Inheritable, slices.Concat(c.Inheritable, inheritable))
		h.capabilities("ambient", s.Ambient, slices.Concat(c.Ambient, more))
	}
}

// maybe: the program may be another user by itself, with a capability or, where nothing forbids it, as a set-UID or set-GID program.
func (h *holder) maybe(capability string) bool {
	return h.could(capability) || h.facts.Started && !h.spec.Process.NoNewPrivileges
}

// could: the program may have done by itself what only a capability gives a right to.
func (h *holder) could(capability string) bool {
	p := h.spec.Process
	if !h.facts.Started || p.Capabilities == nil {
		return h.facts.Started
	}
	return slices.Contains(p.Capabilities.Permitted, capability) || !p.NoNewPrivileges && slices.Contains(p.Capabilities.Bounding, capability)
}

// mappings: what IDs in the user namespace are outside of it is as configured. Who joins one by its path need not say.
func (h *holder) mappings(pointer string, have []IDMap, asked []specs.LinuxIDMapping) {
	if len(asked) == 0 {
		return
	}
	for _, m := range have {
		if !slices.ContainsFunc(asked, func(a specs.LinuxIDMapping) bool {
			inside, outside, size := uint64(a.ContainerID), uint64(a.HostID), uint64(a.Size)
			return m.Inside >= inside && m.Inside+m.Count <= inside+size && m.Outside-m.Inside == outside-inside
		}) {
			h.found(factMappings, pointer, fmt.Sprintf("%d IDs from %d on, which are %d and on outside", m.Count, m.Inside, m.Outside), "what is configured")
		}
	}
}

func ids(list []uint32) string {
	var parts []string
	for _, i := range list {
		if i == unmapped {
			parts = append(parts, "(none of the user namespace's)")
			continue
		}
		parts = append(parts, fmt.Sprint(i))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, " ")
}

func (h *holder) capabilities(set string, have uint64, asked []string) {
	names := capabilityNames()
	var more []string
	for bit := range 64 {
		if have&(1<<bit) == 0 {
			continue
		}
		name := fmt.Sprintf("capability %d", bit)
		if bit < len(names) {
			name = names[bit]
		}
		if !slices.ContainsFunc(asked, func(a string) bool { return strings.TrimPrefix(a, "CAP_") == name }) {
			more = append(more, name)
		}
	}
	if len(more) > 0 {
		h.found(factCapabilities, "/process/capabilities/"+set, strings.Join(more, ", ")+" in the "+set+" set", "no more than configured")
	}
}

// capabilityNames are by number (linux/capability.h).
func capabilityNames() []string {
	return []string{
		"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE",
		"NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT",
		"SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE",
		"AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
		"PERFMON", "BPF", "CHECKPOINT_RESTORE",
	}
}

func (h *holder) unread(fact string) bool {
	return slices.ContainsFunc(h.facts.Unread, func(g Gap) bool { return g.Fact == fact })
}

// filterLast: there is no filter yet, and none is to be expected.
func (h *holder) filterLast() bool {
	return slices.ContainsFunc(h.facts.Unread, func(g Gap) bool { return errors.Is(g.Err, errFilterLast) })
}

// hasSeccomp: runc takes a profile with neither a default action nor rules for none.
func hasSeccomp(spec *specs.Spec) bool {
	l := spec.Linux
	return l != nil && l.Seccomp != nil && (l.Seccomp.DefaultAction != "" || len(l.Seccomp.Syscalls) > 0)
}

func hasUserNamespace(spec *specs.Spec) bool {
	return spec.Linux != nil && slices.ContainsFunc(spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UserNamespace })
}

func (h *holder) program() {
	if !hasSeccomp(h.spec) || h.unread(factProgram) {
		return
	}
	if !hasTable {
		h.facts.Unread = append(h.facts.Unread, Gap{factProgram, fmt.Errorf("the numbers of this architecture's system calls are not known")})
		return
	}
	if len(h.facts.Programs) == 0 {
		h.found(factProgram, "/linux/seccomp", "no filter", "one")
		return
	}
	lets, err := looser(h.spec.Linux.Seccomp, h.facts.Programs)
	if err != nil {
		h.facts.Unread = append(h.facts.Unread, Gap{factProgram, err})
	}
	if n := len(lets); n > 0 {
		const shown = 5
		what := strings.Join(lets[:min(n, shown)], ", ")
		if n > shown {
			what += fmt.Sprintf(" and %d more", n-shown)
		}
		h.found(factProgram, "/linux/seccomp", "a filter that lets through "+what, "one that denies it")
	}
}

func (h *holder) appArmor() {
	p := h.spec.Process
	if p == nil || p.ApparmorProfile == "" || p.ApparmorProfile == "unconfined" || h.unread(AppArmor) {
		return
	}
	a := h.facts.AppArmor
	if h.facts.Started {
		if l := h.facts.Label; !l.Has(p.ApparmorProfile) || !l.Enforced() {
			h.found(AppArmor, "/process/apparmorProfile", "the label "+l.String(), p.ApparmorProfile+" (enforce)")
			return
		}
	}
	switch {
	case h.facts.Started && a.Permissive == "": // the label says it all
	case !a.Enabled:
		h.found(AppArmor, "/process/apparmorProfile", "a kernel without AppArmor", "the profile "+p.ApparmorProfile)
	case a.Permissive != "":
		// Whether that may be was for the policy to say, at create. A label has its profile's own mode all the same (security/apparmor/label.c).
		h.facts.Unread = append(h.facts.Unread, Gap{AppArmor, fmt.Errorf("AppArmor denies nothing (mode %s)", a.Permissive)})
	case a.Loaded == nil:
		h.facts.Unread = append(h.facts.Unread, Gap{AppArmor, fmt.Errorf("the kernel's list of profiles")})
	case !a.Loaded[p.ApparmorProfile]:
		h.found(AppArmor, "/process/apparmorProfile", "no profile "+p.ApparmorProfile+" that is loaded and enforced", "one: aa-enforce")
	}
}

func (h *holder) namespaces() {
	if h.spec.Linux == nil {
		return
	}
	for i, n := range h.spec.Linux.Namespaces {
		ns, ok := h.facts.Namespaces[namespaceFile(n.Type)]
		if !ok {
			continue
		}
		pointer := fmt.Sprintf("/linux/namespaces/%d", i)
		switch {
		case n.Path != "" && ns.Own != ns.Joined:
			h.found(factNamespaces, pointer, ns.Own, fmt.Sprintf("%s, which is %s", ns.Joined, n.Path))
		case n.Path == "" && slices.Contains(ns.Host, ns.Own):
			h.found(factNamespaces, pointer, "the host's "+ns.Own, "one of its own")
		}
	}
}

func (h *holder) process() {
	p := h.spec.Process
	if p == nil || h.could("CAP_SYS_RESOURCE") {
		return
	}
	if want, have := p.OOMScoreAdj, h.facts.OOMScoreAdj; want != nil && have != nil && *have < *want {
		// A lower one lets others be killed first (proc_pid_oom_score_adj(5)).
		h.found(factOOM, "/process/oomScoreAdj", fmt.Sprint(*have), fmt.Sprint(*want))
	}
	if h.facts.Limits == nil {
		return
	}
	for i, r := range p.Rlimits {
		have, ok := h.facts.Limits[r.Type]
		// The soft limit is the process's own to raise, up to the hard one; and Go, of which runc's init is made, raises that of
		// open files until it executes the program.
		if want := max(r.Soft, r.Hard); !ok || have.Hard > r.Hard || have.Soft > want {
			h.found(factLimits, fmt.Sprintf("/process/rlimits/%d", i), fmt.Sprintf("%s %s:%s", r.Type, limitText(have.Soft), limitText(have.Hard)),
				fmt.Sprintf("%s:%s", limitText(r.Soft), limitText(r.Hard)))
		}
	}
}

func limitText(n uint64) string {
	if n == math.MaxUint64 {
		return "unlimited"
	}
	return fmt.Sprint(n)
}

// cgroupLimits are those that the configuration has. runc takes zero and less for none.
func cgroupLimits(spec *specs.Spec) (pids, memory, cpu *int64) {
	if spec.Linux == nil || spec.Linux.Resources == nil {
		return nil, nil, nil
	}
	r := spec.Linux.Resources
	if r.Pids != nil && r.Pids.Limit != nil && *r.Pids.Limit > 0 {
		pids = r.Pids.Limit
	}
	if r.Memory != nil && r.Memory.Limit != nil && *r.Memory.Limit > 0 {
		memory = r.Memory.Limit
	}
	if c := r.CPU; c != nil && c.Quota != nil && *c.Quota > 0 {
		const usual = 100_000 // the kernel's period
		period := int64(usual)
		if c.Period != nil && *c.Period > 0 && *c.Period <= math.MaxInt64 {
			period = int64(*c.Period)
		}
		cpu = new(int64)
		*cpu = perSecond(*c.Quota, period)
	}
	return pids, memory, cpu
}

// IsLimit: the finding is about a limit of the control group, which an update may have changed.
func IsLimit(f enforce.Finding) bool {
	return f.Control == Name && f.Action == policy.Reject && (f.Detail == factPids || f.Detail == factMemory || f.Detail == factCPU)
}

// CPUTolerance is in microseconds of CPU time per second: systemd rounds a quota up to the next hundredth of a CPU, and runc with it (CPUQuotaPerSecUSec).
const CPUTolerance = 10_000

func (h *holder) cgroup() {
	pids, memory, cpu := cgroupLimits(h.spec)
	hold := func(fact, pointer string, have, want *int64, tolerance int64) {
		if have == nil || want == nil || *have != Unlimited && *have <= *want+tolerance {
			return
		}
		found := fmt.Sprint(*have)
		if *have == Unlimited {
			found = "no limit"
		}
		if h.facts.Rootless {
			// runc passes over limits that its user has no right to set.
			h.facts.Unread = append(h.facts.Unread, Gap{fact, fmt.Errorf("%s, and a rootless engine may not be able to set any", found)})
			return
		}
		h.found(fact, "/linux/resources/"+pointer, found, fmt.Sprint(*want))
	}
	hold(factPids, "pids/limit", h.facts.Cgroup.Pids, pids, 0)
	hold(factMemory, "memory/limit", h.facts.Cgroup.Memory, memory, 0)
	hold(factCPU, "cpu/quota", h.facts.Cgroup.CPU, cpu, CPUTolerance)
}
