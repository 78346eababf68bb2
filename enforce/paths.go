package enforce

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"runclamp/enforce/policy"
)

// procMounts: the files of /proc and /sys that tell about the host, or change it, are masked or read-only.
//
// The lists are those that Docker and containerd send unless they are told not to. What a configuration lacks of them is
// added; what it has beyond them stays.
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
			return found
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

// lacking is the finding that a list does not have all of the standard one. A path in instead serves as well.
func lacking(field string, have, standard, instead []string) (Finding, bool) {
	f := Finding{
		Detail: field, Pointer: "/linux/" + field,
		Mend: `drop "--security-opt systempaths=unconfined" (Kubernetes: securityContext.procMount)`,
	}
	has := func(list []string, p string) bool {
		return slices.ContainsFunc(list, func(h string) bool { return path.Clean(h) == p })
	}
	var lack []string
	for _, p := range standard {
		if !has(have, p) && !has(instead, p) {
			f.Edits = append(f.Edits, Edit{Insert, fmt.Sprintf("/linux/%s/%d", field, len(have)+len(lack)), p})
			lack = append(lack, p)
		}
	}
	f.Found = fmt.Sprintf("%s without %s", field, strings.Join(lack, ", "))
	f.Wanted = "the standard list"
	return f, len(lack) > 0
}
