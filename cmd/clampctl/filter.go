package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"runclamp/enforce/proof"
	"runclamp/shim"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// patience is how long the delegate may take for one verb. A filter is built in some 10 ms, the largest in a second.
const patience = time.Minute

// built are the filters that the delegate makes of a profile, taken from a container that it creates and that is never started. Nothing of
// it is left behind; an interrupt waits until that is so.
func built(p *specs.LinuxSeccomp) (programs []proof.Program, by string, err error) {
	if os.Geteuid() != 0 {
		return nil, "", errors.New("it takes root to have a container made")
	}
	path, argv0, name, err := shim.DelegateProgram(confDir)
	if err != nil {
		return nil, "", err
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer signal.Stop(interrupted)

	dir, err := os.MkdirTemp("", "clampctl-")
	if err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	t := trial{program: path, argv0: argv0, name: name, dir: dir, id: filepath.Base(dir)}
	if err := t.write(p); err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, t.remove()) }()
	programs, err = t.create()
	return programs, name, err
}

// trial is a container that is made to see its filter.
type trial struct {
	// program is the delegate's, argv0 what it is called by, and name what it is.
	program, argv0, name string
	// dir has everything; id is its name, which nobody else has.
	dir, id string
}

// program is what the container would run. It is looked for at create, and never executed.
const program = "/program"

// write makes the bundle.
func (t trial) write(p *specs.LinuxSeccomp) error {
	rootfs := filepath.Join(t.dir, "rootfs")
	for _, folder := range []string{"", "proc", "dev"} {
		if err := os.Mkdir(filepath.Join(rootfs, folder), 0o755); err != nil {
			return err
		}
	}
	config, err := json.Marshal(trialSpec(t.id, p, t.name == shim.Runc().Name))
	if err != nil {
		return internal{err}
	}
	return errors.Join(os.WriteFile(filepath.Join(rootfs, program), nil, 0o755), os.WriteFile(filepath.Join(t.dir, "config.json"), config, 0o600))
}

// trialSpec is a container with nothing in it. Under no-new-privileges runc needs the fewest calls behind the filter, and crun installs it
// only at the start.
func trialSpec(id string, p *specs.LinuxSeccomp, noNewPrivileges bool) *specs.Spec {
	return &specs.Spec{
		Version: "1.0.0", // crun 1.8 takes no other
		Process: &specs.Process{Args: []string{program}, Cwd: "/", NoNewPrivileges: noNewPrivileges, Capabilities: &specs.LinuxCapabilities{}},
		Root:    &specs.Root{Path: "rootfs", Readonly: true},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "nodev", "noexec"}},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "noexec", "size=64k", "mode=755"}},
		},
		Linux: &specs.Linux{
			CgroupsPath: "/" + id,
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.MountNamespace}, {Type: specs.PIDNamespace}, {Type: specs.NetworkNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace},
			},
			Seccomp: p,
		},
	}
}

// create has the container made, up to where its program would be executed, and reads its filters.
func (t trial) create() ([]proof.Program, error) {
	pidFile := filepath.Join(t.dir, "pid")
	if err := t.call("create", "--bundle", t.dir, "--pid-file", pidFile, t.id); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return nil, err
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(text)))
	if err != nil {
		return nil, fmt.Errorf("the PID file of %s: %w", t.name, err)
	}
	programs, err := proof.ThisHost().Programs(pid)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s's process can't be looked at, and has ended if the profile denies what %[1]s needs itself: %w", t.name, err)
	case len(programs) == 0:
		return nil, fmt.Errorf("%s installs none before the start", t.name)
	}
	return programs, nil
}

// remove is no error if there is no container.
func (t trial) remove() error { return t.call("delete", "--force", t.id) }

// call runs a verb to its end. The container has no standard streams of anybody's, and the delegate is out of a terminal's reach: stopped
// half-way it leaves control groups behind.
func (t trial) call(verb ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	log := filepath.Join(t.dir, "log")
	args := append([]string{"--root", filepath.Join(t.dir, "state"), "--log", log, "--log-format", "json"}, verb...)
	cmd := exec.CommandContext(ctx, t.program, args...)
	cmd.Args[0] = t.argv0
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err := cmd.Run()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s %s took more than %v", t.name, verb[0], patience)
	}
	return fmt.Errorf("%s %s: %w%s", t.name, verb[0], err, lastError(log))
}

// lastError is the message at the end of a delegate's log, where it leaves the reason.
func lastError(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "" // what is known without it is said
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	var line struct{ Msg string }
	if json.Unmarshal(lines[len(lines)-1], &line) != nil || line.Msg == "" {
		return ""
	}
	return ": " + line.Msg
}
