package docker

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"runclamp/enforce/apparmor"
	"runclamp/integration/demo/fixture"
	"runclamp/integration/guest/confinement"
)

// hardened is what holds where nobody has said anything, but that a kernel without AppArmor would not do.
const hardened = "controls:\n  appArmor: {ifUnavailable: reject}\n"

// lax lets through what a privileged container is, and leaves all of that to AppArmor.
const lax = `controls:
  privileged: {action: off}
  nonRoot: {action: off}
  capabilities: {action: off}
  noNewPrivileges: {action: off}
  readOnlyRootfs: {action: off}
  procMounts: {action: off}
  hostMounts: {action: off}
  devices: {action: off}
  seccomp: {action: off}
  resources: {action: off}
  appArmor: {ifUnavailable: reject}
`

var unconfined = []string{"--security-opt", "apparmor=unconfined"}

// TestKept: the profile that dockerd has loaded itself stays, and nothing else is loaded.
func TestKept(t *testing.T) {
	e := start(t, hardened)
	if m := mode(t, dockers); m != "enforce" {
		t.Fatalf("dockerd has loaded %s in mode %q", dockers, m)
	}
	id := e.waiting(t)
	if r := e.inspect(t, id, "HostConfig.Runtime"); r != "runclamp" {
		t.Fatalf("the runtime is %s", r)
	}
	e.confined(t, id, dockers)
	if d := decided(t, id, "create"); d.Verdict != "fixed" || len(d.Findings) > 0 {
		t.Errorf("create was decided so: %+v", d)
	}
	if d := decided(t, id, "start"); d.Proof != "passed" || len(d.Findings) > 0 {
		t.Errorf("start was decided so: %+v", d)
	}
	e.stopped(t, id)
	e.killed(t, e.waiting(t))
	if all := confinement.Loaded(t); len(all) != 1 {
		t.Errorf("loaded: %v", all)
	}
}

// TestUnconfined: what asks for no profile, or for everything, gets runclamp's, which is loaded for it.
func TestUnconfined(t *testing.T) {
	attempt := []string{"/attempts", "write=/proc/sys/kernel/hostname", "mount", "packet", "stream"}
	for _, tt := range []struct {
		name, policy string
		flags        []string
	}{
		{"unconfined", hardened, unconfined},
		{"privileged", lax, []string{"--privileged"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := start(t, tt.policy)
			id := e.waiting(t, tt.flags...)
			e.confined(t, id, confinement.Shipped(t))
			if m := mode(t, confinement.Shipped(t)); m != "enforce" {
				t.Errorf("it is loaded in mode %q", m)
			}
			d := decided(t, id, "create")
			if len(d.Findings) != 1 || d.Findings[0].Detail != "unconfined" || d.Findings[0].Action != "fix" {
				t.Errorf("create was decided so: %+v", d)
			}
			e.stopped(t, id)
			e.killed(t, e.waiting(t, tt.flags...))
		})
	}
	t.Run("in force", func(t *testing.T) {
		e := start(t, lax)
		said, err := e.run([]string{"--privileged"}, attempt...)
		if want := attempt[1] + ": permission denied\nmount: permission denied\npacket: permission denied\nstream: ok\n"; err != nil || said != want {
			t.Errorf("a privileged container: %q, %v, want %q", said, err, want)
		}
		// Without runclamp all of it succeeds, so that it is the profile that is seen.
		said, err = e.run([]string{"--privileged", "--runtime", "bare"}, attempt...)
		if want := strings.Join(attempt[1:], ": ok\n") + ": ok\n"; err != nil || said != want {
			t.Errorf("without runclamp: %q, %v, want %q", said, err, want)
		}
	})
	t.Run("refused", func(t *testing.T) {
		e := start(t, hardened)
		if said, err := e.run([]string{"--privileged"}, "true"); err == nil || !strings.Contains(said, "runclamp: refused: privileged: ") {
			t.Errorf("a privileged container: %q, %v", said, err)
		}
	})
}

// TestUsersProfile: one that the user has loaded is kept if it denies anything.
func TestUsersProfile(t *testing.T) {
	const denying = "profile %name flags=(attach_disconnected%flag) {\n  file,\n  signal,\n  network,\n  capability,\n  deny /srv/hello r,\n}\n"
	profile := func(name, flag string) string {
		return strings.NewReplacer("%name", name, "%flag", flag).Replace(denying)
	}
	for _, tt := range []struct {
		name, flag, want, said string
		loaded                 bool
	}{
		{"enforced", "", "enforced", "cat: can't open '/srv/hello': Permission denied\n", true},
		{"complaining", ",complain", confinement.Shipped(t), "hello\n", true},
		{"missing", "", confinement.Shipped(t), "hello\n", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := start(t, hardened)
			if tt.loaded {
				confinement.Parse(t, profile(tt.name, tt.flag), "-r")
			}
			flags := []string{"--security-opt", "apparmor=" + tt.name}
			id := e.waiting(t, flags...)
			e.confined(t, id, tt.want)
			if said, _ := e.docker("exec", id, "cat", "/srv/hello"); said != tt.said {
				t.Errorf("a file that the profile denies: %q, want %q", said, tt.said)
			}
			e.stopped(t, id)
			if tt.want == tt.name {
				return
			}
			// Who would rather know is told.
			e = start(t, strings.Replace(hardened, "{", "{action: reject, ", 1))
			if tt.loaded {
				confinement.Parse(t, profile(tt.name, tt.flag), "-r")
			}
			said, err := e.run(flags, "echo", "in")
			if want := `the AppArmor profile "` + tt.name + `", which is not loaded in enforce mode`; err == nil || !strings.Contains(said, want) || strings.Contains(said, "in\n") {
				t.Errorf("%q, %v, want %q", said, err, want)
			}
		})
	}
}

// TestConfinedRuntime: where runc has a profile itself, as on Ubuntu since 24.04, docker stop and docker kill come from that, and arrive.
func TestConfinedRuntime(t *testing.T) {
	e := start(t, hardened)
	runc := os.Getenv("RUNCLAMP_TEST_RUNC")
	confinement.Parse(t, "profile runc "+runc+" flags=(unconfined) {\n}\n", "-r")
	if got := labelOf(t, runc); got != "runc (unconfined)" {
		t.Fatalf("runc is confined by %q", got)
	}
	for profile, flags := range map[string][]string{dockers: nil, confinement.Shipped(t): unconfined} {
		t.Run(profile[:strings.LastIndex(profile, "-")], func(t *testing.T) {
			id := e.waiting(t, flags...)
			e.confined(t, id, profile)
			e.stopped(t, id)
			e.killed(t, e.waiting(t, flags...))
		})
	}
}

// labelOf is what the kernel confines a program by, if it is started from here. It is not let run.
func labelOf(t *testing.T, program string) string {
	t.Helper()
	// Its tracer is the thread that has started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command(program)
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// It stops as soon as it is another program, which it is not yet when Start is back.
	_, waitErr := syscall.Wait4(cmd.Process.Pid, nil, 0, nil)
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid), "attr/current"))
	if err := errors.Join(waitErr, err, cmd.Process.Kill()); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	return strings.TrimSpace(string(text))
}

// TestService: a service gets by with the profile that is made of the policy's list, and gets no further.
func TestService(t *testing.T) {
	e := start(t, `controls:
  appArmor:
    ifUnavailable: reject
    allow: {execute: [/service], read: [/srv], write: [/var/lib/service], network: [inet, inet6]}
`)
	const address = "127.0.0.1:8080"
	id := e.launch(t, append([]string{"--tmpfs", "/var/lib/service:mode=1777"}, unconfined...), "/service", address)
	if got := e.label(t, id); !strings.HasPrefix(got, apparmor.AllowName+"-") || !strings.HasSuffix(got, " (enforce)") {
		t.Errorf("it is confined by %q", got)
	}
	pid := e.inspect(t, id, "State.Pid")
	ask := func(path string) (string, error) {
		return output(exec.Command("nsenter", "-n", "-t", pid, "wget", "-q", "-O", "-", "http://"+address+path))
	}
	for deadline := time.Now().Add(fixture.Patience); ; {
		said, err := ask("/hello")
		if err == nil && said == "hello\n" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a file in the list: %q, %v; the service says: %s", said, err, e.must(t, "logs", id))
		}
	}
	if said, err := ask("/shadow"); err == nil || !strings.Contains(said, "403 Forbidden") {
		t.Errorf("a file outside the list: %q, %v", said, err)
	}
	if text, err := os.ReadFile(filepath.Join("/proc", pid, "root/var/lib/service/log")); err != nil || !strings.HasSuffix(string(text), "/hello\n") {
		t.Errorf("the service's log: %q, %v", text, err)
	}
	if said, err := e.docker("exec", id, "sh", "-c", "/bin/cat /srv/hello"); err == nil || strings.Contains(said, "hello\n") {
		t.Errorf("a program outside the list was run: %q", said)
	}
	e.killed(t, id)
}

// TestRemoved: a container whose profile goes away while it is made is confined by another, or does not start.
func TestRemoved(t *testing.T) {
	const away = "profile " + dockers + " {}\n"
	// The next test finds dockerd's profile as it was: it loads it for every container that has none of its own.
	again := func(t *testing.T, e *engine) {
		if said, err := e.run(nil, "cat", "/proc/self/attr/current"); err != nil || said != dockers+" (enforce)\n" {
			t.Errorf("dockerd does not load its profile anew: %q, %v", said, err)
		}
	}
	t.Run("before docker start", func(t *testing.T) {
		e := start(t, hardened)
		id := e.gone(t, e.must(t, "create", "--network", "none", image, "cat", "/proc/self/attr/current"))
		confinement.Parse(t, away, "-R")
		if said := e.must(t, "start", "-a", id); said != dockers+" (enforce)\n" {
			t.Errorf("it is confined by %q", said)
		}
	})
	t.Run("before create", func(t *testing.T) {
		e := start(t, hardened)
		said, err := e.run([]string{"--runtime", "remove-first"}, "cat", "/proc/self/attr/current")
		if err != nil || said != confinement.Shipped(t)+" (enforce)\n" {
			t.Errorf("it is confined by %q, %v", said, err)
		}
		again(t, e)
	})
	t.Run("between create and start", func(t *testing.T) {
		e := start(t, hardened)
		said, err := e.run([]string{"--runtime", "remove-late"}, "echo", "in")
		if err == nil || !strings.Contains(said, "no profile "+dockers+" that is loaded and enforced") || strings.Contains(said, "in\n") {
			t.Errorf("%q, %v", said, err)
		}
		if m := mode(t, dockers); m != "" {
			t.Errorf("the profile was to be removed, and is in mode %s", m)
		}
		again(t, e)
	})
	t.Run("while it runs", func(t *testing.T) {
		e := start(t, hardened)
		id := e.waiting(t, unconfined...)
		if err := apparmor.ThisHost("").Unload(confinement.Shipped(t)); err != nil {
			t.Fatal(err)
		}
		if said, err := e.docker("exec", id, "echo", "in"); err == nil || strings.Contains(said, "in\n") {
			t.Errorf("a process was started in a container whose profile is gone: %q", said)
		}
		e.stopped(t, id)

		// dockerd loads its own anew for an exec as well.
		id = e.waiting(t)
		confinement.Parse(t, away, "-R")
		if said, err := e.docker("exec", id, "cat", "/proc/self/attr/current"); err != nil || said != dockers+" (enforce)\n" {
			t.Errorf("exec is confined by %q, %v", said, err)
		}
	})
}
