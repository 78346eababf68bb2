package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// opened closes what an attack has got open, if it has.
func opened(fd int, err error) error {
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// call is opened for a system call that golang.org/x/sys/unix has no function for.
func call(nr, a1, a2, a3 uintptr) error {
	fd, _, errno := unix.Syscall(nr, a1, a2, a3)
	if errno != 0 {
		return errno
	}
	return unix.Close(int(fd))
}

func rawSocket() error { return opened(unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)) }

func packetSocket() error { return opened(unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)) }

func vsock() error { return opened(unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)) }

func algSocket() error { return opened(unix.Socket(unix.AF_ALG, unix.SOCK_SEQPACKET, 0)) }

// lowPort binds a port that belonged to root on every Unix.
func lowPort() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return unmeasured{err}
	}
	return errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Port: 80}), unix.Close(fd))
}

func changeRoot() error { return unix.Chroot(scratch) }

func mountTmpfs() error {
	if err := unix.Mount("tmpfs", scratch, "tmpfs", 0, "size=4096"); err != nil {
		return err
	}
	return tidied(unix.Unmount(scratch, unix.MNT_DETACH))
}

// makeUserNamespace uses clone(2): unshare(2) can't make one for a process with threads.
func makeUserNamespace() error {
	cmd := exec.Command(self, "true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}
	return cmd.Run()
}

func unshareMounts() error { return unix.Unshare(unix.CLONE_NEWNS) }

// enterNamespace enters the one it is in.
func enterNamespace() (err error) {
	ns, err := os.Open("/proc/self/ns/uts")
	if err != nil {
		return unmeasured{err}
	}
	defer func() { err = errors.Join(err, ns.Close()) }()
	return unix.Setns(int(ns.Fd()), unix.CLONE_NEWUTS)
}

// kernelLog asks for the size of the log, which needs the same permission as its text.
func kernelLog() error {
	const sizeBuffer = 10 // SYSLOG_ACTION_SIZE_BUFFER
	_, err := unix.Klogctl(sizeBuffer, nil)
	return err
}

// loadModule hands over no module. A kernel that lets it come so far says that it is none.
func loadModule() error {
	err := unix.InitModule(nil, "")
	if errors.Is(err, unix.ENOEXEC) || errors.Is(err, unix.EFAULT) {
		return nil
	}
	return err
}

func keyring() error {
	_, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
	return err
}

func makeMap() error {
	const (
		mapCreate = 0 // BPF_MAP_CREATE
		array     = 2 // BPF_MAP_TYPE_ARRAY
	)
	attr := struct{ kind, keySize, valueSize, entries uint32 }{array, 4, 4, 1}
	return call(unix.SYS_BPF, mapCreate, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
}

func watchProcessor() error {
	attr := unix.PerfEventAttr{
		Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_TASK_CLOCK,
		Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
		Bits: unix.PerfBitDisabled | unix.PerfBitExcludeKernel | unix.PerfBitExcludeHv,
	}
	return opened(unix.PerfEventOpen(&attr, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC))
}

func setUpRing() error {
	var params [120]byte // struct io_uring_params
	return call(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)), 0)
}

func pageFaults() error {
	const userModeOnly = 1 // UFFD_USER_MODE_ONLY: what a kernel grants everybody
	return call(unix.SYS_USERFAULTFD, unix.O_CLOEXEC|userModeOnly, 0, 0)
}

func realTime() error {
	return unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: 1 /* SCHED_FIFO */, Priority: 1}, 0)
}

// trace stops a process of its own and lets it go.
func trace() (err error) {
	cmd := exec.Command(self, "pause")
	if err := cmd.Start(); err != nil {
		return unmeasured{err}
	}
	defer func() {
		// It was killed, so that it ended with an error is no news.
		err = errors.Join(err, cmd.Process.Kill())
		_, waitErr := cmd.Process.Wait()
		err = errors.Join(err, waitErr)
	}()
	if err := unix.PtraceAttach(cmd.Process.Pid); err != nil {
		return err
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(cmd.Process.Pid, &status, 0, nil); err != nil {
		return unmeasured{fmt.Errorf("wait4: %w", err)}
	}
	return unix.PtraceDetach(cmd.Process.Pid)
}

func vsock32() error { return socket32(unix.AF_VSOCK, unix.SOCK_STREAM) }

func algSocket32() error { return socket32(unix.AF_ALG, unix.SOCK_SEQPACKET) }

// socket32 opens a socket through the 32-bit socketcall(2). Its arguments are in memory, where seccomp does not look.
func socket32(family, kind uint32) (err error) {
	// The address has to fit into 32 bits.
	low, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|map32Bit)
	if err != nil {
		return unmeasured{fmt.Errorf("mmap: %w", err)}
	}
	defer func() { err = errors.Join(err, unix.Munmap(low)) }()
	args := (*[3]uint32)(unsafe.Pointer(&low[0]))
	args[0], args[1] = family, kind
	const socketcall, socket = 102, 1
	fd, err := call32(socketcall, socket, uint32(uintptr(unsafe.Pointer(args))))
	return opened(int(fd), err)
}

func getpid32() error {
	const getpid = 20
	_, err := call32(getpid, 0, 0)
	return err
}

// call32 makes a 32-bit system call on a thread of its own: for an architecture that it does not know, a seccomp filter
// kills the thread and leaves the process waiting for it.
func call32(nr, a1, a2 uint32) (int32, error) {
	if !has32 {
		return 0, unmeasured{errors.New("only x86-64 has int 0x80")}
	}
	thread, result := make(chan int, 1), make(chan int32, 1)
	go attempt32(thread, result, nr, a1, a2)
	task := fmt.Sprintf("/proc/self/task/%d", <-thread)
	for {
		select {
		case r := <-result:
			return answered32(r)
		case <-time.After(10 * time.Millisecond):
			if _, err := os.Stat(task); !errors.Is(err, os.ErrNotExist) {
				continue
			}
			// What it had to say is said before it ends.
			select {
			case r := <-result:
				return answered32(r)
			default:
				return 0, denied("SIGSYS")
			}
		}
	}
}

// answered32 is what a 32-bit system call has returned.
func answered32(r int32) (int32, error) {
	if r < 0 && r > -4096 {
		return 0, syscall.Errno(-r)
	}
	return r, nil
}
