package shim

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// handOver puts a document into memory where nobody can change it any more, and returns the path by which the delegate
// reads it. No temporary file exists, so none is left behind and none can be swapped.
//
// The descriptor survives the execve, and its number is at least lowest: below are those that the delegate passes on to
// the container (--preserve-fds, LISTEN_FDS). The delegate marks all others close-on-exec before the container's program
// starts (runc, libcontainer/utils.CloseExecFrom), so it does not leak into the container.
func handOver(name string, text []byte, lowest int) (path string, err error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return "", fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(text); err != nil {
		return "", fmt.Errorf("writing the %s: %w", name, err)
	}
	const sealed = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, sealed); err != nil {
		return "", fmt.Errorf("sealing the %s: %w", name, err)
	}
	kept, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD, lowest)
	if err != nil {
		return "", fmt.Errorf("no descriptor from %d on for the %s: %w", lowest, name, err)
	}
	return fmt.Sprintf("/proc/self/fd/%d", kept), nil
}
