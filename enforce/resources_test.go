package enforce_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"runclamp/bundle"
	"runclamp/enforce"
	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestResources(t *testing.T) {
	with := func(change func(*specs.LinuxResources)) func(*specs.Spec) {
		return func(s *specs.Spec) { change(s.Linux.Resources) }
	}
	pids := func(n int64) func(*specs.Spec) {
		return with(func(r *specs.LinuxResources) { r.Pids.Limit = &n })
	}
	memory := func(m specs.LinuxMemory) func(*specs.Spec) {
		return with(func(r *specs.LinuxResources) { r.Memory = &m })
	}
	cpu := func(c specs.LinuxCPU) func(*specs.Spec) {
		return with(func(r *specs.LinuxResources) { r.CPU = &c })
	}
	unified := func(key, value string) func(*specs.Spec) {
		return with(func(r *specs.LinuxResources) { r.Unified = map[string]string{key: value, "memory.high": "max"} })
	}
	rlimits := func(l ...specs.POSIXRlimit) func(*specs.Spec) {
		return func(s *specs.Spec) { s.Process.Rlimits = l }
	}
	score := func(n int) func(*specs.Spec) { return func(s *specs.Spec) { s.Process.OOMScoreAdj = &n } }
	limited := func(c *policy.Controls) { c.Resources.Memory, c.Resources.CPUs = 64<<20, 1500 }
	const core, big = "RLIMIT_CORE", 1<<64 - 1
	setPids, setMemory := "set /linux/resources/pids/limit 512", "set /linux/resources/memory/limit 67108864"
	setPeriod, setQuota := "set /linux/resources/cpu/period 100000", "set /linux/resources/cpu/quota 150000"
	fixed := func(finding string) []string { return []string{"resources:" + finding + " fix"} }
	both := func(finding string) []string {
		f := []string{"resources:cpus fix", "resources:memory fix"}
		return slices.DeleteFunc(f, func(s string) bool { return !strings.Contains(s, finding) })
	}
	mem := func(n int64) specs.LinuxMemory { return specs.LinuxMemory{Limit: &n} }
	ok := specs.LinuxCPU{Quota: number[int64](150_000)}
	runControlCases(t, []controlCase{
		{name: "no resources at all", spoil: func(s *specs.Spec) { s.Linux.Resources = nil }, findings: fixed("pids"), edits: []string{setPids}, verdict: enforce.Fixed},
		{name: "no limit of processes", spoil: with(func(r *specs.LinuxResources) { r.Pids = nil }), findings: fixed("pids"), edits: []string{setPids}, verdict: enforce.Fixed},
		{name: "an empty limit", spoil: with(func(r *specs.LinuxResources) { r.Pids.Limit = nil }), findings: fixed("pids"), edits: []string{setPids}, verdict: enforce.Fixed},
		{name: "unlimited processes", spoil: pids(-1), findings: fixed("pids"), edits: []string{setPids}, verdict: enforce.Fixed},
		{name: "one too many", spoil: pids(513), findings: fixed("pids"), edits: []string{setPids}, verdict: enforce.Fixed},
		{name: "just enough", spoil: pids(512), verdict: enforce.Unchanged},
		{name: "0 is ambiguous", spoil: pids(0), findings: []string{"resources:pids reject"}, verdict: enforce.Refused},
		{name: "pids: none", spoil: pids(-1), policy: func(c *policy.Controls) { c.Resources.Pids = 0 }, verdict: enforce.Unchanged},
		{name: "refused instead", spoil: pids(-1), policy: func(c *policy.Controls) { c.Resources.Action = policy.Reject }, findings: []string{"resources:pids reject"}, verdict: enforce.Refused},
		{name: "sandboxes as well", spoil: pids(-1), input: func(in *enforce.Input) { in.Workload.Kind = policy.Sandbox }, findings: fixed("pids"), edits: []string{setPids}, verdict: enforce.Fixed},

		{name: "neither memory nor CPU", policy: limited, findings: []string{"resources:cpus fix", "resources:memory fix"}, edits: []string{setMemory, setPeriod, setQuota}, verdict: enforce.Fixed},
		{name: "within both", policy: limited, spoil: func(s *specs.Spec) { memory(mem(64 << 20))(s); cpu(ok)(s) }, verdict: enforce.Unchanged},
		{name: "memory 0", policy: limited, spoil: func(s *specs.Spec) { memory(mem(0))(s); cpu(ok)(s) }, findings: both("memory"), edits: []string{setMemory}, verdict: enforce.Fixed},
		{name: "memory -1", policy: limited, spoil: func(s *specs.Spec) { memory(mem(-1))(s); cpu(ok)(s) }, findings: both("memory"), edits: []string{setMemory}, verdict: enforce.Fixed},
		{name: "as much swap as before", policy: limited, spoil: func(s *specs.Spec) {
			memory(specs.LinuxMemory{Limit: number[int64](128 << 20), Swap: number[int64](129 << 20)})(s)
			cpu(ok)(s)
		}, findings: both("memory"), edits: []string{setMemory, fmt.Sprintf("set /linux/resources/memory/swap %d", 65<<20)}, verdict: enforce.Fixed},
		{name: "a quota of another period", policy: limited, spoil: func(s *specs.Spec) {
			memory(mem(1))(s)
			cpu(specs.LinuxCPU{Quota: number[int64](15_000), Period: number[uint64](10_000)})(s)
		}, verdict: enforce.Unchanged},
		{name: "more than a quota of another period", policy: limited, spoil: func(s *specs.Spec) {
			memory(mem(1))(s)
			cpu(specs.LinuxCPU{Quota: number[int64](15_001), Period: number[uint64](10_000), Burst: number[uint64](200_000)})(s)
		}, findings: both("cpus"), edits: []string{setPeriod, setQuota, "remove /linux/resources/cpu/burst"}, verdict: enforce.Fixed},
		{name: "a period that overflows", policy: limited, spoil: func(s *specs.Spec) {
			memory(mem(1))(s)
			cpu(specs.LinuxCPU{Quota: number[int64](1 << 62), Period: number[uint64](1 << 63)})(s)
		}, findings: both("cpus"), edits: []string{setPeriod, setQuota}, verdict: enforce.Fixed},

		{name: "pids.max", spoil: unified("pids.max", "max"), findings: fixed("pids"), edits: []string{`set /linux/resources/unified/pids.max "512"`}, verdict: enforce.Fixed},
		{name: "pids.max, and another line", spoil: unified("pids.max", "1\nmax"), findings: fixed("pids"), edits: []string{`set /linux/resources/unified/pids.max "512"`}, verdict: enforce.Fixed},
		{name: "pids.max within", spoil: unified("pids.max", "511"), verdict: enforce.Unchanged},
		{name: "memory.max with a unit", policy: limited, spoil: func(s *specs.Spec) { memory(mem(1))(s); cpu(ok)(s); unified("memory.max", "1G")(s) },
			findings: both("memory"), edits: []string{`set /linux/resources/unified/memory.max "67108864"`}, verdict: enforce.Fixed},
		{name: "cpu.max", policy: limited, spoil: func(s *specs.Spec) { memory(mem(1))(s); cpu(ok)(s); unified("cpu.max", "max 100000")(s) },
			findings: both("cpus"), edits: []string{`set /linux/resources/unified/cpu.max "150000 100000"`}, verdict: enforce.Fixed},
		{name: "cpu.max within", policy: limited, spoil: func(s *specs.Spec) { memory(mem(1))(s); cpu(ok)(s); unified("cpu.max", "1500 1000")(s) }, verdict: enforce.Unchanged},

		{name: "no limit of core dumps", spoil: rlimits(), findings: fixed(core), edits: []string{`insert /process/rlimits/0 {"type":"RLIMIT_CORE","hard":0,"soft":0}`}, verdict: enforce.Fixed},
		{name: "core dumps", spoil: rlimits(specs.POSIXRlimit{Type: "RLIMIT_NPROC"}, specs.POSIXRlimit{Type: core, Hard: big, Soft: 1}), findings: fixed(core),
			edits: []string{"set /process/rlimits/1/hard 0", "set /process/rlimits/1/soft 0"}, verdict: enforce.Fixed},
		{name: "not above what is inherited", spoil: rlimits(specs.POSIXRlimit{Type: core}), policy: func(c *policy.Controls) {
			c.Resources.Rlimits = policy.Rlimits{core: 0, "RLIMIT_NOFILE": 1024, "RLIMIT_NPROC": 9}
		}, input: func(in *enforce.Input) {
			in.Facts.HardLimits = map[string]uint64{"RLIMIT_NOFILE": 512, "RLIMIT_NPROC": big}
		},
			findings: []string{"resources:RLIMIT_NOFILE fix", "resources:RLIMIT_NPROC fix"},
			edits:    []string{`insert /process/rlimits/1 {"type":"RLIMIT_NOFILE","hard":512,"soft":512}`, `insert /process/rlimits/1 {"type":"RLIMIT_NPROC","hard":9,"soft":9}`}, verdict: enforce.Fixed},
		{name: "a hard limit is enough", spoil: rlimits(specs.POSIXRlimit{Type: core, Hard: 9, Soft: 0}), policy: func(c *policy.Controls) { c.Resources.Rlimits[core] = 5 },
			findings: fixed(core), edits: []string{"set /process/rlimits/0/hard 5", "set /process/rlimits/0/soft 0"}, verdict: enforce.Fixed},

		{name: "spared", spoil: score(-1), findings: fixed("oomScoreAdj"), edits: []string{"set /process/oomScoreAdj 0"}, verdict: enforce.Fixed},
		{name: "spared as its engine", input: func(in *enforce.Input) { in.Facts.OOMScoreAdj = -999 }, findings: fixed("oomScoreAdj"), edits: []string{"set /process/oomScoreAdj 0"}, verdict: enforce.Fixed},
		{name: "killed early", spoil: score(900), verdict: enforce.Unchanged},
		{name: "a sandbox", spoil: score(-998), input: func(in *enforce.Input) { in.Workload.Kind = policy.Sandbox }, verdict: enforce.Unchanged},
		{name: "no sandbox", spoil: score(-998), input: func(in *enforce.Input) { in.Workload.Engine = policy.Kubernetes }, findings: fixed("oomScoreAdj"), edits: []string{"set /process/oomScoreAdj 0"}, verdict: enforce.Fixed},
		{name: "a guaranteed pod", spoil: score(-997), input: func(in *enforce.Input) { in.Workload.Engine = policy.Kubernetes }, verdict: enforce.Unchanged},
		{name: "no pod", spoil: score(-997), input: func(in *enforce.Input) { in.Workload.Engine = policy.Docker }, findings: fixed("oomScoreAdj"), edits: []string{"set /process/oomScoreAdj 0"}, verdict: enforce.Fixed},
		{name: "an exception", spoil: pids(-1), input: func(in *enforce.Input) {
			in.Policy.Exceptions = []policy.Exception{{Name: "e", Allow: []string{"resources:pids"}}}
		}, findings: []string{"resources:pids audit"}, verdict: enforce.Unchanged},
	})
}

func TestDecideUpdate(t *testing.T) {
	container := &specs.LinuxResources{
		CPU:     &specs.LinuxCPU{Quota: number[int64](50_000), Period: number[uint64](50_000)},
		Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}}, Unified: map[string]string{"io.weight": "5"},
	}
	settings := enforce.ResourceSettings{Action: policy.Fix, Pids: 512, Memory: 64 << 20, MilliCPUs: 1500}
	with := func(change func(*enforce.ResourceSettings)) enforce.ResourceSettings {
		s := settings
		change(&s)
		return s
	}
	action := func(a policy.Action) enforce.ResourceSettings {
		return with(func(s *enforce.ResourceSettings) { s.Action = a })
	}
	pids := func(n int64) specs.LinuxResources {
		return specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &n}}
	}
	memory := func(n int64) specs.LinuxResources {
		return specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &n}}
	}
	cpu := func(quota int64, period uint64) specs.LinuxResources {
		c := &specs.LinuxCPU{}
		if quota != 0 {
			c.Quota = &quota
		}
		if period != 0 {
			c.Period = &period
		}
		return specs.LinuxResources{CPU: c}
	}
	unified := func(key, value string) specs.LinuxResources {
		return specs.LinuxResources{Unified: map[string]string{key: value}}
	}
	for _, tt := range []struct {
		name            string
		settings        enforce.ResourceSettings
		asked           specs.LinuxResources
		findings, edits string
		verdict         enforce.Verdict
	}{
		{"nothing", settings, specs.LinuxResources{}, "", "", enforce.Unchanged},
		{"fewer processes", settings, pids(5), "", "", enforce.Unchanged},
		{"more, within the policy", settings, pids(512), "", "", enforce.Unchanged},
		{"too many", settings, pids(513), "pids fix;", "set /pids/limit 512;", enforce.Fixed},
		{"unlimited", settings, pids(-1), "pids fix;", "set /pids/limit 512;", enforce.Fixed},
		{"0 leaves it, or is 1", settings, pids(0), "", "", enforce.Unchanged},
		{"refused", action(policy.Reject), pids(-1), "pids reject;", "", enforce.Refused},
		{"nothing to refuse", action(policy.Reject), pids(5), "", "", enforce.Unchanged},
		{"recorded", action(policy.Audit), pids(-1), "pids audit;", "", enforce.Unchanged},
		{"off", action(policy.Off), pids(-1), "", "", enforce.Unchanged},
		{"a period for the container's quota, recorded", action(policy.Audit), cpu(0, 100_000), "", "", enforce.Unchanged},
		{"devices, recorded", action(policy.Audit), specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: true}}}, "devices audit;", "", enforce.Unchanged},
		{"no such action", action(""), pids(-1), "pids reject;", "", enforce.Refused},
		{"no limit in the policy", with(func(s *enforce.ResourceSettings) { s.Pids = 0 }), pids(-1), "", "", enforce.Unchanged},
		{"by exception", with(func(s *enforce.ResourceSettings) {
			s.Lifted = []enforce.LiftedFinding{{Name: "resources:pids", Expires: "2026-01-02"}}
		}), pids(-1), "pids audit;", "", enforce.Unchanged},
		{"by exception, the day after", with(func(s *enforce.ResourceSettings) {
			s.Lifted = []enforce.LiftedFinding{{Name: "resources:pids", Expires: "2026-01-01"}}
		}), pids(-1), "pids fix;", `set /pids/limit 512;`, enforce.Fixed},
		{"all by exception", with(func(s *enforce.ResourceSettings) {
			s.Lifted = []enforce.LiftedFinding{{Name: "resources", Expires: "2026-01-02"}}
		}), pids(-1), "pids audit;", "", enforce.Unchanged},
		{"memory", settings, memory(1 << 20), "", "", enforce.Unchanged},
		{"memory 0", settings, memory(0), "", "", enforce.Unchanged},
		{"too much memory", settings, memory(1 << 40), "memory fix;", "set /memory/limit 67108864;", enforce.Fixed},
		{"unlimited memory", settings, memory(-1), "memory fix;", "set /memory/limit 67108864;", enforce.Fixed},
		{"quota and period", settings, cpu(75_000, 50_000), "", "", enforce.Unchanged},
		{"too much CPU", settings, cpu(75_001, 50_000), "cpus fix;", "set /cpu/period 100000;set /cpu/quota 150000;", enforce.Fixed},
		{"no quota", settings, cpu(-1, 0), "cpus fix;", "set /cpu/period 50000;set /cpu/period 100000;set /cpu/quota 150000;", enforce.Fixed},
		{"a quota for the container's period", settings, cpu(60_000, 0), "", "set /cpu/period 50000;", enforce.Unchanged},
		{"too much for the container's period", settings, cpu(150_000, 0), "cpus fix;", "set /cpu/period 50000;set /cpu/period 100000;set /cpu/quota 150000;", enforce.Fixed},
		{"a period for the container's quota", settings, cpu(0, 100_000), "", "set /cpu/quota 50000;", enforce.Unchanged},
		{"too short a period for it", settings, cpu(0, 1000), "cpus fix;", "set /cpu/quota 50000;set /cpu/period 100000;set /cpu/quota 150000;", enforce.Fixed},
		{"shares only", settings, specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: number[uint64](9), Quota: number[int64](0)}}, "", "", enforce.Unchanged},
		{"no limit of CPU", with(func(s *enforce.ResourceSettings) { s.MilliCPUs = 0 }), cpu(-1, 0), "", "", enforce.Unchanged},
		{"the same devices", settings, specs.LinuxResources{Devices: container.Devices}, "", "remove /devices;", enforce.Unchanged},
		{"other devices", settings, specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}}, "devices fix;", "remove /devices;", enforce.Fixed},
		{"other devices, refused", action(policy.Reject), specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: true}}}, "devices reject;", "", enforce.Refused},
		{"realtime", settings, specs.LinuxResources{CPU: &specs.LinuxCPU{RealtimeRuntime: number[int64](5)}}, "realtime fix;", "remove /cpu/realtimeRuntime;", enforce.Fixed},
		{"the same file", settings, unified("io.weight", "5"), "", "", enforce.Unchanged},
		{"another value", settings, unified("io.weight", "6"), "unified fix;", "remove /unified/io.weight;", enforce.Fixed},
		{"another file", settings, unified("cgroup.freeze", "1"), "unified fix;", "remove /unified/cgroup.freeze;", enforce.Fixed},
		{"a path", settings, unified("../a~", "1"), "unified fix;", "remove /unified/..~1a~0;", enforce.Fixed},
		{"the kubelet's", settings, unified("memory.high", "1"), "", "", enforce.Unchanged},
		{"a limit by its file", settings, unified("pids.max", "max"), "pids fix;", `set /unified/pids.max "512";`, enforce.Fixed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := enforce.DecideUpdate(tt.settings, container, enforce.Update{Resources: &tt.asked}, time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC))
			checkUpdate(t, d, tt.findings, tt.edits, tt.verdict)
		})
	}
	d := enforce.DecideUpdate(settings, nil, enforce.Update{Resources: &specs.LinuxResources{}, IntelRdt: true}, time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC))
	checkUpdate(t, d, "intelRdt reject;", "", enforce.Refused)
	if got, want := d.Refusal("p"), `resources:intelRdt: another share of caches or memory bandwidth, wanted what the container was made with: leave out "--l3-cache-schema" and "--mem-bw-schema" (p)`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func checkUpdate(t *testing.T, d enforce.UpdateDecision, findings, edits string, verdict enforce.Verdict) {
	t.Helper()
	var f, e strings.Builder
	for _, found := range d.Findings {
		if found.Control != "resources" || found.Found == "" || found.Wanted == "" {
			t.Errorf("%+v", found)
		}
		fmt.Fprintf(&f, "%s %s;", found.Detail, found.Action)
	}
	for _, edit := range d.Edits {
		if edit.Op == enforce.Remove {
			fmt.Fprintf(&e, "remove %s;", edit.Pointer)
			continue
		}
		fmt.Fprintf(&e, "%s %s %s;", edit.Op, edit.Pointer, mustJSON(t, edit.Value))
	}
	if f.String() != findings || e.String() != edits || d.Verdict != verdict {
		t.Errorf("%s\n got  %s %s\n want %s %s", d.Verdict, &f, &e, findings, edits)
	}
}

// TestResourceSettings: what is kept for later updates.
func TestResourceSettings(t *testing.T) {
	p := policy.Policy{Exceptions: []policy.Exception{{Allow: []string{"exec", "resources:pids"}}, {Allow: []string{"resources"}}}}
	p.Controls.Resources = policy.Resources{Action: policy.Fix, Pids: 1, Memory: 2, CPUs: 3}
	if got, want := string(mustJSON(t, enforce.NewResourceSettings(p))), `{"action":"fix","pids":1,"memory":2,"milliCPUs":3,"lifted":[{"name":"resources:pids","expires":""},{"name":"resources","expires":""}]}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestUpdateLaws: whatever is asked for, what is handed over is within the limits, needs nothing more, and has lost nothing.
func TestUpdateLaws(t *testing.T) {
	fixed := 0
	for seed := range uint64(3000) {
		g := newGenerator(seed)
		s := enforce.ResourceSettings{Action: policy.Fix, Pids: pick[int64](g, 0, 1, 512), Memory: pick[int64](g, 0, 1<<20), MilliCPUs: pick[int64](g, 0, 10, 1500)}
		asked, container := g.resources(nil), g.resources(nil)
		text := append([]byte(`{"x-unknown":18446744073709551615`), fmt.Appendf(nil, ",%s", mustJSON(t, asked)[1:])...)
		if string(mustJSON(t, asked)) == "{}" {
			text = []byte(`{"x-unknown":18446744073709551615}`)
		}
		d := enforce.DecideUpdate(s, container, enforce.Update{Resources: asked}, time.Time{})
		doc, err := bundle.ParseDocument(text, reflect.TypeFor[specs.LinuxResources]())
		if err != nil {
			t.Fatal(err)
		}
		held, _, err := doc.Apply(d.Edits)
		if err != nil || d.Verdict == enforce.Refused {
			t.Fatalf("seed %d: %s, %v", seed, d.Verdict, err)
		}
		var r specs.LinuxResources
		if err := json.Unmarshal(held, &r); err != nil || !bytes.Contains(held, []byte(`"x-unknown":18446744073709551615`)) {
			t.Fatalf("seed %d: %v: %s", seed, err, held)
		}
		if again := enforce.DecideUpdate(s, container, enforce.Update{Resources: &r}, time.Time{}); len(again.Findings) > 0 || len(again.Edits) > 0 {
			t.Fatalf("seed %d: once more: %+v, %v\n%s\n%s", seed, again.Findings, again.Edits, text, held)
		}
		if err := beyond(s, r); err != nil {
			t.Fatalf("seed %d: %v\n%s\n%s", seed, err, text, held)
		}
		if d.Verdict == enforce.Fixed {
			fixed++
		}
	}
	if fixed < 500 {
		t.Errorf("only %d of 3000 had something to fix", fixed)
	}
}

// beyond is a second reading of what runc does with an update.
func beyond(s enforce.ResourceSettings, r specs.LinuxResources) error {
	if s.Pids > 0 && r.Pids != nil && r.Pids.Limit != nil && (*r.Pids.Limit < 0 || *r.Pids.Limit > s.Pids) {
		return fmt.Errorf("%d processes", *r.Pids.Limit)
	}
	if s.Memory > 0 && r.Memory != nil && r.Memory.Limit != nil && (*r.Memory.Limit < 0 || *r.Memory.Limit > s.Memory) {
		return fmt.Errorf("%d bytes", *r.Memory.Limit)
	}
	if s.MilliCPUs > 0 && r.CPU != nil {
		quota, period := r.CPU.Quota != nil && *r.CPU.Quota != 0, r.CPU.Period != nil && *r.CPU.Period != 0
		if quota != period {
			return errors.New("a quota without a period, or a period without a quota")
		}
		if quota && (*r.CPU.Quota < 0 || float64(*r.CPU.Quota)/float64(*r.CPU.Period)*1000 > float64(s.MilliCPUs)) {
			return fmt.Errorf("%d of %d microseconds", *r.CPU.Quota, *r.CPU.Period)
		}
	}
	for key, value := range r.Unified {
		if limit := map[string]int64{"pids.max": s.Pids, "memory.max": s.Memory}[key]; limit > 0 && (value == "max" || strings.Contains(value, "\n")) {
			return fmt.Errorf("%s %q", key, value)
		}
	}
	return nil
}
