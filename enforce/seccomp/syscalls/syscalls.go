// Package syscalls has the names and numbers of the system calls of the architectures that runclamp decides about. It is pure.
//
// The names are libseccomp's, which are the kernel's but for a few. No map is built: this is on the path of every container start.
package syscalls

import (
	"iter"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// X32Bit marks a number of the x32 ABI (__X32_SYSCALL_BIT).
const X32Bit = 1 << 30

// Numbers has the numbers of one system call, by column; absent where an architecture has no such call.
type Numbers [5]int32

const absent = -1

type entry struct {
	name    string
	numbers Numbers
}

// column is where Numbers has an architecture's.
func column(a specs.Arch) int {
	switch a {
	case specs.ArchX86_64:
		return 0
	case specs.ArchX86:
		return 1
	case specs.ArchX32:
		return 2
	case specs.ArchAARCH64:
		return 3
	case specs.ArchARM:
		return 4
	}
	return absent
}

// Tabled says whether there is a table for an architecture.
func Tabled(a specs.Arch) bool { return column(a) != absent }

// On is the number that a process calls with on an architecture. It is false where there is no such call, or no table.
func (n Numbers) On(a specs.Arch) (uint32, bool) {
	c := column(a)
	if c == absent || n[c] == absent {
		return 0, false
	}
	return uint32(n[c]), true
}

// Lookup finds a system call by its name. One that is in no table may have come into the kernel after they were made.
func Lookup(name string) (Numbers, bool) {
	i, ok := slices.BinarySearchFunc(table[:], name, func(e entry, name string) int { return strings.Compare(e.name, name) })
	if !ok {
		return Numbers{}, false
	}
	return table[i].numbers, true
}

// All are the system calls in the order of their names.
func All() iter.Seq2[string, Numbers] {
	return func(yield func(string, Numbers) bool) {
		for i := range table {
			if !yield(table[i].name, table[i].numbers) {
				return
			}
		}
	}
}
