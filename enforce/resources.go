package enforce

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// resources: a container can't take the host's processes, memory and CPU time away from all others, leaves no core dumps,
// and is not spared when the host is out of memory.
//
// A limit is put in where there is none or a larger one. A smaller one is kept: nothing is ever raised. What a limit is about,
// and the policy does not name, is left alone. On cgroup v2 a key of resources.unified is written last and wins, so it is held
// to the same limits.
//
// oom_score_adj decides who is killed first when the host is out of memory (proc(5)); a value below the policy's is raised to
// it, which makes the container go earlier. What the kubelet gives to sandboxes and guaranteed pods is its own business.
//
// Docker: --pids-limit, --memory, --cpus, --ulimit core=0, --oom-score-adj; compose: pids_limit, mem_limit, cpus, ulimits,
// oom_score_adj; Kubernetes: resources.limits, the kubelet's podPidsLimit.
func resources() Control {
	return Control{
		Name: "resources",
		Fields: []string{
			"/process/rlimits", "/process/oomScoreAdj", "/linux/resources/pids", "/linux/resources/memory/limit",
			"/linux/resources/cpu/quota", "/linux/resources/cpu/period", "/linux/resources/cpu/burst", "/linux/resources/unified",
		},
		Action: func(c policy.Controls) policy.Action { return c.Resources.Action },
		Check:  checkResources,
		Reference: Reference{
			Fix:    "puts the policy's limit in the place of none or a larger one",
			Docker: "--pids-limit 512, --memory, --cpus, --ulimit core=0", Compose: "pids_limit, mem_limit, cpus, ulimits",
			Kubernetes: "resources.limits; the kubelet's podPidsLimit",
			CIS:        []string{"5.11", "5.12", "5.19", "5.29"}, Gatekeeper: []string{"containerlimits"},
		},
	}
}

func checkResources(in Input) []Finding {
	want := in.Policy.Controls.Resources
	r := linux(in.Spec).Resources
	if r == nil {
		r = &specs.LinuxResources{}
	}
	l := limits{at: "/linux/resources", pids: want.Pids, memory: want.Memory, milliCPUs: want.CPUs}
	found := l.check(r)
	for _, name := range slices.Sorted(maps.Keys(want.Rlimits)) {
		found = append(found, rlimit(in, name, want.Rlimits[name])...)
	}
	return append(found, oomScoreAdj(in, int(want.OOMScoreAdj.Min))...)
}

// limits are held against what a configuration or an update says of resources. 0 is no limit.
type limits struct {
	// at is the pointer of the resources in their document.
	at                      string
	pids, memory, milliCPUs int64
	// update: what is not said, or 0, stays as it is. Otherwise there is no limit then.
	update bool
}

func (l limits) check(r *specs.LinuxResources) []Finding {
	var found []Finding
	for _, f := range []*Finding{l.checkPids(r.Pids), l.checkMemory(r.Memory), l.checkCPU(r.CPU)} {
		if f != nil {
			found = append(found, *f)
		}
	}
	return append(found, l.checkUnified(r.Unified)...)
}

func (l limits) checkPids(p *specs.LinuxPids) *Finding {
	if l.pids == 0 {
		return nil
	}
	f := l.pidsFinding("/pids/limit")
	f.Edits = []Edit{{Set, l.at + "/pids/limit", l.pids}}
	switch {
	case p == nil || p.Limit == nil:
		if l.update {
			return nil
		}
		f.Found = "no limit of processes"
	case *p.Limit == 0 && l.update:
		return nil // runc before 1.4 leaves the limit as it is, a later one allows one process
	case *p.Limit == 0:
		// To put a number in its place would raise it under the one or the other.
		f.Found = "a limit of 0 processes, which is none to runc before 1.4 and one process to a later runc"
		f.Edits = nil
	case *p.Limit < 0:
		f.Found = "an unlimited number of processes"
	case *p.Limit > l.pids:
		f.Found = fmt.Sprintf("a limit of %d processes", *p.Limit)
	default:
		return nil
	}
	return &f
}

func (l limits) pidsFinding(pointer string) Finding {
	return Finding{
		Detail: "pids", Pointer: l.at + pointer, Wanted: fmt.Sprintf("at most %d", l.pids),
		Mend: fmt.Sprintf(`add "--pids-limit %d" (compose: pids_limit, Kubernetes: the kubelet's podPidsLimit)`, l.pids),
	}
}

func (l limits) checkMemory(m *specs.LinuxMemory) *Finding {
	if l.memory == 0 {
		return nil
	}
	f := l.memoryFinding("/memory/limit")
	f.Edits = []Edit{{Set, l.at + "/memory/limit", l.memory}}
	switch {
	case m == nil || m.Limit == nil || *m.Limit == 0: // runc writes no limit of 0
		if l.update {
			return nil
		}
		f.Found = "no limit of memory"
	case *m.Limit < 0:
		f.Found = "unlimited memory"
	case *m.Limit > l.memory:
		f.Found = fmt.Sprintf("a limit of %d bytes of memory", *m.Limit)
		if m.Swap != nil && *m.Swap >= *m.Limit {
			// memory.swap counts memory as well. What is swapped out at most stays what it was.
			f.Edits = append(f.Edits, Edit{Set, l.at + "/memory/swap", l.memory + (*m.Swap - *m.Limit)})
		}
	default:
		return nil
	}
	return &f
}

func (l limits) memoryFinding(pointer string) Finding {
	return Finding{
		Detail: "memory", Pointer: l.at + pointer, Wanted: fmt.Sprintf("at most %d bytes", l.memory),
		Mend: fmt.Sprintf(`add "--memory %d" (compose: mem_limit, Kubernetes: resources.limits.memory)`, l.memory),
	}
}

const (
	// defaultPeriod is the kernel's, in microseconds.
	defaultPeriod = 100_000
	// longestPeriod is a second (kernel/sched/core.c, max_cfs_quota_period).
	longestPeriod = 1_000_000
)

func (l limits) checkCPU(c *specs.LinuxCPU) *Finding {
	if l.milliCPUs == 0 || l.update && (c == nil || c.Quota == nil && c.Period == nil) {
		return nil
	}
	if c == nil {
		c = &specs.LinuxCPU{}
	}
	period := uint64(defaultPeriod)
	if c.Period != nil && *c.Period != 0 {
		period = *c.Period
	}
	f := l.cpuFinding("/cpu/quota")
	switch {
	case c.Quota == nil || *c.Quota <= 0:
		f.Found = "no limit of CPU time"
	case l.exceeds(uint64(*c.Quota), period):
		f.Found = fmt.Sprintf("%d of every %d microseconds of CPU time", *c.Quota, period)
	default:
		return nil
	}
	quota := l.milliCPUs * (defaultPeriod / 1000)
	f.Edits = []Edit{{Set, l.at + "/cpu/period", uint64(defaultPeriod)}, {Set, l.at + "/cpu/quota", quota}}
	if c.Burst != nil && *c.Burst > uint64(quota) {
		// The kernel takes no burst beyond the quota.
		f.Edits = append(f.Edits, Edit{Op: Remove, Pointer: l.at + "/cpu/burst"})
	}
	return &f
}

func (l limits) exceeds(quota, period uint64) bool {
	return period > longestPeriod || quota > uint64(l.milliCPUs)*period/1000
}

func (l limits) cpuFinding(pointer string) Finding {
	cpus := strconv.FormatFloat(float64(l.milliCPUs)/1000, 'f', -1, 64)
	return Finding{
		Detail: "cpus", Pointer: l.at + pointer, Wanted: "at most that of " + cpus + " CPUs",
		Mend: fmt.Sprintf(`add "--cpus %s" (compose: cpus, Kubernetes: resources.limits.cpu)`, cpus),
	}
}

// checkUnified holds the files of cgroup v2 to the limits that they are about. A text that is not simply a number counts as
// unlimited: runc writes it line by line, and the last line holds.
func (l limits) checkUnified(unified map[string]string) []Finding {
	var found []Finding
	hold := func(key string, f Finding, beyond func(string) bool, limit string) {
		value, ok := unified[key]
		if !ok || !beyond(value) {
			return
		}
		f.Found = fmt.Sprintf("%s of %q", key, value)
		f.Edits = []Edit{{Set, f.Pointer, limit}}
		found = append(found, f)
	}
	number := func(most int64) func(string) bool {
		return func(value string) bool {
			n, err := strconv.ParseUint(value, 10, 63)
			return err != nil || int64(n) > most
		}
	}
	if l.pids > 0 {
		hold("pids.max", l.pidsFinding("/unified/pids.max"), number(l.pids), strconv.FormatInt(l.pids, 10))
	}
	if l.memory > 0 {
		hold("memory.max", l.memoryFinding("/unified/memory.max"), number(l.memory), strconv.FormatInt(l.memory, 10))
	}
	if l.milliCPUs > 0 {
		hold("cpu.max", l.cpuFinding("/unified/cpu.max"), l.cpuMaxExceeds, fmt.Sprintf("%d %d", l.milliCPUs*(defaultPeriod/1000), defaultPeriod))
	}
	return found
}

// cpuMaxExceeds reads "QUOTA PERIOD". A quota alone leaves the period as it was, whatever that is.
func (l limits) cpuMaxExceeds(value string) bool {
	q, p, ok := strings.Cut(value, " ")
	quota, err := strconv.ParseUint(q, 10, 63)
	period, err2 := strconv.ParseUint(p, 10, 63)
	return !ok || err != nil || err2 != nil || l.exceeds(quota, period)
}

// rlimit holds every limit of one name against the highest that is allowed. None is what the engine has itself, and its
// container inherits (setrlimit(2)).
func rlimit(in Input, name string, most uint64) []Finding {
	p := process(in.Spec)
	short := strings.ToLower(strings.TrimPrefix(name, "RLIMIT_"))
	finding := Finding{
		Detail: name, Wanted: fmt.Sprintf("at most %d", most),
		Mend: fmt.Sprintf(`add "--ulimit %s=%d" (compose: ulimits)`, short, most),
	}
	var found []Finding
	given := false
	for i, r := range p.Rlimits {
		if r.Type != name {
			continue
		}
		given = true
		if r.Hard <= most && r.Soft <= most {
			continue
		}
		f := finding
		f.Pointer = fmt.Sprintf("/process/rlimits/%d", i)
		f.Found = fmt.Sprintf("%s up to %s", name, rlimitText(max(r.Hard, r.Soft)))
		f.Edits = []Edit{{Set, f.Pointer + "/hard", min(r.Hard, most)}, {Set, f.Pointer + "/soft", min(r.Soft, most)}}
		found = append(found, f)
	}
	if given || in.Spec.Process == nil {
		return found
	}
	// Not higher than the container would have inherited it: that would raise it.
	if own, ok := in.Facts.HardLimits[name]; ok {
		most = min(most, own)
	}
	finding.Pointer, finding.Found = "/process/rlimits", "no limit "+name
	finding.Edits = []Edit{{Insert, fmt.Sprintf("/process/rlimits/%d", len(p.Rlimits)), specs.POSIXRlimit{Type: name, Hard: most, Soft: most}}}
	return []Finding{finding}
}

func rlimitText(n uint64) string {
	if n == 1<<64-1 {
		return "any size"
	}
	return strconv.FormatUint(n, 10)
}

const (
	// sandboxScore and guaranteedScore are what the kubelet gives to pause containers and to containers of guaranteed pods
	// (kubernetes, pkg/kubelet/qos/policy.go; containerd and CRI-O for the sandbox).
	sandboxScore    = -998
	guaranteedScore = -997
)

func oomScoreAdj(in Input, least int) []Finding {
	if in.Spec.Process == nil {
		return nil
	}
	score, whose := in.Facts.OOMScoreAdj, "inherited "
	if asked := in.Spec.Process.OOMScoreAdj; asked != nil {
		score, whose = *asked, ""
	}
	kubelets := in.Workload.Kind == policy.Sandbox && score == sandboxScore || in.Workload.Engine == policy.Kubernetes && score == guaranteedScore
	if score >= least || kubelets {
		return nil
	}
	return []Finding{{
		Detail: "oomScoreAdj", Pointer: "/process/oomScoreAdj",
		Found: fmt.Sprintf("an %soom_score_adj of %d, which spares it when the host is out of memory", whose, score), Wanted: fmt.Sprintf("%d or higher", least),
		Mend:  fmt.Sprintf(`use "--oom-score-adj %d" (compose: oom_score_adj)`, least),
		Edits: []Edit{{Set, "/process/oomScoreAdj", least}},
	}}
}
