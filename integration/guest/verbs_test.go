package guest

import (
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestVerbs: a container goes its whole way, on a machine that has cgroup v2 and AppArmor.
func TestVerbs(t *testing.T) {
	forEachDelegate(t, "requireProof: true\n", func(t *testing.T, m *machine) {
		c := m.container(t, "id; exec sleep 600", nil)
		if err := c.create(t); err != nil {
			t.Fatal(err)
		}
		if got := c.state(t).Status; got != specs.StateCreated {
			t.Errorf("after create it is %s", got)
		}
		end := c.end(t)
		if out, err := c.call(t, "start"); err != nil {
			t.Fatalf("start: %v: %s", err, out)
		}
		if l := m.audited(t); l.Verb != "start" || l.Proof != "passed" {
			t.Errorf("the audit log says %+v", l)
		}
		out, err := c.exec(t, "/bin/sh", "-c", "id -u; grep -E '^(CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; cat /proc/self/cgroup")
		if want := "10001\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n0::/\n"; err != nil || out != want {
			t.Errorf("exec says %q, %v, want %q", out, err, want)
		}
		if out, err := c.words(t, "kill", c.id, "KILL"); err != nil {
			t.Errorf("kill: %v: %s", err, out)
		}
		end()
		if out, err := c.call(t, "delete"); err != nil {
			t.Errorf("delete: %v: %s", err, out)
		}
		if said := c.said(t); !strings.HasPrefix(said, "uid=10001(app) gid=10001(app)") {
			t.Errorf("the container said %q", said)
		}
	})
}
