package enforce

import "runclamp/enforce/policy"

// checkpoint: a container is neither frozen into an image nor restored from one.
//
// CRIU restores user, capabilities, seccomp filter and labels from the image; config.json has no say in them. So restore
// gets round every other control, and checkpoint would end a container that can't be brought back.
//
// Docker: docker checkpoint create, docker start --checkpoint; Podman: podman container checkpoint and restore.
func checkpoint() Control {
	return Control{
		Name:   "checkpoint",
		Action: func(c policy.Controls) policy.Action { return c.Checkpoint.Action },
		Reference: Reference{
			Docker: "no docker checkpoint create, no docker start --checkpoint",
		},
		Check: func(in Input) []Finding {
			if in.Verb != "checkpoint" && in.Verb != "restore" {
				return nil
			}
			return []Finding{{
				Found:  "a restored container takes its user, capabilities and seccomp filter from the image, not from its configuration",
				Wanted: "a container that is started anew",
				Mend:   "start it anew, with its data on a volume",
			}}
		},
	}
}

// DecideCheckpoint decides about the verb checkpoint, which has no configuration to judge.
func DecideCheckpoint(in Input) Decision { return decide(in, []Control{checkpoint()}) }
