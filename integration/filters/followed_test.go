package filters

import (
	"testing"

	"runclamp/enforce/proof"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestFollowed: what libseccomp makes of many values of 64 bits, on which there are more ways than can be gone one by one, is followed to its end by what
// start holds a filter against its profile with. So are the engines' profiles.
func TestFollowed(t *testing.T) {
	l := newLibrary(t)
	long := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: l.names()[:1], Syscalls: []specs.LinuxSyscall{{Names: []string{"sync"}, Action: specs.ActAllow}}}
	for i := range uint64(100) {
		long.Syscalls = append(long.Syscalls, specs.LinuxSyscall{Names: []string{"prctl"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Op: specs.OpEqualTo, Value: i<<32 + i}}})
	}
	for _, l.tree = range []bool{true, false} {
		for _, h := range append(l.engines(), l.hold(long)) {
			if h.err != nil {
				t.Fatal(h.err)
			}
			if found, err := proof.Beyond([]proof.Program{[]unix.SockFilter(h.program)}, h.profile); err != nil || len(found) > 0 {
				t.Errorf("%q, %v: %s", found, err, text(h.profile))
			}
		}
	}
}
