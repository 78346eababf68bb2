package enforce_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestImports: decisions know nothing of command lines and bundles, and do no I/O by way of them.
func TestImports(t *testing.T) {
	for pkg, forbidden := range map[string][]string{
		"runclamp/enforce/...": {"runclamp/shim", "runclamp/bundle", "runclamp/integration", "os/exec", "net"},
		"runclamp/bundle/...":  {"runclamp/shim", "runclamp/integration", "os/exec", "net"},
		// On the path of every container start: nothing comes in unseen.
		"runclamp/cmd/runclamp": {"runclamp/integration", "os/exec", "net", "net/http"},
	} {
		out, err := exec.Command("go", "list", "-deps", pkg).Output()
		if err != nil {
			t.Fatalf("go list -deps %s: %v", pkg, err)
		}
		deps := strings.Fields(string(out))
		for _, f := range forbidden {
			if slices.Contains(deps, f) {
				t.Errorf("%s imports %s", pkg, f)
			}
		}
	}
}

// TestModules: every module that runclamp is linked with has its reason in docs/architecture.md.
func TestModules(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "runclamp/cmd/runclamp").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	justified := []string{"runclamp", "github.com/opencontainers/runtime-spec", "github.com/moby/profiles/seccomp", "github.com/sirupsen/logrus", "golang.org/x/sys", "go.yaml.in/yaml/v3"}
	for _, m := range strings.Fields(string(out)) {
		if !slices.Contains(justified, m) {
			t.Errorf("%s came in; is it worth the time of every container start? (docs/architecture.md)", m)
		}
	}
}
