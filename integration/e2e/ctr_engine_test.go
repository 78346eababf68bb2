package e2e

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
)

// ctr is containerd without the CRI, as its own command uses it, and in the same way nerdctl.
type ctr struct {
	*containerd
	made atomic.Int32
}

const ctrNamespace = "default"

func (c *ctr) do(args ...string) (string, error) { return c.containerd.ctr(ctrNamespace, "", args...) }

func (c *ctr) next(prefix string) string { return fmt.Sprintf("%s%d", prefix, c.made.Add(1)) }

func (c *ctr) down() error {
	out, err := c.do("containers", "list", "-q")
	errs := []error{err}
	for _, id := range strings.Fields(out) {
		errs = append(errs, c.remove(id))
	}
	return errors.Join(append(errs, c.shut())...)
}

// args are those of "ctr run". ctr takes programs by absolute path only.
func (c *ctr) args(con container, id string, more ...string) []string {
	args := append([]string{"run", "--runc-binary", c.runtimes()[cmp.Or(con.runtime, "runclamp")], "--runc-root", c.file("state", "runc"), "--cgroup", c.cgroup() + "/" + id}, more...)
	for _, l := range con.labels {
		args = append(args, "--label", l)
	}
	for _, a := range con.annotations {
		args = append(args, "--annotation", a)
	}
	for _, b := range con.binds {
		source, target, _ := strings.Cut(b, ":")
		target, ro, _ := strings.Cut(target, ":")
		options := "rbind"
		if ro != "" {
			options += ":" + ro
		}
		args = append(args, "--mount", fmt.Sprintf("type=bind,src=%s,dst=%s,options=%s", source, target, options))
	}
	if con.privileged {
		args = append(args, "--privileged")
	}
	if con.tty {
		args = append(args, "--tty")
	}
	return append(append(args, bb, id), con.args...)
}

// heard calls ctr again if it has not heard all: it lets go of the streams when the process has ended, on a busy machine before
// it has opened them (task.Delete cancels the opening of the FIFOs), and of a terminal before it has read all.
func heard(all func(out string) bool, call func() (string, error)) (out string, err error) {
	for range 5 {
		if out, err = call(); all(out) || err != nil {
			break
		}
	}
	return out, err
}

func anything(out string) bool { return out != "" }

// lines is for a terminal: what the tests' programs say there ends with a line, and is more than what was typed.
func lines(typed string) func(out string) bool {
	return func(out string) bool {
		said := strings.ReplaceAll(out, "\r", "")
		return strings.HasSuffix(said, "\n") && (typed == "" || strings.ReplaceAll(said, typed, "") != "")
	}
}

func (c *ctr) output(con container) (string, error) {
	all := anything
	if con.tty {
		all = lines(con.stdin)
	}
	return heard(all, func() (string, error) { return c.once(con) })
}

func (c *ctr) once(con container) (string, error) {
	id := c.next("run")
	args := c.args(con, id, "--rm")
	if con.tty {
		return c.onTerminal(con.stdin, args...)
	}
	out, err := c.containerd.ctr(ctrNamespace, con.stdin, args...)
	if err != nil {
		// It leaves the container behind if it could not be started.
		_, _ = c.do("containers", "rm", id)
	}
	return out, err
}

func (c *ctr) launch(con container) (string, error) {
	id := c.next("start")
	_, err := c.do(c.args(con, id, "--detach")...)
	if err != nil {
		_, _ = c.do("containers", "rm", id)
	}
	return id, err
}

func (c *ctr) running(id string) (bool, error) {
	out, err := c.do("tasks", "list")
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == id {
			return f[2] == "RUNNING", nil
		}
	}
	return false, err
}

func (c *ctr) stop(id string) error {
	_, err := c.do("tasks", "kill", "--signal", "SIGTERM", id)
	return err
}

func (c *ctr) kill(id string) error {
	_, err := c.do("tasks", "kill", "--signal", "SIGKILL", id)
	return err
}

func (c *ctr) remove(id string) error {
	var errs []error
	if tasks, err := c.do("tasks", "list", "-q"); err != nil {
		errs = append(errs, err)
	} else if strings.Contains("\n"+tasks, "\n"+id+"\n") {
		// Its exit status is the container's.
		if _, err := c.do("tasks", "delete", "--force", id); err != nil && exitStatus(err) < 0 {
			errs = append(errs, err)
		}
	}
	_, err := c.do("containers", "rm", id)
	return errors.Join(append(errs, err)...)
}

func (c *ctr) entries() []entry {
	exec := func(flags ...string) []string {
		return append([]string{"tasks", "exec", "--exec-id", c.next("exec")}, flags...)
	}
	flags := func(flags ...string) func(id, stdin string, args ...string) (string, error) {
		return func(id, stdin string, args ...string) (string, error) {
			return heard(anything, func() (string, error) {
				return c.containerd.ctr(ctrNamespace, stdin, append(append(exec(flags...), id), args...)...)
			})
		}
	}
	return []entry{
		{"ctr task exec", false, flags()},
		{"ctr task exec, root", false, flags("--user", "0")},
		{"ctr task exec, terminal", true, func(id, stdin string, args ...string) (string, error) {
			return heard(lines(stdin), func() (string, error) { return c.onTerminal(stdin, append(exec("--tty", id), args...)...) })
		}},
	}
}

func (c *ctr) onTerminal(typed string, args ...string) (string, error) {
	return onTerminal(c.environ(), typed, append([]string{ctrProgram, "-a", c.socket(), "-n", ctrNamespace}, args...)...)
}

// writes lacks /run: ctr mounts a tmpfs of root's there itself.
func (c *ctr) writes() []string { return []string{"/dev/mqueue", "/dev/shm", "/tmp", "/var/tmp"} }
