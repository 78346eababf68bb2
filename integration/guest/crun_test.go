package guest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const sleeper = "trap 'echo ended; exit' TERM; echo up; while :; do sleep 1; done"

// forCrun: 1.8.1 takes no configuration of another version (src/libcrun/container.c).
func forCrun(s *specs.Spec) { s.Version = "1.0.2" }

// TestCrun: create, start, exec, update, kill and delete through crun.
func TestCrun(t *testing.T) {
	m := newMachine(t, crun, "")
	c := m.container(t, sleeper, func(s *specs.Spec) {
		forCrun(s)
		s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: to(int64(64 << 20))}
	})
	if err := c.create(t); err != nil {
		t.Fatal(err)
	}
	end := c.end(t)
	if out, err := c.call(t, "start"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// All but the filter is proved: crun installs that after start.
	l := m.audited(t)
	if l.Verb != "start" || l.Verdict != "unchanged" || l.Proof != "none" {
		t.Errorf("the audit log says %+v", l)
	}
	for _, f := range l.Findings {
		if f.Detail != "seccompProgram" && f.Action == "audit" && f.Control == "proof" {
			t.Errorf("not proved: %+v", f)
		}
	}
	out, err := c.exec(t, "sh", "-c", "id -u; grep -E 'CapBnd|NoNewPrivs|Seccomp:' /proc/self/status; grep -E 'Uid|Seccomp:' /proc/1/status; ls /proc/self/fd")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"10001\n", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2\nUid:\t10001\t10001\t10001\t10001\nSeccomp:\t2"} {
		if !strings.Contains(out, want) {
			t.Errorf("exec printed %q, want %q", out, want)
		}
	}
	// 3 is the folder that ls reads.
	if _, descriptors, _ := strings.Cut(out, "/proc"); strings.Contains(descriptors, "\n4\n") {
		t.Errorf("an exec inherits descriptors: %q", out)
	}
	if out, err := c.call(t, "exec", "--user", "0:0", "--cap", "CAP_SYS_ADMIN"); err == nil {
		t.Errorf("an exec without a command: %s", out)
	}
	out, err = c.words(t, "exec", "--user", "0:0", "--cap", "CAP_SYS_ADMIN", c.id, "grep", "-E", "Uid|CapEff", "/proc/self/status")
	if err != nil || !strings.Contains(out, "Uid:\t10001") || !strings.Contains(out, "CapEff:\t0000000000000000") {
		t.Errorf("an exec as root: %q, %v", out, err)
	}
	if out, err := c.call(t, "update", "--memory", "33554432"); err != nil {
		t.Errorf("update: %v: %s", err, out)
	}
	if got := c.control(t, "memory.max"); got != "33554432" {
		t.Errorf("memory.max is %s after the update", got)
	}
	if out, err := c.words(t, "kill", c.id, "TERM"); err != nil {
		t.Errorf("kill: %v: %s", err, out)
	}
	end()
	if said := c.said(t); said != "up\nended\n" {
		t.Errorf("the container said %q", said)
	}
	if s := c.state(t); s.Status != specs.StateStopped {
		t.Errorf("it is %s", s.Status)
	}
	if out, err := c.call(t, "delete"); err != nil {
		t.Errorf("delete: %v: %s", err, out)
	}
}

// TestCrunRefuses: what crun would take, and runclamp does not.
func TestCrunRefuses(t *testing.T) {
	m := newMachine(t, crun, "")
	c := m.container(t, sleeper, forCrun)
	for want, args := range map[string][]string{
		"it names another configuration":   {"create", "--config", "/evil", "--bundle", c.bundle, c.id},
		"is cut short; write it in full":   {"create", "--bund", c.bundle, c.id},
		"takes what is joined to -b":       {"create", "-b" + c.bundle, c.id},
		"takes no value there":             {"create", "--no-pivot=false", "--bundle", c.bundle, c.id},
		"specification:cgroup-manager: ":   {"--cgroup-manager=disabled", "create", "--bundle", c.bundle, c.id},
		"does not exist":                   {"start", c.id},
		"runclamp takes no short flags to": {"exec", "-dt", c.id, "id"},
	} {
		if out, err := c.words(t, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v: %s, want %q", args, err, out, want)
		}
	}
}

// TestCrunRequiredProof: what can't be proved is not started, if the proof is required.
func TestCrunRequiredProof(t *testing.T) {
	m := newMachine(t, crun, "requireProof: true\n")
	c := m.container(t, "echo up", forCrun)
	if err := c.create(t); err != nil {
		t.Fatal(err)
	}
	if _, err := c.call(t, "start"); err == nil || !strings.Contains(err.Error(), "crun installs it after start") {
		t.Errorf("it started: %v", err)
	}
	if said := c.said(t); said != "" {
		t.Errorf("the container ran: %q", said)
	}
}

// TestDelegateExchanged: a container of runc's is unknown to crun.
func TestDelegateExchanged(t *testing.T) {
	m := newMachine(t, newRunc, "")
	c := m.container(t, "echo up", nil)
	if err := c.create(t); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(conf, "delegate")
	relink := func(program string) {
		t.Helper()
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(program, link); err != nil {
			t.Fatal(err)
		}
	}
	relink(crun)
	if _, err := c.call(t, "start"); err == nil || !strings.Contains(err.Error(), "was made by runc, and the delegate is crun") {
		t.Errorf("start: %v", err)
	}
	relink(newRunc)
}
