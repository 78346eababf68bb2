package enforce

import (
	"cmp"
	"fmt"
	"slices"

	"runclamp/enforce/policy"
)

// Decide holds a configuration against a policy. It always comes to a verdict, and finds all there is to find at once.
// in.Spec is not changed.
func Decide(in Input) Decision {
	in.Asked = in.Spec
	d := Decision{Verdict: Unchanged}
	for _, c := range Controls() {
		action := c.Action(in.Policy)
		if action == policy.Off {
			continue
		}
		for _, f := range c.Check(in) {
			f.Control = c.Name
			f.Action = settle(action, f)
			switch f.Action {
			case policy.Audit:
			case policy.Fix:
				for _, e := range f.Edits {
					changed, err := apply(in.Spec, e)
					if err != nil {
						// An edit that does not apply is an error in the control. The container must not start because of it.
						f.Action = policy.Reject
						f.Wanted = fmt.Sprintf("%s (internal error: %v)", f.Wanted, err)
						break
					}
					in.Spec = changed
				}
				d.Edits = append(d.Edits, f.Edits...)
			}
			d.Verdict = worse(d.Verdict, f.Action)
			d.Findings = append(d.Findings, f)
		}
	}
	slices.SortStableFunc(d.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Control, b.Control), cmp.Compare(a.Pointer, b.Pointer), cmp.Compare(a.Detail, b.Detail))
	})
	d.Spec = in.Spec
	if d.Verdict == Refused {
		d.Edits, d.Spec = nil, nil
	}
	return d
}

// settle is what happens to a finding under an action of the policy. An action that is not known refuses.
func settle(a policy.Action, f Finding) policy.Action {
	switch {
	case a == policy.Audit || f.Action == policy.Audit:
		return policy.Audit
	case a == policy.Fix && f.Action != policy.Reject && f.Edits != nil:
		return policy.Fix
	default:
		return policy.Reject
	}
}

func worse(v Verdict, a policy.Action) Verdict {
	switch {
	case v == Refused || a == policy.Reject:
		return Refused
	case v == Fixed || a == policy.Fix:
		return Fixed
	default:
		return v
	}
}
