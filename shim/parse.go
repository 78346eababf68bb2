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

// setting is a flag as it was given. A flag without a value has "true" or "false".
type setting struct {
	flag  flag
	value string
	// short: it was given by its short name.
	short bool
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
type Global struct {
	settings settings
	dialect  Dialect
}

// Log is the file that errors go to, and its format. No file: stderr only. crun can log to journald and syslog as well, and
// nobody reads an engine's answer there.
func (g Global) Log() (path, format string) {
	path, _ = g.settings.last("log")
	format, _ = g.settings.last("log-format")
	if g.dialect.argp {
		if strings.HasPrefix(path, "journald:") || strings.HasPrefix(path, "syslog:") {
			return "", format
		}
		path = strings.TrimPrefix(path, "file:")
	}
	return path, format
}

// ParseGlobal takes the global flags off a command line, without the program's name. For a call for help or the version, and
// for none at all, the verb is "--help" or "--version". A flag that stands twice is left to ParseVerb, because it must not
// stop a kill.
//
// What was read up to an error comes back with it, so that the error can be logged.
func ParseGlobal(d Dialect, args []string) (g Global, verb string, rest []string, err error) {
	g.dialect = d
	for len(args) > 0 {
		word := args[0]
		switch {
		case d.helps(word):
			return g, "--help", nil, nil
		case word == "--version", word == "-v", word == "-version" && !d.argp, word == "-V" && d.argp:
			return g, "--version", nil, nil
		case !strings.HasPrefix(word, "-"):
			return g, word, args[1:], nil
		}
		var s setting
		if s, args, err = d.takeFlag(d.global, args, ""); err != nil {
			return g, "", nil, err
		}
		g.settings = append(g.settings, s)
	}
	return g, "--help", nil, nil
}

// helps: it asks for help.
func (d Dialect) helps(word string) bool {
	if d.argp {
		return word == "--help" || word == "-?"
	}
	return word == "--help" || word == "-help" || word == "-h"
}

// name takes the dashes and what is joined by "=" off a word that begins with a dash. runc (urfave/cli v1, Go's flag package)
// takes -flag for --flag, and to neither matters how long the name is. argp (getopt_long(3)) has long names behind two dashes,
// and short ones behind one, where "=" is a part of the value.
func (d Dialect) name(word string) (name, value string, joined bool) {
	long := strings.HasPrefix(word, "--")
	name, value, joined = strings.Cut(strings.TrimPrefix(word[1:], "-"), "=")
	if d.argp && (long == (len(name) == 1) || joined && !long) {
		return "", "", false
	}
	return name, value, joined
}

// takeFlag takes a flag, and its value, off the front of args. The value stands behind "=" or is the next word.
func (d Dialect) takeFlag(flags []flag, args []string, verb string) (setting, []string, error) {
	word := args[0]
	name, value, joined := d.name(word)
	f, ok := find(flags, name)
	if !ok {
		return setting{}, nil, d.unknownFlag(flags, word, verb)
	}
	args = args[1:]
	s := setting{flag: f, value: "true", short: name == f.short}
	switch {
	case !f.value && !joined:
		return s, args, nil
	case !f.value && d.argp && !f.written:
		return setting{}, nil, fmt.Errorf("--%s=%s: %s takes no value there; write --%s, or leave it out", f.name, value, d.Name, f.name)
	case !f.value:
		if value != "true" && value != "false" {
			return setting{}, nil, fmt.Errorf("--%s=%s: write --%s, or --%s=false", f.name, value, f.name, f.name)
		}
	case !joined:
		if len(args) == 0 {
			return setting{}, nil, fmt.Errorf("--%s has no value; write --%s=VALUE", f.name, f.name)
		}
		value, args = args[0], args[1:]
		// The delegate would take it, and whoever forgot a value would get a flag for one. A lone "-" is standard input to update
		// (CRI-O: update --resources - ID).
		if strings.HasPrefix(value, "-") && value != "-" && !isNumber(value) {
			return setting{}, nil, fmt.Errorf("--%s is followed by %q, which looks like a flag; write --%s=%s if it is meant", f.name, value, f.name, value)
		}
	}
	if value == "" {
		return setting{}, nil, fmt.Errorf("--%s is empty; leave it out", f.name)
	}
	if err := noNUL(value); err != nil {
		return setting{}, nil, fmt.Errorf("--%s: %w", f.name, err)
	}
	s.value = value
	return s, args, nil
}

// unknownFlag says what is wrong with a word that begins with "-" and is no flag.
func (d Dialect) unknownFlag(flags []flag, word, verb string) error {
	where := " before the verb"
	if verb != "" {
		where = fmt.Sprintf(" for %q", verb)
	}
	if word == "--" {
		return fmt.Errorf(`"--"%s: leave it out; runclamp takes flags, then operands`, where)
	}
	if d.argp {
		return d.unknownToArgp(flags, word, where)
	}
	word, _, _ = strings.Cut(word, "=")
	if cluster, ok := strings.CutPrefix(word, "-"); ok && len(cluster) > 1 {
		apart := make([]string, 0, len(cluster))
		for _, r := range cluster {
			if f, ok := find(flags, string(r)); ok && !f.value {
				apart = append(apart, "-"+string(r))
			}
		}
		if len(apart) == len(cluster) {
			return fmt.Errorf("unknown flag %q%s; runc does not take short flags together: write %s", word, where, strings.Join(apart, " "))
		}
	}
	return fmt.Errorf("unknown flag %q%s; %s", word, where, d.known())
}

// unknownToArgp tells apart what crun would take all the same.
func (d Dialect) unknownToArgp(flags []flag, word, where string) error {
	bare, _, _ := strings.Cut(word, "=")
	if long, ok := strings.CutPrefix(bare, "--"); ok {
		for _, f := range flags {
			if len(long) > 1 && strings.HasPrefix(f.name, long) {
				return fmt.Errorf("flag %q%s is cut short; write it in full, --%s", bare, where, f.name)
			}
		}
		if bare == "--config" {
			return fmt.Errorf("flag %q%s: it names another configuration than the bundle's, which is the one that is decided about; leave it out", bare, where)
		}
		return fmt.Errorf("unknown flag %q%s; %s", bare, where, d.known())
	}
	for _, f := range flags {
		if len(word) > 2 && f.short == word[1:2] {
			if f.value {
				return fmt.Errorf("flag %q%s: crun takes what is joined to -%s for its value; write --%s=VALUE", word, where, f.short, f.name)
			}
			return fmt.Errorf("flag %q%s: runclamp takes no short flags together; write each in full (--%s)", word, where, f.name)
		}
	}
	return fmt.Errorf("unknown flag %q%s; %s", bare, where, d.known())
}

// noNUL: the kernel passes none in, and none could be passed on.
func noNUL(word string) error {
	if strings.ContainsRune(word, 0) {
		return fmt.Errorf("there is a NUL byte in %q; leave it out", word)
	}
	return nil
}

func isNumber(s string) bool {
	_, err := strconv.ParseInt(s, 10, 64)
	return err == nil
}

// Invocation is the command line of a verb, taken apart.
type Invocation struct {
	Verb string
	// Help: only the verb's help was asked for.
	Help bool
	// ID is the container's. It is a name and never a path. It is empty for the few verbs that take none.
	ID string
	// Words are what follows the ID: the command of an exec.
	Words   []string
	dialect Dialect
	global  settings
	flags   settings
	root    string
}

// ParseVerb takes the command line behind a verb apart. It takes what means the same to every reader, and refuses what only
// runc's parser can tell the meaning of: flags behind the ID, "--", a flag that stands twice.
//
// "help" itself is not taken: its operand is a verb.
func ParseVerb(g Global, verb string, rest []string, h Host) (Invocation, error) {
	d := g.dialect
	c, ok := d.grammar(verb)
	if !ok || verb == "help" || verb == "h" {
		return Invocation{}, fmt.Errorf("unknown verb %q; %s", verb, d.known())
	}
	inv := Invocation{Verb: verb, dialect: d, global: g.settings}
	if err := once(g.settings); err != nil {
		return Invocation{}, err
	}
	if len(rest) > 0 && d.helps(rest[0]) {
		inv.Help = true
		return inv, nil
	}
	var err error
	for len(rest) > 0 && strings.HasPrefix(rest[0], "-") {
		var s setting
		if s, rest, err = d.takeFlag(c.flags, rest, verb); err != nil {
			return Invocation{}, err
		}
		inv.flags = append(inv.flags, s)
	}
	if err := once(inv.flags); err != nil {
		return Invocation{}, err
	}
	if err := c.operands(verb, rest); err != nil {
		return Invocation{}, err
	}
	if len(rest) > 0 {
		inv.ID, inv.Words = rest[0], rest[1:]
		if err := validateID(inv.ID); err != nil {
			return Invocation{}, err
		}
	}
	inv.root, err = rootOf(g, h)
	return inv, err
}

// operands judges what follows the flags (runc, utils.go, checkArgs).
func (c command) operands(verb string, words []string) error {
	switch {
	case len(words) < c.min:
		return fmt.Errorf("%s: the container's ID is missing", verb)
	case c.max == 0 && len(words) > 0:
		return fmt.Errorf("%s: %q is one word too many; it takes flags only", verb, words[0])
	}
	for i, w := range words {
		switch {
		case i > 0 && !c.words && (i >= c.max || strings.HasPrefix(w, "-")):
			return fmt.Errorf("%s: %q follows the container's ID %q; flags stand before it, and there is nothing else to say", verb, w, words[0])
		case noNUL(w) != nil:
			return fmt.Errorf("%s: %w", verb, noNUL(w))
		}
	}
	return nil
}

// once refuses a flag that stands twice. One that may is refused by runc where it stands once by its short and once by its
// long name (urfave/cli, normalizeFlags).
func once(s settings) error {
	first := make(map[string]setting, len(s))
	for _, f := range s {
		e, stood := first[f.flag.name]
		switch {
		case !stood:
			first[f.flag.name] = f
		case !f.flag.many:
			return fmt.Errorf("--%s stands twice; leave one of them out", f.flag.name)
		case e.short != f.short:
			return fmt.Errorf("both -%s and --%s; write --%s each time", f.flag.short, f.flag.name, f.flag.name)
		}
	}
	return nil
}

// validateID: what runc takes for one (libcontainer, validateID), so that it can't lead out of the root folder. runc 1.1 also
// takes a range of characters from + to . by mistake, and with it the comma.
func validateID(id string) error {
	bad := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("_+-.", r)
	}
	switch {
	case len(id) > maxID:
		return fmt.Errorf("the container's ID %.40q… has %d bytes; shorten it to %d", id, len(id), maxID)
	case id == "" || id == "." || id == ".." || id[0] == '-' || strings.ContainsFunc(id, bad):
		return fmt.Errorf("%q is no container's ID: letters, digits and _ + - . make one", id)
	}
	return nil
}

// maxID keeps an error and a path short. runc sets no limit; the folder that it makes has 255 bytes at most (NAME_MAX).
const maxID = 1024

// Host is what the delegate's defaults depend on.
type Host struct {
	EUID int
	// UserNamespace: this is not the host's initial one.
	UserNamespace bool
	Env           []string
	// Dir is the working directory, absolute, as $PWD has it where that is true (os.Getwd). Empty: not known.
	Dir string
}

// rootOf is the folder of the delegate's records, as runc finds it (main.go, shouldHonorXDGRuntimeDir; utils.go,
// reviseRootDir, which goes by os.Getwd), and crun (status.c, get_run_directory, which goes by XDG_RUNTIME_DIR whoever it runs
// as). It is always written out for the delegate, so that both look in the same place.
func rootOf(g Global, h Host) (string, error) {
	root, given := g.settings.last("root")
	if !given {
		root = "/run/" + g.dialect.Name
		user, hasUser := lookup(h.Env, "USER")
		xdg, _ := lookup(h.Env, "XDG_RUNTIME_DIR")
		if xdg != "" && (g.dialect.argp || h.EUID != 0 || h.UserNamespace && (!hasUser || user != "root")) {
			if !filepath.IsAbs(xdg) {
				// The delegate would take it, from wherever it has got to by then: create goes into the bundle first.
				return "", fmt.Errorf("XDG_RUNTIME_DIR is %q; make it an absolute path, or give --root", xdg)
			}
			root = filepath.Join(xdg, g.dialect.Name)
		}
	}
	if !filepath.IsAbs(root) {
		if h.Dir == "" {
			return "", fmt.Errorf("--root=%s is relative, and the working directory is not known; give an absolute path", root)
		}
		root = filepath.Join(h.Dir, root)
	}
	root = filepath.Clean(root)
	if root == "/" {
		return "", errors.New("--root comes to /; name a folder for the containers' records")
	}
	return root, nil
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

// lookup finds a variable in an environment. Of one that stands twice it takes the first, as Go does, and so runc.
func lookup(env []string, name string) (value string, ok bool) {
	for _, e := range env {
		if value, ok := strings.CutPrefix(e, name+"="); ok {
			return value, true
		}
	}
	return "", false
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

// With sets a flag, in place of what was given for it. The value of one that takes none is "true" or "false".
func (inv Invocation) With(name, value string) Invocation {
	c, _ := inv.dialect.grammar(inv.Verb)
	f, ok := find(c.flags, name)
	if !ok {
		// A mistake in runclamp. The delegate refuses it.
		f = flag{name: name, value: true}
	}
	inv = inv.Without(f.name)
	inv.flags = append(inv.flags, setting{flag: f, value: value})
	return inv
}

// Argv is the command line for the delegate, without the program's name: every value joined to its flag, so that there is
// one way to read it. Flags without a value come first, because urfave/cli moves the word behind one along with it, in ways
// that differ between 1.22.1 (runc 1.1) and 1.22.17 (reorderArgs).
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
	if inv.ID != "" {
		argv = append(argv, inv.ID)
	}
	return append(argv, inv.Words...)
}
