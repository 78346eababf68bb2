package shim

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestGrammarIsSound: no name stands for two flags, verbs and tables are the same, and each verb is either taken apart or
// passed on.
func TestGrammarIsSound(t *testing.T) {
	intercepted := []string{"checkpoint", "create", "exec", "restore", "run", "start", "update"}
	for _, d := range []Dialect{Runc(), Crun()} {
		for _, verb := range d.verbs {
			c, ok := d.grammar(verb)
			if !ok || c.max != unlimited && c.max < c.min || c.words != (c.max == unlimited) {
				t.Errorf("%s %s: %v %+v", d.Name, verb, ok, c)
			}
			if d.pass(verb) == slices.Contains(intercepted, verb) {
				t.Errorf("%s %s is passed on: %v", d.Name, verb, d.pass(verb))
			}
			holdNames(t, d.Name+" "+verb, c.flags)
		}
		holdNames(t, d.Name, d.global)
		for _, verb := range []string{"", "init", "--help", "--version", "Create", "create "} {
			if _, ok := d.grammar(verb); ok || d.pass(verb) {
				t.Errorf("%s: %q is no verb", d.Name, verb)
			}
		}
	}
}

func holdNames(t *testing.T, verb string, flags []flag) {
	t.Helper()
	names := map[string]bool{"help": true, "h": true}
	for _, f := range flags {
		for _, name := range []string{f.name, f.short} {
			if name != "" && names[name] || f.name == "" || len(f.short) > 1 || f.many && !f.value {
				t.Errorf("%s: %+v", verb, f)
			}
			names[name] = true
		}
	}
}

// helpFlag is a line of --help: "   --bundle value, -b value  path to …", "   --no-pivot  do not …".
var helpFlag = regexp.MustCompile(`(?m)^   --([a-z0-9-]+)( value)?(?:, -([a-z])(?: value)?)?\s`)

// TestGrammarAgainstRealRunc holds the tables against the --help of the programs in RUNCLAMP_TEST_RUNC (paths with colons
// between): no verb or flag of theirs is missing, and each takes a value where ours does.
func TestGrammarAgainstRealRunc(t *testing.T) {
	for _, runc := range realRuncs(t) {
		for _, verb := range append([]string{""}, verbsOf(t, runc)...) {
			args, flags := []string{"--help"}, Runc().global
			if verb != "" {
				c, ok := runcGrammar(verb)
				if !ok {
					t.Errorf("%s has the verb %q, which is not in the table", runc, verb)
					continue
				}
				args, flags = []string{verb, "--help"}, c.flags
			}
			if verb == "help" || verb == "h" {
				continue
			}
			out, err := exec.Command(runc, args...).Output()
			if err != nil || !strings.Contains(string(out), "NAME:") {
				t.Fatalf("%s %v: %v, printed %q", runc, args, err, out)
			}
			for _, m := range helpFlag.FindAllStringSubmatch(string(out), -1) {
				name, value, short := m[1], m[2] != "", m[3]
				if name == "help" || name == "version" {
					continue
				}
				if f, ok := find(flags, name); !ok || f.value != value || f.short != short {
					t.Errorf("%s %s has --%s (value %v, short %q), the table has %+v", runc, verb, name, value, short, f)
				}
			}
		}
	}
}

// TestHiddenFlagsOfRealRunc: those that --help does not show. A flag that runc knows is not complained about.
func TestHiddenFlagsOfRealRunc(t *testing.T) {
	for _, runc := range realRuncs(t) {
		for _, verb := range Runc().verbs {
			if verb == "help" || verb == "h" {
				continue
			}
			c, _ := runcGrammar(verb)
			missing := 0
			for _, f := range c.flags {
				arg := "--" + f.name
				if f.value {
					arg += "=1"
				}
				// With --help it does nothing; but it reads all flags first.
				out, _ := exec.Command(runc, "--root=/nonexistent/runclamp-test", verb, arg, "--help").CombinedOutput()
				switch {
				case strings.Contains(string(out), "not defined"):
					missing++
				case !strings.Contains(string(out), "NAME:"):
					t.Errorf("%s %s %s: %.300s", runc, verb, arg, out)
				}
			}
			// The union's newer flags: at most those that the table dates.
			if missing > 2 {
				t.Errorf("%s %s does not know %d flags of the table", runc, verb, missing)
			}
		}
	}
}

// realRuncs are the programs that the tables are held against.
func realRuncs(t *testing.T) []string {
	t.Helper()
	list := os.Getenv("RUNCLAMP_TEST_RUNC")
	if list == "" {
		t.Skip("left out: RUNCLAMP_TEST_RUNC names no runc (make unit does)")
	}
	return filepath.SplitList(list)
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
