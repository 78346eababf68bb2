package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"runclamp/bundle"

	"github.com/spf13/cobra"
)

// rootFlag says where containers are looked for.
func rootFlag(cmd *cobra.Command, roots *[]string) {
	// Of dockerd's containerd namespaces there are plugins.moby and, with userns-remap, moby-UID.GID beside moby.
	cmd.Flags().StringSliceVar(roots, "root", []string{"/run/docker/runtime-*/*", "/run/containerd/runc/*", "/run/runc", "/run/crun"},
		"folders of the delegates' records of containers, with * for any name")
}

// located is a container by the folder that its delegate's record is in.
type located struct{ root, id string }

// containers are those below the roots that are named, or all.
func containers(cmd *cobra.Command, roots, names []string) ([]located, error) {
	if os.Geteuid() != 0 && !cmd.Flags().Changed("root") {
		// Folders that can't be looked into would count as empty.
		return nil, fmt.Errorf("it takes root to look at the host's containers; for those of your own: podman unshare %s --root $XDG_RUNTIME_DIR/runc (or crun)", cmd.CommandPath())
	}
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
	if len(names) == 0 {
		return all, nil
	}
	return chosen(all, names, roots)
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
