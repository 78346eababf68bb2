// Package proof has the test that start finds out about a delegate that does something else than its configuration says.
package proof

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"runclamp/integration/demo/fixture"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// lab is runclamp with the loosener as its delegate, in a folder that only root can write.
type lab struct {
	dir  string
	conf string
	// crun: the delegate is that one, which installs the seccomp filter after start, so that no start is proved in full.
	crun     bool
	runclamp fixture.Runtime
	bundle   string
	asked    []byte
	// clamped is the configuration that runclamp makes of what was asked.
	clamped []byte
}

const id = "runclamp-proof"

// forEachRunc needs root and real runcs: those in RUNCLAMP_TEST_RUNC (paths with colons between them; make unit has them).
func forEachRunc(t *testing.T, f func(t *testing.T, l *lab)) {
	t.Helper()
	list := os.Getenv("RUNCLAMP_TEST_RUNC")
	if list == "" || os.Geteuid() != 0 {
		t.Skip("left out: it needs root, and runcs to test with in RUNCLAMP_TEST_RUNC (make test has both)")
	}
	for _, runc := range filepath.SplitList(list) {
		t.Run(runc, func(t *testing.T) { f(t, newLab(t, runc)) })
	}
}

func newLab(t *testing.T, runc string) *lab {
	t.Helper()
	dir, err := fixture.Workspace("/var/lib", "runclamp-proof")
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{dir: dir, bundle: filepath.Join(dir, "bundle"), crun: filepath.Base(runc) == "crun"}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	l.conf = programs(t, dir, l.crun)
	if err := errors.Join(os.Symlink(filepath.Join(dir, "delegate"), filepath.Join(l.conf, "delegate")), os.Symlink(runc, filepath.Join(dir, "runc"))); err != nil {
		t.Fatal(err)
	}
	l.policy(t, "")
	if l.runclamp, err = fixture.NewRuntime(filepath.Join(dir, "runclamp"), filepath.Join(dir, "state")); err != nil {
		t.Fatal(err)
	}
	// What is bound, and what is not to be seen: a folder with an engine's socket.
	listener, err := net.Listen("unix", filepath.Join(mkdir(t, dir, "secret"), "docker.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
	})
	mkdir(t, dir, "other")
	mkdir(t, dir, "shared/data/below")
	spec := config(t, l.source())
	if l.crun {
		// 1.8.1 takes no other (src/libcrun/container.c).
		spec.Version = "1.0.2"
	}
	if err := fixture.WriteBundle(l.bundle, spec, filepath.Join(dir, "probe")); err != nil {
		t.Fatal(err)
	}
	// A mount whose name is a link in the image.
	if err := os.Symlink("/home", filepath.Join(l.bundle, "rootfs", "srv")); err != nil {
		t.Fatal(err)
	}
	if l.asked, err = os.ReadFile(l.config()); err != nil {
		t.Fatal(err)
	}
	l.create(t, nil)
	if l.clamped, err = os.ReadFile(l.config()); err != nil {
		t.Fatal(err)
	}
	l.remove(t)
	return l
}

// programs puts runclamp, the loosener and the probe into a folder, and gives runclamp's configuration folder, which is new. They
// are built for it, or are those of RUNCLAMP_TEST_PROGRAMS, as in the guest (make e2e-guest), which has no Go.
func programs(t *testing.T, dir string, crun bool) (conf string) {
	t.Helper()
	built := os.Getenv("RUNCLAMP_TEST_PROGRAMS")
	if built != "" {
		conf = "/etc/runclamp"
	} else {
		conf = filepath.Join(dir, "conf")
	}
	if err := os.Mkdir(conf, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(conf); err != nil {
			t.Error(err)
		}
	})
	for out, args := range map[string][]string{
		"runclamp": {"-ldflags", "-X main.confDir=" + conf + " -X main.runDir=" + filepath.Join(dir, "run"), "runclamp/cmd/runclamp"},
		"delegate": {"."}, "probe": {"runclamp/integration/demo/probe"}, "clampctl": {"runclamp/cmd/clampctl"},
	} {
		cmd := exec.Command("go", append([]string{"build", "-o", filepath.Join(dir, out)}, args...)...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out == "delegate" {
			cmd.Dir = "loosener"
		}
		if built != "" {
			name := out
			if crun && out == "delegate" {
				name = "delegate-crun"
			}
			cmd = exec.Command("cp", filepath.Join(built, name), filepath.Join(dir, out))
		}
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", cmd, err, text)
		}
	}
	return conf
}

func mkdir(t *testing.T, parts ...string) string {
	t.Helper()
	path := filepath.Join(parts...)
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// source is the folder that is bound at /srv/bound.
func (l *lab) source() string { return filepath.Join(l.dir, "shared", "data") }

func (l *lab) config() string { return filepath.Join(l.bundle, "config.json") }

// config asks for something of everything that can be read back.
func config(t *testing.T, source string) *specs.Spec {
	t.Helper()
	spec, err := fixture.Config("/probe", "pause")
	if err != nil {
		t.Fatal(err)
	}
	p, l := spec.Process, spec.Linux
	p.User.AdditionalGids = []uint32{2000}
	p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 512, Hard: 1024}, {Type: "RLIMIT_NPROC", Soft: 1000, Hard: 1000}}
	p.OOMScoreAdj = to(100)
	l.Resources.Pids = &specs.LinuxPids{Limit: to(int64(100))}
	l.Resources.Memory = &specs.LinuxMemory{Limit: to(int64(64 << 20))}
	l.Resources.CPU = &specs.LinuxCPU{Quota: to(int64(50_000)), Period: to(uint64(100_000))}
	spec.Mounts = append(spec.Mounts,
		specs.Mount{Destination: "/home/other", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro", "nosuid", "nodev", "noexec"}},
		specs.Mount{Destination: "/srv/data", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "noexec", "size=4096k"}},
		specs.Mount{Destination: "/srv/bound", Type: "bind", Source: source, Options: []string{"rbind", "rprivate"}})
	return spec
}

func to[T any](v T) *T { return &v }

func (l *lab) policy(t *testing.T, text string) {
	t.Helper()
	text = "apiVersion: runclamp/v1\naudit: {log: " + l.log() + "}\ncontrols: {capabilities: {allow: [NET_BIND_SERVICE]}}\n" + text
	if err := os.WriteFile(filepath.Join(l.conf, "policy.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (l *lab) log() string { return filepath.Join(l.dir, "audit", "log") }

// create makes a container of what was asked, while the delegate gives runc something else, if it is not nil.
func (l *lab) create(t *testing.T, loosened []byte) {
	t.Helper()
	path := filepath.Join(l.dir, "loosened.json")
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if loosened != nil {
		if err := os.WriteFile(path, loosened, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(l.config(), l.asked, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(l.dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	err = l.runclamp.Call(out, "create", "--bundle", l.bundle, id)
	said, readErr := os.ReadFile(out.Name())
	if err := errors.Join(err, readErr, out.Close()); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
}

// delegate is the real one. It is called without runclamp and the loosener where they have nothing to do with the test: each is a
// program more to start, which an emulated processor takes its time for.
func (l *lab) delegate() fixture.Runtime {
	return fixture.Runtime{Program: filepath.Join(l.dir, "runc"), Root: l.runclamp.Root, Log: l.runclamp.Log}
}

func (l *lab) remove(t *testing.T) {
	t.Helper()
	if err := l.delegate().Remove(id); err != nil {
		t.Error(err)
	}
}

type finding struct{ Control, Detail, Pointer, Found, Action string }

// audited is the last line of the audit log.
func (l *lab) audited(t *testing.T) (line struct {
	Verb, Verdict, Proof string
	Findings             []finding
}) {
	t.Helper()
	text, err := os.ReadFile(l.log())
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	if err := json.Unmarshal(lines[len(lines)-1], &line); err != nil {
		t.Fatal(err)
	}
	return line
}

// known are the findings without the one that comes with each start through crun. passed is what a start's audit line says of the
// proof if nothing was found that is looser.
func (l *lab) known(findings []finding) []finding {
	return slices.DeleteFunc(findings, func(f finding) bool {
		return l.crun && f.Control == "proof" && f.Detail == "seccompProgram" && f.Action == "audit"
	})
}

func (l *lab) passed() string {
	if l.crun {
		return "none"
	}
	return "passed"
}

// state is what the delegate says of the container.
func (l *lab) state(t *testing.T) (s specs.State) {
	t.Helper()
	args := l.delegate().Args("state", id)
	out, err := exec.Command(args[0], args[1:]...).Output()
	if err := errors.Join(err, json.Unmarshal(out, &s)); err != nil {
		t.Fatal(err)
	}
	return s
}

// loosenings change one thing each. fact and pointer are of the finding that must come.
func loosenings() []loosening {
	allow := func(names []string, args ...specs.LinuxSeccompArg) func(*specs.Spec) {
		return func(s *specs.Spec) {
			s.Linux.Seccomp.Syscalls = append(s.Linux.Seccomp.Syscalls, specs.LinuxSyscall{Names: names, Action: specs.ActAllow, Args: args})
		}
	}
	mount := func(destination string, change func(*specs.Mount)) func(*specs.Spec) {
		return func(s *specs.Spec) {
			for i := range s.Mounts {
				if s.Mounts[i].Destination == destination {
					change(&s.Mounts[i])
				}
			}
		}
	}
	without := func(options ...string) func(*specs.Mount) {
		return func(m *specs.Mount) {
			m.Options = slices.DeleteFunc(m.Options, func(o string) bool { return slices.Contains(options, o) })
		}
	}
	notNamespace := func(t specs.LinuxNamespaceType) func(*specs.Spec) {
		return func(s *specs.Spec) {
			s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == t })
		}
	}
	const more = "CAP_CHOWN"
	list := []loosening{
		{"UID 0", "uid", "/process/user/uid", func(s *specs.Spec) { s.Process.User.UID = 0 }},
		{"another UID", "uid", "/process/user/uid", func(s *specs.Spec) { s.Process.User.UID = 4242 }},
		{"GID 0", "gid", "/process/user/gid", func(s *specs.Spec) { s.Process.User.GID = 0 }},
		{"one more group", "groups", "/process/user/additionalGids", func(s *specs.Spec) { s.Process.User.AdditionalGids = []uint32{2000, 42} }},
		{"bounding set", "capabilities", "/process/capabilities/bounding", func(s *specs.Spec) {
			c := s.Process.Capabilities
			c.Bounding = append(c.Bounding, more)
		}},
		{"permitted set", "capabilities", "/process/capabilities/permitted", func(s *specs.Spec) {
			c := s.Process.Capabilities
			c.Permitted, c.Bounding = append(c.Permitted, more), append(c.Bounding, more)
		}},
		{"effective set", "capabilities", "/process/capabilities/effective", func(s *specs.Spec) {
			c := s.Process.Capabilities
			c.Effective, c.Permitted, c.Bounding = append(c.Effective, more), append(c.Permitted, more), append(c.Bounding, more)
		}},
		{"inheritable set", "capabilities", "/process/capabilities/inheritable", func(s *specs.Spec) {
			c := s.Process.Capabilities
			c.Inheritable, c.Permitted, c.Bounding = append(c.Inheritable, more), append(c.Permitted, more), append(c.Bounding, more)
		}},
		{"ambient set", "capabilities", "/process/capabilities/ambient", func(s *specs.Spec) {
			c := s.Process.Capabilities
			c.Ambient, c.Inheritable = append(c.Ambient, more), append(c.Inheritable, more)
			c.Permitted, c.Bounding = append(c.Permitted, more), append(c.Bounding, more)
		}},
		{"new privileges", "noNewPrivileges", "/process/noNewPrivileges", func(s *specs.Spec) { s.Process.NoNewPrivileges = false }},
		{"no seccomp", "seccomp", "/linux/seccomp", func(s *specs.Spec) { s.Linux.Seccomp = nil }},
		{"one more system call", "seccompProgram", "/linux/seccomp", allow([]string{"mount"})},
		{"one more, under a condition", "seccompProgram", "/linux/seccomp", allow([]string{"bpf"}, specs.LinuxSeccompArg{Index: 0, Value: 12345, Op: specs.OpEqualTo})},
		{"one condition more", "seccompProgram", "/linux/seccomp", allow([]string{"personality"}, specs.LinuxSeccompArg{Index: 0, Value: 9, Op: specs.OpEqualTo})},
		{"one condition less", "seccompProgram", "/linux/seccomp", allow([]string{"clone"})},
		{"logged only", "seccompProgram", "/linux/seccomp", func(s *specs.Spec) {
			s.Linux.Seccomp.Syscalls = append(s.Linux.Seccomp.Syscalls, specs.LinuxSyscall{Names: []string{"mount"}, Action: specs.ActLog})
		}},
		{"writable root", "root", "/root/readonly", func(s *specs.Spec) { s.Root.Readonly = false }},
		{"writable mount", "mounts", "/options", mount("/home/other", without("ro"))},
		{"set-UID programs", "mounts", "/options", mount("/home/other", without("nosuid"))},
		{"devices", "mounts", "/options", mount("/home/other", without("nodev"))},
		{"programs", "mounts", "/options", mount("/srv/data", without("noexec"))},
		{"writable cgroup", "mounts", "/options", mount("/sys/fs/cgroup", without("ro"))},
		{"a mount less", "mounts", "/mounts/", func(s *specs.Spec) {
			s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { return m.Destination == "/home/other" })
		}},
		{"a mount more", "mounts", "/mounts", func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/usr/bin", Type: "tmpfs", Source: "tmpfs"})
		}},
		{"a masked file", "maskedPaths", "/linux/maskedPaths/", func(s *specs.Spec) {
			s.Linux.MaskedPaths = slices.DeleteFunc(s.Linux.MaskedPaths, func(p string) bool { return p == "/proc/timer_list" })
		}},
		{"a masked folder", "maskedPaths", "/linux/maskedPaths/", func(s *specs.Spec) {
			s.Linux.MaskedPaths = slices.DeleteFunc(s.Linux.MaskedPaths, func(p string) bool { return p == "/sys/firmware" })
		}},
		{"a read-only path", "readonlyPaths", "/linux/readonlyPaths/", func(s *specs.Spec) {
			s.Linux.ReadonlyPaths = slices.DeleteFunc(s.Linux.ReadonlyPaths, func(p string) bool { return p == "/proc/sys" })
		}},
		{"the host's IPC", "namespaces", "/linux/namespaces/", notNamespace(specs.IPCNamespace)},
		{"the host's PIDs", "namespaces", "/linux/namespaces/", notNamespace(specs.PIDNamespace)},
		{"more processes", "pids", "/linux/resources/pids/limit", func(s *specs.Spec) { *s.Linux.Resources.Pids.Limit = 101 }},
		{"any number of processes", "pids", "/linux/resources/pids/limit", func(s *specs.Spec) { s.Linux.Resources.Pids = nil }},
		{"more memory", "memory", "/linux/resources/memory/limit", func(s *specs.Spec) { *s.Linux.Resources.Memory.Limit = 65 << 20 }},
		{"any memory", "memory", "/linux/resources/memory/limit", func(s *specs.Spec) { s.Linux.Resources.Memory = nil }},
		{"more time", "cpu", "/linux/resources/cpu/quota", func(s *specs.Spec) { *s.Linux.Resources.CPU.Quota = 52_000 }},
		{"any time", "cpu", "/linux/resources/cpu/quota", func(s *specs.Spec) { s.Linux.Resources.CPU = nil }},
		{"more files", "rlimits", "/process/rlimits/0", func(s *specs.Spec) { s.Process.Rlimits[0].Hard = 2048 }},
		{"not the first to be killed", "oomScoreAdj", "/process/oomScoreAdj", func(s *specs.Spec) { *s.Process.OOMScoreAdj = 99 }},
	}
	// What a program can call the machine's kernel as besides its own architecture.
	foreign := map[string][]specs.Arch{"amd64": {specs.ArchX86, specs.ArchX32}, "arm64": {specs.ArchARM}}
	for _, arch := range foreign[runtime.GOARCH] {
		list = append(list, loosening{"one more architecture: " + string(arch), "seccompProgram", "/linux/seccomp", func(s *specs.Spec) {
			s.Linux.Seccomp.Architectures = append(s.Linux.Seccomp.Architectures, arch)
		}})
	}
	return list
}

type loosening struct {
	name, fact, pointer string
	change              func(*specs.Spec)
}

// TestLoosened: a delegate that loosens one thing at a time is found out at start, and the program never runs.
func TestLoosened(t *testing.T) {
	forEachRunc(t, func(t *testing.T, l *lab) {
		for _, tt := range loosenings() {
			t.Run(tt.name, func(t *testing.T) {
				l.policy(t, "")
				if l.crun && strings.HasPrefix(tt.fact, "seccomp") {
					// What can't be read is refused only on demand.
					l.policy(t, "requireProof: true\n")
				}
				l.create(t, changed(t, l.clamped, tt.change))
				defer l.remove(t)
				err := l.runclamp.Call(nil, "start", id)
				if err == nil || !strings.Contains(err.Error(), "runclamp: refused: proof:") {
					t.Errorf("start says %v", err)
				}
				line := l.audited(t)
				fact, pointer, proof := tt.fact, tt.pointer, "failed"
				if l.crun && strings.HasPrefix(tt.fact, "seccomp") {
					fact, pointer, proof = "seccompProgram", "", "none"
				}
				if line.Verb != "start" || line.Verdict != "refused" || line.Proof != proof {
					t.Errorf("the audit log says %+v", line)
				}
				found := false
				for _, f := range line.Findings {
					found = found || f.Control == "proof" && f.Detail == fact && strings.Contains(f.Pointer, pointer) && f.Action == "reject"
				}
				if !found {
					t.Errorf("no finding of %s at %s in %+v", fact, pointer, line.Findings)
				}
				if status := l.state(t).Status; status != "created" {
					t.Errorf("the container is %s", status)
				}
			})
		}
	})
}

// TestPassed: a delegate that does what it is told passes, in full, and so does one that is stricter.
func TestPassed(t *testing.T) {
	forEachRunc(t, func(t *testing.T, l *lab) {
		if !l.crun {
			l.policy(t, "requireProof: true\n")
		}
		for name, change := range map[string]func(*specs.Spec){
			"as told": func(*specs.Spec) {},
			"stricter": func(s *specs.Spec) {
				s.Process.Capabilities = &specs.LinuxCapabilities{}
				s.Process.Rlimits[0].Hard, s.Process.Rlimits[0].Soft = 512, 256
				s.Process.User.AdditionalGids = nil
				*s.Linux.Resources.Pids.Limit, *s.Process.OOMScoreAdj = 50, 200
				if !l.crun {
					// crun masks with the host's /dev/null, and a mount of the host's that is not in the configuration is refused.
					s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/proc/cpuinfo")
				}
			},
		} {
			t.Run(name, func(t *testing.T) {
				l.create(t, changed(t, l.clamped, change))
				defer l.remove(t)
				if err := l.runclamp.Call(nil, "start", id); err != nil {
					t.Error(err)
				}
				if line := l.audited(t); line.Verb != "start" || line.Verdict != "unchanged" || line.Proof != l.passed() || len(l.known(line.Findings)) > 0 {
					t.Errorf("the audit log says %+v", line)
				}
				if status := l.state(t).Status; status != "running" {
					t.Errorf("the container is %s", status)
				}
			})
		}
	})
}

// TestNotRead: without CAP_SYS_ADMIN the kernel does not tell of the seccomp program. That is recorded, and refused only if the
// policy requires the proof. Under mode audit a mismatch is recorded, and nothing is refused.
func TestNotRead(t *testing.T) {
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		t.Skip("left out: ", err)
	}
	forEachRunc(t, func(t *testing.T, l *lab) {
		start := func() (string, error) {
			args := append([]string{"--bounding-set", "-sys_admin"}, l.runclamp.Args("start", id)...)
			out, err := exec.Command(setpriv, args...).CombinedOutput()
			return string(out), err
		}
		why := map[bool]string{false: "ptrace: ", true: "crun installs it after start"}[l.crun]
		for _, require := range []bool{false, true} {
			t.Run(fmt.Sprintf("required %v", require), func(t *testing.T) {
				l.policy(t, fmt.Sprintf("requireProof: %v\n", require))
				l.create(t, nil)
				defer l.remove(t)
				out, err := start()
				if require != strings.Contains(out, "refused: proof:seccompProgram: it could not be read: "+why) || require != (err != nil) {
					t.Errorf("start says %v, %q", err, out)
				}
				line := l.audited(t)
				action := map[bool]string{false: "audit", true: "reject"}[require]
				if line.Proof != "none" || len(line.Findings) != 1 || line.Findings[0].Detail != "seccompProgram" || line.Findings[0].Action != action {
					t.Errorf("the audit log says %+v", line)
				}
			})
		}
		t.Run("mode audit", func(t *testing.T) {
			l.policy(t, "mode: audit\n")
			l.create(t, changed(t, l.asked, func(s *specs.Spec) { *s.Process.OOMScoreAdj = 99 }))
			defer l.remove(t)
			if err := l.runclamp.Call(nil, "start", id); err != nil {
				t.Error(err)
			}
			if line := l.audited(t); line.Proof != "failed" || line.Verdict != "refused" || len(line.Findings) != 1 || line.Findings[0].Detail != "oomScoreAdj" {
				t.Errorf("the audit log says %+v", line)
			}
		})
	})
}

// meanwhiles are what somebody does between the decision and the mount. The policy is what it is in addition to a lab's.
func meanwhiles() []meanwhile {
	swapped := func(to string) string { return "mv shared/data shared/was; ln -s " + to + " shared/data" }
	action := func(a string) string {
		return "rules: [{name: r, match: {engine: unknown}, controls: {hostMounts: {action: " + a + "}}}]\n"
	}
	exception := "exceptions: [{name: e, match: {engine: unknown}, allow: ['hostMounts:SOURCE'], reason: r, expires: " + time.Now().AddDate(0, 1, 0).Format(time.DateOnly) + "}]\n"
	const socket = "the Docker socket, which is root on this host"
	return []meanwhile{
		{"nothing", "", "", "", "unchanged"},
		{"its name only", "", "mv shared was; mkdir shared; mv was/data shared/data", "", "unchanged"},
		{"another folder", "", swapped("../other"), "/other on the ", "refused"},
		{"a folder with a socket", "", swapped("../secret"), socket, "refused"},
		{"a folder above", "", "mv shared was; mkdir shared; ln -s .. shared/data", socket, "refused"},
		{"the whole host", "", swapped("/"), "is mounted at /home/bound", "refused"},
		{"something mounted on it", "", "mount --bind secret shared/data", socket, "refused"},
		{"something mounted in it", "", "mount --bind secret shared/data/below", "is mounted at /home/bound/below: a folder that has", "refused"},
		{"another filesystem in it", "", "mount -t tmpfs none shared/data/below", "", "unchanged"},
		{"the kernel's in it", "", "mount -t proc none shared/data/below", "a filesystem of the host's kernel (proc)", "refused"},
		{"action audit", action("audit"), swapped("../secret"), socket, "unchanged"},
		{"action off", action("off"), swapped("../secret"), "", "unchanged"},
		{"an exception", exception, swapped("../secret"), socket, "unchanged"},
		{"mode audit", "mode: audit\n", swapped("../secret"), socket, "refused"},
	}
}

// meanwhile has a script, what a finding must say that comes of it (none, if it is empty), and the verdict.
type meanwhile struct{ name, policy, script, found, verdict string }

// TestMeanwhile: what is changed on the way to the source of a bind mount, between the decision and the mount, is found out at start.
func TestMeanwhile(t *testing.T) {
	forEachRunc(t, func(t *testing.T, l *lab) {
		for _, tt := range meanwhiles() {
			t.Run(tt.name, func(t *testing.T) {
				if err := errors.Join(os.RemoveAll(filepath.Join(l.dir, "shared")), os.RemoveAll(filepath.Join(l.dir, "was"))); err != nil {
					t.Fatal(err)
				}
				mkdir(t, l.source(), "below")
				l.policy(t, strings.ReplaceAll(tt.policy, "SOURCE", l.source()))
				if err := os.WriteFile(filepath.Join(l.dir, "meanwhile"), []byte("cd "+l.dir+"\n"+tt.script), 0o600); err != nil {
					t.Fatal(err)
				}
				defer unmount(t, filepath.Join(l.source(), "below"), l.source())
				l.create(t, nil)
				defer l.remove(t)
				err := l.runclamp.Call(nil, "start", id)
				refused := tt.verdict == "refused" && !strings.HasPrefix(tt.policy, "mode: audit")
				if refused && (err == nil || !strings.Contains(err.Error(), "runclamp: refused: hostMounts:"+l.source()+": ")) || !refused && err != nil {
					t.Errorf("start says %v", err)
				}
				line := l.audited(t)
				proof := map[string]string{"refused": "failed", "unchanged": l.passed()}[tt.verdict]
				if line.Verb != "start" || line.Verdict != tt.verdict || line.Proof != proof {
					t.Errorf("the audit log says %+v", line)
				}
				findings := l.known(line.Findings)
				if tt.found == "" && len(findings) > 0 || tt.found != "" && (len(findings) != 1 || findings[0].Control != "hostMounts" || !strings.Contains(findings[0].Found, tt.found)) {
					t.Errorf("findings: %+v", findings)
				}
				if status, want := l.state(t).Status, map[bool]specs.ContainerState{true: "created", false: "running"}[refused]; status != want {
					t.Errorf("the container is %s", status)
				}
			})
		}
	})
}

// unmount takes away what was mounted, if anything was.
func unmount(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if err := unix.Unmount(path, unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			t.Error(err)
		}
	}
}
