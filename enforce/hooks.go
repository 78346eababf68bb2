package enforce

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// hooks: no program runs on the host because a container asks for it.
//
// The runtime runs hooks as root: prestart, createRuntime, poststart and poststop in its own namespaces, createContainer with
// the host's files still in sight, startContainer in the container (config.md, POSIX-platform Hooks). Docker's own, by which a
// container gets its network, is recognised. Others have to be listed, by the path that they have when all links are resolved.
// Of whatever is run, nobody but root may be able to change the program or the folders above it. What arguments
// it gets is not looked at: a shell should not be on the list.
//
// No flag of Docker or field of Kubernetes is about hooks. Podman and CRI-O take them from hooks.d, NVIDIA's runtime adds one.
func hooks() Control {
	return Control{
		Name:   "hooks",
		Fields: []string{"/hooks"},
		Action: func(c policy.Controls) policy.Action { return c.Hooks.Action },
		Reference: Reference{
			Docker:     "nothing to say: it has no flag for them",
			Compose:    "nothing to say",
			Kubernetes: "nothing to say",
		},
		Check: checkHooks,
	}
}

// Hook is the program that a hook's path leads to.
type Hook struct {
	// Path is without links. That of /proc/<pid>/exe is the program's own.
	Path string
	// Problem says why it can't be run: it is not there, or others than root can change it.
	Problem string
}

// AllHooks are the hooks of a configuration by the lists that they are in.
func AllHooks(h *specs.Hooks) map[string][]specs.Hook {
	if h == nil {
		return nil
	}
	return map[string][]specs.Hook{
		//lint:ignore SA1019 prestart is what Docker sends
		"prestart":      h.Prestart,
		"createRuntime": h.CreateRuntime, "createContainer": h.CreateContainer, "startContainer": h.StartContainer,
		"poststart": h.Poststart, "poststop": h.Poststop,
	}
}

func checkHooks(in Input) []Finding {
	var found []Finding
	all := AllHooks(in.Spec.Hooks)
	for _, list := range []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"} {
		for i, h := range all[list] {
			if f, ok := checkHook(in, list, h); ok {
				f.Pointer = fmt.Sprintf("/hooks/%s/%d", list, i)
				found = append(found, f)
			}
		}
	}
	return found
}

func checkHook(in Input, list string, h specs.Hook) (Finding, bool) {
	program, ok := in.Facts.Hooks[h.Path]
	if !ok {
		program = Hook{Problem: "nobody looked at it"}
	}
	shown := program.Path
	if shown == "" {
		shown = h.Path
	}
	shown = cut(shown)
	f := Finding{
		Detail: shown, Found: fmt.Sprintf("%s, which runs on the host as root", shown), Wanted: "no hooks but the engine's own",
		Mend: "take it out of hooks.d or whatever adds it, or list its path in the policy (hooks.allow)",
	}
	loader := func(env []string) bool {
		return slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, "LD_") })
	}
	switch {
	case program.Problem == "" && (list == "prestart" || list == "createRuntime") && dockersOwn(program.Path, h):
		return f, false
	case !slices.Contains(in.Policy.Controls.Hooks.Allow, program.Path) || program.Path == "":
	case program.Problem != "":
		f.Detail = "untrusted:" + shown
		f.Found += ": " + program.Problem
		f.Wanted, f.Mend = "a program that only root can change", "make it and the folders above it root's, and writable by nobody else"
	case loader(h.Env), list == "createContainer" && len(h.Env) == 0 && loader(process(in.Spec).Env):
		// With no environment of its own, a createContainer hook has the container's under runc 1.1 (CVE-2025-23266).
		f.Detail = "environment:" + shown
		f.Found += ", with a variable that loads other code into it"
		f.Wanted, f.Mend = "none whose name begins with LD_", "drop it from the hook's environment and from the container's"
	default:
		return f, false
	}
	return f, true
}

// dockersOwn: dockerd has itself called to learn of the container's network namespace (moby, libnetwork/sandbox_externalkey_unix.go):
// for every container before Docker 28, and for the steps of builds after that (moby #52488). It is the program dockerd,
// with exactly these arguments: another program would take them for something else.
func dockersOwn(program string, h specs.Hook) bool {
	args := h.Args
	if path.Base(program) != "dockerd" || len(h.Env) > 0 || len(args) == 0 || args[0] != "libnetwork-setkey" {
		return false
	}
	args = args[1:]
	if len(args) == 3 && regexp.MustCompile(`^-exec-root=(/[A-Za-z0-9._-]+)+$`).MatchString(args[0]) {
		args = args[1:]
	}
	id := regexp.MustCompile(`^[a-z0-9]{1,64}$`)
	return len(args) == 2 && id.MatchString(args[0]) && id.MatchString(args[1])
}
