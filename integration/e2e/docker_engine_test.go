package e2e

import (
	"cmp"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// docker is a private Docker: daemon, containerd and runc of one age.
type docker struct {
	place
	dockerd string
	// path has the daemon's containerd and shim first.
	path   string
	daemon *daemon
}

// cli is Debian's, which speaks to both.
const cli = "/usr/bin/docker"

func (d *docker) needs() []string { return []string{d.dockerd, d.delegate, cli} }

func (d *docker) up() error {
	archive, err := images.archive()
	if err := errors.Join(err, d.create(), d.install()); err != nil {
		return err
	}
	runtimes := map[string]any{}
	for name, path := range d.runtimes() {
		if name != "runc" { // Docker's own is of that name
			runtimes[name] = map[string]string{"path": path}
		}
	}
	config, err := json.Marshal(map[string]any{
		"runtimes":      runtimes,
		"cgroup-parent": d.cgroup(),
		"exec-opts":     []string{"native.cgroupdriver=cgroupfs"},
	})
	err = errors.Join(err,
		os.WriteFile(d.file("daemon.json"), config, 0o644),
		run("cp", "-a", images.root(), d.file("image")))
	if err != nil {
		return err
	}
	d.daemon, err = d.startDaemon(d.path, d.dockerd, "--config-file", d.file("daemon.json"), "--data-root", d.file("data"),
		"--exec-root", d.file("exec"), "-H", d.host(), "--pidfile", d.file("pid"),
		"--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver", "overlay2")
	if err != nil {
		return err
	}
	if err := d.daemon.ready(func() error { _, err := d.try("version"); return err }); err != nil {
		return err
	}
	_, err = d.try("load", "-i", archive)
	return err
}

func (d *docker) host() string { return "unix://" + d.file("docker.sock") }

func (d *docker) down() error {
	var errs []error
	if d.daemon != nil {
		if ids, err := d.try("ps", "-aq"); err == nil {
			for _, id := range strings.Fields(ids) {
				_, err := d.try("rm", "-f", id)
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(append(errs, d.daemon.stop(), d.wipe(true))...)
}

func (d *docker) args(c container) (args []string) {
	args = []string{"--runtime", cmp.Or(c.runtime, "runclamp"), "--network", "none"}
	for _, l := range c.labels {
		args = append(args, "--label", l)
	}
	for _, a := range c.annotations {
		args = append(args, "--annotation", a)
	}
	for _, b := range c.binds {
		args = append(args, "-v", b)
	}
	for flag, set := range map[string]bool{"--privileged": c.privileged, "-t": c.tty, "-i": c.stdin != ""} {
		if set {
			args = append(args, flag)
		}
	}
	return append(append(args, "bb"), c.args...)
}

func (d *docker) output(c container) (string, error) {
	args := append([]string{"run", "--rm"}, d.args(c)...)
	if c.tty {
		return d.onTerminal(c.stdin, args...)
	}
	return d.tryWith(c.stdin, args...)
}

func (d *docker) launch(c container) (string, error) {
	out, err := d.try(append([]string{"run", "-d"}, d.args(c)...)...)
	return strings.TrimSpace(out), err
}

func (d *docker) running(id string) (bool, error) {
	out, err := d.try("inspect", "-f", "{{.State.Running}}", id)
	return strings.TrimSpace(out) == "true", err
}

func (d *docker) stop(id string) error {
	_, err := d.try("stop", "-t", "60", id)
	return err
}

func (d *docker) kill(id string) error {
	_, err := d.try("kill", id)
	return err
}

func (d *docker) remove(id string) error {
	_, err := d.try("rm", "-f", "-v", id)
	return err
}

func (d *docker) entries() []entry {
	flags := func(flags ...string) func(id, stdin string, args ...string) (string, error) {
		return func(id, stdin string, args ...string) (string, error) {
			return d.tryWith(stdin, append(append(append([]string{"exec", "-i"}, flags...), id), args...)...)
		}
	}
	return []entry{
		{"docker exec", false, flags()},
		{"docker exec, root", false, flags("-u", "0")},
		{"docker exec, privileged root", false, flags("--privileged", "-u", "0:0")},
		{"docker exec, terminal", true, func(id, stdin string, args ...string) (string, error) {
			return d.onTerminal(stdin, append([]string{"exec", "-it", "-u", "0", id}, args...)...)
		}},
	}
}

func (d *docker) writes() []string { return everydayWrites() }

// everydayWrites are the mount points that a plain container can write to.
func everydayWrites() []string {
	return []string{"/dev/mqueue", "/dev/shm", "/run", "/tmp", "/var/tmp"}
}

// firstDocker serves a test that is about runclamp itself and not about the engine.
func firstDocker(t *testing.T) *docker {
	t.Helper()
	for _, l := range engines {
		if _, ok := l.engine.(*docker); ok {
			return l.started(t).(*docker)
		}
	}
	t.Fatal("there is no Docker to test with")
	return nil
}

// try runs the docker command.
func (d *docker) try(args ...string) (string, error) { return d.tryWith("", args...) }

func (d *docker) tryWith(stdin string, args ...string) (string, error) {
	return command(d.environ("DOCKER_HOST="+d.host()), stdin, append([]string{cli}, args...)...)
}

// onTerminal runs the docker command on a terminal of its own.
func (d *docker) onTerminal(typed string, args ...string) (string, error) {
	return onTerminal(d.environ("DOCKER_HOST="+d.host()), typed, append([]string{cli}, args...)...)
}

func (d *docker) mustOnTerminal(t *testing.T, args ...string) string {
	t.Helper()
	out, err := d.onTerminal("", args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
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
		if err := d.remove(id); err != nil {
			t.Error(err)
		}
	})
	return id
}

// bundle is where the engine keeps a container's bundle.
func (d *docker) bundle(t *testing.T, id string) string {
	t.Helper()
	found, err := filepath.Glob(d.file("exec/containerd/daemon/io.containerd.runtime.v2.task/moby", id))
	if err != nil || len(found) != 1 {
		t.Fatalf("the bundle of %s: %v, %v", id, found, err)
	}
	return found[0]
}

// root is the delegate's folder of records for a container's runtime.
func (d *docker) root(t *testing.T, id string) string {
	t.Helper()
	for _, pattern := range []string{"exec/runtime-*/moby/", "exec/*/*/moby/", "exec/*/moby/"} {
		found, err := filepath.Glob(d.file(pattern, id, "state.json"))
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
