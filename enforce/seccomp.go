package enforce

import (
	"fmt"
	"slices"
	"strings"

	"runclamp/enforce/policy"
	"runclamp/enforce/seccomp"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// seccompProfile: the system calls of the process are filtered at least as strictly as the policy's profile does for the
// capabilities that the process has, and at least as strictly as the engine asked.
//
// Where the engine sent no profile (Kubernetes sends none unless the pod asks for RuntimeDefault), the policy's is installed. Where it sent
// one, what goes beyond the policy's is taken out of it. A policy may be content with any profile (seccomp.profile: any), which then may
// even let through by default.
//
// Foreign architectures are taken out unless the policy keeps them, whatever the profile is. Also of one that lets through by default: its
// denials are by name, and every further architecture has more names for the same (32-bit socketcall(2)). What is taken out is killed.
// A 32-bit program that can't run without them is told of.
//
// Docker: --security-opt seccomp=FILE; Kubernetes: securityContext.seccompProfile.
func seccompProfile() Control {
	return Control{
		Name:   "seccomp",
		Fields: []string{"/linux/seccomp"},
		Action: func(c policy.Controls) policy.Action { return c.Seccomp.Action },
		Reference: Reference{
			Fix:        "installs the policy's profile, or takes out what goes beyond it",
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
	asked := linux(in.Spec).Seccomp
	bound, bad := boundOf(in, asked)
	if bad != nil {
		return []Finding{*bad}
	}
	if noProfile(asked) {
		bound, _ = seccomp.Numbered(bound) // not told of: nobody asked for another
		return append([]Finding{{
			Detail: "unconfined", Pointer: "/linux/seccomp",
			Found: "no seccomp profile", Wanted: wantedProfile(in.Policy.Controls.Seccomp.Profile),
			Mend:  `drop "--security-opt seccomp=unconfined" (Kubernetes: securityContext.seccompProfile.type: RuntimeDefault)`,
			Edits: []Edit{{Set, "/linux/seccomp", bound}},
		}}, foreignProgram(in, asked)...)
	}
	if p := seccomp.Check(asked, in.Policy.Controls.Seccomp.Listeners); p != nil {
		return []Finding{{
			Detail: p.Detail, Pointer: "/linux/seccomp" + p.Field,
			Found: p.Found, Wanted: p.Wanted,
			Mend: `use the engine's default profile, or one that denies by default: "--security-opt seccomp=FILE" (Kubernetes: securityContext.seccompProfile)`,
		}}
	}
	if in.Policy.Controls.Seccomp.Profile == policy.AnyProfile {
		left := *asked
		var gone []specs.Arch
		if !keepsArchitectures(in) {
			left.Architectures, gone = seccomp.Prune(asked)
		}
		found := foreign(left.Architectures, gone)
		if p, added := seccomp.Numbered(&left); added {
			found = append(found, numberless([]Edit{{Set, "/linux/seccomp/syscalls", p.Syscalls}}))
		}
		return slices.Concat(foreignLifted(in, asked), found, foreignProgram(in, asked))
	}
	n, err := seccomp.Intersect(asked, bound)
	if err != nil {
		return []Finding{{Detail: "internal", Pointer: "/linux/seccomp", Found: err.Error(), Wanted: "a profile that can be intersected"}}
	}
	return slices.Concat(foreignLifted(in, asked), intersected(in, asked, n), foreignProgram(in, asked))
}

// foreignProgram tells of a program that can't make a system call under the profile that is installed, and could under the engine's: it
// is killed by the first. That is for a person to decide about, so it is no reason to refuse.
func foreignProgram(in Input, asked *specs.LinuxSeccomp) []Finding {
	p := in.Facts.Program
	if !slices.Contains(seccomp.Family(), p.Arch) {
		return nil
	}
	mend := "set seccomp.architectures: keep in the policy, or use an image for the machine's own architecture"
	switch {
	case noProfile(asked): // the policy's own profile is for the native architecture only
		mend = "set seccomp.architectures: keep in the policy and let the engine send its default profile, or use an image for the machine's own architecture"
	case keepsArchitectures(in) || !slices.Contains(asked.Architectures, p.Arch):
		return nil
	}
	return []Finding{{
		Detail: "program", Pointer: "/process/args",
		Found:  fmt.Sprintf("a 32-bit program, %q, whose system calls (%s) the policy takes out", p.Path, p.Arch),
		Wanted: "a program for the machine's own architecture",
		Mend:   mend,
		Action: policy.Audit,
	}}
}

// boundOf is the intersection of the profiles that the policy names, for the capabilities that the process has in the end and for the
// architectures that may stay.
func boundOf(in Input, asked *specs.LinuxSeccomp) (*specs.LinuxSeccomp, *Finding) {
	var bounding []string
	if caps := process(in.Spec).Capabilities; caps != nil {
		bounding = caps.Bounding
	}
	names := in.Policy.Controls.Seccomp.Profile.Names()
	if len(names) == 0 {
		names = []string{string(policy.DefaultProfile)} // what is installed where the engine sends none
	}
	var bound *specs.LinuxSeccomp
	for _, name := range names {
		p, err := seccompBound(name, in.Facts.Seccomp, bounding)
		if err != nil {
			return nil, &Finding{Detail: "profile", Pointer: "/linux/seccomp", Found: fmt.Sprintf("the policy's seccomp.profile %s: %v", name, err), Wanted: "a profile that can be read",
				Mend: "correct the profile (clampctl profile lint), or the policy that names it"}
		}
		switch {
		case !keepsArchitectures(in):
			// Whatever the profile itself names: a file of Docker's form has all of the machine's (archMap).
			p.Architectures = []specs.Arch{seccomp.Native()}
		case !noProfile(asked):
			p.Architectures = append([]specs.Arch{seccomp.Native()}, seccomp.Family()...)
		}
		if bound == nil {
			bound = p
			continue
		}
		n, err := seccomp.Intersect(bound, p)
		if err != nil {
			return nil, &Finding{Detail: "profile", Pointer: "/linux/seccomp", Found: "the policy's profile " + name, Wanted: err.Error()}
		}
		bound = n.Profile
	}
	return bound, nil
}

// keepsArchitectures: the policy does, or an exception lifts that foreign ones are taken out. Then the profile is worked out for all of them.
// To leave them in a list that was worked out for the native one would let through what nobody has looked at.
func keepsArchitectures(in Input) bool {
	return in.Policy.Controls.Seccomp.Architectures == policy.KeepArchitectures || in.lifted("seccomp", "architectures")
}

// foreignLifted records what an exception leaves in the profile.
func foreignLifted(in Input, asked *specs.LinuxSeccomp) []Finding {
	foreign := 0
	for _, a := range asked.Architectures {
		if a != seccomp.Native() {
			foreign++
		}
	}
	if foreign == 0 || in.Policy.Controls.Seccomp.Architectures == policy.KeepArchitectures || !keepsArchitectures(in) {
		return nil
	}
	return []Finding{{
		Detail: "architectures", Pointer: "/linux/seccomp/architectures",
		Found:  moreArchitectures(foreign),
		Wanted: "those that the policy keeps",
		Action: policy.Audit,
	}}
}

func moreArchitectures(n int) string {
	return fmt.Sprintf("system calls of %d more architectures", n)
}

// noProfile: runc takes a profile with neither a default action nor rules for none (specconv.SetupSeccomp).
func noProfile(p *specs.LinuxSeccomp) bool {
	return p == nil || p.DefaultAction == "" && len(p.Syscalls) == 0
}

// wantedProfile is how a finding calls what is installed where there is no profile.
func wantedProfile(p policy.SeccompProfile) string {
	if p == policy.AnyProfile || p == policy.DefaultProfile {
		return "Docker's default profile"
	}
	return fmt.Sprintf("the policy's profile %s", p)
}

// foreign is the finding about architectures that are taken out.
func foreign(kept, gone []specs.Arch) []Finding {
	if len(gone) == 0 {
		return nil
	}
	return []Finding{{
		Detail: "architectures", Pointer: "/linux/seccomp/architectures",
		Found:  moreArchitectures(len(gone)),
		Wanted: "those that the policy keeps",
		Mend:   "use a profile for the machine's own architecture, or have the policy keep the others (seccomp.architectures: keep)",
		Edits:  []Edit{{Set, "/linux/seccomp/architectures", kept}},
	}}
}

func intersected(in Input, asked *specs.LinuxSeccomp, n seccomp.Intersection) []Finding {
	found := foreign(n.Profile.Architectures, n.Architectures)
	if keepsArchitectures(in) && slices.Contains(n.Architectures, specs.ArchX86) {
		// Not the policy takes them out. To lift that with what the policy does take out would leave 32-bit x86 in a profile that was worked
		// out without it.
		for i := range found {
			found[i].Detail, found[i].Wanted = "multiplexers", "none whose socketcall(2) and ipc(2) get round the rules for other calls"
			found[i].Mend = "use a profile for the machine's own architecture"
		}
	}
	rules := []Edit{{Set, "/linux/seccomp/syscalls", n.Profile.Syscalls}}
	if n.Default {
		edits := []Edit{{Set, "/linux/seccomp/defaultAction", n.Profile.DefaultAction}}
		switch {
		case n.Profile.DefaultErrnoRet != nil:
			edits = append(edits, Edit{Set, "/linux/seccomp/defaultErrnoRet", n.Profile.DefaultErrnoRet})
		case asked.DefaultErrnoRet != nil:
			edits = append(edits, Edit{Op: Remove, Pointer: "/linux/seccomp/defaultErrnoRet"})
		}
		found = append(found, Finding{
			Detail: "default", Pointer: "/linux/seccomp/defaultAction",
			Found:  fmt.Sprintf("a profile that lets through by default (%s)", asked.DefaultAction),
			Wanted: "the policy's profile, without what this one denies",
			Edits:  append(edits, rules...),
		})
		rules = []Edit{} // one edit serves them all
	}
	for _, f := range []struct {
		detail, what string
		names        []string
	}{
		{"beyond", "system calls beyond the policy's profile", n.Removed},
		{"conditions", "system calls without the conditions of the policy's profile", n.Limited},
		{"undecided", "conditions that can't be brought together with those of the policy's profile", n.Undecided},
		{"denied", "system calls that the policy's profile denies with an error of its own, or that get round conditions", n.Denied},
	} {
		if len(f.names) == 0 {
			continue
		}
		found = append(found, Finding{
			Detail: f.detail, Pointer: "/linux/seccomp/syscalls",
			Found:  fmt.Sprintf("%s: %s", f.what, strings.Join(f.names, ", ")),
			Wanted: "at least the policy's profile for the container's capabilities",
			Edits:  rules,
		})
		rules = []Edit{} // one edit serves them all
	}
	for i := range found {
		if found[i].Mend == "" {
			found[i].Mend = `use a profile that lets less through: "--security-opt seccomp=FILE" (Kubernetes: securityContext.seccompProfile); clampctl profile diff tells what`
		}
	}
	if len(n.Void) > 0 {
		found = append(found, numberless(rules))
	}
	if len(found) > 0 && found[0].Detail == "multiplexers" && in.lifted("seccomp", "multiplexers") {
		// Rules that were worked out without 32-bit x86 say nothing of its own calls, and the engine's may: it stays with the engine's rules
		// or not at all.
		for i := range found[1:] {
			found[0].Edits = append(found[0].Edits, found[i+1].Edits...)
			found[i+1].Edits = []Edit{}
		}
	}
	return append(found, liftedNumberless(in, asked, n, found)...)
}

// liftedNumberless is for the engine's rules, where exceptions have them stay: nothing was worked out for those.
func liftedNumberless(in Input, asked *specs.LinuxSeccomp, n seccomp.Intersection, found []Finding) []Finding {
	lifted := func(f Finding) bool { return in.lifted("seccomp", f.Detail) }
	left, rules := *asked, found
	if len(n.Architectures) > 0 {
		if !lifted(found[0]) {
			left.Architectures = n.Profile.Architectures
		}
		rules = found[1:]
	}
	if len(found) == 0 || len(n.Void) > 0 || slices.ContainsFunc(rules, func(f Finding) bool { return !lifted(f) }) {
		return nil
	}
	p, added := seccomp.Numbered(&left)
	if !added {
		return nil
	}
	return []Finding{numberless([]Edit{{Set, "/linux/seccomp/syscalls", p.Syscalls}})}
}

// numberless is the finding that a profile needs one more rule. It is libseccomp's fault, and no reason to refuse.
func numberless(edits []Edit) Finding {
	return Finding{
		Detail: "number", Pointer: "/linux/seccomp/syscalls",
		Found:  "rules of which libseccomp may build a filter that does not look at the system call's number, so that none of them counts",
		Wanted: "a denial of a system call that no kernel has, which makes it look",
		Action: policy.Fix,
		Edits:  edits,
	}
}
