package enforce

import (
	"cmp"
	"fmt"
	"slices"

	"runclamp/enforce/policy"
)

// maxEdits is the most that one finding may take to mend. Each edit copies the list that it is in, so a configuration that asks
// for very many would keep the host busy for hours. What engines send takes a few dozen.
const maxEdits = 500

// Decide holds a configuration against a policy. It always comes to a verdict, and finds all there is to find at once.
// in.Spec is not changed.
func Decide(in Input) Decision { return decide(in, Controls()) }

func decide(in Input, controls []Control) Decision {
	in.Asked = in.Spec
	d := Decision{Verdict: Unchanged}
	for _, c := range controls {
		action := c.Action(in.Policy.Controls)
		if action == policy.Off {
			continue
		}
		found := c.Check(in)
		for i := range found {
			found[i].Control = c.Name
			if len(found[i].Edits) > maxEdits {
				found[i].Wanted += fmt.Sprintf(" (which takes %d edits, and at most %d are made)", len(found[i].Edits), maxEdits)
				found[i].Edits = nil
			}
			found[i].Action = settle(action, found[i])
		}
		lift(found, in.lifted)
		for _, f := range found {
			if f.Action == policy.Fix {
				var err error
				if in.Spec, err = applyAll(in.Spec, f.Edits); err != nil {
					// An edit that does not apply is an error in the control. The container must not start because of it.
					f.Action = policy.Reject
					f.Wanted = fmt.Sprintf("%s (internal error: %v)", f.Wanted, err)
				}
				d.Edits = append(d.Edits, f.Edits...)
				for name, text := range f.Files {
					if d.Files == nil {
						d.Files = map[string]string{}
					}
					d.Files[name] = text
				}
				for _, p := range f.Load {
					d.Prepare = append(d.Prepare, Preparation{c.Name, p})
				}
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
		d.Edits, d.Files, d.Prepare, d.Spec = nil, nil, nil, nil
	}
	return d
}

// Unprepared is the decision after one of its preparations has failed: refused, by the findings that needed it.
func (d Decision) Unprepared(p Preparation, why error) Decision {
	d.Findings = slices.Clone(d.Findings)
	for i, f := range d.Findings {
		if f.Control == p.Control && slices.Contains(f.Load, p.Profile) {
			d.Findings[i].Action = policy.Reject
			d.Findings[i].Wanted += fmt.Sprintf(", which can't be loaded (%v)", why)
		}
	}
	d.Verdict = Refused
	d.Edits, d.Files, d.Prepare, d.Spec = nil, nil, nil, nil
	return d
}

// lifted: an exception allows the finding, by its control or by its whole name.
func (in Input) lifted(control, detail string) bool {
	name := Finding{Control: control, Detail: detail}.Name()
	return slices.ContainsFunc(in.Policy.Exceptions, func(e policy.Exception) bool {
		return slices.Contains(e.Allow, control) || slices.Contains(e.Allow, name)
	})
}

// lift turns what an exception allows into a record. Findings that are mended together are lifted together or not at all:
// half of such an edit can't be made.
func lift(found []Finding, lifted func(control, detail string) bool) {
	for start := 0; start < len(found); {
		end := start + 1
		for end < len(found) && found[end].Edits != nil && len(found[end].Edits) == 0 {
			end++
		}
		group := found[start:end]
		if !slices.ContainsFunc(group, func(f Finding) bool { return !lifted(f.Control, f.Detail) }) {
			for i := range group {
				group[i].Action = policy.Audit
			}
		}
		start = end
	}
}

// settle is what happens to a finding under an action of the policy. An action that is not known refuses.
func settle(a policy.Action, f Finding) policy.Action {
	switch {
	case a == policy.Audit || f.Action == policy.Audit:
		return policy.Audit
	case a == policy.Reject && f.Action == policy.Fix && f.Edits != nil:
		return policy.Fix
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
