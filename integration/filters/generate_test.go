package filters

import (
	"math"
	"math/rand/v2"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func pick[T any](r *rand.Rand, all ...T) T { return all[r.IntN(len(all))] }

// operatorSets: which operators a system call's rules have together. Some of these sets libseccomp builds as they are written.
var operatorSets = [][]specs.LinuxSeccompOperator{
	{specs.OpEqualTo}, {specs.OpEqualTo}, {specs.OpNotEqual}, {specs.OpMaskedEqual}, {specs.OpEqualTo, specs.OpMaskedEqual},
	{specs.OpEqualTo, specs.OpNotEqual}, {specs.OpLessThan}, {specs.OpLessEqual}, {specs.OpGreaterThan}, {specs.OpGreaterEqual},
	{specs.OpEqualTo, specs.OpLessThan}, {specs.OpEqualTo, specs.OpGreaterThan}, {specs.OpEqualTo, specs.OpLessThan, specs.OpGreaterThan},
	{specs.OpEqualTo, specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpGreaterThan, specs.OpGreaterEqual, specs.OpMaskedEqual},
}

// partings are rules like those that Podman has for socket(2): different values of an argument, two ways behind some of them, and maybe an NE, or
// what is below and above all, with actions of their own.
func partings(r *rand.Rand, name string) []specs.LinuxSyscall {
	first := r.IntN(5)
	values := []uint64{0, 1, 2, 8, 9, 16, 40, 1 << 31, math.MaxUint32}
	r.Shuffle(len(values), func(i, k int) { values[i], values[k] = values[k], values[i] })
	actions := pick(r, []specs.LinuxSeccompAction{specs.ActAllow, specs.ActTrap}, []specs.LinuxSeccompAction{specs.ActAllow, specs.ActLog, specs.ActTrap, specs.ActKillThread, specs.ActKillProcess})
	var all []specs.LinuxSyscall
	add := func(args ...specs.LinuxSeccompArg) {
		all = append(all, specs.LinuxSyscall{Names: []string{name}, Action: pick(r, actions...), Args: args})
	}
	is := func(index int, op specs.LinuxSeccompOperator, v uint64) specs.LinuxSeccompArg {
		return specs.LinuxSeccompArg{Index: uint(index), Op: op, Value: v}
	}
	others := r.IntN(2) == 0
	n := pick(r, 1, 2, 2, 3, 5)
	for i, v := range values[:n] {
		later, w := first+1+r.IntN(5-first), pick(r, values...)
		switch n := r.IntN(4); {
		case n == 0 && (i == 0 || !others):
			add(is(first, specs.OpEqualTo, v), is(later, specs.OpNotEqual, w))
		case n == 1 && (i == 0 || !others):
			add(is(first, specs.OpEqualTo, v), is(later, specs.OpEqualTo, w))
			add(is(first, specs.OpEqualTo, v), is(later, specs.OpNotEqual, w))
		case n == 2 && i == 0 && others:
		default:
			add(is(first, specs.OpEqualTo, v))
		}
	}
	if others {
		add(is(first, specs.OpNotEqual, values[0]))
	} else {
		low, high := slices.Min(values[:n]), slices.Max(values[:n])
		if r.IntN(2) == 0 && low > 0 {
			add(is(first, specs.OpLessThan, low-min(low-1, uint64(r.IntN(2)))))
		}
		if r.IntN(2) == 0 {
			add(is(first, specs.OpGreaterThan, high+min(math.MaxUint32-high, uint64(r.IntN(2)))))
		}
	}
	if r.IntN(2) == 0 {
		r.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
	}
	return all
}

// entries are rules for one system call.
func entries(r *rand.Rand, name string) []specs.LinuxSyscall {
	if r.IntN(8) == 0 {
		return partings(r, name)
	}
	ops := pick(r, operatorSets...)
	values := pick(r, []uint64{0, 1, 2, 3, 5, 7, 8, 16, 40, 0x7e020000, math.MaxUint32 - 1},
		[]uint64{0, 1, 2, 3, 8, 0x7e020000, math.MaxUint32, 1 << 32, 1<<32 + 1, 3<<32 + 5, 1 << 63, math.MaxUint64})
	first, span := r.IntN(5), pick(r, 1, 1, 2, 3)
	span = min(span, 6-first)
	action := pick(r, specs.ActAllow, specs.ActAllow, specs.ActAllow, specs.ActLog, specs.ActErrno, specs.ActKillProcess)
	mixed := r.IntN(4) == 0
	var all []specs.LinuxSyscall
	for range pick(r, 1, 1, 2, 2, 3, 5) {
		if mixed {
			action = pick(r, specs.ActAllow, specs.ActErrno, specs.ActLog, specs.ActTrap, specs.ActKillThread, specs.ActKillProcess)
		}
		s := specs.LinuxSyscall{Names: []string{name}, Action: action}
		if action == specs.ActErrno {
			errno := pick(r, uint(1), 13, 38)
			s.ErrnoRet = &errno
		}
		n := pick(r, 1, 1, 1, span)
		if r.IntN(10) == 0 {
			n = 0
		}
		for _, i := range r.Perm(span)[:n] {
			c := specs.LinuxSeccompArg{Index: uint(first + i), Op: pick(r, ops...), Value: pick(r, values...)}
			if c.Op == specs.OpMaskedEqual {
				c.Value |= pick(r, uint64(1), 8) // one that leaves nothing is not let through
				c.ValueTwo = pick(r, values...)
				if r.IntN(8) > 0 {
					c.ValueTwo &= c.Value
				}
			}
			s.Args = append(s.Args, c)
		}
		if len(s.Args) > 0 && r.IntN(20) == 0 {
			again := s.Args[0]
			again.Value = max(1, pick(r, values...)&math.MaxUint32)
			s.Args = append(s.Args, again)
		}
		all = append(all, s)
	}
	return all
}

// generate is a profile for a few system calls, which a second one is likely to be about as well. Some are on one architecture only, and
// some are multiplexed on 32-bit x86.
func (l *library) generate(r *rand.Rand) *specs.LinuxSeccomp {
	p := &specs.LinuxSeccomp{DefaultAction: pick(r, specs.ActErrno, specs.ActErrno, specs.ActErrno, specs.ActErrno, specs.ActKillProcess, specs.ActKill, specs.ActTrap, specs.ActAllow)}
	if p.DefaultAction == specs.ActErrno && r.IntN(2) == 0 {
		errno := pick(r, uint(1), 38)
		p.DefaultErrnoRet = &errno
	}
	all := l.names()
	p.Architectures = pick(r, nil, all[:1], all[:2], all, all[1:2], all[len(all)-1:])
	names := []string{"prctl", "personality", "clone", "socket", "bind", "shmget", "socketcall", "ipc", "chown32", "accept", "read", "unshare", "a_call_to_come"}
	r.Shuffle(len(names), func(i, k int) { names[i], names[k] = names[k], names[i] })
	for _, name := range names[:1+r.IntN(4)] {
		p.Syscalls = append(p.Syscalls, entries(r, name)...)
	}
	if p.DefaultAction != specs.ActAllow {
		// Without it, libseccomp makes a filter for x32 that does not look at the number (TestNumber), and what denies by default denies all. No
		// container runs with that, and what it is held against is what it says.
		p.Syscalls = append(p.Syscalls, specs.LinuxSyscall{Names: []string{"sync"}, Action: specs.ActAllow})
	}
	if r.IntN(3) == 0 {
		// Enough for the tree that runc has built of many rules.
		p.Syscalls = append(p.Syscalls, specs.LinuxSyscall{Action: specs.ActAllow, Names: []string{
			"write", "open", "close", "stat", "fstat", "lstat", "poll", "lseek", "mmap", "mprotect", "munmap", "brk", "rt_sigaction", "rt_sigprocmask", "pread64",
			"pwrite64", "readv", "writev", "access", "pipe", "select", "sched_yield", "mremap", "msync", "mincore", "madvise", "dup", "dup2", "pause", "nanosleep",
			"getitimer", "alarm", "setitimer", "getpid", "sendfile", "execve", "exit", "wait4", "kill", "uname"}})
	}
	return p
}
