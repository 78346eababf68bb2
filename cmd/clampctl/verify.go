package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
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
			if os.Geteuid() != 0 && !cmd.Flags().Changed("root") {
				// Folders that can't be looked into would count as empty.
				return errors.New("it takes root to look at the host's containers; for those of your own: podman unshare clampctl verify --root $XDG_RUNTIME_DIR/runc (or crun)")
			}
			found, err := containers(roots)
			if err != nil {
				return err
			}
			if len(args) > 0 {
				if found, err = chosen(found, args, roots); err != nil {
					return err
				}
			}
			if len(found) == 0 {
				cmd.PrintErrln("no containers in " + strings.Join(roots, ", "))
			}
			return verify(cmd.OutOrStdout(), found, time.Now())
		},
	}
	// Of dockerd's containerd namespaces there are plugins.moby and, with userns-remap, moby-UID.GID beside moby.
	cmd.Flags().StringSliceVar(&roots, "root", []string{"/run/docker/runtime-*/*", "/run/containerd/runc/*", "/run/runc", "/run/crun"},
		"folders of the delegate's records, with * for any name")
	return cmd
}

// located is a container by the folder that its delegate's record is in.
type located struct{ root, id string }

// containers are all that there are below the roots.
func containers(roots []string) ([]located, error) {
	var all []located
	for _, pattern := range roots {
		folders, err := filepath.Glob(pattern)
		if err != nil {
			return nil, fmt.Errorf("--root %s: %w", pattern, err)
		}
		for _, root := range folders {
			ids, err := bundle.Containers(root)
			if err != nil {
				return nil, err
			}
			for _, id := range ids {
				all = append(all, located{root, id})
			}
		}
	}
	return all, nil
}

// chosen are those that are named, by their IDs or how these begin.
func chosen(all []located, names, roots []string) ([]located, error) {
	var some []located
	for _, name := range names {
		is := func(l located) bool { return l.id == name }
		if !slices.ContainsFunc(all, is) {
			is = func(l located) bool { return name != "" && strings.HasPrefix(l.id, name) }
		}
		var found []located
		for _, l := range all {
			if is(l) {
				found = append(found, l)
			}
		}
		switch len(found) {
		case 0:
			return nil, fmt.Errorf("no container %q in %s (--root names other folders)", name, strings.Join(roots, ", "))
		case 1:
			some = append(some, found[0])
		default:
			return nil, fmt.Errorf("%q may be %s in %s, or %s in %s: give more of the ID, or --root", name, found[0].id, found[0].root, found[1].id, found[1].root)
		}
	}
	return some, nil
}

// verify says of each container whether it holds. One that has gone meanwhile is passed over; one that can't be looked at, which its annotations may see
// to, does not keep the others from it.
func verify(w io.Writer, containers []located, now time.Time) error {
	var result, failed error
	for _, c := range containers {
		v, err := shim.Verify(c.root, c.id, now)
		if errors.Is(err, bundle.ErrNoContainer) {
			continue
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", c.id, err))
			continue
		}
		fmt.Fprintf(w, "%s: %s: %s\n", c.id, outcome(v), strings.Join(append([]string{who(v.Workload)}, notes(v)...), ", "))
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
