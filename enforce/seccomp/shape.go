package seccomp

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// shaped writes rules down: calls with the same rules in one entry each, those without conditions first. The kernel answers these from a
// bitmap (seccomp_cache_prepare_bitmap). Conditional rules of one call stay in their order, on which libseccomp's filter depends.
func shaped(calls []call) []specs.LinuxSyscall {
	type group struct {
		rules []rule
		names []string
	}
	var groups []group
	for _, c := range calls {
		i := slices.IndexFunc(groups, func(g group) bool { return slices.EqualFunc(g.rules, c.rules, sameRule) })
		if i < 0 {
			i = len(groups)
			groups = append(groups, group{rules: c.rules})
		}
		groups[i].names = append(groups[i].names, c.name)
	}
	var list []specs.LinuxSyscall
	for _, conditional := range []bool{false, true} {
		for _, g := range groups {
			if unconditional(g.rules[0]) == conditional {
				continue
			}
			for _, r := range g.rules {
				e := specs.LinuxSyscall{Names: g.names, Action: r.action, Args: r.args}
				if r.action == specs.ActErrno {
					e.ErrnoRet = r.errno
				}
				list = append(list, e)
			}
		}
	}
	return list
}
