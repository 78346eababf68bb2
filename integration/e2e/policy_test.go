package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	api "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// policies are the policy files of every place, by the name that follows "runclamp-". The audit log lies in the place, too.
func policies(dir string) map[string]string {
	head := "apiVersion: runclamp/v1\naudit: {log: " + filepath.Join(dir, "audit", "audit.jsonl") + "}\n"
	expires := time.Now().UTC().AddDate(0, 1, 0).Format(time.DateOnly)
	return map[string]string{
		"policy": head,
		// Each of the two engines of a containerd has one of its own to break.
		"broken":     head,
		"broken-ctr": head,
		"strict":     head + "controls:\n  nonRoot: {assign: {uid: 20000, gid: 20000}}\n  readOnlyRootfs: {tmpfs: [{path: /tmp, size: 1Mi, mode: 1777}]}\n",
		"named":      head + "controls:\n  nonRoot: {assign: {uid: 20000, gid: 20000}, passwd: true}\n",
		"loose":      head + "preset: baseline\n",
		"baseline":   head + "preset: baseline\n",
		"restricted": head + "preset: restricted\n",
		"hardened":   head + "preset: hardened\n",
		"audit":      head + "mode: audit\n",
		"ingress": head + `rules:
  - name: ingress
    match: {engine: kubernetes, namespace: ingress}
    controls: {nonRoot: {action: "off"}}
`,
		"own": "apiVersion: runclamp/v1\naudit: {log: " + filepath.Join(dir, "audit", "own.jsonl") + "}\n" + `controls:
  hooks: {allow: [/usr/bin/busybox]}
rules:
  - name: node services
    match: {engine: kubernetes, namespace: kube-system}
    controls:
      hostNamespaces: {allow: [network]}
  - name: everything of Docker's
    match: {engine: docker}
    controls:
      sysctls: {allow: [net.core.somaxconn]}
      annotations: {allow: [run.oci.mine]}
`,
		"exec": head + `exceptions:
  - name: debugging
    match: {engine: [docker, podman, containerd]}
    allow: ["exec:root"]
    reason: the test of this exception
    expires: ` + expires + `
`,
	}
}

// audited are the lines of a container in the audit log.
type auditLine struct {
	Verb, ID, Mode, Verdict string
	Workload                struct{ Engine, Kind, Namespace, Pod, Container, Image string }
	Policy                  struct{ Path, SHA256, Rule string }
	Findings                []struct{ Control, Detail, Action string }
	Edits                   []struct{ Pointer string }
}

func audited(t *testing.T, p *place, id string) []auditLine {
	t.Helper()
	text, err := os.ReadFile(p.file("audit", "audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	// Two engines of one place write it. What the other is just writing has no end yet.
	text = text[:bytes.LastIndexByte(text, '\n')+1]
	var lines []auditLine
	for scan := bufio.NewScanner(bytes.NewReader(text)); scan.Scan(); {
		var l auditLine
		if err := json.Unmarshal(scan.Bytes(), &l); err != nil {
			t.Fatalf("%v: %s", err, scan.Text())
		}
		if l.ID == id {
			lines = append(lines, l)
		}
	}
	return lines
}

// TestBrokenPolicy: a policy file that can't be read stops creates, and says so. What runs goes on: exec, stop and remove work.
func TestBrokenPolicy(t *testing.T) {
	forEachEngine(t, func(t *testing.T, e engine) {
		name := "broken"
		if _, ok := e.(*ctr); ok {
			name = "broken-ctr"
		}
		id := start(t, e, container{args: asleep, runtime: "runclamp-" + name})
		if err := e.where().writePolicy(name, "apiVersion: runclamp/v1\nmoed: enforce\n"); err != nil {
			t.Fatal(err)
		}
		_, err := e.output(container{args: []string{"/bin/true"}, runtime: "runclamp-" + name})
		if err == nil {
			t.Fatal("a container was created")
		}
		for _, want := range []string{"runclamp: refused: the policy " + filepath.Join(e.where().conf, name+".yaml") + ": 2:1: ", `unknown key "moed"`} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("no %q in what the user reads: %v", want, err)
			}
		}
		for _, way := range e.entries() {
			if way.tty {
				continue
			}
			out, err := way.run(id, "", "/bin/probe")
			if err != nil {
				t.Errorf("%s: %v", way.name, err)
				continue
			}
			confined(t, parseSeen(t, out), "10001")
		}
		if err := e.stop(id); err != nil {
			t.Error(err)
		}
		eventually(t, "it ends", func() bool { running, err := e.running(id); return err == nil && !running })
		// start removes it, and fails if that does not work.
	})
}

// TestTwoPolicies: one runclamp, two names, two policies, side by side in one engine.
func TestTwoPolicies(t *testing.T) {
	forEachEngine(t, func(t *testing.T, e engine) {
		strict := parseSeen(t, mustOutput(t, e, container{args: []string{"/bin/probe"}, runtime: "runclamp-strict"}))
		loose := parseSeen(t, mustOutput(t, e, container{args: []string{"/bin/probe"}, runtime: "runclamp-loose"}))
		confined(t, strict, "20000")
		if got := writable(strict); !slices.Equal(got, []string{"/dev/mqueue", "/dev/shm", "/tmp"}) {
			t.Errorf("strict: writable are %q", got)
		}
		if loose.Status["Uid"] != "0 0 0 0" || !slices.Contains(writable(loose), "/") || loose.Status["CapEff"] == "0000000000000000" {
			t.Errorf("loose: UID %s, capabilities %s, writable %q", loose.Status["Uid"], loose.Status["CapEff"], writable(loose))
		}
		confined(t, parseSeen(t, mustOutput(t, e, container{args: []string{"/bin/probe"}})), "10001")
	})
}

// TestNamedUser: who is moved off root has a name, in the container and in an exec.
func TestNamedUser(t *testing.T) {
	forEachEngine(t, func(t *testing.T, e engine) {
		out := mustOutput(t, e, container{args: []string{"/bin/sh", "-c", "/bin/id -un; /bin/id -gn; /bin/grep -c . /etc/passwd"}, runtime: "runclamp-named"})
		if out != "runclamp\nrunclamp\n4\n" {
			t.Errorf("%q", out)
		}
	})
}

// TestModeAudit: nothing is changed and everything is told.
func TestModeAudit(t *testing.T) {
	forEachEngine(t, func(t *testing.T, e engine) {
		p := e.where()
		id := start(t, e, container{args: asleep, runtime: "record-audit"})
		before, err1 := os.ReadFile(p.file("recorded", id+"-before"))
		after, err2 := os.ReadFile(p.file("recorded", id+"-after"))
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(before, after) {
			t.Errorf("config.json was\n%s\nand is\n%s", before, after)
		}
		out, err := e.entries()[0].run(id, "", "/bin/probe")
		if err != nil {
			t.Fatal(err)
		}
		if s := parseSeen(t, out); s.Status["Uid"] != "0 0 0 0" || s.Status["CapEff"] == "0000000000000000" || !slices.Contains(writable(s), "/") {
			t.Errorf("UID %s, capabilities %s, writable %q", s.Status["Uid"], s.Status["CapEff"], writable(s))
		}
		lines := audited(t, p, id)
		at := slices.IndexFunc(lines, func(l auditLine) bool { return l.Verb == "create" })
		if at < 0 {
			t.Fatalf("the audit log has %+v", lines)
		}
		l := lines[at]
		root := slices.ContainsFunc(l.Findings, func(f struct{ Control, Detail, Action string }) bool {
			return f.Control == "nonRoot" && f.Detail == "uid" && f.Action == "fix"
		})
		if l.Mode != "audit" || l.Verdict != "fixed" || !root || len(l.Edits) == 0 || l.Policy.Path != filepath.Join(p.conf, "audit.yaml") || l.Policy.SHA256 == "" {
			t.Errorf("%+v", l)
		}
		// start removes it: a container that was let through can be stopped as well.
	})
}

// TestWhoItIs: the audit log says which engine it was, and what the engine says of the container.
func TestWhoItIs(t *testing.T) {
	forEachEngine(t, func(t *testing.T, e engine) {
		id := start(t, e, container{args: asleep})
		lines := audited(t, e.where(), id)
		if len(lines) == 0 {
			t.Fatal("nothing in the audit log")
		}
		w := lines[0].Workload
		want := "nothing"
		switch e.(type) {
		case *docker:
			want = "docker"
		case *cri:
			want = "kubernetes"
			if w.Namespace != "default" || !strings.HasPrefix(w.Pod, "pod") || w.Container != "c1" {
				t.Errorf("%+v", w)
			}
		case *ctr:
			want = "containerd"
		case *podman:
			want = "podman"
		}
		if w.Engine != want || w.Kind != "container" {
			t.Errorf("%+v, want engine %s", w, want)
		}
	})
}

// lies are what a user of an engine may write to look like the ingress of a Kubernetes.
var lies = []string{
	"io.kubernetes.cri.container-type=container", "io.kubernetes.cri.sandbox-namespace=ingress", "io.kubernetes.cri.sandbox-name=controller",
	"io.kubernetes.cri.container-name=controller", "io.kubernetes.pod.namespace=ingress", "io.kubernetes.cri-o.Namespace=ingress",
	"io.kubernetes.cri-o.ContainerType=container", "runclamp.engine=kubernetes",
}

// TestNamespaceCantBeForged: a rule for a namespace of Kubernetes' applies to that namespace, and to nobody who says he were in it.
func TestNamespaceCantBeForged(t *testing.T) {
	forEachEngine(t, func(t *testing.T, e engine) {
		c := container{args: []string{"/bin/probe"}, runtime: "runclamp-ingress"}
		t.Run("labels", func(t *testing.T) {
			c := c
			c.labels = lies
			confined(t, parseSeen(t, mustOutput(t, e, c)), "10001")
		})
		t.Run("annotations", func(t *testing.T) {
			c := c
			if d, ok := e.(*docker); ok {
				confined(t, parseSeen(t, d.outputWithAnnotations(t, c, lies)), "10001")
				return
			}
			c.annotations = lies
			confined(t, parseSeen(t, mustOutput(t, e, c)), "10001")
			if c, ok := e.(*cri); ok {
				c.liesArrive(t)
			}
		})
		t.Run("sandbox", func(t *testing.T) {
			// A sandbox keeps its UID; whoever only says that he is one does not.
			c := c
			says := []string{"io.kubernetes.cri.container-type=sandbox", "io.kubernetes.cri-o.ContainerType=sandbox"}
			if d, ok := e.(*docker); ok {
				confined(t, parseSeen(t, d.outputWithAnnotations(t, c, says)), "10001")
				return
			}
			c.annotations = says
			confined(t, parseSeen(t, mustOutput(t, e, c)), "10001")
		})
		if d, ok := e.(*docker); ok {
			t.Run("names", func(t *testing.T) {
				const image = "ingress/controller:latest"
				d.must(t, "tag", "bb", image)
				t.Cleanup(func() { d.must(t, "rmi", image) })
				out := d.must(t, "run", "--rm", "--runtime", "runclamp-ingress", "--network", "none", "--name", "k8s_controller_controller_ingress_0_0", image, "/bin/probe")
				confined(t, parseSeen(t, out), "10001")
			})
		}
	})
}

// liesArrive: containerd passes annotations on, or the test above would say nothing.
func (c *cri) liesArrive(t *testing.T) {
	t.Helper()
	id := start(t, c, container{args: asleep, runtime: "runclamp-ingress", annotations: lies})
	got := readSpec(t, filepath.Join(c.bundle(id), "config.json")).Annotations
	if got["runclamp.engine"] != "kubernetes" || got["io.kubernetes.pod.namespace"] != "ingress" {
		t.Errorf("the annotations are %v", got)
	}
	// This one containerd writes itself, over whatever the user says.
	if namespace := got["io.kubernetes.cri.sandbox-namespace"]; namespace != "default" {
		t.Errorf("containerd says that the namespace is %q", namespace)
	}
}

// TestRuleOfANamespace: and to that namespace it does apply.
func TestRuleOfANamespace(t *testing.T) {
	forEachCRI(t, func(t *testing.T, c *cri) {
		for namespace, uid := range map[string]string{"ingress": "0 0 0 0", "ingress-2": "10001 10001 10001 10001"} {
			p := newPodUnder(t, c, "runclamp-ingress", func(s *api.PodSandboxConfig) { s.Metadata.Namespace = namespace })
			if got := parseSeen(t, p.mustRun(t, nil, "/bin/probe")).Status["Uid"]; got != uid {
				t.Errorf("namespace %s: UID %s", namespace, got)
			}
		}
	})
}

// outputWithAnnotations goes past the docker command: the old one does not know --annotation. An old daemon takes no notice.
func (d *docker) outputWithAnnotations(t *testing.T, c container, annotations []string) string {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", d.file("docker.sock"))
	}}, Timeout: patience}
	defer client.CloseIdleConnections()
	body := mustJSON(t, map[string]any{"Image": "bb", "Cmd": c.args, "HostConfig": map[string]any{
		"Runtime": c.runtime, "NetworkMode": "none", "Annotations": pairs(annotations)}})
	version := strings.TrimSpace(d.must(t, "version", "-f", "{{.Server.APIVersion}}"))
	r, err := client.Post("http://docker/v"+version+"/containers/create", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var created struct{ ID, Message string }
	if err := json.NewDecoder(r.Body).Decode(&created); err != nil || r.StatusCode != http.StatusCreated {
		t.Fatalf("%s: %s, %v", r.Status, created.Message, err)
	}
	t.Cleanup(func() {
		if err := d.remove(created.ID); err != nil {
			t.Error(err)
		}
	})
	return d.must(t, "start", "--attach", created.ID)
}

// TestPresets: a plain container runs under each, and has what the preset says.
func TestPresets(t *testing.T) {
	forEachEngine(t, func(t *testing.T, e engine) {
		for _, tt := range []struct {
			name, uid, noNewPrivs string
			readOnly              bool
		}{
			{"baseline", "0 0 0 0", "", false},
			{"restricted", "10001 10001 10001 10001", "1", false},
			{"hardened", "10001 10001 10001 10001", "1", true},
		} {
			t.Run(tt.name, func(t *testing.T) {
				s := parseSeen(t, mustOutput(t, e, container{args: []string{"/bin/probe"}, runtime: "runclamp-" + tt.name}))
				if s.Status["Uid"] != tt.uid || s.Status["Seccomp"] != "2" || tt.noNewPrivs != "" && s.Status["NoNewPrivs"] != tt.noNewPrivs {
					t.Errorf("UID %s, no new privileges %s, seccomp %s", s.Status["Uid"], s.Status["NoNewPrivs"], s.Status["Seccomp"])
				}
				for _, m := range s.Mounts {
					if m.Point == "/" && strings.HasPrefix(m.Options, "ro") != tt.readOnly {
						t.Errorf("/ is mounted %s", m.Options)
					}
				}
				_, err := e.output(container{args: []string{"/bin/true"}, runtime: "runclamp-" + tt.name, privileged: true})
				if err == nil || !strings.Contains(err.Error(), "runclamp: refused: privileged: ") || !strings.Contains(err.Error(), "preset "+tt.name) {
					t.Errorf("privileged: the user reads %v", err)
				}
			})
		}
	})
}

// TestSandboxUnderPresets: a sandbox keeps the UID that it was given, root included, and gets no tmpfs. All else holds for it.
func TestSandboxUnderPresets(t *testing.T) {
	forEachCRI(t, func(t *testing.T, c *cri) {
		for _, preset := range []string{"baseline", "restricted", "hardened"} {
			t.Run(preset, func(t *testing.T) {
				p := newPodUnder(t, c, "runclamp-"+preset, func(s *api.PodSandboxConfig) {
					s.Linux.SecurityContext.RunAsUser = &api.Int64Value{Value: 0}
				})
				status := procStatus(t, p.pid(t))
				if status["Uid"] != "0 0 0 0" || status["Seccomp"] != "2" {
					t.Errorf("UID %s, seccomp %s", status["Uid"], status["Seccomp"])
				}
				if preset == "hardened" && (status["NoNewPrivs"] != "1" || status["CapBnd"] != "0000000000000000") {
					t.Errorf("no new privileges %s, capabilities %s", status["NoNewPrivs"], status["CapBnd"])
				}
				mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mounts", p.pid(t)))
				if err != nil {
					t.Fatal(err)
				}
				for line := range strings.Lines(string(mounts)) {
					if f := strings.Fields(line); slices.Contains([]string{"/tmp", "/run", "/var/tmp"}, f[1]) {
						t.Errorf("a tmpfs came in: %s", line)
					}
				}
				if got := p.mustRun(t, nil, "/bin/echo", "fine"); got != "fine\n" {
					t.Errorf("%q", got)
				}
			})
		}
	})
}

// TestExecAsRoot: an exception that names exec:root lets an exec be root, and nothing more. It is not for Kubernetes, whose
// execs ask for the image's user, and that is root here.
func TestExecAsRoot(t *testing.T) {
	forEachEngine(t, func(t *testing.T, e engine) {
		_, kubernetes := e.(*cri)
		excepted := start(t, e, container{args: asleep, runtime: "runclamp-exec"})
		plain := start(t, e, container{args: asleep})
		tried := 0
		for _, way := range e.entries() {
			if way.tty || !kubernetes && !strings.HasSuffix(way.name, ", root") {
				continue
			}
			tried++
			for id, root := range map[string]bool{excepted: !kubernetes, plain: false} {
				uid := "10001 10001 10001 10001"
				if root {
					uid = "0 0 0 0"
				}
				out, err := way.run(id, "", "/bin/probe")
				if err != nil {
					t.Fatal(err)
				}
				s := parseSeen(t, out)
				if s.Status["Uid"] != uid || s.Status["CapEff"] != "0000000000000000" || s.Status["CapBnd"] != "0000000000000000" || s.Status["NoNewPrivs"] != "1" || s.Status["Seccomp"] != "2" {
					t.Errorf("%s, want UID %s: UID %s, capabilities %s of %s, no new privileges %s, seccomp %s", way.name, uid,
						s.Status["Uid"], s.Status["CapEff"], s.Status["CapBnd"], s.Status["NoNewPrivs"], s.Status["Seccomp"])
				}
			}
		}
		if tried == 0 {
			t.Error("no way to be root was tried")
		}
	})
}
