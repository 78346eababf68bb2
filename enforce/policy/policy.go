// Package policy says what is wanted of a container: one block of settings for each control, and the policy file that
// they come from.
//
// It is pure: where the file's text comes from is not its business.
package policy

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
	Specification   Plain          `json:"specification" doc:"the configuration has what the other controls judge"`
	Checkpoint      Plain          `json:"checkpoint" doc:"checkpoint and restore, which take a process's user and capabilities from an image"`
	Privileged      Plain          `json:"privileged" doc:"no privileged container, which is root on the host"`
	NonRoot         NonRoot        `json:"nonRoot" doc:"the process is neither root nor nobody"`
	Capabilities    Capabilities   `json:"capabilities" doc:"the most capabilities that a container may have"`
	NoNewPrivileges Plain          `json:"noNewPrivileges" doc:"setuid programs and file capabilities give nothing"`
	ReadOnlyRootfs  ReadOnlyRootfs `json:"readOnlyRootfs" doc:"the root filesystem is read-only"`
	HostMounts      HostMounts     `json:"hostMounts" doc:"nothing of the host's own is mounted"`
	ProcMounts      Plain          `json:"procMounts" doc:"files of /proc and /sys that tell about the host are masked or read-only"`
	Devices         Devices        `json:"devices" doc:"no devices but those that every container has"`
	AppArmor        AppArmor       `json:"appArmor" doc:"the process is confined by an AppArmor profile"`
	Seccomp         Seccomp        `json:"seccomp" doc:"the system calls are filtered"`
	Exec            Exec           `json:"exec" doc:"what exec starts has no more than the container"`
}

// Plain is a control that has no settings but its action.
type Plain struct {
	Action Action `json:"action" tighten:"order" doc:"what happens to a finding"`
}

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
	// IfUnavailable decides where the kernel has no AppArmor.
	IfUnavailable IfUnavailable `json:"ifUnavailable" tighten:"order" doc:"where the kernel has no AppArmor: skip and record, or reject"`
}

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
	Action  Action         `json:"action" tighten:"order" doc:"what happens to a finding"`
	Profile SeccompProfile `json:"profile" tighten:"order" doc:"default: at least as strict as Docker's default; any: whatever the engine sends, but not unconfined"`
}

// SeccompProfile is what a container's own profile is held against.
type SeccompProfile string

const (
	// AnyProfile is whatever the engine sends, but not none.
	AnyProfile SeccompProfile = "any"
	// DefaultProfile is Docker's default for the capabilities that are left.
	DefaultProfile SeccompProfile = "default"
)

func (SeccompProfile) values() []string { return []string{"any", "default"} }

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
