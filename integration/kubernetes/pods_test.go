package kubernetes

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestClamped: a pod that says nothing about its security, under runc and under runclamp. Its sandbox is held too.
func TestClamped(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t, "clamped")
	bare := one("bare", "")
	bare.class = "none"
	ns.run(t, one("held", ""), bare)

	// What there is to be held.
	loose := parseStatus(ns.exec(t, "bare", "main", "cat", "/proc/self/status"))
	expect(t, "under runc", loose, map[string]string{"Uid": "0 0 0 0", "NoNewPrivs": "0", "Seccomp": "0"})

	inside := parseStatus(ns.exec(t, "held", "main", "cat", "/proc/self/status"))
	expect(t, "exec", inside, clamped("10001"))
	id := ns.containerID(t, "held", "main")
	outside, mounts := seenFromHost(t, id)
	expect(t, "from the host", outside, clamped("10001"))
	if !strings.Contains(mounts, " / overlay ro,") {
		t.Errorf("its mounts are\n%s", mounts)
	}
	out, err := ns.try("", "exec", "held", "--", "sh", "-c", "echo fine >/tmp/file && cat /tmp/file && touch /file")
	if out != "fine\n" || err == nil || !strings.Contains(err.Error(), "Read-only file system") {
		t.Errorf("%q, %v", out, err)
	}

	sandbox := sandboxOf(t, id)
	pause, _ := seenFromHost(t, sandbox)
	expect(t, "the sandbox", pause, clamped("65535"))
}

// sandboxOf is the sandbox that a container is in.
func sandboxOf(t *testing.T, id string) string {
	t.Helper()
	info, err := ctr("containers", "info", id)
	if err != nil {
		t.Fatal(err)
	}
	_, sandbox, ok := strings.Cut(info, `"io.kubernetes.cri.sandbox-id": "`)
	sandbox, _, _ = strings.Cut(sandbox, `"`)
	if !ok || sandbox == "" {
		t.Fatalf("no sandbox: %s", info)
	}
	return sandbox
}

// TestVerify: pods that run are what was decided about them, their sandboxes too; one of another runtime's never was.
func TestVerify(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t, "verify")
	bare := one("bare", "")
	bare.class = "none"
	ns.run(t, bare, pod{
		name: "held", more: "securityContext: {fsGroup: 2000}, volumes: [{name: data, emptyDir: {}}],",
		containers: []container{{name: "main", more: "volumeMounts: [{name: data, mountPath: /data}], resources: {limits: {cpu: 500m, memory: 64Mi}}"}},
	})
	id := ns.containerID(t, "held", "main")
	for _, id := range []string{id, sandboxOf(t, id)} {
		if out, err := command("", "clampctl", "verify", id[:12]); err != nil || !strings.HasPrefix(out, id+": holds: kubernetes ") {
			t.Errorf("%q, %v", out, err)
		}
	}
	if out, err := command("", "clampctl", "verify", ns.containerID(t, "bare", "main")); exitStatus(err) != 1 || !strings.Contains(out, "no record of runclamp's") {
		t.Errorf("%q, %v", out, err)
	}
}

// TestPrivilegedIsRefused: whoever asks "kubectl describe pod" learns why, and what to change. The pod can be deleted.
func TestPrivilegedIsRefused(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t, "privileged")
	ns.apply(t, one("root", "securityContext: {privileged: true}").manifest())
	ns.events(t, "root", "runclamp: refused: privileged: a privileged container, which is root on this host")
	ns.events(t, "root", "securityContext.privileged")
	if out := ns.must(t, "get", "pod", "root", "-o", "jsonpath={.status.containerStatuses[0].started}"); out != "false" {
		t.Errorf("started: %s", out)
	}
	ns.delete(t, "root")
}

// TestUsers: a user that the pod names is kept, and so are fsGroup and supplementalGroups. Root is not. runAsNonRoot is the
// kubelet's to judge, which knows nothing of the user that runclamp would assign.
func TestUsers(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t, "users")
	named := one("named", "")
	named.more = "securityContext: {runAsUser: 4711, runAsGroup: 4712, fsGroup: 2000, supplementalGroups: [3000]},"
	ns.run(t, named, one("root", "securityContext: {runAsUser: 0}"))
	ns.apply(t, one("nonroot", "securityContext: {runAsNonRoot: true}").manifest())
	ns.events(t, "nonroot", "container has runAsNonRoot and image will run as root")
	status := parseStatus(ns.exec(t, "named", "main", "cat", "/proc/self/status"))
	expect(t, "named", status, clamped("4711"))
	expect(t, "named", status, map[string]string{"Gid": "4712 4712 4712 4712", "Groups": "2000 3000 4712"})
	expect(t, "root", parseStatus(ns.exec(t, "root", "main", "cat", "/proc/self/status")), clamped("10001"))
}

// TestExecAndLogs: kubectl's ways into a container.
func TestExecAndLogs(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t, "exec")
	ns.run(t, pod{name: "talks", containers: []container{{name: "main", command: "echo to stdout; echo to stderr >&2; sleep 1000000"}}})

	if out := ns.must(t, "logs", "talks"); out != "to stdout\nto stderr\n" && out != "to stderr\nto stdout\n" {
		t.Errorf("kubectl logs shows %q", out)
	}
	if out, err := ns.try("typed", "exec", "-i", "talks", "--", "cat"); out != "typed" || err != nil {
		t.Errorf("kubectl exec -i: %q, %v", out, err)
	}
	if _, err := ns.try("", "exec", "talks", "--", "sh", "-c", "exit 7"); exitStatus(err) != 7 {
		t.Errorf("kubectl exec of what exits with 7: %v", err)
	}
	// A terminal, and an interactive shell that is typed at.
	out, err := command("id -u; tty\nexit 9\n", "script", "-qec", fmt.Sprintf("kubectl -n %s exec -it talks -- sh", ns), "/dev/null")
	if exitStatus(err) != 9 || !strings.Contains(out, "10001\r\n/dev/pts/0\r\n") {
		t.Errorf("kubectl exec -it: %q, %v", out, err)
	}
	// An ephemeral container is one more container.
	ns.must(t, "debug", "talks", "--image", image, "--image-pull-policy=Never", "--container=debugger", "--profile=general", "--", "sh", "-c", "cat /proc/self/status")
	eventually(t, "the debugger ends", func() error {
		out, err := ns.try("", "logs", "talks", "--container", "debugger")
		if err == nil && !strings.Contains(out, "Seccomp_filters") {
			err = fmt.Errorf("it says %q", out)
		}
		return err
	})
	expect(t, "kubectl debug", parseStatus(ns.must(t, "logs", "talks", "--container", "debugger")), clamped("10001"))
}

// TestProbes: a readiness probe that fails takes the pod out, a liveness probe that fails restarts its container.
func TestProbes(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t, "probes")
	probe := func(file string) string {
		return fmt.Sprintf("{exec: {command: [test, -e, %s]}, periodSeconds: 1, failureThreshold: 1}", file)
	}
	ns.run(t, pod{name: "probed", containers: []container{{
		name: "main", command: "touch /tmp/ready /tmp/alive; sleep 1000000",
		more: fmt.Sprintf("readinessProbe: %s, livenessProbe: %s, startupProbe: {exec: {command: [test, -e, /tmp/alive]}, periodSeconds: 1}", probe("/tmp/ready"), probe("/tmp/alive")),
	}}})
	ns.exec(t, "probed", "main", "rm", "/tmp/ready")
	ns.must(t, "wait", "--for=condition=Ready=false", "pod/probed", "--timeout=60s")
	ns.exec(t, "probed", "main", "touch", "/tmp/ready")
	ns.must(t, "wait", "--for=condition=Ready", "pod/probed", "--timeout=60s")
	if n := ns.restarts(t, "probed"); n != "0" {
		t.Errorf("%s restarts by the readiness probe", n)
	}
	ns.exec(t, "probed", "main", "rm", "/tmp/alive")
	eventually(t, "the container is restarted", func() error {
		if n := ns.restarts(t, "probed"); n != "1" {
			return fmt.Errorf("%s restarts", n)
		}
		return nil
	})
	ns.must(t, "wait", "--for=condition=Ready", "pod/probed", "--timeout=60s")
}

// TestVolumes: an init container prepares an emptyDir, and two containers of different users share it by fsGroup.
func TestVolumes(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t, "volumes")
	data := "volumeMounts: [{name: data, mountPath: /data}], "
	init := list([]container{{name: "init", command: "umask 002; mkdir -m 2770 /data/dir && echo prepared >/data/dir/file", more: data}})
	ns.run(t, pod{
		name: "sharing", more: "securityContext: {fsGroup: 2000}, volumes: [{name: data, emptyDir: {}}], initContainers: [" + init + "],",
		containers: []container{
			{name: "writer", command: "umask 002; id -u >>/data/dir/file; echo $? >/data/written; sleep 1000000", more: data + "securityContext: {runAsUser: 1000}"},
			{name: "reader", more: data},
		},
	})
	eventually(t, "the writer writes", func() error {
		_, err := ns.try("", "exec", "sharing", "-c", "reader", "--", "test", "-s", "/data/written")
		return err
	})
	out := ns.exec(t, "sharing", "reader", "sh", "-c", "cat /data/dir/file; echo appended >>/data/dir/file; stat -c '%u %g' /data/dir/file; stat -c '%u %g' /data/written")
	if want := "prepared\n1000\n10001 2000\n1000 2000\n"; out != want {
		t.Errorf("%q, want %q", out, want)
	}
}

// TestServiceAccountToken: the token can be read by whom runclamp assigns, and by a user that the pod names.
func TestServiceAccountToken(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t, "token")
	named := one("named", "")
	named.more = "securityContext: {runAsUser: 1000},"
	grouped := one("grouped", "")
	grouped.more = "securityContext: {fsGroup: 2000},"
	ns.run(t, one("assigned", ""), named, grouped)
	for _, p := range []string{"assigned", "named", "grouped"} {
		for _, file := range []string{"token", "ca.crt", "namespace"} {
			if out := ns.exec(t, p, "main", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/"+file); out == "" {
				t.Errorf("%s: %s is empty", p, file)
			}
		}
	}
}

// TestRollout: a Deployment changes its pods without ever having fewer than it should.
func TestRollout(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t, "rollout")
	ns.apply(t, `{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: 2, selector: {matchLabels: {app: web}},
strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}, template: {metadata: {labels: {app: web}}, spec: {
runtimeClassName: runclamp, terminationGracePeriodSeconds: 1, containers: [`+list([]container{{
		name: "main", command: "echo $GENERATION >/tmp/index.html; httpd -f -p 8080 -h /tmp",
		more: `env: [{name: GENERATION, value: "1"}], readinessProbe: {httpGet: {port: 8080, path: /}, periodSeconds: 1}`,
	}})+"]}}}}")
	ns.must(t, "rollout", "status", "deployment/web", "--timeout=100s")
	ns.must(t, "set", "env", "deployment/web", "GENERATION=2")
	eventually(t, "the rollout ends", func() error {
		out := ns.must(t, "get", "deployment", "web", "-o", "jsonpath={.status.availableReplicas} {.status.updatedReplicas} {.status.replicas} {.status.observedGeneration}")
		available, _, _ := strings.Cut(out, " ")
		if n, err := strconv.Atoi(available); err != nil || n < 2 {
			t.Fatalf("only %q replicas are available", available)
		}
		if out != "2 2 2 2" {
			return fmt.Errorf("it has %s", out)
		}
		return nil
	})
	var pods struct {
		Items []struct {
			Metadata struct{ Name, DeletionTimestamp string }
		}
	}
	if err := json.Unmarshal([]byte(ns.must(t, "get", "pods", "-l", "app=web", "-o", "json")), &pods); err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, p := range pods.Items {
		if p.Metadata.DeletionTimestamp == "" {
			asked++
			if out := ns.exec(t, p.Metadata.Name, "main", "wget", "-qO-", "http://127.0.0.1:8080/"); out != "2\n" {
				t.Errorf("%s is of generation %q", p.Metadata.Name, out)
			}
		}
	}
	if asked != 2 {
		t.Errorf("%d pods were asked", asked)
	}
}

// TestDeletedPodsLeaveNothing: no container, no bundle, no record of runc's. Those that were refused neither.
func TestDeletedPodsLeaveNothing(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t, "deleted")
	ns.run(t, one("ran", ""))
	ns.apply(t, one("refused", "securityContext: {privileged: true}").manifest())
	ns.events(t, "refused", "runclamp: refused: privileged")
	known := func() (ids []string) {
		out, err := ctr("containers", "list", "--quiet", "labels.\"io.kubernetes.pod.namespace\"=="+string(ns))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(out)
	}
	ids := known()
	if len(ids) < 3 { // a sandbox and a container; and the other's sandbox
		t.Fatalf("there are only %v", ids)
	}
	ns.delete(t, "ran", "refused")
	eventually(t, "nothing is left", func() error {
		left := known()
		for _, id := range ids {
			for _, dir := range []string{bundles, runcRoot} {
				found, err := filepath.Glob(filepath.Join(dir, id))
				if err != nil {
					return err
				}
				left = append(left, found...)
			}
		}
		if len(left) > 0 {
			return fmt.Errorf("%v", left)
		}
		return nil
	})
}
