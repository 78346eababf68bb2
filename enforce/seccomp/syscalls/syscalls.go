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
	row, ok := Find(name)
	if !ok {
		return Numbers{}, false
	}
	return row.Numbers(), true
}

// Rows is how many system calls there are.
const Rows = len(table)

// Row is a system call's place in the order of the names, from 0. Who asks for it more than once remembers it.
type Row uint16

// Numbers has the system call's numbers.
func (r Row) Numbers() Numbers { return table[r].numbers }

// Find is Lookup, for the place.
func Find(name string) (Row, bool) {
	i, ok := slices.BinarySearchFunc(table[:], name, func(e entry, name string) int { return strings.Compare(e.name, name) })
	return Row(i), ok
}

// FindNear is Find, quicker for a name that comes soon after r's: profiles have their names in this order, most of the time.
func (r Row) FindNear(name string) (Row, bool) {
	const near = 4
	for i := int(r) + 1; i <= int(r)+near && i < len(table); i++ {
		if table[i].name == name {
			return Row(i), true
		}
	}
	return Find(name)
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
