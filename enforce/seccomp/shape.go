package seccomp

import (
	"math"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// shaped writes rules down: calls with the same rules in one entry each, those without conditions first. The kernel answers these from a
// bitmap (seccomp_cache_prepare_bitmap). Conditional rules of one call stay in their order, on which libseccomp's filter depends.
//
// The call with the highest number comes first. libseccomp has a list of calls by number, and goes through it from the lowest for each rule
// that it gets (src/db.c, db_rule_add): this way there is nothing to go through, and three hundred calls are added in half the time.
func shaped(calls []call) []specs.LinuxSyscall {
	type group struct {
		rules []rule
		names []string
	}
	var groups []group
	for _, at := range newestFirst(calls) {
		c := &calls[at]
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

// newestFirst has the places of calls from the highest number on the native architecture to the lowest. Those that are in no table are newer than all.
func newestFirst(calls []call) []int {
	native := Native()
	keys := make([]uint64, len(calls)) // the number, and behind it the place
	for i := range calls {
		number := uint32(math.MaxUint32)
		if calls[i].known {
			number, _ = calls[i].row.Numbers().On(native)
		}
		keys[i] = uint64(^number)<<32 | uint64(i)
	}
	slices.Sort(keys)
	places := make([]int, len(calls))
	for i, key := range keys {
		places[i] = int(uint32(key))
	}
	return places
}
