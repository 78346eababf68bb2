package enforce

import (
	"fmt"

	"runclamp/enforce/policy"
)

// appArmor: the process is confined by an AppArmor profile.
//
// The profile that the engine names is kept. None, and "unconfined", are the finding; the policy's profile comes in their
// place if it is loaded. If it is not, "unconfined" is refused, because somebody asked for it; an engine that names none
// (ctr, or Docker's and Podman's on a host that they see no AppArmor on) is only recorded. A kernel without AppArmor confines
// nobody, whatever config.json says: recorded, or refused if the policy wants that.
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
	unconfined := process(in.Spec).ApparmorProfile == "unconfined"
	if unconfined {
		f.Found = "an unconfined process"
	}
	switch {
	case !in.Facts.AppArmor.Enabled:
		f.Detail, f.Found, f.Wanted = "unavailable", "a kernel without AppArmor", "AppArmor"
		f.Mend = "boot the host with apparmor=1 security=apparmor, or say appArmor.ifUnavailable: skip in the policy"
		f.Action = policy.Reject
		if want.IfUnavailable == policy.SkipUnavailable {
			f.Action = policy.Audit
		}
	case confined(process(in.Spec).ApparmorProfile):
		return nil
	case in.Facts.AppArmor.Loaded[want.Profile]:
		f.Edits = []Edit{{Set, "/process/apparmorProfile", want.Profile}}
	default:
		f.Wanted += ", which is not loaded"
		f.Mend += fmt.Sprintf(", or load %s (apparmor_parser -r)", want.Profile)
		if !unconfined {
			f.Detail, f.Action = "none", policy.Audit
		}
	}
	return []Finding{f}
}

// confined: runc takes an empty label for none (libcontainer/apparmor, ApplyProfile).
func confined(label string) bool { return label != "" && label != "unconfined" }
