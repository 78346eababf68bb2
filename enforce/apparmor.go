package enforce

import (
	"fmt"

	"runclamp/enforce/apparmor"
	"runclamp/enforce/policy"
)

// appArmor: the process is confined by an AppArmor profile.
//
// The profile that the engine names is kept if the kernel has it in enforce mode. By its name alone it says nothing: the kernel
// takes "unconfined " and "unconfined//&unconfined" for unconfined too, complain mode only logs, and distributions load
// profiles for programs (Ubuntu: crun, podman, chrome) that are in unconfined mode and confine nobody. All these, and no profile at
// all, are the finding. The policy's profile comes in their place, and is loaded first if need be; if that fails, the container is
// refused. A kernel without AppArmor confines nobody, whatever config.json says, and so does one that only complains: recorded, or
// refused if the policy wants that.
//
// Docker: --security-opt apparmor=PROFILE; Kubernetes: securityContext.appArmorProfile.
func appArmor() Control {
	return Control{
		Name:   "appArmor",
		Fields: []string{"/process/apparmorProfile"},
		Action: func(c policy.Controls) policy.Action { return c.AppArmor.Action },
		Reference: Reference{
			Fix:        "assigns the policy's profile, and loads it if need be",
			Docker:     "--security-opt apparmor=PROFILE",
			Compose:    "security_opt",
			Kubernetes: "securityContext.appArmorProfile",
			PSS:        []string{"appArmorProfile"},
			CIS:        []string{"5.2"},
			Gatekeeper: []string{"apparmor"},
		},
		Check: checkAppArmor,
	}
}

func checkAppArmor(in Input) []Finding {
	want, host := in.Policy.Controls.AppArmor, in.Facts.AppArmor
	label := process(in.Spec).ApparmorProfile
	if host.Loaded[label] {
		return nil
	}
	if !host.Enabled || host.Permissive != "" {
		return []Finding{noAppArmor(want, host)}
	}
	own, problem := ownProfile(want, host)
	f := Finding{
		Detail: "unconfined", Pointer: "/process/apparmorProfile",
		Found: "no AppArmor profile", Wanted: "the profile " + own.Name,
		Mend: `drop "--security-opt apparmor=unconfined" (Kubernetes: securityContext.appArmorProfile.type: RuntimeDefault)`,
	}
	switch label {
	case "": // none to runc too (libcontainer/apparmor, ApplyProfile)
	case "unconfined":
		f.Found = "an unconfined process"
	default:
		f.Found = fmt.Sprintf("the AppArmor profile %q, which is not loaded in enforce mode", label)
		f.Mend = "load that profile in enforce mode, or name another (Docker: --security-opt apparmor=PROFILE; Kubernetes: securityContext.appArmorProfile)"
	}
	switch {
	case problem != "":
		f.Wanted = problem
	case own.Text == "" && !host.Loaded[own.Name]:
		f.Wanted += ", which is not loaded"
		f.Mend = fmt.Sprintf("load %s (apparmor_parser -r), or put it as %[1]s into the configuration folder's profiles/", own.Name)
	case in.Facts.UserNamespace && !host.Loaded[own.Name]:
		// Only root of the initial user namespace loads profiles, and nobody else can list them.
		f.Wanted += ", which can't be loaded from a user namespace"
		if label == "" {
			f.Detail, f.Action = "none", policy.Audit
		}
	default:
		f.Edits = []Edit{{Set, "/process/apparmorProfile", own.Name}}
		// A file may have changed since it was loaded; a shipped profile that has is one of another name.
		if own.Text != "" && (!host.Loaded[own.Name] || !apparmor.Ours(own.Name)) {
			f.Load = []apparmor.Profile{own}
		}
	}
	return []Finding{f}
}

// noAppArmor: there is nothing that a profile could be loaded into.
func noAppArmor(want policy.AppArmor, host AppArmor) Finding {
	f := Finding{
		Detail: "unavailable", Pointer: "/process/apparmorProfile", Found: "a kernel without AppArmor", Wanted: "AppArmor",
		Mend:   "boot the host with apparmor=1 security=apparmor, or say appArmor.ifUnavailable: skip in the policy",
		Action: policy.Reject,
	}
	if host.Enabled {
		f.Found = fmt.Sprintf("a kernel whose AppArmor denies nothing (mode %s)", host.Permissive)
		f.Mend = "echo enforce >/sys/module/apparmor/parameters/mode, or say appArmor.ifUnavailable: skip in the policy"
	}
	if want.IfUnavailable == policy.SkipUnavailable {
		f.Action = policy.Audit
	}
	return f
}

// ownProfile is the profile that the policy names, or why there is none.
func ownProfile(want policy.AppArmor, host AppArmor) (apparmor.Profile, string) {
	var p apparmor.Profile
	var err error
	switch {
	case !want.Allow.Empty():
		p, err = apparmor.Allow(want.Allow)
	case want.Profile == apparmor.DefaultName:
		p, err = apparmor.Default()
	case want.Profile == apparmor.AllowName:
		return p, "an appArmor.allow in the policy, of which runclamp-allow is made"
	default:
		return host.Own, host.Problem
	}
	if err != nil {
		return p, fmt.Sprintf("a profile that can be made (%v)", err)
	}
	return p, ""
}
