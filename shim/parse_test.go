package shim

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli"
)

var root = Host{}

// parse is both halves, as Run uses them.
func parse(args ...string) (Invocation, error) {
	g, verb, rest, err := ParseGlobal(args)
	if err != nil {
		return Invocation{}, err
	}
	return ParseVerb(g, verb, rest, root)
}

func TestParseAndArgv(t *testing.T) {
	for _, tt := range []struct{ in, out string }{
		// What containerd's shim, conmon and CRI-O send.
		{"--root /run/containerd/runc/k8s.io --log /b/log.json --log-format json --systemd-cgroup create --bundle /b --pid-file /b/init.pid --console-socket /t/pty.sock abc",
			"--log=/b/log.json --log-format=json --systemd-cgroup --root=/run/containerd/runc/k8s.io create --bundle=/b --pid-file=/b/init.pid --console-socket=/t/pty.sock abc"},
		{"--root=/r create -b /b --no-pivot --no-new-keyring=true --preserve-fds 2 a", "--root=/r create --no-pivot --no-new-keyring --bundle=/b --preserve-fds=2 a"},
		{"-root /r -debug run -bundle=/b -d a", "--debug --root=/r run --detach --bundle=/b a"},
		{"create a", "--root=/run/runc create a"},
		{"create --no-pivot=false a", "--root=/run/runc create --no-pivot=false a"},
		{"exec --process /p.json --detach --pid-file=/x a", "--root=/run/runc exec --detach --process=/p.json --pid-file=/x a"},
		{"exec -e A=b --env=C=-d -t a sh -c --detach -- -x", "--root=/run/runc exec --tty --env=A=b --env=C=-d a sh -c --detach -- -x"},
		{"start a.b_c+d-e", "--root=/run/runc start a.b_c+d-e"},
		{"create --help", "create --help"},
		{"exec -h a b", "exec --help"},
		{"restore --image-path /i -b /b a", "--root=/run/runc restore --image-path=/i --bundle=/b a"},
	} {
		inv, err := parse(strings.Fields(tt.in)...)
		if err != nil {
			t.Errorf("%s: %v", tt.in, err)
			continue
		}
		if got := strings.Join(inv.Argv(), " "); got != tt.out {
			t.Errorf("%s\n got  %s\n want %s", tt.in, got, tt.out)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"--foo create a", `unknown flag "--foo" before the verb; runclamp knows the command line of runc 1.1 to 1.5`},
		{"create --foo a", `unknown flag "--foo" for "create"; runclamp knows`},
		{"create --foo=bar a", `unknown flag "--foo" for "create"`},
		{"create ---bundle /b a", `unknown flag "---bundle"`},
		{"-- create a", `unknown flag "--"`},
		{"create -- a", `unknown flag "--"`},
		{"create - a", `unknown flag "-"`},
		{"exec -td a sh", `unknown flag "-td"`},
		{"create --bundle /a --bundle /b a", `--bundle stands twice`},
		{"create -b /a --bundle=/b a", `--bundle stands twice`},
		{"--root /a --root=/b create a", `--root stands twice`},
		{"create --bundle", `--bundle has no value`},
		{"create --bundle= a", `--bundle is empty; leave it out`},
		{"create --bundle --pid-file /a id", `--bundle is followed by "--pid-file", which looks like a flag; write --bundle=--pid-file if it is meant`},
		{"create --pid-file -- -b /a id", `--pid-file is followed by "--"`},
		{"create --no-pivot=1 a", `--no-pivot=1: write --no-pivot, or --no-pivot=false`},
		{"create --no-pivot= a", `--no-pivot=: write`},
		{"create a --bundle /b", `"--bundle" follows the container's ID "a"`},
		{"create a b", `"b" follows the container's ID "a"`},
		{"create", `create: the container's ID is missing`},
		{"create --no-pivot", `the container's ID is missing`},
		{"create ..", `".." is no container's ID`},
		{"create a/b", `is no container's ID`},
		{"create a,b", `is no container's ID`},
		{"create é", `is no container's ID`},
		{"create " + strings.Repeat("a", 1025), `is no container's ID`},
		{"--root / create a", `--root comes to /`},
		{"--root /x/.. create a", `--root comes to /`},
		{"init", `unknown verb "init"`},
	} {
		if inv, err := parse(strings.Fields(tt.in)...); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.60s: got %v, %v, want %q", tt.in, inv.Argv(), err, tt.want)
		}
	}
}

func TestParseGlobalPseudoVerbs(t *testing.T) {
	for in, want := range map[string]string{
		"": "--help", "-h": "--help", "--help --help=false create a": "--help", "--version": "--version", "--root /x -v": "--version",
		"--debug": "--help", "--root help state x": "state",
	} {
		if _, verb, _, err := ParseGlobal(strings.Fields(in)); err != nil || verb != want {
			t.Errorf("%q: %q, %v, want %q", in, verb, err, want)
		}
	}
}

func TestRoot(t *testing.T) {
	cwd, err := absolute(".")
	if err != nil {
		t.Fatal(err)
	}
	xdg := []string{"XDG_RUNTIME_DIR=/run/user/5"}
	for _, tt := range []struct {
		args string
		host Host
		want string
	}{
		{"", Host{}, "/run/runc"},
		{"", Host{Env: xdg}, "/run/runc"},
		{"", Host{EUID: 5, Env: xdg}, "/run/user/5/runc"},
		{"", Host{EUID: 5}, "/run/runc"},
		{"", Host{UserNamespace: true, Env: xdg}, "/run/user/5/runc"},
		{"", Host{UserNamespace: true, Env: append(xdg, "USER=root")}, "/run/runc"},
		{"", Host{UserNamespace: true, Env: append(xdg, "USER=me")}, "/run/user/5/runc"},
		{"--root /a/../b", Host{EUID: 5, Env: xdg}, "/b"},
		{"--root a", Host{}, filepath.Join(cwd, "a")},
	} {
		g, verb, rest, err := ParseGlobal(append(strings.Fields(tt.args), "start", "x"))
		if err != nil {
			t.Fatal(err)
		}
		inv, err := ParseVerb(g, verb, rest, tt.host)
		if err != nil || inv.Root() != tt.want {
			t.Errorf("%q %+v: %s, %v, want %s", tt.args, tt.host, inv.Root(), err, tt.want)
		}
	}
}

func TestLookup(t *testing.T) {
	env := []string{"A=1", "B=1", "B=2", "C=3", "C=3", "AB=4"}
	for name, want := range map[string]string{"A": "1 true", "B": " false", "C": "3 true", "D": " false"} {
		if v, ok := lookup(env, name); fmt.Sprint(v, " ", ok) != want {
			t.Errorf("%s: %s %v", name, v, ok)
		}
	}
}

// reading is what a parser makes of a command line: everything that decides what runc does.
type reading struct {
	verb  string
	flags map[string]string
	words []string
}

// byUrfave reads a command line with the parser that runc has, given the flags of our own table.
func byUrfave(args []string) (reading, error) {
	r := reading{flags: map[string]string{}}
	flagsOf := func(flags []flag) []cli.Flag {
		var out []cli.Flag
		for _, f := range flags {
			name := f.name
			if f.short != "" {
				name += ", " + f.short
			}
			switch {
			case f.many:
				out = append(out, cli.StringSliceFlag{Name: name})
			case f.value:
				out = append(out, cli.StringFlag{Name: name})
			default:
				out = append(out, cli.BoolFlag{Name: name})
			}
		}
		return out
	}
	take := func(flags []flag, set func(string) bool, text func(string) string, list func(string) []string, isTrue func(string) bool) {
		for _, f := range flags {
			switch {
			case !set(f.name):
			case f.many:
				r.flags[f.name] = fmt.Sprintf("%q", list(f.name))
			case f.value:
				r.flags[f.name] = text(f.name)
			default:
				r.flags[f.name] = fmt.Sprint(isTrue(f.name))
			}
		}
	}
	app := cli.NewApp()
	app.Writer, app.ErrWriter = io.Discard, io.Discard
	app.ExitErrHandler = func(*cli.Context, error) {}
	app.Flags = flagsOf(globalFlags())
	for _, verb := range []string{"create", "run", "start", "exec", "restore", "checkpoint"} {
		c, _ := intercepted(verb)
		app.Commands = append(app.Commands, cli.Command{
			Name: verb, Flags: flagsOf(c.flags), SkipArgReorder: verb == "exec",
			Action: func(ctx *cli.Context) error {
				r.verb, r.words = verb, ctx.Args()
				take(globalFlags(), ctx.GlobalIsSet, ctx.GlobalString, ctx.GlobalStringSlice, ctx.GlobalBool)
				take(c.flags, ctx.IsSet, ctx.String, ctx.StringSlice, ctx.Bool)
				return nil
			},
		})
	}
	for _, verb := range []string{"state", "kill", "delete", "list", "ps", "events", "pause", "resume", "update", "features", "spec"} {
		app.Commands = append(app.Commands, cli.Command{Name: verb, SkipFlagParsing: true, Action: func(ctx *cli.Context) error {
			r.verb, r.words = verb, ctx.Args()
			return nil
		}})
	}
	err := app.Run(append([]string{"runc"}, args...))
	return r, err
}

// byUs is our reading in the same form.
func byUs(inv Invocation) reading {
	r := reading{verb: inv.Verb, flags: map[string]string{}, words: append([]string{inv.ID}, inv.Words...)}
	for _, s := range append(slices.Clone(inv.global), inv.flags...) {
		r.flags[s.flag.name] = s.value
		if s.flag.many {
			r.flags[s.flag.name] = fmt.Sprintf("%q", inv.Values(s.flag.name))
		}
	}
	return r
}

// holdReadings: what we accept, runc's parser reads in the same way, in the caller's words and in ours.
func holdReadings(t *testing.T, args []string) {
	t.Helper()
	g, verb, rest, err := ParseGlobal(args)
	if err != nil {
		return
	}
	if passed(verb) {
		theirs, err := byUrfave(args)
		if err == nil && verb != "help" && verb != "h" && theirs.verb != verb {
			t.Fatalf("%q goes straight through as %q, and runc reads %q", args, verb, theirs.verb)
		}
		return
	}
	inv, err := ParseVerb(g, verb, rest, root)
	if err != nil || inv.Help {
		return
	}
	ours := byUs(inv)
	theirs, err := byUrfave(args)
	if err != nil {
		t.Fatalf("%q was accepted, and runc says %v", args, err)
	}
	if fmt.Sprint(theirs) != fmt.Sprint(ours) {
		t.Fatalf("%q\nwe read   %v\nrunc reads %v", args, ours, theirs)
	}
	canonical, err := byUrfave(inv.Argv())
	if err != nil {
		t.Fatalf("runc does not take what we made of %q: %q: %v", args, inv.Argv(), err)
	}
	canonical.flags["root"], ours.flags["root"] = "", ""
	if fmt.Sprint(canonical) != fmt.Sprint(ours) {
		t.Fatalf("%q became %q\nwe read    %v\nrunc reads %v", args, inv.Argv(), ours, canonical)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"--root\x00/r\x00--log=/l\x00create\x00--bundle\x00/b\x00id", "create\x00id\x00-b\x00/evil", "run\x00--no-pivot\x00id",
		"exec\x00-e\x00A=b\x00id\x00sh\x00-c\x00x", "exec\x00-p\x00/p\x00id", "--help\x00--help=false\x00create\x00id", "kill\x00id\x009",
		"create\x00--preserve-fds\x00-1\x00id", "--debug=false\x00start\x00id", "restore\x00--empty-ns\x00a\x00--empty-ns=b\x00id",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, joined string) {
		if strings.Contains(joined, "XDG") {
			return
		}
		holdReadings(t, strings.Split(joined, "\x00"))
	})
}

// TestParseAgainstUrfave tries every sequence of up to four of these words.
func TestParseAgainstUrfave(t *testing.T) {
	words := []string{"create", "exec", "id", "-b", "--bundle=/b", "--bundle", "/x", "--no-pivot", "-t", "--env", "-e=A", "--root=/r", "--", "-", "--tty=false", "state", "--help", "-1"}
	var try func(prefix []string, more int)
	try = func(prefix []string, more int) {
		holdReadings(t, prefix)
		if more > 0 {
			for _, w := range words {
				try(append(slices.Clip(prefix), w), more-1)
			}
		}
	}
	try(nil, 4)
}

// TestGrammarAgainstRealRunc holds the tables against the --help of the programs in RUNCLAMP_TEST_RUNC: no flag of theirs is
// missing, and each takes a value where ours does. Tests that CI runs set the variable.
func TestGrammarAgainstRealRunc(t *testing.T) {
	list := os.Getenv("RUNCLAMP_TEST_RUNC")
	if list == "" {
		t.Skip("left out: RUNCLAMP_TEST_RUNC names no runc (make unit does)")
	}
	// "   --bundle value, -b value  path to …" and "   --no-pivot  do not …"
	line := regexp.MustCompile(`(?m)^   --([a-z0-9-]+)( value)?(?:, -([a-z])(?: value)?)?\s`)
	for _, runc := range filepath.SplitList(list) {
		for _, verb := range []string{"", "create", "run", "start", "exec", "restore", "checkpoint"} {
			args, flags := []string{"--help"}, globalFlags()
			if verb != "" {
				c, _ := intercepted(verb)
				args, flags = []string{verb, "--help"}, c.flags
			}
			out, err := exec.Command(runc, args...).Output()
			if err != nil {
				t.Fatalf("%s %v: %v", runc, args, err)
			}
			if !strings.Contains(string(out), "NAME:") {
				t.Fatalf("%s %v printed %q", runc, args, out)
			}
			for _, m := range line.FindAllStringSubmatch(string(out), -1) {
				name, value, short := m[1], m[2] != "", m[3]
				if name == "help" || name == "version" {
					continue
				}
				if f, ok := find(flags, name); !ok || f.value != value || f.short != short {
					t.Errorf("%s %s has --%s (value %v, short %q), the table has %+v", runc, verb, name, value, short, f)
				}
			}
		}
		for _, verb := range verbsOf(t, runc) {
			if _, ok := intercepted(verb); !ok && !passed(verb) {
				t.Errorf("%s has the verb %q, which is not in the table", runc, verb)
			}
		}
	}
}

func verbsOf(t *testing.T, runc string) []string {
	t.Helper()
	out, err := exec.Command(runc, "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	_, commands, ok := strings.Cut(string(out), "COMMANDS:\n")
	commands, _, ok2 := strings.Cut(commands, "\n   \n")
	if !ok || !ok2 {
		commands, _, ok = strings.Cut(commands, "\nGLOBAL")
	}
	if !ok {
		t.Fatalf("%s --help has no list of commands", runc)
	}
	var verbs []string
	for line := range strings.Lines(commands) {
		if words := strings.Fields(line); len(words) > 0 {
			verbs = append(verbs, strings.TrimSuffix(words[0], ","))
		}
	}
	if len(verbs) < 15 {
		t.Fatalf("only %q", verbs)
	}
	return verbs
}
