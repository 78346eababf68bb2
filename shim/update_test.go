package shim

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// createLimited makes a container under a policy with limits, and then leaves a policy that can't be read.
func createLimited(t *testing.T, policy string) lab {
	t.Helper()
	l := newLab(t)
	l.policy(t, "audit: {log: LOG}\n"+policy)
	l.mustRun(t, "--root", l.root, "create", "c1")
	l.policy(t, "broken: [\n")
	return l
}

const limits = "controls: {resources: {pids: 100, memory: 64Mi, cpus: 1.5}}\n"

func TestUpdate(t *testing.T) {
	l := createLimited(t, limits)
	file := filepath.Join(l.dir, "resources.json")
	l.write(t, file, `{"memory": {"limit": 1099511627776, "x": 1}, "devices": [{"allow":true,"access":"rwm"}]}`)
	const written = "; written: false"
	for _, tt := range []struct {
		name, stdin   string
		args          []string
		words, handed string
		verdict       string
	}{
		{"standard input", `{"pids":{"limit":-1}}`, []string{"update", "--resources", "-", "c1"}, "update --resources=RESOURCES c1", `{"pids":{"limit":100}}`, "fixed"},
		{"within", `{"pids": {"limit": 50}, "x": 18446744073709551615}`, []string{"update", "-r", "-", "c1"}, "update --resources=RESOURCES c1",
			`{"pids": {"limit": 50}, "x": 18446744073709551615}`, "unchanged"},
		{"a file", "", []string{"update", "--resources", file, "c1"}, "update --resources=RESOURCES c1", `{"memory":{"limit":67108864,"x":1}}`, "fixed"},
		{"flags beside a document, which runc does not read", `{}`, []string{"update", "--pids-limit", "-1", "-r", "-", "c1"}, "update --resources=RESOURCES c1", `{}`, "unchanged"},
		{"flags", "", []string{"update", "--pids-limit", "-1", "--memory", "1g", "--cpu-quota=-1", "c1"}, "update --resources=RESOURCES c1",
			`{"memory":{"limit":67108864},"cpu":{"quota":150000,"period":100000},"pids":{"limit":100},"blockIO":{}}`, "fixed"},
		{"flags within", "", []string{"update", "--pids-limit", "5", "--memory", "32MiB", "--memory-swap=-1", "--memory-reservation=1b", "--cpu-quota=1000", "--cpu-period=2000", "--cpu-share=2",
			"--cpu-burst=3", "--cpu-idle=1", "--cpu-rt-period=4", "--cpu-rt-runtime=0", "--cpuset-cpus=0-1", "--cpuset-mems=0", "--blkio-weight=10", "--kernel-memory=1k", "--kernel-memory-tcp=1 kb", "c1"},
			"update --resources=RESOURCES c1",
			`{"memory":{"limit":33554432,"reservation":1,"swap":-1,"kernelTCP":1024},"cpu":{"shares":2,"quota":1000,"burst":3,"period":2000,"realtimeRuntime":0,"realtimePeriod":4,"cpus":"0-1","mems":"0","idle":1},"pids":{"limit":5},"blockIO":{"weight":10}}`, "unchanged"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			to, err := l.runWith(t, tt.stdin, append([]string{"--root", l.root}, tt.args...)...)
			if err != nil {
				t.Fatal(err)
			}
			for i, a := range to.Args {
				if strings.HasPrefix(a, "--resources=/proc/self/fd/") {
					to.Args[i] = "--resources=RESOURCES"
				}
			}
			if got := strings.Join(to.Args[1:], " "); got != tt.words {
				t.Errorf("\ngot  %s\nwant %s", got, tt.words)
			}
			if to.Resources != tt.handed+written {
				t.Errorf("handed over\ngot  %s\nwant %s", to.Resources, tt.handed)
			}
			if last := l.lastText(t); !strings.Contains(last, `"verb":"update","id":"c1"`) || !strings.Contains(last, `"verdict":"`+tt.verdict+`"`) {
				t.Errorf("the log says %s", last)
			}
		})
	}
	if last := l.lastText(t); strings.Contains(last, `"control"`) {
		t.Errorf("a finding about what is within: %s", last)
	}
	for want, args := range map[string][]string{
		"resources:intelRdt: another share of caches": {"update", "--l3-cache-schema", "L3:0=f", "c1"},
		`--memory: "1.5g" is no size`:                 {"update", "--memory", "1.5g", "c1"},
		`--memory: "9999999p" is no size`:             {"update", "--memory", "9999999p", "c1"},
		`--pids-limit: strconv.ParseInt`:              {"update", "--pids-limit", "many", "c1"},
		"the resources: open /no/such":                {"update", "--resources", "/no/such", "c1"},
		"the resources: line 1, column 1":             {"update", "--resources", "-", "c1"}, // an empty input
		`container "c2" does not exist`:               {"update", "--pids-limit", "5", "c2"},
		`unknown flag "--pids"`:                       {"update", "--pids", "5", "c1"},
	} {
		l.mustRefuse(t, want, args...)
	}
	for _, text := range []string{`{"pids":{"limit":1},"PIDS":{"limit":-1}}`, `{}{}`, `null`, `{"pids":{"limit":"x"}}`, strings.Repeat(" ", maxResources+1)} {
		if to, err := l.runWith(t, text, "--root", l.root, "update", "-r", "-", "c1"); err == nil || !strings.Contains(err.Error(), "runclamp: refused: the resources: ") {
			t.Errorf("%.40s: %v, %q", text, err, to.Args)
		}
	}
}

func (l lab) lastText(t *testing.T) string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(l.log(t)), "\n")
	return lines[len(lines)-1]
}

// TestUpdateSettings: what the policy said when the container was made.
func TestUpdateSettings(t *testing.T) {
	asked := []string{"update", "--pids-limit", "-1", "c1"}
	exception := "exceptions: [{name: e, match: {engine: unknown}, allow: ['resources:pids'], reason: r, expires: " + time.Now().AddDate(0, 1, 0).Format(time.DateOnly) + "}]\n"
	for name, tt := range map[string]struct{ policy, want string }{
		"off":          {"controls: {resources: {action: off}}\n", "as asked"},
		"audit":        {"controls: {resources: {action: audit}}\n", `"limit":-1`},
		"reject":       {"controls: {resources: {action: reject, pids: none, rlimits: {}, memory: none}}\n", `"limit":-1`},
		"exception":    {limits + exception, `"limit":-1`},
		"fix":          {"", `"limit":512`},
		"mode audit":   {"mode: audit\n", "as asked"},
		"other preset": {"preset: baseline\n", "as asked"},
	} {
		t.Run(name, func(t *testing.T) {
			l := createLimited(t, tt.policy)
			to := l.mustRun(t, append([]string{"--root", l.root}, asked...)...)
			if tt.want == "as asked" {
				if want := "update --pids-limit=-1 c1"; strings.Join(to.Args[1:], " ") != want {
					t.Errorf("got %q", to.Args)
				}
			} else if !strings.Contains(to.Resources, tt.want) {
				t.Errorf("handed over %s, want %s", to.Resources, tt.want)
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		l := newLab(t)
		l.write(t, filepath.Join(l.bundle, "config.json"), strings.Replace(dockerLike, `"linux":{`, `"linux":{"resources":{"pids":{"limit":5}},`, 1))
		l.policy(t, "controls: {resources: {action: reject, rlimits: {}}}\n")
		l.mustRun(t, "--root", l.root, "create", "c1")
		l.mustRefuse(t, `resources:pids: an unlimited number of processes at pids.limit, wanted at most 512: add "--pids-limit 512"`, asked...)
	})
	t.Run("mode audit, standard input", func(t *testing.T) {
		l := createLimited(t, "mode: audit\n")
		for _, text := range []string{`{"pids": {"limit": -1}}`, `{"pids": {"limit": -1}}{}`} {
			to, err := l.runWith(t, text, "--root", l.root, "update", "-r", "-", "c1")
			if err != nil || to.Resources != text+"; written: false" {
				t.Errorf("handed over %q, %v", to.Resources, err)
			}
		}
	})
	t.Run("not made by runclamp", func(t *testing.T) {
		l := newLab(t)
		to, err := l.runWith(t, `{"pids":{"limit":-1}}`, "--root", l.root, "update", "-r", "-", "c1")
		if err != nil || !slices.Equal(to.Args, []string{"--root=" + l.root, "update", "--resources=-", "c1"}) || !strings.HasPrefix(to.Resources, `{"pids":{"limit":-1}}`) {
			t.Errorf("%q, %q, %v", to.Args, to.Resources, err)
		}
		if _, err := os.Stat(filepath.Join(l.bundle, "runclamp.json")); !os.IsNotExist(err) {
			t.Errorf("a record came in: %v", err)
		}
	})
}
