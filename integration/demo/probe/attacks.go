package main

// attack is one thing that a container should not be able to do.
type attack struct {
	name string
	// open says why runclamp leaves it possible; empty: it must be blocked.
	open string
	// try is nil if it succeeded.
	try func() error
}

// attacks is the table, in the order in which it is printed. Names say it in the words of a person, not of the kernel.
func attacks() []attack {
	return []attack{
		{name: "be UID 0, which is root on the host as well", try: beRoot},
		{name: "become another user (setuid)", try: setUID},
		{name: "take on another group (setgid)", try: setGID},
		{name: "join the shadow group (setgroups)", try: setGroups},

		{name: "create a file in /usr", try: func() error { return create("/usr/planted") }},
		{name: "create a file in /", try: func() error { return create("/planted") }},
		{name: "change /etc/passwd", try: func() error { return openForWriting("/etc/passwd") }},
		{name: "replace a program of the image", try: func() error { return openForWriting("/usr/bin/tool") }},
		{name: "read /etc/shadow", try: func() error { return read("/etc/shadow") }},
		{name: "read another user's private file", try: func() error { return read("/home/other/secret") }},
		{name: "change the mode of another user's file", try: changeMode},
		{name: "give a file to another user (chown)", try: giveAway},
		{name: "open any file by its inode (open_by_handle_at)", try: openByHandle},

		{name: "run a program dropped into a writable folder", try: runDropped},
		{name: "run a program from memory (memfd)", try: runFromMemory,
			open: "a mount option can't forbid it, and Docker's default seccomp profile allows memfd_create"},
		{name: "plant a set-UID-root program for others to run", try: plantSetUID},
		{name: "become root by a set-UID program of the image", try: runSetUID},
		{name: "gain a capability by a program that has it", try: runFileCapability},
		{name: "give a program capabilities (setxattr)", try: giveCapability},

		{name: "make a device node (mknod)", try: makeDevice},
		{name: "change the root folder (chroot)", try: changeRoot},
		{name: "mount a tmpfs", try: mountTmpfs},
		{name: "make a user namespace", try: makeUserNamespace},
		{name: "make a mount namespace (unshare)", try: unshareMounts},
		{name: "enter a namespace (setns)", try: enterNamespace},

		{name: "open a raw IP socket", try: rawSocket},
		{name: "open a packet socket (AF_PACKET)", try: packetSocket},
		{name: "talk to the hypervisor (AF_VSOCK)", try: vsock},
		{name: "AF_VSOCK by the 32-bit socketcall", try: vsock32},
		{name: "use the kernel's crypto API (AF_ALG)", try: algSocket},
		{name: "AF_ALG by the 32-bit socketcall", try: algSocket32},
		{name: "make any 32-bit system call (int 0x80)", try: getpid32},
		{name: "listen on port 80", try: lowPort,
			open: "Docker makes it free to everyone in the container's own network namespace (net.ipv4.ip_unprivileged_port_start=0)"},

		{name: "read kernel memory (/proc/kcore)", try: func() error { return readUnmasked("/proc/kcore") }},
		{name: "read the kernel's keys (/proc/keys)", try: func() error { return readUnmasked("/proc/keys") }},
		{name: "read interrupt timing (/proc/interrupts)", try: func() error { return readUnmasked("/proc/interrupts") }},
		{name: "set the host's core_pattern", try: func() error { return openForWriting("/proc/sys/kernel/core_pattern") }},
		{name: "reach the kernel's SysRq (/proc/sysrq-trigger)", try: func() error { return openForWriting("/proc/sysrq-trigger") }},
		{name: "change a control group", try: changeCgroup},
		{name: "read the kernel log (syslog)", try: kernelLog},
		{name: "load a kernel module (init_module)", try: loadModule},
		{name: "use the kernel's keyring (keyctl)", try: keyring},
		{name: "make a BPF map (bpf)", try: makeMap},
		{name: "watch the processor (perf_event_open)", try: watchProcessor},
		{name: "set up an io_uring", try: setUpRing},
		{name: "handle its own page faults (userfaultfd)", try: pageFaults},
		{name: "take real-time priority (sched_setscheduler)", try: realTime},
		{name: "trace a process of its own (ptrace)", try: trace,
			open: "Docker's default seccomp profile allows it, and it reaches the container's own processes only"},
	}
}
