package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"runclamp/integration/demo/fixture"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// cheap is how many more pairs are measured of what starts no container, where differences are small.
const cheap = 10

// bench has what the measurements are made with.
type bench struct {
	runc, runclamp fixture.Runtime
	// minexec is a program that executes another.
	minexec string
	// conf is runclamp's configuration folder.
	conf string
	// rootfs is the root filesystem that bundles get.
	work, rootfs string
	warmup, n    int
	env          []string
	null         *os.File
}

// group is measurements that belong together.
type group struct {
	name    string
	measure func(bench, context.Context) ([]series, error)
}

// groups are all that there is, in the order in which they are measured.
func groups() []group {
	return []group{
		{"start", bench.lifecycles}, {"parallel", bench.parallel}, {"policy", bench.policies}, {"filter", bench.filters},
		{"exec", bench.execs}, {"pass-through", bench.passThrough}, {"load", bench.loads},
	}
}

// only are the groups that are named, with commas between them, or all.
func only(names string) ([]group, error) {
	if names == "" {
		return groups(), nil
	}
	wanted := strings.Split(names, ",")
	var found []group
	var known []string
	for _, g := range groups() {
		known = append(known, g.name)
		if slices.Contains(wanted, g.name) {
			found = append(found, g)
		}
	}
	for _, w := range wanted {
		if !slices.Contains(known, w) {
			return nil, fmt.Errorf("no group is called %q; there are %s", w, strings.Join(known, ", "))
		}
	}
	return found, nil
}

// all measures the groups.
func (b bench) all(ctx context.Context, groups []group) ([]series, error) {
	var all []series
	for _, g := range groups {
		some, err := g.measure(b, ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", g.name, err)
		}
		all = append(all, some...)
	}
	return all, nil
}

// sameDelegate: runclamp hands over to the runc that it is compared with. Its answer to --version is the delegate's, and
// is given.
func (b bench) sameDelegate(ctx context.Context) (version string, err error) {
	var versions [2][]byte
	for i, program := range []string{b.runc.Program, b.runclamp.Program} {
		out, err := exec.CommandContext(ctx, program, "--version").Output()
		if err != nil {
			return "", fmt.Errorf("%s --version: %w", program, err)
		}
		versions[i] = out
	}
	if !bytes.Equal(versions[0], versions[1]) {
		return "", fmt.Errorf("runclamp hands over to another runc than the one to compare with: %q, not %q", versions[1], versions[0])
	}
	return strings.ReplaceAll(strings.TrimSpace(string(versions[0])), "\n", ", "), nil
}

// lifecycles: a container from create to delete.
func (b bench) lifecycles(ctx context.Context) ([]series, error) {
	spec, err := b.config()
	if err != nil {
		return nil, err
	}
	return b.lifecyclePairs(ctx,
		series{what: "create + start", a: "runc", b: "runclamp", goal: "0.85x"},
		series{what: "create + start + delete --force", a: "runc", b: "runclamp"},
		b.lifecycle(b.runc, spec), b.lifecycle(b.runclamp, spec))
}

// together is how many containers are created at the same time.
const together = 64

// parallel: many containers at once, from the first create to the last.
func (b bench) parallel(ctx context.Context) ([]series, error) {
	spec, err := b.config()
	if err != nil {
		return nil, err
	}
	pairs, err := b.interleave(ctx, max(1, b.n/8), b.creates(b.runc, spec), b.creates(b.runclamp, spec))
	if err != nil {
		return nil, err
	}
	return []series{{what: fmt.Sprintf("%d creates at once", together), a: "runc", b: "runclamp", pairs: pairs[0], goal: "1.00x"}}, nil
}

func (b bench) creates(r fixture.Runtime, spec *specs.Spec) action {
	return func() (times []time.Duration, err error) {
		var ids, bundles []string
		defer func() {
			for i := range ids {
				err = errors.Join(err, r.Remove(ids[i]), os.RemoveAll(bundles[i]))
			}
		}()
		for i := range together {
			id, bundle := b.names(r, fmt.Sprintf("parallel-%d", i))
			ids, bundles = append(ids, id), append(bundles, bundle)
			if err := b.makeBundle(bundle, spec); err != nil {
				return nil, err
			}
		}
		failed := make(chan error, together)
		begin := time.Now()
		for i := range together {
			go func() {
				_, err := b.spawn(r.Args("create", "--bundle", bundles[i], ids[i]))
				failed <- err
			}()
		}
		for range together {
			err = errors.Join(err, <-failed)
		}
		return []time.Duration{time.Since(begin)}, err
	}
}

// policies: a policy of a thousand rules against one of one rule.
func (b bench) policies(ctx context.Context) ([]series, error) {
	spec, err := b.config()
	if err != nil {
		return nil, err
	}
	var sides [2]fixture.Runtime
	for i, size := range []struct {
		name  string
		rules int
	}{{"small", 1}, {"large", 1000}} {
		if sides[i], err = b.called(size.name, policyOf(size.rules, filepath.Join(b.work, "audit.jsonl"))); err != nil {
			return nil, err
		}
	}
	return b.lifecyclePairs(ctx,
		series{what: "create + start: policy", a: "1 rule", b: "1,000 rules", goal: "1.20x"},
		series{what: "create + start + delete --force: policy", a: "1 rule", b: "1,000 rules"},
		b.lifecycle(sides[0], spec), b.lifecycle(sides[1], spec))
}

// policyOf is a policy with as many rules, none of which matches, that writes an audit log.
func policyOf(rules int, log string) []byte {
	text := fmt.Appendf(nil, "apiVersion: runclamp/v1\naudit: {log: %s}\nrules:\n", log)
	for i := range rules {
		text = fmt.Appendf(text, `  - name: rule-%d
    match: {engine: kubernetes, namespace: namespace-%d, container: controller}
    controls:
      capabilities: {allow: [NET_BIND_SERVICE]}
      readOnlyRootfs: {tmpfs: [{path: /var/cache/nginx, size: 64Mi}]}
`, i, i)
	}
	return text
}

// execs: a program that does nothing, in a container that runs.
func (b bench) execs(ctx context.Context) (all []series, err error) {
	spec, err := b.config()
	if err != nil {
		return nil, err
	}
	// As engines do, it is the original process that is sent, not the clamped one.
	process := *spec.Process
	process.Args = []string{"/probe", "true"}
	raw, err := json.Marshal(process)
	if err != nil {
		return nil, fmt.Errorf("process: %w", err)
	}
	document := filepath.Join(b.work, "process.json")
	if err := os.WriteFile(document, raw, 0o600); err != nil {
		return nil, err
	}
	var sides [2]action
	for i, r := range []fixture.Runtime{b.runc, b.runclamp} {
		id, startErr := b.paused(r, "exec", spec)
		if startErr != nil {
			return nil, startErr
		}
		defer func() { err = errors.Join(err, r.Remove(id)) }()
		sides[i] = b.timed(r.Args("exec", "--process", document, id))
	}
	pairs, err := b.interleave(ctx, b.n, sides[0], sides[1])
	if err != nil {
		return nil, err
	}
	return []series{{what: "exec", a: "runc", b: "runclamp", pairs: pairs[0], goal: "0.95x"}}, nil
}

// passThrough: verbs that runclamp has nothing to say to.
func (b bench) passThrough(ctx context.Context) (all []series, err error) {
	spec, err := b.config()
	if err != nil {
		return nil, err
	}
	id, err := b.paused(b.runc, "verbs", spec)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.runc.Remove(id)) }()
	// The same container for both: it is runc's, whoever asks for it.
	through := fixture.Runtime{Program: b.runclamp.Program, Root: b.runc.Root, Log: b.runc.Log}
	for _, verb := range [][]string{{"state", id}, {"kill", id, "0"}, {"--version"}} {
		pairs, err := b.interleave(ctx, b.n*cheap,
			b.timed(append([]string{b.minexec}, b.runc.Args(verb...)...)),
			b.timed(through.Args(verb...)))
		if err != nil {
			return nil, err
		}
		all = append(all, series{what: "pass-through: " + verb[0], a: "minexec", b: "runclamp", pairs: pairs[0], goal: "+0.50 ms"})
	}
	return all, nil
}

// config is Docker's default for a process that waits to be killed.
func (b bench) config() (*specs.Spec, error) {
	spec, err := fixture.Config("/probe", "pause")
	if err != nil {
		return nil, err
	}
	return spec, nil
}

// action does what is to be measured once, in a way that no other call of it disturbs, and gives one time for each
// series that comes of it.
type action func() ([]time.Duration, error)

// interleave does two things by turns, A B A B, so that both see the same machine. It gives the pairs of each series.
func (b bench) interleave(ctx context.Context, n int, one, other action) ([][]pair, error) {
	var all [][]pair
	for i := range b.warmup + n {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		x, err := one()
		if err != nil {
			return nil, err
		}
		y, err := other()
		if err != nil {
			return nil, err
		}
		if i < b.warmup {
			continue
		}
		if all == nil {
			all = make([][]pair, len(x))
		}
		for k := range x {
			all[k] = append(all[k], pair{x[k], y[k]})
		}
	}
	return all, nil
}

func (b bench) lifecyclePairs(ctx context.Context, start, whole series, one, other action) ([]series, error) {
	pairs, err := b.interleave(ctx, b.n, one, other)
	if err != nil {
		return nil, err
	}
	start.pairs, whole.pairs = pairs[0], pairs[1]
	return []series{start, whole}, nil
}

// lifecycle makes a container, starts it and takes it away. The first time is without taking away.
//
// Every container has a bundle of its own, as with an engine: runclamp has less to do with one that it has seen.
func (b bench) lifecycle(r fixture.Runtime, spec *specs.Spec) action {
	return func() (times []time.Duration, err error) {
		id, bundle := b.names(r, "lifecycle")
		defer func() { err = errors.Join(err, os.RemoveAll(bundle)) }()
		if err := b.makeBundle(bundle, spec); err != nil {
			return nil, err
		}
		created, err := b.spawn(r.Args("create", "--bundle", bundle, id))
		if err != nil {
			return nil, errors.Join(err, r.Remove(id))
		}
		started, err := b.spawn(r.Args("start", id))
		if err != nil {
			return nil, errors.Join(err, r.Remove(id))
		}
		deleted, err := b.spawn(r.Args("delete", "--force", id))
		if err != nil {
			return nil, errors.Join(err, r.Remove(id))
		}
		return []time.Duration{created + started, created + started + deleted}, nil
	}
}

// makeBundle makes a bundle with a root filesystem of its own, as containerd does. Its files are links: to write megabytes would leave the
// processor's caches and the allocator in another state than an engine does.
func (b bench) makeBundle(dir string, spec *specs.Spec) error {
	if err := fixture.WriteConfig(dir, spec); err != nil {
		return err
	}
	return fixture.LinkRootfs(filepath.Join(dir, spec.Root.Path), b.rootfs)
}

// paused starts a container and gives its ID.
func (b bench) paused(r fixture.Runtime, name string, spec *specs.Spec) (string, error) {
	id, bundle := b.names(r, name)
	if err := b.makeBundle(bundle, spec); err != nil {
		return "", err
	}
	for _, verb := range [][]string{{"create", "--bundle", bundle, id}, {"start", id}} {
		if err := r.Call(nil, verb...); err != nil {
			return "", errors.Join(err, r.Remove(id))
		}
	}
	return id, nil
}

// names are a container's ID and its bundle's folder. The work folder's name is unique, and makes the ID so.
func (b bench) names(r fixture.Runtime, name string) (id, bundle string) {
	name = filepath.Base(r.Root) + "-" + name
	return filepath.Base(b.work) + "-" + name, filepath.Join(b.work, name+".bundle")
}

// timed is one program, run to its end.
func (b bench) timed(args []string) action {
	return func() ([]time.Duration, error) {
		d, err := b.spawn(args)
		return []time.Duration{d}, err
	}
}

// spawn runs a program to its end and says how long that took, from before fork to after wait.
//
// It does without os/exec, which opens /dev/null and starts goroutines in that time. As with fixture.Runtime.Call, what
// has begun is not interrupted.
func (b bench) spawn(args []string) (time.Duration, error) {
	attr := &os.ProcAttr{Env: b.env, Files: []*os.File{b.null, b.null, b.null}, Sys: fixture.Apart()}
	begin := time.Now()
	p, err := os.StartProcess(args[0], args, attr)
	if err != nil {
		return 0, err
	}
	// That it has ended already is the only way in which this can fail.
	late := time.AfterFunc(fixture.Patience, func() { _ = p.Kill() })
	state, err := p.Wait()
	took := time.Since(begin)
	late.Stop()
	if err != nil {
		return 0, fmt.Errorf("wait for %q: %w", args, err)
	}
	if !state.Success() {
		return 0, fmt.Errorf("%q: %v", args, state)
	}
	return took, nil
}
