// Package policy says what is wanted of a container: one block of settings for each control.
//
// It is pure data. Where a policy comes from is not its business.
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

// Policy is what holds for one workload.
type Policy struct {
	// Source says where the decision comes from, in the words that end a refusal: "built-in preset hardened".
	Source   string
	Controls Controls
}

// Controls has one block for each control, under the control's own name.
type Controls struct {
	Specification   Plain
	Checkpoint      Plain
	Privileged      Plain
	NonRoot         NonRoot
	Capabilities    Capabilities
	NoNewPrivileges Plain
	ReadOnlyRootfs  ReadOnlyRootfs
	ProcMounts      Plain
	Seccomp         Plain
}

// Plain is a control that has no settings but its action.
type Plain struct {
	Action Action
}

// NonRoot is process.user: never UID 0, never nobody.
type NonRoot struct {
	Action Action
	// Assign is the user that a container gets in place of one that is not allowed.
	Assign User
	// Low decides about UIDs 1 to 9999, the system accounts.
	Low Low
	// AllowGroups lists the group IDs that may be kept although the control would take them away (0).
	AllowGroups []uint32
}

// User is a numeric user and group.
type User struct {
	UID, GID uint32
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

// Capabilities is process.capabilities: the most that a container may have.
type Capabilities struct {
	Action Action
	// Allow has names as config.json writes them: CAP_NET_BIND_SERVICE.
	Allow []string
}

// ReadOnlyRootfs is root.readonly, and the tmpfs that make a read-only root bearable.
type ReadOnlyRootfs struct {
	Action Action
	Tmpfs  []Tmpfs
}

// Tmpfs is a folder that is writable, and gone with the container.
type Tmpfs struct {
	// Path is absolute, in the container.
	Path string
	// Size is in bytes.
	Size int64
	// Mode is the folder's permission bits.
	Mode uint32
	// Exec lets programs be run from it.
	Exec bool
	// CopyUp fills it with what the image has at the path.
	CopyUp bool
}
