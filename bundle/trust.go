package bundle

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is how many links the kernel follows in one path (path_resolution(7)).
const maxLinks = 40

// Trusted resolves an absolute path, and makes sure that nobody but root can change where it leads: every folder on the way,
// through all links, belongs to root and is written by nobody else. The file at its end is not looked at.
func Trusted(path string) (string, error) { return resolved(path, OnlyRoots) }

// resolved is an absolute path without links. Each folder on the way is shown to good. Links of procfs are not followed: for the
// delegate, which is another process, they lead elsewhere (/proc/self/cwd).
func resolved(path string, good func(folder string, st unix.Stat_t) error) (resolved string, err error) {
	resolved = "/"
	var st unix.Stat_t
	if err := unix.Lstat(resolved, &st); err != nil {
		return "", fmt.Errorf("%s: %w", resolved, err)
	}
	if err := good(resolved, st); err != nil {
		return "", err
	}
	rest := strings.Split(filepath.Clean(path), "/")
	for links := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			resolved = filepath.Dir(resolved)
			continue
		}
		next := filepath.Join(resolved, part)
		if err := unix.Lstat(next, &st); err != nil {
			return "", fmt.Errorf("%s: %w", next, err)
		}
		if st.Mode&unix.S_IFMT == unix.S_IFLNK {
			if links++; links > maxLinks {
				return "", fmt.Errorf("%s: %w", path, unix.ELOOP)
			}
			var on unix.Statfs_t
			if err := unix.Statfs(resolved, &on); err != nil {
				return "", fmt.Errorf("%s: %w", resolved, err)
			}
			if on.Type == unix.PROC_SUPER_MAGIC {
				// They don't lead where their text says (proc(5), /proc/pid/root).
				return "", fmt.Errorf("%s is a link of procfs, which leads elsewhere for every process", next)
			}
			target, err := os.Readlink(next)
			if err != nil {
				return "", err
			}
			if filepath.IsAbs(target) {
				resolved = "/"
			}
			rest = append(strings.Split(target, "/"), rest...)
			continue
		}
		resolved = next
		if len(rest) > 0 {
			if err := good(resolved, st); err != nil {
				return "", err
			}
		}
	}
	return resolved, nil
}

// OnlyRoots: owned by root, and written by nobody else. A sticky bit does not help: others may add files of their own.
func OnlyRoots(path string, st unix.Stat_t) error {
	if st.Uid != 0 {
		return fmt.Errorf("%s belongs to UID %d, and must be root's: chown root %s", path, st.Uid, path)
	}
	if st.Mode&0o022 != 0 {
		return fmt.Errorf("%s can be written by others than root (mode %04o): chmod go-w %s", path, st.Mode&0o7777, path)
	}
	return nil
}
