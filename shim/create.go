package shim

import (
	"errors"
	"fmt"

	"runclamp/bundle"
	"runclamp/enforce"
	"runclamp/enforce/policy"
)

// create decides about a bundle, clamps it and hands over. run is create and start in one process of the delegate.
func (r Runtime) create(inv Invocation) error {
	path, err := bundlePath(inv)
	if err != nil {
		return err
	}
	// First of all, so that nothing has been written if there is nobody to hand over to.
	d, err := r.delegate()
	if err != nil {
		return err
	}
	file, err := policy.Default()
	if err != nil {
		return err
	}
	p, err := file.For(policy.Workload{Engine: policy.Unknown, Kind: policy.Container}, r.Now())
	if err != nil {
		return err
	}
	if err := clamp(path, p); err != nil {
		return err
	}
	return d.exec(inv.With("bundle", path).Argv(), r.Env)
}

// clamp decides about the bundle at path and leaves it as the policy wants it, or as it was.
func clamp(path string, p policy.Policy) (err error) {
	b, err := bundle.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	c, err := b.ReadConfig()
	if err != nil {
		return err
	}
	facts, err := b.Facts(c, p.Controls)
	if err != nil {
		return err
	}
	d := enforce.Decide(enforce.Input{Policy: p.Controls, Facts: facts, Spec: c.Spec})
	if d.Verdict == enforce.Refused {
		return errors.New(d.Refusal(p.Source))
	}
	clamped, err := c.Apply(d.Edits)
	if err != nil {
		return fmt.Errorf("clamping config.json: %w", err)
	}
	return b.Write(c, clamped, bundle.NewRecord(p.Source, d))
}

// bundlePath is absolute. The default is the working directory.
func bundlePath(inv Invocation) (string, error) {
	path, ok := inv.Value("bundle")
	if !ok {
		path = "."
	}
	return absolute(path)
}
