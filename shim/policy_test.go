package shim

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"runclamp/enforce/policy"

	"golang.org/x/sys/unix"
)

func TestPolicyName(t *testing.T) {
	for called, want := range map[string]string{
		"runclamp": "policy", "/usr/local/sbin/runclamp": "policy", "runc": "policy", "/usr/sbin/runc": "policy", "": "policy", "runclampx": "policy",
		"/usr/local/sbin/runclamp-web-1": "web-1 named", "runclamp-policy": "policy named",
		"runclamp-": "error", "runclamp-../x": "policy", "runclamp-A": "error", "runclamp-a.b": "error", "runclamp-a b": "error", "x/runclamp-é": "error",
	} {
		name, named, err := policyName(called)
		if named {
			name += " named"
		}
		if err != nil {
			name = "error"
		}
		if name != want {
			t.Errorf("%q: %s, %v, want %s", called, name, err, want)
		}
	}
}

// TestPolicyFile: which file is read, and what must be wrong with none of it. A policy that can't be read stops creates, and
// nothing else.
func TestPolicyFile(t *testing.T) {
	const capable = "apiVersion: runclamp/v1\naudit: {log: LOG}\ncontrols:\n  capabilities: {allow: [CHOWN]}\n"
	for _, tt := range []struct {
		name, called, want string
		arrange            func(conf string) error
	}{
		{"none", "runclamp", "", func(string) error { return nil }},
		{"no folder", "runclamp", "", func(string) error { return nil }},
		{"policy.yaml", "runclamp", "CAP_CHOWN", write("policy.yaml", capable)},
		{"as runc", "runc", "CAP_CHOWN", write("policy.yaml", capable)},
		{"by name", "runclamp-loose", "CAP_CHOWN", write("loose.yaml", capable)},
		{"by name, not another's", "runclamp-loose", "no such file", write("policy.yaml", capable)},
		{"a link to root's file", "runclamp", "CAP_CHOWN", func(conf string) error {
			return errors.Join(write("elsewhere", capable)(conf), os.Symlink("elsewhere", filepath.Join(conf, "policy.yaml")))
		}},
		{"broken", "runclamp", `policy.yaml: 2:1: unknown key "preest"; did you mean "preset"?`, write("policy.yaml", "apiVersion: runclamp/v1\npreest: hardened\n")},
		{"empty", "runclamp", "apiVersion", write("policy.yaml", "")},
		{"too large", "runclamp", "larger than 1 MiB", write("policy.yaml", capable+"#"+strings.Repeat("x", maxPolicy))},
		{"a dangling link", "runclamp", "no such file", func(conf string) error { return os.Symlink("gone", filepath.Join(conf, "policy.yaml")) }},
		{"a folder", "runclamp", "not a regular file", func(conf string) error { return os.Mkdir(filepath.Join(conf, "policy.yaml"), 0o755) }},
		{"a FIFO", "runclamp", "not a regular file", func(conf string) error { return unix.Mkfifo(filepath.Join(conf, "policy.yaml"), 0o644) }},
		{"others can write it", "runclamp", "chmod go-w", func(conf string) error {
			return errors.Join(write("policy.yaml", capable)(conf), os.Chmod(filepath.Join(conf, "policy.yaml"), 0o664))
		}},
		{"somebody's", "runclamp", "chown root", func(conf string) error {
			return errors.Join(write("policy.yaml", capable)(conf), os.Chown(filepath.Join(conf, "policy.yaml"), 5, 0))
		}},
		{"a link into somebody's folder", "runclamp", "chown root", func(conf string) error {
			return errors.Join(os.Mkdir(filepath.Join(conf, "x"), 0o755), os.Chown(filepath.Join(conf, "x"), 5, 0), write("x/policy.yaml", capable)(conf),
				os.Symlink("x/policy.yaml", filepath.Join(conf, "policy.yaml")))
		}},
		{"a name that is none", "runclamp-UP", "names a policy", func(string) error { return nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t)
			l.call(t, tt.called)
			conf := filepath.Join(l.dir, "conf")
			if err := tt.arrange(conf); err != nil {
				t.Fatal(err)
			}
			l.fill(t, conf)
			switch tt.want {
			case "", "CAP_CHOWN":
				to := l.mustRun(t, "--root", l.root, "create", "c1")
				if got := strings.Contains(to.Config, "CAP_CHOWN"); got != (tt.want != "") {
					t.Errorf("the delegate got %s", to.Config)
				}
			default:
				l.mustRefuse(t, tt.want, "create", "c1")
				// Everything that ends a container goes on working, and so does looking into it.
				for _, args := range [][]string{{"kill", "c1"}, {"delete", "c1"}, {"state", "c1"}, {"exec", "c1", "id"}} {
					l.mustRun(t, append([]string{"--root", l.root}, args...)...)
				}
			}
		})
	}
}

func write(name, text string) func(string) error {
	return func(dir string) error { return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644) }
}

// call makes runclamp go by another name.
func (l *lab) call(t *testing.T, name string) {
	t.Helper()
	to := filepath.Join(filepath.Dir(l.runclamp), name)
	if to == l.runclamp {
		return
	}
	if err := os.Rename(l.runclamp, to); err != nil {
		t.Fatal(err)
	}
	l.runclamp = to
}

// fill writes the lab's own log into the policies.
func (l lab) fill(t *testing.T, conf string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(conf, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(strings.ReplaceAll(string(text), "LOG", filepath.Join(l.dir, "audit", "log"))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPolicyCache: a large policy is kept in a form that is read faster, and never trusted more than the policy itself.
func TestPolicyCache(t *testing.T) {
	l := newLab(t)
	large := "controls:\n  capabilities: {allow: [CHOWN]}\nrules:\n"
	for i := range 300 {
		large += fmt.Sprintf("  - name: rule-%d\n    match: {engine: kubernetes, namespace: ns-%d}\n    controls: {nonRoot: {action: off}}\n", i, i)
	}
	kept := filepath.Join(l.dir, "run", "policy.kept")
	capable := func() bool {
		l.write(t, filepath.Join(l.bundle, "config.json"), dockerLike)
		return strings.Contains(l.mustRun(t, "--root", l.root, "create", "c1").Config, "CAP_CHOWN")
	}
	l.policy(t, "controls: {capabilities: {allow: [CHOWN]}}\n")
	if !capable() {
		t.Fatal("the policy does not hold")
	}
	if _, err := os.Stat(kept); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a small one is kept: %v", err)
	}

	l.policy(t, large)
	for _, spoil := range []func() error{
		func() error { return nil }, // kept now
		func() error { return nil }, // and used
		func() error { return os.WriteFile(kept, []byte("{}"), 0o600) },
		func() error { return os.Truncate(kept, 200) },
		func() error { return os.Truncate(kept, 20000) },
		func() error { return replaceIn(kept, "CAP_CHOWN", "CAP_MKNOD") },
		func() error { return os.Chmod(kept, 0o666) },
		func() error { return os.Chown(kept, 5, 5) },
		func() error { return errors.Join(os.Remove(kept), unix.Mkfifo(kept, 0o600)) },
		func() error { return errors.Join(os.Remove(kept), os.Mkdir(kept, 0o700)) },
		func() error { return os.Chmod(filepath.Dir(kept), 0o777) },
		func() error {
			return errors.Join(os.RemoveAll(filepath.Dir(kept)), os.Symlink(l.dir, filepath.Dir(kept)))
		},
		func() error {
			return errors.Join(os.Remove(filepath.Dir(kept)), os.WriteFile(filepath.Dir(kept), nil, 0o600))
		},
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if !capable() {
			t.Error("the policy does not hold")
		}
	}
	if err := os.Remove(filepath.Dir(kept)); err != nil {
		t.Fatal(err)
	}

	// It is used: what is kept under the right key is what holds. And it is not, once the text is another.
	if !capable() {
		t.Fatal("the policy does not hold")
	}
	if err := replaceIn(kept, "CAP_CHOWN", "CAP_MKNOD"); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(kept)
	if err != nil {
		t.Fatal(err)
	}
	line, form, _ := strings.Cut(string(data), "\n")
	key := policyCache{key: line[:strings.LastIndexByte(line, ' ')]}
	l.write(t, kept, string(key.line([]byte(form)))+form)
	if capable() {
		t.Error("the kept form is not used")
	}
	l.policy(t, large+"\n# another text\n")
	if !capable() {
		t.Error("the kept form of another text holds")
	}
	l.policy(t, large+"\nbroken\n")
	l.mustRefuse(t, "policy.yaml: ", "create", "--bundle", l.bundle, "c1")
}

// replaceIn puts a text in place of another as long.
func replaceIn(path, old, text string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !strings.Contains(string(data), old) {
		return fmt.Errorf("%s has no %s", path, old)
	}
	return os.WriteFile(path, []byte(strings.ReplaceAll(string(data), old, text)), 0o600)
}

// TestKeptForm: what is read back is what was kept, and nothing is read back once a byte of it is missing, more or another.
func TestKeptForm(t *testing.T) {
	f, err := policy.Parse([]byte(`apiVersion: runclamp/v1
rules:
- {name: a, match: {engine: kubernetes, namespace: [a, b]}, controls: {nonRoot: {action: fix, low: reject}}}
- {name: b, match: {engine: docker}, controls: {}}
`), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c := policyCache{key: "1 2"}
	data, err := c.encode(f)
	if err != nil {
		t.Fatal(err)
	}
	back, err := c.decode(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []policy.Workload{{}, {Engine: policy.Docker}, {Engine: policy.Kubernetes, Namespace: "b"}} {
		want, err1 := f.For(w, time.Now())
		got, err2 := back.For(w, time.Now())
		if err1 != nil || err2 != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v: %+v, %v, want %+v, %v", w, got, err2, want, err1)
		}
	}
	refused := func(data []byte, what string, at int) {
		if _, err := c.decode(data); err == nil {
			t.Errorf("%s at %d of %d: it is read", what, at, len(data))
		}
	}
	for i := range data {
		refused(data[:i:i], "cut", i)
		for _, bit := range []byte{1, 0x20, 0x80} {
			data[i] ^= bit
			refused(data, "changed", i)
			data[i] ^= bit
		}
	}
	refused(append(slices.Clone(data), '\n'), "more", len(data))
	for _, other := range []string{"", "1", "1 3", "1 2 "} {
		if _, err := (policyCache{key: other}).decode(data); err == nil {
			t.Errorf("it is read for %q", other)
		}
	}
}

// TestProfileProblem: a policy's profiles are found as wrong by lint as by the runtime.
func TestProfileProblem(t *testing.T) {
	conf := filepath.Join(newLab(t).dir, "conf")
	if err := os.Mkdir(filepath.Join(conf, "profiles"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"good.json": `{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]}`,
		"bad.json":  "{\n\"defaultAction\": \"SCMP_ACT_ERNO\"}",
		"site":      "profile site {\n}\n", "else": "profile other {\n}\n",
	} {
		if err := write(filepath.Join("profiles", name), text)(conf); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		control, profile, want string
		absent                 bool
	}{
		{"seccomp", "default", "", false},
		{"seccomp", "good", "", false},
		{"seccomp", "bad", `profiles/bad.json: line 2, column 18: defaultAction: "SCMP_ACT_ERNO"; did you mean "SCMP_ACT_ERRNO"?`, false},
		{"seccomp", "gone", "profiles/gone.json: no such file", false},
		{"seccomp", "file:" + conf + "/profiles/gone.json", "profiles/gone.json: no such file", false},
		{"appArmor", "runclamp-default", "", false},
		{"appArmor", "site", "", false},
		{"appArmor", "else", "must be called as the file is", false},
		{"appArmor", "gone", "", true},
		{"appArmor", "file:" + conf + "/profiles/gone", "profiles/gone: no such file", false},
	} {
		problem, absent, err := ProfileProblem(conf, policy.Named{Control: tt.control, Profile: tt.profile})
		if err != nil || absent != tt.absent || (problem == "") != (tt.want == "") || !strings.Contains(problem, tt.want) {
			t.Errorf("%s %s: %q, %v, %v, want %q", tt.control, tt.profile, problem, absent, err, tt.want)
		}
	}
}
