package enforce

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// The files of a decision that give the assigned user a name.
const (
	passwdName = "runclamp.passwd"
	groupName  = "runclamp.group"
	// userName is what the assigned user is called.
	userName = "runclamp"
)

// nameFor binds an /etc/passwd and an /etc/group into the container in which the assigned user has a name. ssh, git and
// Java look for one, and end without it.
//
// Only over files that the image has (what it lacks nothing in it reads), and not where a mount of the user's own is there.
func nameFor(in Input, to policy.User) (edits []Edit, files map[string]string) {
	if in.Facts.Names == nil {
		return nil, nil
	}
	files = map[string]string{}
	at := len(in.Spec.Mounts)
	for _, f := range []struct {
		name, path, text, line string
		id                     uint32
	}{
		{passwdName, "/etc/passwd", in.Facts.Names.Passwd, fmt.Sprintf("%s:x:%d:%d:%s:/tmp:/sbin/nologin", userName, to.UID, to.GID, userName), to.UID},
		{groupName, "/etc/group", in.Facts.Names.Group, fmt.Sprintf("%s:x:%d:", userName, to.GID), to.GID},
	} {
		if f.text == "" || hasID(f.text, f.id) || covered(in.Spec.Mounts, f.path) {
			continue
		}
		files[f.name] = strings.TrimSuffix(f.text, "\n") + "\n" + f.line + "\n"
		edits = append(edits, Edit{Insert, fmt.Sprintf("/mounts/%d", at), specs.Mount{
			Destination: f.path, Type: "bind", Source: path.Join(in.Facts.BundlePath, f.name),
			Options: []string{"bind", "ro", "nosuid", "nodev", "noexec", "private"},
		}})
		at++
	}
	return edits, files
}

// hasID: a line of passwd(5) or group(5) has the ID, which is the third field of both.
func hasID(text string, id uint32) bool {
	for l := range strings.Lines(text) {
		fields := strings.Split(strings.TrimSpace(l), ":")
		if len(fields) > 2 && fields[2] == strconv.FormatUint(uint64(id), 10) {
			return true
		}
	}
	return false
}

// covered: a mount is at the path, or above it.
func covered(mounts []specs.Mount, p string) bool {
	return slices.ContainsFunc(mounts, func(m specs.Mount) bool {
		at := path.Clean(m.Destination)
		return at == p || strings.HasPrefix(p, strings.TrimSuffix(at, "/")+"/")
	})
}
