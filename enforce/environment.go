package enforce

import (
	"fmt"
	"slices"
	"strings"

	"runclamp/enforce/policy"
)

// environment: it is on record if the container's programs load other code than their own.
//
// The dynamic linker takes LD_PRELOAD, LD_AUDIT and LD_LIBRARY_PATH for code to load into every program (ld.so(8)). Images
// use them in good faith, for another malloc for example, and with no-new-privileges there is no program that has more than
// who sets them. So the presets record them and change nothing.
//
// Docker: -e; compose: environment; Kubernetes: env.
func environment() Control {
	return Control{
		Name:   "environment",
		Fields: []string{"/process/env"},
		Action: func(c policy.Controls) policy.Action { return c.Environment.Action },
		Reference: Reference{
			Docker:     "no -e LD_PRELOAD, LD_AUDIT, LD_LIBRARY_PATH",
			Compose:    "environment",
			Kubernetes: "env",
		},
		Check: func(in Input) []Finding {
			var found []Finding
			for i, variable := range process(in.Spec).Env {
				name, _, _ := strings.Cut(variable, "=")
				if !slices.Contains(in.Policy.Controls.Environment.Deny, name) {
					continue
				}
				found = append(found, Finding{
					Detail: cut(name), Pointer: fmt.Sprintf("/process/env/%d", i),
					// Never its value.
					Found: "the variable " + cut(name), Wanted: "programs that load their own code only",
					Mend: fmt.Sprintf(`drop "-e %s=…" (compose: environment, Kubernetes: env), or ENV from the image`, cut(name)),
				})
			}
			return found
		},
	}
}
