// Package kubernetes has runclamp on a real Kubernetes node, as its users have it: with kubectl. `make kubernetes` runs it.
//
// The node is one on a machine of its own, as far as it can tell: its processes, its network and its mounts are in
// namespaces that nobody else is in. So runclamp is installed where the manual says, and containerd reads its configuration
// from where it always does, and yet nothing of the host's is touched. And all ends, whatever happens, when the first process
// of the namespaces does.
package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// roleVariable says which of the three processes this is: the one that go test starts and that cleans up; the first one of
	// the node's namespaces; or the one with the tests.
	roleVariable, dirVariable = "RUNCLAMP_KUBERNETES_ROLE", "RUNCLAMP_KUBERNETES_DIR"
	roleFirst, roleTests      = "first", "tests"
	// hostVariable is the host's mount namespace. In that one nothing may be mounted.
	hostVariable = "RUNCLAMP_KUBERNETES_HOST"

	dirPattern = "/var/lib/runclamp-kubernetes-"
)

func TestMain(m *testing.M) {
	var status int
	var err error
	switch os.Getenv(roleVariable) {
	case roleFirst:
		status, err = first(os.Getenv(dirVariable))
	case roleTests:
		status, err = withNode(m, os.Getenv(dirVariable))
	default:
		status, err = outside()
	}
	if err != nil {
		fmt.Println("kubernetes: FAILED:", err)
		status = max(status, 1)
	}
	os.Exit(status)
}

// outside makes the folder and the namespaces, waits, and takes away what is left of them.
func outside() (status int, err error) {
	if os.Geteuid() != 0 {
		return 1, errors.New("a node needs root")
	}
	// The signal that follows the parent's death follows that of the thread which made the child.
	runtime.LockOSThread()
	if err := sweep(); err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(dirPattern), filepath.Base(dirPattern))
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, wipe(dir)) }()
	lock, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	host, err := os.Readlink("/proc/self/ns/mnt")
	if err := errors.Join(err, os.Chmod(dir, 0o755), syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)); err != nil {
		return 1, err
	}

	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), roleVariable+"="+roleFirst, dirVariable+"="+dir, hostVariable+"="+host)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL, Setpgid: true,
	}
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// sweep takes away what was left by runs that were killed. A folder whose lock is held, or that has none yet, is another
// run's.
func sweep() error {
	dirs, err := filepath.Glob(dirPattern + "*")
	errs := []error{err}
	for _, dir := range dirs {
		lock, err := os.Open(filepath.Join(dir, "lock"))
		if err != nil {
			continue
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			fmt.Println("kubernetes: removing what an earlier run has left:", dir)
			errs = append(errs, wipe(dir))
		}
		errs = append(errs, lock.Close())
	}
	return errors.Join(errs...)
}

// wipe removes the folder and the control groups of a node whose namespaces are gone, and with them its processes and mounts.
// The kernel may need a moment to notice.
func wipe(dir string) error {
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(100 * time.Millisecond) {
		err := errors.Join(removeCgroups(filepath.Base(dir)), os.RemoveAll(dir))
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// makeCgroups makes a control group of that name in every hierarchy. The kubelet wants its root to be there.
func makeCgroups(name string) error {
	var errs []error
	tops := []string{"/sys/fs/cgroup"}
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); errors.Is(err, fs.ErrNotExist) { // version 1, cgroups(7)
		tops, err = filepath.Glob("/sys/fs/cgroup/*")
		errs = append(errs, err)
	}
	for _, top := range tops {
		if link, err := os.Readlink(top); err == nil && link != "" {
			continue // cpu and cpuacct are one, under two more names
		}
		errs = append(errs, os.MkdirAll(filepath.Join(top, name), 0o755))
	}
	return errors.Join(errs...)
}

// removeCgroups removes the control groups of that name, and those below, in every hierarchy.
func removeCgroups(name string) error {
	var folders []string
	for _, pattern := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
		tops, err := filepath.Glob(filepath.Join(pattern, name))
		if err != nil {
			return err
		}
		for _, top := range tops {
			err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					folders = append(folders, path)
				}
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	var errs []error
	for _, folder := range slices.Backward(folders) {
		if err := os.Remove(folder); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// first is process 1 of the namespaces. It makes a machine of them, and then looks after orphans, which are the shims.
func first(dir string) (status int, err error) {
	syscall.Umask(0o022) // as daemons have it
	if err := furnish(dir); err != nil {
		return 1, err
	}
	program, err := os.Executable()
	if err := errors.Join(err, os.Setenv(roleVariable, roleTests)); err != nil {
		return 1, err
	}
	tests, err := os.StartProcess(program, os.Args, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		return 1, err
	}
	for {
		var ended syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ended, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 1, err
		case pid == tests.Pid && ended.Exited():
			return ended.ExitStatus(), nil
		case pid == tests.Pid:
			return 1, fmt.Errorf("the tests were ended by the signal %v", ended.Signal())
		}
	}
}

// furnish mounts what the node's machine has of its own, and gives it a network.
func furnish(dir string) error {
	own, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return err
	}
	if own == os.Getenv(hostVariable) || os.Getpid() != 1 {
		return fmt.Errorf("process %d is in the mount namespace %s, and the host's is %s: nothing is mounted", os.Getpid(), own, os.Getenv(hostVariable))
	}
	if err := errors.Join(
		mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
		mount("proc", "/proc", "proc", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, ""),
		// Sockets, and the logs of the pods.
		mount("tmpfs", "/run", "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, "mode=0755"),
		mount("tmpfs", "/var/log", "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, "mode=0755"),
		// The host's with what is installed on top.
		overlay(dir, "/etc"),
		overlay(dir, "/usr/local"),
		pretendTuned(dir)); err != nil {
		return err
	}
	// A node has an address other than that of lo. Both ends are here; nothing leads out.
	for _, words := range []string{
		"link set lo up",
		"link add node0 type veth peer name node1",
		"address add " + nodeAddress + "/24 dev node0",
		"link set node0 up",
		"link set node1 up",
		"route add default dev node0",
	} {
		if _, err := command("", append([]string{"ip"}, strings.Fields(words)...)...); err != nil {
			return err
		}
	}
	return nil
}

func mount(source, target, kind string, flags uintptr, data string) error {
	if err := syscall.Mount(source, target, kind, flags, data); err != nil {
		return fmt.Errorf("mounting %s: %w", target, err)
	}
	return nil
}

// overlay lets changes below a folder of the host's go into one of our own.
func overlay(dir, target string) error {
	layers := filepath.Join(dir, "overlay", strings.ReplaceAll(target, "/", "_"))
	upper, work := filepath.Join(layers, "upper"), filepath.Join(layers, "work")
	return errors.Join(os.MkdirAll(upper, 0o755), os.MkdirAll(work, 0o755),
		mount("overlay", target, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", target, upper, work)))
}

// pretendTuned shows the kubelet the kernel settings that it wants. It would set them itself
// (kubernetes, pkg/kubelet/cm/container_manager_linux.go, setupKernelTunables), and they belong to no namespace.
func pretendTuned(dir string) error {
	var errs []error
	for name, value := range map[string]string{
		"vm/overcommit_memory": "1", "vm/panic_on_oom": "0", "kernel/panic": "10", "kernel/panic_on_oops": "1",
		"kernel/keys/root_maxkeys": "1000000", "kernel/keys/root_maxbytes": "25000000",
	} {
		file := filepath.Join(dir, "sys", name)
		errs = append(errs, os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(value+"\n"), 0o644),
			mount(file, filepath.Join("/proc/sys", name), "", syscall.MS_BIND, ""))
	}
	return errors.Join(errs...)
}
