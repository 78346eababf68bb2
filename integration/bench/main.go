// Bench measures what runclamp costs, or saves: each thing is done by turns with bare runc and through runclamp, on the
// configuration that Docker makes by default, and timed from outside.
//
// It prints the project's goals beside the numbers and asserts nothing: a machine that is busy with something else makes
// no bug. It ends with an error only if something did not run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"

	"runclamp/integration/demo/fixture"

	"golang.org/x/sys/unix"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	runclamp := flags.String("runclamp", "bin/runclamp", "the runclamp to measure")
	runc := flags.String("runc", "runc", "the runc that it hands over to")
	probe := flags.String("probe", "bin/probe", "the static program that runs inside")
	conf := flags.String("conf", "/etc/runclamp", "its configuration folder: policies are written there")
	minexec := flags.String("minexec", "bin/minexec", "the static program that only executes another")
	load := flags.String("load", "bin/load", "the static program that works in a container")
	names := flags.String("only", "", "the groups to measure, with commas between them: start, parallel, policy, filter, exec, pass-through, load")
	parent := flags.String("work", "/var/lib", "where to make the work folder, on which a tmpfs is mounted, as engines have their bundles on one; root's own, and programs may be run there")
	n := flags.Int("n", 40, "pairs that count; ten times as many where a container is not started")
	warmup := flags.Int("warmup", 3, "pairs that don't, before them")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *n < 1 || *warmup < 0 {
		return errors.New("-n must be 1 or more, -warmup 0 or more")
	}
	groups, err := only(*names)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	if os.Geteuid() != 0 {
		return errors.New("it starts containers, which needs root")
	}

	work, err := fixture.Workspace(*parent, "runclamp-bench")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if err := unix.Mount("bench", work, "tmpfs", 0, "mode=0700"); err != nil {
		return fmt.Errorf("a tmpfs for bundles: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Unmount(work, unix.MNT_DETACH)) }()
	b := bench{work: work, conf: *conf, rootfs: filepath.Join(work, "rootfs"), warmup: *warmup, n: *n, env: os.Environ()}
	if b.runc, err = fixture.NewRuntime(*runc, filepath.Join(work, "runc")); err != nil {
		return err
	}
	if b.runclamp, err = fixture.NewRuntime(*runclamp, filepath.Join(work, "runclamp")); err != nil {
		return err
	}
	if b.minexec, err = filepath.Abs(*minexec); err != nil {
		return err
	}
	if b.null, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.null.Close()) }()

	if err := errors.Join(fixture.WriteRootfs(b.rootfs, *probe), fixture.AddProgram(b.rootfs, *load)); err != nil {
		return fmt.Errorf("root filesystem: %w", err)
	}

	version, err := b.sameDelegate(ctx)
	if err != nil {
		return err
	}
	all, err := b.all(ctx, groups)
	if err != nil {
		return err
	}
	if _, err := os.Stdout.WriteString(machine() + "; " + version + "\n" + render(all)); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// machine says what is measured on.
func machine() string {
	kernel := "a kernel that does not tell its release"
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		kernel = "Linux " + unix.ByteSliceToString(u.Release[:])
	}
	return fmt.Sprintf("%s, %d processors, %s", runtime.GOARCH, runtime.NumCPU(), kernel)
}
