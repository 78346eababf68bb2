package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"runclamp/bundle"
	"runclamp/enforce"
	"runclamp/enforce/policy"
	"runclamp/shim"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	// The configuration folder is fixed at link time, and is another in a test.
	confDir = filepath.Join(string(filepath.Separator), "nonexistent", "runclamp")
	testscript.Main(m, map[string]func(){"clampctl": main})
}

// TestScripts runs the real program by the scripts in testdata.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// exits STATUS PROGRAM [ARG...]: it ends with exactly this status.
			"exits": func(ts *testscript.TestScript, neg bool, args []string) {
				if neg || len(args) < 2 {
					ts.Fatalf("usage: exits STATUS PROGRAM [ARG...]")
				}
				want, err := strconv.Atoi(args[0])
				ts.Check(err)
				status := 0
				if err := ts.Exec(args[1], args[2:]...); err != nil {
					var exit *exec.ExitError
					if !errors.As(err, &exit) {
						ts.Fatalf("%s: %v", args[1], err)
					}
					status = exit.ExitCode()
				}
				if status != want {
					ts.Fatalf("%s ended with %d, want %d", strings.Join(args[1:], " "), status, want)
				}
			},
		},
		UpdateScripts: os.Getenv("RUNCLAMP_UPDATE_SCRIPTS") != "",
	})
}

// TestVerifyRoots: without --root, no engine's containers are left out.
func TestVerifyRoots(t *testing.T) {
	roots, err := verifyCommand().Flags().GetStringSlice("root")
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{
		"/run/docker/runtime-runc/moby", "/run/docker/runtime-runclamp/moby", "/run/docker/runtime-runclamp/moby-100000.100000", "/run/docker/runtime-runclamp/plugins.moby",
		"/run/containerd/runc/moby", "/run/containerd/runc/k8s.io", "/run/containerd/runc/default", "/run/runc", "/run/crun",
	} {
		if !slices.ContainsFunc(roots, func(pattern string) bool { ok, err := filepath.Match(pattern, folder); return ok && err == nil }) {
			t.Errorf("%s is not among %q", folder, roots)
		}
	}
}

// TestFindingsAreLines: no name that a stranger has chosen makes a line of its own, such as one that says that a container holds.
func TestFindingsAreLines(t *testing.T) {
	const name = "/mnt\nweb: holds: docker container\x1b[2J"
	var text strings.Builder
	writeFindings(&text, []enforce.Finding{{Control: "hostMounts", Detail: name, Pointer: name, Found: name, Wanted: name, Mend: name, Action: policy.Reject}})
	const quoted = `/mnt\nweb: holds: docker container\x1b[2J`
	if want := "\nhostMounts:" + quoted + " (reject)\n  at      " + quoted + "\n  found   " + quoted + "\n  wanted  " + quoted + "\n  mend    " + quoted + "\n"; text.String() != want {
		t.Errorf("got %q", text.String())
	}
}

// TestVerifyOthers: a container that can't be looked at, or never is, keeps nobody from the others.
func TestVerifyOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		defer close(end)
		var out strings.Builder
		err := verify(&out, []located{{"/run/a", "hangs"}, {"/run/a", "broken"}, {"/run/a", "gone"}, {"/run/a", "web"}}, func(c located) (shim.Verified, error) {
			switch c.id {
			case "hangs":
				<-end
			case "broken":
				return shim.Verified{}, errors.New("it is\nbroken")
			case "gone":
				return shim.Verified{}, bundle.ErrNoContainer
			}
			return shim.Verified{Status: shim.Running, Workload: policy.Workload{Engine: policy.Docker}}, nil
		})
		if want := "hangs: it could not be looked at in 30s: what it has mounted, or its seccomp filters, may be the reason\nbroken: it is\\nbroken"; err == nil || err.Error() != want {
			t.Errorf("it says %v, want %s", err, want)
		}
		if want := "web: holds: "; !strings.HasPrefix(out.String(), want) {
			t.Errorf("it wrote %q, want %q first", out.String(), want)
		}
	})
}

// TestVerifyPanics: a panic while a container is looked at is one of the program's, which says so and ends with 3.
func TestVerifyPanics(t *testing.T) {
	defer func() {
		if p := recover(); p == nil || !strings.HasPrefix(fmt.Sprint(p), "oh\n") {
			t.Errorf("it panics with %v", p)
		}
	}()
	_, err := inTime(located{}, func(located) (shim.Verified, error) { panic("oh") })
	t.Errorf("it goes on: %v", err)
}
