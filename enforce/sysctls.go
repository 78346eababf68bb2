package enforce

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// sysctls: the container sets only those kernel parameters that change nothing outside of it.
//
// Allowed are those that the Pod Security Standards call safe, among which are those that engines set by themselves, and those
// that the policy lists. A parameter that belongs to a namespace needs one that is not the host's.
//
// Docker: --sysctl; compose: sysctls; Kubernetes: securityContext.sysctls.
func sysctls() Control {
	return Control{
		Name:   "sysctls",
		Fields: []string{"/linux/sysctl"},
		Action: func(c policy.Controls) policy.Action { return c.Sysctls.Action },
		Reference: Reference{
			Docker:     "no --sysctl but the safe ones",
			Compose:    "sysctls",
			Kubernetes: "securityContext.sysctls",
			PSS:        []string{"sysctls"}, Gatekeeper: []string{"forbidden-sysctls"},
		},
		Check: checkSysctls,
	}
}

// safeSysctls are those of the Pod Security Standards (Baseline, as of Kubernetes 1.32).
func safeSysctls() []string {
	return []string{
		"kernel.shm_rmid_forced",
		"net.ipv4.ip_local_port_range",
		"net.ipv4.ip_local_reserved_ports",
		"net.ipv4.ip_unprivileged_port_start",
		"net.ipv4.ping_group_range",
		"net.ipv4.tcp_fin_timeout",
		"net.ipv4.tcp_keepalive_intvl",
		"net.ipv4.tcp_keepalive_probes",
		"net.ipv4.tcp_keepalive_time",
		"net.ipv4.tcp_rmem",
		"net.ipv4.tcp_syncookies",
		"net.ipv4.tcp_wmem",
	}
}

func checkSysctls(in Input) []Finding {
	var found []Finding
	all := linux(in.Spec).Sysctl
	for _, key := range slices.Sorted(maps.Keys(all)) {
		// sysctl(8) has two spellings, with dots and with slashes. runc writes to the file that has a slash for each of either
		// (internal/sys, WriteSysctls), so there is only one for a name with dots for each.
		name := strings.ReplaceAll(key, "/", ".")
		f := Finding{Detail: cut(name), Pointer: "/linux/sysctl/" + escape(key), Found: "the kernel parameter " + cut(name)}
		of := sysctlNamespace(name)
		switch {
		case !slices.Contains(safeSysctls(), name) && !slices.Contains(in.Policy.Controls.Sysctls.Allow, name):
			f.Wanted = "only those that are safe"
			f.Mend = fmt.Sprintf(`drop "--sysctl %s=…" (compose: sysctls, Kubernetes: securityContext.sysctls)`, cut(name))
		case of != "" && !in.ownNamespace(of):
			f.Found += " of the host"
			f.Wanted = fmt.Sprintf("a container with its own %s namespace", of)
			f.Mend = fmt.Sprintf(`drop "--sysctl %s=…", or "--%s host" (Kubernetes: securityContext.sysctls, hostNetwork, hostIPC)`, cut(name), of)
		default:
			continue
		}
		found = append(found, f)
	}
	return found
}

// sysctlNamespace is the type of namespace that a parameter belongs to. runc has the same list, and looks for the host's
// namespace behind a path only for the network (libcontainer/configs/validate, sysctl).
func sysctlNamespace(name string) specs.LinuxNamespaceType {
	switch {
	case strings.HasPrefix(name, "net."):
		return specs.NetworkNamespace
	case strings.HasPrefix(name, "fs.mqueue."), strings.HasPrefix(name, "kernel.msg"), strings.HasPrefix(name, "kernel.shm"), name == "kernel.sem":
		return specs.IPCNamespace
	case name == "kernel.domainname":
		return specs.UTSNamespace
	}
	return ""
}
