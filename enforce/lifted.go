package enforce

import (
	"slices"
	"strings"
	"time"

	"runclamp/enforce/policy"
)

// LiftedFinding is a finding that an exception lifts: "exec", "exec:root". A container may outlive the exception, so what is
// kept with it says for how long.
type LiftedFinding struct {
	Name string `json:"name"`
	// Expires is the last day that it holds, in UTC.
	Expires string `json:"expires"`
}

// liftedOf are a control's findings that the policy's exceptions lift.
func liftedOf(control string, p policy.Policy) []LiftedFinding {
	var found []LiftedFinding
	for _, e := range p.Exceptions {
		for _, name := range e.Allow {
			if of, _, _ := strings.Cut(name, ":"); of == control {
				found = append(found, LiftedFinding{name, e.Expires})
			}
		}
	}
	return found
}

// lifted: one of them lifts the finding, today.
func lifted(by []LiftedFinding, f Finding, now time.Time) bool {
	return slices.ContainsFunc(by, func(l LiftedFinding) bool {
		return (l.Name == f.Control || l.Name == f.Name()) && !policy.Exception{Expires: l.Expires}.Expired(now)
	})
}
