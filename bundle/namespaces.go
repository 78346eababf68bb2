package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"

	"runclamp/enforce"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// inode names a namespace (namespaces(7), The /proc/pid/ns/ directory).
type inode struct{ device, number uint64 }

// namespaces says of each path in linux.namespaces whether one of the host's own is behind it.
func (h Host) namespaces(linux *specs.Linux) (map[string]enforce.Namespace, error) {
	if linux == nil {
		return nil, nil
	}
	var hosts map[inode]bool
	var found map[string]enforce.Namespace
	for _, ns := range linux.Namespaces {
		if ns.Path == "" {
			continue
		}
		if found == nil {
			var err error
			if hosts, err = h.ownNamespaces(); err != nil {
				return nil, err
			}
			found = map[string]enforce.Namespace{}
		}
		id, err := h.namespaceAt(ns.Path)
		if err != nil {
			found[ns.Path] = enforce.Namespace{Problem: err.Error()}
			continue
		}
		found[ns.Path] = enforce.Namespace{Host: hosts[id]}
	}
	return found, nil
}

// ownNamespaces are the host's: those of its first process, and those that runclamp itself runs in. They are the same, unless
// the engine is in a container or rootless, and then those of the first process may not be ours to see (ptrace(2), access mode
// checking).
func (h Host) ownNamespaces() (map[inode]bool, error) {
	own := map[inode]bool{}
	for _, process := range []string{"1", "self"} {
		for _, name := range []string{"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"} {
			path := filepath.Join(h.Proc, process, "ns", name)
			var st unix.Stat_t
			err := unix.Stat(path, &st)
			switch {
			case errors.Is(err, fs.ErrNotExist): // a type that this kernel does not have
			case process == "1" && errors.Is(err, fs.ErrPermission):
			case err != nil:
				return nil, fmt.Errorf("the host's own namespaces: %s: %w", path, err)
			default:
				own[inode{st.Dev, st.Ino}] = true
			}
		}
	}
	if len(own) == 0 {
		return nil, fmt.Errorf("the host's own namespaces can't be told: is procfs mounted on %s?", h.Proc)
	}
	return own, nil
}

// ofProcess: /proc/<pid>/ns/<type>, or that of a thread.
func ofProcess(path string) bool {
	return regexp.MustCompile(`^/proc/[1-9][0-9]*/(task/[1-9][0-9]*/)?ns/[a-z_]+$`).MatchString(path)
}

// namespaceAt is the namespace behind a path. The path must be a process's own, or one that only root can lead elsewhere:
// the delegate opens it once more.
func (h Host) namespaceAt(path string) (id inode, err error) {
	if !filepath.IsAbs(path) {
		return id, fmt.Errorf("%q is not an absolute path", path)
	}
	if !ofProcess(path) && !h.UserNamespace {
		if _, err := Trusted(path); err != nil {
			return id, err
		}
	}
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return id, fmt.Errorf("%s: %w", path, err)
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	var st unix.Stat_t
	var on unix.Statfs_t
	if err := errors.Join(unix.Fstat(fd, &st), unix.Fstatfs(fd, &on)); err != nil {
		return id, fmt.Errorf("%s: %w", path, err)
	}
	if on.Type != unix.NSFS_MAGIC {
		return id, fmt.Errorf("%s is not a namespace", path)
	}
	return inode{st.Dev, st.Ino}, nil
}
