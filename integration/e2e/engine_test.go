package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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

	"golang.org/x/sys/unix"
)

// engine is what a test needs of an engine to hold a guarantee in it. Every container is started from the image "bb"
// (images_test.go), without a network.
type engine interface {
	where() *place
	// needs are the programs without which the engine is left out.
	needs() []string
	up() error
	down() error

	// output runs a container to its end and is what it prints; the error says what the user reads.
	output(c container) (string, error)
	// launch starts a container that goes on.
	launch(c container) (id string, err error)
	running(id string) (bool, error)
	// stop asks the process to end, kill does not ask.
	stop(id string) error
	kill(id string) error
	remove(id string) error
	// entries are the ways to run another process in a container.
	entries() []entry
	// writes are the mount points that a plain container can write to.
	writes() []string
}

// container is what a user asks for, in no engine's words.
type container struct {
	args []string
	// runtime is one of runtimes, "runclamp" if empty.
	runtime string
	// binds are SOURCE:TARGET or SOURCE:TARGET:ro.
	binds           []string
	privileged, tty bool
	// labels and annotations are KEY=VALUE.
	labels, annotations []string
	// stdin is handed to it. A terminal stays open after that.
	stdin string
}

// entry is a way to run another process in a container. On a terminal, what was typed comes back with the output.
type entry struct {
	name string
	tty  bool
	run  func(id, stdin string, args ...string) (string, error)
}

// exit is what a program ended with, if it was not 0.
type exit struct {
	status int
	text   string
}

func (e *exit) Error() string { return fmt.Sprintf("exit status %d: %s", e.status, e.text) }

func exitStatus(err error) int {
	var e *exit
	if errors.As(err, &e) {
		return e.status
	}
	return -1
}

// allEngines: the oldest that users still run with the oldest runc, and the current ones with the pinned one.
func allEngines() []engine {
	tools := os.Getenv("RUNCLAMP_E2E_TOOLS")
	old := &containerd{place: place{name: "containerd-1.6"}, program: "/usr/bin/containerd", path: system, config: configVersion2, plugin: "io.containerd.grpc.v1.cri", network: "10.98."}
	current := &containerd{place: place{name: "containerd-2.4"}, program: filepath.Join(tools, "containerd"), path: tools + ":" + system, config: configVersion3, plugin: "io.containerd.cri.v1.runtime", network: "10.99."}
	oldest, pinned := "/usr/sbin/runc", filepath.Join(tools, "runc")
	old.delegate, current.delegate = oldest, pinned
	return []engine{
		&docker{place: place{name: "docker-20.10", delegate: oldest}, dockerd: "/usr/sbin/dockerd", path: system},
		&docker{place: place{name: "docker-current", delegate: pinned}, dockerd: filepath.Join(tools, "dockerd"), path: tools + ":" + system},
		&cri{containerd: old},
		&cri{containerd: current},
		&ctr{containerd: old},
		&ctr{containerd: current},
		&podman{place: place{name: "podman-4.3", delegate: oldest}},
		&podman{place: place{name: "podman-4.3, current runc", delegate: pinned}},
	}
}

const system = "/usr/sbin:/usr/bin:/sbin:/bin"

// name of an engine: the same daemon serves two of them.
func name(e engine) string {
	if _, ok := e.(*ctr); ok {
		return "ctr, " + e.where().name
	}
	return e.where().name
}

// lazy is an engine that is started when the first test asks for it, and then shared by all of them.
type lazy struct {
	engine
	start sync.Once
	begun bool
	err   error
}

func (l *lazy) started(t *testing.T) engine {
	t.Helper()
	l.start.Do(func() {
		l.begun = true
		if l.err = l.up(); l.err != nil {
			l.where().showLog()
		}
	})
	if l.err != nil {
		t.Fatalf("%s does not start: %v", name(l.engine), l.err)
	}
	return l.engine
}

// engines are those whose programs are there.
var engines []*lazy

func TestMain(m *testing.M) { os.Exit(withEngines(m)) }

func withEngines(m *testing.M) (status int) {
	if os.Geteuid() != 0 {
		fmt.Println("e2e: FAILED: engines need root")
		return 1
	}
	if err := sweep(); err != nil {
		fmt.Println("e2e: FAILED to clean up after an earlier run:", err)
		return 1
	}
	var leftOut []string
	for _, e := range allEngines() {
		if missing := missing(e.needs()); len(missing) > 0 {
			leftOut = append(leftOut, fmt.Sprintf("%s: no %s (integration/e2e/setup.sh puts it there)", name(e), strings.Join(missing, ", ")))
			continue
		}
		engines = append(engines, &lazy{engine: e})
	}
	status = m.Run()
	if err := shutDown(status != 0); err != nil {
		fmt.Println("e2e: FAILED to clean up:", err)
		status = 1
	}
	for _, l := range leftOut {
		fmt.Println("e2e: LEFT OUT:", l)
	}
	if len(leftOut) > 0 && os.Getenv("RUNCLAMP_E2E_ALL") != "" {
		fmt.Println("e2e: FAILED: RUNCLAMP_E2E_ALL is set, and something was left out")
		status = 1
	}
	return status
}

// missing are the programs that can't be found, or looked at.
func missing(programs []string) []string {
	return slices.DeleteFunc(slices.Clone(programs), func(p string) bool {
		_, err := os.Stat(p)
		return err == nil
	})
}

func shutDown(showLogs bool) error {
	if showLogs {
		shown := map[string]bool{}
		for _, e := range engines {
			if dir := e.where().dir; e.begun && !shown[dir] {
				shown[dir] = true
				e.where().showLog()
			}
		}
	}
	errs := make([]error, len(engines))
	var all sync.WaitGroup
	for i, e := range engines {
		if !e.begun {
			continue
		}
		all.Go(func() {
			if err := e.down(); err != nil {
				errs[i] = fmt.Errorf("%s: %w", name(e.engine), err)
			}
		})
	}
	all.Wait()
	return errors.Join(errors.Join(errs...), images.remove())
}

// forEachEngine runs a test in all engines at once.
func forEachEngine(t *testing.T, f func(t *testing.T, e engine)) { forEach(t, f) }

func forEachDocker(t *testing.T, f func(t *testing.T, d *docker)) { forEach(t, f) }

func forEachCRI(t *testing.T, f func(t *testing.T, c *cri)) { forEach(t, f) }

func forEach[E engine](t *testing.T, f func(t *testing.T, e E)) {
	t.Helper()
	none := true
	for _, l := range engines {
		if _, ok := l.engine.(E); !ok {
			continue
		}
		none = false
		t.Run(name(l.engine), func(t *testing.T) {
			t.Parallel()
			f(t, l.started(t).(E))
		})
	}
	if none {
		t.Fatal("there is no engine to test with")
	}
}

// start launches a container that is gone after the test.
func start(t *testing.T, e engine, c container) (id string) {
	t.Helper()
	id, err := e.launch(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.remove(id); err != nil {
			t.Error(err)
		}
	})
	return id
}

func mustOutput(t *testing.T, e engine, c container) string {
	t.Helper()
	out, err := e.output(c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// place is where an engine lives: a folder of root's own, and in it a runclamp that has its configuration there and hands
// over to the engine's runc.
type place struct {
	name string
	// delegate is the runc that is copied to runc, so that a test may spoil it.
	delegate string
	// dir has all that the engine has. Its last component is the name of the cgroup that the containers are in.
	dir, runclamp, conf, runc string
	// lock is held as long as the tests run. The kernel releases it however they end, which is how the next run knows.
	lock *os.File
}

const (
	placePattern = "/var/lib/runclamp-e2e-"
	// mark is in the environment of every process that is started for a place, and of their children that are not containers.
	mark = "RUNCLAMP_E2E_PLACE="
)

func (p *place) where() *place { return p }

func (p *place) cgroup() string { return "/" + filepath.Base(p.dir) }

func (p *place) file(elements ...string) string {
	return filepath.Join(append([]string{p.dir}, elements...)...)
}

func (p *place) environ(more ...string) []string {
	return append(append(os.Environ(), mark+p.dir), more...)
}

// create makes the folder, locked.
func (p *place) create() (err error) {
	if p.dir, err = os.MkdirTemp(filepath.Dir(placePattern), filepath.Base(placePattern)); err != nil {
		return err
	}
	if p.lock, err = os.Create(p.file("lock.new")); err != nil {
		return err
	}
	return errors.Join(
		unix.Flock(int(p.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB),
		// A folder without a lock is one that is being made. It is not swept.
		os.Rename(p.file("lock.new"), p.file("lock")),
		os.Chmod(p.dir, 0o755))
}

// install puts runc and runclamp there.
func (p *place) install() error {
	p.runclamp, p.conf, p.runc = p.file("runclamp"), p.file("conf"), p.file("runc")
	return errors.Join(
		os.Mkdir(p.conf, 0o755),
		os.Mkdir(p.file("recorded"), 0o755),
		run("install", "-m", "0755", p.delegate, p.runc),
		os.Symlink(p.runc, filepath.Join(p.conf, "delegate")),
		build("../..", p.runclamp, "-ldflags", "-X main.confDir="+p.conf+" -X main.runDir="+p.file("runclamp-run"), "./cmd/runclamp"),
		p.installPolicies())
}

// runtimes are the names under which runclamp is known to an engine, and what they stand for.
func (p *place) runtimes() map[string]string {
	all := map[string]string{"runclamp": p.runclamp, "runc": p.runc, "record": p.file("record"), "record-audit": p.file("record-audit")}
	for name := range policies(p.dir) {
		if name != "policy" {
			all["runclamp-"+name] = p.file("runclamp-" + name)
		}
	}
	return all
}

// installPolicies writes the policy files, and the links and scripts that are runtimes.
func (p *place) installPolicies() error {
	errs := []error{
		os.WriteFile(p.file("record"), []byte(fmt.Sprintf(recordScript, p.dir, p.runclamp)), 0o755),
		os.WriteFile(p.file("record-audit"), []byte(fmt.Sprintf(recordAuditScript, p.dir)), 0o755),
	}
	for name, text := range policies(p.dir) {
		errs = append(errs, p.writePolicy(name, text))
		if name != "policy" {
			errs = append(errs, os.Symlink("runclamp", p.file("runclamp-"+name)))
		}
	}
	return errors.Join(errs...)
}

// writePolicy puts a policy file in the place of another at once.
func (p *place) writePolicy(name, text string) error {
	path := filepath.Join(p.conf, name+".yaml")
	return errors.Join(os.WriteFile(path+".new", []byte(text), 0o644), os.Rename(path+".new", path))
}

// recordScript is a runtime that keeps what the engine sent, and then is runclamp.
const recordScript = `#!/bin/sh
previous=
for word in "$@"; do
    case $previous in
    --bundle) cp "$word/config.json" %[1]s/recorded/config.json ;;
    --process) cp "$word" %[1]s/recorded/process.json ;;
    esac
    previous=$word
done
exec %[2]s "$@"
`

// recordAuditScript is a runtime that keeps the configuration before and after runclamp's create, by container.
const recordAuditScript = `#!/bin/sh
bundle= previous=
for word in "$@"; do
    case $previous in
    --bundle | -b) bundle=$word ;;
    esac
    previous=$word
done
[ -n "$bundle" ] || exec %[1]s/runclamp-audit "$@"
cp "$bundle/config.json" "%[1]s/recorded/$previous-before"
%[1]s/runclamp-audit "$@"
status=$?
cp "$bundle/config.json" "%[1]s/recorded/$previous-after"
exit $status
`

func (p *place) showLog() {
	text, err := os.ReadFile(p.file("log"))
	if err != nil {
		return // it has no daemon
	}
	lines := strings.Split(string(text), "\n")
	fmt.Printf("--- the last lines of %s\n%s\n", p.name, strings.Join(lines[max(0, len(lines)-40):], "\n"))
}

// wipe takes away all that is left of a place: processes, mounts, cgroups, files. What was ended in an orderly way has no
// processes any more; that there are some is then a defect.
func (p *place) wipe(orderly bool) error {
	if p.dir == "" {
		return nil
	}
	var errs []error
	left := processes(p.dir)
	for deadline := time.Now().Add(patience); orderly && len(left) > 0 && time.Now().Before(deadline); left = processes(p.dir) {
		<-time.After(50 * time.Millisecond)
	}
	if orderly && len(left) > 0 {
		errs = append(errs, fmt.Errorf("still there after the end: %v", left))
	}
	for deadline := time.Now().Add(patience); len(left) > 0; left = processes(p.dir) {
		if time.Now().After(deadline) {
			return errors.Join(append(errs, fmt.Errorf("can't be killed: %v", left))...)
		}
		for pid := range left {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				errs = append(errs, err)
			}
		}
		<-time.After(50 * time.Millisecond)
	}
	errs = append(errs, removeSockets(p.dir), unmountBelow(p.dir), removeCgroups(filepath.Base(p.dir)), os.RemoveAll(p.dir))
	if p.lock != nil {
		errs = append(errs, p.lock.Close())
	}
	return errors.Join(errs...)
}

// sweep removes the places of runs that were killed. A place whose lock is held, or that has none, is somebody else's.
func sweep() error {
	dirs, err := filepath.Glob(placePattern + "*")
	errs := []error{err}
	for _, dir := range dirs {
		lock, err := os.Open(filepath.Join(dir, "lock"))
		if err != nil {
			continue
		}
		if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			errs = append(errs, lock.Close())
			continue
		}
		fmt.Println("e2e: removing what an earlier run has left:", dir)
		errs = append(errs, (&place{dir: dir, lock: lock}).wipe(false))
	}
	return errors.Join(errs...)
}

// processes are those of a place, with their command lines: what has its mark, and what is in its cgroup.
func processes(dir string) map[int]string {
	found := map[int]string{}
	add := func(pid string) {
		n, err := strconv.Atoi(pid)
		if err != nil {
			return
		}
		line, err := os.ReadFile(filepath.Join("/proc", pid, "cmdline"))
		if err == nil && len(line) > 0 { // a zombie has none
			found[n] = string(bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
		}
	}
	// Processes come and go: what can't be read is not there any more.
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, e := range environs {
		text, err := os.ReadFile(e)
		if err == nil && slices.Contains(strings.Split(string(text), "\x00"), mark+dir) {
			add(filepath.Base(filepath.Dir(e)))
		}
	}
	for _, folder := range cgroups(filepath.Base(dir)) {
		text, err := os.ReadFile(filepath.Join(folder, "cgroup.procs"))
		if err != nil {
			continue
		}
		for _, pid := range strings.Fields(string(text)) {
			add(pid)
		}
	}
	return found
}

// cgroups are the folders of that name and all below, those below first, in every hierarchy.
func cgroups(name string) []string {
	var all []string
	for _, pattern := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
		tops, _ := filepath.Glob(filepath.Join(pattern, name))
		for _, top := range tops {
			_ = filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					all = append(all, path)
				}
				return nil // it went away meanwhile
			})
		}
	}
	slices.Reverse(all)
	return all
}

func removeCgroups(name string) error {
	var errs []error
	for _, folder := range cgroups(name) {
		if err := os.Remove(folder); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// removeSockets takes away those of the shims, which lie in a folder that all containerds share. A shim that was killed
// leaves its socket behind.
func removeSockets(dir string) error {
	var errs []error
	for _, name := range []string{"address", "bootstrap.json"} {
		for _, state := range []string{"state", "exec/containerd/daemon"} {
			files, err := filepath.Glob(filepath.Join(dir, state, "io.containerd.runtime.v2.task/*/*", name))
			errs = append(errs, err)
			for _, file := range files {
				text, err := os.ReadFile(file)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				if socket := shimSocket.Find(text); socket != nil {
					if err := os.Remove(string(socket)); err != nil && !errors.Is(err, os.ErrNotExist) {
						errs = append(errs, err)
					}
				}
			}
		}
	}
	return errors.Join(errs...)
}

var shimSocket = regexp.MustCompile("/run/containerd/s/[0-9a-f]{64}")

// unmountBelow takes away what is mounted in a folder, the last first.
func unmountBelow(dir string) error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	errs := []error{err}
	for _, line := range slices.Backward(strings.Split(string(mounts), "\n")) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], dir+"/") {
			if err := unix.Unmount(fields[1], unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// daemon is a program that was started for a place.
type daemon struct {
	cmd    *exec.Cmd
	exited chan error
}

func (p *place) startDaemon(path string, argv ...string) (*daemon, error) {
	log, err := os.Create(p.file("log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	d := &daemon{exec.Command(argv[0], argv[1:]...), make(chan error, 1)}
	// An old client is good enough for a current dockerd, if the daemon may say so.
	d.cmd.Env = p.environ("PATH="+path, "DOCKER_MIN_API_VERSION=1.40")
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGTERM}
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { d.exited <- d.cmd.Wait() }()
	return d, nil
}

// ready waits until the daemon answers.
func (d *daemon) ready(answers func() error) error {
	for deadline := time.Now().Add(patience); ; {
		err := answers()
		if err == nil {
			return nil
		}
		select {
		case exit := <-d.exited:
			d.exited <- exit
			return fmt.Errorf("%s ended: %v", d.cmd.Path, exit)
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not answer: %w", d.cmd.Path, err)
		}
	}
}

func (d *daemon) stop() error {
	if d == nil {
		return nil
	}
	err := d.cmd.Process.Signal(unix.SIGTERM)
	select {
	case <-d.exited:
		return err
	case <-time.After(patience):
		return errors.Join(err, fmt.Errorf("%s does not end", d.cmd.Path), d.cmd.Process.Kill())
	}
}

// patience is how long anything may take before it is taken for what never ends. What takes a second on an idle machine takes half a minute
// on a busy one now and then, and nothing that goes well waits for this.
const patience = 5 * time.Minute

// patiently is a context for one call of an engine.
func patiently() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}

// command runs a client of an engine to its end. What it prints goes into files and not into pipes, which a container that is left
// behind would keep open.
func command(env []string, stdin string, argv ...string) (string, error) {
	ctx, cancel := patiently()
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.WaitDelay = env, 5*time.Second
	cmd.Stdin = strings.NewReader(stdin)
	stdout, stderr, err := separately(cmd)
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		err = &exit{failed.ExitCode(), string(stdout) + string(stderr)}
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
	}
	return string(stdout), err
}

// onTerminal is command on a terminal of its own. The keyboard stays open: at the end of its input, script would type an
// end of file.
func onTerminal(env []string, typed string, argv ...string) (string, error) {
	ctx, cancel := patiently()
	defer cancel()
	cmd := exec.CommandContext(ctx, "script", "-qec", shellJoin(argv), "/dev/null")
	cmd.Env = env
	read, write, err := os.Pipe()
	if err != nil {
		return "", err
	}
	_, err = write.WriteString(typed)
	cmd.Stdin = read
	out, outErr := output(cmd)
	var failed *exec.ExitError
	if errors.As(outErr, &failed) {
		outErr = &exit{failed.ExitCode(), string(out)}
	}
	if err := errors.Join(err, outErr, read.Close(), write.Close()); err != nil {
		return string(out), fmt.Errorf("%q on a terminal: %w", argv, err)
	}
	return string(out), nil
}

func shellJoin(words []string) string {
	var quoted []string
	for _, w := range words {
		quoted = append(quoted, "'"+strings.ReplaceAll(w, "'", `'\''`)+"'")
	}
	return strings.Join(quoted, " ")
}

// run calls a program to its end.
func run(program string, args ...string) error {
	cmd := exec.Command(program, args...)
	if out, err := output(cmd); err != nil {
		return fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, out)
	}
	return nil
}

// output runs a command and is what it prints, to either stream. It goes into a file and not into a pipe, which a container
// that the command leaves behind would keep open.
func output(cmd *exec.Cmd) ([]byte, error) {
	out, err := unnamed()
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Run()
	text, readErr := fromStart(out)
	return text, errors.Join(err, readErr)
}

// separately is output with one file for each stream.
func separately(cmd *exec.Cmd) (stdout, stderr []byte, err error) {
	out, err1 := unnamed()
	errOut, err2 := unnamed()
	if err := errors.Join(err1, err2); err != nil {
		return nil, nil, err
	}
	defer out.Close()
	defer errOut.Close()
	cmd.Stdout, cmd.Stderr = out, errOut
	err = cmd.Run()
	stdout, err1 = fromStart(out)
	stderr, err2 = fromStart(errOut)
	return stdout, stderr, errors.Join(err, err1, err2)
}

// unnamed is a file that is gone when nobody has it open any more, however the tests end.
func unnamed() (*os.File, error) {
	f, err := os.CreateTemp("", "runclamp-e2e-output-")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}

func fromStart(f *os.File) ([]byte, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return io.ReadAll(f)
}

// build makes a static program of a package in dir.
func build(dir, out string, args ...string) error {
	cmd := exec.Command("go", append([]string{"build", "-trimpath", "-o", out}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w: %s", strings.Join(args, " "), err, text)
	}
	return nil
}

// eventually waits for something, without guessing how long it takes.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("it did not happen: %s", what)
		}
		<-time.After(50 * time.Millisecond)
	}
}
