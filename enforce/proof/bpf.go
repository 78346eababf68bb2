package proof

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Program is one seccomp filter as the kernel has it: classic BPF that reads a struct seccomp_data (seccomp(2)).
type Program []unix.SockFilter

// word is 32 bits whose value may not be known.
type word struct {
	v     uint32
	known bool
}

func known(v uint32) word { return word{v, true} }

// call is a struct seccomp_data, in words: number, architecture, instruction pointer (2), six arguments (2 each).
type call [16]word

func newCall(arch, nr uint32) call {
	var c call
	c[0], c[1] = known(nr), known(arch)
	return c
}

// withArg has the argument i known.
func (c call) withArg(i int, v uint64) call {
	// Low word first: all architectures that there is a table for are little-endian.
	c[4+2*i], c[5+2*i] = known(uint32(v)), known(uint32(v>>32))
	return c
}

// maxSteps is the most that a run may take. The kernel's longest filter has 4,096 instructions, and every one can be passed in many
// states if nothing is known of the arguments.
const maxSteps = 1 << 16

// fewParts is how often a run parts without any of it being remembered. Most part less often, and are done sooner that way.
const fewParts = 64

// errByZero: a division by zero ends a program, with 0 (net/core/filter.c, bpf_convert_filter).
var errByZero = errors.New("division by zero")

// maxWork is the most steps that one question about programs may take, which is some two seconds. One about a default profile takes 70,000. Whatever runs in
// a container may install filters of its own, which take hours to be asked about every argument that they compare.
const maxWork = 1 << 24

var errTooMany = errors.New("it takes too many steps to follow")

// machine is the state of a run (the kernel's Documentation/networking/filter.rst).
type machine struct {
	pc   int
	a, x word
	m    [16]word
}

// run follows a program on every way that it can take as far as the call is known, and tells yield what it can return. yield says
// whether to go on. Programs have no loops, so it comes to an end. left are the steps that it may take, and counts down. note, if there
// is one, is told the constants that what is not known is compared with.
//
// Ways come together again: where libseccomp compares an argument of 64 bits, either half that differs leads to the next value. So a way that
// comes to where one has parted before, in the same state, ends there; with 16 values there would otherwise be 65,536 ways.
func (p Program) run(c *call, left *int, yield func(word) bool, note func(uint32)) error {
	var ways []machine
	var parted map[machine]bool
	parts := 0
	at := machine{a: known(0), x: known(0)} // as the kernel begins (net/core/filter.c, bpf_convert_filter)
	for range maxSteps {
		if *left--; *left < 0 {
			return errTooMany
		}
		if at.pc >= len(p) {
			return fmt.Errorf("it jumps behind its end, to instruction %d of %d", at.pc, len(p))
		}
		i := p[at.pc]
		at.pc++
		switch i.Code & 0x07 {
		case unix.BPF_RET:
			r := known(i.K)
			if i.Code&0x18 == unix.BPF_A {
				r = at.a
			}
			if !yield(r) || len(ways) == 0 {
				return nil
			}
			at, ways = ways[len(ways)-1], ways[:len(ways)-1]
		case unix.BPF_JMP:
			if i.Code&0xf0 == unix.BPF_JA {
				// Before anything is added: K may be anything.
				if i.K >= uint32(len(p)) {
					return fmt.Errorf("it jumps by %d", i.K)
				}
				at.pc += int(i.K)
				break
			}
			holds, err := at.compare(i)
			if err != nil {
				return err
			}
			if !holds.known {
				if parts++; parts > fewParts {
					if parted[at] {
						if len(ways) == 0 {
							return nil
						}
						at, ways = ways[len(ways)-1], ways[:len(ways)-1]
						break
					}
					if parted == nil {
						parted = map[machine]bool{}
					}
					parted[at] = true
				}
				if note != nil {
					note(i.K)
				}
				other := at
				other.pc += int(i.Jf)
				ways = append(ways, other)
				holds.v = 1
			}
			if holds.v != 0 {
				at.pc += int(i.Jt)
			} else {
				at.pc += int(i.Jf)
			}
		default:
			if err := at.step(i, c); errors.Is(err, errByZero) {
				if !yield(known(unix.SECCOMP_RET_KILL_THREAD)) || len(ways) == 0 {
					return nil
				}
				at, ways = ways[len(ways)-1], ways[:len(ways)-1]
			} else if err != nil {
				return err
			}
		}
	}
	return errTooMany
}

// operand is X or the constant.
func (s *machine) operand(i unix.SockFilter) word {
	if i.Code&0x08 == unix.BPF_X {
		return s.x
	}
	return known(i.K)
}

func (s *machine) compare(i unix.SockFilter) (word, error) {
	b := s.operand(i)
	a := s.a
	var holds bool
	switch i.Code & 0xf0 {
	case unix.BPF_JEQ:
		holds = a.v == b.v
	case unix.BPF_JGT:
		holds = a.v > b.v
	case unix.BPF_JGE:
		holds = a.v >= b.v
	case unix.BPF_JSET:
		holds = a.v&b.v != 0
	default:
		return word{}, unknownInstruction(i)
	}
	w := word{known: a.known && b.known}
	if w.known && holds {
		w.v = 1
	}
	return w, nil
}

// step is every instruction but jumps and returns. Those that the kernel does not take in a seccomp filter are errors
// (kernel/seccomp.c, seccomp_check_filter).
func (s *machine) step(i unix.SockFilter, c *call) error {
	const sizeOfData = 64
	switch i.Code {
	case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
		if i.K%4 != 0 || i.K >= sizeOfData {
			return unknownInstruction(i)
		}
		s.a = c[i.K/4]
	case unix.BPF_LD | unix.BPF_W | unix.BPF_LEN:
		s.a = known(sizeOfData)
	case unix.BPF_LDX | unix.BPF_W | unix.BPF_LEN:
		s.x = known(sizeOfData)
	case unix.BPF_LD | unix.BPF_IMM:
		s.a = known(i.K)
	case unix.BPF_LDX | unix.BPF_IMM:
		s.x = known(i.K)
	case unix.BPF_LD | unix.BPF_MEM, unix.BPF_LDX | unix.BPF_MEM, unix.BPF_ST, unix.BPF_STX:
		if i.K >= uint32(len(s.m)) {
			return unknownInstruction(i)
		}
		switch i.Code & 0x07 {
		case unix.BPF_LD:
			s.a = s.m[i.K]
		case unix.BPF_LDX:
			s.x = s.m[i.K]
		case unix.BPF_ST:
			s.m[i.K] = s.a
		case unix.BPF_STX:
			s.m[i.K] = s.x
		}
	case unix.BPF_MISC | unix.BPF_TAX:
		s.x = s.a
	case unix.BPF_MISC | unix.BPF_TXA:
		s.a = s.x
	default:
		if i.Code&0x07 != unix.BPF_ALU {
			return unknownInstruction(i)
		}
		return s.compute(i)
	}
	return nil
}

func (s *machine) compute(i unix.SockFilter) error {
	b := s.operand(i)
	a := s.a.v
	switch i.Code & 0xf0 {
	case unix.BPF_ADD:
		a += b.v
	case unix.BPF_SUB:
		a -= b.v
	case unix.BPF_MUL:
		a *= b.v
	case unix.BPF_DIV:
		switch {
		case !b.known:
		case b.v == 0:
			return errByZero
		default:
			a /= b.v
		}
	case unix.BPF_AND:
		a &= b.v
	case unix.BPF_OR:
		a |= b.v
	case unix.BPF_XOR:
		a ^= b.v
	case unix.BPF_LSH:
		a <<= b.v & 31
	case unix.BPF_RSH:
		a >>= b.v & 31
	case unix.BPF_NEG:
		a, b = -a, known(0)
	default:
		return unknownInstruction(i)
	}
	// What comes of something unknown is not known, not even where it is masked: then there are two ways.
	s.a = word{v: a, known: s.a.known && b.known}
	return nil
}

func unknownInstruction(i unix.SockFilter) error {
	return fmt.Errorf("instruction %#x with %#x, which is none of a seccomp filter's", i.Code, i.K)
}

// executes: the system call is carried out, or may be (by a tracer or a notify agent), if a filter returns this. What is not known
// is taken for that.
func executes(r word) bool {
	if !r.known {
		return true
	}
	switch r.v & unix.SECCOMP_RET_ACTION_FULL {
	case unix.SECCOMP_RET_KILL_PROCESS, unix.SECCOMP_RET_KILL_THREAD, unix.SECCOMP_RET_TRAP, unix.SECCOMP_RET_ERRNO:
		return false
	}
	return true
}

// letThrough: there is a call, of those that c may be, that all programs let through. Every one of them is asked, and the strictest
// answer counts (seccomp(2)).
func letThrough(programs []Program, c call, left *int) (bool, error) {
	for _, p := range programs {
		let := false
		if err := p.run(&c, left, func(r word) bool { let = let || executes(r); return !let }, nil); err != nil {
			return false, err
		}
		if !let {
			return false, nil
		}
	}
	return true, nil
}

// constants are what the programs compare the unknown words of a call with.
func constants(programs []Program, c call, left *int) ([]uint32, error) {
	var found []uint32
	for _, p := range programs {
		if err := p.run(&c, left, func(word) bool { return true }, func(k uint32) { found = append(found, k) }); err != nil {
			return nil, err
		}
	}
	return found, nil
}
