package shim

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestCrunParseAndArgv(t *testing.T) {
	for _, tt := range []struct{ in, out string }{
		// What conmon and containerd's shim send.
		{"--log-format=json --log /b/oci-log --systemd-cgroup create --bundle /b --pid-file /b/pidfile --console-socket /t a",
			"--log-format=json --log=/b/oci-log --systemd-cgroup --root=/run/crun create --bundle=/b --pid-file=/b/pidfile --console-socket=/t a"},
		{"--root /r --cgroup-manager systemd exec --pid-file /x --process /p -d a", "--cgroup-manager=systemd --root=/r exec --detach --pid-file=/x --process=/p a"},
		{"exec -t --env A=b --env=C=d a sh -td --", "--root=/run/crun exec --tty --env=A=b --env=C=d a sh -td --"},
		{"exec --tty=false -p /p a", "--root=/run/crun exec --tty=false --process=/p a"},
		{"update -r - a", "--root=/run/crun update --resources=- a"},
		{"--log-level debug kill -r a", "--log-level=debug --root=/run/crun kill --regex a"},
		{"create -? a", "create --help"},
	} {
		inv, err := parseAs(Crun(), strings.Fields(tt.in)...)
		if err != nil || strings.Join(inv.Argv(), " ") != tt.out {
			t.Errorf("%s\n got  %s, %v\n want %s", tt.in, strings.Join(inv.Argv(), " "), err, tt.out)
		}
	}
}

func TestCrunParseRefuses(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"create --config /evil a", `flag "--config" for "create": it names another configuration than the bundle's`},
		{"create --config=/evil a", `flag "--config" for "create": it names another`},
		{"create --conf=/evil a", `unknown flag "--conf" for "create"; runclamp knows the command line of crun 1.8 to 1.21`},
		{"run -f /evil a", `unknown flag "-f" for "run"`},
		{"run -f/evil a", `unknown flag "-f/evil" for "run"`},
		{"create --bund=/evil a", `flag "--bund" for "create" is cut short; write it in full, --bundle`},
		{"--roo /r create a", `flag "--roo" before the verb is cut short; write it in full, --root`},
		{"create -bundle /b a", `flag "-bundle" for "create": crun takes what is joined to -b for its value; write --bundle=VALUE`},
		{"create -b=/b a", `flag "-b=/b" for "create": crun takes what is joined to -b for its value`},
		{"create -b/b a", `flag "-b/b" for "create": crun takes what is joined`},
		{"exec -dp /p a", `flag "-dp" for "exec": runclamp takes no short flags together; write each in full (--detach)`},
		{"exec -t=false a sh", `flag "-t=false" for "exec": runclamp takes no short flags together`},
		{"exec --tty=no a sh", `--tty=no: write --tty, or --tty=false`},
		{"create --no-pivot=false a", `--no-pivot=false: crun takes no value there; write --no-pivot, or leave it out`},
		{"exec --b a", `unknown flag "--b"`},
		{"exec -process /p a", `flag "-process" for "exec": crun takes what is joined to -p`},
		{"exec --additional-gids 0 a sh", `unknown flag "--additional-gids" for "exec"`},
		{"--root /a --root=/b create a", `--root stands twice`},
		{"create -- a", `"--" for "create": leave it out`},
		{"create a --bundle /b", `"--bundle" follows the container's ID "a"`},
		{"--criu /x create a", `unknown flag "--criu" before the verb`},
		{"events a", `unknown verb "events"; runclamp knows the command line of crun`},
		{"-h create a", `unknown flag "-h" before the verb`},
		{"create -h a", `unknown flag "-h" for "create"`},
		{"create --HANG=1 a", `unknown flag "--HANG" for "create"`},
		{"checkpoint --network-lock a b", `unknown flag "--network-lock"`},
	} {
		if inv, err := parseAs(Crun(), strings.Fields(tt.in)...); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, %v, want %q", tt.in, inv.Argv(), err, tt.want)
		}
	}
}

func TestCrunRootAndLog(t *testing.T) {
	xdg := Host{Env: []string{"XDG_RUNTIME_DIR=/run/user/0", "USER=root"}}
	for _, tt := range []struct {
		args string
		host Host
		want string
	}{{"", Host{}, "/run/crun"}, {"", xdg, "/run/user/0/crun"}, {"--root /r", xdg, "/r"}} {
		g, verb, rest, err := ParseGlobal(Crun(), append(strings.Fields(tt.args), "start", "x"))
		if err != nil {
			t.Fatal(err)
		}
		if inv, err := ParseVerb(g, verb, rest, tt.host); err != nil || inv.Root() != tt.want {
			t.Errorf("%q: %s, %v, want %s", tt.args, inv.Root(), err, tt.want)
		}
	}
	for log, want := range map[string]string{"/l": "/l", "file:/l": "/l", "journald:x": "", "syslog:x": ""} {
		g, _, _, err := ParseGlobal(Crun(), []string{"--log=" + log, "start", "x"})
		if path, _ := g.Log(); err != nil || path != want {
			t.Errorf("%s: %q, %v", log, path, err)
		}
	}
	if _, verb, _, err := ParseGlobal(Crun(), []string{"-V"}); verb != "--version" || err != nil {
		t.Errorf("%q, %v", verb, err)
	}
}

// byArgp reads a command line by the rules of getopt_long(3) and argp with ARGP_IN_ORDER, given our own tables: a model of what
// crun does, with everything that ParseVerb leaves out.
func byArgp(args []string) (reading, error) {
	d := Crun()
	r := reading{flags: map[string]string{}}
	rest, err := r.options(d.global, args)
	if err != nil || len(rest) == 0 {
		return r, fmt.Errorf("no verb: %v", err)
	}
	c, ok := d.grammar(rest[0])
	if !ok {
		return r, fmt.Errorf("unknown verb %q", rest[0])
	}
	r.verb = rest[0]
	r.words, err = r.options(c.flags, rest[1:])
	return r, err
}

// options takes the flags off the front of args.
func (r reading) options(flags []flag, args []string) (rest []string, err error) {
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		switch {
		case word == "--":
			return args, nil
		case word == "-" || !strings.HasPrefix(word, "-"):
			return append([]string{word}, args...), nil
		case strings.HasPrefix(word, "--"):
			name, value, joined := strings.Cut(word[2:], "=")
			f, err := abbreviated(flags, name)
			switch {
			case err != nil:
				return nil, err
			case joined && !f.value && !f.written:
				return nil, fmt.Errorf("--%s takes no value", f.name)
			case f.value && !joined:
				if len(args) == 0 {
					return nil, fmt.Errorf("--%s has no value", f.name)
				}
				value, args = args[0], args[1:]
			}
			r.set(f, value, joined)
		default:
			for letters := word[1:]; letters != ""; {
				f, ok := find(flags, letters[:1])
				if !ok || f.short != letters[:1] {
					return nil, fmt.Errorf("unknown -%s", letters[:1])
				}
				value := letters[1:]
				switch {
				case !f.value && !f.written:
					r.set(f, "", false)
					letters = value
					continue
				case f.value && value == "":
					if len(args) == 0 {
						return nil, fmt.Errorf("-%s has no value", f.short)
					}
					value, args = args[0], args[1:]
				}
				r.set(f, value, value != "" || f.value)
				letters = ""
			}
		}
	}
	return nil, nil
}

func (r reading) set(f flag, value string, given bool) {
	switch {
	case f.many:
		r.flags[f.name] += fmt.Sprintf("%q", value)
	case f.value:
		r.flags[f.name] = value
	default:
		r.flags[f.name] = fmt.Sprint(!given || value != "false" && value != "no") // exec.c, parse_opt
	}
}

func abbreviated(flags []flag, name string) (flag, error) {
	var like []flag
	for _, f := range flags {
		if f.name == name {
			return f, nil
		}
		if strings.HasPrefix(f.name, name) {
			like = append(like, f)
		}
	}
	if len(like) != 1 {
		return flag{}, fmt.Errorf("--%s is unknown or ambiguous", name)
	}
	return like[0], nil
}

// holdArgp: what we accept, crun reads in the same way, in the caller's words and in ours. It says whether we accept.
func holdArgp(t *testing.T, args []string) bool {
	t.Helper()
	g, verb, rest, err := ParseGlobal(Crun(), args)
	if err != nil {
		return false
	}
	if Crun().pass(verb) {
		if theirs, err := byArgp(args); err == nil && theirs.verb != verb {
			t.Fatalf("%q goes straight through as %q, and crun reads %q", args, verb, theirs.verb)
		}
	}
	inv, err := ParseVerb(g, verb, rest, host)
	if err != nil || inv.Help {
		return false
	}
	ours := reading{verb: inv.Verb, flags: map[string]string{}, words: inv.Words}
	if inv.ID != "" {
		ours.words = append([]string{inv.ID}, inv.Words...)
	}
	for _, s := range append(slices.Clone(inv.global), inv.flags...) {
		ours.set(s.flag, s.value, true)
	}
	theirs, err := byArgp(args)
	if err != nil || theirs.String() != ours.String() {
		t.Fatalf("%q\nwe read    %v\ncrun reads %v, %v", args, ours, theirs, err)
	}
	ours.flags["root"] = inv.Root()
	if canonical, err := byArgp(inv.Argv()); err != nil || canonical.String() != ours.String() {
		t.Fatalf("%q became %q\nwe read    %v\ncrun reads %v, %v", args, inv.Argv(), ours, canonical, err)
	}
	again, err := parseAs(Crun(), inv.Argv()...)
	if err != nil || !slices.Equal(again.Argv(), inv.Argv()) {
		t.Fatalf("%q became %q, and that %q, %v", args, inv.Argv(), again.Argv(), err)
	}
	return true
}

// TestCrunParseAgainstArgp tries every sequence of up to four of these words.
func TestCrunParseAgainstArgp(t *testing.T) {
	words := []string{"create", "exec", "id", "-b", "--bundle=/b", "--bundle", "--bund=/b", "-b=/b", "-b/b", "/x", "--no-pivot", "-t", "-td", "-t=false", "--tty=false",
		"--env", "-e", "A", "--root=/r", "-f", "--", "-", "state", "-1"}
	accepted := 0
	var try func(prefix []string, more int)
	try = func(prefix []string, more int) {
		if holdArgp(t, prefix) {
			accepted++
		}
		if more > 0 {
			for _, w := range words {
				try(append(slices.Clip(prefix), w), more-1)
			}
		}
	}
	try(nil, 4)
	if accepted < 500 {
		t.Errorf("only %d were accepted: there was little to compare", accepted)
	}
}

// argpFlag is a line of --help: "  -b, --bundle=DIR   container bundle", "  -t, --tty[=TTY]  allocate", "      --keep  do".
var argpFlag = regexp.MustCompile(`(?m)^  (?:-([a-zA-Z]), |    )--([a-z0-9-]+)(\[?=[A-Z]+)?`)

// TestGrammarAgainstRealCrun holds the tables against the --help of Debian's crun: no verb or flag of its is missing but --config,
// and each takes a value where ours does.
func TestGrammarAgainstRealCrun(t *testing.T) {
	crun := realCrun(t)
	d := Crun()
	help, err := exec.Command(crun, "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	var verbs []string
	for _, m := range regexp.MustCompile(`(?m)^\t([a-z]+) +- `).FindAllStringSubmatch(string(help), -1) {
		verbs = append(verbs, m[1])
	}
	if len(verbs) < 13 {
		t.Fatalf("only %q in %s", verbs, help)
	}
	for _, verb := range append([]string{""}, verbs...) {
		args, flags := []string{"--help"}, d.global
		if verb != "" {
			c, ok := d.grammar(verb)
			if !ok {
				t.Errorf("crun has the verb %q, which is not in the table", verb)
				continue
			}
			args, flags = []string{verb, "--help"}, c.flags
		}
		out, err := exec.Command(crun, args...).Output()
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		for _, m := range argpFlag.FindAllStringSubmatch(string(out), -1) {
			short, name, value := m[1], m[2], strings.HasPrefix(m[3], "=")
			if name == "help" || name == "usage" || name == "version" || name == "config" {
				continue
			}
			if f, ok := find(flags, name); !ok || f.value != value || f.short != short || f.written != (m[3] != "" && !value) {
				t.Errorf("%s has --%s (%q, short %q), the table has %+v", verb, name, m[3], short, f)
			}
		}
	}
}

// realCrun is the program that the tables are held against.
func realCrun(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("crun")
	if err != nil {
		if os.Getenv("RUNCLAMP_TEST_RUNC") != "" {
			t.Fatal("there is no crun (apt-get install crun)")
		}
		t.Skip("left out: there is no crun")
	}
	return path
}

// TestDialect: a runc and a crun are told by what is in them.
func TestDialect(t *testing.T) {
	programs := map[string]string{realCrun(t): "crun"}
	for _, runc := range realRuncs(t) {
		programs[runc] = "runc"
	}
	for path, want := range programs {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if d, err := dialectOf(f); err != nil || d.Name != want {
			t.Errorf("%s: %q, %v, want %s", path, d.Name, err, want)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestNoDialect(t *testing.T) {
	own, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	sh, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	elf32 := append([]byte("\x7fELF\x01\x01"), make([]byte, 58)...)
	noSections := slices.Clone(sh)
	copy(noSections[60:], []byte{0, 0})
	endless := slices.Clone(sh)
	copy(endless[40:], []byte{255, 255, 255, 255, 255, 255, 255, 127})
	for name, tt := range map[string]struct {
		program []byte
		want    string
	}{
		"another Go program": {own, `it is built from "runclamp/shim.test"`},
		"another program":    {sh, "it is neither runc nor crun: link to one of them"},
		"no program":         {[]byte("x"), "it is no ELF program"},
		"empty":              {nil, "it is no ELF program"},
		"32 bits":            {elf32, "it is no 64-bit program"},
		"no sections":        {noSections, "it has no table of sections"},
		"sections nowhere":   {endless, "it is damaged"},
		"cut off":            {sh[:len(sh)/2], "it is damaged"},
	} {
		if d, err := dialectOf(strings.NewReader(string(tt.program))); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %q, %v, want %q", name, d.Name, err, tt.want)
		}
	}
}

func FuzzDialect(f *testing.F) {
	sh, err := os.ReadFile("/bin/sh")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sh[:64])
	f.Fuzz(func(t *testing.T, program []byte) {
		if d, err := dialectOf(strings.NewReader(string(program))); err != nil && d.Name != "" {
			t.Errorf("%s and %v", d.Name, err)
		}
	})
}

func BenchmarkDialect(b *testing.B) {
	for _, path := range append(filepath.SplitList(os.Getenv("RUNCLAMP_TEST_RUNC")), "/usr/bin/crun") {
		b.Run(filepath.Base(path), func(b *testing.B) {
			f, err := os.Open(path)
			if err != nil {
				b.Skip(err)
			}
			for b.Loop() {
				if _, err := dialectOf(f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// newCrunLab has a delegate that passes for crun, and tells what it was handed.
func newCrunLab(t *testing.T) lab {
	t.Helper()
	l := newLabOf(t, "crun")
	if err := os.Remove(filepath.Join(l.root, "c1", "state.json")); err != nil {
		t.Fatal(err)
	}
	l.write(t, filepath.Join(l.root, "c1", "status"), `{"pid":0,"process-start-time":0,"bundle":"`+l.bundle+`","rootfs":"/r"}`)
	return l
}

func TestCrunDelegate(t *testing.T) {
	l := newCrunLab(t)
	to := l.mustRun(t, "--root", l.root, "create", "-b", l.bundle, "c1")
	if want := []string{"--root=" + l.root, "create", "--bundle=" + l.bundle, "c1"}; !slices.Equal(to.Args, want) {
		t.Errorf("create became %q", to.Args)
	}
	l.mustRefuse(t, "it names another configuration", "create", "--config", "/evil", "c1")
	l.mustRefuse(t, "specification:cgroup-manager: ", "--cgroup-manager=disabled", "create", "-b", l.bundle, "c1")
	if to := l.mustRun(t, "--root", l.root, "start", "c1"); !slices.Equal(to.Args, []string{"--root=" + l.root, "start", "c1"}) {
		t.Errorf("start became %q", to.Args)
	}
	to = l.mustRun(t, "--root", l.root, "exec", "-t", "-u", "0:0", "--cap", "CAP_SYS_ADMIN", "--apparmor", "unconfined", "c1", "id")
	if len(to.Args) != 4 || !strings.HasPrefix(to.Args[2], "--process=/proc/self/fd/") || !strings.Contains(to.Process, `"uid":10001`) || strings.Contains(to.Process, "SYS_ADMIN") {
		t.Errorf("exec became %q with %s", to.Args, to.Process)
	}
	to = l.mustRun(t, "--root", l.root, "update", "--memory", "33554432", "c1")
	if len(to.Args) != 4 || !strings.HasPrefix(to.Args[2], "--resources=/proc/self/fd/") || strings.Contains(to.Resources, `"pids":{}`) {
		t.Errorf("update became %q with %s", to.Args, to.Resources)
	}
	for _, args := range [][]string{{"kill", "-a", "c1", "9"}, {"delete", "--force", "c1"}, {"state", "c1"}, {"ps", "c1"}, {"--version"}} {
		if got := l.mustRun(t, args...); !slices.Equal(got.Args, args) {
			t.Errorf("%q became %q", args, got.Args)
		}
	}
	l.mustRefuse(t, `unknown verb "events"`, "events", "c1")
}

// TestAnothersContainer: one that was made before the delegate was exchanged.
func TestAnothersContainer(t *testing.T) {
	l := newLabOf(t, "crun")
	l.mustRefuse(t, `container "c1" was made by runc, and the delegate is crun, which does not know it: remove it with runc and create it again`, "start", "c1")
	l.mustRefuse(t, `container "c2" does not exist`, "start", "c2")
	l = newCrunLab(t)
	conf := filepath.Join(l.dir, "conf", "delegate")
	shop, err := workshop()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(conf); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(shop, "delegate"), conf); err != nil {
		t.Fatal(err)
	}
	l.mustRefuse(t, `container "c1" was made by crun, and the delegate is runc`, "exec", "c1", "id")
}
