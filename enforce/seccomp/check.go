package seccomp

import (
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Problem is what makes a profile unfit to be narrowed.
type Problem struct {
	// Detail is stable: default, listener, notify, flags, action.
	Detail string
	// Field is the member of the profile, as a JSON pointer below it.
	Field string
	// Found and Wanted are for people.
	Found, Wanted string
}

// Check looks for what can't be narrowed and must not be let through: nil if there is none. The default action comes last,
// because a policy may be content with any, and with none of the others.
func Check(p *specs.LinuxSeccomp) *Problem {
	switch {
	case p.DefaultAction == specs.ActNotify:
		return &Problem{"notify", "/defaultAction", "system calls that a notify agent decides about", "SCMP_ACT_ERRNO"}
	case !knownAction(p.DefaultAction):
		return &Problem{"action", "/defaultAction", fmt.Sprintf("default action %q, which is none of seccomp's", p.DefaultAction), "SCMP_ACT_ERRNO"}
	}
	if p.ListenerPath != "" || p.ListenerMetadata != "" {
		return &Problem{"listener", "/listenerPath", fmt.Sprintf("a seccomp listener at %q, which can let any system call through", p.ListenerPath), "no listener"}
	}
	for _, f := range p.Flags {
		if !harmless(f) {
			return &Problem{"flags", "/flags", fmt.Sprintf("flag %q", f), "no flags but SECCOMP_FILTER_FLAG_LOG, SECCOMP_FILTER_FLAG_TSYNC and SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"}
		}
	}
	for i, s := range p.Syscalls {
		field := fmt.Sprintf("/syscalls/%d/action", i)
		switch {
		case s.Action == specs.ActNotify:
			return &Problem{"notify", field, "system calls that a notify agent decides about", "SCMP_ACT_ERRNO or SCMP_ACT_ALLOW"}
		case !knownAction(s.Action):
			return &Problem{"action", field, fmt.Sprintf("action %q, which is none of seccomp's", s.Action), "SCMP_ACT_ERRNO or SCMP_ACT_ALLOW"}
		}
	}
	if executes(p.DefaultAction) {
		return &Problem{"default", "/defaultAction", fmt.Sprintf("a profile that lets through by default (%s)", p.DefaultAction), "a profile that denies by default (SCMP_ACT_ERRNO)"}
	}
	return nil
}

// harmless flags take nothing away from the filter. SPEC_ALLOW is not among them: it turns the mitigation of Speculative
// Store Bypass off for the process (runc issue 2430).
func harmless(f specs.LinuxSeccompFlag) bool {
	return slices.Contains([]specs.LinuxSeccompFlag{
		specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagWaitKillableRecv, "SECCOMP_FILTER_FLAG_TSYNC",
	}, f)
}

func knownAction(a specs.LinuxSeccompAction) bool {
	return slices.Contains([]specs.LinuxSeccompAction{
		specs.ActKill, specs.ActKillProcess, specs.ActKillThread, specs.ActTrap, specs.ActErrno,
		specs.ActTrace, specs.ActAllow, specs.ActLog, specs.ActNotify,
	}, a)
}
