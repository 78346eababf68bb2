package enforce

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// readOnlyRootfs: the root filesystem is read-only.
//
// Programs need somewhere to write, so the folders that the policy names become tmpfs; but only if it was this clamp that
// made the root read-only: whoever asked for a read-only root has said himself what is to be writable.
//
// Docker: --read-only --tmpfs /tmp; compose: read_only, tmpfs; Kubernetes: securityContext.readOnlyRootFilesystem and an
// emptyDir volume.
func readOnlyRootfs() Control {
	return Control{
		Name:   "readOnlyRootfs",
		Fields: []string{"/root/readonly"},
		Action: func(c policy.Controls) policy.Action { return c.ReadOnlyRootfs.Action },
		Reference: Reference{
			Fix:        "makes it read-only, with the policy's tmpfs",
			Docker:     "--read-only --tmpfs /tmp",
			Compose:    "read_only, tmpfs",
			Kubernetes: "securityContext.readOnlyRootFilesystem, an emptyDir",
			CIS:        []string{"5.13"},
			Gatekeeper: []string{"read-only-root-filesystem"},
		},
		Check: func(in Input) []Finding {
			if in.Spec.Root == nil {
				return nil
			}
			tmpfs := addTmpfs(in)
			if in.Spec.Root.Readonly {
				return missingTmpfs(in, tmpfs)
			}
			f := Finding{
				Pointer: "/root/readonly",
				Found:   "a writable root filesystem", Wanted: "a read-only one",
				Mend:  `add "--read-only", with "--tmpfs" or a volume for what it writes (Kubernetes: securityContext.readOnlyRootFilesystem, emptyDir)`,
				Edits: []Edit{{Set, "/root/readonly", true}},
			}
			f.Edits = append(f.Edits, tmpfs...)
			return []Finding{f}
		},
	}
}

// missingTmpfs: folders that the policy itself names (and not only its preset) are wished for, whoever made the root
// read-only.
func missingTmpfs(in Input, edits []Edit) []Finding {
	if !in.Policy.TmpfsNamed || len(edits) == 0 {
		return nil
	}
	var paths []string
	for _, e := range edits {
		paths = append(paths, e.Value.(specs.Mount).Destination)
	}
	return []Finding{{
		Detail: "tmpfs", Pointer: "/mounts",
		Found: "no tmpfs at " + strings.Join(paths, ", "), Wanted: "those that the policy names",
		Mend:  fmt.Sprintf(`add "--tmpfs %s" (Kubernetes: an emptyDir)`, paths[0]),
		Edits: edits,
	}}
}

// addTmpfs inserts the policy's tmpfs, parents first, in front of the first bind mount and of every other that is not at /proc,
// /dev or /sys.
// A sandbox gets none: it writes nothing.
//
// Mounts are made in the order of the list. A tmpfs at its end would hide what was mounted below it, also where that can't
// be seen from the paths: in an image where /var/run links to /run, a secret at /var/run/secrets lies below /run.
func addTmpfs(in Input) []Edit {
	if in.Workload.Kind == policy.Sandbox {
		return nil
	}
	wanted := slices.Clone(in.Policy.Controls.ReadOnlyRootfs.Tmpfs)
	slices.SortFunc(wanted, func(a, b policy.Tmpfs) int { return strings.Compare(a.Path, b.Path) })

	mounts := in.Spec.Mounts
	at := slices.IndexFunc(mounts, func(m specs.Mount) bool {
		to := path.Clean(m.Destination)
		return isBind(m) || !within(to, "/proc") && !within(to, "/dev") && !within(to, "/sys")
	})
	if at < 0 {
		at = len(mounts)
	}
	var edits []Edit
	for _, t := range wanted {
		if slices.ContainsFunc(mounts, func(m specs.Mount) bool { return path.Clean(m.Destination) == t.Path }) {
			continue // a volume or a tmpfs of the user's own
		}
		m := tmpfsMount(t, process(in.Spec).User, in.Facts.ImageContent[t.Path])
		edits = append(edits, Edit{Insert, fmt.Sprintf("/mounts/%d", at+len(edits)), m})
	}
	return edits
}

// tmpfsMount writes mode, owner and size out: runc 1.1 ignores the mode in some combinations, and a folder of root's
// would not be writable for the user.
func tmpfsMount(t policy.Tmpfs, owner specs.User, content bool) specs.Mount {
	options := []string{"nosuid", "nodev"}
	if !t.Exec {
		options = append(options, "noexec")
	}
	options = append(options,
		fmt.Sprintf("mode=%o", t.Mode),
		fmt.Sprintf("uid=%d", owner.UID),
		fmt.Sprintf("gid=%d", owner.GID),
		fmt.Sprintf("size=%d", t.Size))
	if t.CopyUp && content {
		// Not an option of tmpfs(5) but of runc and crun: the folder's content is copied into it. That takes a second mount and a folder of
		// the host's, for nothing if there is none.
		options = append(options, "tmpcopyup")
	}
	return specs.Mount{Destination: t.Path, Type: "tmpfs", Source: "tmpfs", Options: options}
}

func isBind(m specs.Mount) bool {
	return m.Type == "bind" || slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind")
}
