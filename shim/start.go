package shim

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"runclamp/bundle"
	"runclamp/enforce"
	"runclamp/enforce/policy"
	"runclamp/enforce/proof"
)

// start lets a created container run, if it is one that was decided about, and if the kernel says that what was decided is in
// force.
func (r Runtime) start(g Global, inv Invocation) error {
	e := r.newEntry(inv)
	c, err := findContainer(inv)
	r.judgedBy(c.record, &e)
	e.Delegate = r.to.path
	switch {
	case err != nil:
	case c.record == nil:
		err = fmt.Errorf("container %q: %w: it was created by another runtime; create it with runclamp", inv.ID, bundle.ErrNoRecord)
	default:
		err = prove(c, r.host, r.Now(), &e)
	}
	if err := r.conclude(g, e, err); err != nil {
		return err
	}
	return r.to.exec(inv.Argv(), r.Env)
}

// prove holds the process that waits for its start against the configuration that was decided about. What could not be read is
// recorded, or in the way if the policy requires the proof.
func prove(c container, h Host, now time.Time, e *entry) error {
	found, mounted := proofOf(c, h, now)
	d := enforce.Decision{Verdict: enforce.Unchanged, Findings: found}
	e.Proof = bundle.ProofPassed
	for i := range found {
		switch {
		case found[i].Action == policy.Reject:
			e.Proof, d.Verdict = bundle.ProofFailed, enforce.Refused
			continue
		case e.Proof == bundle.ProofPassed:
			e.Proof = bundle.ProofNone
		}
		if c.record.RequireProof {
			found[i].Action, d.Verdict = policy.Reject, enforce.Refused
			found[i].Mend = "the policy requires the proof (requireProof)"
		}
	}
	// What the policy says of mounts holds for them, and no proof has to be required.
	for _, f := range mounted {
		if f.Action == policy.Reject {
			e.Proof, d.Verdict = bundle.ProofFailed, enforce.Refused
		}
	}
	d.Findings = append(found, mounted...)
	e.Verdict, e.Findings = d.Verdict, append(e.Findings, d.Findings...)
	if d.Verdict == enforce.Refused {
		return refusedError(d.Refusal(c.record.Source))
	}
	return nil
}

// proofOf is what is found of the process, and of its mounts, whose sources were judged when they were not made yet.
func proofOf(c container, h Host, now time.Time) (found, mounted []enforce.Finding) {
	if c.init.PID <= 0 {
		return []enforce.Finding{proof.NotRead("", errors.New("the delegate's record has no process"))}, nil
	}
	facts, err := c.facts(h.UserNamespace, false)
	if err != nil {
		return []enforce.Finding{proof.NotRead("", err)}, nil
	}
	return c.hold(facts, now)
}

// facts are the process's now. started: it has executed its program.
func (c container) facts(rootless, started bool) (proof.Facts, error) {
	host := proof.ThisHost()
	host.FilterLast, host.Rootless, host.Started = c.crun, rootless, started
	facts, err := proof.Read(host, proof.Process{PID: c.init.PID, Start: c.init.Start}, c.config.Spec)
	if err != nil {
		return facts, err
	}
	if p := c.config.Spec.Process; p != nil && p.ApparmorProfile != "" {
		if facts.AppArmor, err = (bundle.Host{Sys: "/sys"}).AppArmor(); err != nil {
			facts.Unread = append(facts.Unread, proof.Gap{Fact: proof.AppArmor, Err: err})
		}
	}
	return facts, nil
}

// hold holds facts against the configuration, and what is mounted against what was decided about it.
func (c container) hold(facts proof.Facts, now time.Time) (found, mounted []enforce.Finding) {
	mounts, at := facts.Mounted(c.config.Spec)
	return proof.Hold(c.config.Spec, facts), enforce.DecideMounted(c.record.Mounts, c.config.Spec, mounts, at, now)
}

// judgedBy fills an entry from a container's record. A container that has none was not made by runclamp; what the policy says of
// logging and of mode audit then holds, if there is one that can be read.
func (r Runtime) judgedBy(record *bundle.Record, e *entry) {
	if record != nil {
		e.Workload, e.Policy, e.Mode, e.log = record.Workload, record.Policy, record.Mode, record.Audit
		return
	}
	e.Unmanaged = true
	// A policy that can't be read stops creates, and nothing else.
	if p, err := r.policy(); err == nil {
		e.Mode, e.log, e.Policy = p.Mode, p.Audit, p.provenance(policy.Policy{})
	}
}

// container is a container that exists.
type container struct {
	config *bundle.Config
	// record is of the decision about it. Nil: there was none. Otherwise its configuration is the one that was decided about.
	record *bundle.Record
	// init is its first process.
	init bundle.Init
	// crun made it.
	crun bool
}

// workload is who it was found to be when it was made.
func (c container) workload() policy.Workload {
	if c.record == nil {
		return policy.Workload{Engine: policy.Unknown}
	}
	return c.record.Workload
}

func findContainer(inv Invocation) (container, error) {
	c, err := readContainer(inv.dialect, inv.Root(), inv.ID)
	if errors.Is(err, bundle.ErrNoContainer) {
		err = anothers(inv, err)
	}
	return c, err
}

// readContainer has the configuration also where the error is the record's.
func readContainer(d Dialect, root, id string) (c container, err error) {
	b, init, err := d.ofContainer(root, id)
	if err != nil {
		return container{}, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	c.init, c.crun = init, d.Name == Crun().Name
	if c.config, err = b.ReadConfig(); err != nil {
		return container{}, err
	}
	record, err := b.ReadRecord(c.config)
	switch {
	case err == nil:
		c.record = &record
	case errors.Is(err, bundle.ErrNoRecord):
	default:
		return c, err
	}
	return c, nil
}

// anothers says so where the other delegate knows the container: it was made before the delegate was exchanged.
func anothers(inv Invocation, err error) error {
	other := Runc()
	if inv.dialect.Name == other.Name {
		other = Crun()
	}
	b, _, otherErr := other.ofContainer(filepath.Join(filepath.Dir(inv.Root()), strings.Replace(filepath.Base(inv.Root()), inv.dialect.Name, other.Name, 1)), inv.ID)
	if otherErr != nil {
		return err
	}
	return errors.Join(fmt.Errorf("container %q was made by %s, and the delegate is %s, which does not know it: remove it with %s and create it again",
		inv.ID, other.Name, inv.dialect.Name, other.Name), b.Close())
}
