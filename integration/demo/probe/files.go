package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// scratch is the folder that everybody may write, clamped or not.
const scratch = "/tmp"

// create makes a file and takes it away again.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return tidied(errors.Join(f.Close(), os.Remove(path)))
}

// openForWriting writes nothing: that it may be opened is all there is to know.
func openForWriting(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

func read(path string) error {
	_, err := os.ReadFile(path)
	return err
}

// readUnmasked reads the start of a file of the kernel's. The runtime masks such a file with /dev/null (runtime-spec,
// linux.maskedPaths), which can be opened by everybody.
func readUnmasked(path string) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var s unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &s); err != nil {
		return unmeasured{fmt.Errorf("fstat: %w", err)}
	}
	if s.Mode&unix.S_IFMT == unix.S_IFCHR && s.Rdev == unix.Mkdev(1, 3) {
		return denied("masked")
	}
	if _, err := f.Read(make([]byte, 16)); err != nil {
		return err
	}
	return nil
}

// changeMode sets the mode that the file has already.
func changeMode() error { return os.Chmod("/home/other/note", 0o644) }

// withScratch calls use with a new file of the caller's own.
func withScratch(use func(path string) error) error {
	f, err := os.CreateTemp(scratch, "scratch-")
	if err != nil {
		return unmeasured{err}
	}
	return errors.Join(use(f.Name()), tidied(errors.Join(f.Close(), os.Remove(f.Name()))))
}

func giveAway() error {
	return withScratch(func(path string) error { return os.Chown(path, other, other) })
}

// giveCapability attaches cap_net_raw to a file (capabilities(7), "File capability extended attribute versioning").
func giveCapability() error {
	const netRaw = 1 << 13
	xattr := []byte{
		0x01, 0, 0, 0x02, // VFS_CAP_REVISION_2, effective
		0x00, netRaw >> 8, 0, 0, // permitted
		0, 0, 0, 0, // inheritable
		0, 0, 0, 0, 0, 0, 0, 0, // the upper halves
	}
	return withScratch(func(path string) error { return unix.Setxattr(path, "security.capability", xattr, 0) })
}

// makeDevice makes what /dev/null is, in a folder of its own choice.
func makeDevice() error {
	path := filepath.Join(scratch, "null")
	if err := unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))); err != nil {
		return err
	}
	return tidied(os.Remove(path))
}

// openByHandle opens a file by its handle alone: with a guessed handle, one outside the container ("Shocker").
func openByHandle() (err error) {
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, "/etc/passwd", 0)
	if err != nil {
		return unmeasured{fmt.Errorf("name_to_handle_at: %w", err)}
	}
	root, err := os.Open("/")
	if err != nil {
		return unmeasured{err}
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	fd, err := unix.OpenByHandleAt(int(root.Fd()), h, unix.O_RDONLY)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// changeCgroup opens the list of a control group's processes: whoever writes there leaves the limits of his own.
func changeCgroup() error {
	for _, pattern := range []string{"/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/*/cgroup.procs"} {
		lists, err := filepath.Glob(pattern)
		if err != nil {
			return unmeasured{err}
		}
		if len(lists) > 0 {
			return openForWriting(lists[0])
		}
	}
	return unmeasured{errors.New("no control group is mounted")}
}
