package enforce

import (
	"errors"
	"fmt"

	"runclamp/enforce/policy"
	"runclamp/enforce/seccomp"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// seccompBound is a profile that the policy names, for a container with a bounding set.
func seccompBound(name string, facts Seccomp, bounding []string) (*specs.LinuxSeccomp, error) {
	switch policy.SeccompProfile(name) {
	case policy.DefaultProfile:
		return seccomp.Default(bounding)
	case policy.StrictProfile:
		return seccomp.Strict(), nil
	}
	f, ok := facts.Profiles[name]
	switch {
	case !ok:
		return nil, errors.New("nobody has read it")
	case f.Problem != "":
		return nil, fmt.Errorf("%s: %s", f.Path, f.Problem)
	}
	d, err := seccomp.Read(f.Text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Path, err)
	}
	profile := d.Profile(bounding, seccomp.Native(), facts.Kernel)
	if p := seccomp.Check(profile, nil); p != nil {
		return nil, fmt.Errorf("%s: %s: %s, wanted %s", f.Path, p.Field, p.Found, p.Wanted)
	}
	return profile, nil
}
