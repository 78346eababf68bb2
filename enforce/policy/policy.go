// Package policy says what is wanted of a container: one block of settings for each control, and the policy file that
// they come from.
//
// It is pure: where the file's text comes from is not its business.
package policy

import (
	"reflect"
	"slices"
	"strings"
)

// Action is what happens to a finding of a control.
type Action string

const (
	// Off: the control is not looked at.
	Off Action = "off"
	// Audit: the finding is recorded, nothing is changed.
	Audit Action = "audit"
	// Fix: the configuration is rewritten so that the finding is gone. A finding for which no rewrite is safe refuses.
	Fix Action = "fix"
	// Reject: the finding refuses the container.
	Reject Action = "reject"
)

func (Action) values() []string { return []string{"off", "audit", "fix", "reject"} }

// Mode is what is done about decisions.
type Mode string

const (
	// ModeEnforce: they hold.
	ModeEnforce Mode = "enforce"
	// ModeAudit: they are recorded, nothing is changed and nothing refused.
	ModeAudit Mode = "audit"
)

func (Mode) values() []string { return []string{"audit", "enforce"} }

// Policy is what holds for one workload.
type Policy struct {
	// Source says where the decision comes from, in the words that end a refusal: "preset hardened, rule ingress". Who
	// knows the file's path puts it in front.
	Source   string
	Mode     Mode
	Controls Controls
	// TmpfsNamed: the rule names the folders of readOnlyRootfs. They are then wished for, also where the root was read-only
	// before.
	TmpfsNamed bool
	// Rule is the name of the rule that matched, if one did.
	Rule string
	// Tightened are the tighten entries that matched: the name, or the match where there is none.
	Tightened []string
	// Exceptions match and hold, Expired match and no longer hold.
	Exceptions, Expired []Exception
	// RequireProof refuses the verbs that can't be proved before the first instruction.
	RequireProof bool
	Audit        AuditLog
}

// Controls has one block for each control, under the control's own name.
//
// The tags are all that the file's reader, the schema and the documentation know of a setting:
//
//	json      its key
//	is        the format of its value, or of those in its list (format.go)
//	required  it must be there, and why
//	default   its value where a block is given without it; the presets have the defaults of a control's own keys
//	unique    the key by which no two in its list may be the same
//	tighten   how a tighten entry makes it stricter (tighten.go); without one, a tighten entry must not name it
//	doc       what it means, in a few words
type Controls struct {
	Specification   Specification  `json:"specification" doc:"the configuration has what the other controls judge, and nothing that none of them does"`
	Checkpoint      Plain          `json:"checkpoint" doc:"checkpoint and restore, which take a process's user and capabilities from an image"`
	Privileged      Plain          `json:"privileged" doc:"no privileged container, which is root on the host"`
	Annotations     Annotations    `json:"annotations" doc:"no annotation changes what a runtime, systemd or CRIU does"`
	Hooks           Hooks          `json:"hooks" doc:"no program is run on the host, but the engine's own and those that are listed"`
	HostNamespaces  HostNamespaces `json:"hostNamespaces" doc:"no namespace is shared with the host"`
	NonRoot         NonRoot        `json:"nonRoot" doc:"the process is neither root nor nobody"`
	Capabilities    Capabilities   `json:"capabilities" doc:"the most capabilities that a container may have"`
	NoNewPrivileges Plain          `json:"noNewPrivileges" doc:"setuid programs and file capabilities give nothing"`
	Environment     Environment    `json:"environment" doc:"no variable puts other code into every program"`
	ReadOnlyRootfs  ReadOnlyRootfs `json:"readOnlyRootfs" doc:"the root filesystem is read-only"`
	HostMounts      HostMounts     `json:"hostMounts" doc:"nothing of the host's own is mounted"`
	ProcMounts      Plain          `json:"procMounts" doc:"files of /proc and /sys that tell about the host are masked or read-only"`
	Devices         Devices        `json:"devices" doc:"no devices but those that every container has"`
	Resources       Resources      `json:"resources" doc:"processes, memory, CPU time and core dumps have limits"`
	Sysctls         Sysctls        `json:"sysctls" doc:"only kernel parameters that are safe and the container's own"`
	AppArmor        AppArmor       `json:"appArmor" doc:"the process is confined by an AppArmor profile"`
	Seccomp         Seccomp        `json:"seccomp" doc:"the system calls are filtered"`
	Exec            Exec           `json:"exec" doc:"what exec starts has no more than the container"`
}

// Plain is a control that has no settings but its action.
type Plain struct {
	Action Action `json:"action" tighten:"order" doc:"what happens to a finding"`
}

// Specification is every field of config.json that no other control answers for.
type Specification struct {
	Action Action `json:"action" tighten:"order" doc:"what happens to a finding"`
	// Allow has fields as a refusal names them: linux.intelRdt.
	Allow []string `json:"allow" is:"field" tighten:"intersect" doc:"fields that may be as they are, named as the refusal names them: linux.intelRdt"`
}

// Resources are the limits that a container has at least. They are put in where there is none or a larger one, and never
// raised.
type Resources struct {
	Action Action `json:"action" tighten:"order" doc:"what happens to a finding"`
	// Pids is the most processes and threads; 0 is no limit.
	Pids int64 `json:"pids" is:"pids" tighten:"limit" doc:"the most processes and threads, or none"`
	// Memory is in bytes; 0 is no limit.
	Memory int64 `json:"memory" is:"memory" tighten:"limit" doc:"the most memory, without swap: 512Mi, 2Gi, or none"`
	// CPUs is in thousandths of a CPU; 0 is no limit.
	CPUs int64 `json:"cpus" is:"cpus" tighten:"limit" doc:"the most CPU time: 1.5, 500m, or none"`
	// Rlimits are the highest hard limits, by the names that config.json has for them: RLIMIT_CORE.
	Rlimits Rlimits `json:"rlimits" tighten:"rlimits" doc:"the highest hard limits of setrlimit(2), by name: {core: 0, nofile: 65536}"`
	// OOMScoreAdj is about who is killed first when the host has no memory left.
	OOMScoreAdj OOMScoreAdj `json:"oomScoreAdj" tighten:"fields" doc:"who is killed first when the host is out of memory"`
}

// Rlimits are limits of setrlimit(2), by their names there.
type Rlimits map[string]uint64

// OOMScoreAdj is process.oomScoreAdj.
type OOMScoreAdj struct {
	Min int64 `json:"min" is:"oomScoreAdj" tighten:"floor" required:"it is all there is to say about oomScoreAdj" doc:"the lowest that a container may have, -1000 to 1000"`
}

// Annotations is annotations: the keys that a runtime, or what it calls, takes for instructions.
type Annotations struct {
	Action Action `json:"action" tighten:"order" doc:"what happens to a finding"`
	// Allow has whole keys.
	Allow []string `json:"allow" is:"annotation" tighten:"intersect" doc:"keys that are let through although they change what a runtime does"`
}

// Hooks is hooks: programs that the runtime runs on the host, as root.
type Hooks struct {
	Action Action `json:"action" tighten:"order" doc:"what happens to a finding"`
	// Allow has paths as they are when all links are resolved.
	Allow []string `json:"allow" is:"file" tighten:"intersect" doc:"programs that may be run on the host, with any arguments; the path without links"`
}

// HostNamespaces is linux.namespaces.
type HostNamespaces struct {
	Action Action `json:"action" tighten:"order" doc:"what happens to a finding"`
	// Allow are those that may be the host's.
	Allow []HostNamespace `json:"allow" tighten:"intersect" doc:"namespaces that may be the host's; network includes uts"`
}

// HostNamespace is a namespace that a container may share with the host.
type HostNamespace string

const (
	// HostCgroup is not refused but mended: who allows it leaves a container without a cgroup namespace as it is.
	HostCgroup HostNamespace = "cgroup"
	// HostIPC is System V IPC and POSIX message queues.
	HostIPC HostNamespace = "ipc"
	// HostNetwork includes HostUTS.
	HostNetwork HostNamespace = "network"
	// HostPID is all processes of the host.
	HostPID HostNamespace = "pid"
	// HostUTS is the host's name.
	HostUTS HostNamespace = "uts"
)

func (HostNamespace) values() []string { return []string{"cgroup", "ipc", "network", "pid", "uts"} }

// NonRoot is process.user: never UID 0, never nobody.
type NonRoot struct {
	Action Action `json:"action" tighten:"order" doc:"what happens to a finding"`
	// Assign is the user that a container gets in place of one that is not allowed.
	Assign User `json:"assign" doc:"the user in place of one that is not allowed"`
	// Low decides about UIDs 1 to 9999, the system accounts.
	Low Low `json:"low" tighten:"order" doc:"what about UIDs 1 to 9999, the system accounts: keep and record, assign another, reject"`
	// Groups are about the group IDs that the control would take away.
	Groups Groups `json:"groups" tighten:"fields" doc:"groups that the control would take away"`
	// Passwd gives the assigned user a name in the container's /etc/passwd and /etc/group.
	Passwd bool `json:"passwd" doc:"give the assigned user a name in /etc/passwd and /etc/group"`
}

// User is a numeric user and group.
type User struct {
	UID uint32 `json:"uid" is:"assignedID" required:"a user is a uid and a gid" doc:"user ID"`
	GID uint32 `json:"gid" is:"assignedID" required:"a user is a uid and a gid" doc:"group ID"`
}

// Groups are exceptions from what nonRoot does about groups.
type Groups struct {
	// Allow lists the group IDs that may be kept although the control would take them away (0).
	Allow []uint32 `json:"allow" tighten:"intersect" required:"it is all there is to say about groups" doc:"group IDs that may be kept (0)"`
}

// Low is what nonRoot does about a UID from 1 to 9999.
type Low string

const (
	// KeepLow leaves a low UID and records it.
	KeepLow Low = "keep"
	// AssignLow replaces a low UID by the assigned one.
	AssignLow Low = "assign"
	// RejectLow refuses a low UID.
	RejectLow Low = "reject"
)

func (Low) values() []string { return []string{"keep", "assign", "reject"} }

// Capabilities is process.capabilities: the most that a container may have.
type Capabilities struct {
	Action Action `json:"action" tighten:"order" doc:"what happens to a finding"`
	// Allow has names as config.json writes them: CAP_NET_BIND_SERVICE.
	Allow []string `json:"allow" is:"capability" tighten:"intersect" doc:"the capabilities that a container may have, if it asks for them"`
}

// Environment is process.env.
type Environment struct {
	Action Action `json:"action" tighten:"order" doc:"what happens to a finding"`
	// Deny has names of variables.
	Deny []string `json:"deny" is:"variable" tighten:"union" doc:"variables that are reported, never with their values"`
}

// Sysctls is linux.sysctl.
type Sysctls struct {
	Action Action `json:"action" tighten:"order" doc:"what happens to a finding"`
	// Allow has names with dots: net.core.somaxconn.
	Allow []string `json:"allow" is:"sysctl" tighten:"intersect" doc:"kernel parameters that may be set, besides the safe ones of the Pod Security Standards"`
}

// ReadOnlyRootfs is root.readonly, and the tmpfs that make a read-only root bearable.
type ReadOnlyRootfs struct {
	Action Action  `json:"action" tighten:"order" doc:"what happens to a finding"`
	Tmpfs  []Tmpfs `json:"tmpfs" unique:"path" tighten:"tmpfs" doc:"folders that are writable all the same, and gone with the container"`
}

// Tmpfs is a folder that is writable, and gone with the container.
type Tmpfs struct {
	// Path is absolute, in the container.
	Path string `json:"path" is:"tmpfsPath" required:"a tmpfs is a path and a size" doc:"absolute path in the container"`
	// Size is in bytes.
	Size int64 `json:"size" is:"size" required:"a tmpfs is memory, and without a size it is half of the host's" doc:"64Mi, 1Gi, 500M or bytes"`
	// Mode is the folder's permission bits.
	Mode uint32 `json:"mode" is:"mode" default:"0755" doc:"permission bits, octal; the container's user owns the folder"`
	// Exec lets programs be run from it.
	Exec bool `json:"exec" doc:"programs may be run from it"`
	// CopyUp fills it with what the image has at the path.
	CopyUp bool `json:"copyUp" doc:"fill it with what the image has there"`
}

// HostMounts is mounts, and where the root filesystem is.
type HostMounts struct {
	Action Action `json:"action" tighten:"order" doc:"what happens to a finding; what may be bound gets nosuid,nodev in any case"`
	// Allow are the host's files and folders that may be bound, with all that is below.
	Allow []HostMount `json:"allow" unique:"source" tighten:"intersect" doc:"files and folders of the host that may be bound, with all below"`
}

// HostMount is a file or folder of the host that may be bound.
type HostMount struct {
	// Source is absolute, on the host.
	Source string `json:"source" is:"file" required:"it is what may be bound" doc:"absolute path on the host"`
	// ReadOnly: it may only be read, and so may what is mounted below it.
	ReadOnly bool `json:"readOnly" doc:"only to be read, with all that is mounted below it"`
}

// Devices is linux.devices, and the rules of the device cgroup.
type Devices struct {
	Action Action `json:"action" tighten:"order" doc:"what happens to a finding"`
	// Allow are the host's devices that a container may have, by their path on the host.
	Allow []string `json:"allow" is:"file" tighten:"intersect" doc:"devices that a container may have, by their path on the host"`
}

// AppArmor is process.apparmorProfile.
type AppArmor struct {
	Action Action `json:"action" tighten:"order" doc:"what happens to a finding"`
	// Profile is a shipped name, a name in the configuration folder's profiles/, or file:/absolute/path.
	Profile string `json:"profile" is:"profile" doc:"a shipped profile, one in the configuration folder's profiles/, or file:/absolute/path"`
	// Allow is not empty: the profile is made of it, whatever Profile says.
	Allow AppArmorAllow `json:"allow" doc:"what one service may do; if anything is listed, the profile runclamp-allow is made of it and used instead"`
	// IfUnavailable decides where the kernel has no AppArmor.
	IfUnavailable IfUnavailable `json:"ifUnavailable" tighten:"order" doc:"where the kernel has no AppArmor: skip and record, or reject"`
}

// AppArmorAllow is what a service needs. Paths are the container's, without links; a folder stands for all that is below it.
type AppArmorAllow struct {
	Read    []string        `json:"read" is:"confinedPath" doc:"files and folders that it reads"`
	Write   []string        `json:"write" is:"confinedPath" doc:"files and folders that it reads and writes"`
	Execute []string        `json:"execute" is:"confinedPath" doc:"programs that it runs and libraries that it loads"`
	Network []NetworkFamily `json:"network" doc:"families of socket(2) that it speaks"`
}

// Empty: nothing is listed.
func (a AppArmorAllow) Empty() bool {
	return len(a.Read)+len(a.Write)+len(a.Execute)+len(a.Network) == 0
}

// AppArmors are the settings of the control that a container may get: what holds for all, and what rules lay over it. Each once.
func (f *File) AppArmors() ([]AppArmor, error) {
	var all []AppArmor
	add := func(c Controls) {
		same := func(a AppArmor) bool { return reflect.DeepEqual(a, c.AppArmor) }
		if c.AppArmor.Action != Off && !slices.ContainsFunc(all, same) {
			all = append(all, c.AppArmor)
		}
	}
	add(f.Base)
	for _, r := range f.Rules {
		c := f.Base
		if err := r.Controls.lay(&c); err != nil {
			return nil, err
		}
		add(c)
	}
	return all, nil
}

// NetworkFamily is a family of socket(2) that a service may list.
type NetworkFamily string

func (NetworkFamily) values() []string { return NetworkFamilies() }

// NetworkFamilies are those that a service may list. The others lead to the host's hardware and to parts of the kernel that few use.
func NetworkFamilies() []string { return []string{"inet", "inet6", "netlink", "unix"} }

// IfUnavailable is what appArmor does where the kernel has no AppArmor.
type IfUnavailable string

const (
	// SkipUnavailable records it.
	SkipUnavailable IfUnavailable = "skip"
	// RejectUnavailable refuses the container.
	RejectUnavailable IfUnavailable = "reject"
)

func (IfUnavailable) values() []string { return []string{"skip", "reject"} }

// Seccomp is linux.seccomp.
type Seccomp struct {
	Action Action `json:"action" tighten:"order" doc:"what happens to a finding"`
	// Profile names what a container's own profile is held against.
	Profile SeccompProfile `json:"profile" is:"seccompProfile" tighten:"join" doc:"what is installed is at least as strict as this: default (Docker's), strict, one in the configuration folder's profiles/, file:/absolute/path, or several joined by +; any: whatever the engine sends, but not unconfined"`
	// Architectures decides about system calls of others than the machine's own.
	Architectures Architectures `json:"architectures" tighten:"order" doc:"system calls of the machine's own architecture only, or of all that the profile names (keep: for 32-bit programs)"`
	// Listeners are sockets of agents that may decide about system calls.
	Listeners []string `json:"listeners" is:"file" tighten:"intersect" doc:"sockets on the host of agents that may decide about system calls (SCMP_ACT_NOTIFY)"`
}

// SeccompProfile is one profile's name, or several joined by "+": what is installed is then at least as strict as each.
type SeccompProfile string

const (
	// AnyProfile is whatever the engine sends, but not none.
	AnyProfile SeccompProfile = "any"
	// DefaultProfile is Docker's default for the capabilities that are left.
	DefaultProfile SeccompProfile = "default"
	// StrictProfile is the allow list for ordinary network services.
	StrictProfile SeccompProfile = "strict"
)

// Names are the profiles that it names, each once: default, strict, NAME (in the configuration folder's profiles/) or
// file:/absolute/path. None is AnyProfile.
func (p SeccompProfile) Names() []string {
	if p == AnyProfile {
		return nil
	}
	return strings.Split(string(p), "+")
}

// join is the profile that is as strict as both.
func (p SeccompProfile) join(q SeccompProfile) SeccompProfile {
	names := p.Names()
	for _, name := range q.Names() {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return AnyProfile
	}
	return SeccompProfile(strings.Join(names, "+"))
}

// Architectures is what a seccomp profile may say about system calls of further architectures.
type Architectures string

const (
	// KeepArchitectures leaves those that the engine's profile names.
	KeepArchitectures Architectures = "keep"
	// NativeArchitecture takes all out but the machine's own.
	NativeArchitecture Architectures = "native"
)

func (Architectures) values() []string { return []string{"keep", "native"} }

// Exec is what a process that is started in a running container may have.
type Exec struct {
	Action Action   `json:"action" tighten:"order" doc:"what happens to a finding"`
	User   ExecUser `json:"user" doc:"the user that it runs as"`
}

// ExecUser is the user of a process that is started in a running container.
type ExecUser string

// ContainerUser is the one that the container runs as.
const ContainerUser ExecUser = "container"

func (ExecUser) values() []string { return []string{"container"} }
