package guest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"runclamp/enforce/apparmor"
	"runclamp/integration/demo/fixture"
	"runclamp/integration/guest/confinement"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// lax leaves everything to AppArmor, so that what is denied is denied by it.
const lax = `controls:
  specification: {action: off}
  privileged: {action: off}
  nonRoot: {action: off}
  capabilities: {action: off}
  noNewPrivileges: {action: off}
  readOnlyRootfs: {action: off}
  procMounts: {action: off}
  hostMounts: {action: off}
  resources: {action: off}
  hostNamespaces: {action: off}
  seccomp: {action: off}
  appArmor: {ifUnavailable: reject%s}
`

// almighty asks for everything: root with all capabilities, no filter, nothing masked, the host's processes and network.
func almighty(s *specs.Spec) {
	all := []string{"CAP_SYS_ADMIN", "CAP_NET_RAW", "CAP_NET_ADMIN", "CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_KILL", "CAP_SYS_CHROOT"}
	s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: all, Effective: all, Permitted: all}
	s.Process.ApparmorProfile = ""
	s.Linux.Sysctl = nil
	s.Linux.Seccomp, s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil, nil
	s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
		return n.Type == specs.PIDNamespace || n.Type == specs.NetworkNamespace
	})
	for i, m := range s.Mounts {
		s.Mounts[i].Options = slices.DeleteFunc(m.Options, func(o string) bool { return o == "ro" })
	}
}

// lsm is a machine whose AppArmor has no profile of runclamp's, whose policy is lax, and whose profiles are gone in the end.
func lsm(t *testing.T, delegate, settings string) *machine {
	t.Helper()
	m := newMachine(t, delegate, fmt.Sprintf(lax, settings))
	unloadAll(t)
	t.Cleanup(func() {
		if err := os.RemoveAll("/run/runclamp"); err != nil {
			t.Error(err)
		}
	})
	return m
}

func unloadAll(t *testing.T) {
	t.Helper()
	for _, p := range confinement.Loaded(t) {
		if err := apparmor.ThisHost("").Unload(p.Name); err != nil {
			t.Fatal(err)
		}
	}
}

// with puts a program of the guest's into the container's root filesystem.
func (c *container) with(t *testing.T, programs ...string) *container {
	t.Helper()
	for _, p := range programs {
		if err := command("cp", filepath.Join("/programs", p), filepath.Join(c.bundle, "rootfs", p)); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func (c *container) write(t *testing.T, path, text string) {
	t.Helper()
	path = filepath.Join(c.bundle, "rootfs", path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// label is what the kernel says that confines a process.
func label(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/attr/current", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// TestAppArmorDenies: a container that may do everything else is denied what the profile denies, and nothing that programs need.
// Without the profile the same attempts succeed, so that it is the profile that is seen.
func TestAppArmorDenies(t *testing.T) {
	for _, delegate := range []string{oldRunc, newRunc} {
		t.Run(filepath.Base(delegate), func(t *testing.T) {
			m := lsm(t, delegate, "")
			other := exec.Command("/bin/sleep", "600")
			if err := other.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _, _ = other.Process.Kill(), other.Wait() }()
			denied := []string{"mount", "remount", "raw", "raw6", "packet", "ptrace=" + strconv.Itoa(other.Process.Pid), "write=/proc/sys/kernel/hostname", "write=/proc/sysrq-trigger",
				"write=/proc/self/attr/current", "write=/sys/module/apparmor/parameters/mode", "write=/sys/kernel/mm/transparent_hugepage/enabled",
				"read=/sys/kernel/security/apparmor/profiles", "read=/proc/timer_list", "write=/proc/irq/default_smp_affinity"}
			given := []string{"stream", "netlink", "unix", "read=/etc/passwd", "create=/tmp/new", "write=/proc/self/comm", "write=/proc/self/oom_score_adj", "read=/proc/self/attr/current",
				"read=/proc/cpuinfo", "write=/dev/null", "run=/bin/true"}
			attempt := func() string {
				c := m.container(t, "exec /attempts "+strings.Join(append(denied, given...), " "), func(s *specs.Spec) {
					almighty(s)
					s.Mounts = append(s.Mounts, specs.Mount{Destination: "/sys/kernel/security", Type: "bind", Source: "/sys/kernel/security", Options: []string{"bind"}})
				}).with(t, "attempts")
				c.write(t, "mnt/x", "")
				said, err := c.run(t)
				if err != nil {
					t.Fatalf("%v: %s", err, said)
				}
				return said
			}
			said := attempt()
			for _, a := range denied {
				if !strings.Contains(said, a+": permission denied\n") && !strings.Contains(said, a+": operation not permitted\n") {
					t.Errorf("%s is not denied", a)
				}
			}
			for _, a := range given {
				if !strings.Contains(said, a+": ok\n") {
					t.Errorf("%s is denied", a)
				}
			}
			m.policy(t, strings.Replace(fmt.Sprintf(lax, ""), "appArmor: {", "appArmor: {action: off, ", 1))
			free := attempt()
			for _, a := range append(denied, given...) {
				if !strings.Contains(free, a+": ok\n") {
					t.Errorf("%s does not succeed without the profile: it is no test of it", a)
				}
			}
			if t.Failed() {
				t.Logf("with the profile:\n%s\nwithout:\n%s", said, free)
			}
		})
	}
}

// waiting is a container that has said so, and ends when it is told to.
func (m *machine) waiting(t *testing.T, change func(*specs.Spec)) (c *container, end func()) {
	t.Helper()
	c = m.container(t, "trap 'echo told; exit 0' TERM; echo >/up; while :; do sleep 1; done", change)
	up := filepath.Join(c.bundle, "rootfs/up")
	if err := errors.Join(unix.Mkfifo(up, 0o600), c.create(t)); err != nil {
		t.Fatal(err)
	}
	end = c.end(t)
	if _, err := c.call(t, "start"); err != nil {
		t.Fatal(err)
	}
	// It is opened as soon as both sides have.
	if _, err := os.ReadFile(up); err != nil {
		t.Fatal(err)
	}
	return c, end
}

// TestAppArmorSignals: what stops a container reaches it, and what is run in it has its label.
func TestAppArmorSignals(t *testing.T) {
	for _, delegate := range []string{oldRunc, newRunc} {
		t.Run(filepath.Base(delegate), func(t *testing.T) {
			m := lsm(t, delegate, "")
			want := confinement.Shipped(t) + " (enforce)"
			for _, signal := range []string{"TERM", "KILL"} {
				c, end := m.waiting(t, func(s *specs.Spec) { s.Process.ApparmorProfile = "" })
				if got := label(t, c.state(t).Pid); got != want {
					t.Errorf("the container is confined by %q, want %q", got, want)
				}
				if got, err := c.exec(t, "/bin/cat", "/proc/self/attr/current"); err != nil || strings.TrimSpace(got) != want {
					t.Errorf("exec is confined by %q, want %q: %v", got, want, err)
				}
				if _, err := c.words(t, "kill", c.id, signal); err != nil {
					t.Fatal(err)
				}
				end()
				if told := c.said(t); signal == "TERM" && told != "told\n" {
					t.Errorf("after TERM it said %q", told)
				}
			}
		})
	}
}

// TestAppArmorComplain: a profile, or a kernel, that only complains confines nobody, and is not taken for one that does.
func TestAppArmorComplain(t *testing.T) {
	m := lsm(t, newRunc, "")
	confinement.Parse(t, "profile loud flags=(complain) {\n  file,\n}\n", "-r")
	loud := func(s *specs.Spec) { s.Process.ApparmorProfile = "loud" }
	said, err := m.container(t, "cat /proc/self/attr/current", loud).run(t)
	if want := confinement.Shipped(t) + " (enforce)\n"; err != nil || said != want {
		t.Errorf("confined by %q, want %q: %v", said, want, err)
	}
	const mode = "/sys/module/apparmor/parameters/mode"
	if err := os.WriteFile(mode, []byte("complain"), 0); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := os.WriteFile(mode, []byte("enforce"), 0); err != nil {
			t.Error(err)
		}
	}()
	if err := m.container(t, "true", nil).create(t); err == nil || !strings.Contains(err.Error(), "a kernel whose AppArmor denies nothing (mode complain)") {
		t.Errorf("under a kernel that complains: %v", err)
	}
	m.policy(t, strings.Replace(fmt.Sprintf(lax, ""), "ifUnavailable: reject", "ifUnavailable: skip", 1))
	if said, err := m.container(t, "echo on", func(s *specs.Spec) { s.Process.ApparmorProfile = "" }).run(t); err != nil || said != "on\n" {
		t.Errorf("skipped: %q, %v", said, err)
	}
}

// TestAppArmorAudit: what would be loaded is said, and under mode audit nothing is.
func TestAppArmorAudit(t *testing.T) {
	m := lsm(t, newRunc, "")
	unconfined := func(s *specs.Spec) { s.Process.ApparmorProfile = "" }
	c := m.container(t, "cat /proc/self/attr/current", unconfined)
	out, err := exec.Command("/programs/clampctl", "explain", c.bundle).Output()
	if want := "+ AppArmor profile " + confinement.Shipped(t) + ", unless it is loaded as it is\n"; !strings.Contains(string(out), want) {
		t.Errorf("explain does not say %q: %v: %s", want, err, out)
	}
	m.policy(t, "mode: audit\n"+fmt.Sprintf(lax, ""))
	if said, err := c.run(t); err != nil || said != "unconfined\n" {
		t.Errorf("confined by %q: %v", said, err)
	}
	if all := confinement.Loaded(t); len(all) > 0 {
		t.Errorf("loaded: %v", all)
	}
}

// TestAppArmorParallel: many containers at once load the profile once, and all work.
func TestAppArmorParallel(t *testing.T) {
	m := lsm(t, oldRunc, "")
	revision := func() int {
		// One read, that does not wait: there is something to read if the revision is another than the one that was read before, which
		// at first is 0 (security/apparmor/apparmorfs.c, ns_revision_read).
		fd, err := unix.Open("/sys/kernel/security/apparmor/revision", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		text := make([]byte, 32)
		size, err := unix.Read(fd, text)
		if closeErr := unix.Close(fd); closeErr != nil {
			t.Fatal(closeErr)
		}
		if errors.Is(err, unix.EAGAIN) {
			return 0
		}
		n, convErr := strconv.Atoi(strings.TrimSpace(string(text[:max(size, 0)])))
		if err := errors.Join(err, convErr); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := revision()
	// One root filesystem for all: to make it takes longer than all that is tested here.
	show := []string{"/bin/cat", "/proc/self/attr/current"}
	all := []*container{m.container(t, "", func(s *specs.Spec) { s.Process.ApparmorProfile, s.Process.Args = "", show })}
	for i := range 5 {
		spec, err := fixture.Config(show...)
		if err != nil {
			t.Fatal(err)
		}
		spec.Process.ApparmorProfile, spec.Root.Path = "", filepath.Join(all[0].bundle, "rootfs")
		c := &container{m: m, id: fmt.Sprintf("%s-%d", all[0].id, i), bundle: filepath.Join(m.dir, fmt.Sprintf("parallel%d", i), "bundle")}
		if err := errors.Join(os.Mkdir(filepath.Dir(c.bundle), 0o755), fixture.WriteConfig(c.bundle, spec), os.Chmod(c.bundle, 0o755)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := m.runclamp.Remove(c.id); err != nil {
				t.Error(err)
			}
		})
		all = append(all, c)
	}
	failed := make([]error, len(all))
	var wg sync.WaitGroup
	for i, c := range all {
		wg.Go(func() {
			out, err := os.Create(c.out())
			if err == nil {
				err = errors.Join(m.runclamp.Call(out, "create", "--bundle", c.bundle, c.id), out.Close())
			}
			failed[i] = err
		})
	}
	wg.Wait()
	if err := errors.Join(failed...); err != nil {
		t.Fatal(err)
	}
	if n := revision() - before; n != 1 {
		t.Errorf("the kernel's policy changed %d times, want once", n)
	}
	for _, c := range all {
		end := c.end(t)
		if _, err := c.call(t, "start"); err != nil {
			t.Fatal(err)
		}
		end()
		if said, want := c.said(t), confinement.Shipped(t)+" (enforce)\n"; said != want {
			t.Errorf("confined by %q, want %q", said, want)
		}
	}
	kept, err := filepath.Glob("/run/runclamp/apparmor/compiled-*")
	if err != nil || len(kept) != 1 {
		t.Errorf("kept: %q, %v", kept, err)
	}
}

// TestAppArmorKilled: whoever is killed while he loads a profile leaves nothing behind that stops the next one.
func TestAppArmorKilled(t *testing.T) {
	m := lsm(t, newRunc, "")
	for i := range 12 {
		cmd := exec.Command("/programs/clampctl", "apparmor", "load")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(i)*60*time.Millisecond, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait() // killed, or done before
		timer.Stop()
		if i%2 == 0 {
			unloadAll(t)
			kept, err := filepath.Glob("/run/runclamp/apparmor/compiled-*")
			for _, k := range kept {
				err = errors.Join(err, os.Remove(k))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	unloadAll(t)
	said, err := m.container(t, "cat /proc/self/attr/current", func(s *specs.Spec) { s.Process.ApparmorProfile = "" }).run(t)
	if want := confinement.Shipped(t) + " (enforce)\n"; err != nil || said != want {
		t.Errorf("confined by %q, want %q: %v", said, want, err)
	}
}

// TestAppArmorRefused: what can't be loaded refuses, with the reason, and leaves the configuration as it was.
func TestAppArmorRefused(t *testing.T) {
	m := lsm(t, newRunc, "")
	refused := func(t *testing.T, want string) {
		t.Helper()
		c := m.container(t, "true", func(s *specs.Spec) { s.Process.ApparmorProfile = "" })
		before, err := os.ReadFile(filepath.Join(c.bundle, "config.json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.create(t); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		after, err := os.ReadFile(filepath.Join(c.bundle, "config.json"))
		if err != nil || !bytes.Equal(before, after) {
			t.Errorf("config.json was changed, or %v", err)
		}
		if l := m.audited(t); l.Verdict != "refused" {
			t.Errorf("the audit log says %+v", l)
		}
	}
	const parser = "/usr/sbin/apparmor_parser"
	t.Run("no parser", func(t *testing.T) {
		if err := os.Rename(parser, parser+".away"); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := os.Rename(parser+".away", parser); err != nil {
				t.Error(err)
			}
		}()
		refused(t, "there is no apparmor_parser at "+parser)
	})
	profile := func(t *testing.T, text string) {
		t.Helper()
		folder := filepath.Join(conf, "profiles")
		if err := errors.Join(os.MkdirAll(folder, 0o755), os.WriteFile(filepath.Join(folder, "site"), []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	m.policy(t, fmt.Sprintf(lax, ", profile: site"))
	t.Run("no file", func(t *testing.T) { refused(t, "site, which is not loaded") })
	t.Run("broken", func(t *testing.T) {
		profile(t, "profile site {\n  file,\n  no such rule,\n}\n")
		refused(t, "line 3")
	})
	t.Run("two profiles", func(t *testing.T) {
		profile(t, "profile site {\n  file,\n}\nprofile docker-default {\n  file,\n}\n")
		refused(t, "it has 2 profiles (site, docker-default)")
	})
	t.Run("hidden from us, not from the parser", func(t *testing.T) {
		profile(t, "profile site {\n  file,\n}\n/usr/bin/other {\n  file,\n}\n")
		refused(t, "and site alone was wanted")
	})
	t.Run("complains", func(t *testing.T) {
		profile(t, "profile site flags=(complain) {\n  file,\n}\n")
		refused(t, "site is in mode complain")
	})
	t.Run("good, then changed", func(t *testing.T) {
		const denying = "profile site flags=(attach_disconnected) {\n  file,\n  deny %s r,\n  signal,\n}\n"
		for _, path := range []string{"/one", "/two"} {
			profile(t, fmt.Sprintf(denying, path))
			c := m.container(t, "cat /one; cat /two", func(s *specs.Spec) { s.Process.ApparmorProfile = "" })
			c.write(t, "one", "one\n")
			c.write(t, "two", "two\n")
			said, err := c.run(t)
			if err != nil || !strings.Contains(said, "'"+path+"': Permission denied") || strings.Count(said, "denied") != 1 {
				t.Errorf("%s is to be denied: %v: %s", path, err, said)
			}
		}
	})
}

// TestAppArmorRemoved: a container whose profile is taken away gets no more processes, which would be unconfined.
func TestAppArmorRemoved(t *testing.T) {
	for _, delegate := range []string{oldRunc, newRunc} {
		t.Run(filepath.Base(delegate), func(t *testing.T) {
			m := lsm(t, delegate, "")
			c, end := m.waiting(t, func(s *specs.Spec) { s.Process.ApparmorProfile = "" })
			name := confinement.Shipped(t)
			out, err := exec.Command("/programs/clampctl", "apparmor", "unload", name).CombinedOutput()
			if err == nil || !strings.Contains(string(out), fmt.Sprintf("%s confines", name)) {
				t.Errorf("unloaded from under a container: %v, %s", err, out)
			}
			if out, err := exec.Command("/programs/clampctl", "apparmor", "list").CombinedOutput(); err != nil || !regexp.MustCompile(name+` +enforce +[1-9]\d* +runclamp\n`).Match(out) {
				t.Errorf("%v: %s", err, out)
			}
			if out, err := exec.Command("/programs/clampctl", "apparmor", "unload", "--force", name).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if said, err := c.exec(t, "/bin/echo", "in"); err == nil || strings.Contains(said, "in\n") {
				t.Errorf("a process was started in a container whose profile is gone: %q", said)
			}
			if _, err := c.words(t, "kill", c.id, "KILL"); err != nil {
				t.Error(err)
			}
			end()
			// Created and not started: the proof finds out, also if there was no other profile than this.
			c = m.container(t, "echo in", func(s *specs.Spec) { s.Process.ApparmorProfile = "" })
			if err := c.create(t); err != nil {
				t.Fatal(err)
			}
			if err := apparmor.ThisHost("").Unload(name); err != nil {
				t.Fatal(err)
			}
			if _, err := c.call(t, "start"); err == nil || !strings.Contains(err.Error(), "no profile "+name+" that is loaded and enforced") {
				t.Errorf("started: %v", err)
			}
		})
	}
}

// TestAppArmorService: the service of docs/apparmor.md runs under the profile that the policy makes for it, and does nothing else.
func TestAppArmorService(t *testing.T) {
	m := lsm(t, newRunc, ", allow: {execute: [/service], read: [/srv], write: [/var/lib/service], network: [inet, inet6]}")
	const address = "127.0.0.1:8080"
	c := m.container(t, "", func(s *specs.Spec) {
		almighty(s)
		s.Process.Args = []string{"/service", address}
	}).with(t, "service")
	c.write(t, "srv/hello", "hello\n")
	c.write(t, "etc/shadow", "secret\n")
	c.write(t, "var/lib/service/log", "")
	if err := c.create(t); err != nil {
		t.Fatal(err)
	}
	end := c.end(t)
	if _, err := c.call(t, "start"); err != nil {
		t.Fatal(err)
	}
	if got := label(t, c.state(t).Pid); !strings.HasPrefix(got, "runclamp-allow-") || !strings.HasSuffix(got, " (enforce)") {
		t.Errorf("confined by %q", got)
	}
	for deadline := time.Now().Add(fixture.Patience); ; {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			err = conn.Close()
		}
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the service does not listen: %v: %s", err, c.said(t))
		}
	}
	get := func(path string) (int, string) {
		r, err := http.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		if err := errors.Join(err, r.Body.Close()); err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(body)
	}
	if status, body := get("/hello"); status != http.StatusOK || body != "hello\n" {
		t.Errorf("a file in the list: %d %q", status, body)
	}
	if status, body := get("/shadow"); status != http.StatusForbidden || strings.Contains(body, "secret") {
		t.Errorf("a file outside the list: %d %q", status, body)
	}
	log, err := os.ReadFile(filepath.Join(c.bundle, "rootfs/var/lib/service/log"))
	if err != nil || string(log) != "/hello\n" {
		t.Errorf("the service's log: %q, %v", log, err)
	}
	// The first program of an exec is the engine's choice: the kernel asks the label before execve(2), which is that of whoever
	// starts it. What that program runs is held to the list.
	if said, err := c.exec(t, "/bin/sh", "-c", "/bin/cat /srv/hello"); err == nil || strings.Contains(said, "hello\n") {
		t.Errorf("a program outside the list was run: %q", said)
	}
	if _, err := c.words(t, "kill", c.id, "KILL"); err != nil {
		t.Fatal(err)
	}
	end()
}
