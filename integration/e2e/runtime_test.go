package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestHostileBundles: what an attacker, or a broken engine, puts into a bundle. Each is refused with its reason on stderr and
// in the log, and nothing is left behind.
func TestHostileBundles(t *testing.T) {
	forEachDocker(t, func(t *testing.T, d *docker) {
		good := mustJSON(t, d.exampleConfig(t))
		deep := strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100)
		for _, tt := range []struct {
			name, want string
			arrange    func(config string) error
		}{
			{"duplicate keys", `the key "process" stands twice`, text(good[:len(good)-1] + `,"process":{"user":{"uid":0}}}`)},
			{"folded keys", `the key "PROCESS" differs from "process" only by case`, text(good[:len(good)-1] + `,"PROCESS":{"user":{"uid":0}}}`)},
			{"two values", "something follows the first value", text(good + good)},
			{"bad UTF-8", "not valid UTF-8", text(good[:len(good)-1] + ",\"x\":\"\xff\"}")},
			{"too deep", "nested deeper than 64", text(good[:len(good)-1] + `,"x":` + deep + `}`)},
			{"too large", "larger than 4 MiB", text(good[:len(good)-1] + `,"x":"` + strings.Repeat("x", 4<<20) + `"}`)},
			{"a link", "is a link, not a file", func(config string) error {
				return errors.Join(os.WriteFile(config+".elsewhere", []byte(good), 0o600), os.Symlink(config+".elsewhere", config))
			}},
			{"a FIFO", "not a regular file", func(config string) error { return unix.Mkfifo(config, 0o600) }},
			{"others may write", "chmod go-w", func(config string) error {
				return errors.Join(text(good)(config), os.Chmod(filepath.Dir(config), 0o777))
			}},
			{"nothing", "no such file", func(string) error { return nil }},
		} {
			t.Run(tt.name, func(t *testing.T) {
				dir := filepath.Join(d.dir, "hostile")
				bundle, root, log := filepath.Join(dir, "bundle"), filepath.Join(dir, "root"), filepath.Join(dir, "log")
				defer os.RemoveAll(dir)
				if err := errors.Join(os.MkdirAll(bundle, 0o700), tt.arrange(filepath.Join(bundle, "config.json"))); err != nil {
					t.Fatal(err)
				}
				before := listing(t, bundle)
				refused(t, d.runclamp, tt.want, log, "--root", root, "create", "--bundle", bundle, "hostile")
				if after := listing(t, bundle); after != before {
					t.Errorf("the bundle was\n%s\nand is\n%s", before, after)
				}
				if _, err := os.Stat(root); !os.IsNotExist(err) {
					t.Errorf("the delegate was at work: %v", err)
				}
			})
		}
	})
}

func text(s string) func(string) error {
	return func(path string) error { return os.WriteFile(path, []byte(s), 0o600) }
}

// listing has the name, mode and content of every file.
func listing(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		content := []byte("-")
		if info.Mode().IsRegular() {
			if content, err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
				t.Fatal(err)
			}
		}
		fmt.Fprintf(&b, "%s %s %d %x\n", e.Name(), info.Mode(), len(content), content[:min(len(content), 32)])
	}
	return b.String()
}

// refused: exit status 1, the reason as one line on stderr, and as the last error line of the JSON log.
func refused(t *testing.T, runclamp, want, log string, args ...string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(runclamp, append([]string{"--log", log, "--log-format", "json"}, args...)...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || stdout.Len() > 0 {
		t.Errorf("%v, stdout %q", err, &stdout)
	}
	reason := strings.TrimSuffix(stderr.String(), "\n")
	if !strings.HasPrefix(reason, "runclamp: refused: ") || !strings.Contains(reason, want) || strings.Contains(reason, "\n") {
		t.Errorf("the reason is %q, want %q", reason, want)
	}
	content, err := os.ReadFile(log)
	var line struct{ Level, Msg string }
	if err != nil || json.Unmarshal(content, &line) != nil || line.Level != "error" || line.Msg != reason {
		t.Errorf("the log has %q, %v", content, err)
	}
}

func TestHostileCommandLines(t *testing.T) {
	forEachDocker(t, func(t *testing.T, d *docker) {
		bundle := writeBundle(t, filepath.Join(d.dir, "lines"), d.exampleConfig(t))
		before := listing(t, bundle)
		root := filepath.Join(d.dir, "lines", "root")
		for want, args := range map[string][]string{
			`unknown flag "--keyring" for "create"`:        {"create", "--keyring", "--bundle", bundle, "x"},
			`"--bundle" follows the container's ID "x"`:    {"create", "x", "--bundle", bundle},
			`--bundle stands twice`:                        {"create", "--bundle", bundle, "-b", "/", "x"},
			`unknown verb "init"`:                          {"init"},
			`"../x" is no container's ID`:                  {"create", "--bundle", bundle, "../x"},
			`container "nobody" does not exist`:            {"exec", "nobody", "id"},
			`checkpoint: a restored container takes`:       {"restore", "--bundle", bundle, "x"},
			`the bundle /no/such/bundle: no such file`:     {"create", "--bundle", "/no/such/bundle", "x"},
			`unknown flag "--config" for "create"`:         {"create", "--config", "/evil.json", "--bundle", bundle, "x"},
			`unknown flag "-bd" for "run"; runclamp knows`: {"run", "-bd", bundle, "x"},
		} {
			log := filepath.Join(d.dir, "lines", "log")
			refused(t, d.runclamp, want, log, append([]string{"--root", root}, args...)...)
			if err := os.Remove(log); err != nil {
				t.Error(err)
			}
		}
		if after := listing(t, bundle); after != before {
			t.Errorf("the bundle was\n%s\nand is\n%s", before, after)
		}
	})
}

// TestDelegateThatOthersCanWrite: what anybody could replace is not executed, and so nothing is created.
func TestDelegateThatOthersCanWrite(t *testing.T) {
	forEachDocker(t, func(t *testing.T, d *docker) {
		if err := os.Chmod(d.runc, 0o757); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := os.Chmod(d.runc, 0o755); err != nil {
				t.Error(err)
			}
		}()
		_, err := d.try("run", "--rm", "--runtime", "runclamp", "--network", "none", "bb", "true")
		if err == nil || !strings.Contains(err.Error(), "runclamp: refused: the delegate") || !strings.Contains(err.Error(), "chmod go-w") {
			t.Errorf("the user reads %v", err)
		}
	})
}

// TestKilledAtAnyMoment kills runclamp at every system call of a create, a start and an exec. The configuration is then the
// engine's or the clamped one, whole; a start and an exec leave nothing at all; and all work afterwards.
func TestKilledAtAnyMoment(t *testing.T) {
	d := firstDocker(t)
	dir := filepath.Join(d.dir, "killed")
	root := filepath.Join(dir, "root")
	spec := d.exampleConfig(t)
	spec.Process.Args = []string{"/bin/sleep", "1000"}
	bundle := writeBundle(t, dir, spec)
	config := filepath.Join(bundle, "config.json")
	asked, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	ask := func() error { return os.WriteFile(config, asked, 0o600) }
	create := []string{"--root", root, "create", "--bundle", bundle, "killed"}
	remove := func() {
		if err := run(d.runc, "--root", root, "delete", "--force", "killed"); err != nil {
			t.Fatal(err)
		}
	}
	if err := run(d.runclamp, create...); err != nil {
		t.Fatal(err)
	}
	remove()
	clamped, err := os.ReadFile(config)
	if err != nil || bytes.Equal(asked, clamped) {
		t.Fatalf("nothing was clamped: %v", err)
	}

	outcomes := map[string]int{}
	kills := killAtEach(t, d, create, ask, func(when string) {
		after, err := os.ReadFile(config)
		switch {
		case err != nil:
			t.Fatalf("%s: %v", when, err)
		case bytes.Equal(after, asked):
			outcomes["asked"]++
		case bytes.Equal(after, clamped):
			outcomes["clamped"]++
		default:
			t.Fatalf("%s: half a configuration: %s", when, after)
		}
	})
	t.Logf("create: killed %d times, found %v", kills, outcomes)
	// The hand-over itself is a system call, and comes after the configuration is written.
	if outcomes["asked"] < 50 || outcomes["clamped"] < 1 {
		t.Errorf("not killed often enough to say anything: %v", outcomes)
	}

	// Afterwards both work, and the bundle has nothing more than after a create that went well.
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	if err := run(d.runclamp, create...); err != nil {
		t.Fatal(err)
	}
	defer remove()
	start := []string{"--root", root, "start", "killed"}
	created := listing(t, bundle)
	kills = killAtEach(t, d, start, func() error { return nil }, func(when string) {
		if after := listing(t, bundle); after != created {
			t.Fatalf("%s: the bundle was\n%s\nand is\n%s", when, created, after)
		}
	})
	t.Logf("start: killed %d times", kills)
	if kills < 50 {
		t.Errorf("not killed often enough to say anything: %d", kills)
	}
	// The proof traces the process that waits. It is as it was, and can be started.
	state, err := exec.Command(d.runc, "--root", root, "state", "killed").Output()
	if err != nil || !strings.Contains(string(state), `"status": "created"`) {
		t.Errorf("%v: %s", err, state)
	}
	if err := run(d.runclamp, start...); err != nil {
		t.Fatal(err)
	}
	process := filepath.Join(dir, "process.json")
	if err := os.WriteFile(process, []byte(`{"user":{"uid":0,"gid":0},"args":["/bin/true"],"cwd":"/"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	again := []string{"--root", root, "exec", "--process", process, "killed"}
	whole := listing(t, bundle)
	kills = killAtEach(t, d, again, func() error { return nil }, func(when string) {
		if after := listing(t, bundle); after != whole {
			t.Fatalf("%s: the bundle was\n%s\nand is\n%s", when, whole, after)
		}
	})
	t.Logf("exec: killed %d times", kills)
	if kills < 50 {
		t.Errorf("not killed often enough to say anything: %d", kills)
	}
	if err := run(d.runclamp, again...); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(bundle)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if !slices.Equal(names, []string{"config.json", "runclamp.json"}) {
		t.Errorf("the bundle has %q", names)
	}
}
