package shim

import (
	"errors"
	"fmt"

	"runclamp/bundle"
)

// start lets a created container run, if it is one that was decided about.
func (r Runtime) start(inv Invocation) (err error) {
	c, err := findContainer(inv)
	if err != nil {
		return err
	}
	if !c.recorded {
		return fmt.Errorf("container %q: %w: it was created by another runtime; create it with runclamp", inv.ID, bundle.ErrNoRecord)
	}
	return r.handOver(inv.Argv())
}

// container is a container that exists.
type container struct {
	config *bundle.Config
	// recorded: it was decided about, and its configuration is the one that was decided about.
	recorded bool
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
	_, err = b.ReadRecord(c.config)
	switch {
	case err == nil:
		c.recorded = true
	case errors.Is(err, bundle.ErrNoRecord):
	default:
		return container{}, err
	}
	return c, nil
}
