package enforce

import (
	"slices"

	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// privileged: the container was not started with --privileged (Docker, Podman) or securityContext.privileged (Kubernetes).
//
// config.json has no such field: it is the sum of many. Every engine's "privileged" opens the device cgroup for all
// devices (resources.devices: allow, no type or "a"), and nothing else does. A configuration
// that has CAP_SYS_ADMIN with neither seccomp nor masked paths is the same thing without the devices.
//
// Clamping such a container one control at a time would start something that can't do what it was started for. One
// plain sentence serves its user better.
func privileged() Control {
	return Control{
		Name:   "privileged",
		Fields: []string{"/linux/resources/devices"},
		Action: func(c policy.Controls) policy.Action { return c.Privileged.Action },
		Reference: Reference{
			Docker:     "no --privileged",
			Compose:    "no privileged",
			Kubernetes: "securityContext.privileged: false",
			PSS:        []string{"privileged"},
			CIS:        []string{"5.5", "5.23"},
			Gatekeeper: []string{"privileged-containers"},
		},
		Check: func(in Input) []Finding {
			pointer := "/linux/resources/devices"
			switch {
			case opensAllDevices(linux(in.Spec).Resources):
			case unconfinedAdmin(in.Spec):
				pointer = "/process/capabilities"
			default:
				return nil
			}
			return []Finding{{
				Pointer: pointer,
				Found:   "a privileged container, which is root on this host",
				Wanted:  "a container without --privileged",
				Mend:    `drop "--privileged" (compose: privileged, Kubernetes: securityContext.privileged) and ask for the one thing it was for`,
			}}
		},
	}
}

// opensAllDevices: the last word of the device rules on "all devices" is an allow.
func opensAllDevices(r *specs.LinuxResources) bool {
	if r == nil {
		return false
	}
	open := false
	for _, d := range r.Devices {
		switch {
		case d.Allow && allDevices(d):
			open = true
		case deniesAll(d):
			open = false
		}
	}
	return open
}

// allDevices: to runc a rule of no type or "a" is about every device and every access, whatever numbers and access it names
// (opencontainers/cgroups, devices, emulator.allow): "a *:* m" opens all that there is.
func allDevices(d specs.LinuxDeviceCgroup) bool { return d.Type == "" || d.Type == "a" }

// wild: runc takes -1 and an absent number for "every number" (libcontainer/specconv, CreateCgroupConfig).
func wild(n *int64) bool { return n == nil || *n == -1 }

func unconfinedAdmin(s *specs.Spec) bool {
	caps := process(s).Capabilities
	return caps != nil && slices.Contains(caps.Bounding, "CAP_SYS_ADMIN") &&
		linux(s).Seccomp == nil && len(linux(s).MaskedPaths) == 0
}
