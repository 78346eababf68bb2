package enforce

import (
	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// specification: the configuration has what the other controls judge.
//
// The delegate accepts a configuration without a process or a root (config.md: both are optional) and fails later, or
// takes a default. A guarantee about something that is not there is none, so it is refused here.
func specification() Control {
	return Control{
		Name:   "specification",
		Fields: []string{"/process", "/root"},
		Action: func(c policy.Controls) policy.Action { return c.Specification.Action },
		Check: func(in Input) []Finding {
			var found []Finding
			if in.Spec.Process == nil {
				found = append(found, Finding{
					Detail: "process", Pointer: "/process",
					Found: "no process", Wanted: "a process to run",
					Mend: "give the bundle's config.json a process",
				})
			}
			if in.Spec.Root == nil || in.Spec.Root.Path == "" {
				found = append(found, Finding{
					Detail: "root", Pointer: "/root",
					Found: "no root filesystem", Wanted: "a root filesystem with a path",
					Mend: "give the bundle's config.json a root.path",
				})
			}
			return found
		},
	}
}

// process is the configuration's process; an empty one where there is none, so that a control can always look.
func process(s *specs.Spec) *specs.Process {
	if s.Process == nil {
		return &specs.Process{}
	}
	return s.Process
}

// linux is the configuration's linux section; an empty one where there is none.
func linux(s *specs.Spec) *specs.Linux {
	if s.Linux == nil {
		return &specs.Linux{}
	}
	return s.Linux
}
