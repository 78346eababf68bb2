// Demo shows what runclamp is worth: it runs a program that tries what an attacker would, once under bare runc with
// Docker's default configuration and once through runclamp, and prints one table of what was blocked and by which control.
//
// It needs runc, runclamp and root, but no engine. It ends with an error if something succeeded that runclamp has to block.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

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
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	runclamp := flags.String("runclamp", "bin/runclamp", "the runclamp to show")
	runc := flags.String("runc", "runc", "the runc that it hands over to, and that is measured without it")
	probe := flags.String("probe", "bin/probe", "the static program that runs inside")
	parent := flags.String("work", "/var/lib", "where to make the work folder: root's own, and programs may be run there")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("it starts containers, which needs root")
	}
	work, err := fixture.Workspace(*parent, "runclamp-demo")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	m := measurement{work: work}
	if m.runc, err = fixture.NewRuntime(*runc, filepath.Join(work, "runc")); err != nil {
		return err
	}
	if m.runclamp, err = fixture.NewRuntime(*runclamp, filepath.Join(work, "runclamp")); err != nil {
		return err
	}
	if m.probe, err = filepath.Abs(*probe); err != nil {
		return err
	}

	measured, err := m.all(ctx)
	if err != nil {
		return err
	}
	rows, err := tabulate(measured)
	if err != nil {
		return err
	}
	if _, err := os.Stdout.WriteString(render(rows)); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	if failed := failures(rows); len(failed) > 0 {
		return fmt.Errorf("RUNCLAMP DID NOT BLOCK WHAT IT HAS TO:\n  %s", strings.Join(failed, "\n  "))
	}
	return nil
}
