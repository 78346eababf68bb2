package kubernetes

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// strictPolicy and loosePolicy are those of two more RuntimeClasses.
const (
	strictPolicy = `apiVersion: runclamp/v1
audit: {log: ` + auditLog + `}
controls:
  nonRoot: {action: reject}
`
	loosePolicy = `apiVersion: runclamp/v1
preset: baseline
audit: {log: ` + auditLog + `}
`
)

// TestBrokenPolicy: with a policy that can't be read no pod starts, and its events say why. Those that run go on: their
// probes and "kubectl exec" are answered, and they can be deleted. Mended, the waiting pod comes up by itself.
//
// It is not parallel to the others, which need the policy.
func TestBrokenPolicy(t *testing.T) {
	ns := newNamespace(t, "broken")
	counting := "livenessProbe: {exec: {command: [sh, -c, echo >>/tmp/probes]}, periodSeconds: 1, failureThreshold: 1}"
	ns.run(t, one("stays", counting), one("goes", ""))
	policy, err := os.ReadFile(conf + "/policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := writePolicy("policy", string(policy)+"contorls: {}\n"); err != nil {
		t.Fatal(err)
	}
	mended := false
	mend := func() {
		if !mended {
			mended = true
			if err := writePolicy("policy", string(policy)); err != nil {
				t.Error(err)
			}
		}
	}
	defer mend()

	ns.apply(t, one("waits", "").manifest())
	ns.events(t, "waits", "FailedCreatePodSandBox")
	ns.events(t, "waits", "runclamp: refused: the policy /etc/runclamp/policy.yaml: ")
	ns.events(t, "waits", `unknown key "contorls"; did you mean "controls"?`)

	probes := func() string { return ns.exec(t, "stays", "main", "wc", "-l", "/tmp/probes") }
	before := probes()
	eventually(t, "the liveness probe is answered", func() error {
		if now := probes(); now == before {
			return errors.New("there is none since " + now)
		}
		return nil
	})
	if n := ns.restarts(t, "stays"); n != "0" {
		t.Errorf("%s restarts", n)
	}
	ns.delete(t, "goes")

	mend()
	ns.must(t, "wait", "--for=condition=Ready", "pod/waits", "--timeout=100s")
}

// TestRuleForOneContainer: what a rule gives to one container of one namespace, no other gets: not its neighbour in the pod,
// and not one elsewhere that says in its labels and annotations that it is the other.
func TestRuleForOneContainer(t *testing.T) {
	t.Parallel()
	ingress, elsewhere := newNamespace(t, "ingress"), newNamespace(t, "elsewhere")
	const bindService = "0000000000000400"
	controller := []container{{name: "controller"}, {name: "sidecar"}}
	ingress.run(t, pod{name: "proxy", containers: controller})
	forged := `{io.kubernetes.cri.sandbox-namespace: ingress, io.kubernetes.pod.namespace: ingress, io.kubernetes.container.name: controller, namespace: ingress}`
	elsewhere.run(t, pod{name: "proxy", containers: controller, metadata: fmt.Sprintf(
		"labels: {io.kubernetes.pod.namespace: ingress, io.kubernetes.container.name: controller, namespace: ingress}, annotations: %s", forged)})

	for _, tt := range []struct {
		ns              namespace
		container, want string
	}{
		{ingress, "controller", bindService}, {ingress, "sidecar", "0000000000000000"},
		{elsewhere, "controller", "0000000000000000"}, {elsewhere, "sidecar", "0000000000000000"},
	} {
		who := fmt.Sprintf("%s/%s", tt.ns, tt.container)
		want := clamped("10001")
		for _, set := range []string{"CapPrm", "CapEff", "CapBnd", "CapAmb", "CapInh"} {
			want[set] = tt.want
		}
		expect(t, who, parseStatus(tt.ns.exec(t, "proxy", tt.container, "cat", "/proc/self/status")), want)
		id := tt.ns.containerID(t, "proxy", tt.container)
		fromHost, _ := seenFromHost(t, id)
		expect(t, who+" from the host", fromHost, want)
		// The annotations did reach runclamp.
		if config := string(mustRead(t, bundles+"/"+id+"/config.json")); strings.Contains(config, `"namespace":"ingress"`) != (tt.ns == elsewhere) {
			t.Errorf("%s: the configuration is %s", who, config)
		}

		line := audited(t, func(l auditLine) bool {
			return l.Verb == "create" && l.Workload.Namespace == string(tt.ns) && l.Workload.Container == tt.container
		})
		rule := ""
		if tt.want == bindService {
			rule = "ingress"
		}
		if l := line; l.Workload.Engine != "kubernetes" || l.Workload.Kind != "container" || l.Workload.Pod != "proxy" || l.Policy.Rule != rule || l.Verdict != "fixed" {
			t.Errorf("%s: the audit log says %+v", who, l)
		}
	}
	// So is the proof from the kernel, made before the first instruction.
	if l := audited(t, func(l auditLine) bool {
		return l.Verb == "start" && l.Workload.Namespace == "ingress" && l.Workload.Container == "controller"
	}); l.Proof != "passed" {
		t.Errorf("the audit log says of the start %+v", l)
	}
	// A refusal is there as well.
	elsewhere.apply(t, one("root", "securityContext: {privileged: true}").manifest())
	elsewhere.events(t, "root", "runclamp: refused: privileged")
	audited(t, func(l auditLine) bool {
		return l.Workload.Namespace == "elsewhere" && l.Workload.Pod == "root" && l.Workload.Container == "main" && l.Verdict == "refused"
	})
}

// auditLine is what the tests read of one.
type auditLine struct {
	Verb, Verdict, Proof string
	Workload             struct{ Engine, Kind, Namespace, Pod, Container string }
	Policy               struct{ Path, Rule string }
}

// audited is the first line of the audit log that is wanted.
func audited(t *testing.T, wanted func(auditLine) bool) auditLine {
	t.Helper()
	text, err := os.ReadFile(auditLog)
	if err != nil {
		t.Fatal(err)
	}
	for raw := range strings.Lines(string(text)) {
		var l auditLine
		if err := json.Unmarshal([]byte(raw), &l); err != nil {
			t.Fatalf("%v: %s", err, raw)
		}
		if wanted(l) {
			return l
		}
	}
	t.Fatalf("there is no such line in the audit log:\n%s", text)
	return auditLine{}
}

// TestTwoRuntimeClasses: two handlers are two links to one program, and each has the policy of its name.
func TestTwoRuntimeClasses(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"strict", "loose"} {
		class := strings.ReplaceAll(string(mustRead(t, "../../configs/kubernetes/runtimeclass.yaml")), ": runclamp\n", ": runclamp-"+name+"\n")
		if _, err := command(class, "kubectl", "apply", "-f", "-"); err != nil {
			t.Fatal(err)
		}
	}
	ns := newNamespace(t, "two")
	under := func(class, name, more string) pod {
		p := one(name, more)
		p.class = class
		return p
	}
	ns.run(t, under("runclamp-loose", "loose", ""), under("runclamp-strict", "strict", "securityContext: {runAsUser: 1000, runAsGroup: 1000}"))
	ns.apply(t, under("runclamp-strict", "refused", "").manifest())

	loose := parseStatus(ns.exec(t, "loose", "main", "cat", "/proc/self/status"))
	expect(t, "loose", loose, map[string]string{"Uid": "0 0 0 0", "CapEff": "00000000a80405fb", "NoNewPrivs": "0", "Seccomp": "2"})
	ns.exec(t, "loose", "main", "touch", "/file")
	expect(t, "strict", parseStatus(ns.exec(t, "strict", "main", "cat", "/proc/self/status")), clamped("1000"))
	ns.events(t, "refused", "runclamp: refused: nonRoot:")
	ns.events(t, "refused", "nonRoot:uid: UID 0 (root)")
	ns.events(t, "refused", "(policy /etc/runclamp/strict.yaml, ")
	for name, path := range map[string]string{"loose": conf + "/loose.yaml", "refused": conf + "/strict.yaml"} {
		line := audited(t, func(l auditLine) bool {
			return l.Workload.Namespace == "two" && l.Workload.Pod == name && l.Workload.Container == "main"
		})
		if line.Policy.Path != path {
			t.Errorf("%s: the audit log says %+v", name, line)
		}
	}
}

// TestOlderContainerd: what users of containerd 1.6 and 1.7 are given names the same program under the same handler. The node's
// own containerd reads it as well, and says what it is today.
func TestOlderContainerd(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "config.toml")
	if err := writeFile(file, "version = 2\n"+string(mustRead(t, "../../configs/containerd/v2.toml"))); err != nil {
		t.Fatal(err)
	}
	out, err := command("", "containerd", "--config", file, "config", "migrate")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(out, "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runclamp]\n")
	_, options, _ := strings.Cut(section, "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runclamp.options]\n")
	options, _, _ = strings.Cut(options, "[plugins.")
	for _, want := range []string{"BinaryName = '/usr/local/sbin/runclamp'", "SystemdCgroup = true"} {
		if !ok || !strings.Contains(options, want) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
}

// TestManual: what the manual shows is what the files have, but for their comments.
func TestManual(t *testing.T) {
	t.Parallel()
	manual := string(mustRead(t, "../../docs/kubernetes.md"))
	for _, name := range []string{"containerd/v2.toml", "containerd/v3.toml", "kubernetes/policy.yaml"} {
		var shown strings.Builder
		for line := range strings.Lines(string(mustRead(t, "../../configs/"+name))) {
			if !strings.HasPrefix(strings.TrimSpace(line), "#") {
				shown.WriteString(line)
			}
		}
		if !strings.Contains(manual, "\n"+shown.String()+"```\n") {
			t.Errorf("docs/kubernetes.md does not show\n%s", &shown)
		}
	}
}

// TestRequired: in a namespace with the label, pods that name no RuntimeClass of runclamp's are not admitted.
func TestRequired(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t, "required", "runclamp=required")
	bare := one("bare", "")
	bare.class = "none"
	eventually(t, "the admission policy is in force", func() error {
		_, err := ns.try(bare.manifest(), "create", "--dry-run=server", "-f", "-")
		switch {
		case err == nil:
			return errors.New("the pod was admitted")
		case !strings.Contains(err.Error(), `add "runtimeClassName: runclamp"`):
			t.Fatal(err)
		}
		return nil
	})
	ns.run(t, one("held", ""))
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
