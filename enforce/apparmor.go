package enforce

import (
	"fmt"

	"runclamp/enforce/policy"
)

// appArmor: the process is confined by an AppArmor profile.
//
// The profile that the engine names is kept if the kernel has it in enforce mode. By its name alone it says nothing: the kernel
// takes "unconfined " and "unconfined//&unconfined" for unconfined too, complain mode only logs, and distributions load
// profiles for programs (Ubuntu: crun, podman, chrome) that are in unconfined mode and confine nobody. All these are the
// finding; the policy's profile comes in their place if it is loaded. If it is not, they are refused, because somebody asked
// for them; an engine that names none (ctr, or Docker's and Podman's on a host that they see no AppArmor on) is only recorded.
// A kernel without AppArmor confines nobody, whatever config.json says: recorded, or refused if the policy wants that.
//
// Docker: --security-opt apparmor=PROFILE; Kubernetes: securityContext.appArmorProfile.
func appArmor() Control {
	return Control{
		Name:   "appArmor",
		Fields: []string{"/process/apparmorProfile"},
		Action: func(c policy.Controls) policy.Action { return c.AppArmor.Action },
		Reference: Reference{
			Fix:        "assigns the policy's profile",
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
	want := in.Policy.Controls.AppArmor
	f := Finding{
		Detail: "unconfined", Pointer: "/process/apparmorProfile",
		Found: "no AppArmor profile", Wanted: "the profile " + want.Profile,
		Mend: `drop "--security-opt apparmor=unconfined" (Kubernetes: securityContext.appArmorProfile.type: RuntimeDefault)`,
	}
	label := process(in.Spec).ApparmorProfile
	switch label {
	case "": // none to runc too (libcontainer/apparmor, ApplyProfile)
	case "unconfined":
		f.Found = "an unconfined process"
	default:
		f.Found = fmt.Sprintf("the AppArmor profile %q, which is not loaded in enforce mode", label)
		f.Mend = "load that profile in enforce mode, or name another (Docker: --security-opt apparmor=PROFILE; Kubernetes: securityContext.appArmorProfile)"
	}
	switch {
	case !in.Facts.AppArmor.Enabled:
		f.Detail, f.Found, f.Wanted = "unavailable", "a kernel without AppArmor", "AppArmor"
		f.Mend = "boot the host with apparmor=1 security=apparmor, or say appArmor.ifUnavailable: skip in the policy"
		f.Action = policy.Reject
		if want.IfUnavailable == policy.SkipUnavailable {
			f.Action = policy.Audit
		}
	case in.Facts.AppArmor.Loaded[label]:
		return nil
	case in.Facts.AppArmor.Loaded[want.Profile]:
		f.Edits = []Edit{{Set, "/process/apparmorProfile", want.Profile}}
	default:
		f.Wanted += ", which is not loaded"
		f.Mend += fmt.Sprintf(", or load %s (apparmor_parser -r)", want.Profile)
		if label == "" {
			f.Detail, f.Action = "none", policy.Audit
		}
	}
	return []Finding{f}
}
