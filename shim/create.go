package shim

import (
	"errors"

	"runclamp/bundle"
	"runclamp/enforce"
	"runclamp/enforce/apparmor"
	"runclamp/enforce/policy"
)

// create decides about a bundle, clamps it and hands over. So do run, which is create and start in one process of the
// delegate, and restore, if the policy allows that at all.
func (r Runtime) create(g Global, inv Invocation) error {
	path, err := bundlePath(inv)
	if err != nil {
		return err
	}
	p, err := r.policy()
	if err != nil {
		return err
	}
	e := r.newEntry(inv)
	e.Delegate = r.to.path
	if err := r.clamp(g, inv, path, p, &e); err != nil {
		return err
	}
	return r.to.exec(inv.With("bundle", path).Argv(), r.Env)
}

// clamp decides about the bundle at path and leaves it as the policy wants it, or as it was.
func (r Runtime) clamp(g Global, inv Invocation, path string, p PolicyFile, e *entry) (err error) {
	e.Mode, e.log, e.Policy = p.Mode, p.Audit, p.provenance(policy.Policy{})
	b, err := bundle.Open(path)
	if err != nil {
		return r.conclude(g, *e, err)
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	c, err := b.ReadConfig()
	if err != nil {
		return r.conclude(g, *e, err)
	}
	j, err := Judge(Asked{Verb: inv.Verb, Beside: r.beside(inv), Root: inv.Root(), ID: inv.ID, Parent: bundle.ParentCommand}, b, c, p, r.Now())
	if err == nil && p.Mode != policy.ModeAudit && len(j.Decision.Prepare) > 0 {
		j.prepare(apparmor.ThisHost(r.RunDir))
	}
	if err == nil && j.Decision.Verdict == enforce.Refused {
		err = refusedError(j.refusal())
	}
	j.tell(e)
	concluded := r.conclude(g, *e, err)
	switch {
	case concluded != nil:
		return concluded
	case err != nil:
		return nil // mode audit: nothing is refused, and there is nothing to record
	case p.Mode == policy.ModeAudit:
		err = b.WriteRecord(c.Bytes(), j.record(p))
	default:
		err = b.Write(c, j.Clamped, j.Decision.Files, j.record(p))
	}
	if err != nil {
		return r.conclude(g, *e, err)
	}
	return nil
}

// beside is what the delegate would make of the command line and the environment, beyond the configuration. 0 descriptors are none.
func (r Runtime) beside(inv Invocation) []string {
	var given []string
	if inv.Bool("no-pivot") {
		given = append(given, enforce.NoPivot)
	}
	if manager, _ := inv.global.last("cgroup-manager"); manager == "disabled" {
		given = append(given, enforce.CgroupManager)
	}
	if inv.Bool("no-new-keyring") {
		given = append(given, enforce.NoNewKeyring)
	}
	if n, ok := inv.Value("preserve-fds"); ok && n != "0" {
		given = append(given, enforce.PreserveFDs)
	}
	if n, ok := lookup(r.Env, "LISTEN_FDS"); ok && n != "" && n != "0" {
		given = append(given, enforce.ListenFDs)
	}
	if s, ok := lookup(r.Env, "NOTIFY_SOCKET"); ok && s != "" {
		given = append(given, enforce.NotifySocket)
	}
	return given
}

// bundlePath is absolute. The default is the working directory.
func bundlePath(inv Invocation) (string, error) {
	path, ok := inv.Value("bundle")
	if !ok {
		path = "."
	}
	return absolute(path)
}
