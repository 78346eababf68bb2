package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What holds in every engine. What is one engine's own is in docker_test.go and kubernetes_test.go.

// asleep goes on until it is stopped, and ends at once when it is asked to.
var asleep = []string{"/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"}

// fiveBytes reads them and does not wait for the end of its input: ctr loses that if it comes before the process is there.
var fiveBytes = []string{"/bin/head", "-c", "5"}

func TestContainerIsClamped(t *testing.T) {
	forEachEngine(t, func(t *testing.T, e engine) {
		s := parseSeen(t, mustOutput(t, e, container{args: []string{"/bin/probe"}}))
		confined(t, s, "10001")
		if got := writable(s); !slices.Equal(got, e.writes()) {
			t.Errorf("writable are %q, want %q", got, e.writes())
		}
		rootSeen := false
		for _, m := range s.Mounts {
			// /dev/shm is the engine's, and current containerd's can be run from with a current runc.
			if m.Writable && m.Exec && m.Point != "/dev/shm" {
				t.Errorf("a program can be written to and run from %s", m.Point)
			}
			if m.Point == "/" {
				rootSeen = true
				if !strings.HasPrefix(m.Options, "ro,") {
					t.Errorf("/ is mounted %s", m.Options)
				}
			}
		}
		if !rootSeen {
			t.Error("no mount of /")
		}
		// Where two profiles can't be brought together a call is given up. With this one all of the network would be.
		if want := []string{"inet", "inet6", "netlink", "unix"}; !slices.Equal(s.Sockets, want) {
			t.Errorf("the sockets that it may have are %q, want %q", s.Sockets, want)
		}
		if !slices.Contains(s.Env, "HOME=/tmp") {
			t.Errorf("no HOME=/tmp in %q", s.Env)
		}
		onlyStandardStreams(t, s)
	})
}

func onlyStandardStreams(t *testing.T, s seen) {
	t.Helper()
	if !slices.Equal(s.Descriptors, []string{"0", "1", "2"}) {
		t.Errorf("it starts with the descriptors %q", s.Descriptors)
	}
}

func TestExecIsHeldToTheContainer(t *testing.T) {
	forEachEngine(t, func(t *testing.T, e engine) {
		id := start(t, e, container{args: asleep})
		for _, way := range e.entries() {
			t.Run(way.name, func(t *testing.T) {
				stdin := ""
				command := []string{"/bin/probe", "x", "--y"}
				if way.tty {
					stdin = "go\n"
					command = []string{"/bin/sh", "-c", "read line && exec /bin/probe x --y"}
				}
				out, err := way.run(id, stdin, command...)
				if err != nil {
					t.Fatal(err)
				}
				s := parseSeen(t, out)
				confined(t, s, "10001")
				if s.TTY != way.tty || !slices.Equal(s.Args, []string{"x", "--y"}) || !slices.Contains(s.Env, "HOME=/tmp") {
					t.Errorf("terminal %v, args %q, env %q", s.TTY, s.Args, s.Env)
				}
				if got := writable(s); !slices.Equal(got, e.writes()) {
					t.Errorf("writable are %q, want %q", got, e.writes())
				}
				onlyStandardStreams(t, s)
			})
			if !way.tty { // where the test above has typed
				t.Run(way.name+", stdin", func(t *testing.T) {
					if out, err := way.run(id, "hello", fiveBytes...); err != nil || out != "hello" {
						t.Errorf("%q, %v", out, err)
					}
				})
			}
			t.Run(way.name+", exit status", func(t *testing.T) {
				if _, err := way.run(id, "", "/bin/sh", "-c", "exit 42"); exitStatus(err) != 42 {
					t.Errorf("%v", err)
				}
			})
		}
	})
}

// TestRefusalIsRead: the user reads why, in the words of his own engine, and nothing has been started.
func TestRefusalIsRead(t *testing.T) {
	forEachEngine(t, func(t *testing.T, e engine) {
		dir := shared(t, e)
		_, err := e.output(container{args: []string{"/bin/touch", "/there/ran"}, privileged: true, binds: []string{dir + ":/there"}})
		if err == nil {
			t.Fatal("it ran")
		}
		for _, want := range []string{"runclamp: refused: privileged: a privileged container, which is root on this host", `drop "--privileged"`, "securityContext.privileged"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("no %q in what the user reads: %v", want, err)
			}
		}
		if _, err := os.Stat(dir + "/ran"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the program ran: %v", err)
		}
	})
}

// shared is a folder on the host that everybody may write to.
func shared(t *testing.T, e engine) string {
	t.Helper()
	dir, err := os.MkdirTemp(e.where().dir, "shared-")
	if err := errors.Join(err, os.Chmod(dir, 0o777)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestTerminal(t *testing.T) {
	forEachEngine(t, func(t *testing.T, e engine) {
		out := mustOutput(t, e, container{args: []string{"/bin/sh", "-c", "read line && exec /bin/probe"}, tty: true, stdin: "go\n"})
		// How often the terminal echoes what is typed depends on who set it up by then.
		s := parseSeen(t, out[max(0, strings.IndexByte(out, '{')):])
		confined(t, s, "10001")
		if !s.TTY {
			t.Error("no terminal")
		}
	})
}

func TestStdin(t *testing.T) {
	forEachEngine(t, func(t *testing.T, e engine) {
		if out := mustOutput(t, e, container{args: fiveBytes, stdin: "hello"}); out != "hello" {
			t.Errorf("%q", out)
		}
	})
}

func TestVolumes(t *testing.T) {
	forEachEngine(t, func(t *testing.T, e engine) {
		dir := shared(t, e)
		mustOutput(t, e, container{args: []string{"/bin/sh", "-c", "echo from inside >/there/file"}, binds: []string{dir + ":/there"}})
		if text, err := os.ReadFile(dir + "/file"); err != nil || string(text) != "from inside\n" {
			t.Errorf("%q, %v", text, err)
		}
		out := mustOutput(t, e, container{args: []string{"/bin/sh", "-c", "cat /there/file; echo more 2>/dev/null >>/there/file || echo read-only"}, binds: []string{dir + ":/there:ro"}})
		if out != "from inside\nread-only\n" {
			t.Errorf("%q", out)
		}
	})
}

// TestSecretBelowALink: /var/run leads to /run in the image, and a tmpfs comes over /run. What the engine binds to
// /var/run/secrets is there all the same.
func TestSecretBelowALink(t *testing.T) {
	forEachEngine(t, func(t *testing.T, e engine) {
		secret := e.where().file("secret")
		if err := os.WriteFile(secret, []byte("shh"), 0o644); err != nil {
			t.Fatal(err)
		}
		out := mustOutput(t, e, container{
			args:  []string{"/bin/sh", "-c", "cat /var/run/secrets/token; grep -c ' /run tmpfs ' /proc/mounts; stat -c %i /run/secrets/token"},
			binds: []string{secret + ":/var/run/secrets/token:ro"},
		})
		// A tmpfs that comes over it, and takes a copy along, would have another inode: what is rotated on the host would not arrive.
		if want := fmt.Sprintf("shh1\n%d\n", inode(t, secret)); out != want {
			t.Errorf("%q, want %q", out, want)
		}
	})
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

func TestStopKillRemove(t *testing.T) {
	forEachEngine(t, func(t *testing.T, e engine) {
		isRunning := func(t *testing.T, id string) bool {
			t.Helper()
			running, err := e.running(id)
			if err != nil {
				t.Fatal(err)
			}
			return running
		}
		t.Run("stop", func(t *testing.T) {
			dir := shared(t, e)
			id := start(t, e, container{
				args:  []string{"/bin/sh", "-c", "trap 'echo stopped >/there/stopped; exit 0' TERM; echo >/there/ready; while :; do sleep 0.1; done"},
				binds: []string{dir + ":/there"},
			})
			eventually(t, "it is ready", func() bool { _, err := os.Stat(dir + "/ready"); return err == nil })
			if !isRunning(t, id) {
				t.Fatal("it does not run")
			}
			if err := e.stop(id); err != nil {
				t.Fatal(err)
			}
			eventually(t, "it ends", func() bool { return !isRunning(t, id) })
			if text, err := os.ReadFile(dir + "/stopped"); err != nil || string(text) != "stopped\n" {
				t.Errorf("the signal did not arrive: %q, %v", text, err)
			}
		})
		t.Run("kill", func(t *testing.T) {
			id := start(t, e, container{args: []string{"/bin/sleep", "1000"}})
			if !isRunning(t, id) {
				t.Fatal("it does not run")
			}
			if err := e.kill(id); err != nil {
				t.Fatal(err)
			}
			eventually(t, "it ends", func() bool { return !isRunning(t, id) })
		})
		t.Run("remove", func(t *testing.T) {
			id, err := e.launch(container{args: []string{"/bin/sleep", "1000"}})
			if err != nil {
				t.Fatal(err)
			}
			if err := e.remove(id); err != nil {
				t.Fatal(err)
			}
			if running, err := e.running(id); running {
				t.Errorf("it still runs: %v", err)
			}
			for _, folder := range cgroups(filepath.Base(e.where().dir)) {
				if strings.Contains(folder, id) {
					t.Errorf("left behind: %s", folder)
				}
			}
		})
	})
}

// TestProgramThatIsNotThere: the delegate's own reasons arrive as well.
func TestProgramThatIsNotThere(t *testing.T) {
	forEachEngine(t, func(t *testing.T, e engine) {
		_, err := e.output(container{args: []string{"/no/such/program"}})
		if err == nil || !strings.Contains(strings.ToLower(err.Error()), "no such file or directory") || strings.Contains(err.Error(), "runclamp: refused") {
			t.Errorf("the user reads %v", err)
		}
	})
}
