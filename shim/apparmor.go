package shim

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"runclamp/enforce/apparmor"
	"runclamp/enforce/policy"
)

// prepare carries out what the decision needs on the host. What can't be done refuses, and nothing is written then.
func (j *Judgement) prepare(host apparmor.Host) {
	for _, p := range j.Decision.Prepare {
		if err := host.Ensure(p.Profile); err != nil {
			j.Decision, j.Clamped, j.Changes = j.Decision.Unprepared(p, err), nil, nil
			return
		}
	}
}

// OwnProfile reads the AppArmor profile that a policy names, if it is not a shipped one: a file in the configuration folder's
// profiles/, or file:/absolute/path. A name that has no file there may be a profile that somebody else has loaded. The problem is
// empty, or says what is wanted instead.
func (p PolicyFile) OwnProfile(want policy.AppArmor) (own apparmor.Profile, problem string) {
	if want.Action == policy.Off || !want.Allow.Empty() || want.Profile == apparmor.DefaultName || want.Profile == apparmor.AllowName {
		return own, ""
	}
	path, byPath := strings.CutPrefix(want.Profile, "file:")
	if !byPath {
		path = filepath.Join(p.confDir, "profiles", want.Profile)
	}
	text, err := readTrusted(path, p.unchecked)
	if !byPath && errors.Is(err, fs.ErrNotExist) {
		return apparmor.Profile{Name: want.Profile}, ""
	}
	name := ""
	if err == nil {
		name, err = apparmor.NameOf(string(text))
	}
	if err == nil && !byPath && name != want.Profile {
		err = fmt.Errorf("the profile in it is called %s, and must be called as the file is", name)
	}
	if err != nil {
		return own, fmt.Sprintf("a good AppArmor profile in %s (%v)", path, err)
	}
	return apparmor.Profile{Name: name, Text: string(text)}, ""
}
