package enforce

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// execControl is the name that findings about an exec have.
const execControl = "exec"

// ExecSettings say what a container's later execs may do. They are kept with the container: an exec reads no policy, so that
// a policy that can't be read stops no probe and no health check.
type ExecSettings struct {
	Action policy.Action `json:"action"`
	// Lifted are the findings that an exception lifts.
	Lifted []LiftedFinding `json:"lifted,omitempty"`
}

// NewExecSettings are those of a policy.
func NewExecSettings(p policy.Policy) ExecSettings {
	return ExecSettings{Action: p.Controls.Exec.Action, Lifted: liftedOf(execControl, p)}
}

// ExecDecision is what was decided about an exec.
type ExecDecision struct {
	Verdict  Verdict
	Findings []Finding
	// Held: the process is the container's own with the edits made. Otherwise it is what was asked, as it was asked.
	Held bool
	// Edits are of the container's process, not of a whole configuration.
	Edits []Edit
}

// Refusal is the one line that a person reads when an exec was refused.
func (d ExecDecision) Refusal(source string) string {
	return Decision{Findings: d.Findings}.Refusal(source)
}

// DecideExec holds the process of an exec against the container's own. Unless the policy has switched the control off, or
// only wants a record, the process is made out of the container's: args, env, cwd and terminal are the caller's, all the
// rest is the container's.
//
// That is more than clamping what was asked: a process.json inherits next to nothing (runc: no user means UID 0, no
// AppArmor profile means unconfined), so what the caller leaves out must come from the container as well.
func DecideExec(s ExecSettings, container, asked *specs.Process, now time.Time) ExecDecision {
	d := ExecDecision{Verdict: Unchanged}
	if s.Action == policy.Off {
		return d
	}
	given := map[string]bool{}
	for _, f := range beyondContainer(container, asked) {
		f.Control = execControl
		f.Action = settle(s.Action, f)
		if lifted(s.Lifted, f, now) {
			f.Action = policy.Audit
			given[f.Pointer] = true
		}
		d.Verdict = worse(d.Verdict, f.Action)
		d.Findings = append(d.Findings, f)
	}
	if s.Action == policy.Audit || d.Verdict == Refused {
		return d
	}
	d.Held = true
	d.Edits = []Edit{
		{Set, "/args", asked.Args},
		{Set, "/env", execEnv(container, asked, given["/user"])},
		{Set, "/cwd", asked.Cwd},
		{Set, "/terminal", asked.Terminal},
		{Op: Remove, Pointer: "/consoleSize"},
	}
	if asked.ConsoleSize != nil {
		d.Edits[len(d.Edits)-1] = Edit{Set, "/consoleSize", asked.ConsoleSize}
	}
	// What an exception gives is the caller's own again.
	for _, e := range []Edit{
		{Set, "/user", asked.User},
		{Set, "/capabilities", asked.Capabilities},
		{Set, "/noNewPrivileges", asked.NoNewPrivileges},
		{Set, "/apparmorProfile", asked.ApparmorProfile},
	} {
		if given[e.Pointer] {
			d.Edits = append(d.Edits, e)
		}
	}
	return d
}

// beyondContainer is what a process asks for and the container's own does not have. Engines send their own idea of it with
// every exec: the user and the capabilities as they were before the clamp.
func beyondContainer(container, asked *specs.Process) []Finding {
	const drop = `leave out "--user" and "--privileged"; what runs in a container has what the container has`
	var found []Finding
	switch {
	case asked.User.UID == 0 && container.User.UID != 0:
		found = append(found, Finding{Detail: "root", Pointer: "/user", Found: "UID 0 (root)", Wanted: "the container's user", Mend: drop, Edits: []Edit{}})
	case asked.User.UID != container.User.UID, asked.User.GID != container.User.GID, hasOther(asked.User.AdditionalGids, container.User.AdditionalGids):
		found = append(found, Finding{Detail: "user", Pointer: "/user", Found: "another user or group", Wanted: "the container's user", Mend: drop, Edits: []Edit{}})
	}
	if more := moreCapabilities(container.Capabilities, asked.Capabilities); len(more) > 0 {
		found = append(found, Finding{Detail: "capabilities", Pointer: "/capabilities", Found: "capabilities " + strings.Join(more, ", "), Wanted: "the container's", Mend: drop, Edits: []Edit{}})
	}
	if container.NoNewPrivileges && !asked.NoNewPrivileges {
		found = append(found, Finding{Detail: "noNewPrivileges", Pointer: "/noNewPrivileges", Found: "programs may gain privileges", Wanted: "no-new-privileges", Mend: drop, Edits: []Edit{}})
	}
	if amongDescriptors(asked.Cwd) {
		found = append(found, Finding{
			Detail: "cwd", Pointer: "/cwd", Found: fmt.Sprintf("the working directory %q, where descriptors lead out of the container", asked.Cwd), Wanted: "a folder of the container's",
			Mend: `use "--workdir" with another folder`,
		})
	}
	if asked.ApparmorProfile != container.ApparmorProfile {
		found = append(found, Finding{Detail: "appArmor", Pointer: "/apparmorProfile", Found: "another AppArmor profile", Wanted: "the container's", Mend: drop, Edits: []Edit{}})
	}
	return found
}

func hasOther(gids, than []uint32) bool {
	return slices.ContainsFunc(gids, func(g uint32) bool { return !slices.Contains(than, g) })
}

func moreCapabilities(container, asked *specs.LinuxCapabilities) []string {
	if asked == nil {
		return nil // runc takes the container's
	}
	if container == nil {
		container = &specs.LinuxCapabilities{}
	}
	var more []string
	has := capabilitySets(container)
	for i, s := range capabilitySets(asked) {
		for _, c := range missingFrom(has[i].caps, s.caps) {
			if name := strings.TrimPrefix(c, "CAP_"); !slices.Contains(more, name) {
				more = append(more, name)
			}
		}
	}
	slices.Sort(more)
	return more
}

// execEnv is the caller's environment, but for a HOME that the container's user can't use. Engines leave HOME out, and
// the delegate then takes it from the image's passwd, where UID 10001 is not to be found.
func execEnv(container, asked *specs.Process, ownUser bool) []string {
	env := slices.Clone(asked.Env)
	if env == nil {
		env = []string{}
	}
	if ownUser || container.User.UID == asked.User.UID {
		return env
	}
	home, ok := lastHome(container.Env)
	if !ok {
		return env
	}
	set := false
	for i, e := range env {
		if v, is := strings.CutPrefix(e, "HOME="); is {
			set = true
			if unusableHome(v) {
				env[i] = "HOME=" + home
			}
		}
	}
	if !set {
		env = append(env, "HOME="+home)
	}
	return env
}

func lastHome(env []string) (string, bool) {
	for _, e := range slices.Backward(env) {
		if v, ok := strings.CutPrefix(e, "HOME="); ok {
			return v, true
		}
	}
	return "", false
}
