package seccomp

import (
	"runtime"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Native is the machine's own architecture; empty if it has no name in a profile.
func Native() specs.Arch {
	switch runtime.GOARCH {
	case "amd64":
		return specs.ArchX86_64
	case "386":
		return specs.ArchX86
	case "arm64":
		return specs.ArchAARCH64
	case "arm":
		return specs.ArchARM
	case "riscv64":
		return specs.ArchRISCV64
	case "s390x":
		return specs.ArchS390X
	case "ppc64le":
		return specs.ArchPPC64LE
	case "loong64":
		return specs.ArchLOONGARCH64
	}
	return ""
}

// Family are the further architectures whose programs the machine's kernel runs. No process can call as any other.
func Family() []specs.Arch {
	switch runtime.GOARCH {
	case "amd64":
		return []specs.Arch{specs.ArchX86, specs.ArchX32}
	case "arm64":
		return []specs.Arch{specs.ArchARM}
	}
	return nil
}

// Prune takes all architectures but the native one out of a profile's list. The list stays as it is if it has no other.
func Prune(p *specs.LinuxSeccomp) (kept, gone []specs.Arch) {
	return architectures(p, &specs.LinuxSeccomp{})
}

// covered are the architectures of this machine that a profile's filter is for: the native one always, named or not
// (libseccomp's seccomp_init(3)). Calls of all others end in the filter's bad architecture action, which kills.
func covered(p *specs.LinuxSeccomp) []specs.Arch {
	list := []specs.Arch{Native()}
	for _, a := range Family() {
		if slices.Contains(p.Architectures, a) {
			list = append(list, a)
		}
	}
	return list
}

// narrowWords: libseccomp's filter looks at no more than the low 32 bits of arguments (ARCH_SIZE_32). That is so for x32, too, though
// its registers have 64.
func narrowWords(a specs.Arch) bool {
	return a == specs.ArchX86 || a == specs.ArchX32 || a == specs.ArchARM
}

// multiplexer is the system call of 32-bit x86 by which another can be called, too, and its number there (ipc(2), socketcall(2)). libseccomp
// adds a rule for it to every rule for the other, whose first argument is the number and whose other arguments are the other's, though
// they mean something else there (src/arch-x86.c, x86_rule_add).
func multiplexer(name string) (call string, number uint64) {
	const sockets, ipc = "socketcall", "ipc"
	switch name {
	case "socket":
		return sockets, 1
	case "bind":
		return sockets, 2
	case "connect":
		return sockets, 3
	case "listen":
		return sockets, 4
	case "accept":
		return sockets, 5
	case "getsockname":
		return sockets, 6
	case "getpeername":
		return sockets, 7
	case "socketpair":
		return sockets, 8
	case "send":
		return sockets, 9
	case "recv":
		return sockets, 10
	case "sendto":
		return sockets, 11
	case "recvfrom":
		return sockets, 12
	case "shutdown":
		return sockets, 13
	case "setsockopt":
		return sockets, 14
	case "getsockopt":
		return sockets, 15
	case "sendmsg":
		return sockets, 16
	case "recvmsg":
		return sockets, 17
	case "accept4":
		return sockets, 18
	case "recvmmsg":
		return sockets, 19
	case "sendmmsg":
		return sockets, 20
	case "semop":
		return ipc, 1
	case "semget":
		return ipc, 2
	case "semctl":
		return ipc, 3
	case "semtimedop":
		return ipc, 4
	case "msgsnd":
		return ipc, 11
	case "msgrcv":
		return ipc, 12
	case "msgget":
		return ipc, 13
	case "msgctl":
		return ipc, 14
	case "shmat":
		return ipc, 21
	case "shmdt":
		return ipc, 22
	case "shmget":
		return ipc, 23
	case "shmctl":
		return ipc, 24
	}
	return "", 0
}
