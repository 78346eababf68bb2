package enforce

import (
	"fmt"
	"slices"
	"strings"

	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const (
	// nobody is the overflow UID: what a file belongs to whose owner has no mapping, and what NFS makes of root. It is
	// shared by everything on the host that could not be told apart, so it is nobody's identity (user_namespaces(7)).
	nobody = 65534
	// lowest is the first UID that no distribution gives to a system account.
	lowest = 10000
)

// nonRoot: the process does not run as UID 0 or as nobody, and not in group 0.
//
// It gets the policy's user in place of them. A UID of the image's or the user's own choice is kept, whatever its
// height: OpenShift assigns 1000650000. When the user was changed, a HOME that only root can write (or none, for which
// runc looks into the image's passwd and ends at "/") becomes /tmp.
//
// Docker: --user 10001:10001; compose: user; Kubernetes: securityContext.runAsUser, runAsGroup, runAsNonRoot.
func nonRoot() Control {
	return Control{
		Name:   "nonRoot",
		Fields: []string{"/process/user/uid", "/process/user/gid", "/process/user/additionalGids", "/linux/uidMappings", "/linux/gidMappings"},
		Action: func(c policy.Controls) policy.Action { return c.NonRoot.Action },
		Reference: Reference{
			Fix:        "gives it the policy's user and group, and a HOME that these can write",
			Docker:     "--user 10001:10001",
			Compose:    "user",
			Kubernetes: "securityContext.runAsUser, runAsGroup, runAsNonRoot",
			PSS:        []string{"runAsNonRoot", "runAsUser"},
			Gatekeeper: []string{"users", "fsgroup"},
		},
		Check: checkUser,
	}
}

func checkUser(in Input) []Finding {
	want := in.Policy.Controls.NonRoot
	user := process(in.Spec).User
	var found []Finding

	switch {
	case in.Workload.Kind == policy.Sandbox:
		// The pause program does nothing, and its image says who does it (65535 in Kubernetes' own). It is only recorded.
		if user.UID == 0 {
			found = append(found, Finding{
				Detail: "uid", Pointer: "/process/user/uid", Action: policy.Audit,
				Found: "a sandbox as UID 0 (root)", Wanted: "a sandbox image with a USER",
				Mend: "use Kubernetes' own pause image, which runs as 65535",
			})
		}
		return found
	case user.UID == 0, user.UID == nobody, user.UID < lowest && want.Low == policy.AssignLow:
		found = append(found, assignUser(in, want))
		// An exception may leave the user as it is. Then its group is judged like any other's; root's own says nothing more.
		if moved := found[0].Edits; len(moved) > 0 && (user.UID == 0 || !in.lifted("nonRoot", "uid")) {
			user.UID, user.GID = want.Assign.UID, want.Assign.GID
		}
		found = append(found, rootsVolumes(in, want.Assign)...)
	case user.UID < lowest && want.Low == policy.RejectLow:
		found = append(found, lowUser(user.UID, policy.Reject))
	case user.UID < lowest:
		found = append(found, lowUser(user.UID, policy.Audit))
	}

	if user.GID == 0 && !slices.Contains(want.Groups.Allow, 0) {
		f := Finding{
			Detail: "gid", Pointer: "/process/user/gid",
			Found: "group 0 (root)", Wanted: fmt.Sprintf("group %d", want.Assign.GID),
			Mend: fmt.Sprintf(`name a group: "--user %d:%d" (Kubernetes: securityContext.runAsGroup)`, user.UID, want.Assign.GID),
		}
		if mapped(linux(in.Spec).GIDMappings, want.Assign.GID) {
			f.Edits = []Edit{{Set, "/process/user/gid", want.Assign.GID}}
		}
		found = append(found, f)
	}
	if f, ok := rootAmongGroups(user.AdditionalGids, want.Groups.Allow); ok {
		found = append(found, f)
	}
	if f, ok := rootByMapping(in, user); ok {
		found = append(found, f)
	}
	return found
}

// rootByMapping: what is another user's ID in the container is root's on the host (podman run --uidmap 10001:0:1). A rootless
// engine's own 0 is the user that it runs as, and no root.
func rootByMapping(in Input, user specs.User) (Finding, bool) {
	f := Finding{
		Detail: "mapping", Wanted: "IDs that are nobody's on the host",
		Mend: `leave out the mapping to 0: "--uidmap", "--gidmap"`,
	}
	uids, gids := linux(in.Spec).UIDMappings, linux(in.Spec).GIDMappings
	switch {
	case in.Facts.UserNamespace:
		return f, false
	case isHostsRoot(uids, user.UID):
		f.Pointer, f.Found = "/linux/uidMappings", fmt.Sprintf("UID %d, which is root on the host", user.UID)
	case slices.ContainsFunc(append([]uint32{user.GID}, user.AdditionalGids...), func(g uint32) bool { return isHostsRoot(gids, g) }):
		f.Pointer, f.Found = "/linux/gidMappings", "a group that is root's on the host"
	default:
		return f, false
	}
	return f, true
}

func isHostsRoot(m []specs.LinuxIDMapping, id uint32) bool {
	return id != 0 && slices.ContainsFunc(m, func(r specs.LinuxIDMapping) bool {
		return r.HostID == 0 && id == r.ContainerID && r.Size > 0
	})
}

func assignUser(in Input, want policy.NonRoot) Finding {
	s, to := in.Spec, want.Assign
	p := process(s)
	who := "UID 0 (root)"
	switch {
	case p.User.UID == nobody:
		who = "UID 65534 (nobody)"
	case p.User.UID != 0:
		who = fmt.Sprintf("UID %d (a system account)", p.User.UID)
	}
	f := Finding{
		Detail: "uid", Pointer: "/process/user/uid",
		Found: who, Wanted: fmt.Sprintf("UID %d", to.UID),
		Mend: fmt.Sprintf(`start it with "--user %d:%d" or give the image such a USER (Kubernetes: securityContext.runAsUser)`, to.UID, to.GID),
	}
	if !mapped(linux(s).UIDMappings, to.UID) || !mapped(linux(s).GIDMappings, to.GID) {
		// setuid(2) to an unmapped ID is EINVAL, which nobody could make sense of.
		f.Wanted += fmt.Sprintf(", which the container's user namespace does not map (user %d:%d)", to.UID, to.GID)
		return f
	}
	f.Edits = append(f.Edits, Edit{Set, "/process/user/uid", to.UID})
	if p.User.GID != to.GID {
		f.Edits = append(f.Edits, Edit{Set, "/process/user/gid", to.GID})
	}
	f.Edits = append(f.Edits, mendHome(p.Env, "/tmp")...)
	if want.Passwd {
		var names []Edit
		names, f.Files = nameFor(in, to)
		f.Edits = append(f.Edits, names...)
	}
	return f
}

// rootsVolumes are the writable folders of the host's that the user who was moved off root can't write any more. Nothing
// is done about them: whose data it is can't be told from here.
func rootsVolumes(in Input, to policy.User) []Finding {
	var found []Finding
	for i, m := range in.Spec.Mounts {
		o, ok := in.Facts.Owners[m.Source]
		if !ok || !isBind(m) || o.UID != 0 || o.Mode&0o002 != 0 {
			continue
		}
		if o.Mode&0o020 != 0 && (o.GID == to.GID || slices.Contains(process(in.Spec).User.AdditionalGids, o.GID)) {
			continue
		}
		found = append(found, Finding{
			Detail: "volume", Pointer: fmt.Sprintf("/mounts/%d/source", i), Action: policy.Audit,
			Found: fmt.Sprintf("%s, which belongs to root, at %s", m.Source, m.Destination), Wanted: fmt.Sprintf("a volume that UID %d can write", to.UID),
			Mend: fmt.Sprintf("chown %d:%d %s once, or start the container with the user that it belongs to (Kubernetes: securityContext.fsGroup)", to.UID, to.GID, m.Source),
		})
	}
	return found
}

func lowUser(uid uint32, a policy.Action) Finding {
	return Finding{
		Detail: "low", Pointer: "/process/user/uid", Action: a,
		Found: fmt.Sprintf("UID %d", uid), Wanted: fmt.Sprintf("UID %d or higher, which is no system account's", lowest),
		Mend: fmt.Sprintf(`use a UID from %d: "--user" or the image's USER (Kubernetes: securityContext.runAsUser)`, lowest),
	}
}

// rootAmongGroups takes group 0 out of the supplementary groups. The others stay: fsGroup and the image's own groups are
// what the user reaches his files by.
func rootAmongGroups(gids, allow []uint32) (Finding, bool) {
	if !slices.Contains(gids, 0) || slices.Contains(allow, 0) {
		return Finding{}, false
	}
	f := Finding{
		Detail: "groups", Pointer: "/process/user/additionalGids",
		Found: "group 0 (root) among the supplementary groups", Wanted: "no group 0",
		Mend: `leave 0 out of "--group-add" and the image's /etc/group (Kubernetes: securityContext.supplementalGroups)`,
	}
	others := slices.DeleteFunc(slices.Clone(gids), func(g uint32) bool { return g == 0 })
	f.Edits = []Edit{{Set, "/process/user/additionalGids", others}}
	return f, true
}

// mapped: the ID exists in the container's user namespace. No mappings: there is none of its own.
func mapped(m []specs.LinuxIDMapping, id uint32) bool {
	return len(m) == 0 || slices.ContainsFunc(m, func(r specs.LinuxIDMapping) bool {
		return id >= r.ContainerID && id-r.ContainerID < r.Size
	})
}

// mendHome gives an environment a home that a user who is no longer root can write.
func mendHome(env []string, home string) []Edit {
	var edits []Edit
	set := false
	for i, e := range env {
		v, ok := strings.CutPrefix(e, "HOME=")
		if !ok {
			continue
		}
		set = true
		if unusableHome(v) {
			edits = append(edits, Edit{Set, fmt.Sprintf("/process/env/%d", i), "HOME=" + home})
		}
	}
	if !set {
		edits = append(edits, Edit{Insert, fmt.Sprintf("/process/env/%d", len(env)), "HOME=" + home})
	}
	return edits
}

// unusableHome: only root could write there.
func unusableHome(v string) bool { return v == "" || v == "/" || v == "/root" }
