// Soak starts and ends many containers through runclamp, and then looks for what is left of them: processes, mounts, control
// groups, files. It ends with an error if anything is, or if a container was not what it had to be.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"runclamp/integration/demo/fixture"

	specs "github.com/opencontainers/runtime-spec/specs-go"
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
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	runclamp := flags.String("runclamp", "bin/runclamp", "the runclamp to start them with")
	probe := flags.String("probe", "bin/probe", "the static program that runs inside")
	parent := flags.String("work", "/var/lib", "where to make the work folder: root's own, and programs may be run there")
	n := flags.Int("n", 2000, "how many containers")
	together := flags.Int("together", 4, "how many at the same time")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *n < 1 || *together < 1 {
		return errors.New("-n and -together must be 1 or more")
	}
	if os.Geteuid() != 0 {
		return errors.New("it starts containers, which needs root")
	}
	work, err := fixture.Workspace(*parent, "runclamp-soak")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	s := soak{work: work, rootfs: filepath.Join(work, "rootfs")}
	if s.runtime, err = fixture.NewRuntime(*runclamp, filepath.Join(work, "state")); err != nil {
		return err
	}
	if err := fixture.WriteRootfs(s.rootfs, *probe); err != nil {
		return fmt.Errorf("root filesystem: %w", err)
	}

	before, err := s.count()
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := s.all(ctx, *n, *together); err != nil {
		return err
	}
	took := time.Since(begin).Round(time.Second)
	after, err := s.count()
	if err != nil {
		return err
	}
	fmt.Printf("%d containers, %d at a time, in %v: each created, started, looked into, entered by exec, deleted\n", *n, *together, took)
	fmt.Printf("%-28s before %6d  after %6d\n", "mounts of this namespace", before.mounts, after.mounts)
	fmt.Printf("%-28s before %6d  after %6d\n", "processes of its containers", before.processes, after.processes)
	fmt.Printf("%-28s before %6d  after %6d\n", "control groups of its own", before.cgroups, after.cgroups)
	fmt.Printf("%-28s before %6d  after %6d\n", "files in bundles and state", before.files, after.files)
	if after != before {
		return errors.New("SOMETHING WAS LEFT BEHIND")
	}
	return nil
}

type soak struct {
	runtime      fixture.Runtime
	work, rootfs string
}

// left is what there is of containers.
type left struct{ mounts, processes, cgroups, files int }

func (s soak) count() (l left, err error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return l, err
	}
	l.mounts = bytes.Count(mounts, []byte("\n"))
	processes, err := filepath.Glob("/proc/[0-9]*/root")
	if err != nil {
		return l, err
	}
	for _, p := range processes {
		// One that has ended is none, also if the host's init has not taken note of it yet.
		cgroup, err := os.ReadFile(filepath.Join(filepath.Dir(p), "cgroup"))
		status, statusErr := os.ReadFile(filepath.Join(filepath.Dir(p), "status"))
		if err != nil || statusErr != nil || bytes.Contains(status, []byte("State:\tZ")) {
			continue
		}
		if strings.Contains(string(cgroup), filepath.Base(s.work)) {
			l.processes++
		}
	}
	walk := func(dir string, count func(path string, d fs.DirEntry)) error {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // gone meanwhile
			}
			if err == nil {
				count(path, d)
			}
			return err
		})
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	err = walk("/sys/fs/cgroup", func(path string, d fs.DirEntry) {
		if d.IsDir() && strings.Contains(d.Name(), filepath.Base(s.work)) {
			l.cgroups++
		}
	})
	if err != nil {
		return l, err
	}
	for _, dir := range []string{filepath.Join(s.work, "state"), filepath.Join(s.work, "bundles")} {
		if err := walk(dir, func(path string, d fs.DirEntry) {
			if !d.IsDir() {
				l.files++
			}
		}); err != nil {
			return l, err
		}
	}
	return l, nil
}

func (s soak) all(ctx context.Context, n, together int) error {
	if err := os.Mkdir(filepath.Join(s.work, "bundles"), 0o700); err != nil {
		return err
	}
	next := make(chan int)
	failed := make(chan error, together)
	var wg sync.WaitGroup
	for range together {
		wg.Go(func() {
			for i := range next {
				if err := s.one(i); err != nil {
					failed <- fmt.Errorf("container %d: %w", i, err)
					return
				}
			}
		})
	}
	var err error
feed:
	for i := range n {
		select {
		case next <- i:
		case err = <-failed:
			break feed
		case <-ctx.Done():
			err = context.Cause(ctx)
			break feed
		}
	}
	close(next)
	wg.Wait()
	close(failed)
	for f := range failed {
		err = errors.Join(err, f)
	}
	return err
}

// one container, from create to delete.
func (s soak) one(i int) (err error) {
	spec, err := fixture.Config("/probe", "pause")
	if err != nil {
		return err
	}
	spec.Root.Path = s.rootfs
	id := fmt.Sprintf("%s-%d", filepath.Base(s.work), i)
	bundle := filepath.Join(s.work, "bundles", id)
	if err := fixture.WriteConfig(bundle, spec); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.runtime.Remove(id), os.RemoveAll(bundle)) }()
	for _, verb := range [][]string{{"create", "--bundle", bundle, id}, {"start", id}, {"exec", "--user", "0", id, "/probe", "true"}, {"state", id}} {
		if err := s.runtime.Call(nil, verb...); err != nil {
			return err
		}
	}
	text, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	if err != nil {
		return err
	}
	var clamped specs.Spec
	if err := json.Unmarshal(text, &clamped); err != nil {
		return err
	}
	if p := clamped.Process; p.User.UID == 0 || !p.NoNewPrivileges || len(p.Capabilities.Bounding) > 0 || !clamped.Root.Readonly {
		return fmt.Errorf("it is not clamped: %s", text)
	}
	return nil
}
