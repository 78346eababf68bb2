package enforce_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"runclamp/bundle"
	"runclamp/enforce"
	"runclamp/enforce/apparmor"
	"runclamp/enforce/policy"
	"runclamp/enforce/seccomp"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// The laws of a decision, over generated configurations. `go test -fuzz FuzzLaws ./enforce` looks on for as long as one
// likes; the fixed seeds here make every ordinary test run look at the same two thousand.
func TestLaws(t *testing.T) {
	for seed := range uint64(2000) {
		g := newGenerator(seed)
		holdLaws(t, g.text(t, g.spec()), g.input(t))
	}
}

func FuzzLaws(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed)
	}
	for _, seed := range seeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		g := newGenerator(seed)
		holdLaws(t, g.text(t, g.spec()), g.input(t))
	})
}

// FuzzConfig holds the laws over whatever text comes in.
func FuzzConfig(f *testing.F) {
	for _, c := range engineConfigs(f) {
		f.Add(c.text)
	}
	for _, text := range texts(f) {
		f.Add(text)
	}
	g := newGenerator(1)
	f.Add(g.text(f, g.spec()))
	f.Fuzz(func(t *testing.T, text []byte) { holdLaws(t, text, hardenedInput(t)) })
}

// TestLawsOverEngines holds them over what real engines send.
func TestLawsOverEngines(t *testing.T) {
	for _, c := range engineConfigs(t) {
		t.Run(c.name, func(t *testing.T) {
			in := hardenedInput(t)
			var spec *specs.Spec
			if err := json.Unmarshal(c.text, &spec); err != nil {
				t.Fatal(err)
			}
			in.Facts.Mounts = mountsOf(spec)
			holdLaws(t, c.text, in)
		})
	}
}

type engineConfig struct {
	name string
	text []byte
}

func engineConfigs(t testing.TB) []engineConfig {
	t.Helper()
	paths, err := filepath.Glob("testdata/engines/*/*.json")
	if err != nil {
		t.Fatal(err)
	}
	var configs []engineConfig
	for _, p := range paths {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		var probe struct {
			Version string `json:"ociVersion"`
		}
		if json.Unmarshal(text, &probe); probe.Version == "" {
			continue // an exec's process.json
		}
		configs = append(configs, engineConfig{p, text})
	}
	if len(configs) == 0 {
		t.Fatal("no captured configurations in testdata/engines")
	}
	return configs
}

func hardenedInput(t testing.TB) enforce.Input {
	return enforce.Input{Policy: policy.Policy{Controls: hardened(t)}, Facts: facts(), Verb: "create"}
}

// input has a policy, facts and a workload, but no configuration yet.
func (g generator) input(t testing.TB) enforce.Input {
	in := hardenedInput(t)
	if g.IntN(2) == 0 {
		return in
	}
	in.Verb = pick(g, "create", "run", "restore")
	in.Workload.Kind = pick(g, policy.Container, policy.Sandbox, policy.Build)
	in.Policy.TmpfsNamed = g.IntN(2) == 0
	if g.IntN(2) == 0 {
		in.Facts = enforce.Facts{Mounts: hostFacts()}
	}
	if g.IntN(3) == 0 {
		in.Policy.Exceptions = []policy.Exception{{Name: "e", Allow: some(g, "capabilities", "capabilities:SYS_ADMIN", "nonRoot", "nonRoot:gid",
			"seccomp:beyond", "seccomp:unconfined", "readOnlyRootfs", "appArmor", "checkpoint", "privileged", "resources:pids", "resources:RLIMIT_CORE",
			"specification:linux.cgroupsPath", "hostMounts", "hostMounts:propagation", "hostMounts:/etc", "devices", "annotations", "hooks", "hostNamespaces:network", "hostNamespaces:cgroup", "sysctls")}}
	}
	c := &in.Policy.Controls
	c.Capabilities.Allow = some(g, "CAP_NET_BIND_SERVICE", "CAP_CHOWN", "CAP_SYS_ADMIN")
	if g.IntN(8) == 0 {
		in.Facts.Mounts = enforce.Mounts{}
	}
	c.HostMounts.Allow = some(g, policy.HostMount{Source: "/srv/with", ReadOnly: true}, policy.HostMount{Source: "/etc"})
	if len(c.HostMounts.Allow) > 0 && in.Facts.Mounts.Sources != nil {
		in.Facts.Mounts.Places.Allowed = map[string]enforce.Spot{"/srv/with": spot("/srv/with"), "/etc": spot("/etc")}
	}
	c.HostMounts.Action = pick(g, policy.Fix, policy.Fix, policy.Reject, policy.Off)
	c.Devices.Action = pick(g, policy.Reject, policy.Audit)
	c.NonRoot.Low = pick(g, policy.KeepLow, policy.AssignLow, policy.RejectLow)
	c.NonRoot.Groups.Allow = some[uint32](g, 0)
	c.NonRoot.Action = pick(g, policy.Fix, policy.Fix, policy.Reject, policy.Off, policy.Audit)
	c.Seccomp.Action = pick(g, policy.Fix, policy.Fix, policy.Off, "no such action")
	c.Specification.Action = pick(g, policy.Reject, policy.Off)
	c.Privileged.Action = pick(g, policy.Reject, policy.Audit)
	c.Seccomp.Profile = pick(g, policy.DefaultProfile, policy.AnyProfile)
	c.Seccomp.Architectures = pick(g, policy.NativeArchitecture, policy.KeepArchitectures)
	c.NonRoot.Passwd = g.IntN(2) == 0
	c.HostNamespaces.Action = pick(g, policy.Fix, policy.Fix, policy.Reject, policy.Off, policy.Audit)
	c.HostNamespaces.Allow = some(g, policy.HostPID, policy.HostNetwork, policy.HostCgroup)
	c.Hooks.Allow = some(g, "/usr/bin/hook", "/tmp/hook")
	c.Annotations.Allow = some(g, "bundle", "org.criu.config")
	c.Sysctls.Allow = some(g, "net.core.somaxconn", "kernel.core_pattern")
	c.Environment.Action = pick(g, policy.Audit, policy.Reject, policy.Off)
	c.Checkpoint.Action = pick(g, policy.Reject, policy.Audit)
	c.Resources.Action = pick(g, policy.Fix, policy.Fix, policy.Reject, policy.Off, policy.Audit)
	c.Resources.Pids = pick[int64](g, 0, 1, 512)
	c.Resources.Memory = pick[int64](g, 0, 1<<20, 64<<20)
	c.Resources.CPUs = pick[int64](g, 0, 10, 1500)
	c.Resources.Rlimits = policy.Rlimits{"RLIMIT_CORE": 0, "RLIMIT_NOFILE": pick[uint64](g, 0, 1024, 1<<64-1)}
	c.Resources.OOMScoreAdj.Min = pick[int64](g, -1000, 0, 5)
	c.Specification.Allow = some(g, "process.cwd", "linux.intelRdt", "x-unknown")
	in.Workload.Engine = pick(g, policy.Docker, policy.Kubernetes)
	in.Facts.OOMScoreAdj = pick(g, 0, 0, -998, 100)
	in.Facts.HardLimits = pick(g, nil, map[string]uint64{"RLIMIT_CORE": 1<<64 - 1, "RLIMIT_NOFILE": 512})
	c.AppArmor.IfUnavailable = pick(g, policy.SkipUnavailable, policy.RejectUnavailable)
	if in.Facts.AppArmor.Enabled && g.IntN(2) == 0 {
		in.Facts.AppArmor = enforce.AppArmor{Enabled: true, Permissive: pick(g, "", "", "complain"), Own: apparmor.Profile{Name: "site", Text: pick(g, "", "text")}}
		c.AppArmor.Profile = pick(g, "runclamp-default", "site")
		c.AppArmor.Allow.Network = some[policy.NetworkFamily](g, "inet")
	}
	return in
}

func holdLaws(t *testing.T, text []byte, in enforce.Input) {
	t.Helper()
	doc, err := bundle.ParseDocument(text, reflect.TypeFor[specs.Spec]())
	if err != nil {
		return // refused before there is anything to decide
	}
	var spec *specs.Spec
	if doc.Decode(&spec) != nil || spec == nil {
		return
	}
	before := copyOf(t, spec)
	in.Spec, in.Facts.Unknown = spec, doc.Unknown()
	d := enforce.Decide(in)

	if !sameMeaning(t, spec, before) {
		t.Fatalf("deciding changed the configuration that it was given:\n%s", text)
	}
	again := enforce.Decide(in)
	if !reflect.DeepEqual(d, again) {
		t.Fatalf("deciding twice gives two decisions:\n%s", text)
	}
	if d.Verdict == enforce.Refused {
		if d.Edits != nil || d.Spec != nil || d.Prepare != nil {
			t.Fatalf("a refusal comes with edits:\n%s", text)
		}
		if len(d.Findings) == 0 {
			t.Fatalf("a refusal comes without a finding:\n%s", text)
		}
		return
	}

	clamped, _, err := doc.Apply(d.Edits)
	if err != nil {
		t.Fatalf("edits that don't apply: %v\n%s", err, text)
	}
	clampedDoc, err := bundle.ParseDocument(clamped, reflect.TypeFor[specs.Spec]())
	if err != nil {
		t.Fatalf("the clamped text is not strict: %v\n%s", err, clamped)
	}
	var after *specs.Spec
	if err := clampedDoc.Decode(&after); err != nil {
		t.Fatalf("the clamped text can't be decoded: %v\n%s", err, clamped)
	}
	if !sameMeaning(t, after, d.Spec) {
		t.Fatalf("the text and the typed configuration were edited differently:\n%s\n%s", clamped, mustJSON(t, d.Spec))
	}
	if d.Verdict == enforce.Unchanged && !bytes.Equal(clamped, text) {
		t.Fatalf("unchanged, but not byte for byte:\n%s\n%s", text, clamped)
	}

	// Sound and idempotent.
	in.Spec = after
	in.Facts.AppArmor.Loaded = maps.Clone(in.Facts.AppArmor.Loaded)
	for _, p := range d.Prepare {
		if in.Facts.AppArmor.Loaded == nil {
			in.Facts.AppArmor.Loaded = map[string]bool{}
		}
		in.Facts.AppArmor.Loaded[p.Profile.Name] = true
	}
	second := enforce.Decide(in)
	for _, f := range second.Findings {
		if f.Action != policy.Audit {
			t.Fatalf("not sound: the clamped configuration has the finding %s (%s)\n%s\n%s", f.Name(), f.Found, text, clamped)
		}
	}
	if len(second.Edits) > 0 || len(second.Prepare) > 0 {
		t.Fatalf("not idempotent: %v\n%s", second.Edits, clamped)
	}
	if err := looser(before, after, in.Policy.TmpfsNamed); err != nil {
		t.Fatalf("not monotone: %v\n%s\n%s", err, text, clamped)
	}
	if c := in.Policy.Controls.Seccomp; c.Action == policy.Fix && c.Profile == policy.DefaultProfile && len(in.Policy.Exceptions) == 0 {
		if err := atLeastDefault(after); err != nil {
			t.Fatalf("looser than Docker's default: %v\n%s\n%s", err, text, clamped)
		}
	}
	if err := lossless(doc, clampedDoc); err != nil {
		t.Fatalf("not lossless: %v\n%s\n%s", err, text, clamped)
	}
}

// looser says what a process under the second configuration could do that it couldn't under the first.
func looser(a, b *specs.Spec, tmpfsNamed bool) error {
	if a.Process != nil && b.Process != nil {
		if a.Process.NoNewPrivileges && !b.Process.NoNewPrivileges {
			return errors.New("no-new-privileges is gone")
		}
		if b.Process.User.UID == 0 && a.Process.User.UID != 0 {
			return errors.New("it became root")
		}
		if err := moreCapabilities(a.Process, b.Process); err != nil {
			return err
		}
		for _, g := range b.Process.User.AdditionalGids {
			if !slices.Contains(a.Process.User.AdditionalGids, g) {
				return fmt.Errorf("group %d came in", g)
			}
		}
	}
	if pa, pb := section(a).RootfsPropagation, section(b).RootfsPropagation; pa != pb && pb != "rslave" {
		return fmt.Errorf("the root's propagation went from %q to %q", pa, pb)
	}
	if !reflect.DeepEqual(section(a).Devices, section(b).Devices) {
		return errors.New("devices changed")
	}
	if a.Root != nil && a.Root.Readonly && !b.Root.Readonly {
		return errors.New("the root is writable")
	}
	if err := moreMounts(a, b, tmpfsNamed); err != nil {
		return err
	}
	if err := moreResources(a, b); err != nil {
		return err
	}
	la, lb := section(a), section(b)
	if err := moreShared(a, b); err != nil {
		return err
	}
	for _, p := range la.MaskedPaths {
		if !slices.Contains(lb.MaskedPaths, p) {
			return fmt.Errorf("%s is no longer masked", p)
		}
	}
	for _, p := range la.ReadonlyPaths {
		if !slices.Contains(lb.ReadonlyPaths, p) {
			return fmt.Errorf("%s is no longer read-only", p)
		}
	}
	if enabled(la.Seccomp) {
		return moreSystemCalls(la.Seccomp, lb.Seccomp)
	}
	return nil
}

// moreResources: whatever was limited is limited to no more. It is a second reading of how runc and the kernel take limits.
func moreResources(a, b *specs.Spec) error {
	const none = 1 << 62
	limit := func(n *int64) int64 {
		if n == nil || *n < 0 {
			return none
		}
		return *n
	}
	of := func(s *specs.Spec) *specs.LinuxResources {
		r := section(s).Resources
		if r == nil {
			r = &specs.LinuxResources{}
		}
		c := *r
		if c.Pids == nil {
			c.Pids = &specs.LinuxPids{}
		}
		if c.Memory == nil {
			c.Memory = &specs.LinuxMemory{}
		}
		if c.CPU == nil {
			c.CPU = &specs.LinuxCPU{}
		}
		return &c
	}
	ra, rb := of(a), of(b)
	if limit(rb.Pids.Limit) > limit(ra.Pids.Limit) {
		return errors.New("more processes")
	}
	orNone := func(n int64) int64 { // 0 is not written
		if n == 0 {
			return none
		}
		return n
	}
	if orNone(limit(rb.Memory.Limit)) > orNone(limit(ra.Memory.Limit)) || limit(rb.Memory.Swap) > limit(ra.Memory.Swap) {
		return errors.New("more memory")
	}
	share := func(c *specs.LinuxCPU) float64 {
		quota, period := float64(orNone(limit(c.Quota))), 100_000.0
		if c.Period != nil && *c.Period > 0 {
			period = float64(*c.Period)
		}
		if quota >= none {
			return none
		}
		return quota / period
	}
	// What the kernel does not take (a period beyond a second) is less than anything.
	if (ra.CPU.Period == nil || *ra.CPU.Period <= 1_000_000) && share(rb.CPU) > share(ra.CPU) {
		return errors.New("more CPU time")
	}
	for key := range rb.Unified {
		if _, ok := ra.Unified[key]; !ok {
			return fmt.Errorf("%s came in", key)
		}
	}
	if a.Process == nil {
		return nil
	}
	for i, r := range a.Process.Rlimits {
		if is := b.Process.Rlimits[i]; is.Type != r.Type || is.Hard > r.Hard || is.Soft > r.Soft {
			return fmt.Errorf("%+v became %+v", r, is)
		}
	}
	if was, is := a.Process.OOMScoreAdj, b.Process.OOMScoreAdj; was != nil && (is == nil || *is < *was) {
		return errors.New("it is spared when the host is out of memory")
	}
	return nil
}

func moreCapabilities(a, b *specs.Process) error {
	if a.Capabilities == nil {
		return nil // all of them, to runc 1.5
	}
	if b.Capabilities == nil {
		return errors.New("the capability sets are gone")
	}
	moved := a.User.UID == 0 && b.User.UID != 0
	for _, s := range []struct {
		name   string
		a, b   []string
		filled bool
	}{
		{"bounding", a.Capabilities.Bounding, b.Capabilities.Bounding, false},
		{"effective", a.Capabilities.Effective, b.Capabilities.Effective, false},
		{"permitted", a.Capabilities.Permitted, b.Capabilities.Permitted, false},
		{"inheritable", a.Capabilities.Inheritable, b.Capabilities.Inheritable, moved},
		{"ambient", a.Capabilities.Ambient, b.Capabilities.Ambient, moved},
	} {
		for _, c := range s.b {
			had := slices.Contains(s.a, c)
			// Root would have had it: execve gives root all of the bounding set.
			if s.filled && slices.Contains(a.Capabilities.Bounding, c) && slices.Contains(a.Capabilities.Permitted, c) {
				had = true
			}
			if !had {
				return fmt.Errorf("%s came into the %s set", c, s.name)
			}
		}
	}
	return nil
}

// moreShared: the namespaces are the same, but for a cgroup namespace of its own; annotations, sysctls and hooks are the same.
func moreShared(a, b *specs.Spec) error {
	was, is := section(a).Namespaces, section(b).Namespaces
	if len(is) < len(was) || !slices.Equal(is[:len(was)], was) {
		return fmt.Errorf("the namespaces were %v and are %v", was, is)
	}
	for _, ns := range is[len(was):] {
		if ns != (specs.LinuxNamespace{Type: specs.CgroupNamespace}) || slices.ContainsFunc(was, func(w specs.LinuxNamespace) bool { return w.Type == ns.Type }) {
			return fmt.Errorf("the namespace %v came in", ns)
		}
	}
	if !maps.Equal(a.Annotations, b.Annotations) || !maps.Equal(section(a).Sysctl, section(b).Sysctl) || !reflect.DeepEqual(a.Hooks, b.Hooks) {
		return errors.New("annotations, sysctls or hooks changed")
	}
	return nil
}

// moreMounts: the mounts are the same in the same order, but for tmpfs under a root that was writable (or that the policy
// names), all in front of whatever lies below them, and the files with the assigned user's name.
func moreMounts(a, b *specs.Spec, tmpfsNamed bool) error {
	i := 0
	for at, m := range b.Mounts {
		if i < len(a.Mounts) && sameOrStricter(a.Mounts[i], m) {
			i++
			continue
		}
		if strings.HasPrefix(m.Source, "/bundle/runclamp.") && slices.Contains(m.Options, "ro") {
			continue // the assigned user's name
		}
		if a.Root == nil || a.Root.Readonly && !tmpfsNamed || m.Type != "tmpfs" {
			return fmt.Errorf("a mount at %s came in", m.Destination)
		}
		for _, earlier := range b.Mounts[:at] {
			below := filepath.Clean(earlier.Destination)
			if rel, err := filepath.Rel(m.Destination, below); err == nil && filepath.IsLocal(rel) || slices.Contains(earlier.Options, "bind") {
				return fmt.Errorf("a tmpfs at %s hides %s", m.Destination, below)
			}
		}
	}
	if i < len(a.Mounts) {
		return fmt.Errorf("the mount at %s is gone or out of order", a.Mounts[i].Destination)
	}
	return nil
}

func enabled(p *specs.LinuxSeccomp) bool {
	return p != nil && (p.DefaultAction != "" || len(p.Syscalls) > 0)
}

func moreSystemCalls(a, b *specs.LinuxSeccomp) error {
	if !enabled(b) {
		return errors.New("the seccomp profile is gone")
	}
	mended := (a.DefaultAction == specs.ActAllow || a.DefaultAction == specs.ActLog) && b.DefaultAction == specs.ActErrno
	if a.DefaultAction != b.DefaultAction && !mended || !reflect.DeepEqual(a.Flags, b.Flags) || a.ListenerPath != b.ListenerPath {
		return errors.New("default action, flags or listener changed")
	}
	for _, arch := range b.Architectures {
		if !slices.Contains(a.Architectures, arch) && arch != specs.ArchX86_64 {
			return fmt.Errorf("architecture %s came in", arch)
		}
	}
	names, values := pointsOf(a, b)
	for _, name := range names {
		for _, v := range values {
			if may(b, name, v) && !may(a, name, v) {
				return fmt.Errorf("%s with first argument %d came in", name, v)
			}
		}
	}
	return nil
}

func atLeastDefault(s *specs.Spec) error {
	var bounding []string
	if s.Process != nil && s.Process.Capabilities != nil {
		bounding = s.Process.Capabilities.Bounding
	}
	bound, err := seccomp.Default(bounding)
	if err != nil {
		return err
	}
	p := section(s).Seccomp
	if !enabled(p) {
		return errors.New("there is no profile")
	}
	names, values := pointsOf(p, bound)
	for _, name := range names {
		for _, v := range values {
			if may(p, name, v) && !may(bound, name, v) {
				return fmt.Errorf("%s with first argument %d", name, v)
			}
		}
	}
	return nil
}

// pointsOf are the system calls that profiles name and, for their arguments, every constant and what is next to it.
func pointsOf(profiles ...*specs.LinuxSeccomp) (names []string, values []uint64) {
	values = []uint64{0, 1, 1 << 31, 1<<32 - 1, 1 << 32, 1<<64 - 1}
	for _, p := range profiles {
		for _, s := range p.Syscalls {
			names = append(names, s.Names...)
			for _, a := range s.Args {
				values = append(values, a.Value-1, a.Value, a.Value+1)
			}
		}
	}
	slices.Sort(names)
	slices.Sort(values)
	return slices.Compact(names), slices.Compact(values)
}

// may says whether a profile lets a system call through, if all of its arguments are v. It is a second reading of what
// runc and libseccomp make of a profile, and shares nothing with the code under test.
func may(p *specs.LinuxSeccomp, name string, v uint64) bool {
	executes := func(a specs.LinuxSeccompAction) bool {
		return a == specs.ActAllow || a == specs.ActLog || a == specs.ActTrace || a == specs.ActNotify
	}
	ruled := false
	for _, s := range p.Syscalls {
		if !slices.Contains(s.Names, name) {
			continue
		}
		if matches(s.Args, v) {
			ruled = true
			if executes(s.Action) {
				return true
			}
		}
	}
	return !ruled && executes(p.DefaultAction)
}

func matches(args []specs.LinuxSeccompArg, v uint64) bool {
	if len(args) == 0 {
		return true
	}
	indices := map[uint]bool{}
	twice := false
	all, one := true, false
	for _, a := range args {
		twice = twice || indices[a.Index]
		indices[a.Index] = true
		ok := condition(a, v)
		all, one = all && ok, one || ok
	}
	if twice {
		return one // runc makes every condition a rule of its own
	}
	return all
}

func condition(a specs.LinuxSeccompArg, v uint64) bool {
	switch a.Op {
	case specs.OpEqualTo:
		return v == a.Value
	case specs.OpNotEqual:
		return v != a.Value
	case specs.OpLessThan:
		return v < a.Value
	case specs.OpLessEqual:
		return v <= a.Value
	case specs.OpGreaterEqual:
		return v >= a.Value
	case specs.OpGreaterThan:
		return v > a.Value
	case specs.OpMaskedEqual:
		return v&a.Value == a.ValueTwo
	}
	return false
}

// lossless: what nobody knows is still there, byte for byte.
func lossless(a, b *bundle.Document) error {
	text := func(d *bundle.Document) []byte {
		if m := d.Member("x-unknown"); m != nil {
			return m.Bytes()
		}
		return nil
	}
	if was, is := text(a), text(b); !bytes.Equal(was, is) {
		return fmt.Errorf("x-unknown was %s and is %s", was, is)
	}
	return nil
}

func section(s *specs.Spec) *specs.Linux {
	if s.Linux == nil {
		return &specs.Linux{}
	}
	return s.Linux
}

// sameMeaning compares as JSON, where an empty list and none are the same to every reader.
func sameMeaning(t *testing.T, a, b *specs.Spec) bool {
	t.Helper()
	return bytes.Equal(mustJSON(t, a), mustJSON(t, b))
}

func copyOf(t *testing.T, s *specs.Spec) *specs.Spec {
	t.Helper()
	var c *specs.Spec
	if err := json.Unmarshal(mustJSON(t, s), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
