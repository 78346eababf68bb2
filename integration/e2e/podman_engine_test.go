package e2e

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"
)

// podman has no daemon: its place is a configuration and folders.
type podman struct{ place }

const podmanProgram = "/usr/bin/podman"

// podmanConfig: nothing is shared with a Podman of the host. Raising a limit above one's own needs CAP_SYS_RESOURCE, which
// not every machine that tests has.
const podmanConfig = `
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "%[1]s/runclamp"
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
static_dir = "%[1]s/static"
tmp_dir = "%[1]s/tmp"
volume_path = "%[1]s/volumes"
[network]
network_config_dir = "%[1]s/networks"
`

func (p *podman) needs() []string { return []string{podmanProgram, "/usr/bin/conmon", p.delegate} }

func (p *podman) up() error {
	archive, err := images.archive()
	if err := errors.Join(err, p.create(), p.install()); err != nil {
		return err
	}
	if err := os.WriteFile(p.file("containers.conf"), []byte(fmt.Sprintf(podmanConfig, p.dir)), 0o644); err != nil {
		return err
	}
	_, err = p.do("load", "-i", archive)
	return err
}

func (p *podman) do(args ...string) (string, error) { return p.doWith("", args...) }

func (p *podman) doWith(stdin string, args ...string) (string, error) {
	return command(p.environ("CONTAINERS_CONF="+p.file("containers.conf")), stdin, p.argv(args...)...)
}

func (p *podman) argv(args ...string) []string {
	return append([]string{podmanProgram, "--root", p.file("root"), "--runroot", p.file("run"), "--storage-driver", "overlay"}, args...)
}

func (p *podman) onTerminal(typed string, args ...string) (string, error) {
	return onTerminal(p.environ("CONTAINERS_CONF="+p.file("containers.conf")), typed, p.argv(args...)...)
}

func (p *podman) down() error {
	if p.dir == "" {
		return nil
	}
	_, err := p.do("rm", "--all", "--force", "--time", "0")
	return errors.Join(err, p.wipe(true))
}

func (p *podman) args(c container) (args []string) {
	args = []string{"--network", "none", "--cgroup-parent", p.cgroup()}
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
	return append(append(args, bb), c.args...)
}

func (p *podman) output(c container) (string, error) {
	args := append([]string{"--runtime", p.runtimes()[cmp.Or(c.runtime, "runclamp")], "run", "--rm"}, p.args(c)...)
	if c.tty {
		return p.onTerminal(c.stdin, args...)
	}
	return p.doWith(c.stdin, args...)
}

func (p *podman) launch(c container) (string, error) {
	out, err := p.do(append([]string{"--runtime", p.runtimes()[cmp.Or(c.runtime, "runclamp")], "run", "-d"}, p.args(c)...)...)
	return strings.TrimSpace(out), err
}

func (p *podman) running(id string) (bool, error) {
	out, err := p.do("inspect", "--format", "{{.State.Running}}", id)
	return strings.TrimSpace(out) == "true", err
}

func (p *podman) stop(id string) error {
	_, err := p.do("stop", "--time", "60", id)
	return err
}

func (p *podman) kill(id string) error {
	_, err := p.do("kill", id)
	return err
}

// remove does not wait for a PID 1 that ignores signals.
func (p *podman) remove(id string) error {
	_, err := p.do("rm", "--force", "--time", "0", "--volumes", id)
	return err
}

func (p *podman) entries() []entry {
	flags := func(flags ...string) func(id, stdin string, args ...string) (string, error) {
		return func(id, stdin string, args ...string) (string, error) {
			return p.doWith(stdin, append(append(append([]string{"exec", "-i"}, flags...), id), args...)...)
		}
	}
	return []entry{
		{"podman exec", false, flags()},
		{"podman exec, root", false, flags("-u", "0")},
		{"podman exec, privileged root", false, flags("--privileged", "-u", "0")},
		{"podman exec, terminal", true, func(id, stdin string, args ...string) (string, error) {
			return p.onTerminal(stdin, append([]string{"exec", "-it", "-u", "0", id}, args...)...)
		}},
	}
}

func (p *podman) writes() []string { return everydayWrites() }
