package shim

import (
	"runclamp/enforce"
)

// checkpoint is refused unless the policy allows it, before it stops a container that could not be brought back: restore is
// judged by the same control.
func (r Runtime) checkpoint(g Global, inv Invocation) error {
	p, err := r.policy()
	if err != nil {
		return err
	}
	e := r.newEntry(inv)
	e.Mode, e.log = p.Mode, p.Audit
	c, err := findContainer(inv)
	if err == nil {
		e.Workload = c.workload()
		err = r.judgeCheckpoint(inv, p, &e)
	}
	if err := r.conclude(g, e, err); err != nil {
		return err
	}
	return r.handOver(inv.Argv())
}

func (r Runtime) judgeCheckpoint(inv Invocation, p PolicyFile, e *entry) error {
	resolved, err := p.resolve(e.Workload, r.Now())
	if err != nil {
		return err
	}
	e.Policy = p.provenance(resolved)
	d := enforce.DecideCheckpoint(enforce.Input{Policy: resolved, Workload: e.Workload, Verb: inv.Verb})
	e.Verdict, e.Findings = d.Verdict, append(e.Findings, d.Findings...)
	if d.Verdict == enforce.Refused {
		return refusedError(d.Refusal(resolved.Source))
	}
	return nil
}
