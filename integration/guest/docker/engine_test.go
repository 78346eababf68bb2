// Package docker has the tests of a real Docker on a machine whose kernel has AppArmor, with runclamp for its default runtime. They run
// in a guest (make e2e-guest), as root, with no network and no Go.
package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"runclamp/enforce/apparmor"
	"runclamp/integration/demo/fixture"
	"runclamp/integration/guest/confinement"
)

const (
	conf = "/etc/runclamp" // of the guest's runclamp
	log  = "/var/log/runclamp/audit.jsonl"
	// programs are Docker's (setup.sh).
	programs = "/docker"
	// image is the one that there is.
	image = "bb"
	// dockers is the profile that dockerd loads, and names for a container that names none.
	dockers = "docker-default"
	// head is how each policy begins: what is said to be confined is.
	head = "apiVersion: runclamp/v1\naudit: {log: " + log + "}\n"
)

// engine is Docker: its two daemons, and the folder that they were started with. All tests share it.
type engine struct {
	dir string
	// daemons has containerd and dockerd, as far as they were started.
	daemons []*daemon
}

// daemon is a program that was started. ended gets what became of it.
type daemon struct {
	*exec.Cmd
	ended chan error
}

// containerdConfig is what dockerd would write for a containerd that it starts itself. It gives that 15 seconds, which are too few for an
// emulated processor of a busy machine.
const containerdConfig = `version = 2
root = "%[1]s/data/containerd/daemon"
state = "%[1]s/exec/containerd/daemon"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.podsandbox.controller.v1.podsandbox"]
[grpc]
address = "%[1]s/containerd.sock"
`

var shared struct {
	sync.Once
	engine
	err error
}

func TestMain(m *testing.M) {
	status := m.Run()
	if err := shared.stop(); err != nil {
		fmt.Println("FAIL: Docker is not stopped:", err)
		status = max(status, 1)
	}
	os.Exit(status)
}

// start is the engine, with a policy for the containers that are made from now on: what stands in it besides the version and the audit
// log. No profile is loaded but Docker's own. Tests share all that, so none may be parallel to another.
func start(t *testing.T, policy string) *engine {
	t.Helper()
	if os.Getenv("RUNCLAMP_GUEST") == "" {
		t.Skip("left out: it needs the guest's kernel and a Docker in it (make e2e-guest)")
	}
	shared.Do(func() { shared.err = shared.up() })
	if shared.err != nil {
		t.Fatalf("Docker does not start: %v\n%s", shared.err, shared.said())
	}
	for _, p := range confinement.Loaded(t) {
		if p.Name != dockers {
			if err := apparmor.ThisHost("").Unload(p.Name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(conf, "policy.yaml"), []byte(head+policy), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(shared.said())
		}
	})
	return &shared.engine
}

func (e *engine) up() (err error) {
	if e.dir, err = os.MkdirTemp("/var/lib", "docker"); err != nil {
		return err
	}
	delegate := os.Getenv("RUNCLAMP_TEST_RUNC")
	config, err := json.Marshal(map[string]any{
		"default-runtime": "runclamp",
		"runtimes": map[string]any{
			"runclamp":     map[string]string{"path": "/programs/runclamp"},
			"bare":         map[string]string{"path": delegate},
			"remove-first": map[string]string{"path": e.file("remove-first")},
			"remove-late":  map[string]string{"path": e.file("remove-late")},
		},
		"exec-opts": []string{"native.cgroupdriver=cgroupfs"},
	})
	err = errors.Join(err,
		os.Chmod(e.dir, 0o755),
		os.Mkdir(conf, 0o755),
		os.MkdirAll(filepath.Dir(filepath.Dir(log)), 0o755),
		os.Symlink(delegate, filepath.Join(conf, "delegate")),
		os.WriteFile(e.file("remove-first"), []byte(fmt.Sprintf(remover, "create")), 0o755),
		os.WriteFile(e.file("remove-late"), []byte(fmt.Sprintf(remover, "start")), 0o755),
		os.WriteFile(e.file("daemon.json"), config, 0o644),
		os.WriteFile(e.file("containerd.toml"), []byte(fmt.Sprintf(containerdConfig, e.dir)), 0o644),
		os.Mkdir(e.file("data"), 0o755),
		// As a machine with a disk has it: the root of an initramfs is none that an overlay can be made of.
		syscall.Mount("tmpfs", e.file("data"), "tmpfs", 0, "mode=755"))
	if err != nil {
		return err
	}
	socket := e.file("containerd.sock")
	dial := func() error {
		c, err := net.Dial("unix", socket)
		if err == nil {
			err = c.Close()
		}
		return err
	}
	if err := e.begin(dial, "containerd", "--config", e.file("containerd.toml")); err != nil {
		return err
	}
	version := func() error {
		out, err := e.docker("version")
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		return err
	}
	if err := e.begin(version, "dockerd", "--containerd", socket, "--config-file", e.file("daemon.json"), "--data-root", e.file("data"), "--exec-root", e.file("exec"),
		"-H", e.host(), "--pidfile", e.file("pid"), "--iptables=false", "--ip6tables=false", "--bridge=none", "--userland-proxy=false", "--storage-driver", "overlay2"); err != nil {
		return err
	}
	return e.makeImage()
}

// begin starts a daemon, and waits until it answers.
func (e *engine) begin(answers func() error, program string, args ...string) error {
	out, err := os.OpenFile(e.file("log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	d := &daemon{exec.Command(filepath.Join(programs, program), args...), make(chan error, 1)}
	// An old client is good enough for a current daemon, if that may say so.
	d.Env = append(os.Environ(), "PATH="+programs+":/usr/sbin:/usr/bin:/sbin:/bin", "DOCKER_MIN_API_VERSION=1.40")
	d.Stdout, d.Stderr = out, out
	if err := errors.Join(d.Start(), out.Close()); err != nil {
		return err
	}
	e.daemons = append(e.daemons, d)
	go func() { d.ended <- d.Wait() }()
	for deadline := time.Now().Add(fixture.Patience); ; {
		err := answers()
		if err == nil {
			return nil
		}
		select {
		case end := <-d.ended:
			d.ended <- end
			return fmt.Errorf("%s ended: %v", program, end)
		case <-time.After(200 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not answer: %w", program, err)
		}
	}
}

// makeImage imports an image with busybox, the guest's programs, and what they ask for.
func (e *engine) makeImage() error {
	root := e.file("image")
	var errs []error
	for _, dir := range []string{"bin", "etc", "mnt", "srv", "var/lib/service"} {
		errs = append(errs, os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	for path, text := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\n", "srv/hello": "hello\n",
		// Everybody's, so that nobody but AppArmor denies it.
		"etc/shadow": "secret\n",
	} {
		errs = append(errs, os.WriteFile(filepath.Join(root, path), []byte(text), 0o644))
	}
	for _, cmd := range [][]string{
		{"cp", "/bin/busybox", filepath.Join(root, "bin")},
		{"/bin/busybox", "--install", "-s", filepath.Join(root, "bin")},
		{"cp", "/programs/attempts", "/programs/service", root},
		{"tar", "-C", root, "-cf", e.file("image.tar"), "."},
	} {
		out, err := output(exec.Command(cmd[0], cmd[1:]...))
		if err != nil {
			err = fmt.Errorf("%q: %w: %s", cmd, err, out)
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if out, err := e.docker("import", e.file("image.tar"), image); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func (e *engine) file(name string) string { return filepath.Join(e.dir, name) }

func (e *engine) host() string { return "unix://" + e.file("docker.sock") }

// said is the end of the daemons' log.
func (e *engine) said() string {
	text, err := os.ReadFile(e.file("log"))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(string(text), "\n")
	return strings.Join(lines[max(0, len(lines)-12):], "\n")
}

// stop ends the daemons, which have no containers any more.
func (e *engine) stop() error {
	for _, d := range slices.Backward(e.daemons) {
		if err := d.Process.Signal(syscall.SIGTERM); err != nil {
			return err
		}
		select {
		case <-d.ended:
		case <-time.After(fixture.Patience):
			return fmt.Errorf("%s does not end", d.Path)
		}
	}
	return nil
}

// remover is a runtime that takes Docker's profile away as soon as it is called with a verb, and then is runclamp.
const remover = `#!/bin/sh
for word in "$@"; do
    if [ "$word" = %s ]; then
        echo 'profile docker-default {}' | apparmor_parser -R || exit
    fi
done
exec /programs/runclamp "$@"
`

// docker runs docker, and gives what it has written.
func (e *engine) docker(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), fixture.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(programs, "docker"), args...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+e.host())
	return output(cmd)
}

func output(cmd *exec.Cmd) (string, error) {
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (e *engine) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := e.docker(args...)
	if err != nil {
		t.Fatalf("docker %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

// run is "docker run --rm" with flags and a program, and gives what that has written.
func (e *engine) run(flags []string, program ...string) (string, error) {
	return e.docker(append(append(append([]string{"run", "--rm", "--network", "none"}, flags...), image), program...)...)
}

// launch is "docker run -d". The container is gone after the test.
func (e *engine) launch(t *testing.T, flags []string, program ...string) (id string) {
	t.Helper()
	return e.gone(t, e.must(t, append(append(append([]string{"run", "-d", "--network", "none"}, flags...), image), program...)...))
}

// gone takes what docker has written, which is a container's name, and has the container removed after the test.
func (e *engine) gone(t *testing.T, written string) (id string) {
	t.Helper()
	id = strings.TrimSpace(written)
	t.Cleanup(func() { e.must(t, "rm", "-f", id) })
	return id
}

// waiting launches a container that has said so, and ends when it is told to.
func (e *engine) waiting(t *testing.T, flags ...string) (id string) {
	t.Helper()
	id = e.launch(t, flags, "sh", "-c", "trap 'echo told; exit 0' TERM; echo up; sleep 1000 & wait")
	e.until(t, id, "up\n")
	return id
}

// until waits until a container has written a text.
func (e *engine) until(t *testing.T, id, want string) {
	t.Helper()
	ended := false
	for deadline := time.Now().Add(fixture.Patience); ; {
		out := e.must(t, "logs", id)
		if strings.Contains(out, want) {
			return
		}
		// What it has written is asked for once more after its end, which may have come between the two.
		if ended || time.Now().After(deadline) {
			t.Fatalf("it has written %q, and not %q; ended: %v", out, want, ended)
		}
		ended = e.inspect(t, id, "State.Running") != "true"
	}
}

// inspect is a field of what Docker knows of a container.
func (e *engine) inspect(t *testing.T, id, field string) string {
	t.Helper()
	return strings.TrimSpace(e.must(t, "inspect", "-f", "{{."+field+"}}", id))
}

// label is what the kernel says that confines the container's first process.
func (e *engine) label(t *testing.T, id string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", e.inspect(t, id, "State.Pid"), "attr/current"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// confined: the container's process and all that is run in it are confined by a profile.
func (e *engine) confined(t *testing.T, id, profile string) {
	t.Helper()
	want := profile + " (enforce)"
	if got := e.label(t, id); got != want {
		t.Errorf("the container is confined by %q, want %q", got, want)
	}
	for _, flags := range [][]string{nil, {"--privileged", "-u", "0"}} {
		got, err := e.docker(append(append([]string{"exec"}, flags...), id, "cat", "/proc/self/attr/current")...)
		if err != nil || strings.TrimSpace(got) != want {
			t.Errorf("exec %q is confined by %q, want %q: %v", flags, got, want, err)
		}
	}
}

// stopped: docker stop reaches a container that was waiting. If it does not, it is killed after so long that nobody would take that
// for an end of its own.
func (e *engine) stopped(t *testing.T, id string) {
	t.Helper()
	e.must(t, "stop", "-t", "60", id)
	if status := e.inspect(t, id, "State.ExitCode"); status != "0" {
		t.Errorf("stopped, it ended with status %s", status)
	}
	if out := e.must(t, "logs", id); out != "up\ntold\n" {
		t.Errorf("stopped, it has written %q", out)
	}
}

// killed: docker kill ends a container.
func (e *engine) killed(t *testing.T, id string) {
	t.Helper()
	e.must(t, "kill", id)
	if status := strings.TrimSpace(e.must(t, "wait", id)); status != strconv.Itoa(128+int(syscall.SIGKILL)) {
		t.Errorf("killed, it ended with status %s", status)
	}
}

// decision is what of a line of the audit log is looked at.
type decision struct {
	Verb, ID, Verdict, Proof string
	Findings                 []struct{ Control, Detail, Pointer, Found, Wanted, Action string }
}

// decided is the last decision about a container at a verb. The findings are those of AppArmor.
func decided(t *testing.T, id, verb string) (last decision) {
	t.Helper()
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for l := range bytes.Lines(text) {
		var d decision
		if err := json.Unmarshal(l, &d); err != nil {
			t.Fatal(err)
		}
		if d.ID == id && d.Verb == verb {
			last = d
		}
	}
	if last.ID == "" {
		t.Fatalf("the audit log says nothing of %s of %s", verb, id)
	}
	all := last.Findings
	last.Findings = nil
	for _, f := range all {
		if f.Control == "appArmor" || f.Detail == "appArmor" {
			last.Findings = append(last.Findings, f)
		}
	}
	return last
}

// mode is that of a profile, empty if it is not loaded.
func mode(t *testing.T, name string) string {
	t.Helper()
	for _, p := range confinement.Loaded(t) {
		if p.Name == name {
			return p.Mode
		}
	}
	return ""
}
