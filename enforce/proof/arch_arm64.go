package proof

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const (
	nativeArch = unix.AUDIT_ARCH_AARCH64
	// hasTable: the numbers of the system calls are known.
	hasTable = true
)

var native = architecture{named: specs.ArchAARCH64, arch: nativeArch}

// foreign are the architectures that a process can call as besides its own.
func foreign() []architecture {
	return []architecture{{specs.ArchARM, unix.AUDIT_ARCH_ARM, 0, true}}
}
