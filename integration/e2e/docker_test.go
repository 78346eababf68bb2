package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestPlainRun(t *testing.T) {
	forEachDocker(t, func(t *testing.T, d *docker) {
		s := parseSeen(t, d.run(t, "-v", "/data", "bb", "probe"))
		confined(t, s, "10001")
		// Nobody has given the volume to UID 10001, so it is not among them; /proc is this process's own files.
		want := []string{"/dev/mqueue", "/dev/shm", "/run", "/tmp", "/var/tmp"}
		if got := writable(s); !slices.Equal(got, want) {
			t.Errorf("writable are %q, want %q", got, want)
		}
		for _, m := range s.Mounts {
			if m.Writable && m.Exec {
				t.Errorf("a program can be written to and run from %s", m.Point)
			}
			if m.Point == "/" && !strings.HasPrefix(m.Options, "ro,") {
				t.Errorf("/ is mounted %s", m.Options)
			}
		}
		if !slices.Contains(s.Env, "HOME=/tmp") {
			t.Errorf("no HOME=/tmp in %q", s.Env)
		}
		if !slices.Equal(s.Descriptors, []string{"0", "1", "2"}) {
			t.Errorf("it starts with the descriptors %q", s.Descriptors)
		}
		if out := d.run(t, "bb", "ls", "/run"); strings.TrimSpace(out) != "in-image" {
			t.Errorf("/run has %q, want what the image has there", out)
		}
	})
}

func TestVolumeOfTheUser(t *testing.T) {
	forEachDocker(t, func(t *testing.T, d *docker) {
		s := parseSeen(t, d.run(t, "-v", "/owned", "--tmpfs", "/tmp:exec,mode=1777", "bb", "probe"))
		if got := writable(s); !slices.Equal(got, []string{"/dev/mqueue", "/dev/shm", "/owned", "/run", "/tmp", "/var/tmp"}) {
			t.Errorf("writable are %q", got)
		}
		for _, m := range s.Mounts {
			if m.Point == "/tmp" && !m.Exec {
				t.Error("the user's own tmpfs was replaced")
			}
		}
	})
}

func TestExec(t *testing.T) {
	forEachDocker(t, func(t *testing.T, d *docker) {
		id := d.start(t, "runclamp", "bb", "sleep", "1000")
		main := d.must(t, "exec", id, "cat", "/proc/1/status")
		if !strings.Contains(main, "Uid:\t10001\t10001\t10001\t10001\n") {
			t.Fatal(main)
		}
		for _, tt := range []struct {
			name string
			args []string
			more func(t *testing.T, s seen)
		}{
			{"plain", nil, nil},
			{"root", []string{"-u", "0"}, nil},
			{"root by name", []string{"-u", "root"}, nil},
			{"privileged", []string{"--privileged"}, nil},
			{"privileged root", []string{"--privileged", "-u", "0:0"}, nil},
			{"environment and folder", []string{"-e", "A=b c", "-w", "/usr"}, func(t *testing.T, s seen) {
				if s.Cwd != "/usr" || !slices.Contains(s.Env, "A=b c") {
					t.Errorf("in %s with %q", s.Cwd, s.Env)
				}
			}},
			{"stdin", []string{"-i"}, nil},
		} {
			t.Run(tt.name, func(t *testing.T) {
				s := parseSeen(t, d.must(t, append(append([]string{"exec"}, tt.args...), id, "probe", "x", "--y")...))
				confined(t, s, "10001")
				if !slices.Equal(s.Args, []string{"x", "--y"}) || !slices.Contains(s.Env, "HOME=/tmp") {
					t.Errorf("args %q, env %q", s.Args, s.Env)
				}
				if !slices.Equal(s.Descriptors, []string{"0", "1", "2"}) {
					t.Errorf("it starts with the descriptors %q", s.Descriptors)
				}
				if tt.more != nil {
					tt.more(t, s)
				}
			})
		}
		t.Run("stdin arrives", func(t *testing.T) {
			if out, err := d.tryWith("hello", "exec", "-i", "-u", "0", id, "cat"); err != nil || out != "hello" {
				t.Errorf("%q, %v", out, err)
			}
		})
		t.Run("exit status", func(t *testing.T) {
			if _, err := d.try("exec", id, "sh", "-c", "exit 42"); err == nil || !strings.Contains(err.Error(), "exit status 42") {
				t.Error(err)
			}
		})
		t.Run("tty", func(t *testing.T) {
			s := parseSeen(t, d.mustOnTerminal(t, "exec", "-it", "-u", "0", id, "probe"))
			confined(t, s, "10001")
			if !s.TTY {
				t.Error("no terminal")
			}
		})
		t.Run("detached", func(t *testing.T) {
			d.must(t, "exec", "-d", "-u", "0", id, "sh", "-c", "probe > /tmp/detached.new && mv /tmp/detached.new /tmp/detached")
			var out string
			eventually(t, "the detached process writes", func() bool {
				var err error
				out, err = d.try("exec", id, "cat", "/tmp/detached")
				return err == nil
			})
			confined(t, parseSeen(t, out), "10001")
		})
	})
}

// TestExecAtTheRuntime calls runclamp as somebody with a shell on the host does, past Docker.
func TestExecAtTheRuntime(t *testing.T) {
	forEachDocker(t, func(t *testing.T, d *docker) {
		id := d.start(t, "runclamp", "bb", "sleep", "1000")
		root := d.root(t, id)
		file := filepath.Join(d.dir, "process.json")
		if err := os.WriteFile(file, []byte(`{"user":{"uid":0,"gid":0},"args":["probe"],"cwd":"/","env":["PATH=/bin"],
			"capabilities":{"bounding":["CAP_SYS_ADMIN"],"effective":["CAP_SYS_ADMIN"],"permitted":["CAP_SYS_ADMIN"]}}`), 0o600); err != nil {
			t.Fatal(err)
		}
		forms := map[string][]string{
			"flags": {"exec", "--user", "0:0", "--cap", "CAP_SYS_ADMIN", "--cap", "CAP_SYS_PTRACE", "--no-new-privs=false", "--env", "A=b", "--cwd", "/usr", id, "probe"},
			"file":  {"exec", "--process", file, id},
		}
		for name, args := range forms {
			t.Run(name, func(t *testing.T) {
				out, err := exec.Command(d.runclamp, append([]string{"--root", root}, args...)...).CombinedOutput()
				if err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				s := parseSeen(t, string(out))
				confined(t, s, "10001")
				if !slices.Equal(s.Descriptors, []string{"0", "1", "2"}) {
					t.Errorf("it starts with the descriptors %q", s.Descriptors)
				}
				if name == "flags" && (s.Cwd != "/usr" || !slices.Contains(s.Env, "A=b")) {
					t.Errorf("in %s with %q", s.Cwd, s.Env)
				}
			})
		}
		t.Run("no record", func(t *testing.T) {
			if err := os.Remove(filepath.Join(d.bundle(t, id), "runclamp.json")); err != nil {
				t.Fatal(err)
			}
			confined(t, parseSeen(t, d.must(t, "exec", "-u", "0", "--privileged", id, "probe")), "10001")
		})
	})
}

func TestPrivileged(t *testing.T) {
	forEachDocker(t, func(t *testing.T, d *docker) {
		_, err := d.try("run", "--rm", "--runtime", "runclamp", "--network", "none", "--privileged", "bb", "true")
		if err == nil {
			t.Fatal("it ran")
		}
		const want = `runclamp: refused: privileged: a privileged container, which is root on this host at linux.resources.devices, wanted a container without --privileged: drop "--privileged"`
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the user reads %v", err)
		}
	})
}

// TestUnconfined: whoever switches Docker's own protections off does not get far.
func TestUnconfined(t *testing.T) {
	forEachDocker(t, func(t *testing.T, d *docker) {
		s := parseSeen(t, d.run(t, "--cap-add", "NET_ADMIN", "--cap-add", "NET_RAW", "--security-opt", "seccomp=unconfined",
			"--security-opt", "systempaths=unconfined", "--security-opt", "apparmor=unconfined", "-u", "nobody", "bb", "probe"))
		confined(t, s, "10001")
		if out := d.run(t, "--security-opt", "systempaths=unconfined", "bb", "sh", "-c", "cat /proc/keys; echo x 2>/dev/null >/proc/sys/kernel/domainname || echo read-only"); out != "read-only\n" {
			t.Errorf("/proc says %q", out)
		}
	})
}

// TestStricter: who asks for more than the preset gets just that.
func TestStricter(t *testing.T) {
	forEachDocker(t, func(t *testing.T, d *docker) {
		profile := filepath.Join(d.dir, "own.json")
		own := `{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"architectures":["SCMP_ARCH_X86_64"],"syscalls":[{"names":` + mustJSON(t, ordinaryCalls()) + `,"action":"SCMP_ACT_ALLOW"},
			{"names":["clone"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":2114060288,"valueTwo":0,"op":"SCMP_CMP_MASKED_EQ"}]}]}`
		if err := os.WriteFile(profile, []byte(own), 0o644); err != nil {
			t.Fatal(err)
		}
		id := d.start(t, "record", "--user", "20000:20000", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--security-opt", "seccomp="+profile, "--pids-limit", "100", "--ulimit", "core=0", "-e", "HOME=/home", "bb", "sleep", "1000")
		asked, clamped := d.recorded(t), d.config(t, id)
		// Docker 20.10 knows fewer paths of /proc that tell about the host.
		asked.Linux.MaskedPaths, clamped.Linux.MaskedPaths = nil, nil
		// On cgroup v1, Docker asks for no cgroup namespace.
		for _, spec := range []*specs.Spec{asked, clamped} {
			spec.Linux.Namespaces = slices.DeleteFunc(spec.Linux.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == specs.CgroupNamespace })
		}
		if !reflect.DeepEqual(asked, clamped) {
			t.Errorf("asked  %s\nclamped %s", mustJSON(t, asked), mustJSON(t, clamped))
		}
		s := parseSeen(t, d.must(t, "exec", id, "probe"))
		confined(t, s, "20000")
		if got := writable(s); !slices.Equal(got, []string{"/dev/mqueue", "/dev/shm"}) {
			t.Errorf("writable are %q: a tmpfs came in that nobody asked for", got)
		}
	})
}

func ordinaryCalls() []string {
	return strings.Fields(`access arch_prctl brk capget capset chdir close close_range dup dup2 dup3 epoll_create1 epoll_ctl epoll_pwait eventfd2
		execve exit exit_group faccessat2 fchdir fchown fcntl fstat fstatfs fstatfs64 futex getcwd getdents64 getegid geteuid getgid getpgrp getpid
		getppid getrandom getrlimit gettid getuid ioctl kill lseek lstat madvise mmap mprotect munmap nanosleep clock_nanosleep newfstatat open
		openat openat2 pipe2 poll prctl pread64 prlimit64 read readlink readlinkat restart_syscall rseq rt_sigaction rt_sigprocmask rt_sigreturn
		rt_sigsuspend sched_getaffinity sched_yield set_robust_list set_tid_address setgid setgroups setpgid setsid setuid sigaltstack stat statfs
		statx tgkill uname unlink unlinkat vfork wait4 write writev`)
}

// recorded is the configuration that the engine sent last to the runtime "record".
func (d *docker) recorded(t *testing.T) *specs.Spec {
	t.Helper()
	return readSpec(t, filepath.Join(d.dir, "recorded", "config.json"))
}

// config is a container's configuration as it is in its bundle.
func (d *docker) config(t *testing.T, id string) *specs.Spec {
	t.Helper()
	return readSpec(t, filepath.Join(d.bundle(t, id), "config.json"))
}

func readSpec(t *testing.T, path string) *specs.Spec {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var s *specs.Spec
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestEverydayDocker: what people do with containers works as under runc.
func TestEverydayDocker(t *testing.T) {
	forEachDocker(t, func(t *testing.T, d *docker) {
		t.Run("terminal", func(t *testing.T) {
			s := parseSeen(t, d.mustOnTerminal(t, "run", "-it", "--rm", "--runtime", "runclamp", "--network", "none", "bb", "probe"))
			confined(t, s, "10001")
			if !s.TTY {
				t.Error("no terminal")
			}
		})
		t.Run("stdin", func(t *testing.T) {
			if out, err := d.tryWith("hello", "run", "-i", "--rm", "--runtime", "runclamp", "--network", "none", "bb", "cat"); err != nil || out != "hello" {
				t.Errorf("%q, %v", out, err)
			}
		})
		t.Run("init", func(t *testing.T) {
			out := d.run(t, "--init", "bb", "sh", "-c", "tr '\\0' ' ' </proc/1/cmdline; probe >/dev/null && echo fine")
			if !strings.Contains(out, "docker-init") || !strings.Contains(out, "fine") {
				t.Error(out)
			}
		})
		t.Run("volumes", func(t *testing.T) {
			name := "v" + filepath.Base(d.dir)
			t.Cleanup(func() { d.must(t, "volume", "rm", name) })
			d.run(t, "-v", name+":/owned", "bb", "sh", "-c", "echo kept >/owned/file")
			if out := d.run(t, "-v", name+":/owned:ro", "bb", "cat", "/owned/file"); out != "kept\n" {
				t.Errorf("%q", out)
			}
			host := filepath.Join(d.dir, "bind")
			if err := os.Mkdir(host, 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(host, 0o777); err != nil {
				t.Fatal(err)
			}
			d.run(t, "-v", host+":/there", "bb", "sh", "-c", "echo from inside >/there/file")
			if text, err := os.ReadFile(filepath.Join(host, "file")); err != nil || string(text) != "from inside\n" {
				t.Errorf("%q, %v", text, err)
			}
		})
		t.Run("a secret below /run", func(t *testing.T) {
			secret := filepath.Join(d.dir, "secret")
			if err := os.WriteFile(secret, []byte("shh"), 0o644); err != nil {
				t.Fatal(err)
			}
			if out := d.run(t, "-v", secret+":/run/secrets/token:ro", "bb", "cat", "/run/secrets/token"); out != "shh" {
				t.Errorf("%q", out)
			}
		})
		t.Run("copy, logs, stop, restart", func(t *testing.T) {
			id := d.start(t, "runclamp", "-v", "/owned", "bb", "sh", "-c", "trap 'echo stopped; exit 0' TERM; echo started; while :; do sleep 0.05; done")
			eventually(t, "it starts", func() bool { return strings.Contains(d.must(t, "logs", id), "started") })
			file := filepath.Join(d.dir, "copy")
			if err := os.WriteFile(file, []byte("copied"), 0o644); err != nil {
				t.Fatal(err)
			}
			d.must(t, "cp", file, id+":/owned/copy")
			if out := d.must(t, "exec", id, "cat", "/owned/copy"); out != "copied" {
				t.Errorf("%q", out)
			}
			d.must(t, "cp", id+":/etc/passwd", file)
			d.must(t, "stop", "-t", "60", id)
			if out := d.must(t, "logs", id); !strings.Contains(out, "stopped") {
				t.Errorf("the signal did not arrive: %q", out)
			}
			if out := strings.TrimSpace(d.must(t, "inspect", "-f", "{{.State.ExitCode}}", id)); out != "0" {
				t.Errorf("exit status %s", out)
			}
			d.must(t, "restart", id)
			eventually(t, "it starts again", func() bool { return strings.Count(d.must(t, "logs", id), "started") == 2 })
			confined(t, parseSeen(t, d.must(t, "exec", id, "probe")), "10001")
			d.must(t, "kill", id)
		})
		t.Run("update, pause, top, stats", func(t *testing.T) {
			id := d.start(t, "runclamp", "bb", "sleep", "1000")
			d.must(t, "update", "--memory", "64m", "--memory-swap", "64m", "--pids-limit", "77", "--cpus", "0.5", id)
			if out := d.must(t, "exec", id, "sh", "-c", "cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max"); strings.TrimSpace(out) != "77" {
				t.Errorf("the limit is %q", out)
			}
			d.must(t, "pause", id)
			if _, err := d.try("exec", id, "true"); err == nil {
				t.Error("exec in a paused container")
			}
			d.must(t, "unpause", id)
			if out := d.must(t, "top", id); !strings.Contains(out, "sleep 1000") {
				t.Error(out)
			}
			d.must(t, "stats", "--no-stream", id)
		})
		t.Run("health check", func(t *testing.T) {
			id := d.start(t, "runclamp", "--health-cmd", "probe >/tmp/health && grep -q '\"Uid\":\"10001' /tmp/health", "--health-interval", "100ms", "bb", "sleep", "1000")
			eventually(t, "it is healthy", func() bool {
				return strings.TrimSpace(d.must(t, "inspect", "-f", "{{.State.Health.Status}}", id)) == "healthy"
			})
		})
		t.Run("as compose starts it", func(t *testing.T) {
			id := d.start(t, "runclamp", "--name", "app-web-1", "--label", "com.docker.compose.project=app", "--label", "com.docker.compose.service=web",
				"-e", "A=1", "-e", "B=with space", "-e", "EMPTY=", "--hostname", "web", "--add-host", "db:10.0.0.2", "--dns", "10.0.0.3", "--restart", "unless-stopped",
				"--ulimit", "nofile=512:512", "--tmpfs", "/cache:size=1m", "--shm-size", "1m", "--stop-signal", "SIGINT", "--log-opt", "max-size=1m", "-w", "/usr", "--entrypoint", "sh", "bb", "-c", "sleep 1000")
			s := parseSeen(t, d.must(t, "exec", id, "probe"))
			if s.Cwd != "/usr" || !slices.Contains(s.Env, "B=with space") || !slices.Contains(s.Env, "EMPTY=") || s.Status["Uid"] == "" {
				t.Errorf("in %s with %q", s.Cwd, s.Env)
			}
			if out := d.must(t, "exec", id, "sh", "-c", "hostname; grep db /etc/hosts; cat /etc/resolv.conf; ulimit -n"); !strings.Contains(out, "web\n") || !strings.Contains(out, "10.0.0.2") || !strings.Contains(out, "10.0.0.3") || !strings.Contains(out, "512") {
				t.Error(out)
			}
		})
		t.Run("a program that is not there", func(t *testing.T) {
			_, err := d.try("run", "--rm", "--runtime", "runclamp", "--network", "none", "bb", "/no/such/program")
			if err == nil || !strings.Contains(err.Error(), "no such file or directory") || strings.Contains(err.Error(), "runclamp: refused") {
				t.Errorf("runc's own reason does not arrive: %v", err)
			}
		})
		t.Run("remove leaves nothing", func(t *testing.T) {
			id := d.start(t, "runclamp", "bb", "sleep", "1000")
			bundle, state := d.bundle(t, id), filepath.Join(d.root(t, id), id)
			d.must(t, "kill", id)
			eventually(t, "bundle and state are gone", func() bool {
				_, err1 := os.Stat(bundle)
				_, err2 := os.Stat(state)
				return os.IsNotExist(err1) && os.IsNotExist(err2)
			})
		})
	})
}

// TestStoppingAlwaysWorks: nothing that is wrong with creating keeps anybody from stopping.
func TestStoppingAlwaysWorks(t *testing.T) {
	forEachDocker(t, func(t *testing.T, d *docker) {
		id := d.start(t, "runclamp", "bb", "sleep", "1000")
		bundle := d.bundle(t, id)
		for _, name := range []string{"config.json", "runclamp.json"} {
			if err := os.WriteFile(filepath.Join(bundle, name), []byte("{"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := d.try("exec", id, "true"); err == nil || !strings.Contains(err.Error(), "runclamp: refused: config.json") {
			t.Errorf("exec says %v", err)
		}
		root := d.root(t, id)
		if out, err := exec.Command(d.runclamp, "--root", root, "state", id).CombinedOutput(); err != nil || !strings.Contains(string(out), `"status": "running"`) {
			t.Errorf("%v: %s", err, out)
		}
		d.must(t, "pause", id)
		d.must(t, "unpause", id)
		d.must(t, "stop", "-t", "0", id)
		if out := strings.TrimSpace(d.must(t, "inspect", "-f", "{{.State.Running}}", id)); out != "false" {
			t.Errorf("running: %s", out)
		}
	})
}

func TestContainerOfAnotherRuntime(t *testing.T) {
	forEachDocker(t, func(t *testing.T, d *docker) {
		dir := filepath.Join(d.dir, "foreign")
		root := filepath.Join(dir, "root")
		config := d.exampleConfig(t)
		if err := os.MkdirAll(root, 0o700); err != nil {
			t.Fatal(err)
		}
		bundle := writeBundle(t, dir, config)
		if err := run(d.runc, "--root", root, "create", "--bundle", bundle, "foreign"); err != nil {
			t.Fatalf("bare runc can't create it: %v", err)
		}
		t.Cleanup(func() {
			if err := run(d.runclamp, "--root", root, "delete", "--force", "foreign"); err != nil {
				t.Error(err)
			}
		})
		if err := run(d.runclamp, "--root", root, "start", "foreign"); err == nil || !strings.Contains(err.Error(), "no record of runclamp's in the bundle: it was created by another runtime") {
			t.Errorf("start says %v", err)
		}
	})
}

// exampleConfig is what Docker sends for a plain container, made to run without Docker.
func (d *docker) exampleConfig(t *testing.T) *specs.Spec {
	t.Helper()
	d.must(t, "rm", "-f", strings.TrimSpace(d.must(t, "run", "-d", "--runtime", "record", "--network", "none", "bb", "sleep", "1000")))
	s := d.recorded(t)
	s.Root.Path = filepath.Join(d.dir, "image")
	s.Hooks = nil
	s.Linux.CgroupsPath = d.cgroup() + "/example"
	s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { return m.Type == "bind" })
	return s
}

func writeBundle(t *testing.T, dir string, s *specs.Spec) (bundle string) {
	t.Helper()
	bundle = filepath.Join(dir, fmt.Sprintf("bundle-%d", os.Getpid()))
	if err := os.MkdirAll(bundle, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), []byte(mustJSON(t, s)), 0o600); err != nil {
		t.Fatal(err)
	}
	return bundle
}
