package shim

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"runclamp/bundle"
	"runclamp/enforce"
	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// maxProcess is the most that a process.json may have. Its largest part are the arguments and the environment.
const maxProcess = 4 << 20

// exec runs another process in a container, with args, env, cwd and terminal as the caller says and everything else as the
// container's own process has it. A container that has no record was made before runclamp came: it is held to the process
// of its bundle all the same.
func (r Runtime) exec(g Global, inv Invocation) error {
	e := r.newEntry(inv)
	c, err := findContainer(inv)
	r.judgedBy(c.record, &e)
	e.Delegate = r.to.path
	var held []byte
	if err == nil {
		held, err = holdExec(inv, c, r.Now(), &e)
	}
	if err := r.conclude(g, e, err); err != nil {
		return err
	}
	if held == nil || e.Mode == policy.ModeAudit {
		return r.to.exec(inv.Argv(), r.Env)
	}
	lowest, err := r.firstFreeDescriptor(inv)
	if err != nil {
		return err
	}
	path, err := handOver("process", held, lowest)
	if err != nil {
		return err
	}
	return r.to.exec(execArgv(inv, path), r.Env)
}

// holdExec decides about an exec. It gives the process to hand over, or none if it is to be what was asked.
func holdExec(inv Invocation, c container, now time.Time, e *entry) ([]byte, error) {
	container := c.config.Spec.Process
	if container == nil {
		return nil, fmt.Errorf("container %q has no process in its config.json to hold this one to", inv.ID)
	}
	asked, err := askedProcess(inv, container)
	if err != nil {
		return nil, err
	}
	settings, source := enforce.ExecSettings{Action: policy.Fix}, "the container's own process"
	if c.record != nil {
		settings, source = c.record.Exec, c.record.Source
	}
	d := enforce.DecideExec(settings, container, asked, now)
	e.Verdict, e.Findings = d.Verdict, append(e.Findings, d.Findings...)
	switch {
	case d.Verdict == enforce.Refused:
		return nil, refusedError(d.Refusal(source))
	case !d.Held:
		return nil, nil
	}
	held, _, err := c.config.Member("process").Apply(d.Edits)
	if err != nil {
		return nil, fmt.Errorf("holding the process to the container: %w", err)
	}
	return held, nil
}

// askedProcess is what the caller wants: the file of -p, or what runc makes of the flags (exec.go, getProcess).
func askedProcess(inv Invocation, own *specs.Process) (*specs.Process, error) {
	path, ok := inv.Value("process")
	if ok {
		if len(inv.Words) > 0 {
			return nil, fmt.Errorf("both -p and a command (%q): give one of them", inv.Words[0])
		}
		return readProcess(path)
	}
	if len(inv.Words) == 0 {
		return nil, errors.New("there is no command to run: give one after the ID, or -p process.json")
	}
	asked := *own
	asked.Args = inv.Words
	asked.Env = append(asked.Env[:len(asked.Env):len(asked.Env)], inv.Values("env")...)
	asked.Terminal = inv.Bool("tty")
	asked.ConsoleSize = nil
	if cwd, ok := inv.Value("cwd"); ok {
		asked.Cwd = cwd
	}
	if profile, ok := inv.Value("apparmor"); ok {
		asked.ApparmorProfile = profile
	}
	if nnp, ok := inv.Value("no-new-privs"); ok {
		asked.NoNewPrivileges = nnp == "true"
	}
	if added := inv.Values("cap"); len(added) > 0 {
		asked.Capabilities = withCapabilities(own.Capabilities, added)
	}
	return &asked, askedUser(inv, &asked.User)
}

// askedUser reads --user UID[:GID] and --additional-gids. runc takes numbers only.
func askedUser(inv Invocation, u *specs.User) error {
	number := func(flag, s string) (uint32, error) {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			return 0, fmt.Errorf("--%s is %q: give numbers", flag, s)
		}
		return uint32(n), nil
	}
	if user, ok := inv.Value("user"); ok {
		uid, gid, hasGID := strings.Cut(user, ":")
		var err error
		if u.UID, err = number("user", uid); err != nil {
			return err
		}
		if hasGID {
			if u.GID, err = number("user", gid); err != nil {
				return err
			}
		}
	}
	for _, g := range inv.Values("additional-gids") {
		gid, err := number("additional-gids", g)
		if err != nil {
			return err
		}
		u.AdditionalGids = append(u.AdditionalGids[:len(u.AdditionalGids):len(u.AdditionalGids)], gid)
	}
	return nil
}

// withCapabilities adds to the sets that runc's --cap adds to.
func withCapabilities(own *specs.LinuxCapabilities, added []string) *specs.LinuxCapabilities {
	var c specs.LinuxCapabilities
	if own != nil {
		c = *own
	}
	for _, set := range []*[]string{&c.Bounding, &c.Effective, &c.Permitted, &c.Ambient} {
		*set = append((*set)[:len(*set):len(*set)], added...)
	}
	return &c
}

func readProcess(path string) (*specs.Process, error) {
	// What can be read only once would be empty for the delegate, if it is to get what was asked.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("process.json: %w", err)
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("process.json: %s is not a regular file: write the process to one", path), err, f.Close())
	}
	text, err := io.ReadAll(io.LimitReader(f, maxProcess+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("process.json: %w", err)
	}
	if len(text) > maxProcess {
		return nil, fmt.Errorf("process.json: %s is larger than %d MiB", path, maxProcess>>20)
	}
	doc, err := bundle.ParseDocument(text, reflect.TypeFor[specs.Process]())
	if err != nil {
		return nil, fmt.Errorf("process.json: %w", err)
	}
	var p *specs.Process
	if err := doc.Decode(&p); err != nil {
		return nil, fmt.Errorf("process.json: %w", err)
	}
	if p == nil {
		return nil, errors.New("process.json: it is null")
	}
	return p, nil
}

// firstFreeDescriptor is the first one that the delegate does not pass on to the container.
func (r Runtime) firstFreeDescriptor(inv Invocation) (int, error) {
	free := 3
	count := func(what, n string) error {
		v, err := strconv.Atoi(n)
		if err != nil || v < 0 || v > 1<<20 {
			return fmt.Errorf("%s is %q, which is no number of descriptors", what, n)
		}
		free += v
		return nil
	}
	if n, ok := inv.Value("preserve-fds"); ok {
		if err := count("--preserve-fds", n); err != nil {
			return 0, err
		}
	}
	if n, ok := lookup(r.Env, "LISTEN_FDS"); ok && n != "" {
		if err := count("LISTEN_FDS", n); err != nil {
			return 0, err
		}
	}
	return free, nil
}

// execArgv is the caller's command line in -p form. Flags that say something about the process are gone: what they could
// say is in the document, or was not theirs to say.
func execArgv(inv Invocation, process string) []string {
	inv = inv.Without("cwd", "env", "tty", "user", "additional-gids", "process-label", "apparmor", "no-new-privs", "cap")
	inv.Words = nil
	return inv.With("process", process).Argv()
}
