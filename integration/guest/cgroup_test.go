package guest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func to[T any](v T) *T { return &v }

// limited asks for less than the machine has.
func limited(s *specs.Spec) {
	s.Linux.Resources.Pids = &specs.LinuxPids{Limit: to(int64(20))}
	s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: to(int64(32 << 20)), Swap: to(int64(32 << 20))}
	s.Linux.Resources.CPU = &specs.LinuxCPU{Quota: to(int64(20_000)), Period: to(uint64(100_000))}
}

// control is a file of the container's control group.
func (c *container) control(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", filepath.Base(filepath.Dir(c.bundle))+"-bundle", name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// TestLimits: what a container may use is set in its control group, proved at start, and enforced by the kernel.
func TestLimits(t *testing.T) {
	forEachDelegate(t, "requireProof: true\n", func(t *testing.T, m *machine) {
		for _, tt := range []struct {
			name, script string
			held         func(t *testing.T, c *container, said string)
		}{
			// The limit is of processes at one time, the shell among them.
			{"pids", "i=0; while [ $i -lt 40 ]; do sleep 60 & i=$((i+1)); done; echo all", func(t *testing.T, c *container, said string) {
				if !strings.Contains(said, "can't fork") || strings.Contains(said, "all") {
					t.Errorf("40 processes under a limit of 20: %q", said)
				}
			}},
			{"memory", "dd if=/dev/zero of=/dev/null bs=64M count=1 2>/dev/null && echo all", func(t *testing.T, c *container, said string) {
				if events := c.control(t, "memory.events"); said != "" || !strings.Contains(events, "oom_kill 1") {
					t.Errorf("64 MiB under a limit of 32 MiB: %q, %s", said, events)
				}
			}},
			{"cpu", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo all", func(t *testing.T, c *container, said string) {
				if said != "all\n" || counter(t, c.control(t, "cpu.stat"), "nr_throttled") == 0 {
					t.Errorf("a loop under a limit of a fifth: %q, %s", said, c.control(t, "cpu.stat"))
				}
			}},
		} {
			t.Run(tt.name, func(t *testing.T) {
				c := m.container(t, tt.script, limited)
				said, err := c.run(t)
				if err != nil {
					t.Fatalf("%v: %s", err, said)
				}
				if l := m.audited(t); l.Verb != "start" || l.Verdict != "unchanged" || l.Proof != "passed" {
					t.Errorf("the audit log says %+v", l)
				}
				for name, want := range map[string]string{"pids.max": "20", "memory.max": strconv.Itoa(32 << 20), "memory.swap.max": "0", "cpu.max": "20000 100000"} {
					if got := c.control(t, name); got != want {
						t.Errorf("%s is %q, want %q", name, got, want)
					}
				}
				tt.held(t, c, said)
			})
		}
	})
}

// counter is a line "name value" of a control group's file.
func counter(t *testing.T, text, name string) int {
	t.Helper()
	for l := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(l), name+" "); ok {
			n, err := strconv.Atoi(value)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s in %q", name, text)
	return 0
}
