package enforce_test

import (
	"strings"
	"testing"

	"runclamp/enforce"
	"runclamp/enforce/policy"
	"runclamp/enforce/seccomp"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestSeccompNamedProfiles: what the policy names is what is left; what can't be read refuses.
func TestSeccompNamedProfiles(t *testing.T) {
	profiles := enforce.Seccomp{Kernel: seccomp.Kernel{Version: 6, Patchlevel: 1}, Profiles: map[string]enforce.SeccompProfile{
		"web":     {Path: "/etc/runclamp/profiles/web.json", Text: []byte(`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read","mount"],"action":"SCMP_ACT_ALLOW"},{"names":["write"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"6.2"}}]}`)},
		"bad":     {Path: "/etc/runclamp/profiles/bad.json", Text: []byte("{\n\"defaultaction\": 1}")},
		"missing": {Path: "/etc/runclamp/profiles/missing.json", Problem: "no such file or directory"},
	}}
	for _, tt := range []struct {
		profile policy.SeccompProfile
		// calls are asked for and left; refused is what a refusal says.
		calls, refused string
	}{
		{profile: "strict", calls: "read write"},
		{profile: "web", calls: "read mount"},
		{profile: "default+web", calls: "read"},
		{profile: "bad", refused: `seccomp:profile: the policy's seccomp.profile bad: /etc/runclamp/profiles/bad.json: line 1, column 1: the profile: "defaultAction" is missing; line 2, column 1: the profile: unknown key "defaultaction"; did you mean "defaultAction"?`},
		{profile: "web+missing", refused: "seccomp.profile missing: /etc/runclamp/profiles/missing.json: no such file or directory"},
		{profile: "other", refused: "seccomp.profile other: nobody has read it"},
	} {
		t.Run(string(tt.profile), func(t *testing.T) {
			in := enforce.Input{Policy: policy.Policy{Controls: hardened(t)}, Facts: facts(), Spec: clean(t)}
			in.Facts.Seccomp = profiles

			in.Policy.Controls.Seccomp.Profile = tt.profile
			in.Spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{
				{Names: []string{"read", "write", "mount", "ptrace"}, Action: specs.ActAllow},
			}}
			d := enforce.Decide(in)
			if tt.refused != "" {
				if said := d.Refusal("p"); d.Verdict != enforce.Refused || !strings.Contains(said, tt.refused) || !strings.Contains(said, "clampctl profile lint") {
					t.Errorf("%s: %s", d.Verdict, said)
				}
				return
			}
			if d.Spec == nil {
				t.Fatal(d.Refusal("p"))
			}
			var calls []string
			for _, s := range d.Spec.Linux.Seccomp.Syscalls {
				calls = append(calls, s.Names...)
			}
			if got := strings.Join(calls, " "); got != tt.calls {
				t.Errorf("left are %s, want %s", got, tt.calls)
			}
		})
	}
}
