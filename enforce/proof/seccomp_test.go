package proof

import (
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func ret(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }

// TestRunAgainstKernel: a program returns here what it returns in the kernel.
func TestRunAgainstKernel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		p := randomProgram(random)
		var args [6]uint64
		c := newCall(nativeArch, unix.SYS_GETPPID)
		for i := range args {
			args[i] = random.Uint64() >> random.IntN(64)
			c = c.withArg(i, args[i])
		}
		var got []word
		if err := p.run(&c, steps(), func(r word) bool { got = append(got, r); return true }, nil); err != nil {
			t.Fatalf("%v: %v", err, p)
		}
		if len(got) != 1 || !got[0].known {
			t.Fatalf("%v, and all of the call is known: %v", got, p)
		}
		// Followed without the arguments, every way must have been seen that one of them takes.
		var ways []word
		unknown := newCall(nativeArch, unix.SYS_GETPPID)
		if err := p.run(&unknown, steps(), func(r word) bool { ways = append(ways, r); return true }, nil); err != nil {
			t.Fatalf("%v: %v", err, p)
		}
		if !slices.Contains(ways, got[0]) && !slices.ContainsFunc(ways, func(w word) bool { return !w.known }) {
			t.Errorf("%v: returns %v, and the ways end in %v", p, got, ways)
		}
		errno, err := inKernel(p, args)
		if err != nil {
			t.Fatalf("%v: %v", err, p)
		}
		if want := got[0].v & unix.SECCOMP_RET_DATA; uint32(errno) != want {
			t.Errorf("%v with %#x: the kernel says %d, want %d", p, args, errno, want)
		}
	}
}

// randomProgram denies getppid(2) with an errno that it computes, and lets everything else through.
func randomProgram(r *rand.Rand) Program {
	load := func(k uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: k}
	}
	p := Program{load(0), {Code: unix.BPF_JMP | unix.BPF_JEQ, Jt: 1, K: unix.SYS_GETPPID}, ret(unix.SECCOMP_RET_ALLOW)}
	for m := range uint32(16) {
		// Or the kernel finds memory that is read before it is written.
		p = append(p, unix.SockFilter{Code: unix.BPF_ST, K: m})
	}
	operations := []uint16{unix.BPF_ADD, unix.BPF_SUB, unix.BPF_MUL, unix.BPF_DIV, unix.BPF_AND, unix.BPF_OR, unix.BPF_XOR, unix.BPF_LSH, unix.BPF_RSH, unix.BPF_NEG}
	jumps := []uint16{unix.BPF_JEQ, unix.BPF_JGT, unix.BPF_JGE, unix.BPF_JSET}
	// No more than ten jumps: every one may double the ways.
	for left, length := 10, 10+r.IntN(30); length > 0; length-- {
		k := uint32(r.Uint64() >> (32 + r.IntN(32)))
		source := uint16(r.IntN(2)) * unix.BPF_X
		switch r.IntN(8) {
		case 0:
			p = append(p, load(16+4*uint32(r.IntN(12))))
		case 1:
			p = append(p, unix.SockFilter{Code: []uint16{unix.BPF_MISC | unix.BPF_TAX, unix.BPF_MISC | unix.BPF_TXA}[r.IntN(2)]})
		case 2:
			p = append(p, unix.SockFilter{Code: []uint16{unix.BPF_LD | unix.BPF_MEM, unix.BPF_LDX | unix.BPF_MEM, unix.BPF_ST, unix.BPF_STX}[r.IntN(4)], K: k % 16})
		case 3:
			p = append(p, unix.SockFilter{Code: []uint16{unix.BPF_LD | unix.BPF_IMM, unix.BPF_LDX | unix.BPF_IMM, unix.BPF_LDX | unix.BPF_W | unix.BPF_LEN, unix.BPF_LD | unix.BPF_W | unix.BPF_LEN}[r.IntN(4)], K: k})
		case 4, 5:
			op := operations[r.IntN(len(operations))]
			switch op {
			case unix.BPF_DIV:
				source, k = unix.BPF_K, max(k, 1) // by X it may end the thread
			case unix.BPF_LSH, unix.BPF_RSH:
				source, k = unix.BPF_K, k%32
			case unix.BPF_NEG:
				source = unix.BPF_K
			}
			p = append(p, unix.SockFilter{Code: unix.BPF_ALU | op | source, K: k})
		default:
			if left--; left < 0 || length <= 4 {
				p = append(p, load(4))
			} else {
				p = append(p, unix.SockFilter{Code: unix.BPF_JMP | jumps[r.IntN(len(jumps))] | source, Jt: uint8(r.IntN(4)), Jf: uint8(r.IntN(4)), K: k})
			}
		}
	}
	return append(p, unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND, K: 0x7ff}, unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_OR, K: unix.SECCOMP_RET_ERRNO}, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_A})
}

// inKernel calls getppid(2) under a filter, on a thread that ends with it.
func inKernel(p Program, args [6]uint64) (errno unix.Errno, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return
		}
		filter := unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]}
		if _, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&filter))); e != 0 {
			err = e
			return
		}
		_, _, errno = unix.RawSyscall6(unix.SYS_GETPPID, uintptr(args[0]), uintptr(args[1]), uintptr(args[2]), uintptr(args[3]), uintptr(args[4]), uintptr(args[5]))
	}()
	<-done
	return errno, err
}

// TestRunBadPrograms: none of them is followed to an end that it does not have.
func TestRunBadPrograms(t *testing.T) {
	long := endless()
	for want, p := range map[string]Program{
		"jumps behind its end":       {{Code: unix.BPF_JMP | unix.BPF_JEQ, Jt: 200, Jf: 200}},
		"jumps by 4294967295":        {{Code: unix.BPF_JMP | unix.BPF_JA, K: 1<<32 - 1}},
		"none of a seccomp filter's": {{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 64}},
		"too many steps":             long,
	} {
		c := newCall(nativeArch, 0)
		if err := p.run(&c, steps(), func(word) bool { return true }, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
	zero := Program{{Code: unix.BPF_ALU | unix.BPF_DIV | unix.BPF_X}, ret(unix.SECCOMP_RET_ALLOW)}
	zero = append(Program{{Code: unix.BPF_LDX | unix.BPF_IMM}, {Code: unix.BPF_LD | unix.BPF_IMM}}, zero...)
	if let, err := letThrough([]Program{zero}, newCall(nativeArch, 0), steps()); err != nil || let {
		t.Errorf("a division by zero lets through: %v, %v", let, err)
	}
}

// endless parts 40 times, and remembers which way it went each time, so that no two ways are alike.
func endless() (p Program) {
	for i := range uint32(40) {
		p = append(p,
			unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 16}, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ, Jf: 3, K: i},
			unix.SockFilter{Code: unix.BPF_LD | unix.BPF_MEM, K: i % 2}, unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_ADD, K: 1 << (i / 2)}, unix.SockFilter{Code: unix.BPF_ST, K: i % 2})
	}
	return append(p, ret(unix.SECCOMP_RET_ALLOW))
}

// TestLooserWays: a value of 64 bits is compared in two halves, and if either differs comes the next value. However many there are, it is followed.
func TestLooserWays(t *testing.T) {
	load := func(k uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: k}
	}
	is := func(k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ, Jt: yes, Jf: no, K: k}
	}
	const most = 60 // jumps go 255 instructions far
	profile := specs.LinuxSeccomp{DefaultAction: specs.ActErrno}
	var compare Program
	for k := range uint32(most) {
		profile.Syscalls = append(profile.Syscalls, rules(specs.ActErrno, specs.ActAllow, condition{Index: 0, Op: specs.OpEqualTo, Value: uint64(k)<<32 + uint64(k)}).Syscalls...)
		compare = append(compare, load(20), is(k, 0, 2), load(16), is(k, uint8(4*(most-1-k)+1), 0))
	}
	compare = append(compare, ret(unix.SECCOMP_RET_ERRNO|1), ret(unix.SECCOMP_RET_ALLOW))
	program := append(Program{load(4), is(nativeArch, 1, 0), ret(unix.SECCOMP_RET_KILL_THREAD), load(0), is(unix.SYS_DUP3, 1, 0), ret(unix.SECCOMP_RET_ERRNO | 1)}, compare...)
	if found, err := looser(&profile, []Program{program}); err != nil || len(found) > 0 {
		t.Errorf("%q, %v", found, err)
	}
	profile.Syscalls = profile.Syscalls[1:]
	if found, err := looser(&profile, []Program{program}); err != nil || !slices.Equal(found, []string{"dup3 with argument 0 = 0x0"}) {
		t.Errorf("without the first value: %q, %v", found, err)
	}
}

// TestHoldUnfollowed: that one call of the profile can't be followed hides nothing of what is let through besides, before it or after it.
func TestHoldUnfollowed(t *testing.T) {
	profile := rules(specs.ActErrno, specs.ActAllow, condition{Index: 0, Op: specs.OpEqualTo, Value: 5})
	spec := &specs.Spec{Linux: &specs.Linux{Seccomp: &profile}}
	program := append(Program{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, {Code: unix.BPF_JMP | unix.BPF_JEQ, K: unix.SYS_DUP3, Jt: 3},
		{Code: unix.BPF_JMP | unix.BPF_JEQ, K: unix.SYS_PIVOT_ROOT, Jt: 1}, ret(unix.SECCOMP_RET_ERRNO | 1), ret(unix.SECCOMP_RET_ALLOW),
	}, endless()...)
	for _, call := range []uint32{unix.SYS_PIVOT_ROOT, unix.SYS_SETNS} { // on x86-64 one comes before dup3, and one after it
		program[2].K = call
		got := Hold(spec, Facts{Programs: []Program{program}})
		if len(got) != 2 || got[0].Action != policy.Audit || !strings.Contains(got[0].Found, "dup3: it takes too many steps") || got[1].Action != policy.Reject || !strings.Contains(got[1].Found, "lets through ") {
			t.Errorf("call %d: %+v", call, got)
		}
	}
}

// TestLooserOneByOne: whatever is taken out of the profile, the program that was built of the whole is found to let it through.
func TestLooserOneByOne(t *testing.T) {
	if native.named != specs.ArchX86_64 {
		t.Skip("left out: what was recorded is of x86-64")
	}
	recordings(t, func(t *testing.T, r *recording) {
		whole := r.spec.Linux.Seccomp
		programs, err := r.host.Programs(0)
		if err != nil {
			t.Fatal(err)
		}
		numbers := meaningOf(whole, native)
		checked := 0
		for i, s := range whole.Syscalls {
			if s.Action != specs.ActAllow {
				continue
			}
			for k, name := range s.Names {
				n := slices.Index(numbers.names, name)
				if n < 0 {
					continue
				}
				// libseccomp may be older than the system call.
				if let, err := letThrough(programs, newCall(nativeArch, uint32(n)), steps()); err != nil {
					t.Fatal(err)
				} else if !let {
					continue
				}
				// Two entries may say the same.
				if len(s.Args) == 0 && len(numbers.rules[n]) > 1 {
					continue
				}
				less := *whole
				less.Syscalls = slices.Clone(whole.Syscalls)
				less.Syscalls[i].Names = slices.Delete(slices.Clone(s.Names), k, k+1)
				found, err := looser(&less, programs)
				if err != nil || len(found) != 1 || found[0] != name && !strings.HasPrefix(found[0], name+" with argument 0 = ") {
					t.Errorf("without %s: %q, %v", name, found, err)
				}
				checked++
			}
		}
		if checked < 300 {
			t.Errorf("only %d system calls", checked)
		}
	})
}

// TestLooserHalf: a program that does not look at the upper half of an argument lets through what the profile denies.
func TestLooserHalf(t *testing.T) {
	load := func(k uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: k}
	}
	is := func(k uint32, otherwise uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ, Jf: otherwise, K: k}
	}
	program := Program{load(4), is(nativeArch, 5), load(0), is(unix.SYS_DUP3, 3), load(16), is(5, 1), ret(unix.SECCOMP_RET_ALLOW), ret(unix.SECCOMP_RET_ERRNO | 1)}
	profile := rules(specs.ActErrno, specs.ActAllow, condition{Index: 0, Op: specs.OpEqualTo, Value: 5})
	if found, err := looser(&profile, []Program{program}); err != nil || !slices.Equal(found, []string{"dup3 with argument 0 = 0x100000005"}) {
		t.Errorf("%q, %v", found, err)
	}
}

// TestLooserLong: filters that take hours to be followed come to an end, and if a program has installed them by itself, nobody looks at them.
func TestLooserLong(t *testing.T) {
	// As many as the kernel takes (MAX_INSNS_PER_PATH), which compare a first argument with as many constants.
	var long []Program
	for k := range uint32(8) {
		p := Program{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 16}}
		for i := range uint32(2000) {
			p = append(p, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ, Jf: 1, K: 100_000*k + 7*i}, ret(unix.SECCOMP_RET_ALLOW))
		}
		long = append(long, append(p, ret(unix.SECCOMP_RET_ALLOW)))
	}
	recordings(t, func(t *testing.T, r *recording) {
		profile := r.spec.Linux.Seccomp
		programs, err := r.host.Programs(0)
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if found, err := looser(profile, slices.Concat(programs, long)); err != nil || len(found) > 0 || time.Since(begun) > 5*time.Second {
			t.Errorf("its own filters beside the profile's: %q, %v after %v", found, err, time.Since(begun))
		}
		// The profile's is not the oldest where the engine has a filter itself.
		evil := endless()
		if found, err := looser(profile, slices.Concat(programs, []Program{evil})); err != nil || len(found) > 0 {
			t.Errorf("a short one of its own: %q, %v", found, err)
		}
		if found, err := looser(profile, slices.Concat([]Program{{ret(unix.SECCOMP_RET_ALLOW)}}, programs, long)); err != nil || len(found) > 0 {
			t.Errorf("an older filter: %q, %v", found, err)
		}
		if found, err := looser(profile, slices.Concat(long[:1], programs, long)); err != nil || len(found) > 0 {
			t.Errorf("a long one that is older: %q, %v", found, err)
		}
		left := maxWork
		if _, err := looserThan(profile, slices.Concat(long, programs, long[:1]), &left); !errors.Is(err, errTooMany) {
			t.Errorf("and an older filter beside them: %v", err)
		}
	})
}

// steps are enough for one run.
func steps() *int {
	n := 2 * maxSteps
	return &n
}

// TestLooserBadIndex: no call has so many arguments, and a profile that says so (the policy may not look at it) is no reason to panic.
func TestLooserBadIndex(t *testing.T) {
	profile := rules(specs.ActErrno, specs.ActAllow, condition{Index: 6, Op: specs.OpEqualTo, Value: 5})
	if _, err := looser(&profile, []Program{{ret(unix.SECCOMP_RET_ERRNO)}}); err == nil || !strings.Contains(err.Error(), "a condition on argument 6 of dup3") {
		t.Errorf("got %v", err)
	}
}

// TestMeaning: runc's way of reading a profile.
func TestMeaning(t *testing.T) {
	arg := func(index uint, op specs.LinuxSeccompOperator, value, two uint64) condition {
		return condition{Index: index, Op: op, Value: value, ValueTwo: two}
	}
	const dup3 = unix.SYS_DUP3
	for _, tt := range []struct {
		name    string
		profile specs.LinuxSeccomp
		args    arguments
		want    bool // denied
	}{
		{"unnamed", specs.LinuxSeccomp{DefaultAction: specs.ActErrno}, arguments{}, true},
		{"unnamed, let through", specs.LinuxSeccomp{DefaultAction: specs.ActLog}, arguments{}, false},
		{"an action that is not known", specs.LinuxSeccomp{DefaultAction: "x"}, arguments{}, false},
		{"all conditions", rules(specs.ActErrno, specs.ActAllow, arg(0, specs.OpEqualTo, 1, 0), arg(1, specs.OpEqualTo, 2, 0)), arguments{1, 2}, false},
		{"one of two conditions", rules(specs.ActErrno, specs.ActAllow, arg(0, specs.OpEqualTo, 1, 0), arg(1, specs.OpEqualTo, 2, 0)), arguments{1, 3}, true},
		{"two on one argument are alternatives", rules(specs.ActErrno, specs.ActAllow, arg(0, specs.OpGreaterEqual, 5, 0), arg(0, specs.OpLessEqual, 3, 0)), arguments{10}, false},
		{"and so is a third one", rules(specs.ActErrno, specs.ActAllow, arg(0, specs.OpGreaterThan, 5, 0), arg(0, specs.OpLessThan, 3, 0), arg(1, specs.OpNotEqual, 0, 0)), arguments{4, 1}, false},
		{"none of them", rules(specs.ActErrno, specs.ActAllow, arg(0, specs.OpGreaterThan, 5, 0), arg(0, specs.OpLessThan, 3, 0)), arguments{4}, true},
		{"mask", rules(specs.ActErrno, specs.ActAllow, arg(0, specs.OpMaskedEqual, 0xf0, 0x10)), arguments{0x1f}, false},
		{"mask, not", rules(specs.ActErrno, specs.ActAllow, arg(0, specs.OpMaskedEqual, 0xf0, 0x10)), arguments{0x20}, true},
		{"denied by a rule", rules(specs.ActAllow, specs.ActErrno), arguments{}, true},
		{"the default once more is dropped", rules(specs.ActAllow, specs.ActAllow), arguments{}, false},
	} {
		m := meaningOf(&tt.profile, native)
		if got := denied(m.rules[dup3], m.executes, tt.args); got != tt.want {
			t.Errorf("%s: denied %v", tt.name, got)
		}
	}
}

func rules(byDefault, action specs.LinuxSeccompAction, args ...condition) specs.LinuxSeccomp {
	return specs.LinuxSeccomp{DefaultAction: byDefault, Syscalls: []specs.LinuxSyscall{{Names: []string{"dup3", "no_such_call"}, Action: action, Args: args}}}
}

// TestPoints: where there are too many combinations, those of the rules' own constants are tried, and each argument next to each constant while the
// others are as a rule wants them. A program that mixes two rules up lets something through there.
func TestPoints(t *testing.T) {
	is := func(index uint, value uint64) condition {
		return condition{Index: index, Value: value, Op: specs.OpEqualTo}
	}
	rules := []rule{
		{true, []condition{is(0, 10), is(1, 20), is(2, 30)}},
		{true, []condition{is(0, 11), {Index: 1, Value: 0xff, ValueTwo: 21, Op: specs.OpMaskedEqual}}},
		{true, []condition{{Index: 0, Value: 100, Op: specs.OpLessThan}, {Index: 2, Value: 200, Op: specs.OpGreaterThan}}},
	}
	tried := func(rules []rule, compared []uint32) map[arguments]bool {
		_, points := pointsOf(rules, compared)
		all := map[arguments]bool{}
		points(func(a arguments) bool { all[a] = true; return len(all) <= 4*maxPoints })
		return all
	}
	var compared []uint32
	for k := range uint32(20) {
		compared = append(compared, 1000*k)
	}
	all := tried(rules, compared)
	if len(all) > 4*maxPoints {
		t.Fatalf("%d points", len(all))
	}
	for _, want := range []arguments{{10, 20, 30}, {10, 21, 30}, {11, 20, 30}, {0, 20, 201}, {99, math.MaxUint64, 0}, {10, 20, 31}, {10, 5001, 30}, {100, 0, 201}, {11, 21 | ^uint64(0xff), 0}} {
		if !all[want] {
			t.Errorf("%v was not tried", want)
		}
	}
	// So many that not even that can be tried: an end comes all the same.
	var many []rule
	for k := range uint64(1000) {
		many = append(many, rule{true, []condition{is(0, 10*k), is(1, 10*k), is(2, 10*k)}})
	}
	if all := tried(many, nil); len(all) > 4*maxPoints {
		t.Errorf("%d points", len(all))
	}
}
