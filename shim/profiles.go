package shim

import (
	"fmt"
	"path/filepath"
	"strings"

	"runclamp/enforce"
	"runclamp/enforce/policy"
	"runclamp/enforce/seccomp"

	"golang.org/x/sys/unix"
)

// ProfilePath is the file that a profile's name in a policy stands for; "" for those that runclamp has itself.
func ProfilePath(confDir, name string) string {
	switch policy.SeccompProfile(name) {
	case policy.AnyProfile, policy.DefaultProfile, policy.StrictProfile:
		return ""
	}
	if path, ok := strings.CutPrefix(name, "file:"); ok {
		return path
	}
	return filepath.Join(confDir, "profiles", name+".json")
}

// seccompFacts reads the profiles that a policy names. They decide as much as the policy does, so nobody else may be able to
// change them either. One that can't be read is for the control to refuse.
func (p PolicyFile) seccompFacts(c policy.Seccomp) (enforce.Seccomp, error) {
	var facts enforce.Seccomp
	if c.Action == policy.Off {
		return facts, nil
	}
	for _, name := range c.Profile.Names() {
		path := ProfilePath(p.confDir, name)
		if path == "" {
			continue
		}
		f := enforce.SeccompProfile{Path: path}
		var err error
		if f.Text, err = readTrusted(path, p.unchecked); err != nil {
			f.Problem = err.Error()
		}
		if facts.Profiles == nil {
			facts.Profiles = map[string]enforce.SeccompProfile{}
			if facts.Kernel, err = kernel(); err != nil {
				return facts, err
			}
		}
		facts.Profiles[name] = f
	}
	return facts, nil
}

func kernel() (seccomp.Kernel, error) {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return seccomp.Kernel{}, fmt.Errorf("uname: %w", err)
	}
	return seccomp.ParseKernel(unix.ByteSliceToString(uts.Release[:]))
}

// ProfileProblem is what is wrong with a profile that a policy names, as the runtime would find it; empty if nothing is. absent: it is an
// AppArmor profile that has no file, so somebody else has to load it.
func ProfileProblem(confDir string, named policy.Named) (problem string, absent bool, err error) {
	p := PolicyFile{confDir: confDir, unchecked: inUserNamespace()}
	if named.Control == "appArmor" {
		own, problem := p.OwnProfile(policy.AppArmor{Action: policy.Fix, Profile: named.Profile})
		return problem, problem == "" && own.Name != "" && own.Text == "", nil
	}
	facts, err := p.seccompFacts(policy.Seccomp{Action: policy.Fix, Profile: policy.SeccompProfile(named.Profile)})
	if err != nil {
		return "", false, err
	}
	for _, f := range facts.Profiles {
		if f.Problem != "" {
			return f.Problem, false, nil // it names the path
		}
		d, err := seccomp.Read(f.Text)
		if err != nil {
			return fmt.Sprintf("%s: %v", f.Path, err), false, nil
		}
		profile := d.Profile(nil, seccomp.Native(), facts.Kernel)
		if p := seccomp.Check(profile, []string{profile.ListenerPath}); p != nil {
			return fmt.Sprintf("%s: %s%s: %s, wanted %s", f.Path, p.Detail, p.Field, p.Found, p.Wanted), false, nil
		}
	}
	return "", false, nil
}
