package filters

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// program is a seccomp filter. What runs it here is not what start runs it with (enforce/proof): a mistake in that would go unseen.
type program []unix.SockFilter

// call is a struct seccomp_data (seccomp(2)).
type call struct {
	arch, nr uint32
	args     [6]uint64
}

// word is the 32 bits at an offset. Low words come first: the tests run on little-endian machines only.
func (c *call) word(offset uint32) (uint32, bool) {
	switch {
	case offset%4 != 0 || offset >= 64:
		return 0, false
	case offset == 0:
		return c.nr, true
	case offset == 4:
		return c.arch, true
	case offset < 16:
		return 0, true // the instruction pointer
	}
	return uint32(c.args[(offset-16)/8] >> (offset % 8 * 8)), true
}

// run is what the program returns. It knows the instructions that libseccomp and runc use.
func (p program) run(c *call) (uint32, error) {
	var a uint32
	for pc := 0; pc < len(p); pc++ {
		i := &p[pc]
		var holds bool
		switch i.Code {
		case unix.BPF_RET | unix.BPF_K:
			return i.K, nil
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			var ok bool
			if a, ok = c.word(i.K); !ok {
				return 0, fmt.Errorf("instruction %d loads from %d", pc, i.K)
			}
			continue
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= i.K
			continue
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(i.K)
			continue
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			holds = a == i.K
		case unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K:
			holds = a > i.K
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			holds = a >= i.K
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			holds = a&i.K != 0
		default:
			return 0, fmt.Errorf("instruction %d is %#x", pc, i.Code)
		}
		if holds {
			pc += int(i.Jt)
		} else {
			pc += int(i.Jf)
		}
	}
	return 0, fmt.Errorf("it goes behind its end")
}

// strictness orders what a filter can return, as the kernel does where it has several (seccomp(2)); everything that carries out the
// call, or may, is as loose as can be.
func strictness(ret uint32) int {
	switch ret & unix.SECCOMP_RET_ACTION_FULL {
	case unix.SECCOMP_RET_ERRNO:
		return 1
	case unix.SECCOMP_RET_TRAP:
		return 2
	case unix.SECCOMP_RET_KILL_THREAD:
		return 3
	case unix.SECCOMP_RET_KILL_PROCESS:
		return 4
	}
	return 0
}
