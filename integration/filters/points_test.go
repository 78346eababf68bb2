package filters

import (
	"math"
	"math/rand/v2"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// numbers are every system call number that is tried: those that there can be, and what lies at the ends. Each counts for x32 as well.
func numbers() []uint32 {
	var all []uint32
	for n := range uint32(1024) {
		all = append(all, n, n|x32Bit)
	}
	for n := range uint32(16) {
		all = append(all, 0x0f0000+n) // 32-bit arm has some there
	}
	return append(all, math.MaxInt32, math.MaxInt32+1, math.MaxUint32-1, math.MaxUint32, x32Bit-1, x32Bit<<1)
}

// constants are where something can change: the values of the profiles' conditions on a system call's arguments. indices are the
// arguments that have any.
func constants(profiles []*specs.LinuxSeccomp) (values map[string][]uint64, indices map[string][]uint) {
	values, indices = make(map[string][]uint64), make(map[string][]uint)
	var every []uint64
	for _, p := range profiles {
		for _, s := range p.Syscalls {
			for _, c := range s.Args {
				every = append(every, c.Value)
			}
			for _, name := range s.Names {
				for _, c := range s.Args {
					values[name] = append(values[name], c.Value)
					if c.Op == specs.OpMaskedEqual {
						values[name] = append(values[name], c.ValueTwo, c.Value|c.ValueTwo, ^c.Value|c.ValueTwo)
					}
					if !slices.Contains(indices[name], c.Index) {
						indices[name] = append(indices[name], c.Index)
					}
				}
			}
		}
	}
	// On 32-bit x86 libseccomp makes rules for the multiplexers of those for what they multiplex: their first argument is its number
	// (linux/net.h, SYS_SOCKET; linux/ipc.h, SEMOP).
	for _, name := range []string{"socketcall", "ipc"} {
		values[name] = append(values[name], every...)
		for n := range uint64(25) {
			values[name] = append(values[name], n)
		}
		indices[name] = []uint{0, 1, 2, 3, 4, 5}
	}
	return values, indices
}

// around are the values to try for one constant: it, its neighbours, and those that have one of its 32-bit words, because a filter
// looks at one word at a time.
func around(v uint64) []uint64 {
	high, low := v&^math.MaxUint32, v&math.MaxUint32
	const more = 1 << 32
	return []uint64{
		v, v - 1, v + 1, low, high, high | math.MaxUint32, v + more, v - more, high + more, high - more,
		(high + more) | math.MaxUint32, (high - more) | math.MaxUint32, low | 1<<63, low | more,
	}
}

// limits are the values that are always tried.
var limits = []uint64{0, 1, 1 << 31, math.MaxUint32, 1 << 32, 1 << 63, math.MaxUint64}

// arguments are what a system call is tried with: everything along each argument and, with more than one, random choices of all.
func arguments(r *rand.Rand, values []uint64, indices []uint) [][6]uint64 {
	tried := slices.Concat(limits, []uint64{r.Uint64(), uint64(r.Uint32())})
	for _, v := range values {
		tried = append(tried, around(v)...)
	}
	slices.Sort(tried)
	tried = slices.Compact(tried)
	var all [][6]uint64
	var base [6]uint64
	if len(indices) == 0 {
		all = append(all, base)
		for i := range base {
			base[i] = tried[r.IntN(len(tried))]
		}
		return append(all, base)
	}
	if len(indices) == 1 {
		for _, v := range tried {
			base[indices[0]] = v
			all = append(all, base)
		}
		return all
	}
	// The constants themselves come more often: with three conditions, points where two hold would be rare otherwise.
	for range 6 * len(tried) {
		for _, i := range indices {
			if len(values) > 0 && r.IntN(2) == 0 {
				base[i] = values[r.IntN(len(values))]
			} else {
				base[i] = tried[r.IntN(len(tried))]
			}
		}
		all = append(all, base)
	}
	return all
}
