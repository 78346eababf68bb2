package profiles

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"runclamp/enforce/seccomp"
	"runclamp/enforce/seccomp/syscalls"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestNewest: the newest call of a profile that kills is taken out of it, and kills. Without the rule that still names it, runc would answer
// ENOSYS.
func TestNewest(t *testing.T) {
	list := os.Getenv("RUNCLAMP_TEST_RUNC")
	if list == "" || os.Geteuid() != 0 {
		t.Skip("left out: it needs root, and runcs to test with in RUNCLAMP_TEST_RUNC (make test has both)")
	}
	const newest = "process_madvise" // Docker's default has it for CAP_SYS_PTRACE only; every libseccomp that is in use knows it
	numbers, _ := syscalls.Lookup(newest)
	number, ok := numbers.On(seccomp.Native())
	if !ok {
		t.Fatalf("%s has no number on %s", newest, seccomp.Native())
	}
	killing := seccomp.Strict()
	killing.DefaultAction, killing.DefaultErrnoRet = specs.ActKillProcess, nil
	for i := range killing.Syscalls {
		killing.Syscalls[i].Names = slices.DeleteFunc(slices.Clone(killing.Syscalls[i].Names), func(name string) bool {
			numbers, _ := syscalls.Lookup(name)
			n, ok := numbers.On(seccomp.Native())
			return ok && n > number
		})
	}
	killing.Syscalls = append(killing.Syscalls, specs.LinuxSyscall{Names: []string{newest}, Action: specs.ActAllow})
	bound, err := seccomp.Default(nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err := seccomp.Intersect(killing, bound)
	if err != nil {
		t.Fatal(err)
	}
	unnamed := *n.Profile
	unnamed.Syscalls = slices.DeleteFunc(slices.Clone(unnamed.Syscalls), func(s specs.LinuxSyscall) bool { return s.Action == unnamed.DefaultAction })

	dir, program := workshop(t)
	for i, runc := range filepath.SplitList(list) {
		for _, tt := range []struct {
			name    string
			profile *specs.LinuxSeccomp
			call    string
			ends    bool
		}{
			{"no-call", n.Profile, "", true},
			{"killed", n.Profile, strconv.Itoa(int(number)), false},
			{"unnamed", &unnamed, strconv.Itoa(int(number)), true},
		} {
			t.Run(runc+"/"+tt.name, func(t *testing.T) {
				err := start(t, runc, program, filepath.Join(dir, fmt.Sprintf("newest-%d-%s", i, tt.name)), func(s *specs.Spec) {
					if tt.call != "" {
						s.Process.Args = append(s.Process.Args, tt.call)
					}
					s.Process.NoNewPrivileges = true
					s.Process.Capabilities = &specs.LinuxCapabilities{}
					s.Linux.Seccomp = tt.profile
				})
				if (err == nil) != tt.ends {
					t.Errorf("ends well: %v, wanted %v: %v", err == nil, tt.ends, err)
				}
			})
		}
	}
}
