// run boots the guest with a folder of programs, relays what it says, and ends with its result.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	// silence is how long a guest may say nothing before it is taken for one that hangs. The slowest single test takes some
	// seconds; a machine that is loaded makes ten times that of it.
	silence = 2 * time.Minute
	// attempts is how often a guest is started that gives no result: now and then an emulated one hangs while it boots.
	attempts = 2
)

func main() {
	// Pdeathsig is about the thread that starts a process (prctl(2), PR_SET_PDEATHSIG), so that thread has to stay.
	runtime.LockOSThread()
	image := flag.String("image", "", "the `folder` that setup.sh has made")
	programs := flag.String("programs", "", "the `folder` with the tests (*.test) and the programs that they need")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, os.Stdout, *image, *programs, flag.Args())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e-guest:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, image, programs string, arguments []string) (err error) {
	begin := time.Now()
	dir, err := os.MkdirTemp("", "runclamp-guest-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.WriteFile(filepath.Join(programs, "arguments"), []byte(strings.Join(arguments, "\n")+"\n"), 0o600); err != nil {
		return err
	}
	initrd := filepath.Join(dir, "initrd")
	if err := writeInitrd(initrd, filepath.Join(image, "root.cpio"), programs); err != nil {
		return fmt.Errorf("the guest's initramfs: %w", err)
	}
	for i := 1; ; i++ {
		var r result
		err := boot(ctx, filepath.Join(image, "vmlinuz"), initrd, func(line string) {
			if r.add(line) {
				fmt.Fprintln(out, line)
			}
		})
		if r.ended || ctx.Err() != nil || i == attempts {
			return r.report(out, err, time.Since(begin))
		}
		fmt.Fprintf(out, "e2e-guest: the guest gave no result (%v), so it is started once more\n", err)
	}
}

// writeInitrd appends the folder of programs to the archive of the root. The kernel unpacks one after the other
// (Documentation/driver-api/early-userspace/buffer-format.rst), so the root's is never made anew.
func writeInitrd(path, root, programs string) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	base, err := os.Open(root)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, base)
	if err := errors.Join(err, base.Close()); err != nil {
		return err
	}
	entries, err := os.ReadDir(programs)
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		names = append(names, "programs/"+e.Name())
	}
	cpio := exec.Command("cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0")
	cpio.Dir = filepath.Dir(programs)
	cpio.Stdin = strings.NewReader(strings.Join(names, "\n") + "\n")
	cpio.Stdout, cpio.Stderr = f, os.Stderr
	return cpio.Run()
}

// boot runs a guest to its end, and hands over each line of its console. One that says nothing for too long is ended.
func boot(ctx context.Context, kernel, initrd string, line func(string)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// q35 and Nehalem, because microvm and newer processors hang now and then under emulation. Of the kernel's options most
	// only save time; panic=-1 reboots at once, and -no-reboot makes an end of that.
	qemu := exec.CommandContext(ctx, "qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "Nehalem",
		"-smp", "2", "-m", "2048", "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot", "-nic", "none",
		"-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 loglevel=3 panic=-1 apparmor=1 security=apparmor "+
			"cryptomgr.notests mitigations=off tsc=reliable no_timer_check nokaslr rcupdate.rcu_expedited=1 random.trust_cpu=on")
	qemu.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	qemu.Stderr = os.Stderr
	console, err := qemu.StdoutPipe()
	if err != nil {
		return err
	}
	if err := qemu.Start(); err != nil {
		return err
	}
	hung := time.AfterFunc(silence, func() { cancel(fmt.Errorf("it said nothing for %v", silence)) })
	defer hung.Stop()
	lines := bufio.NewScanner(console)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		hung.Reset(silence)
		line(strings.ReplaceAll(lines.Text(), "\r", ""))
	}
	if err := errors.Join(lines.Err(), qemu.Wait()); err != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	return nil
}
