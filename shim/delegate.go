package shim

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"runclamp/bundle"

	"golang.org/x/sys/unix"
)

// delegate is the runtime that is handed over to: found, checked and open.
type delegate struct {
	path string
	file *os.File
	// argv0 is the name that it is called by.
	argv0 string
	// Unchecked: who owns it could not be told, because this is not the initial user namespace.
	Unchecked bool
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
		d, err := openDelegate(c, r.host.UserNamespace)
		if err != nil {
			err = fmt.Errorf("the delegate %s: %w", c, err)
			if errors.Is(err, errItself) {
				err = fmt.Errorf("%w: link %s to the real runc", err, link)
			}
			return delegate{}, err
		}
		return d, nil
	}
	return delegate{}, fmt.Errorf("no runc at %s: install it, or link %s to it", strings.Join(candidates[1:], ", "), link)
}

// errItself would be a call without end.
var errItself = errors.New("it is runclamp itself")

// openDelegate opens a program once, and judges what it has opened. Nobody but root may be able to change it, or what its
// name leads to; unchecked leaves that out. A rootless engine's root is not the host's, so who owns what can't be told there
// (user_namespaces(7)), and runclamp is a guard rail.
func openDelegate(path string, unchecked bool) (d delegate, err error) {
	resolve := bundle.Trusted
	if unchecked {
		resolve = filepath.EvalSymlinks
	}
	target, err := resolve(path)
	if err != nil {
		return delegate{}, err
	}
	// O_NONBLOCK, because it may be a FIFO.
	fd, err := unix.Open(target, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return delegate{}, fmt.Errorf("%s: %w", target, err)
	}
	d = delegate{path: target, argv0: target, file: os.NewFile(uintptr(fd), target), Unchecked: unchecked}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.file.Close())
			d = delegate{}
		}
	}()
	var st, self unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return d, fmt.Errorf("%s: %w", target, err)
	}
	if err := unix.Stat("/proc/self/exe", &self); err != nil {
		return d, fmt.Errorf("finding out what runs now: %w", err)
	}
	if err := judgeProgram(target, st, self, unchecked); err != nil {
		return d, err
	}
	var magic [2]byte
	// What is too short is for execve(2) to refuse.
	if n, err := d.file.ReadAt(magic[:], 0); n == len(magic) && string(magic[:]) == "#!" {
		// Its interpreter would look for the descriptor after it is closed (execveat(2), BUGS).
		return d, fmt.Errorf("%s is a script, which can't be executed by its descriptor: link to the program itself", target)
	} else if err != nil && !errors.Is(err, io.EOF) {
		return d, err
	}
	return d, nil
}

// judgeProgram: a program that can be handed over to. The folders above it are bundle.Trusted's.
func judgeProgram(path string, st, self unix.Stat_t, unchecked bool) error {
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return fmt.Errorf("%s is not a regular file: link to runc's program", path)
	case st.Dev == self.Dev && st.Ino == self.Ino:
		return errItself
	case st.Mode&0o111 == 0:
		return fmt.Errorf("%s is not executable: chmod +x %s", path, path)
	case unchecked:
		return nil
	}
	return bundle.OnlyRoots(path, st)
}

// inUserNamespace: not the initial one. What can't be read is taken for the initial one, where the checks hold.
func inUserNamespace() bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && !mapsAll(string(text))
}

// mapsAll: the initial namespace maps every ID to itself (user_namespaces(7)).
func mapsAll(uidMap string) bool {
	return strings.Join(strings.Fields(uidMap), " ") == "0 0 4294967295"
}

// dialect is how it reads its command line. crun is called by its own name, because by others it runs other things than
// processes: a virtual machine as krun, WebAssembly as crun-wasm (src/crun.c, fill_handler_from_argv0).
func (d *delegate) dialect() (Dialect, error) {
	dialect, err := dialectOf(d.file)
	if err != nil {
		return Dialect{}, fmt.Errorf("the delegate %s: %w", d.path, err)
	}
	if dialect.argp {
		d.argv0 = filepath.Join(filepath.Dir(d.path), dialect.Name)
	}
	return dialect, nil
}

// exec becomes the delegate. It returns only if that fails.
//
// It is executed by its descriptor, so that it is the file that was checked. By /proc/self/fd and syscall.Exec and not by
// execveat(2), because Go raises the soft limit of open files at its start, and only syscall.Exec puts it back: the
// container would inherit it.
func (d delegate) exec(args, env []string) error {
	argv := append([]string{d.argv0}, args...)
	err := syscall.Exec(fmt.Sprintf("/proc/self/fd/%d", d.file.Fd()), argv, env)
	// Until here: a file that nobody holds any more is closed at the next collection, and its number is another's.
	runtime.KeepAlive(d.file)
	return fmt.Errorf("the delegate %s can't be executed: %w", d.path, err)
}

// ThisHost asks the kernel.
func ThisHost() Host {
	// A working directory that is gone matters only to a relative --root (Host.Dir).
	dir, err := os.Getwd()
	if err != nil {
		dir = ""
	}
	return Host{EUID: os.Geteuid(), UserNamespace: inUserNamespace(), Env: os.Environ(), Dir: dir}
}

// DelegateProgram is the delegate that runclamp would hand over to, for others to call: where it is, and by which name it is to be called.
// Its name is runc's or crun's, whatever its file is called.
func DelegateProgram(confDir string) (path, argv0, name string, err error) {
	d, err := Runtime{ConfDir: confDir, host: ThisHost()}.delegate()
	if err != nil {
		return "", "", "", err
	}
	dialect, err := d.dialect()
	return d.path, d.argv0, dialect.Name, errors.Join(err, d.file.Close())
}
