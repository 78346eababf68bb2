package main

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"time"

	"runclamp/bundle"
	"runclamp/enforce/policy"
	"runclamp/shim"

	"github.com/spf13/cobra"
)

func verifyCommand() *cobra.Command {
	var roots []string
	cmd := &cobra.Command{
		Use:   "verify [ID...]",
		Short: "Hold running containers against what was decided about them",
		Long: `Asks the kernel whether containers are still what was decided about them, as start does before a container's first instruction: user,
capabilities, no-new-privileges, the seccomp program, mounts, namespaces, limits; and what can only be seen of a running process: its
AppArmor label, and the filter that crun installs at the end. It looks at a container's first process, which stops for a moment.

IDs may be cut short. Without any, it is all containers in the delegates' folders: those of Docker, containerd, Kubernetes and Podman, as root of the host.
Other users, groups and capabilities that a program can have taken by itself, with those that it was given, are no finding; what it mounts is.`,
		Example: "  clampctl verify\n  clampctl verify 4f0a9c\n  podman unshare clampctl verify --root $XDG_RUNTIME_DIR/crun web",
		RunE: func(cmd *cobra.Command, args []string) error {
			found, err := containers(cmd, roots, args)
			if err != nil {
				return err
			}
			if len(found) == 0 {
				cmd.PrintErrln("no containers in " + strings.Join(roots, ", "))
			}
			return verify(cmd.OutOrStdout(), found, func(c located) (shim.Verified, error) { return shim.Verify(c.root, c.id, time.Now()) })
		},
	}
	rootFlag(cmd, &roots)
	return cmd
}

// verify says of each container whether it holds. One that has gone meanwhile is passed over; one that can't be looked at, which its annotations may see
// to, does not keep the others from it.
func verify(w io.Writer, containers []located, look func(located) (shim.Verified, error)) error {
	var result, failed error
	for _, c := range containers {
		v, err := inTime(c, look)
		if errors.Is(err, bundle.ErrNoContainer) {
			continue
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %s", c.id, shim.OneLine(err.Error())))
			continue
		}
		fmt.Fprintf(w, "%s: %s: %s\n", c.id, outcome(v), shim.OneLine(strings.Join(append([]string{who(v.Workload)}, notes(v)...), ", ")))
		writeFindings(w, v.Findings)
		if len(v.Findings) > 0 {
			fmt.Fprintln(w)
			result = errFindings
		}
	}
	if failed != nil {
		return failed
	}
	return result
}

// inTime looks at a container, which takes some milliseconds, or a few seconds if it is frozen, waits for its start or has large seccomp filters. But
// what one has mounted by itself (FUSE) may never answer; what waits for that ends with the program.
func inTime(c located, look func(located) (shim.Verified, error)) (v shim.Verified, err error) {
	const limit = 30 * time.Second
	done := make(chan struct{})
	var seen shim.Verified
	var seenErr error
	var panicked any
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				panicked = fmt.Sprintf("%v\n%s", p, debug.Stack())
			}
		}()
		seen, seenErr = look(c)
	}()
	select {
	case <-done:
		if panicked != nil {
			panic(panicked) // main says of a panic that it is an internal error, and can of its own goroutine only
		}
		return seen, seenErr
	case <-time.After(limit):
		return v, fmt.Errorf("it could not be looked at in %v: what it has mounted, or its seccomp filters, may be the reason", limit)
	}
}

// outcome is one word, if all is well.
func outcome(v shim.Verified) string {
	switch n := len(v.Findings); {
	case n > 1:
		return fmt.Sprintf("%d findings", n)
	case n == 1:
		return "1 finding"
	case v.Status == shim.Stopped:
		return "stopped"
	}
	return "holds"
}

// notes say where the decision came from, and what else has to be known.
func notes(v shim.Verified) (parts []string) {
	if v.Source != "" {
		parts = append(parts, v.Source)
	}
	if v.Mode == policy.ModeAudit {
		parts = append(parts, "mode audit: as the engine sent it")
	}
	if v.Status == shim.Created {
		parts = append(parts, "not started yet")
	}
	return parts
}
