// attempts tries what its arguments name, and says what the kernel makes of each: a line "attempt: ok" or "attempt: errno".
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func main() {
	for _, attempt := range os.Args[1:] {
		said := "ok"
		if err := try(attempt); err != nil {
			said = err.Error()
		}
		fmt.Printf("%s: %s\n", attempt, said)
	}
}

func try(attempt string) error {
	what, of, _ := strings.Cut(attempt, "=")
	switch what {
	case "read":
		return opened(unix.Open(of, unix.O_RDONLY, 0))
	case "write":
		return opened(unix.Open(of, unix.O_WRONLY, 0))
	case "create":
		return opened(unix.Open(of, unix.O_WRONLY|unix.O_CREAT, 0o600))
	case "mount":
		return unix.Mount("none", "/mnt", "tmpfs", 0, "")
	case "remount":
		return unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND, "")
	case "umount":
		return unix.Unmount("/proc", unix.MNT_DETACH)
	case "raw":
		return opened(unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP))
	case "raw6":
		return opened(unix.Socket(unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6))
	case "packet":
		return opened(unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM, 0))
	case "stream":
		return opened(unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0))
	case "netlink":
		return opened(unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE))
	case "unix":
		return opened(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0))
	case "ptrace":
		pid, err := strconv.Atoi(of)
		if err != nil {
			return err
		}
		return unix.PtraceSeize(pid)
	case "run":
		p, err := os.StartProcess(of, []string{of}, &os.ProcAttr{Env: []string{}})
		if err == nil {
			_, err = p.Wait()
		}
		return err
	}
	return fmt.Errorf("no such attempt")
}

func opened(fd int, err error) error {
	if err != nil {
		return err
	}
	return unix.Close(fd)
}
