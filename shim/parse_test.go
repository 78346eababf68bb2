package shim

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli"
)

var host = Host{Dir: "/cwd"}

// parse is both halves, as Run uses them.
func parse(args ...string) (Invocation, error) { return parseAs(Runc(), args...) }

func parseAs(d Dialect, args ...string) (Invocation, error) {
	g, verb, rest, err := ParseGlobal(d, args)
	if err != nil {
		return Invocation{}, err
	}
	return ParseVerb(g, verb, rest, host)
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
		{"exec -e A=b -e=C=-d -t a sh -c --detach -- -x", "--root=/run/runc exec --tty --env=A=b --env=C=-d a sh -c --detach -- -x"},
		{"exec a -h", "--root=/run/runc exec a -h"},
		{"exec --no-new-privs=false --cap CAP_A --cap=CAP_B -d a -- --", "--root=/run/runc exec --no-new-privs=false --detach --cap=CAP_A --cap=CAP_B a -- --"},
		{"-root=r/../s start a", "--root=/cwd/s start a"},
		{"--systemd-cgroup=false --criu /x --rootless=auto start a", "--systemd-cgroup=false --criu=/x --rootless=auto --root=/run/runc start a"},
		{"update --pids-limit -1 --memory=-1 -r - a", "--root=/run/runc update --pids-limit=-1 --memory=-1 --resources=- a"},
		{"create --bundle=-weird --pid-file=--x a", "--root=/run/runc create --bundle=-weird --pid-file=--x a"},
		{"kill -a a TERM", "--root=/run/runc kill --all a TERM"},
		{"kill a", "--root=/run/runc kill a"},
		{"list -q --format json", "--root=/run/runc list --quiet --format=json"},
		{"ps -f json a -ef", "--root=/run/runc ps --format=json a -ef"},
		{"start a.b_c+d-e", "--root=/run/runc start a.b_c+d-e"},
		{"create --help", "create --help"},
		{"exec -h a b", "exec --help"},
		{"--root /x update -help", "update --help"},
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
		{"--- create a", `unknown flag "---" before the verb`},
		{"-- create a", `"--" before the verb: leave it out`},
		{"create -- a", `"--" for "create": leave it out`},
		{"create --=x a", `unknown flag "--" for "create"`},
		{"create - a", `unknown flag "-"`},
		{"exec -td a sh", `unknown flag "-td" for "exec"; runc does not take short flags together: write -t -d`},
		{"exec -tp /x a", `unknown flag "-tp" for "exec"; runclamp knows`},
		{"create --root /x a", `unknown flag "--root" for "create"`},
		{"create --no-pivot -h a", `unknown flag "-h" for "create"`},
		{"create --help=false a", `unknown flag "--help"`},
		{"--help=false create a", `unknown flag "--help" before the verb`},
		{"exec -e A=b --env=C=d a sh", `both -e and --env; write --env each time`},
		{"exec --cap A -c B a sh", `both -c and --cap`},
		{"exec -t -t a sh", `--tty stands twice`},
		{"--debug --debug=false start a", `--debug stands twice`},
		{"create --bundle /a --bundle /b a", `--bundle stands twice`},
		{"create -b /a --bundle=/b a", `--bundle stands twice`},
		{"--root /a --root=/b create a", `--root stands twice`},
		{"create --bundle", `--bundle has no value; write --bundle=VALUE`},
		{"--log", `--log has no value`},
		{"--log --debug create a", `--log is followed by "--debug"`},
		{"exec --cwd -1x a sh", `--cwd is followed by "-1x"`},
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
		{"create " + strings.Repeat("a", 1025), `has 1025 bytes; shorten it to 1024`},
		{"exec a\x00b sh", `NUL byte`},
		{"exec a sh\x00b", `exec: there is a NUL byte in "sh\x00b"`},
		{"create --bundle=/a\x00b a", `--bundle: there is a NUL byte`},
		{"--log=/a\x00b create a", `--log: there is a NUL byte`},
		{"kill a 9 9", `kill: "9" follows the container's ID "a"`},
		{"kill a -9", `kill: "-9" follows the container's ID "a"`},
		{"features x", `features: "x" is one word too many`},
		{"list --format= ", `--format is empty`},
		{"help create", `unknown verb "help"`},
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
		if _, verb, _, err := ParseGlobal(Runc(), strings.Fields(in)); err != nil || verb != want {
			t.Errorf("%q: %q, %v, want %q", in, verb, err, want)
		}
	}
}

func TestEmptyWords(t *testing.T) {
	for _, args := range [][]string{{""}, {"create", ""}, {"create", "--bundle", "", "a"}, {"--root", "", "start", "a"}, {"create", "", "a"}} {
		if inv, err := parse(args...); err == nil {
			t.Errorf("%q became %q", args, inv.Argv())
		}
	}
	// The words of a command may be anything.
	if inv, err := parse("exec", "a", "", "-"); err != nil || fmt.Sprintf("%q", inv.Argv()) != `["--root=/run/runc" "exec" "a" "" "-"]` {
		t.Errorf("%q, %v", inv.Argv(), err)
	}
}

func TestInvocation(t *testing.T) {
	inv, err := parse(strings.Fields("exec -e A=1 -t -e B=2 --no-new-privs=false -p /p --preserve-fds 3 a sh")...)
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := inv.Value("process"); v != "/p" || !ok {
		t.Errorf("process: %q, %v", v, ok)
	}
	if v, ok := inv.Value("cwd"); v != "" || ok {
		t.Errorf("cwd: %q, %v", v, ok)
	}
	if !inv.Bool("tty") || inv.Bool("no-new-privs") || inv.Bool("detach") {
		t.Error("tty is set, the other two are not")
	}
	if _, ok := inv.Value("no-new-privs"); !ok {
		t.Error("no-new-privs was given")
	}
	if got := fmt.Sprint(inv.Values("env"), inv.Values("cap")); got != "[A=1 B=2] []" {
		t.Error(got)
	}
	before := fmt.Sprint(inv.Argv())
	changed := inv.Without("env", "no-new-privs").With("process", "/q").With("detach", "true").With("pid-file", "/x")
	if got := strings.Join(changed.Argv(), " "); got != "--root=/run/runc exec --tty --detach --preserve-fds=3 --process=/q --pid-file=/x a sh" {
		t.Error(got)
	}
	if after := fmt.Sprint(inv.Argv()); after != before {
		t.Errorf("it was changed to %s", after)
	}
}

func TestRoot(t *testing.T) {
	xdg := []string{"XDG_RUNTIME_DIR=/run/user/5"}
	for _, tt := range []struct {
		args       string
		host       Host
		want, fail string
	}{
		{"", Host{}, "/run/runc", ""},
		{"", Host{Env: xdg}, "/run/runc", ""},
		{"", Host{EUID: 5, Env: xdg}, "/run/user/5/runc", ""},
		{"", Host{EUID: 5, Env: append(xdg, "USER=root")}, "/run/user/5/runc", ""},
		{"", Host{EUID: 5}, "/run/runc", ""},
		{"", Host{EUID: 5, Env: []string{"XDG_RUNTIME_DIR="}}, "/run/runc", ""},
		{"", Host{EUID: 5, Env: []string{"XDG_RUNTIME_DIR=run"}, Dir: "/cwd"}, "", `XDG_RUNTIME_DIR is "run"; make it an absolute path`},
		{"", Host{UserNamespace: true, Env: xdg}, "/run/user/5/runc", ""},
		{"", Host{UserNamespace: true, Env: append(xdg, "USER=root")}, "/run/runc", ""},
		{"", Host{UserNamespace: true, Env: append(xdg, "USER=me")}, "/run/user/5/runc", ""},
		{"", Host{UserNamespace: true, Env: append(xdg, "USER=")}, "/run/user/5/runc", ""},
		{"--root /a/../b", Host{EUID: 5, Env: xdg}, "/b", ""},
		{"--root a", Host{Dir: "/cwd"}, "/cwd/a", ""},
		{"--root ../../a", Host{Dir: "/cwd"}, "/a", ""},
		{"--root a", Host{}, "", "--root=a is relative, and the working directory is not known"},
		{"--root .", Host{Dir: "/"}, "", "--root comes to /"},
		{"--root ../..", Host{Dir: "/cwd"}, "", "--root comes to /"},
		{"--root //", Host{}, "", "--root comes to /"},
	} {
		g, verb, rest, err := ParseGlobal(Runc(), append(strings.Fields(tt.args), "start", "x"))
		if err != nil {
			t.Fatal(err)
		}
		inv, err := ParseVerb(g, verb, rest, tt.host)
		switch {
		case tt.fail != "":
			if err == nil || !strings.Contains(err.Error(), tt.fail) {
				t.Errorf("%q %+v: %s, %v, want %q", tt.args, tt.host, inv.Root(), err, tt.fail)
			}
		case err != nil || inv.Root() != tt.want:
			t.Errorf("%q %+v: %s, %v, want %s", tt.args, tt.host, inv.Root(), err, tt.want)
		}
	}
}

// TestLookup: of a variable that stands twice Go takes the first (syscall.copyenv), and runc is Go.
func TestLookup(t *testing.T) {
	env := []string{"A=1", "B=1", "B=2", "AB=4", "C=", "C=5", "D", "E=a=b"}
	for name, want := range map[string]string{"A": "1 true", "B": "1 true", "C": " true", "D": " false", "E": "a=b true", "F": " false"} {
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

func (r reading) String() string { return fmt.Sprintf("%s %q %q", r.verb, r.flags, r.words) }

// byUrfave reads a command line with the parser that runc has since 1.2, given the flags of our own table.
func byUrfave(args []string) (reading, error) { return byUrfaveThat(args, false) }

// byUrfaveThat can leave the words of a verb in their order, for a caller that has put them into another.
func byUrfaveThat(args []string, keepsOrder bool) (reading, error) {
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
	app.Flags = flagsOf(Runc().global)
	for _, verb := range Runc().verbs {
		if verb == "help" || verb == "h" || !slices.Contains(args, verb) {
			continue // urfave's own, or of no use here
		}
		c, _ := runcGrammar(verb)
		app.Commands = append(app.Commands, cli.Command{
			Name: verb, Flags: flagsOf(c.flags), SkipArgReorder: c.words || keepsOrder,
			Action: func(ctx *cli.Context) error {
				r.verb, r.words = verb, ctx.Args()
				take(Runc().global, ctx.GlobalIsSet, ctx.GlobalString, ctx.GlobalStringSlice, ctx.GlobalBool)
				take(c.flags, ctx.IsSet, ctx.String, ctx.StringSlice, ctx.Bool)
				return nil
			},
		})
	}
	err := app.Run(append([]string{"runc"}, args...))
	return r, err
}

// reorderedBy1221 puts the words of a verb into the order in which urfave/cli 1.22.1 parses them, which is runc 1.1's
// (command.go, reorderArgs: it takes every word with a dash for a flag, and what follows one without = for its value).
func reorderedBy1221(args []string) []string {
	var nonflags, flags []string
	readFlagValue := false
	for i, arg := range args {
		if arg == "--" {
			nonflags = append(nonflags, args[i:]...)
			break
		}
		if readFlagValue && !strings.HasPrefix(arg, "-") {
			readFlagValue = false
			flags = append(flags, arg)
			continue
		}
		readFlagValue = false
		if arg != "-" && strings.HasPrefix(arg, "-") {
			flags = append(flags, arg)
			readFlagValue = !strings.Contains(arg, "=")
		} else {
			nonflags = append(nonflags, arg)
		}
	}
	return append(flags, nonflags...)
}

// byUrfave1221 reads one of our canonical command lines as runc 1.1 does.
func byUrfave1221(argv []string) (reading, error) {
	at := slices.IndexFunc(argv, func(w string) bool { return !strings.HasPrefix(w, "-") })
	if c, _ := runcGrammar(argv[at]); !c.words {
		argv = append(slices.Clone(argv[:at+1]), reorderedBy1221(argv[at+1:])...)
	}
	return byUrfaveThat(argv, true)
}

// byUs is our reading in the same form.
func byUs(inv Invocation) reading {
	r := reading{verb: inv.Verb, flags: map[string]string{}, words: inv.Words}
	if inv.ID != "" {
		r.words = append([]string{inv.ID}, inv.Words...)
	}
	for _, s := range append(slices.Clone(inv.global), inv.flags...) {
		r.flags[s.flag.name] = s.value
		if s.flag.many {
			r.flags[s.flag.name] = fmt.Sprintf("%q", inv.Values(s.flag.name))
		}
	}
	return r
}

// holdReadings: what we accept, runc's parser reads in the same way, in the caller's words and in ours. It says whether we
// accept.
func holdReadings(t *testing.T, args []string) bool {
	t.Helper()
	g, verb, rest, err := ParseGlobal(Runc(), args)
	if err != nil {
		return false
	}
	if Runc().pass(verb) {
		theirs, err := byUrfave(args)
		if err == nil && verb != "help" && verb != "h" && theirs.verb != verb && theirs.verb != "" {
			t.Fatalf("%q goes straight through as %q, and runc reads %q", args, verb, theirs.verb)
		}
	}
	inv, err := ParseVerb(g, verb, rest, host)
	if err != nil || inv.Help {
		return false
	}
	ours := byUs(inv)
	theirs, err := byUrfave(args)
	if err != nil {
		t.Fatalf("%q was accepted, and runc says %v", args, err)
	}
	if ours.String() != theirs.String() {
		t.Fatalf("%q\nwe read    %v\nrunc reads %v", args, ours, theirs)
	}
	ours.flags["root"] = inv.Root()
	for name, read := range map[string]func([]string) (reading, error){"urfave/cli 1.22.17": byUrfave, "urfave/cli 1.22.1": byUrfave1221} {
		canonical, err := read(inv.Argv())
		if err != nil {
			t.Fatalf("%s does not take what we made of %q: %q: %v", name, args, inv.Argv(), err)
		}
		if canonical.String() != ours.String() {
			t.Fatalf("%q became %q\nwe read    %v\n%s reads %v", args, inv.Argv(), ours, name, canonical)
		}
	}
	// Our own words are among those that we take, and they stay as they are.
	again, err := parse(inv.Argv()...)
	if err != nil || !slices.Equal(again.Argv(), inv.Argv()) {
		t.Fatalf("%q became %q, and that %q, %v", args, inv.Argv(), again.Argv(), err)
	}
	return true
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"--root\x00/r\x00--log=/l\x00create\x00--bundle\x00/b\x00id", "create\x00id\x00-b\x00/evil", "run\x00--no-pivot\x00id",
		"exec\x00-e\x00A=b\x00id\x00sh\x00-c\x00x", "exec\x00-p\x00/p\x00id", "--help\x00--help=false\x00create\x00id", "kill\x00id\x009",
		"update\x00-r\x00-\x00--pids-limit\x00-1\x00id", "kill\x00-a\x00id\x009", "ps\x00-f=json\x00id\x00-ef", "list\x00-q", "spec\x00--rootless=false",
		"create\x00--preserve-fds\x00-1\x00id", "--debug=false\x00start\x00id", "restore\x00--empty-ns\x00a\x00--empty-ns=b\x00id",
		"--cgroup-manager\x00systemd\x00exec\x00-dp\x00/p\x00id", "create\x00-b=/evil\x00--conf=/evil\x00id", "exec\x00-t=false\x00--tty=no\x00id\x00sh",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, joined string) {
		holdReadings(t, strings.Split(joined, "\x00"))
		holdArgp(t, strings.Split(joined, "\x00"))
	})
}

// TestParseAgainstUrfave tries every sequence of up to four of these words.
func TestParseAgainstUrfave(t *testing.T) {
	words := []string{"create", "exec", "id", "-b", "--bundle=/b", "--bundle", "/x", "--no-pivot", "-t", "--env", "-e=A", "--root=/r", "--", "-", "--tty=false", "state", "--help", "-1"}
	accepted := 0
	var try func(prefix []string, more int)
	try = func(prefix []string, more int) {
		if holdReadings(t, prefix) {
			accepted++
		}
		if more > 0 {
			for _, w := range words {
				try(append(slices.Clip(prefix), w), more-1)
			}
		}
	}
	try(nil, 4)
	if accepted < 1000 {
		t.Errorf("only %d were accepted: there was little to compare", accepted)
	}
}

// TestEveryFlagAgainstUrfave: each flag of each verb in each form, once in front of another, once behind it.
func TestEveryFlagAgainstUrfave(t *testing.T) {
	for _, verb := range Runc().verbs {
		c, _ := runcGrammar(verb)
		if verb == "help" || verb == "h" {
			continue
		}
		words := []string{"id"}
		if c.max == 0 {
			words = nil
		}
		forms, others := [][]string{{}}, [][]string{}
		for i, f := range c.flags {
			if i < 3 {
				others = append(others, []string{"--" + f.name, "true"}, []string{"-" + f.name + "=true"}, []string{"--" + f.name})
			}
			for _, name := range []string{"--" + f.name, "-" + f.name, "-" + f.short, "--" + f.short} {
				switch {
				case strings.Trim(name, "-") == "":
				case f.value:
					forms = append(forms, []string{name, "v"}, []string{name + "=v=w"}, []string{name, "-1"}, []string{name, "-"}, []string{name + "=--"})
				default:
					forms = append(forms, []string{name}, []string{name + "=true"}, []string{name + "=false"})
				}
			}
		}
		for _, a := range forms {
			if !holdReadings(t, slices.Concat([]string{verb}, a, words)) {
				t.Errorf("%s %q %q is refused", verb, a, words)
			}
			for _, b := range others {
				holdReadings(t, slices.Concat([]string{"--debug", verb}, a, b, words))
				holdReadings(t, slices.Concat([]string{verb}, b, a, words))
			}
		}
	}
}
