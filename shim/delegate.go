package shim

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// delegate is the runtime that is handed over to: found, checked and open.
type delegate struct {
	path string
	file *os.File
}

// delegate finds the delegate: the link "delegate" in the configuration folder, else runc where distributions put it. The
// first that exists is taken, and one that fails a check is an error: passing it over would run another than was meant.
func (r Runtime) delegate() (delegate, error) {
	link := filepath.Join(r.ConfDir, "delegate")
	candidates := []string{link, "/usr/local/sbin/runc", "/usr/sbin/runc", "/usr/bin/runc"}
	for _, c := range candidates {
		_, err := os.Lstat(c)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return delegate{}, fmt.Errorf("the delegate: %w", err)
		}
		d, err := openDelegate(c)
		if err != nil {
			return delegate{}, fmt.Errorf("the delegate %s: %w", c, err)
		}
		return d, nil
	}
	return delegate{}, fmt.Errorf("no runc at %s: install it, or link %s to it", strings.Join(candidates[1:], ", "), link)
}

// openDelegate opens a program once, and judges what it has opened. Nobody but root may be able to change it, or what its
// name leads to.
func openDelegate(path string) (delegate, error) {
	target, err := trusted(path)
	rootless := err != nil && inUserNamespace()
	if rootless {
		// A rootless engine's root is not the host's, so who owns what can't be told. There runclamp is a guard rail.
		target, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return delegate{}, err
	}
	fd, err := unix.Open(target, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return delegate{}, err
	}
	d := delegate{path: target, file: os.NewFile(uintptr(fd), target)}
	if err := d.check(rootless); err != nil {
		return delegate{}, errors.Join(err, d.file.Close())
	}
	return d, nil
}

func (d delegate) check(rootless bool) error {
	var st, self unix.Stat_t
	if err := unix.Fstat(int(d.file.Fd()), &st); err != nil {
		return err
	}
	if err := unix.Stat("/proc/self/exe", &self); err != nil {
		return fmt.Errorf("finding out what runs now: %w", err)
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return errors.New("it is not a regular file")
	case st.Mode&0o111 == 0:
		return errors.New("it is not executable: chmod +x it")
	case st.Dev == self.Dev && st.Ino == self.Ino:
		return errors.New("it is runclamp itself: link it to the real runc")
	case rootless:
		return nil
	}
	return onlyRoots(d.path, st)
}

// inUserNamespace: not the initial one, which maps every ID to itself (user_namespaces(7)). What can't be read is taken for
// the initial one, where the checks hold.
func inUserNamespace() bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && strings.Join(strings.Fields(string(text)), " ") != "0 0 4294967295"
}

// exec becomes the delegate. It returns only if that fails.
//
// It is executed by its descriptor, so that it is the file that was checked. By /proc/self/fd and syscall.Exec and not by
// execveat(2), because Go raises the soft limit of open files at its start, and only syscall.Exec puts it back: the
// container would inherit it.
func (d delegate) exec(args, env []string) error {
	argv := append([]string{d.path}, args...)
	err := syscall.Exec(fmt.Sprintf("/proc/self/fd/%d", d.file.Fd()), argv, env)
	return fmt.Errorf("the delegate %s can't be executed: %w", d.path, err)
}

// ThisHost asks the kernel.
func ThisHost() Host {
	return Host{EUID: os.Geteuid(), UserNamespace: inUserNamespace(), Env: os.Environ()}
}
