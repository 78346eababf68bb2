package shim

import "errors"

// restore is refused, and so is checkpoint, before it stops a container that could not be brought back.
//
// CRIU restores user, capabilities, seccomp and labels from the image; config.json has no say in them.
func (r Runtime) restore(Invocation) error {
	return errors.New("checkpoint: a restored container takes its user, capabilities and seccomp filter from the image, not from its configuration; start it anew")
}
