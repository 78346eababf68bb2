package shim

import (
	"fmt"
	"slices"
	"time"

	"runclamp/bundle"
	"runclamp/enforce"
	"runclamp/enforce/policy"
)

// Asked is what an engine asks for with a bundle.
type Asked struct {
	// Verb is create, run or restore.
	Verb string
	// Beside is what the command line and the environment add to the configuration (enforce.NoPivot and the like).
	Beside []string
	// Root is the folder of the delegate's records, and ID the container's: they say which engine it is.
	Root, ID string
	// Parent is the command line of the process that called the runtime.
	Parent func() []string
}

// Judgement is what was decided about a bundle, and what it was decided by. Nothing has been changed yet.
type Judgement struct {
	Workload policy.Workload
	Policy   policy.Policy
	Decision enforce.Decision
	// Changes are what the decision's edits do to the text, Clamped is what comes of it.
	Changes []bundle.Change
	Clamped []byte
	// provenance says where the policy came from.
	provenance bundle.Policy
	mounts     enforce.MountSettings
}

// Judge decides about a configuration. With an error comes what was known by then.
func Judge(a Asked, b *bundle.Bundle, c *bundle.Config, p PolicyFile, now time.Time) (j Judgement, err error) {
	j.Workload = b.Identify(c, a.Root, a.ID, a.Parent)
	if j.Policy, err = p.resolve(j.Workload, now); err != nil {
		return j, err
	}
	j.provenance = p.provenance(j.Policy)
	if j.Policy.RequireProof && a.Verb != "create" {
		return j, fmt.Errorf("%s: it creates and starts in one step, between which nothing can be proved, and the policy requires that (requireProof): use create and start", a.Verb)
	}
	facts, err := b.Facts(c, j.Policy.Controls, bundle.Host{Sys: "/sys", Proc: "/proc", UserNamespace: p.unchecked})
	if err != nil {
		return j, err
	}
	if facts.Mounts, err = b.MountFacts(c, j.Workload, a.ID, j.Policy.Controls); err != nil {
		return j, err
	}
	facts.AppArmor.Own, facts.AppArmor.Problem = p.OwnProfile(j.Policy.Controls.AppArmor)
	facts.Devices = bundle.DeviceFacts(j.Policy.Controls)
	if facts.Seccomp, err = p.seccompFacts(j.Policy.Controls.Seccomp); err != nil {
		return j, err
	}
	if facts.Program, err = b.Program(c, j.Policy.Controls.Seccomp); err != nil {
		return j, err
	}
	j.Decision = enforce.Decide(enforce.Input{Policy: j.Policy, Workload: j.Workload, Verb: a.Verb, Beside: a.Beside, Facts: facts, Spec: c.Spec})
	j.mounts = enforce.NewMountSettings(j.Policy, facts, j.Decision.Spec)
	if j.Clamped, j.Changes, err = c.Apply(j.Decision.Edits); err != nil {
		return j, fmt.Errorf("clamping config.json: %w", err)
	}
	return j, nil
}

// refusal is what the user reads. An exception that would have lifted what is refused, and has expired, is named: nobody
// finds that by himself.
func (j Judgement) refusal() string {
	source := j.Policy.Source
	for _, e := range j.Policy.Expired {
		if slices.ContainsFunc(j.Decision.Findings, func(f enforce.Finding) bool {
			return f.Action == policy.Reject && (slices.Contains(e.Allow, f.Control) || slices.Contains(e.Allow, f.Name()))
		}) {
			source += fmt.Sprintf("; exception %s expired on %s", e.Name, e.Expires)
		}
	}
	return j.Decision.Refusal(source)
}

// tell fills the audit entry with what is known.
func (j Judgement) tell(e *entry) {
	e.Workload, e.Policy = j.Workload, j.provenance
	e.Verdict, e.Findings, e.changes = j.Decision.Verdict, append(e.Findings, j.Decision.Findings...), j.Changes
}

// record is what is kept for the verbs that come after create.
func (j Judgement) record(p PolicyFile) bundle.Record {
	return bundle.Record{
		Source: j.Policy.Source, Policy: j.provenance, Workload: j.Workload, Mode: p.Mode, Verdict: j.Decision.Verdict,
		Proof: bundle.ProofNone, RequireProof: j.Policy.RequireProof,
		Exec: enforce.NewExecSettings(j.Policy), Resources: enforce.NewResourceSettings(j.Policy), Mounts: j.mounts, Audit: j.Policy.Audit, Findings: j.Decision.Findings,
	}
}
