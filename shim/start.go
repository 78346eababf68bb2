package shim

import (
	"errors"
	"fmt"

	"runclamp/bundle"
	"runclamp/enforce/policy"
)

// start lets a created container run, if it is one that was decided about.
func (r Runtime) start(g Global, inv Invocation) error {
	c, err := findContainer(inv)
	if err == nil && c.record == nil {
		err = fmt.Errorf("container %q: %w: it was created by another runtime; create it with runclamp", inv.ID, bundle.ErrNoRecord)
	}
	if err != nil {
		e := r.newEntry(inv)
		r.judgedBy(c.record, &e)
		if err := r.conclude(g, e, err); err != nil {
			return err
		}
	}
	return r.handOver(inv.Argv())
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
}

// workload is who it was found to be when it was made.
func (c container) workload() policy.Workload {
	if c.record == nil {
		return policy.Workload{Engine: policy.Unknown}
	}
	return c.record.Workload
}

func findContainer(inv Invocation) (c container, err error) {
	b, err := bundle.OfContainer(inv.Root(), inv.ID)
	if err != nil {
		return container{}, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if c.config, err = b.ReadConfig(); err != nil {
		return container{}, err
	}
	record, err := b.ReadRecord(c.config)
	switch {
	case err == nil:
		c.record = &record
	case errors.Is(err, bundle.ErrNoRecord):
	default:
		return container{}, err
	}
	return c, nil
}
