package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// capture writes what the engines sent as fixtures for the tests of enforce.
var capture = flag.Bool("capture", false, "write what the engines send to enforce/testdata/engines")

// TestWhatEnginesSend: what the real engines send for the everyday ways to start a container. With -capture it becomes the
// fixtures that the laws are held over; without, it must still be of the fixtures' shape: a field that an engine has begun to
// send is one that somebody has to look at.
func TestWhatEnginesSend(t *testing.T) {
	forEachDocker(t, func(t *testing.T, d *docker) {
		for name, args := range map[string][]string{
			"plain":       {"bb", "sleep", "1000"},
			"interactive": {"-it", "bb", "sleep", "1000"},
			"init":        {"--init", "bb", "sleep", "1000"},
			"volume":      {"-v", "/data", "-v", filepath.Join(d.dir, "recorded") + ":/there:ro", "--tmpfs", "/cache", "bb", "sleep", "1000"},
			"stricter":    {"--user", "20000:20000", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "bb", "sleep", "1000"},
			"limits":      {"--memory", "64m", "--cpus", "0.5", "--pids-limit", "77", "--ulimit", "nofile=512:512", "bb", "sleep", "1000"},
		} {
			t.Run(name, func(t *testing.T) {
				d.start(t, "record", args...)
				d.fixture(t, "config.json", name)
			})
		}
		for name, args := range map[string][]string{
			"privileged": {"--privileged", "bb", "true"},
			"unconfined": {"--cap-add", "ALL", "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined",
				"--security-opt", "systempaths=unconfined", "bb", "true"},
		} {
			t.Run(name, func(t *testing.T) {
				// It is refused behind the recording; what was sent is there all the same.
				if _, err := d.try(append([]string{"run", "--rm", "--runtime", "record", "--network", "none"}, args...)...); err == nil {
					t.Error("it ran")
				}
				d.fixture(t, "config.json", name)
			})
		}
		t.Run("exec", func(t *testing.T) {
			id := d.start(t, "record", "bb", "sleep", "1000")
			d.must(t, "exec", "-u", "0", "--privileged", "-e", "A=b", id, "true")
			d.fixture(t, "process.json", "exec")
		})
	})
}

// fixture compares what was recorded last with the fixture, or writes it.
func (d *docker) fixture(t *testing.T, recorded, name string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(d.dir, "recorded", recorded))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("../../enforce/testdata/engines", d.name, name+".json")
	text = neutral(d.dir, text)
	if *capture {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, text, 0o644)); err != nil {
			t.Fatal(err)
		}
		return
	}
	fixture, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, f := range fieldsOf(t, fixture) {
		known[f] = true
	}
	for _, f := range fieldsOf(t, text) {
		if !known[f] {
			t.Errorf("the engine sends %s, which is not in %s: look at it, then run this test with -capture", f, path)
		}
	}
}

// neutral takes this machine out of a configuration: the engine's folders become those that it has by default.
func neutral(dir string, text []byte) []byte {
	var indented bytes.Buffer
	if json.Indent(&indented, text, "", "\t") == nil {
		text = append(indented.Bytes(), '\n')
	}
	return []byte(strings.NewReplacer(
		filepath.Join(dir, "data"), "/var/lib/docker",
		filepath.Join(dir, "exec"), "/run/docker",
		dir, "/srv/example",
		"/"+filepath.Base(dir)+"/", "/docker/",
	).Replace(string(text)))
}

// fieldsOf are the pointers of all members, with * for any index.
func fieldsOf(t *testing.T, text []byte) []string {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	var fields []string
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, m := range v {
				fields = append(fields, at+"/"+k)
				walk(at+"/"+k, m)
			}
		case []any:
			for _, m := range v {
				walk(at+"/*", m)
			}
		}
	}
	walk("", v)
	return fields
}
