package enforce

import (
	"fmt"
	"strings"

	"runclamp/enforce/policy"
	"runclamp/enforce/seccomp"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// seccompProfile: the system calls of the process are filtered at least as strictly as Docker's default does for the
// capabilities that the process has, and at least as strictly as the engine asked.
//
// Where the engine sent no profile (Kubernetes sends none unless the pod asks for RuntimeDefault), Docker's default is
// installed. Where it sent one, what goes beyond the default is taken out of it, and so are foreign architectures; a policy
// may be content with any profile (seccomp.profile: any), which then may even let through by default.
//
// Docker: --security-opt seccomp=FILE; Kubernetes: securityContext.seccompProfile.
func seccompProfile() Control {
	return Control{
		Name:   "seccomp",
		Fields: []string{"/linux/seccomp"},
		Action: func(c policy.Controls) policy.Action { return c.Seccomp.Action },
		Reference: Reference{
			Fix:        "installs Docker's default, or takes out what goes beyond it",
			Docker:     "--security-opt seccomp=FILE, or nothing",
			Compose:    "security_opt",
			Kubernetes: "securityContext.seccompProfile.type: RuntimeDefault",
			PSS:        []string{"seccompProfile_baseline", "seccompProfile_restricted"},
			CIS:        []string{"5.22"},
			Gatekeeper: []string{"seccomp", "seccompv2"},
		},
		Check: checkSeccomp,
	}
}

func checkSeccomp(in Input) []Finding {
	var bounding []string
	if caps := process(in.Spec).Capabilities; caps != nil {
		bounding = caps.Bounding
	}
	bound, err := seccomp.Default(bounding)
	if err != nil {
		return []Finding{{Detail: "internal", Pointer: "/linux/seccomp", Found: err.Error(), Wanted: "a profile to hold it against"}}
	}

	for _, name := range in.Policy.Controls.Seccomp.Profile.Names() {
		if name != string(policy.DefaultProfile) {
			return []Finding{{Detail: "profile", Pointer: "/linux/seccomp", Found: "the policy's profile " + name, Wanted: "a profile that can be read"}}
		}
	}
	asked := linux(in.Spec).Seccomp
	anyProfile := in.Policy.Controls.Seccomp.Profile == policy.AnyProfile
	if noProfile(asked) {
		return []Finding{{
			Detail: "unconfined", Pointer: "/linux/seccomp",
			Found: "no seccomp profile", Wanted: "Docker's default profile",
			Mend:  `drop "--security-opt seccomp=unconfined" (Kubernetes: securityContext.seccompProfile.type: RuntimeDefault)`,
			Edits: []Edit{{Set, "/linux/seccomp", bound}},
		}}
	}
	if p := seccomp.Check(asked); p != nil && (!anyProfile || p.Detail != "default") {
		return []Finding{{
			Detail: p.Detail, Pointer: "/linux/seccomp" + p.Field,
			Found: p.Found, Wanted: p.Wanted,
			Mend: `use the engine's default profile, or one that denies by default: "--security-opt seccomp=FILE" (Kubernetes: securityContext.seccompProfile)`,
		}}
	}
	if anyProfile {
		return nil
	}
	n, err := seccomp.Narrow(asked, bound)
	if err != nil {
		return []Finding{{Detail: "internal", Pointer: "/linux/seccomp", Found: err.Error(), Wanted: "a profile that can be narrowed"}}
	}
	return narrowed(n)
}

// noProfile: runc takes a profile with neither a default action nor rules for none (specconv.SetupSeccomp).
func noProfile(p *specs.LinuxSeccomp) bool {
	return p == nil || p.DefaultAction == "" && len(p.Syscalls) == 0
}

func narrowed(n seccomp.Narrowed) []Finding {
	var found []Finding
	if len(n.Architectures) > 0 {
		found = append(found, Finding{
			Detail: "architectures", Pointer: "/linux/seccomp/architectures",
			Found:  fmt.Sprintf("system calls of %d more architectures", len(n.Architectures)),
			Wanted: "the machine's own",
			Edits:  []Edit{{Set, "/linux/seccomp/architectures", n.Profile.Architectures}},
		})
	}
	if len(n.Removed)+len(n.Limited)+len(n.Dropped) == 0 {
		return found
	}
	rules := []Edit{{Set, "/linux/seccomp/syscalls", n.Profile.Syscalls}}
	for _, f := range []struct {
		detail, what string
		names        []string
	}{
		{"beyond-default", "system calls beyond Docker's default", n.Removed},
		{"conditions", "system calls without the conditions of Docker's default", n.Limited},
		{"undecided", "conditions that can't be compared with those of Docker's default", n.Dropped},
	} {
		if len(f.names) == 0 {
			continue
		}
		found = append(found, Finding{
			Detail: f.detail, Pointer: "/linux/seccomp/syscalls",
			Found:  fmt.Sprintf("%s: %s", f.what, strings.Join(f.names, ", ")),
			Wanted: "at least Docker's default for its capabilities",
			Edits:  rules,
		})
		rules = []Edit{} // one edit serves them all
	}
	return found
}
