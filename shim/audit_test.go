package shim

import (
	"encoding/json"

	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"runclamp/bundle"
	"runclamp/enforce"
	"runclamp/enforce/policy"
)

// policy gives the lab a policy file. "LOG" in it is the lab's audit log.
func (l lab) policy(t *testing.T, text string) {
	t.Helper()
	conf := filepath.Join(l.dir, "conf")
	if err := write("policy.yaml", "apiVersion: runclamp/v1\n"+text)(conf); err != nil {
		t.Fatal(err)
	}
	l.fill(t, conf)
}

func (l lab) log(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(l.dir, "audit", "log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestAuditLines: the lines are a contract, so they stand in a file. `RUNCLAMP_UPDATE=1 go test ./shim` writes it.
func TestAuditLines(t *testing.T) {
	l := newLab(t)
	l.policy(t, `audit: {log: LOG}
rules:
  - name: nobodys
    match: {engine: docker}
    controls: {capabilities: {allow: []}}
tighten:
  - match: {annotation.tier: public}
    controls: {nonRoot: {action: reject}}
exceptions:
  - {name: tester, match: {engine: unknown}, allow: ["exec:capabilities"], reason: a test, expires: `+time.Now().AddDate(0, 1, 0).Format(time.DateOnly)+`}
  - {name: lapsed, match: {engine: unknown}, allow: [privileged], reason: a test, expires: 2024-01-31}
`)
	config := filepath.Join(l.bundle, "config.json")
	create := []string{"--root", l.root, "create", "--bundle", l.bundle, "c1"}
	l.mustRun(t, create...)
	process := filepath.Join(l.dir, "process.json")
	l.write(t, process, `{"user":{"uid":0,"gid":0},"args":["id"],"env":["TOKEN=secret"],"cwd":"/","capabilities":{"bounding":["CAP_CHOWN"]}}`)
	l.mustRun(t, "--root", l.root, "exec", "-p", process, "c1")
	l.mustRefuse(t, "checkpoint: ", "checkpoint", "c1")
	l.write(t, config, strings.Replace(dockerLike, `"linux"`, `"annotations":{"tier":"public"},"linux"`, 1))
	l.mustRefuse(t, "nonRoot:uid", create[2:]...)
	l.write(t, config, strings.Replace(dockerLike, `"linux":{`, `"linux":{"resources":{"devices":[{"allow":true,"access":"rwm"}]},`, 1))
	l.mustRefuse(t, "; exception lapsed expired on 2024-01-31)", create[2:]...)
	l.write(t, config, "{}{}")
	l.mustRefuse(t, "something follows", create[2:]...)
	l.mustRefuse(t, "something follows", "start", "c1")
	l.mustRefuse(t, "unknown flag", "create", "--what", "c1")

	got := l.log(t)
	for _, secret := range []string{"secret", "PATH=/bin"} {
		if strings.Contains(got, secret) {
			t.Errorf("the value of a variable is in the log: %s", got)
		}
	}
	got = strings.ReplaceAll(got, l.dir, "DIR")
	for pattern, with := range map[string]string{
		`"time":"[^"]+"`: `"time":"TIME"`, `"microseconds":\d+`: `"microseconds":1`, `"sha256":"[0-9a-f]{64}"`: `"sha256":"SUM"`,
		`"to":"\{\\"defaultAction[^}]*… \(\d+ bytes\)"`: `"to":"PROFILE"`,
	} {
		got = regexp.MustCompile(pattern).ReplaceAllString(got, with)
	}
	golden := filepath.Join("testdata", "audit.jsonl")
	if os.Getenv("RUNCLAMP_UPDATE") != "" {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the lines are\n%s\nwant\n%s", got, want)
	}
	if info, err := os.Stat(filepath.Join(l.dir, "audit", "log")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestAuditRotation: whoever renames the log gets no more lines in it.
func TestAuditRotation(t *testing.T) {
	l := newLab(t)
	l.policy(t, "audit: {log: LOG}\n")
	log := filepath.Join(l.dir, "audit", "log")
	l.mustRun(t, "--root", l.root, "create", "c1")
	before := l.log(t)
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	l.mustRun(t, "--root", l.root, "create", "c1")
	rotated, err := os.ReadFile(log + ".1")
	if err != nil || string(rotated) != before || strings.Count(before, "\n") != 1 || strings.Count(l.log(t), "\n") != 1 {
		t.Errorf("%v: rotated %q, new %q", err, rotated, l.log(t))
	}
}

// TestAuditRequired: a log that can't be written is said on the error log and the decision stands, unless the policy requires it.
func TestAuditRequired(t *testing.T) {
	for _, tt := range []struct{ name, policy, want string }{
		{"not required", "audit: {log: LOG}\n", ""},
		{"required", "audit: {log: LOG, required: true}\n", "is not a regular file, and the policy requires it (audit.required)"},
		{"mode audit refuses nothing", "mode: audit\naudit: {log: LOG, required: true}\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t)
			l.policy(t, tt.policy)
			if err := os.MkdirAll(filepath.Join(l.dir, "audit"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("/dev/full", filepath.Join(l.dir, "audit", "log")); err != nil {
				t.Fatal(err)
			}
			// A link at its place leads nowhere.
			if tt.want != "" {
				l.mustRefuse(t, "too many levels of symbolic links, and the policy requires it", "create", "--bundle", l.bundle, "c1")
				if names := names(t, l.bundle); names != "config.json rootfs" {
					t.Errorf("the bundle has %s", names)
				}
				return
			}
			errors := filepath.Join(l.dir, "errors")
			l.mustRun(t, "--root", l.root, "--log", errors, "--log-format", "json", "create", "c1")
			said, err := os.ReadFile(errors)
			if err != nil || !strings.Contains(string(said), `"msg":"runclamp: the audit log `) || strings.Count(string(said), "\n") != 1 {
				t.Errorf("%v: %s", err, said)
			}
		})
	}
	t.Run("none, and required", func(t *testing.T) {
		l := newLab(t)
		l.policy(t, "audit: {log: '', required: true}\n")
		l.mustRefuse(t, "the policy names none (audit.log)", "create", "--bundle", l.bundle, "c1")
		l.policy(t, "audit: {log: ''}\n")
		l.mustRun(t, "--root", l.root, "create", "--bundle", l.bundle, "c1")
	})
	t.Run("others can write its folder", func(t *testing.T) {
		l := newLab(t)
		l.policy(t, "audit: {log: LOG, required: true}\n")
		if err := os.MkdirAll(filepath.Join(l.dir, "audit"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(l.dir, "audit"), 0o777); err != nil {
			t.Fatal(err)
		}
		l.mustRefuse(t, "chmod go-w", "create", "--bundle", l.bundle, "c1")
	})
}

// TestModeAudit: everything is recorded, nothing is changed, byte for byte, and nothing is refused.
func TestModeAudit(t *testing.T) {
	l := newLab(t)
	l.policy(t, "mode: audit\naudit: {log: LOG}\n")
	config := filepath.Join(l.bundle, "config.json")
	process := filepath.Join(l.dir, "process.json")
	l.write(t, process, `{"user":{"uid":0,"gid":0},"args":["id"],"cwd":"/"}`)
	for _, tt := range []struct{ name, config, want string }{
		{"what would be fixed", dockerLike, `"mode":"audit","verdict":"fixed"`},
		{"what would be refused", strings.Replace(dockerLike, `"linux":{`, `"linux":{"resources":{"devices":[{"allow":true,"access":"rwm"}]},`, 1), `"mode":"audit","verdict":"refused"`},
		{"what can't be read", dockerLike + "{}", `"error":"config.json: line 1`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l.write(t, config, tt.config)
			to := l.mustRun(t, "--root", l.root, "create", "--bundle", l.bundle, "c1")
			if to.Config != tt.config {
				t.Errorf("the delegate got %s", to.Config)
			}
			if text, err := os.ReadFile(config); err != nil || string(text) != tt.config {
				t.Errorf("config.json is %s, %v", text, err)
			}
			lines := strings.Split(strings.TrimSpace(l.log(t)), "\n")
			if last := lines[len(lines)-1]; !strings.Contains(last, tt.want) {
				t.Errorf("the log says %s", last)
			}
			l.mustRun(t, "--root", l.root, "start", "c1")
			to = l.mustRun(t, "--root", l.root, "exec", "-p", process, "c1")
			if want := "exec --process=" + process + " c1"; strings.Join(to.Args[1:], " ") != want {
				t.Errorf("exec became %q, want %q", to.Args, want)
			}
		})
	}
	if to := l.mustRun(t, "--root", l.root, "restore", "--bundle", l.bundle, "c1"); !strings.Contains(strings.Join(to.Args, " "), "restore") {
		t.Errorf("%q", to.Args)
	}
	if to := l.mustRun(t, "--root", l.root, "checkpoint", "c1"); to.Args[1] != "checkpoint" {
		t.Errorf("%q", to.Args)
	}
	if to := l.mustRun(t, "--root", l.root, "create", "c1", "--what"); to.Args[2] != "create" {
		t.Errorf("%q", to.Args)
	}
	// No record of runclamp's: made before it came.
	if err := os.Remove(filepath.Join(l.bundle, "runclamp.json")); err != nil {
		t.Fatal(err)
	}
	l.write(t, config, dockerLike)
	l.mustRun(t, "--root", l.root, "start", "c1")
	l.mustRun(t, "--root", l.root, "exec", "-p", process, "c1")
	if !strings.Contains(l.log(t), `"unmanaged":true`) {
		t.Error("a container that was not made by runclamp is not told apart")
	}
}

// TestExecSettings: the record says what an exec may do, whatever the policy says by then.
func TestExecSettings(t *testing.T) {
	process := `{"user":{"uid":0,"gid":0},"args":["id"],"cwd":"/","capabilities":{"bounding":["CAP_CHOWN"]}}`
	exception := func(allow string) string {
		return "exceptions:\n  - {name: e, match: {engine: unknown}, allow: [" + allow + "], reason: r, expires: " + time.Now().AddDate(0, 1, 0).Format(time.DateOnly) + "}\n"
	}
	for _, tt := range []struct{ name, policy, want string }{
		{"fix", "", `"user":{"uid":10001,"gid":10001}`},
		{"off", "controls: {exec: {action: off}}\n", "as asked"},
		{"audit", "controls: {exec: {action: audit}}\n", "as asked"},
		{"reject", "controls: {exec: {action: reject}}\n", "refused"},
		{"root by exception", exception("'exec:root'"), `"user":{"uid":0,"gid":0}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t)
			l.policy(t, "audit: {log: LOG}\n"+tt.policy)
			l.mustRun(t, "--root", l.root, "create", "c1")
			l.policy(t, "broken: [\n")
			file := filepath.Join(l.dir, "process.json")
			l.write(t, file, process)
			for _, args := range [][]string{{"exec", "-p", file, "c1"}, {"exec", "--user", "0:0", "--cap", "CAP_CHOWN", "c1", "id"}} {
				args = append([]string{"--root", l.root}, args...)
				if tt.want == "refused" {
					l.mustRefuse(t, "exec:root: UID 0 (root) at user, wanted the container's user", args[2:]...)
					continue
				}
				to := l.mustRun(t, args...)
				switch {
				case tt.want == "as asked":
					if strings.Contains(strings.Join(to.Args, " "), "/proc/self/fd/") {
						t.Errorf("%q became %q", args, to.Args)
					}
				case !strings.Contains(to.Process, tt.want) || strings.Contains(to.Process, "CAP_CHOWN"):
					t.Errorf("%q: handed over %s", args, to.Process)
				}
			}
		})
	}
	l := newLab(t)
	l.mustRun(t, "--root", l.root, "create", "c1")
	l.mustRefuse(t, `--user is "root": give numbers`, "exec", "--user", "root", "c1", "id")
	l.mustRefuse(t, `--additional-gids is "x": give numbers`, "exec", "-g", "x", "c1", "id")
}

// TestRequireProof: what is created and started in one step can't be proved in between.
func TestRequireProof(t *testing.T) {
	l := newLab(t)
	l.policy(t, "audit: {log: LOG}\nrequireProof: true\n")
	l.mustRefuse(t, "run: it creates and starts in one step", "run", "--bundle", l.bundle, "c1")
	l.mustRun(t, "--root", l.root, "create", "--bundle", l.bundle, "c1")
	// The record holds, not the policy of the moment.
	l.policy(t, "audit: {log: LOG}\n")
	for _, tt := range []struct{ state, want string }{
		{"", "proof:process: it could not be read: the delegate's record has no process"},
		{`"init_process_pid":1,"init_process_start":999999999999,`, "proof:process: it could not be read: process 1 was started at"},
		{`"init_process_pid":4194304,"init_process_start":1,`, "proof:process: it could not be read: process 4194304 has ended"}, // PID_MAX_LIMIT
	} {
		l.write(t, filepath.Join(l.root, "c1", "state.json"), `{`+tt.state+`"config":{"labels":["bundle=`+l.bundle+`"]}}`)
		l.mustRefuse(t, tt.want, "start", "c1")
		if last := l.lastLine(t); last.Verb != "start" || last.Proof != bundle.ProofNone || last.Findings[0].Action != policy.Reject {
			t.Errorf("the log says %+v", last)
		}
	}
	l.write(t, filepath.Join(l.bundle, "config.json"), dockerLike)
	l.mustRun(t, "--root", l.root, "create", "--bundle", l.bundle, "c1")
	l.mustRun(t, "--root", l.root, "start", "c1")
	if last := l.lastLine(t); last.Verb != "start" || last.Verdict != enforce.Unchanged || last.Proof != bundle.ProofNone || last.Findings[0].Action != policy.Audit {
		t.Errorf("the log says %+v", last)
	}
}

func (l lab) lastLine(t *testing.T) (line auditLine) {
	t.Helper()
	if err := json.Unmarshal([]byte(l.lastText(t)), &line); err != nil {
		t.Fatal(err)
	}
	return line
}

// TestLineIsShort: whatever is in it, a line has 64 KiB at most and is one JSON object.
func TestLineIsShort(t *testing.T) {
	l := auditLine{Verb: "create", ID: "c1", Error: strings.Repeat("é", 1000)}
	for i := range 3000 {
		l.Findings = append(l.Findings, enforce.Finding{Control: "capabilities", Detail: fmt.Sprint(i), Found: strings.Repeat("x", 300), Action: policy.Fix})
		l.Edits = append(l.Edits, auditEdits([]bundle.Change{{Pointer: "/process/env/1", From: []byte(`"A=secret"`), To: []byte(`{"long":"` + strings.Repeat("y", 300) + `"}`)}})...)
	}
	text, err := l.text()
	if err != nil || len(text) > maxLine {
		t.Fatalf("%d bytes, %v", len(text), err)
	}
	var back auditLine
	if err := json.Unmarshal(text, &back); err != nil || back.Cut+len(back.Findings)+len(back.Edits) != 6000 || len(back.Findings) == 0 {
		t.Errorf("%v: cut %d, %d findings and %d edits left", err, back.Cut, len(back.Findings), len(back.Edits))
	}
	if strings.Contains(string(text), "secret") || strings.Contains(string(text), strings.Repeat("x", 300)) {
		t.Error("a secret, or a value that is too long, is in it")
	}
}

// TestAuditHidesVariables: what may be a secret is not in the log, only that something was there.
func TestAuditHidesVariables(t *testing.T) {
	for _, c := range []bundle.Change{
		{Pointer: "/process/env/1", From: []byte(`"A=secret"`)},
		{Pointer: "/process/env", From: []byte(`["A=secret"]`)},
		{Pointer: "/process", From: []byte(`{"env":["A=secret"]}`)},
		{Pointer: "/hooks/prestart/0", From: []byte(`{"path":"/x","env":["A=secret"]}`)},
		{Pointer: "/hooks", To: []byte(`{"prestart":[{"path":"/x","env":["A=secret"]}]}`)},
	} {
		e := auditEdits([]bundle.Change{c})[0]
		if text := string(e.From) + string(e.To); strings.Contains(text, "secret") {
			t.Errorf("%s: %s", c.Pointer, text)
		}
	}
}
