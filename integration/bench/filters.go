package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"runclamp/enforce/proof"
	"runclamp/integration/demo/fixture"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// profiles are those that runclamp ships.
func profiles() []string { return []string{"default", "strict"} }

// filters: what a seccomp filter costs a start, and how long its program is. Bare runc on both sides, and nothing differs but the
// filter: Docker's default, against that for the native architecture only, against each of what runclamp makes of it under a profile
// that it ships, and against none.
func (b bench) filters(ctx context.Context) ([]series, error) {
	docker, err := b.config()
	if err != nil {
		return nil, err
	}
	type filter struct {
		name    string
		profile *specs.LinuxSeccomp
	}
	native := *docker.Linux.Seccomp
	native.Architectures = native.Architectures[:1] // Docker sends the native one first
	others := []filter{{"Docker's, native only", &native}}
	for _, name := range profiles() {
		p, err := b.clampedProfile(name, docker)
		if err != nil {
			return nil, fmt.Errorf("the profile %s: %w", name, err)
		}
		others = append(others, filter{name, p})
	}
	others = append(others, filter{name: "none"})

	size, err := b.instructions(docker)
	if err != nil {
		return nil, err
	}
	a := fmt.Sprintf("Docker's, %d instructions", size)
	var all []series
	for _, o := range others {
		linux, other := *docker.Linux, *docker
		linux.Seccomp = o.profile
		other.Linux = &linux
		size, err := b.instructions(&other)
		if err != nil {
			return nil, err
		}
		pairs, err := b.interleave(ctx, b.n, b.lifecycle(b.runc, docker), b.lifecycle(b.runc, &other))
		if err != nil {
			return nil, err
		}
		all = append(all, series{what: "runc create + start: filter", a: a, b: fmt.Sprintf("%s, %d instructions", o.name, size), pairs: pairs[0]})
	}
	return all, nil
}

// clampedProfile is what runclamp leaves of a configuration's profile, if the policy's is the named one.
func (b bench) clampedProfile(name string, spec *specs.Spec) (p *specs.LinuxSeccomp, err error) {
	r, err := b.called("profile-"+name, fmt.Appendf(nil, "apiVersion: runclamp/v1\naudit: {log: ''}\ncontrols:\n  seccomp: {action: fix, profile: %s}\n", name))
	if err != nil {
		return nil, err
	}
	id, bundle := b.names(r, "profile")
	if err := b.makeBundle(bundle, spec); err != nil {
		return nil, err
	}
	if err := r.Call(b.null, "create", "--bundle", bundle, id); err != nil {
		return nil, err
	}
	if err := r.Remove(id); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	if err != nil {
		return nil, err
	}
	var clamped specs.Spec
	if err := json.Unmarshal(text, &clamped); err != nil {
		return nil, err
	}
	return clamped.Linux.Seccomp, os.RemoveAll(bundle)
}

// called is runclamp under another name, by which it reads another policy.
func (b bench) called(name string, policy []byte) (fixture.Runtime, error) {
	link := filepath.Join(filepath.Dir(b.runclamp.Program), "runclamp-"+name)
	if err := errors.Join(os.WriteFile(filepath.Join(b.conf, name+".yaml"), policy, 0o644), os.Symlink(b.runclamp.Program, link)); err != nil {
		return fixture.Runtime{}, err
	}
	return fixture.NewRuntime(link, filepath.Join(b.work, name))
}

// instructions is how long the filters are that the kernel has for a container's process.
func (b bench) instructions(spec *specs.Spec) (n int, err error) {
	if spec.Linux.Seccomp == nil {
		return 0, nil
	}
	id, bundle := b.names(b.runc, "instructions")
	defer func() { err = errors.Join(err, os.RemoveAll(bundle)) }()
	if err := b.makeBundle(bundle, spec); err != nil {
		return 0, err
	}
	if err := b.runc.Call(b.null, "create", "--bundle", bundle, id); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, b.runc.Remove(id)) }()
	text, err := os.ReadFile(filepath.Join(b.runc.Root, id, "state.json"))
	if err != nil {
		return 0, err
	}
	var state struct {
		PID int `json:"init_process_pid"`
	}
	if err := json.Unmarshal(text, &state); err != nil {
		return 0, fmt.Errorf("runc's state of %s: %w", id, err)
	}
	programs, err := proof.ThisHost().Programs(state.PID)
	for _, p := range programs {
		n += len(p)
	}
	return n, err
}
