package bundle

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"runclamp/enforce"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// hooks are the programs that a configuration's hooks would run.
func (h Host) hooks(all *specs.Hooks) map[string]enforce.Hook {
	found := map[string]enforce.Hook{}
	for _, list := range enforce.AllHooks(all) {
		for _, hook := range list {
			if _, ok := found[hook.Path]; ok {
				continue
			}
			path, err := h.program(hook.Path)
			program := enforce.Hook{Path: path}
			if err != nil {
				program.Problem = err.Error()
			}
			found[hook.Path] = program
		}
	}
	return found
}

// program resolves the path of a program, and makes sure that nobody but root can change what is there.
func (h Host) program(path string) (string, error) {
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("%q is not an absolute path", path)
	}
	if pid, ok := executable(path); ok {
		return h.executed(path, pid)
	}
	resolved, _, err := h.resolved(path)
	return resolved, err
}

// executable: the path is that of the program of a process, /proc/<pid>/exe (proc(5)).
func executable(path string) (pid string, ok bool) {
	m := regexp.MustCompile(`^/proc/([1-9][0-9]*)/exe$`).FindStringSubmatch(path)
	if m == nil {
		return "", false
	}
	return m[1], true
}

// executed is the program that a process of root's was started from. The link shows the path that it has for that process, and
// leads to the program itself: in a container, /usr/bin/dockerd is a file of the image's. So it must be the one that is at
// the path here as well.
func (h Host) executed(link, pid string) (string, error) {
	var process, behind unix.Stat_t
	if err := unix.Stat(filepath.Dir(link), &process); err != nil {
		return "", fmt.Errorf("the process %s: %w", pid, err)
	}
	if process.Uid != 0 && !h.UserNamespace {
		return "", fmt.Errorf("the process %s is not root's", pid)
	}
	path, err := os.Readlink(link)
	if err != nil {
		return "", err
	}
	if err := unix.Stat(link, &behind); err != nil {
		return "", fmt.Errorf("%s: %w", link, err)
	}
	resolved, st, err := h.resolved(path)
	if err != nil {
		return resolved, err
	}
	if st.Dev != behind.Dev || st.Ino != behind.Ino {
		return resolved, fmt.Errorf("%s is not what the process %s was started from: restart it if it was updated", resolved, pid)
	}
	return resolved, nil
}

// resolved is a path without links, and the program that is there.
func (h Host) resolved(path string) (resolved string, st unix.Stat_t, err error) {
	resolve := Trusted
	if h.UserNamespace {
		resolve = filepath.EvalSymlinks
	}
	if resolved, err = resolve(path); err != nil {
		return "", st, err
	}
	if err := unix.Lstat(resolved, &st); err != nil {
		return resolved, st, fmt.Errorf("%s: %w", resolved, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return resolved, st, fmt.Errorf("%s is not a regular file", resolved)
	}
	if h.UserNamespace {
		return resolved, st, nil
	}
	return resolved, st, OnlyRoots(resolved, st)
}
