package enforce

import (
	"fmt"
	"slices"
	"strings"

	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// capabilities: the process has no capability that the policy does not allow, in any of the five sets.
//
// An absent process.capabilities means all of them to runc 1.5 and none to runc 1.1, so it is a violation and the sets
// are written out. Allowing a capability adds it to nobody: it is the most a container may have, if it asks for it.
//
// A capability means nothing to a user who is not root unless it is also inheritable and ambient (capabilities(7)).
// Where nonRoot has just moved the process off UID 0, its allowed capabilities are put into those two sets as well, or
// the move would have taken them away.
//
// Docker: --cap-drop ALL --cap-add NAME; Kubernetes: securityContext.capabilities.
func capabilities() Control {
	return Control{
		Name:   "capabilities",
		Fields: []string{"/process/capabilities"},
		Action: func(c policy.Controls) policy.Action { return c.Capabilities.Action },
		Reference: Reference{
			Fix:        "takes away what the policy does not allow",
			Docker:     "--cap-drop ALL --cap-add NAME",
			Compose:    "cap_drop, cap_add",
			Kubernetes: "securityContext.capabilities",
			PSS:        []string{"capabilities_baseline", "capabilities_restricted"},
			CIS:        []string{"5.4"},
			Gatekeeper: []string{"capabilities"},
		},
		Check: checkCapabilities,
	}
}

// capabilitySet is one of the five, under the name that its field has.
type capabilitySet struct {
	name string
	caps []string
}

func capabilitySets(c *specs.LinuxCapabilities) []capabilitySet {
	return []capabilitySet{
		{"bounding", c.Bounding},
		{"effective", c.Effective},
		{"permitted", c.Permitted},
		{"inheritable", c.Inheritable},
		{"ambient", c.Ambient},
	}
}

func checkCapabilities(in Input) []Finding {
	asked := process(in.Spec).Capabilities
	if asked == nil {
		f := Finding{
			Detail: "absent", Pointer: "/process/capabilities",
			Found: "no capability sets, which runc 1.5 takes for every capability", Wanted: "five sets, written out",
			Mend: `say which capabilities are needed: "--cap-drop ALL" and "--cap-add"`,
		}
		for _, s := range capabilitySets(&specs.LinuxCapabilities{}) {
			f.Edits = append(f.Edits, Edit{Set, "/process/capabilities/" + s.name, []string{}})
		}
		return []Finding{f}
	}

	movedOffRoot := process(in.Asked).User.UID == 0 && process(in.Spec).User.UID != 0
	allowed := func(c string) bool { return slices.Contains(in.Policy.Controls.Capabilities.Allow, c) }
	excepted := func(c string) bool { return in.lifted("capabilities", strings.TrimPrefix(c, "CAP_")) }

	var found, lifted []Finding
	named := map[string]bool{}
	var edits []Edit
	for _, s := range capabilitySets(asked) {
		kept := []string{}
		for _, c := range s.caps {
			if allowed(c) || excepted(c) {
				kept = append(kept, c)
			}
			name := strings.TrimPrefix(c, "CAP_")
			if allowed(c) || named[name] {
				continue
			}
			named[name] = true
			f := Finding{
				Detail: name, Pointer: "/process/capabilities/" + s.name,
				Found: "capability " + name, Wanted: "a container without it",
				Mend: fmt.Sprintf(`drop it: "--cap-drop %s", or no "--cap-add" for it (Kubernetes: securityContext.capabilities.drop)`, name),
			}
			if excepted(c) {
				// Here and not by the decision: the sets are edited as a whole, with what is excepted left in.
				f.Action = policy.Audit
				lifted = append(lifted, f)
			} else {
				found = append(found, f)
			}
		}
		if movedOffRoot && (s.name == "inheritable" || s.name == "ambient") {
			kept = append(kept, missingFrom(kept, reachable(asked, func(c string) bool { return allowed(c) || excepted(c) }))...)
		}
		if !slices.Equal(kept, s.caps) {
			edits = append(edits, Edit{Set, "/process/capabilities/" + s.name, kept})
		}
	}
	if len(found) == 0 && len(edits) > 0 {
		found = append(found, Finding{
			Detail: "ambient", Pointer: "/process/capabilities/ambient",
			Found: "capabilities that only root could use", Wanted: "the same for the user it runs as now",
		})
	}
	for i := range found {
		found[i].Edits = []Edit{}
	}
	if len(found) > 0 {
		// A set is edited as a whole, for all that is found in it: removing names one by one would shift the indices of
		// those behind them.
		found[0].Edits = edits
	}
	return append(lifted, found...)
}

// reachable are the capabilities that root would have had when its program started: bounding and permitted ones.
func reachable(c *specs.LinuxCapabilities, allowed func(string) bool) []string {
	var r []string
	for _, name := range c.Permitted {
		if allowed(name) && slices.Contains(c.Bounding, name) && slices.Contains(c.Effective, name) {
			r = append(r, name)
		}
	}
	return r
}

func missingFrom(have, want []string) []string {
	var m []string
	for _, w := range want {
		if !slices.Contains(have, w) {
			m = append(m, w)
		}
	}
	return m
}
