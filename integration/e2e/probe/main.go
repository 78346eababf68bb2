// The program in the containers of the end-to-end tests. It tells what the kernel says of it, as JSON.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Seen is what a process sees of itself. The tests have the same type.
type seen struct {
	// Status has the lines of /proc/self/status.
	Status map[string]string
	Env    []string
	Cwd    string
	// Descriptors are those that the process was started with.
	Descriptors []string
	// Mounts are the mount points, with their options and whether this user can make a file there.
	Mounts []mount
	Args   []string
	TTY    bool
	// Sockets are the families of sockets that no filter denies.
	Sockets []string
}

type mount struct {
	Point, Type, Options string
	Writable             bool
	// Exec: a program that was written there could be run.
	Exec bool
}

func main() {
	s, err := look()
	if err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(s); err != nil {
		os.Exit(1)
	}
}

func look() (s seen, err error) {
	// First of all, before this program opens anything of its own that stays open: Go's runtime and this listing have theirs.
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return s, err
	}
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || strings.HasPrefix(target, "/proc/") || strings.HasPrefix(target, "/sys/fs/cgroup/") || strings.HasPrefix(target, "anon_inode:[event") {
			continue
		}
		s.Descriptors = append(s.Descriptors, e.Name())
	}
	s.Args, s.Env, s.Status = os.Args[1:], os.Environ(), map[string]string{}
	if s.Cwd, err = os.Getwd(); err != nil {
		return s, err
	}
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return s, err
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		s.Status[key] = strings.Join(strings.Fields(value), " ")
	}
	_, err = unix.IoctlGetTermios(1, unix.TCGETS)
	s.TTY = err == nil
	s.Sockets = sockets()
	s.Mounts, err = mounts()
	return s, err
}

// sockets tries families that programs have, and two that Docker's profile denies: with EPERM, as Docker's default, or with ENOSYS, as Podman's.
// A kernel without one of them says so with another error.
func sockets() []string {
	var found []string
	for _, family := range []struct {
		name         string
		domain, kind int
	}{
		{"alg", unix.AF_ALG, unix.SOCK_SEQPACKET}, {"inet", unix.AF_INET, unix.SOCK_STREAM}, {"inet6", unix.AF_INET6, unix.SOCK_DGRAM},
		{"netlink", unix.AF_NETLINK, unix.SOCK_RAW}, {"unix", unix.AF_UNIX, unix.SOCK_STREAM}, {"vsock", unix.AF_VSOCK, unix.SOCK_STREAM},
	} {
		fd, err := unix.Socket(family.domain, family.kind, 0)
		if err == nil {
			err = unix.Close(fd)
		}
		if err != unix.EPERM && err != unix.ENOSYS {
			found = append(found, family.name)
		}
	}
	return found
}

func mounts() ([]mount, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var all []mount
	for line := range strings.Lines(string(text)) {
		left, right, ok := strings.Cut(line, " - ")
		fields := strings.Fields(left)
		if !ok || len(fields) < 6 {
			return nil, fmt.Errorf("mountinfo: %q", line)
		}
		m := mount{Point: fields[4], Options: fields[5], Type: strings.Fields(right)[0]}
		m.Writable, m.Exec = canWrite(m.Point)
		all = append(all, m)
	}
	return all, nil
}

// canWrite tries: a folder by making a file in it, a file by opening it for writing. What is a device there stands for
// "masked" (/dev/null is bound over the file), and nothing that is written to it stays.
func canWrite(path string) (write, exec bool) {
	info, err := os.Stat(path)
	switch {
	case err != nil || info.Mode()&os.ModeDevice != 0:
		return false, false
	case !info.IsDir():
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return false, false
		}
		return f.Close() == nil, false
	}
	try := filepath.Join(path, fmt.Sprintf("probe-%d", os.Getpid()))
	f, err := os.OpenFile(try, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return false, false
	}
	var st unix.Statfs_t
	err = unix.Fstatfs(int(f.Fd()), &st)
	return f.Close() == nil && os.Remove(try) == nil, err != nil || st.Flags&unix.MS_NOEXEC == 0
}
