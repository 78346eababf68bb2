// Package enforce decides whether a container may start as its engine asked for it, and what has to change first.
//
// Decisions are pure: (policy, facts, configuration) -> decision. One control, one file; the registry in controls.go has their order.
package enforce

import (
	"runclamp/enforce/apparmor"
	"runclamp/enforce/policy"
	"runclamp/enforce/seccomp"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Control is one guarantee about a container.
type Control struct {
	// Name is stable: it is written in policies, refusals and the audit log.
	Name string
	// Fields are the fields of config.json that the control answers for, as JSON pointers.
	Fields []string
	// Action is what the policy says about this control's findings.
	Action func(policy.Controls) policy.Action
	// Reference is how others call the same thing.
	Reference Reference
	// Check holds the configuration against the policy. It changes nothing: what has to change is in the findings' edits.
	Check func(Input) []Finding
}

// Reference is how a control's guarantee is called elsewhere. docs/controls.md is made from it.
type Reference struct {
	// Fix says what the action fix does. Empty: nothing of it can be fixed.
	Fix string
	// Docker, Compose and Kubernetes are the flags, keys and fields by which a container is started so that the control finds
	// nothing. Empty: nothing needs to be said.
	Docker, Compose, Kubernetes string
	// PSS are the checks of the Kubernetes Pod Security Standards that are about the same, CIS the sections of the CIS Docker
	// Benchmark, Gatekeeper the templates of its library.
	PSS, CIS, Gatekeeper []string
}

// Input is all that a control may look at.
type Input struct {
	Policy   policy.Policy
	Workload policy.Workload
	// Verb is the runtime's: create, run, restore.
	Verb string
	// Beside is what comes with the verb and does not stand in the configuration (NoPivot and the like).
	Beside []string
	Facts  Facts
	// Spec is the configuration as the controls before this one have left it.
	Spec *specs.Spec
	// Asked is the configuration as the engine sent it.
	Asked *specs.Spec
}

// Facts are what a decision has to know of the host. They are found before it, so that deciding does no I/O.
type Facts struct {
	// ImageContent are the paths, among those of policy.ReadOnlyRootfs, that are folders in the container's root filesystem with something
	// in them.
	ImageContent map[string]bool
	AppArmor     AppArmor
	// Owners are who the folders that are bound into the container belong to, by the mount's source. They are found for
	// writable ones only.
	Owners map[string]Owner
	// Names are the image's files of users and groups. Nil: it has none, or nobody wants to know.
	Names *Names
	// UserNamespace: the host itself is in a user namespace, as a rootless engine is.
	UserNamespace bool
	// Unknown are the fields of config.json that the specification does not have, as JSON pointers.
	Unknown []string
	// HardLimits are those that the process inherits unless it gets its own (setrlimit(2)), by the names that config.json has
	// for them. OOMScoreAdj is the same for oom_score_adj.
	HardLimits  map[string]uint64
	OOMScoreAdj int
	// Namespaces are what the paths of linux.namespaces lead to, by the path.
	Namespaces map[string]Namespace
	// Hooks are what the paths of hooks lead to, by the path.
	Hooks map[string]Hook
	// BundlePath is the bundle's folder, where the files of a decision are put.
	BundlePath string
	// Mounts are where what is bound really is. Not looked for if hostMounts is off.
	Mounts Mounts
	// Devices are those that the policy allows.
	Devices Devices
	// Seccomp are the profiles that the policy names and runclamp does not have itself.
	Seccomp Seccomp
	// Program is what the container's first process executes. Not looked for where its machine doesn't matter.
	Program Program
}

// Program is a file of the image.
type Program struct {
	// Path is inside the container.
	Path string
	// Arch is the architecture whose system calls it makes, if that is a 32-bit one. Empty: it is not, or nobody knows.
	Arch specs.Arch
}

// Seccomp is what profiles of the policy depend on. It is found where the policy names one that is read.
type Seccomp struct {
	// Kernel is the machine's.
	Kernel seccomp.Kernel
	// Profiles are by the name that the policy has for them: NAME, file:/absolute/path.
	Profiles map[string]SeccompProfile
}

// SeccompProfile is a profile's file.
type SeccompProfile struct {
	Path string
	Text []byte
	// Problem is why it could not be read. Empty: it was.
	Problem string
}

// AppArmor is what the kernel knows of it.
type AppArmor struct {
	Enabled bool
	// Permissive is the mode that holds for all profiles, if it is one that denies nothing (complain).
	Permissive string
	// Loaded are the names of the profiles that are loaded in enforce mode. None if Permissive; nil if the list can't be read.
	Loaded map[string]bool
	// Own is the profile that the policy names, if it is not a shipped one. It has no text if there is no file of that name.
	// Problem is why it can't be used.
	Own     apparmor.Profile
	Problem string
}

// Owner is who a folder belongs to.
type Owner struct {
	UID, GID uint32
	// Mode has the permission bits.
	Mode uint32
}

// Names are /etc/passwd and /etc/group of the image.
type Names struct{ Passwd, Group string }

// Finding is one violation.
type Finding struct {
	// Control and Detail name the finding: "capabilities" and "SYS_ADMIN". Detail may be empty.
	Control string `json:"control"`
	Detail  string `json:"detail,omitempty"`
	// Pointer is where it stands in config.json (RFC 6901). Empty: it is not about the configuration.
	Pointer string `json:"pointer"`
	// Found and Wanted are for people: a few words each.
	Found  string `json:"found"`
	Wanted string `json:"wanted"`
	// Mend is what the person who starts the container can write instead, in the words of Docker and Kubernetes.
	Mend string `json:"mend,omitempty"`
	// Action is what was done about it. A control may set it to say less than the policy does, never more: audit, or fix for
	// what is mended under reject as well, because it is nobody's fault.
	Action policy.Action `json:"action"`
	// Edits make the finding go away. Nil: no rewrite is safe, and the finding refuses under fix as well. Empty: the edits
	// of the finding before it make this one go away too.
	Edits []Edit `json:"-"`
	// Files are what the edits need in the bundle, by name.
	Files map[string]string `json:"-"`
	// Load are the profiles that the edits need in the kernel.
	Load []apparmor.Profile `json:"-"`
}

// Name is the finding as policies and refusals write it: "control" or "control:detail".
func (f Finding) Name() string {
	if f.Detail == "" {
		return f.Control
	}
	return f.Control + ":" + f.Detail
}

// Edit is one change of a configuration.
type Edit struct {
	Op Op
	// Pointer is an RFC 6901 JSON pointer. For Insert its last part is the index that the value will have.
	Pointer string
	// Value is what encoding/json makes the new value of; it has the type that runtime-spec gives the field.
	Value any
}

// Op is the kind of an Edit.
type Op string

const (
	// Set replaces the value, or adds it together with the objects on the way to it.
	Set Op = "set"
	// Insert puts a value into a list, before the one that is at the index now.
	Insert Op = "insert"
	// Remove takes the value away.
	Remove Op = "remove"
)

// Verdict is the outcome of a decision.
type Verdict string

const (
	// Unchanged: the configuration is good as it is.
	Unchanged Verdict = "unchanged"
	// Fixed: it is good once the edits are applied.
	Fixed Verdict = "fixed"
	// Refused: the container may not start.
	Refused Verdict = "refused"
)

// Preparation is what the edits of a finding need on the host: a profile that is loaded in enforce mode. It is data; who carries the
// decision out carries it out first, and refuses with Decision.Unprepared if it fails.
type Preparation struct {
	// Control is whose finding it is.
	Control string
	Profile apparmor.Profile
}

// Decision is what was decided about a container.
type Decision struct {
	Verdict Verdict
	// Findings are all there are, sorted by control and pointer, whatever the verdict.
	Findings []Finding
	// Edits turn the configuration into the clamped one, in this order. None if refused.
	Edits []Edit
	// Files are to be put into the bundle before the configuration, by name.
	Files map[string]string
	// Prepare is what has to be done on the host before that.
	Prepare []Preparation
	// Spec is the clamped configuration. Nil if refused.
	Spec *specs.Spec
}
