package enforce

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ResourceSettings say what later updates may do. They are kept with the container: an update reads no policy.
type ResourceSettings struct {
	Action policy.Action `json:"action"`
	// Pids, Memory (bytes) and MilliCPUs are the limits of the policy; 0 is none.
	Pids      int64 `json:"pids,omitempty"`
	Memory    int64 `json:"memory,omitempty"`
	MilliCPUs int64 `json:"milliCPUs,omitempty"`
	// Lifted are the findings that an exception lifts: "resources", "resources:memory".
	Lifted []LiftedFinding `json:"lifted,omitempty"`
}

// NewResourceSettings are those of a policy.
func NewResourceSettings(p policy.Policy) ResourceSettings {
	r := p.Controls.Resources
	return ResourceSettings{Action: r.Action, Pids: r.Pids, Memory: r.Memory, MilliCPUs: r.CPUs, Lifted: liftedOf("resources", p)}
}

// Update is what an update asks for.
type Update struct {
	// Resources has what changes. What is absent, and most of what is 0, stays as it is (runc, update.go).
	Resources *specs.LinuxResources
	// IntelRdt: it asks for a share of caches and memory bandwidth.
	IntelRdt bool
}

// UpdateDecision is what was decided about an update.
type UpdateDecision struct {
	Verdict  Verdict
	Findings []Finding
	// Edits are of the resources that were asked for, not of a whole configuration.
	Edits []Edit
}

// Refusal is the one line that a person reads when an update was refused.
func (d UpdateDecision) Refusal(source string) string {
	return Decision{Findings: d.Findings}.Refusal(source)
}

// DecideUpdate holds an update of a container's resources against the limits that it was made with. A limit may change as
// long as it stays within the policy's, so `docker update` and the kubelet's resizing of pods go on working. What is not a limit
// of this kind is as it was decided about: device rules, files of cgroup v2, realtime scheduling, caches.
func DecideUpdate(s ResourceSettings, container *specs.LinuxResources, asked Update, now time.Time) UpdateDecision {
	d := UpdateDecision{Verdict: Unchanged}
	if s.Action == policy.Off {
		return d
	}
	if container == nil {
		container = &specs.LinuxResources{}
	}
	r := *asked.Resources
	l := limits{pids: s.Pids, memory: s.Memory, milliCPUs: s.MilliCPUs, update: true}
	if l.milliCPUs > 0 {
		r.CPU, d.Edits = bothOf(container.CPU, r.CPU)
	}
	if len(r.Devices) > 0 {
		// runc leaves devices alone in an update. So does whatever comes after it, if there are none.
		d.Edits = append(d.Edits, Edit{Op: Remove, Pointer: "/devices"})
	}
	found := append(l.check(&r), unchangeable(container, asked)...)
	for _, f := range found {
		f.Control = "resources"
		f.Action = settle(s.Action, f)
		if lifted(s.Lifted, f, now) {
			f.Action = policy.Audit
		}
		d.Verdict = worse(d.Verdict, f.Action)
		d.Findings = append(d.Findings, f)
		if f.Action == policy.Fix {
			d.Edits = append(d.Edits, f.Edits...)
		}
	}
	if d.Verdict == Refused || s.Action == policy.Audit {
		d.Edits = nil
	}
	return d
}

// bothOf writes out quota and period where only one of them changes. runc takes the other from its own record, which an update
// of something else has set to 0 (update.go), and not from the cgroup: a quota that is good for one period is too much for a
// shorter one.
func bothOf(container, asked *specs.LinuxCPU) (*specs.LinuxCPU, []Edit) {
	given := func(c *specs.LinuxCPU) (quota, period bool) {
		return c != nil && c.Quota != nil && *c.Quota != 0, c != nil && c.Period != nil && *c.Period != 0
	}
	quota, period := given(asked)
	if !quota && !period {
		if asked == nil {
			return nil, nil
		}
		c := *asked
		c.Quota, c.Period = nil, nil
		return &c, nil
	}
	c := *asked
	var edits []Edit
	hasQuota, hasPeriod := given(container)
	if !period {
		p := uint64(defaultPeriod)
		if hasPeriod {
			p = *container.Period
		}
		c.Period = &p
		edits = append(edits, Edit{Set, "/cpu/period", p})
	}
	if !quota {
		c.Quota = nil // no limit, which is a finding
		if hasQuota {
			c.Quota = container.Quota
			edits = append(edits, Edit{Set, "/cpu/quota", *container.Quota})
		}
	}
	return &c, edits
}

// unchangeable are what an update asks for that is no limit.
func unchangeable(container *specs.LinuxResources, asked Update) []Finding {
	r := asked.Resources
	const asMade = "what the container was made with"
	var found []Finding
	if len(r.Devices) > 0 && !reflect.DeepEqual(r.Devices, container.Devices) {
		found = append(found, Finding{
			Detail: "devices", Pointer: "/devices", Found: "other rules for devices", Wanted: asMade,
			Mend: "make the container anew with the devices that it needs", Edits: []Edit{},
		})
	}
	if n := realtimeRuntime(r.CPU); n > realtimeRuntime(container.CPU) {
		found = append(found, Finding{
			Detail: "realtime", Pointer: "/cpu/realtimeRuntime", Found: fmt.Sprintf("%d microseconds of realtime scheduling", n), Wanted: asMade,
			Mend: `leave out "--cpu-rt-runtime"`, Edits: []Edit{{Op: Remove, Pointer: "/cpu/realtimeRuntime"}},
		})
	}
	for _, key := range slices.Sorted(maps.Keys(r.Unified)) {
		if was, ok := container.Unified[key]; ok && was == r.Unified[key] || changeable(key) {
			continue
		}
		found = append(found, Finding{
			Detail: "unified", Pointer: "/unified/" + pointerPart(key), Found: "another value for the cgroup's file " + key, Wanted: asMade,
			Mend: "leave it out", Edits: []Edit{{Op: Remove, Pointer: "/unified/" + pointerPart(key)}},
		})
	}
	if asked.IntelRdt {
		found = append(found, Finding{
			Detail: "intelRdt", Found: "another share of caches or memory bandwidth", Wanted: asMade,
			Mend: `leave out "--l3-cache-schema" and "--mem-bw-schema"`,
		})
	}
	return found
}

func realtimeRuntime(c *specs.LinuxCPU) int64 {
	if c == nil || c.RealtimeRuntime == nil {
		return 0
	}
	return *c.RealtimeRuntime
}

// changeable: the limits themselves, which are held, and what the kubelet changes when it resizes a pod (kubernetes,
// pkg/kubelet/kuberuntime, generateLinuxContainerResources).
func changeable(key string) bool {
	switch key {
	case "pids.max", "memory.max", "cpu.max", "memory.min", "memory.low", "memory.high", "memory.oom.group":
		return true
	}
	return false
}

// pointerPart writes a key as a part of a JSON pointer.
func pointerPart(key string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(key) }
