package shim

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"runclamp/bundle"
	"runclamp/enforce"
	"runclamp/enforce/policy"
	"runclamp/enforce/proof"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Verified is what the kernel says of a container's first process now, held against what was decided about it.
type Verified struct {
	Status Status
	// Source says where the decision came from, in the words that end a refusal. Empty: there was none.
	Source   string
	Workload policy.Workload
	// Mode of the policy. Under audit the configuration is what the engine sent, and not what was decided.
	Mode policy.Mode
	// Findings are what is looser than that, and, with the action audit, what could not be read.
	Findings []enforce.Finding
}

// Status is how far a container has got.
type Status string

const (
	// Created: it waits for its start.
	Created Status = "created"
	// Running: its program was executed.
	Running Status = "running"
	// Stopped: its first process has ended, and nothing can be said of it.
	Stopped Status = "stopped"
)

// Verify looks at one container. root is the folder that its delegate has its records in; which delegate it is, they tell. What a program
// may have changed by itself, with what it was given, is no finding, and neither is a limit that was updated within those of the
// policy. It is an error if there is no such container, or if its bundle can't be read.
func Verify(root, id string, now time.Time) (Verified, error) {
	if err := validateID(id); err != nil {
		return Verified{}, err
	}
	// The delegate's record comes some milliseconds before its init is as it will be, and on a busy machine a second. Start lets go of that
	// before the program has its label. What is found goes away by itself then, and else it stays. A look that took a second met a
	// process that is frozen. Another would take as long, and find the same.
	const long = time.Second
	for wait := 10 * time.Millisecond; ; wait *= 2 {
		begun := time.Now()
		v, err := look(root, id, now)
		most := 200 * time.Millisecond
		if v.Status == Created {
			most = 2 * time.Second
		}
		if err != nil || len(v.Findings) == 0 || wait > most || time.Since(begun) > long {
			return v, err
		}
		time.Sleep(wait)
	}
}

// look is Verify, once.
func look(root, id string, now time.Time) (Verified, error) {
	c, err := readEither(root, id)
	if err != nil && c.config == nil {
		return Verified{}, err
	}
	v := Verified{Status: Running, Workload: c.workload()}
	_, fifoErr := os.Lstat(filepath.Join(root, id, "exec.fifo"))
	switch {
	case c.init.PID <= 0:
		v.Status = Stopped
		return v, nil
	case fifoErr == nil: // what its init waits at, of runc and of crun
		v.Status = Created
	case !errors.Is(fifoErr, fs.ErrNotExist):
		return Verified{}, fifoErr
	}
	rootless := inUserNamespace()
	if err == nil && c.record != nil && c.record.Policy.Unchecked && !rootless {
		// The IDs of its configuration are that namespace's.
		return Verified{}, errors.New("a rootless engine made it, in a user namespace of its own, and only from there can be told who is who: podman unshare clampctl verify")
	}
	if err == nil && c.record != nil {
		v.Source, v.Mode = c.record.Source, c.record.Mode
		v.Findings, err = c.held(rootless, v.Status == Running, now)
		if errors.Is(err, proof.ErrEnded) {
			v.Status, err = Stopped, nil
		}
		return v, err
	}
	if err == nil {
		err = bundle.ErrNoRecord
	}
	v.Findings = []enforce.Finding{{
		Control: "record", Found: err.Error(), Wanted: "a configuration that was decided about",
		Mend: "make the container anew, with runclamp", Action: policy.Reject,
	}}
	return v, nil
}

// readEither is readContainer for whichever delegate has a record there.
func readEither(root, id string) (container, error) {
	c, err := readContainer(Runc(), root, id)
	if errors.Is(err, bundle.ErrNoContainer) {
		c, err = readContainer(Crun(), root, id)
	}
	if err != nil && c.config == nil {
		// Who removes a container removes the delegate's record of it, and then its bundle.
		if _, gone := os.Lstat(filepath.Join(root, id)); errors.Is(gone, fs.ErrNotExist) {
			err = fmt.Errorf("container %q %w", id, bundle.ErrNoContainer)
		}
		err = fmt.Errorf("in %s: %w", root, err)
	}
	return c, err
}

// Filters are the seccomp programs that the kernel has for a container's first process, whoever made it. root is the folder that its
// delegate has its records in.
func Filters(root, id string) ([]proof.Program, error) {
	if err := validateID(id); err != nil {
		return nil, err
	}
	c, err := readEither(root, id)
	if c.config == nil {
		return nil, err
	}
	if c.init.PID <= 0 {
		return nil, fmt.Errorf("container %s has ended", id)
	}
	return proof.Filters(proof.ThisHost(), proof.Process{PID: c.init.PID, Start: c.init.Start})
}

// held are the findings of the proof, repeated.
func (c container) held(rootless, started bool, now time.Time) ([]enforce.Finding, error) {
	facts, err := c.facts(rootless, started)
	if err != nil {
		return nil, err
	}
	found, mounted := c.hold(facts, now)
	if c.mayBeUpdated(facts.Cgroup, now) {
		found = slices.DeleteFunc(found, func(f enforce.Finding) bool { return proof.IsLimit(f) })
	}
	return append(found, mounted...), nil
}

// mayBeUpdated: an update to these limits would have been let through as it is.
func (c container) mayBeUpdated(limits proof.Cgroup, now time.Time) bool {
	const second = 1_000_000 // in microseconds, and a period that the kernel takes
	r := &specs.LinuxResources{}
	if limits.Pids != nil {
		r.Pids = &specs.LinuxPids{Limit: limits.Pids}
	}
	if limits.Memory != nil {
		r.Memory = &specs.LinuxMemory{Limit: limits.Memory}
	}
	if limits.CPU != nil {
		quota, period := *limits.CPU, uint64(second)
		if quota > 0 {
			quota = max(1, quota-proof.CPUTolerance) // what was asked for may have been less
		}
		r.CPU = &specs.LinuxCPU{Quota: &quota, Period: &period}
	}
	return enforce.DecideUpdate(c.record.Resources, nil, enforce.Update{Resources: r}, now).Verdict == enforce.Unchanged
}
