package filters

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"runclamp/enforce/proof"
	"runclamp/integration/demo/fixture"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// lab is a runc and a bundle for it.
type lab struct {
	runc     fixture.Runtime
	bundle   string
	spec     *specs.Spec
	out      string
	programs func(pid int) ([]proof.Program, error)
}

const id = "runclamp-filters"

func newLab(t *testing.T, runc string) *lab {
	t.Helper()
	dir, err := fixture.Workspace("/var/lib", id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	l := &lab{bundle: filepath.Join(dir, "bundle"), out: filepath.Join(dir, "out"), programs: proof.ThisHost().Programs}
	var err1, err2 error
	l.runc, err1 = fixture.NewRuntime(runc, filepath.Join(dir, "state"))
	l.spec, err2 = fixture.Config("/probe")
	// The program is never started.
	if err := errors.Join(err1, err2, fixture.WriteBundle(l.bundle, l.spec, "/bin/true")); err != nil {
		t.Fatal(err)
	}
	return l
}

// filter is the program that the kernel has for a container with a profile; an error is runc's, which does not create it.
func (l *lab) filter(t *testing.T, p *specs.LinuxSeccomp) (program, error) {
	t.Helper()
	path := filepath.Join(l.bundle, "config.json")
	raw, err := os.ReadFile(path)
	var spec specs.Spec
	if err := errors.Join(err, json.Unmarshal(raw, &spec)); err != nil {
		t.Fatal(err)
	}
	spec.Linux.Seccomp = p
	// With it, runc loads the filter at the very end, and without it, before it drops privileges, so that a profile must let more through.
	spec.Process.NoNewPrivileges = true
	raw, err1 := json.Marshal(spec)
	out, err2 := os.Create(l.out)
	if err := errors.Join(err1, err2, os.WriteFile(path, raw, 0o600)); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(out.Close(), l.runc.Remove(id)); err != nil {
			t.Error(err)
		}
	}()
	if err := l.runc.Call(out, "create", "--bundle", l.bundle, id); err != nil {
		return nil, err
	}
	raw, err = os.ReadFile(filepath.Join(l.runc.Root, id, "state.json"))
	var state struct {
		PID int `json:"init_process_pid"`
	}
	if err := errors.Join(err, json.Unmarshal(raw, &state)); err != nil {
		t.Fatal(err)
	}
	programs, err := l.programs(state.PID)
	if err != nil || len(programs) != 1 {
		t.Fatalf("%d filters, and %v", len(programs), err)
	}
	return program(programs[0]), nil
}

// TestRunc: what real runcs give the kernel ends in the very program that libseccomp makes in these tests, and what they put in front of it
// only says of calls that it is not known (ENOSYS).
func TestRunc(t *testing.T) {
	list := os.Getenv("RUNCLAMP_TEST_RUNC")
	if list == "" || os.Geteuid() != 0 {
		t.Skip("left out: it needs root, and runcs to test with in RUNCLAMP_TEST_RUNC (make test has both)")
	}
	l := newLibrary(t)
	r, _ := seeded(t, 0)
	profiles := engines(t)
	for i := range 12 {
		p := l.generate(r)
		// What runc has to do after the filter is loaded.
		p.DefaultAction = specs.ActLog
		if i%3 == 0 {
			p.DefaultAction, p.DefaultErrnoRet = specs.ActErrno, nil
			p.Syscalls = append(p.Syscalls, profiles["docker none"].Syscalls...)
		}
		profiles[fmt.Sprintf("generated %d", i)] = p
	}
	for _, runc := range filepath.SplitList(list) {
		t.Run(runc, func(t *testing.T) {
			lab := newLab(t, runc)
			version, err := exec.Command(runc, "--version").Output()
			if err != nil {
				t.Fatal(err)
			}
			trees := !bytes.HasPrefix(version, []byte("runc version 1.1."))
			for _, name := range slices.Sorted(maps.Keys(profiles)) {
				t.Run(name, func(t *testing.T) {
					p := profiles[name]
					// runc builds trees since 1.2.
					l.tree = trees
					h := l.hold(p)
					real, err := lab.filter(t, p)
					if (err != nil) != (h.err != nil) {
						t.Fatalf("runc says %v, and libseccomp says %v: %s", err, h.err, text(p))
					}
					if err != nil {
						return
					}
					stub := len(real) - len(h.program)
					if stub < 0 || !slices.Equal(real[stub:], h.program) {
						t.Fatalf("the kernel's program, of %d instructions, does not end in libseccomp's, of %d: %s", len(real), len(h.program), text(p))
					}
					for _, tt := range l.targets(r, p) {
						for _, tt.call.args = range tt.args {
							a, err1 := real.run(&tt.call)
							b, err2 := h.program.run(&tt.call)
							if err1 != nil || err2 != nil {
								t.Fatal(err1, err2)
							}
							if a != b && a != unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSYS) {
								t.Fatalf("%+v: the kernel's program returns %#x, and libseccomp's %#x", tt.call, a, b)
							}
						}
					}
				})
			}
		})
	}
}
