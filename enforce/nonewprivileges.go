package enforce

import "runclamp/enforce/policy"

// noNewPrivileges: no program that the process runs gains what the process does not have: setuid and setgid bits and file
// capabilities have no effect (prctl(2), PR_SET_NO_NEW_PRIVS).
//
// Docker: --security-opt no-new-privileges; Kubernetes: securityContext.allowPrivilegeEscalation: false.
func noNewPrivileges() Control {
	return Control{
		Name:   "noNewPrivileges",
		Fields: []string{"/process/noNewPrivileges"},
		Action: func(c policy.Controls) policy.Action { return c.NoNewPrivileges.Action },
		Reference: Reference{
			Fix:        "sets it",
			Docker:     "--security-opt no-new-privileges",
			Compose:    "security_opt",
			Kubernetes: "securityContext.allowPrivilegeEscalation: false",
			PSS:        []string{"allowPrivilegeEscalation"},
			CIS:        []string{"5.26"},
			Gatekeeper: []string{"allow-privilege-escalation"},
		},
		Check: func(in Input) []Finding {
			if process(in.Spec).NoNewPrivileges {
				return nil
			}
			return []Finding{{
				Pointer: "/process/noNewPrivileges",
				Found:   "programs may gain privileges", Wanted: "no-new-privileges",
				Mend:  `add "--security-opt no-new-privileges" (Kubernetes: securityContext.allowPrivilegeEscalation: false)`,
				Edits: []Edit{{Set, "/process/noNewPrivileges", true}},
			}}
		},
	}
}
