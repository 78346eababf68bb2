package seccomp

import (
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Strict is an allow list for ordinary network services: what programs in Go, Python, JavaScript and Java, web servers and
// databases do, and what runc does between loading the filter and executing the program. It lets nothing through that Docker's
// default denies to a container without capabilities; Omissions says what is left out, and why.
func Strict() *specs.LinuxSeccomp {
	eperm, enosys := uint(1), uint(38)
	p := &specs.LinuxSeccomp{
		DefaultAction: specs.ActErrno, DefaultErrnoRet: &eperm, Architectures: []specs.Arch{Native()},
		Syscalls: []specs.LinuxSyscall{
			{Names: strictCalls(Native()), Action: specs.ActAllow},
			// glibc takes clone(2), whose flags can be looked at, only if there is no clone3(2).
			{Names: []string{"clone3"}, Action: specs.ActErrno, ErrnoRet: &enosys},
			// No new namespace: all of CLONE_NEW* but CLONE_NEWTIME, which clone(2) does not have.
			{Names: []string{"clone"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Index: cloneFlags(), Value: 0x7e020000, Op: specs.OpMaskedEqual}}},
			// Named pipes only (S_IFMT is 0170000, S_IFIFO is 0010000).
			{Names: []string{"mknod"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Index: 1, Value: 0o170000, ValueTwo: 0o010000, Op: specs.OpMaskedEqual}}},
			{Names: []string{"mknodat"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Index: 2, Value: 0o170000, ValueTwo: 0o010000, Op: specs.OpMaskedEqual}}},
		},
	}
	for _, family := range []uint64{1, 2, 10, 16} { // AF_UNIX, AF_INET, AF_INET6, AF_NETLINK
		p.Syscalls = append(p.Syscalls, specs.LinuxSyscall{
			Names: []string{"socket"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Index: 0, Value: family, Op: specs.OpEqualTo}},
		})
	}
	return p
}

// cloneFlags is the index of clone's flags: s390 has the arguments the other way round (clone(2)).
func cloneFlags() uint {
	if Native() == specs.ArchS390X {
		return 1
	}
	return 0
}

// strictCalls are those that need no condition on a machine of some architecture. The names of 32-bit architectures are among them, for programs that a policy lets
// run (architectures: keep).
func strictCalls(arch specs.Arch) []string {
	return slices.Concat(
		own(arch),
		strings.Fields(`access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2
			fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync
			fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 getcwd getdents
			getdents64 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch ioctl lchown lchown32 lgetxattr link linkat
			listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 mkdir mkdirat newfstatat open openat openat2 pread64
			preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv removexattr removexattrat rename renameat renameat2
			rmdir sendfile sendfile64 setxattr setxattrat splice stat stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range
			syncfs truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes write writev`),
		strings.Fields(`brk madvise map_shadow_stack membarrier mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap mseal msync munlock munlockall
			munmap pkey_alloc pkey_free pkey_mprotect`),
		strings.Fields(`accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 recvmsg send
			sendmmsg sendmsg sendto setsockopt shutdown socketpair`),
		strings.Fields(`epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 _newselect pipe pipe2 poll ppoll
			ppoll_time64 pselect6 pselect6_time64 select signalfd signalfd4 io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64
			io_setup io_submit`),
		strings.Fields(`arch_prctl execve exit exit_group fork futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake get_thread_area
			getcpu getpgid getpgrp getpid getppid getpriority getrlimit getrusage getsid gettid kill pause pidfd_open pidfd_send_signal prctl
			prlimit64 restart_syscall riscv_hwprobe rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
			rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
			sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setparam
			sched_setscheduler sched_yield set_robust_list set_thread_area set_tid_address setpgid setpriority setrlimit setsid sigaltstack
			sigprocmask sigreturn tgkill times tkill ugetrlimit uretprobe vfork wait4 waitid waitpid`),
		strings.Fields(`semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget`),
		strings.Fields(`capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid getresgid32 getresuid
			getresuid32 getuid getuid32 landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp setgid setgid32 setgroups setgroups32
			setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32`),
		strings.Fields(`alarm clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer getrandom
			gettimeofday nanosleep setitimer sysinfo time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime
			timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 uname`),
	)
}

// own are the calls that only one family of machines has.
func own(arch specs.Arch) []string {
	switch arch {
	case specs.ArchARM, specs.ArchAARCH64:
		return []string{"arm_fadvise64_64", "arm_sync_file_range", "cacheflush", "set_tls", "sync_file_range2"}
	case specs.ArchPPC64LE:
		return []string{"sync_file_range2"}
	case specs.ArchRISCV64:
		return []string{"riscv_flush_icache"}
	}
	return nil
}

// Omission is what Docker's default lets a container without capabilities do, and Strict does not.
type Omission struct {
	// Group is what the calls are about.
	Group string
	Calls []string
	// Why says what is gained, and who would miss them.
	Why string
}

// Omissions are all of them. docs/seccomp.md has them as a table.
func Omissions() []Omission {
	of := func(group, calls, why string) Omission { return Omission{group, strings.Fields(calls), why} }
	return []Omission{
		of("other processes", "ptrace process_vm_readv process_vm_writev process_mrelease get_robust_list", "they read and change another process, and whoever takes over one process has the keys in the memory of all; debuggers and crash reporters need them"),
		of("programs without a file", "memfd_create execveat", "they run a program that no file has, which gets round read-only and noexec mounts; container runtimes and some just-in-time compilers (.NET has another way) need them"),
		of("secret memory", "memfd_secret", "nobody can look at it, not even who examines the container; hardly any program has it"),
		of("message queues", "mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd", "they have been a way into the kernel (CVE-2017-11176; msgsnd shapes its memory in the exploit of CVE-2021-22555), and network services talk over sockets"),
		of("multiplexers", "socketcall ipc", "32-bit calls that stand for all socket and IPC calls and get round the rules for each"),
		of("file handles", "name_to_handle_at", "half of the way out of a container that open_by_handle_at makes (the shocker exploit); systemd needs it"),
		of("watching whole filesystems", "fanotify_mark", "of no use without fanotify_init, which needs a capability"),
		of("mounts", "listmount statmount", "they tell what the host has mounted; findmnt needs them"),
		of("page cache", "cachestat", "it tells what others have read of a shared file"),
		of("pipes without copies", "tee vmsplice", "they put memory of a process into a pipe (CVE-2008-0600, and half of CVE-2022-0847); splice stays, for proxies"),
		of("segments", "modify_ldt", "16-bit segments, with a history of errors in the kernel's entry (CVE-2015-3290, CVE-2015-5157); Wine needs it"),
		of("behaviour of old systems", "personality", "it switches to the behaviour of old systems, and address randomisation off; setarch and debuggers need it"),
		of("who a thread reads files as", "setfsgid setfsgid32 setfsuid setfsuid32", "for file servers in the kernel's place; without CAP_SETUID they do nothing"),
		of("the clock's state", "adjtimex clock_adjtime clock_adjtime64", "they tell how the host's clock is disciplined, and set it with CAP_SYS_TIME; time servers need them"),
		of("priorities", "ioprio_get ioprio_set sched_setattr", "priorities over the host's other work; ionice and real-time programs need them"),
		of("what never worked or has a successor", "epoll_ctl_old epoll_wait_old remap_file_pages futimesat", "no C library calls them"),
		of("mainframes", "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr", "hardware of s390x"),
		of("context switches of PowerPC", "swapcontext", "C libraries do it without the kernel"),
		of("breakpoints of ARM", "breakpoint", "for debuggers"),
	}
}
