package shim

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// known ends an error about a word that is not in the grammar.
const known = "runclamp knows the command line of runc 1.1 to 1.5"

// setting is a flag as it was given. A flag without a value has "true" or "false".
type setting struct {
	flag  flag
	value string
}

func (s setting) String() string {
	switch {
	case s.flag.value:
		return "--" + s.flag.name + "=" + s.value
	case s.value == "true":
		return "--" + s.flag.name
	default:
		return "--" + s.flag.name + "=" + s.value
	}
}

type settings []setting

// last is what runc takes of a flag.
func (s settings) last(name string) (string, bool) {
	for _, f := range slices.Backward(s) {
		if f.flag.name == name {
			return f.value, true
		}
	}
	return "", false
}

// Global is what stands before the verb.
type Global struct{ settings settings }

// Log is the file that errors go to, and its format. No file: stderr only.
func (g Global) Log() (path, format string) {
	path, _ = g.settings.last("log")
	format, _ = g.settings.last("log-format")
	return path, format
}

// ParseGlobal takes the global flags off a command line, without the program's name. For a call for help or the version, and
// for none at all, the verb is "--help" or "--version".
//
// What was read up to an error comes back with it, so that the error can be logged.
func ParseGlobal(args []string) (g Global, verb string, rest []string, err error) {
	for len(args) > 0 {
		word := args[0]
		switch {
		case word == "--help", word == "-h":
			return g, "--help", nil, nil
		case word == "--version", word == "-v":
			return g, "--version", nil, nil
		case !strings.HasPrefix(word, "-"):
			return g, word, args[1:], nil
		}
		var s setting
		if s, args, err = takeFlag(globalFlags(), args, ""); err != nil {
			return g, "", nil, err
		}
		g.settings = append(g.settings, s)
	}
	return g, "--help", nil, nil
}

// takeFlag takes a flag, and its value, off the front of args. runc (urfave/cli v1, Go's flag package) takes -flag for
// --flag, and the value behind = or as the next word.
func takeFlag(flags []flag, args []string, verb string) (setting, []string, error) {
	word := args[0]
	dashes := 1
	if strings.HasPrefix(word, "--") {
		dashes = 2
	}
	name, value, joined := strings.Cut(word[dashes:], "=")
	f, ok := find(flags, name)
	if !ok {
		return setting{}, nil, fmt.Errorf("unknown flag %q%s; %s", dashesAndName(word), forVerb(verb), known)
	}
	args = args[1:]
	switch {
	case !f.value && !joined:
		return setting{f, "true"}, args, nil
	case !f.value:
		if value != "true" && value != "false" {
			return setting{}, nil, fmt.Errorf("--%s=%s: write --%s, or --%s=false", f.name, value, f.name, f.name)
		}
	case !joined:
		if len(args) == 0 {
			return setting{}, nil, fmt.Errorf("--%s has no value", f.name)
		}
		value, args = args[0], args[1:]
		// runc would take it, and whoever forgot a value would get a flag for one.
		if strings.HasPrefix(value, "-") && !isNumber(value) {
			return setting{}, nil, fmt.Errorf("--%s is followed by %q, which looks like a flag; write --%s=%s if it is meant", f.name, value, f.name, value)
		}
	}
	if value == "" {
		return setting{}, nil, fmt.Errorf("--%s is empty; leave it out", f.name)
	}
	return setting{f, value}, args, nil
}

func dashesAndName(word string) string {
	name, _, _ := strings.Cut(word, "=")
	return name
}

func forVerb(verb string) string {
	if verb == "" {
		return " before the verb"
	}
	return fmt.Sprintf(" for %q", verb)
}

func isNumber(s string) bool {
	_, err := strconv.ParseInt(s, 10, 64)
	return err == nil
}

// Invocation is the command line of a verb that runclamp has a say in.
type Invocation struct {
	Verb string
	// Help: only the verb's help was asked for.
	Help bool
	// ID is the container's. It is a name and never a path.
	ID string
	// Words are what follows the ID: the command of an exec.
	Words  []string
	global settings
	flags  settings
	root   string
}

// ParseVerb takes the command line behind an intercepted verb apart. It takes what means the same to every reader, and
// refuses what only runc's parser can tell the meaning of: flags behind the ID, "--", a flag that stands twice.
func ParseVerb(g Global, verb string, rest []string, h Host) (Invocation, error) {
	c, ok := intercepted(verb)
	if !ok {
		return Invocation{}, fmt.Errorf("unknown verb %q; %s", verb, known)
	}
	inv := Invocation{Verb: verb, global: g.settings}
	if err := once(g.settings); err != nil {
		return Invocation{}, err
	}
	if len(rest) > 0 && (rest[0] == "--help" || rest[0] == "-h") {
		inv.Help = true
		return inv, nil
	}
	var err error
	for len(rest) > 0 && strings.HasPrefix(rest[0], "-") {
		var s setting
		if s, rest, err = takeFlag(c.flags, rest, verb); err != nil {
			return Invocation{}, err
		}
		inv.flags = append(inv.flags, s)
	}
	if err := once(inv.flags); err != nil {
		return Invocation{}, err
	}
	switch {
	case len(rest) == 0:
		return Invocation{}, fmt.Errorf("%s: the container's ID is missing", verb)
	case len(rest) > 1 && !c.words:
		return Invocation{}, fmt.Errorf("%s: %q follows the container's ID %q; flags stand before it, and there is nothing else to say", verb, rest[1], rest[0])
	}
	inv.ID, inv.Words = rest[0], rest[1:]
	if err := validateID(inv.ID); err != nil {
		return Invocation{}, err
	}
	inv.root, err = rootOf(g, h)
	return inv, err
}

func once(s settings) error {
	for i, f := range s {
		if !f.flag.many && slices.ContainsFunc(s[:i], func(e setting) bool { return e.flag.name == f.flag.name }) {
			return fmt.Errorf("--%s stands twice; leave one of them out", f.flag.name)
		}
	}
	return nil
}

// validateID: what runc takes for one (libcontainer, validateID), so that it can't lead out of the root folder.
func validateID(id string) error {
	bad := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("_+-.", r)
	}
	if id == "" || len(id) > 1024 || id == "." || id == ".." || id[0] == '-' || strings.ContainsFunc(id, bad) {
		return fmt.Errorf("%q is no container's ID: letters, digits and _ + - . make one", id)
	}
	return nil
}

// Host is what the delegate's defaults depend on.
type Host struct {
	EUID int
	// UserNamespace: this is not the host's initial one.
	UserNamespace bool
	Env           []string
}

// rootOf is the folder of the delegate's records, as runc finds it (main.go, shouldHonorXDGRuntimeDir). It is always written
// out for the delegate, so that both look in the same place.
func rootOf(g Global, h Host) (string, error) {
	root, given := g.settings.last("root")
	if !given {
		root = "/run/runc"
		user, hasUser := lookup(h.Env, "USER")
		xdg, _ := lookup(h.Env, "XDG_RUNTIME_DIR")
		if xdg != "" && (h.EUID != 0 || h.UserNamespace && (!hasUser || user != "root")) {
			root = filepath.Join(xdg, "runc")
		}
	}
	root, err := absolute(root)
	if err == nil && root == "/" {
		err = errors.New("--root comes to /; name a folder for the containers' records")
	}
	return root, err
}

// absolute goes by the kernel's word for the working directory and not by that of $PWD, which leads through links.
func absolute(path string) (string, error) {
	if filepath.IsAbs(path) {
		return filepath.Clean(path), nil
	}
	cwd, err := unix.Getwd()
	if err != nil {
		return "", fmt.Errorf("the working directory: %w", err)
	}
	return filepath.Join(cwd, path), nil
}

// lookup finds a variable in an environment. Of one that stands twice, getenv(3) takes the first and Go the last: both count
// as not there if they differ.
func lookup(env []string, name string) (value string, ok bool) {
	for _, e := range env {
		v, is := strings.CutPrefix(e, name+"=")
		switch {
		case !is:
		case ok && v != value:
			return "", false
		default:
			value, ok = v, true
		}
	}
	return value, ok
}

// Root is the folder of the delegate's records, absolute.
func (inv Invocation) Root() string { return inv.root }

// Value is a flag's value, if it was given.
func (inv Invocation) Value(name string) (string, bool) { return inv.flags.last(name) }

// Values are all values of a flag that may stand more than once.
func (inv Invocation) Values(name string) []string {
	var values []string
	for _, s := range inv.flags {
		if s.flag.name == name {
			values = append(values, s.value)
		}
	}
	return values
}

// Bool says whether a flag without a value is set.
func (inv Invocation) Bool(name string) bool {
	v, _ := inv.flags.last(name)
	return v == "true"
}

// Without leaves flags out.
func (inv Invocation) Without(names ...string) Invocation {
	inv.flags = slices.DeleteFunc(slices.Clone(inv.flags), func(s setting) bool { return slices.Contains(names, s.flag.name) })
	return inv
}

// With sets a flag that takes a value.
func (inv Invocation) With(name, value string) Invocation {
	inv = inv.Without(name)
	inv.flags = append(inv.flags, setting{flag{name: name, value: true}, value})
	return inv
}

// Argv is the command line for the delegate, without the program's name: every value joined to its flag, so that there is
// one way to read it. Flags without a value come first, because urfave/cli moves the word behind one along with it.
func (inv Invocation) Argv() []string {
	if inv.Help {
		return []string{inv.Verb, "--help"}
	}
	argv := []string{}
	for _, s := range inv.global {
		if s.flag.name != "root" {
			argv = append(argv, s.String())
		}
	}
	argv = append(argv, "--root="+inv.root, inv.Verb)
	for _, value := range []bool{false, true} {
		for _, s := range inv.flags {
			if s.flag.value == value {
				argv = append(argv, s.String())
			}
		}
	}
	return append(append(argv, inv.ID), inv.Words...)
}
