package shim

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runclamp/enforce/policy"
	"runclamp/enforce/seccomp"
)

func TestSeccompFacts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("left out: files that nobody but root can change need root")
	}
	conf, err := os.MkdirTemp("/var/lib", "runclamp-profiles-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(conf); err != nil {
			t.Error(err)
		}
	})
	for path, mode := range map[string]os.FileMode{"profiles/web.json": 0o644, "profiles/loose.json": 0o666, "own.json": 0o600} {
		path = filepath.Join(conf, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	p := PolicyFile{confDir: conf}
	own := "file:" + filepath.Join(conf, "own.json")
	names := policy.SeccompProfile("default+strict+web+loose+none+" + own)
	facts, err := p.seccompFacts(policy.Seccomp{Action: policy.Fix, Profile: names})
	if err != nil {
		t.Fatal(err)
	}
	if len(facts.Profiles) != 4 || facts.Kernel == (seccomp.Kernel{}) {
		t.Errorf("got %+v", facts)
	}
	for name, problem := range map[string]string{
		"web": "", own: "",
		"loose": "loose.json can be written by others than root (mode 0666): chmod go-w",
		"none":  "none.json: no such file or directory",
	} {
		f := facts.Profiles[name]
		if !strings.Contains(f.Problem, problem) || (problem == "") != (f.Problem == "" && string(f.Text) == "{}") {
			t.Errorf("%s: %+v, want %q", name, f, problem)
		}
	}
	for _, c := range []policy.Seccomp{{Action: policy.Off, Profile: names}, {Action: policy.Fix, Profile: "default+strict"}, {Action: policy.Fix, Profile: policy.AnyProfile}} {
		if facts, err := p.seccompFacts(c); err != nil || facts.Profiles != nil {
			t.Errorf("%+v reads %+v, %v", c, facts, err)
		}
	}
}
