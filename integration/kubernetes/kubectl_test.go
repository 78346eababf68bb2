package kubernetes

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// namespace is one of Kubernetes', made for a test and gone after it.
type namespace string

func newNamespace(t *testing.T, name string, labels ...string) namespace {
	t.Helper()
	ns := namespace(name)
	kubectl(t, "create", "namespace", name)
	t.Cleanup(func() {
		if _, err := command("", "kubectl", "delete", "namespace", name, "--wait=false"); err != nil {
			t.Error(err)
		}
	})
	for _, label := range labels {
		kubectl(t, "label", "namespace", name, label)
	}
	// Without it no pod is admitted.
	eventually(t, "the service account of "+name, func() error {
		_, err := ns.try("", "get", "serviceaccount", "default")
		return err
	})
	return ns
}

func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := command("", append([]string{"kubectl"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (ns namespace) try(stdin string, args ...string) (string, error) {
	return command(stdin, append([]string{"kubectl", "--namespace", string(ns)}, args...)...)
}

func (ns namespace) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := ns.try("", args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (ns namespace) apply(t *testing.T, manifest string) {
	t.Helper()
	if _, err := ns.try(manifest, "apply", "-f", "-"); err != nil {
		t.Fatalf("%v\n%s", err, manifest)
	}
}

// run applies pods and waits until they are ready.
func (ns namespace) run(t *testing.T, pods ...pod) {
	t.Helper()
	for _, p := range pods {
		ns.apply(t, p.manifest())
	}
	for _, p := range pods {
		if out, err := ns.try("", "wait", "--for=condition=Ready", "pod/"+p.name, "--timeout=60s"); err != nil {
			described, describeErr := ns.try("", "describe", "pod", p.name)
			t.Fatalf("%v %s\n%s%v", err, out, described, describeErr)
		}
	}
}

// exec is what a command in a container prints.
func (ns namespace) exec(t *testing.T, pod, container string, argv ...string) string {
	t.Helper()
	return ns.must(t, append([]string{"exec", pod, "--container", container, "--"}, argv...)...)
}

// delete deletes pods and waits until the kubelet has confirmed that they are gone.
func (ns namespace) delete(t *testing.T, pods ...string) {
	t.Helper()
	ns.must(t, append([]string{"delete", "pod", "--timeout=60s"}, pods...)...)
}

// events waits until a pod's events have a text, and until "kubectl describe" shows it.
func (ns namespace) events(t *testing.T, pod, want string) {
	t.Helper()
	eventually(t, pod+" has an event with "+want, func() error {
		out, err := ns.try("", "get", "events", "--field-selector", "involvedObject.name="+pod, "-o", `jsonpath={range .items[*]}{.reason}: {.message}{"\n"}{end}`)
		if err == nil && !strings.Contains(out, want) {
			err = errors.New(out)
		}
		return err
	})
	if out := ns.must(t, "describe", "pod", pod); !strings.Contains(out, want) {
		t.Errorf("kubectl describe shows\n%s\nwant %s", out, want)
	}
}

// containerID is that of one of a pod's containers.
func (ns namespace) containerID(t *testing.T, pod, container string) string {
	t.Helper()
	out := ns.must(t, "get", "pod", pod, "-o", fmt.Sprintf(`jsonpath={.status.containerStatuses[?(@.name=="%s")].containerID}`, container))
	id, ok := strings.CutPrefix(out, "containerd://")
	if !ok {
		t.Fatalf("the ID of %s in %s is %q", container, pod, out)
	}
	return id
}

// restarts is how often a pod's containers have been started again.
func (ns namespace) restarts(t *testing.T, pod string) string {
	t.Helper()
	return ns.must(t, "get", "pod", pod, "-o", "jsonpath={.status.containerStatuses[*].restartCount}")
}

// seenFromHost is the status of a container's first process, and its mounts, as the host's /proc has them.
func seenFromHost(t *testing.T, id string) (status map[string]string, mounts string) {
	t.Helper()
	pid, err1 := os.ReadFile(filepath.Join(bundles, id, "init.pid"))
	text, err2 := os.ReadFile(filepath.Join("/proc", string(pid), "status"))
	table, err3 := os.ReadFile(filepath.Join("/proc", string(pid), "mounts"))
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return parseStatus(string(text)), string(table)
}

// parseStatus reads /proc/PID/status.
func parseStatus(text string) map[string]string {
	status := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		status[key] = strings.Join(strings.Fields(value), " ")
	}
	return status
}

// expect holds fields of a process's status against what they should be.
func expect(t *testing.T, who string, status, want map[string]string) {
	t.Helper()
	for field, value := range want {
		if status[field] != value {
			t.Errorf("%s: %s is %q, want %q", who, field, status[field], value)
		}
	}
}

// clamped is the status of a process of that user under the preset hardened.
func clamped(uid string) map[string]string {
	four := strings.Repeat(uid+" ", 3) + uid
	none := "0000000000000000"
	return map[string]string{
		"Uid": four, "CapInh": none, "CapPrm": none, "CapEff": none, "CapBnd": none, "CapAmb": none, "NoNewPrivs": "1", "Seccomp": "2",
	}
}

// pod is the manifest of one, in the parts that tests differ in. more goes into its spec.
type pod struct {
	name, class, metadata, more string
	containers                  []container
}

// container is one of a pod's. It sleeps unless it has a command; more goes into its manifest.
type container struct{ name, command, more string }

// manifest is YAML. The class is runclamp unless there is another; "none" is none.
func (p pod) manifest() string {
	class := "runtimeClassName: runclamp, "
	switch p.class {
	case "":
	case "none":
		class = ""
	default:
		class = "runtimeClassName: " + p.class + ", "
	}
	return fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: %s, %s}, spec: {%sterminationGracePeriodSeconds: 1, %s containers: [%s]}}",
		p.name, p.metadata, class, p.more, list(p.containers))
}

func list(containers []container) string {
	var all []string
	for _, c := range containers {
		if c.command == "" {
			c.command = "sleep 1000000"
		}
		all = append(all, fmt.Sprintf("{name: %s, image: %q, imagePullPolicy: Never, command: [sh, -c, %q], %s}", c.name, image, c.command, c.more))
	}
	return strings.Join(all, ", ")
}

// one is a pod with one container.
func one(name, more string) pod {
	return pod{name: name, containers: []container{{name: "main", more: more}}}
}

// nothingIsLeft waits until the pods of all tests are gone, and containerd, runc and the bundles' folder know of none.
func nothingIsLeft() error {
	return waitFor(100*time.Second, func() error {
		pods, err := command("", "kubectl", "get", "pods", "--all-namespaces", "--output", "name")
		known, ctrErr := ctr("containers", "list", "--quiet")
		if err := errors.Join(err, ctrErr); err != nil {
			return err
		}
		left := strings.Fields(pods + " " + known)
		for _, dir := range []string{bundles, runcRoot} {
			paths, err := filepath.Glob(filepath.Join(dir, "*"))
			if err != nil {
				return err
			}
			left = append(left, paths...)
		}
		if len(left) > 0 {
			return fmt.Errorf("left behind by pods that were deleted: %s", strings.Join(left, " "))
		}
		return nil
	})
}

func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	if err := waitFor(100*time.Second, check); err != nil {
		t.Fatalf("it did not happen: %s: %v", what, err)
	}
}

func waitFor(patience time.Duration, check func() error) error {
	for deadline := time.Now().Add(patience); ; <-time.After(200 * time.Millisecond) {
		err := check()
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// exitStatus is that of a command that failed.
func exitStatus(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return -1
}
