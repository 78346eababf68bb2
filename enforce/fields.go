package enforce

// Unjudged is a field of config.json that no control answers for.
type Unjudged struct {
	// Field is a JSON pointer, without the indices of lists. It stands for all that is below it.
	Field  string
	Reason string
}

// UnjudgedFields are the fields that nothing has to be said about, and why. A field of the runtime specification is either
// here or among a control's Fields; a test tells when a release of it brings one that nobody has decided about.
func UnjudgedFields() []Unjudged {
	return []Unjudged{
		{"/hostname", "a name in its own UTS namespace, which hostNamespaces wants"},
		{"/domainname", "as hostname"},
		{"/process/terminal", "a terminal is the caller's wish, and a device of the container's own"},
		{"/process/consoleSize", "the size of that terminal"},
		{"/process/args", "what runs is what is confined"},
		{"/process/user/username", "for Windows; no runtime for Linux reads it"},
		{"/linux/uidMappings", "only in a user namespace, where the worst of mappings gives what there is without one"},
		{"/linux/gidMappings", "as uidMappings"},
		{"/linux/resources/memory/reservation", "a goal for reclaiming memory; no more comes of it"},
		{"/linux/resources/memory/swap", "swap is not limited, and is kept as it is when memory is"},
		{"/linux/resources/memory/kernel", "a lower limit only; ignored by current kernels and runtimes"},
		{"/linux/resources/memory/kernelTCP", "a lower limit only"},
		{"/linux/resources/memory/swappiness", "how the container's own pages are swapped"},
		{"/linux/resources/memory/disableOOMKiller", "its processes wait at their own limit instead of being killed"},
		{"/linux/resources/memory/useHierarchy", "how its own children are counted; the kernel has no choice any more"},
		{"/linux/resources/memory/checkBeforeUpdate", "refuses an update that would kill"},
		{"/linux/resources/cpu/shares", "a weight; it takes no CPU from those that have a limit, and the kubelet sets it for every container"},
		{"/linux/resources/cpu/cpus", "a choice among the CPUs of the cgroup above"},
		{"/linux/resources/cpu/mems", "a choice among the memory nodes of the cgroup above"},
		{"/linux/resources/cpu/idle", "less than the lowest weight"},
		{"/linux/resources/blockIO", "weights, and limits that are none without it"},
		{"/linux/resources/hugepageLimits", "limits that are none without it"},
		{"/linux/resources/rdma", "limits that are none without it"},
	}
}
