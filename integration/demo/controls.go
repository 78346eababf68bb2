package main

import "runclamp/enforce/policy"

// switchable is one control's action in a policy.
type switchable struct {
	control string
	action  *policy.Action
}

func switches(c *policy.Controls) []switchable {
	return []switchable{
		{"specification", &c.Specification.Action},
		{"checkpoint", &c.Checkpoint.Action},
		{"privileged", &c.Privileged.Action},
		{"annotations", &c.Annotations.Action},
		{"hooks", &c.Hooks.Action},
		{"hostNamespaces", &c.HostNamespaces.Action},
		{"nonRoot", &c.NonRoot.Action},
		{"capabilities", &c.Capabilities.Action},
		{"noNewPrivileges", &c.NoNewPrivileges.Action},
		{"environment", &c.Environment.Action},
		{"readOnlyRootfs", &c.ReadOnlyRootfs.Action},
		{"hostMounts", &c.HostMounts.Action},
		{"procMounts", &c.ProcMounts.Action},
		{"devices", &c.Devices.Action},
		{"resources", &c.Resources.Action},
		{"sysctls", &c.Sysctls.Action},
		{"appArmor", &c.AppArmor.Action},
		{"seccomp", &c.Seccomp.Action},
		{"exec", &c.Exec.Action},
	}
}

// fixing are the controls that change a configuration. The others refuse it or let it be.
func fixing(c policy.Controls) []string {
	var names []string
	for _, s := range switches(&c) {
		if *s.action == policy.Fix {
			names = append(names, s.control)
		}
	}
	return names
}

// alone is the policy with one control only.
func alone(c policy.Controls, control string) policy.Controls {
	for _, s := range switches(&c) {
		if s.control != control {
			*s.action = policy.Off
		}
	}
	return c
}

// without is the policy with every control but one.
func without(c policy.Controls, control string) policy.Controls {
	for _, s := range switches(&c) {
		if s.control == control {
			*s.action = policy.Off
		}
	}
	return c
}
