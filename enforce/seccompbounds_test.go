package enforce_test

import (
	"encoding/json"
	"reflect"
	"slices"
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
		"success": {Path: "/etc/runclamp/profiles/success.json", Text: []byte(`{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":0}`)},
		"missing": {Path: "/etc/runclamp/profiles/missing.json", Problem: "no such file or directory"},
	}}
	for _, tt := range []struct {
		profile policy.SeccompProfile
		// calls are asked for and left; refused is what a refusal says.
		calls, refused string
	}{
		{profile: "strict", calls: "read write"},
		{profile: "web", calls: "mount read"},
		{profile: "default+web", calls: "read"},
		{profile: "bad", refused: `seccomp:profile: the policy's seccomp.profile bad: /etc/runclamp/profiles/bad.json: line 1, column 1: the profile: "defaultAction" is missing; line 2, column 1: the profile: unknown key "defaultaction"; did you mean "defaultAction"?`},
		{profile: "success", refused: "seccomp.profile success: /etc/runclamp/profiles/success.json: /defaultErrnoRet: error number 0, which tells programs that a denied call has succeeded, wanted a number from 1 to 4095"},
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
			slices.Sort(calls)
			if got := strings.Join(calls, " "); got != tt.calls {
				t.Errorf("left are %s, want %s", got, tt.calls)
			}
		})
	}
}

// TestSeccompNone: where the engine sends no profile, the finding says which one comes, and it does.
func TestSeccompNone(t *testing.T) {
	for profile, want := range map[policy.SeccompProfile]string{
		"any": "Docker's default profile", "default": "Docker's default profile",
		"strict": "the policy's profile strict", "default+strict": "the policy's profile default+strict",
	} {
		in := enforce.Input{Policy: policy.Policy{Controls: hardened(t)}, Facts: facts(), Spec: clean(t)}
		in.Policy.Controls.Seccomp.Profile = profile
		in.Spec.Linux.Seccomp = nil
		d := enforce.Decide(in)
		found := slices.DeleteFunc(d.Findings, func(f enforce.Finding) bool { return f.Control != "seccomp" })
		if len(found) != 1 || found[0].Detail != "unconfined" || found[0].Wanted != want {
			t.Errorf("%s: %v, want unconfined and %q", profile, found, want)
		}
		if d.Spec == nil || d.Spec.Linux.Seccomp == nil {
			t.Errorf("%s: nothing is installed", profile)
		}
	}
}

// TestSeccompAnyArchitectures: any profile is left as it is but for foreign architectures, unless they are kept. One that lets through by
// default loses them too.
func TestSeccompAnyArchitectures(t *testing.T) {
	foreign := append([]specs.Arch{specs.ArchMIPS}, seccomp.Family()...)
	for _, action := range []specs.LinuxSeccompAction{specs.ActErrno, specs.ActAllow} {
		for _, tt := range []struct {
			name        string
			kept        policy.Architectures
			asked, want []specs.Arch
		}{
			{"pruned", policy.NativeArchitecture, append([]specs.Arch{seccomp.Native()}, foreign...), []specs.Arch{seccomp.Native()}},
			{"native unnamed", policy.NativeArchitecture, foreign, nil},
			{"none named", policy.NativeArchitecture, nil, nil},
			{"kept", policy.KeepArchitectures, foreign, foreign},
		} {
			t.Run(string(action)+"/"+tt.name, func(t *testing.T) {
				in := enforce.Input{Policy: policy.Policy{Controls: hardened(t)}, Facts: facts(), Spec: clean(t)}
				in.Policy.Controls.Seccomp.Profile, in.Policy.Controls.Seccomp.Architectures = policy.AnyProfile, tt.kept
				calls := []specs.LinuxSyscall{{Names: []string{"mount"}, Action: specs.ActKill}}
				in.Spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: action, Architectures: slices.Clone(tt.asked), Syscalls: calls}
				d := enforce.Decide(in)
				if d.Spec == nil {
					t.Fatal(d.Refusal("p"))
				}
				got := d.Spec.Linux.Seccomp
				if !slices.Equal(got.Architectures, tt.want) || got.DefaultAction != action || !reflect.DeepEqual(got.Syscalls, calls) {
					t.Errorf("got %v, want the architectures %v and nothing else changed", got, tt.want)
				}
				if found := len(d.Findings) > 0; found != !slices.Equal(tt.asked, tt.want) {
					t.Errorf("findings: %v", d.Findings)
				}
			})
		}
	}
}

// TestSeccompPolicyProfileUnfit: a profile of the policy's that is unfit refuses also where the engine sends none to compare it with.
func TestSeccompPolicyProfileUnfit(t *testing.T) {
	in := enforce.Input{Policy: policy.Policy{Controls: hardened(t)}, Facts: facts(), Spec: clean(t)}
	in.Policy.Controls.Seccomp.Profile = "spec"
	in.Facts.Seccomp = enforce.Seccomp{Profiles: map[string]enforce.SeccompProfile{
		"spec": {Path: "/p.json", Text: []byte(`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["setuid"],"action":"SCMP_ACT_ERRNO","errnoRet":0}]}`)},
	}}
	in.Spec.Linux.Seccomp = nil
	d := enforce.Decide(in)
	if want := "/p.json: /syscalls/0/errnoRet: error number 0"; d.Verdict != enforce.Refused || !strings.Contains(d.Refusal("p"), want) {
		t.Errorf("%s: %s, wanted %q", d.Verdict, d.Refusal("p"), want)
	}
}

// TestSeccompNumber: a profile of the policy's that lets through by default, of which libseccomp would build a filter that does not look at the
// number of a system call, gets the rule with which it does: where it is installed by itself, and where the engine sends the same.
func TestSeccompNumber(t *testing.T) {
	if seccomp.Native() != specs.ArchX86_64 {
		t.Skip("left out: it is about x86-64")
	}
	const text = `{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86","SCMP_ARCH_X32"],"syscalls":[
		{"names":["chown32"],"action":"SCMP_ACT_ERRNO"},{"names":["clone"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]}]}`
	for _, sent := range []bool{false, true} {
		in := enforce.Input{Policy: policy.Policy{Controls: hardened(t)}, Facts: facts(), Spec: clean(t)}
		in.Policy.Controls.Seccomp.Profile, in.Policy.Controls.Seccomp.Architectures = "spec", policy.KeepArchitectures
		in.Facts.Seccomp = enforce.Seccomp{Profiles: map[string]enforce.SeccompProfile{"spec": {Path: "/p.json", Text: []byte(text)}}}
		in.Spec.Linux.Seccomp = nil
		want := []string{"seccomp:unconfined"}
		if sent {
			in.Spec.Linux.Seccomp = new(specs.LinuxSeccomp)
			if err := json.Unmarshal([]byte(text), in.Spec.Linux.Seccomp); err != nil {
				t.Fatal(err)
			}
			want = []string{"seccomp:number"}
		}
		d := enforce.Decide(in)
		var got []string
		for _, f := range d.Findings {
			got = append(got, f.Name())
		}
		if !slices.Equal(got, want) || d.Spec == nil {
			t.Fatalf("%v, wanted %v", got, want)
		}
		if p, added := seccomp.Numbered(d.Spec.Linux.Seccomp); added || len(p.Architectures) != 3 || len(p.Syscalls) != 3 {
			t.Errorf("sent %v: %+v", sent, p)
		}
	}
}

// TestSeccompNumberUnchanged: a profile of which nothing has to be taken out, and of which libseccomp would build such a filter because of a
// rule for a call that its architectures don't have, does not stay as it is.
func TestSeccompNumberUnchanged(t *testing.T) {
	if seccomp.Native() != specs.ArchX86_64 {
		t.Skip("left out: it is about x86-64")
	}
	const (
		clone = `{"names":["clone"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]}`
		text  = `{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X32"],"syscalls":[{"names":["chown32"],"action":"SCMP_ACT_ERRNO"},` + clone + `]}`
		bound = `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[` + clone + `]}`
	)
	in := enforce.Input{Policy: policy.Policy{Controls: hardened(t)}, Facts: facts(), Spec: clean(t)}
	in.Policy.Controls.Seccomp.Profile, in.Policy.Controls.Seccomp.Architectures = "spec", policy.KeepArchitectures
	in.Facts.Seccomp = enforce.Seccomp{Profiles: map[string]enforce.SeccompProfile{"spec": {Path: "/p.json", Text: []byte(bound)}}}
	in.Spec.Linux.Seccomp = new(specs.LinuxSeccomp)
	if err := json.Unmarshal([]byte(text), in.Spec.Linux.Seccomp); err != nil {
		t.Fatal(err)
	}
	d := enforce.Decide(in)
	if d.Spec == nil || len(d.Findings) != 1 || d.Findings[0].Name() != "seccomp:number" {
		t.Fatalf("%+v", d.Findings)
	}
	if p, added := seccomp.Numbered(d.Spec.Linux.Seccomp); added {
		t.Errorf("%+v", p)
	}
}

// TestSeccompNumberLifted: so it is where exceptions have the engine's rules stay.
func TestSeccompNumberLifted(t *testing.T) {
	if seccomp.Native() != specs.ArchX86_64 {
		t.Skip("left out: it is about x86-64")
	}
	const text = `{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X32"],"syscalls":[
		{"names":["chown32"],"action":"SCMP_ACT_ERRNO"},{"names":["clone"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]}]}`
	for _, allow := range [][]string{{"seccomp:default"}, {"seccomp:default", "seccomp:number"}, {"seccomp"}} {
		in := enforce.Input{Policy: policy.Policy{Controls: hardened(t)}, Facts: facts(), Spec: clean(t)}
		in.Policy.Controls.Seccomp.Architectures = policy.KeepArchitectures
		in.Policy.Exceptions = []policy.Exception{{Name: "old", Allow: append([]string{"seccomp:beyond", "seccomp:conditions", "seccomp:undecided", "seccomp:denied"}, allow...)}}
		in.Spec.Linux.Seccomp = new(specs.LinuxSeccomp)
		if err := json.Unmarshal([]byte(text), in.Spec.Linux.Seccomp); err != nil {
			t.Fatal(err)
		}
		d := enforce.Decide(in)
		if d.Spec == nil || d.Spec.Linux.Seccomp.DefaultAction != specs.ActAllow {
			t.Fatalf("%s: %+v", allow, d.Findings)
		}
		if _, added := seccomp.Numbered(d.Spec.Linux.Seccomp); added != (len(allow) > 1 || allow[0] == "seccomp") {
			t.Errorf("%s: %+v", allow, d.Spec.Linux.Seccomp.Syscalls)
		}
	}
}

// TestSeccompMultiplexers: where 32-bit x86 is taken out because its socketcall(2) can't be shut, no exception brings it back with rules that
// were worked out without it. It stays with the engine's own, if the exceptions lift all that would be taken out of them.
func TestSeccompMultiplexers(t *testing.T) {
	if seccomp.Native() != specs.ArchX86_64 {
		t.Skip("left out: it is about x86-64")
	}
	const (
		denies = `{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86"],"syscalls":[
			{"names":["socketcall"],"action":"SCMP_ACT_KILL_PROCESS","args":[{"index":0,"value":9,"op":"SCMP_CMP_EQ"}]},
			{"names":["read","connect","bind","socket"],"action":"SCMP_ACT_ALLOW"}]}`
		more = `{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86"],"syscalls":[
			{"names":["socketcall"],"action":"SCMP_ACT_KILL_PROCESS","args":[{"index":0,"value":9,"op":"SCMP_CMP_EQ"}]},
			{"names":["connect"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":3,"op":"SCMP_CMP_EQ"}]},
			{"names":["read","vm86"],"action":"SCMP_ACT_ALLOW"}]}`
		lets = `{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86"],"syscalls":[
			{"names":["socketcall"],"action":"SCMP_ACT_KILL_PROCESS","args":[{"index":0,"value":9,"op":"SCMP_CMP_EQ"}]},
			{"names":["chown32"],"action":"SCMP_ACT_KILL_PROCESS"},
			{"names":["socket"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":16,"op":"SCMP_CMP_EQ"}]}]}`
		exact = `{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],"syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]}`
		mount = `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mount"],"action":"SCMP_ACT_ERRNO"}]}`
	)
	for _, tt := range []struct {
		text, bound string
		allow       []string
		stays       bool
	}{
		{text: exact, allow: []string{"seccomp:multiplexers"}},
		{text: denies, allow: []string{"seccomp:architectures"}},
		{text: denies, allow: []string{"seccomp:multiplexers"}},
		{text: denies, allow: []string{"seccomp:multiplexers", "seccomp:conditions"}, stays: true},
		{text: denies, allow: []string{"seccomp"}, stays: true},
		{text: more, allow: []string{"seccomp:multiplexers"}},
		{text: more, allow: []string{"seccomp:multiplexers", "seccomp:beyond"}, stays: true},
		{text: lets, bound: mount, allow: []string{"seccomp:beyond"}},
		{text: lets, bound: mount, allow: []string{"seccomp:multiplexers"}},
		{text: lets, bound: mount, allow: []string{"seccomp:multiplexers", "seccomp:beyond"}, stays: true},
	} {
		in := enforce.Input{Policy: policy.Policy{Controls: hardened(t)}, Facts: facts(), Spec: clean(t)}
		in.Policy.Controls.Seccomp.Architectures = policy.KeepArchitectures
		if tt.bound != "" {
			in.Policy.Controls.Seccomp.Profile = "spec"
			in.Facts.Seccomp = enforce.Seccomp{Profiles: map[string]enforce.SeccompProfile{"spec": {Path: "/p.json", Text: []byte(tt.bound)}}}
		}
		in.Policy.Exceptions = []policy.Exception{{Name: "old", Allow: tt.allow}}
		in.Spec.Linux.Seccomp = new(specs.LinuxSeccomp)
		if err := json.Unmarshal([]byte(tt.text), in.Spec.Linux.Seccomp); err != nil {
			t.Fatal(err)
		}
		asked := in.Spec.Linux.Seccomp
		d := enforce.Decide(in)
		found := slices.ContainsFunc(d.Findings, func(f enforce.Finding) bool { return f.Name() == "seccomp:multiplexers" })
		if found == (tt.text == exact) || d.Spec == nil {
			t.Fatalf("%s: %+v", tt.allow, d.Findings)
		}
		got := d.Spec.Linux.Seccomp
		if stays := slices.Contains(got.Architectures, specs.ArchX86); stays != tt.stays || stays && !reflect.DeepEqual(got, asked) {
			t.Errorf("%s: %+v", tt.allow, got)
		}
		if answer, why := seccomp.Compare(got, asked); answer != seccomp.Yes {
			t.Errorf("%s: looser than the engine's own: %v", tt.allow, why)
		}
	}
}

// TestSeccompNativeWhateverTheFileNames: a file of the policy's that names foreign architectures, as all of Docker's form do, brings none in.
func TestSeccompNativeWhateverTheFileNames(t *testing.T) {
	if seccomp.Native() != specs.ArchX86_64 {
		t.Skip("left out: it is about x86-64")
	}
	const text = `{"defaultAction":"SCMP_ACT_ERRNO","archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86","SCMP_ARCH_X32"]}],
		"syscalls":[{"names":["read","write","exit_group"],"action":"SCMP_ACT_ALLOW"}]}`
	for _, sent := range []bool{false, true} {
		in := enforce.Input{Policy: policy.Policy{Controls: hardened(t)}, Facts: facts(), Spec: clean(t)}
		in.Policy.Controls.Seccomp.Profile = "spec"
		in.Facts.Seccomp = enforce.Seccomp{Profiles: map[string]enforce.SeccompProfile{"spec": {Path: "/p.json", Text: []byte(text)}}}
		in.Spec.Linux.Seccomp = nil
		if sent {
			in.Spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32},
				Syscalls: []specs.LinuxSyscall{{Names: []string{"read"}, Action: specs.ActAllow}}}
		}
		d := enforce.Decide(in)
		if d.Spec == nil || !slices.Equal(d.Spec.Linux.Seccomp.Architectures, []specs.Arch{specs.ArchX86_64}) {
			t.Errorf("sent %v: %+v", sent, d.Findings)
		}
	}
}

// TestSeccompMends: where the policy refuses what it could mend, the refusal says what to do.
func TestSeccompMends(t *testing.T) {
	in := enforce.Input{Policy: policy.Policy{Controls: hardened(t)}, Facts: facts(), Spec: clean(t)}
	in.Policy.Controls.Seccomp.Action = policy.Reject
	in.Spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{seccomp.Native(), specs.ArchMIPS}}
	d := enforce.Decide(in)
	var got []string
	for _, f := range d.Findings {
		if f.Control == "seccomp" && f.Action == policy.Reject {
			got = append(got, f.Name())
			if f.Mend == "" {
				t.Errorf("%s has no mend", f.Name())
			}
		}
	}
	if !slices.Contains(got, "seccomp:architectures") || !slices.Contains(got, "seccomp:default") || d.Verdict != enforce.Refused {
		t.Errorf("%s: %v", d.Verdict, got)
	}
}
