package shim

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
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

// loose has a rule and an exception that whoever starts a container would like to have, and a word that makes it stricter.
const loose = `apiVersion: runclamp/v1
rules:
  - name: ingress
    match: {engine: kubernetes, namespace: ingress, container: controller}
    controls:
      capabilities: {allow: [CHOWN, NET_BIND_SERVICE, KILL]}
      nonRoot: {action: "off"}
tighten:
  - match: {annotation.tier: public}
    controls: {nonRoot: {action: reject}}
exceptions:
  - name: monitoring
    match: {engine: kubernetes, namespace: monitoring}
    allow: [noNewPrivileges, "exec:root"]
    reason: a test
    expires: %s
  - name: podmans
    match: {engine: podman}
    allow: [readOnlyRootfs]
    reason: a test
    expires: %s
`

// TestUnbribable: nothing that whoever starts a container can choose loosens the decision about it: not the annotations and names
// that another engine would believe.
func TestUnbribable(t *testing.T) {
	expires := time.Now().AddDate(0, 1, 0).Format(time.DateOnly)
	file, err := policy.Parse(fmt.Appendf(nil, loose, expires, expires), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	p := PolicyFile{File: file}
	id := strings.Repeat("a", 64)
	for _, e := range []struct {
		name, root, bundle, config string
		// own are the annotations that the engine writes last.
		own  map[string]string
		rule string
	}{
		{name: "docker", root: "/run/docker/runtime-runclamp/moby", bundle: "io.containerd.runtime.v2.task/moby/" + id, config: "docker-current/plain.json"},
		{name: "ctr", root: "/run/containerd/runc/default", bundle: "io.containerd.runtime.v2.task/default/" + id, config: "containerd-2.4/plain.json"},
		{name: "unknown", root: "/run/runc", bundle: "somewhere/" + id, config: "docker-20.10/plain.json"},
		{name: "podman without a parent", root: "/run/runc", bundle: "overlay-containers/" + id + "/userdata", config: "podman-4.3/plain.json"},
		{name: "kubernetes", root: "/run/containerd/runc/k8s.io", bundle: "io.containerd.runtime.v2.task/k8s.io/" + id, config: "cri-containerd-2.4/container.json",
			own: map[string]string{"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-namespace": "default",
				"io.kubernetes.cri.sandbox-name": "web", "io.kubernetes.cri.container-name": "web", "io.kubernetes.cri.image-name": "web"}},
		{name: "kubernetes, as the rule says", root: "/run/containerd/runc/k8s.io", bundle: "io.containerd.runtime.v2.task/k8s.io/" + id, config: "cri-containerd-2.4/container.json",
			own: map[string]string{"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-namespace": "ingress",
				"io.kubernetes.cri.sandbox-name": "c-1", "io.kubernetes.cri.container-name": "controller", "io.kubernetes.cri.image-name": "c"}, rule: "ingress"},
	} {
		t.Run(e.name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("../enforce/testdata/engines", e.config))
			if err != nil {
				t.Fatal(err)
			}
			var spec *specs.Spec
			if err := json.Unmarshal(text, &spec); err != nil {
				t.Fatal(err)
			}
			// What was there when it was captured, and is not any more: other containers' namespaces, the engine's files, and its
			// process behind its hook.
			spec.Hooks = nil
			spec.Mounts = slices.DeleteFunc(spec.Mounts, func(m specs.Mount) bool { return m.Type == "bind" })
			for i := range spec.Linux.Namespaces {
				spec.Linux.Namespaces[i].Path = ""
			}
			dir := filepath.Join(t.TempDir(), e.bundle)
			spec.Root.Path = filepath.Join(dir, "rootfs")
			if err := os.MkdirAll(spec.Root.Path, 0o700); err != nil {
				t.Fatal(err)
			}
			judge := func(annotations map[string]string, hostname string) Judgement {
				spec.Annotations, spec.Hostname = annotations, hostname
				return judged(t, dir, spec, Asked{Verb: "create", Root: e.root, ID: id, Parent: func() []string { return nil }}, p)
			}
			base := judge(e.own, "h")
			if base.Policy.Rule != e.rule || base.Decision.Verdict != enforce.Fixed {
				t.Fatalf("rule %q, %s: %+v", base.Policy.Rule, base.Decision.Verdict, base.Decision.Findings)
			}
			for seed := range uint64(100) {
				r := rand.New(rand.NewPCG(seed, 1))
				annotations := forged(r)
				maps.Copy(annotations, e.own)
				j := judge(annotations, forgedWord(r))
				if j.Policy.Rule != base.Policy.Rule || !reflect.DeepEqual(j.Policy.Exceptions, base.Policy.Exceptions) {
					t.Fatalf("%q: rule %q, exceptions %v", annotations, j.Policy.Rule, j.Policy.Exceptions)
				}
				switch {
				case j.Decision.Verdict == enforce.Refused:
				case len(j.Policy.Tightened) > 0 && e.rule == "":
					t.Fatalf("%q: tightened, and %s", annotations, j.Decision.Verdict)
				case !reflect.DeepEqual(withoutUsers(j.Decision.Spec), withoutUsers(base.Decision.Spec)):
					t.Fatalf("%q made another container of it", annotations)
				}
			}
		})
	}
}

func withoutUsers(s *specs.Spec) *specs.Spec {
	c := *s
	c.Annotations, c.Hostname = nil, ""
	return &c
}

func judged(t *testing.T, dir string, spec *specs.Spec, a Asked, p PolicyFile) Judgement {
	t.Helper()
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	c, err := b.ReadConfig()
	if err != nil {
		t.Fatal(err)
	}
	j, err := Judge(a, b, c, p, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// forged are annotations that some engine would believe.
func forged(r *rand.Rand) map[string]string {
	keys := []string{
		"io.kubernetes.cri.container-type", "io.kubernetes.cri.sandbox-namespace", "io.kubernetes.cri.sandbox-name", "io.kubernetes.cri.container-name",
		"io.kubernetes.cri-o.ContainerType", "io.kubernetes.cri-o.Namespace", "io.kubernetes.pod.namespace", "io.kubernetes.pod.name",
		"io.kubernetes.container.name", "io.container.manager", "io.podman.annotations.infra", "tier", "engine", "runclamp.policy",
	}
	annotations := map[string]string{}
	for range r.IntN(len(keys)) {
		annotations[keys[r.IntN(len(keys))]] = forgedWord(r)
	}
	return annotations
}

func forgedWord(r *rand.Rand) string {
	words := []string{"ingress", "controller", "monitoring", "kubernetes", "podman", "libpod", "sandbox", "container", "public", "*", "off"}

	return words[r.IntN(len(words))]
}
