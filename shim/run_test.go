package shim

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
	"sync"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// lab is the real runclamp with a delegate that tells what it was handed.
type lab struct {
	dir, runclamp, bundle, root string
}

// told is what the delegate says (testdata/delegate).
type told struct {
	Args, Env, Descriptors []string
	Process, Config        string
	Resources              string
}

// workshop is where the lab's programs are built, once: the configuration folder is fixed at link time.
var workshop = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("/var/lib", "runclamp-test-"); err != nil {
		return "", err
	}
	workshopDir = dir
	for out, args := range map[string][]string{
		"runclamp": {"-ldflags", "-X main.confDir=" + filepath.Join(dir, "lab", "conf") + " -X main.runDir=" + filepath.Join(dir, "lab", "run"), "runclamp/cmd/runclamp"},
		"delegate": {"."},
	} {
		cmd := exec.Command("go", append([]string{"build", "-o", filepath.Join(dir, out)}, args...)...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out == "delegate" {
			cmd.Dir = "testdata/delegate"
		}
		if text, err := cmd.CombinedOutput(); err != nil {
			return dir, fmt.Errorf("go build: %w: %s", err, text)
		}
	}
	// The same as if it were crun: no build information of Go's, and what crun alone has in it (testdata/delegate).
	program, err := os.ReadFile(filepath.Join(dir, "delegate"))
	if err != nil {
		return dir, err
	}
	program = bytes.ReplaceAll(program, []byte("\x00.go.buildinfo\x00"), []byte("\x00.no.buildinfo\x00"))
	return dir, errors.Join(os.WriteFile(filepath.Join(dir, "crun"), program, 0o755), os.Chmod(dir, 0o755))
})

// workshopDir is the workshop's folder, once there is one.
var workshopDir string

func TestMain(m *testing.M) {
	status := m.Run()
	if workshopDir != "" {
		if err := os.RemoveAll(workshopDir); err != nil {
			fmt.Println(err)
			status = 1
		}
	}
	os.Exit(status)
}

func newLab(t *testing.T) lab {
	t.Helper()
	return newLabOf(t, "delegate")
}

// newLabOf has one of the workshop's programs for its delegate.
func newLabOf(t *testing.T, delegate string) lab {
	t.Helper()
	needsRoot(t)
	shop, err := workshop()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(shop, "lab")
	clean := func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	}
	clean()
	t.Cleanup(clean)
	l := lab{dir: dir, runclamp: filepath.Join(dir, "runclamp"), bundle: filepath.Join(dir, "bundle"), root: filepath.Join(dir, "root")}
	conf := filepath.Join(dir, "conf")
	for _, d := range []string{conf, l.bundle, filepath.Join(l.bundle, "rootfs", "run"), filepath.Join(l.root, "c1")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Link(filepath.Join(shop, "runclamp"), l.runclamp), os.Link(filepath.Join(shop, delegate), filepath.Join(conf, "delegate"))); err != nil {
		t.Fatal(err)
	}
	l.write(t, filepath.Join(l.bundle, "config.json"), dockerLike)
	l.write(t, filepath.Join(l.root, "c1", "state.json"), `{"config":{"labels":["x=y","bundle=`+l.bundle+`"]}}`)
	return l
}

const dockerLike = `{"ociVersion":"1.0.2","x-unknown":1,"process":{"user":{"uid":0,"gid":0},"args":["sh"],"env":["PATH=/bin"],"cwd":"/","capabilities":{"bounding":["CAP_CHOWN"]}},"root":{"path":"rootfs"},"linux":{"namespaces":[{"type":"pid"},{"type":"network"},{"type":"ipc"},{"type":"uts"},{"type":"mount"},{"type":"cgroup"}]}}`

func (l lab) write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// run calls runclamp. It says what the delegate was handed, or how it was refused.
func (l lab) run(t *testing.T, args ...string) (told, error) {
	t.Helper()
	return l.runWith(t, "", args...)
}

func (l lab) runWith(t *testing.T, stdin string, args ...string) (told, error) {
	t.Helper()
	var stdout, stderr strings.Builder
	cmd := exec.Command(l.runclamp, args...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = l.bundle, strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		if exit.ExitCode() != 1 || stdout.Len() > 0 || strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("%q: exit %d, stdout %q, stderr %q", args, exit.ExitCode(), &stdout, &stderr)
		}
		return told{}, errors.New(strings.TrimSpace(stderr.String()))
	case err != nil:
		t.Fatal(err)
	case stderr.Len() > 0:
		t.Errorf("%q: stderr %q", args, &stderr)
	}
	var to told
	if err := json.Unmarshal([]byte(stdout.String()), &to); err != nil {
		t.Fatalf("%q: %v: %s", args, err, &stdout)
	}
	return to, nil
}

func (l lab) mustRun(t *testing.T, args ...string) told {
	t.Helper()
	to, err := l.run(t, args...)
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return to
}

func (l lab) mustRefuse(t *testing.T, want string, args ...string) {
	t.Helper()
	log := filepath.Join(l.dir, "log")
	if err := os.Remove(log); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	_, err := l.run(t, append([]string{"--root", l.root, "--log", log, "--log-format", "json"}, args...)...)
	if err == nil || !strings.HasPrefix(err.Error(), "runclamp: refused: ") || !strings.Contains(err.Error(), want) {
		t.Errorf("%q: got %v, want %q", args, err, want)
		return
	}
	text, readErr := os.ReadFile(log)
	var line struct{ Level, Msg, Time string }
	if readErr != nil || json.Unmarshal(text, &line) != nil || line.Level != "error" || line.Msg != err.Error() {
		t.Errorf("%q: the log has %q, %v", args, text, readErr)
	}
}

func TestPassThrough(t *testing.T) {
	l := newLab(t)
	// A configuration that can't be read must not stop anybody from stopping a container.
	l.write(t, filepath.Join(l.bundle, "config.json"), "{")
	for _, args := range [][]string{
		{"--root", l.root, "--log-format=json", "state", "c1"}, {"kill", "--all", "c1", "9"}, {"delete", "--force", "c1"}, {"kill", "--x-future", "c1"},
		{"list", "-q"}, {"ps", "c1", "-ef"}, {"events", "--stats", "c1"}, {"pause", "c1"}, {"resume", "c1"}, {"features"}, {"spec"},
		{"--version"}, {"--help"},
	} {
		if got := l.mustRun(t, args...); !slices.Equal(got.Args, args) {
			t.Errorf("%q became %q", args, got.Args)
		}
	}
	if got := l.mustRun(t); !slices.Equal(got.Args, []string{"--help"}) {
		t.Errorf("no arguments became %q", got.Args)
	}
	if got := l.mustRun(t, "--help", "--help=false", "create", "c1"); !slices.Equal(got.Args, []string{"--help"}) {
		t.Errorf("--help became %q", got.Args)
	}
}

func TestCreate(t *testing.T) {
	for _, verb := range []string{"create", "run"} {
		for _, args := range [][]string{{verb, "c1"}, {verb, "--bundle", "BUNDLE", "c1"}, {verb, "-b", ".", "c1"}} {
			l := newLab(t)
			for i := range args {
				args[i] = strings.Replace(args[i], "BUNDLE", l.bundle, 1)
			}
			to := l.mustRun(t, append([]string{"--root", l.root}, args...)...)
			if want := []string{"--root=" + l.root, verb, "--bundle=" + l.bundle, "c1"}; !slices.Equal(to.Args, want) {
				t.Errorf("%q became %q", args, to.Args)
			}
			var spec specs.Spec
			if err := json.Unmarshal([]byte(to.Config), &spec); err != nil {
				t.Fatal(err)
			}
			if spec.Process.User.UID != 10001 || !spec.Process.NoNewPrivileges || !spec.Root.Readonly || len(spec.Process.Capabilities.Bounding) > 0 ||
				spec.Linux.Seccomp == nil || !strings.Contains(to.Config, `"x-unknown":1`) {
				t.Errorf("%q: the delegate got %s", args, to.Config)
			}
			if names := names(t, l.bundle); names != "config.json rootfs runclamp.json" {
				t.Errorf("the bundle has %s", names)
			}
			// Without a policy file there is no audit log, and this is where people find it.
			record, err := os.ReadFile(filepath.Join(l.bundle, "runclamp.json"))
			if err != nil || !strings.Contains(string(record), `"control":"nonRoot","detail":"uid"`) {
				t.Errorf("the record does not say what was found: %s, %v", record, err)
			}
			if leaked := l.ours(to); len(leaked) > 0 {
				t.Errorf("the delegate inherits %q", leaked)
			}
		}
	}
}

// ours are the descriptors of the delegate's that it can only have from runclamp.
func (l lab) ours(to told) []string {
	return slices.DeleteFunc(to.Descriptors, func(d string) bool { return !strings.Contains(d, l.dir) && !strings.Contains(d, "memfd:") })
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// TestCreateRefuses: with the reason in both places, and the bundle as it was.
func TestCreateRefuses(t *testing.T) {
	l := newLab(t)
	config := filepath.Join(l.bundle, "config.json")
	for _, tt := range []struct{ config, want string }{
		{dockerLike + "{}", "config.json: line 1, column"},
		{strings.Replace(dockerLike, `"root"`, `"PROCESS":{},"root"`, 1), `the key "PROCESS" differs from "process" only by case`},
		{strings.Replace(dockerLike, `"linux":{`, `"linux":{"resources":{"devices":[{"allow":true,"access":"rwm"}]},`, 1), `privileged: a privileged container, which is root on this host`},
		{strings.Replace(dockerLike, `"process":`, `"x-process":`, 1), "specification:process"},
	} {
		l.write(t, config, tt.config)
		l.mustRefuse(t, tt.want, "create", "--bundle", l.bundle, "c1")
		if text, err := os.ReadFile(config); err != nil || string(text) != tt.config {
			t.Errorf("config.json was changed to %s, %v", text, err)
		}
		if names := names(t, l.bundle); names != "config.json rootfs" {
			t.Errorf("the bundle has %s", names)
		}
	}
	l.mustRefuse(t, `unknown flag "--keep" for "create"`, "create", "--keep", "c1")
	l.mustRefuse(t, `unknown verb "init"`, "init")
	l.mustRefuse(t, "checkpoint: ", "restore", "--bundle", l.bundle, "c1")
	l.mustRefuse(t, "checkpoint: ", "checkpoint", "c1")
	l.mustRefuse(t, `container "c2" does not exist`, "start", "c2")
	if err := os.Chmod(filepath.Join(l.dir, "conf"), 0o777); err != nil {
		t.Fatal(err)
	}
	l.write(t, config, dockerLike)
	l.mustRefuse(t, "chmod go-w", "create", "--bundle", l.bundle, "c1")
	if names := names(t, l.bundle); names != "config.json rootfs" {
		t.Errorf("no delegate, and the bundle has %s", names)
	}
}

func TestStart(t *testing.T) {
	l := newLab(t)
	l.mustRefuse(t, "no record of runclamp's in the bundle", "start", "c1")
	l.mustRun(t, "--root", l.root, "create", "c1")
	if to := l.mustRun(t, "--root", l.root, "start", "c1"); !slices.Equal(to.Args, []string{"--root=" + l.root, "start", "c1"}) {
		t.Errorf("%q", to.Args)
	}
	l.write(t, filepath.Join(l.bundle, "config.json"), dockerLike)
	l.mustRefuse(t, "changed after create", "start", "c1")
}

func TestExec(t *testing.T) {
	l := newLab(t)
	l.mustRun(t, "--root", l.root, "create", "c1")
	asked := filepath.Join(l.dir, "process.json")
	l.write(t, asked, `{"user":{"uid":0,"gid":0},"args":["id"],"env":["A=b"],"cwd":"/x","terminal":true,"capabilities":{"bounding":["CAP_SYS_ADMIN"]},"apparmorProfile":"unconfined"}`)
	const held = `{"user":{"uid":10001,"gid":10001},"args":["id"],"env":["A=b","HOME=/tmp"],"cwd":"/x","capabilities":{"bounding":[]},"noNewPrivileges":true,"rlimits":[{"type":"RLIMIT_CORE","hard":0,"soft":0}],"terminal":true}`
	flags := strings.NewReplacer(`"id"`, `"sh","-c","--tty"`, `"A=b","HOME=/tmp"`, `"PATH=/bin","HOME=/tmp","A=b"`).Replace(held)
	for _, tt := range []struct {
		name          string
		args          []string
		words, handed string
	}{
		{"file", []string{"exec", "--process", asked, "--pid-file", "/p", "-d", "c1"}, "exec --detach --pid-file=/p --process=PROCESS c1", held},
		{"flags", []string{"exec", "-t", "--cwd", "/x", "-e", "A=b", "-u", "0:0", "--cap", "CAP_SYS_ADMIN", "--no-new-privs=false", "--apparmor", "unconfined",
			"--process-label", "x", "-g", "0", "c1", "sh", "-c", "--tty"}, "exec --process=PROCESS c1", flags},
		{"file and flags", []string{"exec", "-p", asked, "--user", "0", "--cap", "CAP_SYS_ADMIN", "--ignore-paused", "c1"}, "exec --ignore-paused --process=PROCESS c1", held},
	} {
		t.Run(tt.name, func(t *testing.T) {
			to := l.mustRun(t, append([]string{"--root", l.root}, tt.args...)...)
			var handed string
			for i, a := range to.Args {
				if path, ok := strings.CutPrefix(a, "--process="); ok {
					handed = path
					to.Args[i] = "--process=PROCESS"
				}
			}
			if got := strings.Join(to.Args[1:], " "); got != tt.words {
				t.Errorf("\ngot  %s\nwant %s", got, tt.words)
			}
			if to.Process != tt.handed+"; written: false" {
				t.Errorf("handed over\n%s, want\n%s", to.Process, tt.handed)
			}
			if ours := l.ours(to); len(ours) != 1 || ours[0] != strings.TrimPrefix(handed, "/proc/self/fd/")+" /memfd:process (deleted)" {
				t.Errorf("by %s, with the descriptors %q", handed, ours)
			}
		})
	}

	t.Run("preserve-fds", func(t *testing.T) {
		to := l.mustRun(t, "--root", l.root, "exec", "-p", asked, "--preserve-fds", "400", "c1")
		if !slices.Contains(to.Args, "--process=/proc/self/fd/403") {
			t.Errorf("%q: the document is among the descriptors that the container gets", to.Args)
		}
	})
	t.Run("no record", func(t *testing.T) {
		if err := os.Rename(filepath.Join(l.bundle, "runclamp.json"), filepath.Join(l.dir, "kept")); err != nil {
			t.Fatal(err)
		}
		if to := l.mustRun(t, "--root", l.root, "exec", "-p", asked, "c1"); to.Process != held+"; written: false" {
			t.Errorf("handed over %s", to.Process)
		}
		if err := os.Rename(filepath.Join(l.dir, "kept"), filepath.Join(l.bundle, "runclamp.json")); err != nil {
			t.Fatal(err)
		}
	})

	l.mustRefuse(t, `both -p and a command ("id")`, "exec", "-p", asked, "c1", "id")
	l.mustRefuse(t, "there is no command to run", "exec", "c1")
	l.mustRefuse(t, "process.json: open /no/such", "exec", "-p", "/no/such", "c1")
	l.mustRefuse(t, "/dev/null is not a regular file: write the process to one", "exec", "-p", "/dev/null", "c1")
	l.mustRefuse(t, `--preserve-fds is "-1"`, "exec", "--preserve-fds", "-1", "c1", "id")
	for text, want := range map[string]string{
		`{"args":["id"]}{}`: "something follows", `null`: "it is null", `{"User":{}}`: "only by case", `[]`: "wanted an object, found a list",
		fmt.Sprintf(`{"args":["%s"]}`, strings.Repeat("x", maxProcess)): "larger than 4 MiB",
	} {
		l.write(t, asked, text)
		l.mustRefuse(t, want, "exec", "-p", asked, "c1")
	}
	l.write(t, filepath.Join(l.root, "c1", "state.json"), `{"config":{"labels":["bundle=/evil","bundle=`+l.bundle+`"]}}`)
	l.mustRefuse(t, "more than one label", "exec", "c1", "id")
}

// TestBeside: what the command line and the environment would give a container that has no word of it in its configuration.
func TestBeside(t *testing.T) {
	l := newLab(t)
	for want, args := range map[string][]string{
		"specification:no-pivot: ":       {"create", "--no-pivot", "--bundle", l.bundle, "c1"},
		"specification:no-new-keyring: ": {"run", "--no-new-keyring", "--bundle", l.bundle, "c1"},
		"specification:preserve-fds: ":   {"create", "--preserve-fds", "1", "--bundle", l.bundle, "c1"},
	} {
		l.mustRefuse(t, want, args...)
	}
	l.mustRun(t, "--root", l.root, "create", "--no-pivot=false", "--preserve-fds", "0", "--bundle", l.bundle, "c1")
	for name, want := range map[string]string{"LISTEN_FDS=1": "specification:LISTEN_FDS: ", "NOTIFY_SOCKET=/run/notify": "specification:NOTIFY_SOCKET: "} {
		key, value, _ := strings.Cut(name, "=")
		t.Setenv(key, value)
		l.mustRefuse(t, want, "create", "--bundle", l.bundle, "c1")
		t.Setenv(key, "")
	}
	l.mustRun(t, "--root", l.root, "create", "--bundle", l.bundle, "c1")
}
