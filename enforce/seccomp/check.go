package seccomp

import (
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Problem is what makes a profile unfit to be compared and let through.
type Problem struct {
	// Detail is stable: notify, listener, flags, action, errno, name, condition, size.
	Detail string
	// Field is the member of the profile, as a JSON pointer below it.
	Field string
	// Found and Wanted are for people.
	Found, Wanted string
}

const (
	// maxRulesInAll is beyond any profile: the kernel takes 4,096 instructions (BPF_MAXINSNS), and a rule makes one at least. Comparing takes
	// time by the square of it.
	maxRulesInAll = 1 << 12
	// maxErrno is the greatest error that the kernel returns (seccomp(2), MAX_ERRNO). runc cuts a greater one to 16 bits, so that it
	// becomes another.
	maxErrno = 4095
	// maxArgument is the index of the last argument.
	maxArgument = 5
)

// Check looks for what must not be let through, and what means something else to runc than it says: nil if there is neither. listeners
// are the paths of the notify agents that the policy trusts.
func Check(p *specs.LinuxSeccomp, listeners []string) *Problem {
	trusted := p.ListenerPath != "" && slices.Contains(listeners, p.ListenerPath)
	if (p.ListenerPath != "" || p.ListenerMetadata != "") && !trusted {
		return &Problem{"listener", "/listenerPath", fmt.Sprintf("a seccomp listener at %q, which can let any system call through", p.ListenerPath), "no listener"}
	}
	if p.DefaultAction == specs.ActNotify { // runc does not take it, either
		return &Problem{"notify", "/defaultAction", "system calls that a notify agent decides about", "SCMP_ACT_ERRNO"}
	}
	if problem := checkAction(p.DefaultAction, p.DefaultErrnoRet, trusted, "/defaultAction", "/defaultErrnoRet"); problem != nil {
		return problem
	}
	for _, f := range p.Flags {
		if !harmless(f) {
			return &Problem{"flags", "/flags", fmt.Sprintf("flag %q", f), "no flags but SECCOMP_FILTER_FLAG_LOG, SECCOMP_FILTER_FLAG_TSYNC and SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"}
		}
	}
	count := 0
	for i, s := range p.Syscalls {
		field := func() string { return fmt.Sprintf("/syscalls/%d", i) } // only where there is a problem
		if problem := checkAction(s.Action, s.ErrnoRet, trusted, "/action", "/errnoRet"); problem != nil {
			problem.Field = field() + problem.Field
			return problem
		}
		for k, name := range s.Names {
			if !isName(name) {
				return &Problem{"name", fmt.Sprintf("%s/names/%d", field(), k), fmt.Sprintf("a system call %q", name), "a name of lower-case letters, digits and underscores"}
			}
		}
		for k, a := range s.Args {
			field := func() string { return fmt.Sprintf("%s/args/%d", field(), k) }
			switch {
			case a.Index > maxArgument:
				return &Problem{"condition", field() + "/index", fmt.Sprintf("a condition on argument %d", a.Index), "an index from 0 to 5"}
			case !knownOperator(a.Op):
				return &Problem{"condition", field() + "/op", fmt.Sprintf("operator %q, which is none of seccomp's", a.Op), "SCMP_CMP_EQ, NE, LT, LE, GT, GE or MASKED_EQ"}
			case a.Op == specs.OpMaskedEqual && leavesNothing(p, a.Value):
				// libseccomp makes a rule without conditions of it, and the first of those counts: a denial of all that is left does not.
				return &Problem{"condition", field() + "/value", fmt.Sprintf("a mask %#x, which leaves nothing of the argument to compare", a.Value), "the mask in value, and what is to be left in valueTwo"}
			}
		}
		if count += len(s.Names) * max(1, len(s.Args)); count > maxRulesInAll {
			return &Problem{"size", "/syscalls", fmt.Sprintf("more than %d rules", maxRulesInAll), "a profile that the kernel can take"}
		}
	}
	return nil
}

func checkAction(a specs.LinuxSeccompAction, errno *uint, notify bool, field, errnoField string) *Problem {
	switch {
	case a == specs.ActNotify && !notify:
		return &Problem{"notify", field, "system calls that a notify agent decides about", "SCMP_ACT_ERRNO or SCMP_ACT_ALLOW"}
	case a == specs.ActTrace:
		return &Problem{"action", field, "SCMP_ACT_TRACE, which leaves a call to a tracer; without one it fails with ENOSYS (seccomp(2))", "SCMP_ACT_ERRNO or SCMP_ACT_ALLOW"}
	case !knownAction(a):
		return &Problem{"action", field, fmt.Sprintf("action %q, which is none of seccomp's", a), "SCMP_ACT_ERRNO or SCMP_ACT_ALLOW"}
	case errno != nil && *errno > maxErrno:
		return &Problem{"errno", errnoField, fmt.Sprintf("error number %d", *errno), fmt.Sprintf("at most %d", maxErrno)}
	case errno != nil && *errno == 0 && a == specs.ActErrno:
		// Without no-new-privileges runc installs the filter before it gives up user and capabilities, and believes what it is told:
		// setuid(2) and capset(2) that do nothing and succeed leave the container root's.
		return &Problem{"errno", errnoField, "error number 0, which tells programs that a denied call has succeeded", fmt.Sprintf("a number from 1 to %d", maxErrno)}
	}
	return nil
}

// leavesNothing: no bit of a mask is looked at on one of the profile's architectures.
func leavesNothing(p *specs.LinuxSeccomp, mask uint64) bool {
	return mask == 0 || uint32(mask) == 0 && slices.ContainsFunc(covered(p), narrowWords)
}

// isName: libseccomp reads a name to its first NUL, so that "mount\x00x" would be mount to it.
func isName(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return s != ""
}

// harmless flags take nothing away from the filter. SPEC_ALLOW is not among them: it turns the mitigation of Speculative
// Store Bypass off for the process (runc issue 2430).
func harmless(f specs.LinuxSeccompFlag) bool {
	return slices.Contains([]specs.LinuxSeccompFlag{
		specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagWaitKillableRecv, "SECCOMP_FILTER_FLAG_TSYNC",
	}, f)
}

func knownAction(a specs.LinuxSeccompAction) bool {
	switch a {
	case specs.ActKill, specs.ActKillProcess, specs.ActKillThread, specs.ActTrap, specs.ActErrno, specs.ActAllow, specs.ActLog, specs.ActNotify:
		return true
	}
	return false
}

func knownOperator(op specs.LinuxSeccompOperator) bool {
	switch op {
	case specs.OpEqualTo, specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpGreaterThan, specs.OpGreaterEqual, specs.OpMaskedEqual:
		return true
	}
	return false
}
