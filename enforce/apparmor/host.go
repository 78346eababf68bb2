package apparmor

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Host is the machine that profiles are loaded on.
type Host struct {
	// Sys is where sysfs is mounted, and securityfs in it.
	Sys string
	// Proc is where procfs is mounted.
	Proc string
	// RunDir is where compiled profiles are kept until the next boot. It is made if need be.
	RunDir string
	// Parsers are the places of apparmor_parser, the first that is there counts.
	Parsers []string
	// Patience is how long one profile may take, waiting for others included.
	Patience time.Duration
}

// ThisHost is the machine that runs this.
func ThisHost(runDir string) Host {
	return Host{
		Sys: "/sys", Proc: "/proc", RunDir: runDir, Parsers: []string{"/usr/sbin/apparmor_parser", "/sbin/apparmor_parser"}, Patience: time.Minute,
	}
}

func (h Host) policyDir() string { return filepath.Join(h.Sys, "kernel/security/apparmor") }

// Ensure makes the kernel have a profile in enforce mode, as its text says. A profile that it has already costs a few reads.
//
// It may be called by many processes at once, and any of them may be killed at any moment: one works at a time, under a lock that
// ends with it, and what is kept is complete under its name or not there.
func (h Host) Ensure(p Profile) error {
	if h.current(p) {
		return nil
	}
	return h.load(p, false)
}

// Load loads a profile anew, whatever the kernel has under its name.
func (h Host) Load(p Profile) error { return h.load(p, true) }

func (h Host) load(p Profile, anew bool) (err error) {
	deadline := time.Now().Add(h.Patience)
	dir, err := openRunDir(h.RunDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	if err := lock(dir, deadline); err != nil {
		return err
	}
	if !anew && h.current(p) {
		return nil // somebody else was faster
	}
	compiled, err := h.compiled(dir, p, deadline)
	if err != nil {
		return err
	}
	if err := h.write(".replace", compiled); err != nil {
		return fmt.Errorf("the kernel does not take the compiled profile %s: %w", p.Name, err)
	}
	state, err := ReadState(h.Sys)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(state.Profiles, func(l Loaded) bool { return l.Name == p.Name })
	switch {
	case i < 0:
		return fmt.Errorf("%s was loaded, and the kernel does not list it", p.Name)
	case !state.Profiles[i].Enforced():
		return fmt.Errorf("%s is in mode %s, which denies nothing: take flags=(%[2]s) out of it", p.Name, state.Profiles[i].Mode)
	}
	if Ours(p.Name) {
		return nil // its name says what it has
	}
	return replaceFile(dir, stamp(p.Name), []byte(digest(p.Text)))
}

// current: the kernel has the profile in enforce mode, as it was loaded from this text.
func (h Host) current(p Profile) bool {
	state, err := ReadState(h.Sys)
	if err != nil || !slices.ContainsFunc(state.Profiles, func(l Loaded) bool { return l.Name == p.Name && l.Enforced() }) {
		return false
	}
	if Ours(p.Name) {
		return true
	}
	loaded, err := os.ReadFile(filepath.Join(h.RunDir, runSubdir, stamp(p.Name)))
	return err == nil && string(loaded) == digest(p.Text)
}

// stamp is the file that says which text a profile was loaded from. A name may have slashes.
func stamp(name string) string { return "loaded-" + digest(name) }

func digest(parts ...string) string {
	sum := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(sum, "%d\n%s", len(p), p)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Unload takes a profile out of the kernel. Processes that have it would go on unconfined.
func (h Host) Unload(name string) error {
	if err := h.write(".remove", []byte(name)); err != nil {
		if errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("no profile %s is loaded", name)
		}
		return fmt.Errorf("the kernel does not unload %s: %w", name, err)
	}
	return nil
}

// write writes one of apparmorfs's files. The kernel wants it in one piece.
func (h Host) write(name string, data []byte) error {
	path := filepath.Join(h.policyDir(), name)
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("%s: %w: is securityfs mounted? (mount -t securityfs securityfs /sys/kernel/security)", path, err)
	case err != nil:
		return fmt.Errorf("%s: %w: it takes root of the host, with CAP_MAC_ADMIN", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	n, err := unix.Write(fd, data)
	if err == nil && n != len(data) {
		err = fmt.Errorf("%s: %d of %d bytes were taken", path, n, len(data))
	}
	return errors.Join(err, f.Close())
}

// Users are the processes that a profile confines, alone or in a stack.
func (h Host) Users(name string) ([]string, error) {
	entries, err := os.ReadDir(h.Proc)
	if err != nil {
		return nil, err
	}
	var pids []string
	for _, e := range entries {
		if strings.Trim(e.Name(), "0123456789") != "" {
			continue
		}
		label, err := LabelOf(filepath.Join(h.Proc, e.Name()))
		if err != nil {
			continue // it has ended
		}
		if label.Has(name) {
			pids = append(pids, e.Name())
		}
	}
	return pids, nil
}

// runSubdir is the folder's name in the run folder.
const runSubdir = "apparmor"

// openRunDir opens the folder of compiled profiles: what is in it goes into the kernel, so nobody but root may write there.
func openRunDir(runDir string) (*os.File, error) {
	path := filepath.Join(runDir, runSubdir)
	for _, folder := range []string{runDir, path} {
		if err := unix.Mkdir(folder, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, fmt.Errorf("%s: %w", folder, err)
		}
		var st unix.Stat_t
		if err := unix.Lstat(folder, &st); err != nil {
			return nil, fmt.Errorf("%s: %w", folder, err)
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
			return nil, fmt.Errorf("%s must be a folder that nobody but root can write: remove it, and it is made anew", folder)
		}
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// lock waits for the folder's lock (flock(2)), which ends with its holder.
func lock(dir *os.File, deadline time.Time) error {
	for {
		err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EWOULDBLOCK):
			return fmt.Errorf("locking %s: %w", dir.Name(), err)
		case time.Now().After(deadline):
			return fmt.Errorf("another runclamp has been loading a profile for too long (flock of %s)", dir.Name())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// readFile reads a file of the folder.
func readFile(dir *os.File, name string) ([]byte, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	var b bytes.Buffer
	_, err = b.ReadFrom(f)
	return b.Bytes(), errors.Join(err, f.Close())
}

// replaceFile writes a file of the folder under one temporary name, and renames it. The lock is held.
func replaceFile(dir *os.File, name string, data []byte) error {
	const temp = ".new"
	fd, err := unix.Openat(int(dir.Fd()), temp, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("%s/%s: %w", dir.Name(), temp, err)
	}
	f := os.NewFile(uintptr(fd), temp)
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = unix.Renameat(int(dir.Fd()), temp, int(dir.Fd()), name)
	}
	if err != nil {
		return fmt.Errorf("%s/%s: %w", dir.Name(), name, err)
	}
	return nil
}
