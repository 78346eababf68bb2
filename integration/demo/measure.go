package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"runclamp/enforce"
	"runclamp/enforce/policy"
	"runclamp/integration/demo/fixture"
	"runclamp/integration/demo/outcome"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// patience is how long one run of the probe may take. It takes less than a second.
const patience = 10 * time.Minute

// measurement has what a container of the demo is made with.
type measurement struct {
	runc, runclamp fixture.Runtime
	probe          string
	work           string
}

// measured are the probe's results: one list for each way of starting it.
type measured struct {
	docker, runclamp []outcome.Result
	// alone has them for bare runc with one control's edits, without for all edits but one control's.
	alone, without []ablation
}

// ablation is what the probe found with, or without, one control.
type ablation struct {
	control string
	results []outcome.Result
}

// all runs the probe in every way.
func (m measurement) all(ctx context.Context) (measured, error) {
	var all measured
	asked, err := fixture.Config("/probe")
	if err != nil {
		return all, err
	}
	if all.docker, err = m.one(ctx, m.runc, "docker", asked); err != nil {
		return all, err
	}
	if all.runclamp, err = m.one(ctx, m.runclamp, "runclamp", asked); err != nil {
		return all, err
	}
	file, err := policy.Default()
	if err != nil {
		return all, err
	}
	full := file.Base
	for _, c := range fixing(full) {
		for _, a := range []struct {
			to     *[]ablation
			name   string
			policy policy.Controls
		}{
			{&all.alone, "alone-" + c, alone(full, c)},
			{&all.without, "without-" + c, without(full, c)},
		} {
			spec, err := clamp(asked, a.policy)
			if err != nil {
				return all, fmt.Errorf("%s: %w", a.name, err)
			}
			results, err := m.one(ctx, m.runc, a.name, spec)
			if err != nil {
				return all, err
			}
			*a.to = append(*a.to, ablation{c, results})
		}
	}
	return all, nil
}

// one runs the probe once, in a container of its own.
func (m measurement) one(ctx context.Context, r fixture.Runtime, name string, spec *specs.Spec) (results []outcome.Result, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
	}()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	bundle := filepath.Join(m.work, name)
	defer func() { err = errors.Join(err, os.RemoveAll(bundle)) }()
	if err := fixture.WriteBundle(bundle, spec, m.probe); err != nil {
		return nil, err
	}
	// The work folder's name is unique, and makes the container's so.
	id := filepath.Base(m.work) + "-" + name
	out, err := m.output(ctx, r, id, bundle)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(out, &results); err != nil {
		return nil, fmt.Errorf("the probe answered %q: %w", out, err)
	}
	return results, nil
}

// output creates and starts a container as an engine does, and is what its process prints until it ends.
func (m measurement) output(ctx context.Context, r fixture.Runtime, id, bundle string) (out []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ours, theirs, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("pipe: %w", err)
	}
	defer func() { err = errors.Join(err, ours.Close()) }()
	// A read waits for every process that has the other end; told to stop, it must not. That it is closed already is the
	// only way in which this can fail.
	unhook := context.AfterFunc(ctx, func() { _ = ours.SetReadDeadline(time.Now()) })
	defer unhook()

	defer func() { err = errors.Join(err, r.Remove(id)) }()
	create := r.Call(theirs, "create", "--bundle", bundle, id)
	if err := errors.Join(create, theirs.Close()); err != nil {
		// What it printed is there already, and a process that it may have left must not keep us.
		deadlineErr := ours.SetReadDeadline(time.Now().Add(time.Second))
		said, readErr := io.ReadAll(ours)
		return nil, errors.Join(err, deadlineErr, readErr, fmt.Errorf("it printed %q", said))
	}
	if err := r.Call(nil, "start", id); err != nil {
		return nil, err
	}
	out, err = io.ReadAll(ours)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("the probe did not end: %w", context.Cause(ctx))
	}
	return out, err
}

// clamp is the configuration after the edits of a policy, as runclamp would write it.
func clamp(asked *specs.Spec, controls policy.Controls) (*specs.Spec, error) {
	// In the bundle, as runclamp itself finds it.
	rootfs := enforce.Spot{Path: "/bundle/rootfs"}
	d := enforce.Decide(enforce.Input{
		Policy: policy.Policy{Controls: controls},
		Facts: enforce.Facts{
			Mounts: enforce.Mounts{Root: enforce.Source{Spot: rootfs, Kind: enforce.Folder}, Places: enforce.Places{Own: []enforce.Own{{Spot: rootfs}}}},
		},
		Spec: asked,
	})
	if d.Spec == nil {
		return nil, fmt.Errorf("refused: %+v", d.Findings)
	}
	return d.Spec, nil
}
