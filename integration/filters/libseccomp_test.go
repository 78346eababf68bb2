package filters

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// library is a process that has libseccomp build filters (testdata/libseccomp.c), hundreds of times as fast as runc does.
type library struct {
	t     *testing.T
	built string
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	// family are the architectures that a process can call as, the machine's own first.
	family []arch
	// tree: filters of more than 32 rules are built as runc does it since 1.2, as a binary tree, and not as runc 1.1 does.
	tree bool
}

// built is the folder of what the guest has instead of Go and the sources (make e2e-guest).
func built() string { return os.Getenv("RUNCLAMP_TEST_PROGRAMS") }

// newLibrary builds the program and starts it. What runs on it can't be left out where real runcs are to be tested with.
func newLibrary(t *testing.T) *library {
	t.Helper()
	family := family()
	if family == nil {
		t.Skip("left out: it knows the architectures of x86-64 and arm64")
	}
	l := &library{t: t, tree: true, built: filepath.Join(t.TempDir(), "libseccomp"), family: family}
	if built() != "" {
		l.built = "/usr/bin/libseccomp" // there is no compiler (integration/guest/setup.sh)
	} else if text, err := exec.Command("gcc", "-O2", "-Wall", "-o", l.built, "testdata/libseccomp.c", "-lseccomp").CombinedOutput(); err != nil {
		if os.Getenv("RUNCLAMP_TEST_RUNC") != "" {
			t.Fatalf("gcc: %v: %s (make setup installs gcc and libseccomp-dev)", err, text)
		}
		t.Skip("left out: it needs gcc and libseccomp-dev (make setup installs them)")
	}
	l.start()
	t.Cleanup(func() {
		if err := errors.Join(l.in.Close(), l.cmd.Wait()); err != nil {
			t.Error(err)
		}
	})
	l.nameCalls()
	return l
}

func (l *library) start() {
	l.t.Helper()
	l.cmd = exec.Command(l.built)
	l.cmd.Stderr = os.Stderr
	in, err1 := l.cmd.StdinPipe()
	out, err2 := l.cmd.StdoutPipe()
	if err := errors.Join(err1, err2, l.cmd.Start()); err != nil {
		l.t.Fatal(err)
	}
	l.in, l.out = in, bufio.NewReader(out)
}

// line is the next one of the answer. It is empty when the program was ended because it took too long; then there is another.
func (l *library) line() string {
	l.t.Helper()
	line, err := l.out.ReadString('\n')
	if err == nil {
		return strings.TrimSpace(line)
	}
	err = l.cmd.Wait()
	if status, ok := l.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != unix.SIGVTALRM {
		l.t.Fatalf("libseccomp: %v", err)
	}
	l.start()
	return ""
}

// arch has an architecture's names.
type arch struct {
	named specs.Arch
	token uint32 // libseccomp's (seccomp.h, SCMP_ARCH_*)
	audit uint32 // the kernel's (audit.h, AUDIT_ARCH_*)
	calls map[string]uint32
}

const (
	x32Bit   = 1 << 30
	x86_64   = unix.AUDIT_ARCH_X86_64
	i386     = unix.AUDIT_ARCH_I386
	x32Token = 0x4000003e // seccomp.h, SCMP_ARCH_X32: not what the kernel says
	aarch64  = unix.AUDIT_ARCH_AARCH64
	arm      = unix.AUDIT_ARCH_ARM
)

func family() []arch {
	switch runtime.GOARCH {
	case "amd64":
		return []arch{{named: specs.ArchX86_64, token: x86_64, audit: x86_64}, {named: specs.ArchX86, token: i386, audit: i386}, {named: specs.ArchX32, token: x32Token, audit: x86_64}}
	case "arm64":
		return []arch{{named: specs.ArchAARCH64, token: aarch64, audit: aarch64}, {named: specs.ArchARM, token: arm, audit: arm}}
	}
	return nil
}

// names are the architectures' names in a profile.
func (l *library) names() (names []specs.Arch) {
	for _, a := range l.family {
		names = append(names, a.named)
	}
	return names
}

// nameCalls asks libseccomp for the system calls of each architecture.
func (l *library) nameCalls() {
	l.t.Helper()
	for i := range l.family {
		a := &l.family[i]
		a.calls = make(map[string]uint32)
		l.say(fmt.Sprintf("names %x\n", a.token))
		for line := l.line(); line != ""; line = l.line() {
			var number uint32
			var name string
			if _, err := fmt.Sscanf(line, "%x %s", &number, &name); err != nil {
				l.t.Fatalf("%q: %v", line, err)
			}
			a.calls[name] = number
		}
	}
}

func (l *library) say(text string) {
	l.t.Helper()
	if _, err := io.WriteString(l.in, text); err != nil {
		l.t.Fatal(err)
	}
}

// returned is what a filter with an action returns to the kernel; libseccomp's actions are the same numbers. 1 is EPERM, which runc takes
// where the profile has no number (libcontainer/seccomp, getAction).
func returned(action specs.LinuxSeccompAction, errno *uint) uint32 {
	n := uint32(unix.EPERM)
	if errno != nil {
		n = uint32(*errno)
	}
	switch action {
	case specs.ActAllow:
		return unix.SECCOMP_RET_ALLOW
	case specs.ActLog:
		return unix.SECCOMP_RET_LOG
	case specs.ActTrace:
		return unix.SECCOMP_RET_TRACE | n
	case specs.ActErrno:
		return unix.SECCOMP_RET_ERRNO | n
	case specs.ActTrap:
		return unix.SECCOMP_RET_TRAP
	case specs.ActKillProcess:
		return unix.SECCOMP_RET_KILL_PROCESS
	case specs.ActKill, specs.ActKillThread:
		return unix.SECCOMP_RET_KILL_THREAD
	}
	panic("no filter of these tests has the action " + string(action))
}

// operators are libseccomp's numbers (seccomp.h, enum scmp_compare).
var operators = map[specs.LinuxSeccompOperator]int{
	specs.OpNotEqual: 1, specs.OpLessThan: 2, specs.OpLessEqual: 3, specs.OpEqualTo: 4, specs.OpGreaterEqual: 5, specs.OpGreaterThan: 6, specs.OpMaskedEqual: 7,
}

// errEndless: libseccomp does not come to an end, and so no container starts.
var errEndless = errors.New("libseccomp does not come to an end")

// build makes of a profile what runc makes of it, without the stub that it puts in front (libcontainer/seccomp/patchbpf). An error is
// libseccomp's: no container starts with such a profile.
func (l *library) build(p *specs.LinuxSeccomp) (program, error) {
	l.t.Helper()
	var text strings.Builder
	calls := 0
	for _, s := range p.Syscalls {
		calls += len(s.Names)
	}
	optimize := 0
	if l.tree && calls > 32 {
		optimize = 2
	}
	fmt.Fprintf(&text, "filter %x %x\n", returned(p.DefaultAction, p.DefaultErrnoRet), optimize)
	for _, a := range p.Architectures {
		i := slices.IndexFunc(l.family, func(f arch) bool { return f.named == a })
		fmt.Fprintf(&text, "arch %x\n", l.family[i].token)
	}
	for _, s := range p.Syscalls {
		for _, name := range s.Names {
			for _, conditions := range alternatives(s.Args) {
				fmt.Fprintf(&text, "rule %x %s %d", returned(s.Action, s.ErrnoRet), name, len(conditions))
				for _, c := range conditions {
					fmt.Fprintf(&text, " %d %d %x %x", c.Index, operators[c.Op], c.Value, c.ValueTwo)
				}
				text.WriteByte('\n')
			}
		}
	}
	l.say(text.String() + "end\n")
	line := l.line()
	if line == "" {
		return nil, errEndless
	}
	var where string
	var errno unix.Errno
	var length int
	if n, _ := fmt.Sscanf(line, "error %s %d", &where, &errno); n == 2 {
		return nil, fmt.Errorf("libseccomp: %s: %w", where, errno)
	}
	if _, err := fmt.Sscanf(line, "ok %d", &length); err != nil {
		l.t.Fatalf("%q: %v", line, err)
	}
	built := make(program, length)
	for i := range built {
		f, line := &built[i], l.line()
		if _, err := fmt.Sscanf(line, "%x %x %x %x", &f.Code, &f.Jt, &f.Jf, &f.K); err != nil {
			l.t.Fatalf("%q: %v", line, err)
		}
	}
	return built, nil
}
