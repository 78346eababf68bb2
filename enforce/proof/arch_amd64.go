package proof

import (
	"runclamp/enforce/seccomp/syscalls"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const (
	nativeArch = unix.AUDIT_ARCH_X86_64
	// hasTable: the numbers of the system calls are known.
	hasTable = true
)

var native = architecture{named: specs.ArchX86_64, arch: nativeArch}

// foreign are the architectures that a process can call as besides its own.
func foreign() []architecture {
	return []architecture{
		{specs.ArchX86, unix.AUDIT_ARCH_I386, 0, true},
		{specs.ArchX32, unix.AUDIT_ARCH_X86_64, syscalls.X32Bit, true},
	}
}
