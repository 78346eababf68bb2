package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// self is this program in the container, and what it is copied from.
	self = "/probe"
	// other is a user of the container who is neither root nor the one that runclamp assigns.
	other = 4242
)

func beRoot() error {
	if uid := os.Geteuid(); uid != 0 {
		return denied(fmt.Sprintf("UID %d", uid))
	}
	return nil
}

// raw makes a system call that changes the user or groups of one thread. The syscall package would change every thread.
func raw(nr, arg uintptr) error {
	if _, _, errno := unix.RawSyscall(nr, arg, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

func setUID() error { return raw(unix.SYS_SETUID, other) }

func setGID() error { return raw(unix.SYS_SETGID, other) }

func setGroups() error { return syscall.Setgroups([]int{42}) }

// runDropped tries every folder in which a process can hope to write.
func runDropped() error {
	return inAnyFolder(func(folder string) error {
		return withProgram(folder, 0o755, func(path string) error { return exec.Command(path, "true").Run() })
	})
}

// plantSetUID leaves a program behind that makes root of whoever runs it.
func plantSetUID() error {
	return inAnyFolder(func(folder string) error {
		return withProgram(folder, 0o755|os.ModeSetuid, runsAsRoot)
	})
}

// inAnyFolder succeeds if it does in one folder. The error is that of the first, the most likely one.
func inAnyFolder(try func(folder string) error) error {
	var first error
	for _, folder := range []string{"/tmp", "/var/tmp", "/run", "/dev/shm", "/dev", "/usr/bin", "/"} {
		err := try(folder)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// withProgram calls use with a copy of this program.
func withProgram(folder string, mode os.FileMode, use func(path string) error) (err error) {
	path := filepath.Join(folder, "dropped")
	to, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tidied(os.Remove(path))) }()
	if err := errors.Join(copySelf(to), to.Close()); err != nil {
		return unmeasured{fmt.Errorf("copy: %w", err)}
	}
	if err := os.Chmod(path, mode); err != nil {
		return err
	}
	return use(path)
}

func copySelf(to io.Writer) error {
	from, err := os.Open(self)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, from.Close())
}

func runFromMemory() (err error) {
	fd, err := unix.MemfdCreate("dropped", unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	path := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd)
	// A file that is open for writing can't be executed: copy through a descriptor, run through a read-only one.
	readable, err := os.Open(path)
	if err != nil {
		return errors.Join(unmeasured{err}, unix.Close(fd))
	}
	defer func() { err = errors.Join(err, readable.Close()) }()
	writable := os.NewFile(uintptr(fd), path)
	if err := errors.Join(copySelf(writable), writable.Close()); err != nil {
		return unmeasured{fmt.Errorf("copy: %w", err)}
	}
	return exec.Command(fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), readable.Fd()), "true").Run()
}

func runSetUID() error { return runsAsRoot("/usr/bin/suid") }

// runsAsRoot: a user without privileges becomes root by running the program.
func runsAsRoot(program string) error {
	cmd := exec.Command(program, "euid")
	if err := unprivileged(cmd); err != nil {
		return err
	}
	out, err := cmd.Output()
	if err != nil {
		return err
	}
	if uid := strings.TrimSpace(string(out)); uid != "0" {
		return denied("stays UID " + uid)
	}
	return nil
}

// runFileCapability: a user without privileges runs a program to which the image gave cap_net_raw.
func runFileCapability() error {
	cmd := exec.Command("/usr/bin/netraw", "rawsocket")
	if err := unprivileged(cmd); err != nil {
		return err
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return denied("not gained")
	}
	return err
}

// unprivileged lets a command run as a user who is not root. Whoever is none already stays who he is.
func unprivileged(cmd *exec.Cmd) error {
	if os.Geteuid() != 0 {
		return nil
	}
	attr := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: other, Gid: other}}
	// Starting a program as another user and the program itself can both fail with EPERM: try the first alone.
	try := exec.Command(self, "true")
	try.SysProcAttr = attr
	if err := try.Run(); err != nil {
		return unmeasured{fmt.Errorf("no process of another user to attack from: %w", err)}
	}
	cmd.SysProcAttr = attr
	return nil
}
