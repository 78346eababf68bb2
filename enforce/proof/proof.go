// Package proof holds what the kernel says of a live process against the configuration that it was made from.
//
// Between create and start, runc's init has set everything and waits in open(2) of exec.fifo for its turn to execute the
// container's program. What is read then is what that program gets (execve(2) keeps it), before its first instruction.
//
// Read does all the I/O. Hold is pure, and every fact is held one-sided: stricter than asked is good. What it tolerates, because runc or
// the kernel make it so, is said where it is.
package proof

import (
	"runclamp/enforce"
	"runclamp/enforce/apparmor"
)

// Facts are what was read of a process. Fields that are not read, because the configuration asks for nothing of the kind or because
// they can't be read, are empty; Unread says which of them could not be.
type Facts struct {
	Status *Status
	// Programs are the seccomp filters. They are not read if the configuration has none.
	Programs []Program
	// Mounts are what its mount namespace has.
	Mounts []Mount
	// Paths are what the configuration's paths lead to inside of the container's root. A path that is not here leads to itself.
	Paths map[string]Path
	// Namespaces are by the names they have in /proc/PID/ns.
	Namespaces map[string]Namespace
	Cgroup     Cgroup
	// OOMScoreAdj is nil if it was not read.
	OOMScoreAdj *int
	// Limits are by the names they have in setrlimit(2), like RLIMIT_NOFILE.
	Limits map[string]Limit
	// AppArmor is for the caller to fill in: it is not the process's.
	AppArmor enforce.AppArmor
	// Label is what confines a process that has executed its program.
	Label apparmor.Label
	// Started: it has.
	Started bool
	// Rootless: we are not in the initial user namespace, so the engine is somebody's own.
	Rootless bool
	Unread   []Gap
}

// Gap is a fact that could not be read.
type Gap struct {
	// Fact is the finding's detail.
	Fact string
	Err  error
}

// Status is of /proc/PID/status. In a user namespace the IDs are those inside of it.
type Status struct {
	// UIDMap and GIDMap are of the user namespace that the configuration has, if the process is in one.
	UIDMap, GIDMap []IDMap
	// UIDs and GIDs are real, effective, saved, file system.
	UIDs, GIDs [4]uint32
	Groups     []uint32
	// Inheritable and so on are sets of bits.
	Inheritable, Permitted, Effective, Bounding, Ambient uint64
	NoNewPrivs                                           bool
	// Seccomp is the mode: 2 is with filters.
	Seccomp int
}

// Mount is a line of /proc/PID/mountinfo (proc_pid_mountinfo(5)).
type Mount struct {
	ID, Parent int
	// Device and Root say what is mounted, whatever name it was mounted by.
	Device, Root string
	// At is where, seen from the root of the process.
	At string
	// Options are of this mount, and not of the file system.
	Options        []string
	FSType, Source string
}

// Path is what a path of the configuration leads to.
type Path struct {
	// To has no links.
	To     string
	Exists bool
}

// Namespace is one of the process.
type Namespace struct {
	// Own, Host and Joined are what the kernel calls it, like pid:[4026532400]: the process's, those of ours and of the
	// host's init, and the one that the configuration names a path of.
	Own    string
	Host   []string
	Joined string
}

// Cgroup are the limits of the process's control group. Nil: not read.
type Cgroup struct {
	// Pids, Memory (bytes) are Unlimited if there is no limit.
	Pids, Memory *int64
	// CPU is the time that the group may use of each second, in microseconds, or Unlimited.
	CPU *int64
}

// Limit is a resource limit.
type Limit struct{ Soft, Hard uint64 }

// Unlimited is no limit.
const Unlimited = -1
