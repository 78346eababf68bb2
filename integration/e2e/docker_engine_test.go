package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// docker is a private Docker: daemon, containerd and runc of one age, and a runclamp whose delegate is that runc.
type docker struct {
	name string
	// dir is root's own; all the engine has lies in it.
	dir, runclamp, conf, runc string
	cmd                       *exec.Cmd
	exited                    chan error
}

// generation is what the tests are run with: the oldest Docker that users still run, and the current one.
type generation struct {
	name, dockerd, runc string
	// path has the daemon's containerd and shim first.
	path string
}

func generations() []generation {
	tools := os.Getenv("RUNCLAMP_E2E_TOOLS")
	system := "/usr/sbin:/usr/bin:/sbin:/bin"
	return []generation{
		{"docker-20.10", "/usr/sbin/dockerd", "/usr/sbin/runc", system},
		{"docker-current", filepath.Join(tools, "dockerd"), filepath.Join(tools, "runc"), tools + ":" + system},
	}
}

// cli is Debian's, which speaks to both.
const cli = "/usr/bin/docker"

// engines are started once and shared by the tests.
var engines []*docker

func TestMain(m *testing.M) { os.Exit(withEngines(m)) }

func withEngines(m *testing.M) (status int) {
	if os.Geteuid() != 0 {
		fmt.Println("e2e: FAILED: engines need root")
		return 1
	}
	var leftOut []string
	for _, g := range generations() {
		missing := ""
		for _, program := range []string{g.dockerd, g.runc, cli} {
			if _, err := os.Stat(program); err != nil {
				missing = err.Error()
			}
		}
		if missing != "" {
			leftOut = append(leftOut, fmt.Sprintf("%s: %s (integration/e2e/setup.sh builds it)", g.name, missing))
			continue
		}
		d, err := startDocker(g)
		if d != nil {
			engines = append(engines, d)
			defer func() {
				if err := d.stop(); err != nil {
					fmt.Printf("e2e: FAILED to clean up %s: %v\n", d.name, err)
					status = 1
				}
			}()
		}
		if err != nil {
			fmt.Printf("e2e: FAILED to start %s: %v\n", g.name, err)
			return 1
		}
	}
	status = m.Run()
	if status != 0 {
		for _, d := range engines {
			d.showLog()
		}
	}
	for _, l := range leftOut {
		fmt.Println("e2e: LEFT OUT:", l)
	}
	if len(leftOut) > 0 && os.Getenv("RUNCLAMP_E2E_ALL") != "" {
		fmt.Println("e2e: FAILED: RUNCLAMP_E2E_ALL is set, and something was left out")
		status = 1
	}
	return status
}

func forEachDocker(t *testing.T, f func(t *testing.T, d *docker)) {
	t.Helper()
	if len(engines) == 0 {
		t.Fatal("there is no engine to test with")
	}
	for _, d := range engines {
		t.Run(d.name, func(t *testing.T) { f(t, d) })
	}
}

func startDocker(g generation) (*docker, error) {
	dir, err := os.MkdirTemp("/var/lib", "runclamp-e2e-")
	if err != nil {
		return nil, err
	}
	d := &docker{
		name: g.name, dir: dir, runclamp: filepath.Join(dir, "runclamp"), conf: filepath.Join(dir, "conf"),
		runc: filepath.Join(dir, "runc"), exited: make(chan error, 1),
	}
	runtimes := map[string]any{"runclamp": map[string]string{"path": d.runclamp}, "record": map[string]string{"path": filepath.Join(dir, "record")}}
	config, err := json.Marshal(map[string]any{"runtimes": runtimes})
	if err != nil {
		return d, err
	}
	err = errors.Join(
		os.Chmod(dir, 0o755),
		os.Mkdir(d.conf, 0o755),
		os.WriteFile(filepath.Join(dir, "daemon.json"), config, 0o644),
		os.WriteFile(filepath.Join(dir, "record"), []byte(fmt.Sprintf(recordScript, dir, d.runclamp)), 0o755),
		os.Mkdir(filepath.Join(dir, "recorded"), 0o755),
		run("install", "-m", "0755", g.runc, d.runc),
		os.Symlink(d.runc, filepath.Join(d.conf, "delegate")),
		build("../..", d.runclamp, "-ldflags", "-X main.confDir="+d.conf, "./cmd/runclamp"),
	)
	if err != nil {
		return d, err
	}

	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return d, err
	}
	defer log.Close()
	d.cmd = exec.Command(g.dockerd, "--config-file", filepath.Join(dir, "daemon.json"), "--data-root", filepath.Join(dir, "data"),
		"--exec-root", filepath.Join(dir, "exec"), "-H", d.host(), "--pidfile", filepath.Join(dir, "pid"),
		"--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver", "overlay2")
	// An old CLI is good enough for a current daemon, if the daemon may say so.
	d.cmd.Env = append(os.Environ(), "PATH="+g.path, "DOCKER_MIN_API_VERSION=1.40")
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGTERM}
	if err := d.cmd.Start(); err != nil {
		return d, err
	}
	go func() { d.exited <- d.cmd.Wait() }()
	if err := d.ready(); err != nil {
		d.showLog()
		return d, err
	}
	return d, d.importImages()
}

// recordScript is a runtime that keeps what the engine sent, and then is runclamp.
const recordScript = `#!/bin/sh
previous=
for word in "$@"; do
    case $previous in
    --bundle) cp "$word/config.json" %[1]s/recorded/config.json ;;
    --process) cp "$word" %[1]s/recorded/process.json ;;
    esac
    previous=$word
done
exec %[2]s "$@"
`

func (d *docker) host() string { return "unix://" + filepath.Join(d.dir, "docker.sock") }

func (d *docker) ready() error {
	for deadline := time.Now().Add(60 * time.Second); ; {
		_, err := d.try("version")
		if err == nil {
			return nil
		}
		select {
		case exit := <-d.exited:
			d.exited <- exit
			return fmt.Errorf("dockerd ended: %v", exit)
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("dockerd does not answer: %w", err)
		}
	}
}

// importImages makes the image "bb": busybox, the probe, and a few users.
func (d *docker) importImages() error {
	root := filepath.Join(d.dir, "image")
	var errs []error
	for _, dir := range []string{"bin", "etc", "tmp", "usr/lib", "root", "var/tmp", "run/in-image", "data", "owned"} {
		errs = append(errs, os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	file := func(path, text string, mode os.FileMode) {
		errs = append(errs, os.WriteFile(filepath.Join(root, path), []byte(text), mode), os.Chmod(filepath.Join(root, path), mode))
	}
	file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:10001:10001:app:/home/app:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n", 0o644)
	file("etc/group", "root:x:0:root\ndisk:x:6:root\napp:x:10001:\n", 0o644)
	file("etc/shadow", "root:*::::::::\n", 0o600)
	errs = append(errs,
		os.Chmod(filepath.Join(root, "tmp"), 0o1777), os.Chmod(filepath.Join(root, "var/tmp"), 0o1777), os.Chmod(filepath.Join(root, "root"), 0o700),
		os.Chown(filepath.Join(root, "owned"), 10001, 10001),
		run("cp", "/bin/busybox", filepath.Join(root, "bin/busybox")),
		run("chroot", root, "/bin/busybox", "--install", "-s", "/bin"),
		build(".", filepath.Join(root, "bin/probe"), "./probe"),
		run("sh", "-c", fmt.Sprintf("tar -C %s -c . | DOCKER_HOST=%s %s import --change 'CMD [\"/bin/sh\"]' - bb:latest", root, d.host(), cli)))
	return errors.Join(errs...)
}

// stop ends what was started here and nothing else: the containers, the daemon, and whatever has its files in our folder.
func (d *docker) stop() error {
	var errs []error
	if d.cmd != nil && d.cmd.Process != nil {
		if ids, err := d.try("ps", "-aq"); err == nil {
			for _, id := range strings.Fields(ids) {
				_, err := d.try("rm", "-f", id)
				errs = append(errs, err)
			}
		}
		errs = append(errs, d.cmd.Process.Signal(unix.SIGTERM))
		select {
		case <-d.exited:
		case <-time.After(30 * time.Second):
			errs = append(errs, errors.New("dockerd does not end"), d.cmd.Process.Kill())
		}
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	errs = append(errs, err)
	lines := strings.Split(string(mounts), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if fields := strings.Fields(lines[i]); len(fields) > 1 && strings.HasPrefix(fields[1], d.dir+"/") {
			errs = append(errs, unix.Unmount(fields[1], unix.MNT_DETACH))
		}
	}
	return errors.Join(append(errs, os.RemoveAll(d.dir))...)
}

func (d *docker) showLog() {
	text, err := os.ReadFile(filepath.Join(d.dir, "log"))
	if err != nil {
		fmt.Println(err)
		return
	}
	lines := strings.Split(string(text), "\n")
	fmt.Printf("--- the last lines of %s\n%s\n", d.name, strings.Join(lines[max(0, len(lines)-40):], "\n"))
}

// try runs the docker command.
func (d *docker) try(args ...string) (string, error) { return d.tryWith("", args...) }

func (d *docker) tryWith(stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, cli, args...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+d.host())
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("docker %s: %w: %s%s", strings.Join(args, " "), err, &stdout, &stderr)
	}
	return stdout.String(), nil
}

func (d *docker) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := d.try(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// run is "docker run --rm" under runclamp.
func (d *docker) run(t *testing.T, args ...string) string {
	t.Helper()
	return d.must(t, append([]string{"run", "--rm", "--runtime", "runclamp", "--network", "none"}, args...)...)
}

// start is "docker run -d" under a runtime. The container is gone after the test.
func (d *docker) start(t *testing.T, runtime string, args ...string) (id string) {
	t.Helper()
	id = strings.TrimSpace(d.must(t, append([]string{"run", "-d", "--runtime", runtime, "--network", "none"}, args...)...))
	t.Cleanup(func() {
		if _, err := d.try("rm", "-f", "-v", id); err != nil {
			t.Error(err)
		}
	})
	return id
}

// bundle is where the engine keeps a container's bundle.
func (d *docker) bundle(t *testing.T, id string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(d.dir, "exec/containerd/daemon/io.containerd.runtime.v2.task/moby", id))
	if err != nil || len(found) != 1 {
		t.Fatalf("the bundle of %s: %v, %v", id, found, err)
	}
	return found[0]
}

// root is the delegate's folder of records for a container's runtime.
func (d *docker) root(t *testing.T, id string) string {
	t.Helper()
	for _, pattern := range []string{"exec/runtime-*/moby/", "exec/*/*/moby/", "exec/*/moby/"} {
		found, err := filepath.Glob(filepath.Join(d.dir, pattern, id, "state.json"))
		if err == nil && len(found) == 1 {
			return filepath.Dir(filepath.Dir(found[0]))
		}
	}
	if found, err := filepath.Glob(filepath.Join("/run/docker/runtime-*/moby", id, "state.json")); err == nil && len(found) == 1 {
		return filepath.Dir(filepath.Dir(found[0]))
	}
	t.Fatalf("no record of %s", id)
	return ""
}

// seen is what the probe tells (integration/e2e/probe).
type seen struct {
	Status      map[string]string
	Env         []string
	Cwd         string
	Descriptors []string
	Mounts      []struct {
		Point, Type, Options string
		Writable, Exec       bool
	}
	Args []string
	TTY  bool
}

func parseSeen(t *testing.T, out string) seen {
	t.Helper()
	var s seen
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return s
}

// run calls a program to its end.
func run(program string, args ...string) error {
	cmd := exec.Command(program, args...)
	if out, err := output(cmd); err != nil {
		return fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, out)
	}
	return nil
}

// output runs a command and is what it prints, to either stream. It goes into a file and not into a pipe, which a container
// that the command leaves behind would keep open.
func output(cmd *exec.Cmd) (text []byte, err error) {
	out, err := os.CreateTemp("", "runclamp-e2e-output-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, out.Close(), os.Remove(out.Name())) }()
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Run()
	text, readErr := os.ReadFile(out.Name())
	return text, errors.Join(err, readErr)
}

// build makes a static program of a package in dir.
func build(dir, out string, args ...string) error {
	cmd := exec.Command("go", append([]string{"build", "-trimpath", "-o", out}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w: %s", strings.Join(args, " "), err, text)
	}
	return nil
}

// eventually waits for something, without guessing how long it takes.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("it did not happen: %s", what)
		}
		<-time.After(50 * time.Millisecond)
	}
}
