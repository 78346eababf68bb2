// Package guest has the tests that need another kernel than most machines that build runclamp have: one with AppArmor, and with
// cgroup v2 alone. They run in a guest (make e2e-guest), as root, with no network and no Go.
package guest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runclamp/integration/demo/fixture"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// conf is the configuration folder that the guest's runclamp was linked with.
const conf = "/etc/runclamp"

// The delegates that are in the guest.
const (
	oldRunc = "/usr/sbin/runc"         // Debian's 1.1.5
	newRunc = "/usr/sbin/runc-current" // the one that make's other tests have
	crun    = "/usr/bin/crun"          // Debian's 1.8.1
)

// machine is the guest with runclamp set up: a delegate, a policy, and a folder for bundles.
type machine struct {
	dir      string
	runclamp fixture.Runtime
}

// newMachine leaves the test out unless it runs in the guest. Tests share the configuration folder, so none may be parallel to
// another. The policy is what stands in the policy file besides the version and the audit log.
func newMachine(t *testing.T, delegate, policy string) *machine {
	t.Helper()
	if os.Getenv("RUNCLAMP_GUEST") == "" {
		t.Skip("left out: it needs the guest's kernel (make e2e-guest)")
	}
	dir, err := fixture.Workspace("/var/lib", "runclamp-guest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(os.RemoveAll(dir), os.RemoveAll(conf)); err != nil {
			t.Error(err)
		}
	})
	// Searchable by all: in a user namespace, root is somebody else.
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(conf, 0o755), os.Symlink(delegate, filepath.Join(conf, "delegate"))); err != nil {
		t.Fatal(err)
	}
	m := &machine{dir: dir}
	if m.runclamp, err = fixture.NewRuntime("/programs/runclamp", filepath.Join(dir, "state")); err != nil {
		t.Fatal(err)
	}
	m.policy(t, policy)
	return m
}

// policy replaces the policy file.
func (m *machine) policy(t *testing.T, text string) {
	t.Helper()
	text = "apiVersion: runclamp/v1\naudit: {log: " + m.log() + "}\n" + text
	if err := os.WriteFile(filepath.Join(conf, "policy.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) log() string { return filepath.Join(m.dir, "audit", "log") }

// finding and line are what of the audit log is looked at.
type finding struct{ Control, Detail, Pointer, Found, Action string }

type line struct {
	Verb, Verdict, Proof string
	Findings             []finding
}

// audited is the last line of the audit log.
func (m *machine) audited(t *testing.T) (l line) {
	t.Helper()
	text, err := os.ReadFile(m.log())
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	if err := json.Unmarshal(lines[len(lines)-1], &l); err != nil {
		t.Fatal(err)
	}
	return l
}

// container is a bundle, and what was made of it.
type container struct {
	m      *machine
	id     string
	bundle string
}

// container makes a bundle of Docker's default configuration, with busybox for a root filesystem and a shell that runs a script,
// and removes the container at the end of the test, if there is one then. change may be nil.
func (m *machine) container(t *testing.T, script string, change func(*specs.Spec)) *container {
	t.Helper()
	spec, err := fixture.Config("/bin/sh", "-c", script)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(spec)
	}
	bundle, err := os.MkdirTemp(m.dir, "c")
	if err != nil {
		t.Fatal(err)
	}
	c := &container{m: m, id: filepath.Base(bundle), bundle: filepath.Join(bundle, "bundle")}
	root := filepath.Join(c.bundle, "rootfs")
	if err := errors.Join(os.Chmod(bundle, 0o755), fixture.WriteBundle(c.bundle, spec, "/bin/busybox"), os.Chmod(c.bundle, 0o755), busybox(root)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.runclamp.Remove(c.id); err != nil {
			t.Error(err)
		}
	})
	return c
}

// busybox puts busybox and its links into a root filesystem.
func busybox(root string) error {
	bin := filepath.Join(root, "bin")
	return errors.Join(os.Mkdir(bin, 0o755), command("cp", "/bin/busybox", bin), command("/bin/busybox", "--install", "-s", bin))
}

func command(args ...string) error {
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// call runs a verb about the container through runclamp, with arguments before the container's name, and gives its output. The
// error has what runclamp has said.
func (c *container) call(t *testing.T, verb string, args ...string) (string, error) {
	t.Helper()
	return c.words(t, append(append([]string{verb}, args...), c.id)...)
}

// exec runs a program in the container, and gives its output.
func (c *container) exec(t *testing.T, program ...string) (string, error) {
	t.Helper()
	return c.words(t, append([]string{"exec", c.id}, program...)...)
}

// words runs a verb with all that comes after it. Its output goes to a file and not a pipe: a container that is created keeps it.
func (c *container) words(t *testing.T, words ...string) (string, error) {
	t.Helper()
	out, err := os.CreateTemp(c.m.dir, words[0])
	if err != nil {
		t.Fatal(err)
	}
	verbErr := c.m.runclamp.Call(out, words...)
	said, err := os.ReadFile(out.Name())
	if err := errors.Join(err, out.Close()); err != nil {
		t.Fatal(err)
	}
	return string(said), verbErr
}

// create makes the container. Its process writes into the file out of the bundle's folder.
func (c *container) create(t *testing.T) error {
	t.Helper()
	out, err := os.Create(c.out())
	if err != nil {
		t.Fatal(err)
	}
	createErr := c.m.runclamp.Call(out, "create", "--bundle", c.bundle, c.id)
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return createErr
}

func (c *container) out() string { return filepath.Join(filepath.Dir(c.bundle), "out") }

// said is what the container's process has written.
func (c *container) said(t *testing.T) string {
	t.Helper()
	said, err := os.ReadFile(c.out())
	if err != nil {
		t.Fatal(err)
	}
	return string(said)
}

// state is what the delegate says of the container.
func (c *container) state(t *testing.T) (s specs.State) {
	t.Helper()
	out, err := c.call(t, "state")
	if err := errors.Join(err, json.Unmarshal([]byte(out), &s)); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return s
}

// run creates and starts the container, waits for its end and gives what it has written.
func (c *container) run(t *testing.T) (string, error) {
	t.Helper()
	if err := c.create(t); err != nil {
		return c.said(t), err
	}
	end := c.end(t)
	if _, err := c.call(t, "start"); err != nil {
		return c.said(t), err
	}
	end()
	return c.said(t), nil
}

// end gives a function that waits for the end of the container's process, which is there when end is called.
func (c *container) end(t *testing.T) (wait func()) {
	t.Helper()
	fd, err := unix.PidfdOpen(c.state(t).Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		deadline := time.Now().Add(fixture.Patience)
		for {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(time.Until(deadline).Milliseconds()))
			switch {
			case errors.Is(err, unix.EINTR):
				continue
			case err != nil || n == 0:
				t.Errorf("the container did not end within %v: %v", fixture.Patience, err)
			}
			break
		}
		if err := unix.Close(fd); err != nil {
			t.Error(err)
		}
	}
}

// forEachDelegate runs a test with each delegate, on a machine of its own.
func forEachDelegate(t *testing.T, policy string, f func(t *testing.T, m *machine)) {
	t.Helper()
	for _, delegate := range []string{oldRunc, newRunc} {
		t.Run(filepath.Base(delegate), func(t *testing.T) { f(t, newMachine(t, delegate, policy)) })
	}
}
