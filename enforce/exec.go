package enforce

import (
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// HoldExec makes the process of an exec out of the container's own: args, env, cwd and terminal are the caller's, all the
// rest is the container's. The edits are of the container's process, not of a whole configuration.
//
// That is more than clamping what was asked: a process.json inherits next to nothing (runc: no user means UID 0, no
// AppArmor profile means unconfined), so what the caller leaves out must come from the container as well.
//
// It is held to the container and not to the policy: a policy that can't be read stops no probe and no health check.
func HoldExec(container, asked *specs.Process) []Edit {
	edits := []Edit{
		{Set, "/args", asked.Args},
		{Set, "/env", execEnv(container, asked)},
		{Set, "/cwd", asked.Cwd},
		{Set, "/terminal", asked.Terminal},
	}
	if asked.ConsoleSize != nil {
		return append(edits, Edit{Set, "/consoleSize", asked.ConsoleSize})
	}
	return append(edits, Edit{Op: Remove, Pointer: "/consoleSize"})
}

// execEnv is the caller's environment, but for a HOME that the container's user can't use. Engines leave HOME out, and
// the delegate then takes it from the image's passwd, where UID 10001 is not to be found.
func execEnv(container, asked *specs.Process) []string {
	env := slices.Clone(asked.Env)
	if env == nil {
		env = []string{}
	}
	if container.User.UID == asked.User.UID {
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
