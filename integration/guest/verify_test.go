package guest

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"runclamp/enforce/apparmor"
	"runclamp/integration/guest/confinement"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestAppArmorVerify: the label can be read of a running process alone, and that is when clampctl verify holds it.
func TestAppArmorVerify(t *testing.T) {
	for _, delegate := range []string{oldRunc, newRunc, crun} {
		t.Run(filepath.Base(delegate), func(t *testing.T) {
			m := lsm(t, delegate, "")
			c, end := m.waiting(t, func(s *specs.Spec) {
				s.Process.ApparmorProfile = ""
				if delegate == crun {
					forCrun(s)
				}
			})
			verify := func() string {
				cmd := exec.Command("/programs/clampctl", "verify", "--root", m.runclamp.Root, c.id)
				out, err := cmd.CombinedOutput()
				if code := cmd.ProcessState.ExitCode(); code > 1 || (code == 0) != strings.HasPrefix(string(out), c.id+": holds: ") {
					t.Errorf("%v: %s", err, out)
				}
				return string(out)
			}
			if out := verify(); !strings.Contains(out, ": holds: ") {
				t.Error(out)
			}
			own, err := apparmor.Default()
			if err != nil {
				t.Fatal(err)
			}
			// Somebody has it complain only. Processes that it confines are told of that, too.
			confinement.Parse(t, own.Text, "-r", "-C")
			want := "proof:appArmor (reject)\n  at      /process/apparmorProfile\n  found   the label " + own.Name + " (complain)\n  wanted  " + own.Name + " (enforce)\n"
			if out := verify(); !strings.Contains(out, ": 1 finding: ") || !strings.Contains(out, want) {
				t.Errorf("wanted %q: %s", want, out)
			}
			if _, err := c.words(t, "kill", c.id, "KILL"); err != nil {
				t.Error(err)
			}
			end()
		})
	}
}
