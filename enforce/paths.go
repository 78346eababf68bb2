package enforce

import (
	"fmt"
	"slices"
	"strings"

	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// procMounts: the files of /proc and /sys that tell about the host, or change it, are masked or read-only.
//
// The lists are those that Docker and containerd send unless they are told not to. What a configuration lacks of them is
// added; what it has beyond them stays. They name files below /proc and /sys, so proc and sysfs mounted anywhere else as well
// would show all of them again, and that can't be mended.
//
// Docker: --security-opt systempaths=unconfined takes them away; Kubernetes: securityContext.procMount: Unmasked.
func procMounts() Control {
	return Control{
		Name:   "procMounts",
		Fields: []string{"/linux/maskedPaths", "/linux/readonlyPaths"},
		Action: func(c policy.Controls) policy.Action { return c.ProcMounts.Action },
		Reference: Reference{
			Fix:        "adds what is missing",
			Docker:     "no --security-opt systempaths=unconfined",
			Compose:    "security_opt",
			Kubernetes: "securityContext.procMount: Default",
			PSS:        []string{"procMount"},
			Gatekeeper: []string{"proc-mount"},
		},
		Check: func(in Input) []Finding {
			masked, readonly := linux(in.Spec).MaskedPaths, linux(in.Spec).ReadonlyPaths
			var found []Finding
			if f, ok := lacking("maskedPaths", masked, standardMasked(), nil); ok {
				found = append(found, f)
			}
			if f, ok := lacking("readonlyPaths", readonly, standardReadonly(), masked); ok {
				found = append(found, f)
			}
			return append(found, elsewhere(in.Spec.Mounts)...)
		},
	}
}

// standardMasked is what Docker (moby, oci/defaults) and containerd (oci.WithDefaultSpec) mask.
func standardMasked() []string {
	return []string{
		"/proc/acpi",
		"/proc/asound",
		"/proc/interrupts", // timing of other workloads' keystrokes and network (moby GHSA-6fw5-f8r9-fgfm)
		"/proc/kcore",
		"/proc/keys",
		"/proc/latency_stats",
		"/proc/sched_debug",
		"/proc/scsi",
		"/proc/timer_list",
		"/proc/timer_stats",
		"/sys/devices/virtual/powercap", // power as a side channel, CVE-2020-8694
		"/sys/firmware",
	}
}

// standardReadonly is what Docker and containerd make read-only.
func standardReadonly() []string {
	return []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
}

// elsewhere are the mounts of proc and sysfs that the lists do not reach.
func elsewhere(mounts []specs.Mount) []Finding {
	var found []Finding
	for i, m := range mounts {
		var place string
		switch m.Type {
		case "proc":
			place = "/proc"
		case "sysfs":
			place = "/sys"
		}
		// As it stands: /link/../proc is where the image's link leads.
		if place == "" || m.Destination == place {
			continue
		}
		found = append(found, Finding{
			Detail: m.Destination, Pointer: fmt.Sprintf("/mounts/%d/destination", i),
			Found: fmt.Sprintf("%s at %s, where nothing of it is masked", m.Type, m.Destination), Wanted: "it at " + place + " only",
			Mend: "leave this mount out",
		})
	}
	return found
}

// lacking is the finding that a list does not have all of the standard one. A path in instead serves as well.
//
// Paths are compared as they stand. runc gives them to the kernel like that and passes over those that do not exist, so
// /nowhere/../proc/kcore masks nothing.
func lacking(field string, have, standard, instead []string) (Finding, bool) {
	f := Finding{
		Detail: field, Pointer: "/linux/" + field,
		Mend: `drop "--security-opt systempaths=unconfined" (Kubernetes: securityContext.procMount)`,
	}
	var lack []string
	for _, p := range standard {
		if !slices.Contains(have, p) && !slices.Contains(instead, p) {
			f.Edits = append(f.Edits, Edit{Insert, fmt.Sprintf("/linux/%s/%d", field, len(have)+len(lack)), p})
			lack = append(lack, p)
		}
	}
	f.Found = fmt.Sprintf("%s without %s", field, strings.Join(lack, ", "))
	f.Wanted = "the standard list"
	return f, len(lack) > 0
}
