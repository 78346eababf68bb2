package enforce

import (
	"fmt"
	"slices"

	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// hostNamespaces: the container shares no namespace with the host. What the host's processes, shared memory, network, mounts
// and names are, it neither sees nor changes.
//
// To a runtime, a type of namespace that is not in linux.namespaces is the host's (config-linux.md, Namespaces). So is one
// whose path leads to it: a pod with hostNetwork has it only in its sandbox, and its containers join the sandbox by path. The
// namespace of another container or of a pod is the engine's way of joining, and fine.
//
// A container without a cgroup namespace gets one of its own: it sees no less of its own control groups, and engines ask for
// none on cgroup v1. All others are refused and never replaced, for somebody asked for the host's, and would get something
// that does not work. A user namespace is more than most engines ask for, and not wanted here.
//
// Docker: --pid, --ipc, --network, --uts, --cgroupns; compose: pid, ipc, network_mode, uts, cgroup; Kubernetes: hostPID, hostIPC,
// hostNetwork.
func hostNamespaces() Control {
	return Control{
		Name:   "hostNamespaces",
		Fields: []string{"/linux/namespaces"},
		Action: func(c policy.Controls) policy.Action { return c.HostNamespaces.Action },
		Reference: Reference{
			Fix:        "adds a private cgroup namespace; the others it refuses",
			Docker:     "no --pid, --ipc, --network or --uts=host",
			Compose:    "no pid, ipc, network_mode or uts: host",
			Kubernetes: "no hostPID, hostIPC, hostNetwork",
			PSS:        []string{"hostNamespaces"}, CIS: []string{"5.10", "5.16", "5.17", "5.21"}, Gatekeeper: []string{"host-namespaces", "host-network-ports"},
		},
		Check: checkNamespaces,
	}
}

// Namespace is what the path of a namespace leads to.
type Namespace struct {
	// Host: it is one of the host's own.
	Host bool
	// Problem says why nothing is known about it.
	Problem string
}

// namespaceType is a type of namespace, and what it means to share the host's.
type namespaceType struct {
	name specs.LinuxNamespaceType
	// shared is what of the host a container without one has.
	shared string
	mend   string
	// absent: without it, the container is as the guarantee wants it.
	absent bool
	// joined: engines join another container's by path.
	joined bool
}

func namespaceTypes() []namespaceType {
	return []namespaceType{
		{name: specs.PIDNamespace, shared: "processes", mend: `drop "--pid host" (compose: pid, Kubernetes: hostPID)`, joined: true},
		{name: specs.IPCNamespace, shared: "shared memory", mend: `drop "--ipc host" (compose: ipc, Kubernetes: hostIPC)`, joined: true},
		{name: specs.NetworkNamespace, shared: "network", mend: `drop "--network host" (compose: network_mode, Kubernetes: hostNetwork)`, joined: true},
		{name: specs.UTSNamespace, shared: "name", mend: `drop "--uts host" (compose: uts, Kubernetes: hostNetwork)`, joined: true},
		// The mount namespace of a service on the host is not the first one, and has all of its files.
		{name: specs.MountNamespace, shared: "mounts", mend: "give the container a mount namespace, without a path"},
		{name: specs.TimeNamespace, shared: "clocks", mend: "drop the path of the time namespace", absent: true},
		{name: specs.CgroupNamespace, shared: "control groups", mend: `drop "--cgroupns host" (compose: cgroup)`, joined: true},
		{name: specs.UserNamespace, shared: "users", mend: "drop the path of the user namespace", absent: true, joined: true},
	}
}

func checkNamespaces(in Input) []Finding {
	var found []Finding
	list := linux(in.Spec).Namespaces
	for i, ns := range list {
		if !slices.ContainsFunc(namespaceTypes(), func(t namespaceType) bool { return t.name == ns.Type }) {
			found = append(found, Finding{
				Detail: "unknown", Pointer: fmt.Sprintf("/linux/namespaces/%d/type", i),
				Found: fmt.Sprintf("a namespace of the type %q", cut(string(ns.Type))), Wanted: "a type that the kernel has",
				Mend: "drop it from the bundle's config.json",
			})
		}
	}
	for _, t := range namespaceTypes() {
		if f, ok := t.check(in, list); ok {
			f.Detail = string(t.name)
			found = append(found, f)
		}
	}
	return found
}

func (t namespaceType) check(in Input, list []specs.LinuxNamespace) (Finding, bool) {
	mine := func(ns specs.LinuxNamespace) bool { return ns.Type == t.name }
	f := Finding{
		Pointer: "/linux/namespaces", Mend: t.mend,
		Found: "the host's " + t.shared, Wanted: fmt.Sprintf("its own %s namespace", t.name),
	}
	at := slices.IndexFunc(list, mine)
	if at < 0 {
		if t.name == specs.CgroupNamespace {
			f.Edits = []Edit{{Insert, fmt.Sprintf("/linux/namespaces/%d", len(list)), specs.LinuxNamespace{Type: t.name}}}
		}
		return f, !t.absent && !in.mayShare(t.name)
	}
	f.Pointer = fmt.Sprintf("/linux/namespaces/%d", at)
	if slices.ContainsFunc(list[at+1:], mine) {
		f.Found, f.Wanted, f.Mend = fmt.Sprintf("two %s namespaces", t.name), "one", "drop one of them from the bundle's config.json"
		return f, true
	}
	path := list[at].Path
	if path == "" {
		return f, false
	}
	f.Pointer += "/path"
	ns := in.namespace(path)
	switch {
	case ns.Problem != "":
		f.Found = "a namespace that can't be judged: " + ns.Problem
		f.Wanted = "that of another container, or one of its own"
	case ns.Host:
		return f, !in.mayShare(t.name)
	case !t.joined:
		f.Found = fmt.Sprintf("the %s namespace of %s", t.name, cut(path))
	default:
		return f, false
	}
	return f, true
}

// namespace is what a path leads to. What nobody looked at can't be judged.
func (in Input) namespace(path string) Namespace {
	ns, ok := in.Facts.Namespaces[path]
	if !ok {
		ns.Problem = cut(path) + " was not examined"
	}
	return ns
}

// ownNamespace: the container has a namespace of the type that is not the host's.
func (in Input) ownNamespace(t specs.LinuxNamespaceType) bool {
	return slices.ContainsFunc(linux(in.Spec).Namespaces, func(ns specs.LinuxNamespace) bool {
		return ns.Type == t && (ns.Path == "" || in.namespace(ns.Path) == Namespace{})
	})
}

// mayShare: the policy lets the container have the host's namespace. With the host's network comes its name: the CRI has no
// pod with the one and not the other.
func (in Input) mayShare(t specs.LinuxNamespaceType) bool {
	allowed := func(t specs.LinuxNamespaceType) bool {
		return slices.Contains(in.Policy.Controls.HostNamespaces.Allow, policy.HostNamespace(t))
	}
	network := func() bool {
		return allowed(specs.NetworkNamespace) || in.lifted("hostNamespaces", string(specs.NetworkNamespace))
	}
	return allowed(t) || t == specs.UTSNamespace && network()
}
