package seccomp

import (
	"os"
	"strings"
	"testing"

	"runclamp/enforce/seccomp/syscalls"
)

func TestLint(t *testing.T) {
	rule := func(r string) string { return "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[\n" + r + "]}" }
	arg := func(a string) string {
		return rule(`{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[` + a + `]}`)
	}
	for _, tt := range []struct{ name, text, want string }{
		{"good", rule(`{"names":["read"],"action":"SCMP_ACT_ALLOW"}`), ""},
		{"default", `{"defaultAction":"SCMP_ACT_LOG"}`, "line 1, column 1: the default action SCMP_ACT_LOG lets through what no rule denies"},
		{"listener", `{"defaultAction":"SCMP_ACT_ERRNO","listenerPath":"/run/a"}`, "a listener (/run/a) decides about system calls"},
		{"flag", `{"defaultAction":"SCMP_ACT_ERRNO","flags":["SECCOMP_FILTER_FLAG_SPEC_ALLOW"]}`, "SPEC_ALLOW turns the mitigation"},
		{"harmless flag", `{"defaultAction":"SCMP_ACT_ERRNO","flags":["SECCOMP_FILTER_FLAG_LOG"]}`, ""},
		{"as the default", rule(`{"names":["a1","b","c","d"],"action":"SCMP_ACT_ERRNO","errnoRet":1}`), "line 2, column 1: a1, b, c and 1 more: the action is the default one: the rule does nothing"},
		{"other errno", rule(`{"names":["mount"],"action":"SCMP_ACT_ERRNO","errnoRet":38}`), ""},
		{"notify", rule(`{"names":["mount"],"action":"SCMP_ACT_NOTIFY"}`), "mount: a notify agent decides"},
		{"trace", rule(`{"names":["mount"],"action":"SCMP_ACT_TRACE"}`), "mount: SCMP_ACT_TRACE lets a tracer decide"},
		{"log", rule(`{"names":["mount"],"action":"SCMP_ACT_LOG"}`), "mount: SCMP_ACT_LOG lets through"},
		{"error 0", rule(`{"names":["mount"],"action":"SCMP_ACT_ERRNO","errnoRet":0}`), "mount: error 0 says that the call was carried out"},
		{"errno of an allowance", rule(`{"names":["read"],"action":"SCMP_ACT_ALLOW","errnoRet":1}`), "read: errnoRet means nothing for SCMP_ACT_ALLOW"},
		{"two conditions", arg(`{"index":1,"value":1,"op":"SCMP_CMP_GE"},{"index":1,"value":5,"op":"SCMP_CMP_LE"}`), "read: two conditions on argument 1: runc makes a rule of each condition"},
		{"mask", arg(`{"index":1,"value":1,"valueTwo":2,"op":"SCMP_CMP_MASKED_EQ"}`), "argument 1 & 0x1 is 0x2 never holds as written"},
		{"always", arg(`{"index":1,"value":0,"op":"SCMP_CMP_GE"}`), "argument 1 is at least 0 always holds"},
		{"never", arg(`{"index":1,"value":0,"op":"SCMP_CMP_LT"}`), "argument 1 is below 0 never holds"},
		{"unknown", rule(`{"names":["opnat"],"action":"SCMP_ACT_ALLOW"}`), `unknown system call "opnat"; did you mean "openat"?: runc ignores it`},
		{"unreachable", rule("{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\"},\n{\"names\":[\"write\",\"read\"],\"action\":\"SCMP_ACT_KILL\"}"), "line 3, column 1: read: never reached: another rule for it has no conditions (line 2)"},
		{"unreachable condition", rule("{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":1,\"op\":\"SCMP_CMP_EQ\"}]},\n{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\"}"), "line 2, column 1: read: never reached"},
		{"only with a capability", rule("{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\",\"includes\":{\"caps\":[\"CAP_BPF\"]}},\n{\"names\":[\"read\"],\"action\":\"SCMP_ACT_KILL\"}"), ""},
		{"twice", rule(`{"names":["read","read"],"action":"SCMP_ACT_ALLOW"}`), "read, read: a system call stands twice in one rule"},
		{"32-bit sockets", `{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86"],"syscalls":[{"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]}]}`,
			"socket: on 32-bit x86 socketcall(2) gets round its conditions"},
		{"no number", `{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X32"],"syscalls":[{"names":["chown32"],"action":"SCMP_ACT_ERRNO"},{"names":["clone"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]}]}`,
			"libseccomp may build a filter that does not look at the system call's number, so that nothing is denied"},
		{"inexact", rule(`{"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_GT"}]},{"names":["socket"],"action":"SCMP_ACT_KILL","args":[{"index":0,"value":9,"op":"SCMP_CMP_LT"}]}`),
			"socket: libseccomp may build these conditions looser or stricter than written"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			found := Lint(read(t, tt.text))
			if tt.want == "" && len(found) > 0 || !strings.Contains(found.Error(), tt.want) {
				t.Errorf("got %v\nwant %s", found, tt.want)
			}
		})
	}
	if found := Lint(DocumentOf(Strict())); len(found) > 0 {
		t.Errorf("strict: %v", found)
	}
}

// TestGroups: every call that is known is in one group.
func TestGroups(t *testing.T) {
	in := map[string]string{}
	for _, g := range Groups() {
		for _, name := range g.Calls {
			if in[name] != "" {
				t.Errorf("%s is in %s and in %s", name, in[name], g.Name)
			}
			in[name] = g.Name
		}
	}
	for name := range syscalls.All() {
		if in[name] == "" {
			t.Errorf("%s is in no group", name)
		}
	}
	for name := range withoutCapabilities() {
		if in[name] == "" {
			t.Errorf("%s is in no group", name)
		}
	}
	if GroupOf("openat") != "files" || GroupOf("no_such_call") != "others" {
		t.Error("GroupOf is wrong")
	}
}

func TestExplain(t *testing.T) {
	text, err := os.ReadFile("testdata/podman.json")
	if err != nil {
		t.Fatal(err)
	}
	e := Explain(read(t, string(text)).Profile(nil, "SCMP_ARCH_X86_64", Kernel{6, 0}))
	if e.Default != "denied with error 38 (ENOSYS)" || len(e.Architectures) != 3 {
		t.Errorf("%+v", e)
	}
	e = Explain(read(t, `{"defaultAction":"SCMP_ACT_KILL_PROCESS","syscalls":[{"names":["openat","bpf"],"action":"SCMP_ACT_ALLOW"},{"names":["brand_new"],"action":"SCMP_ACT_LOG"},
		{"names":["clone"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":2114060288,"valueTwo":0,"op":"SCMP_CMP_MASKED_EQ"},{"index":1,"value":5,"op":"SCMP_CMP_NE"}]},
		{"names":["clone3"],"action":"SCMP_ACT_ERRNO","errnoRet":38}]}`).Profile(nil, Native(), Kernel{}))
	var got []string
	for _, g := range e.Groups {
		got = append(got, g.Group+": "+strings.Join(append(g.Allowed, g.Conditional...), ", "))
	}
	want := "files: openat\nprocesses and threads: clone if argument 0 & 0x7e020000 is 0x0 and argument 1 is not 5\nother processes and tracing: bpf\nothers: brand_new"
	if s := strings.Join(got, "\n"); s != want || e.Default != "kills the process" || len(e.Denied) != 1 || e.Denied[0] != "clone3: denied with error 38 (ENOSYS)" {
		t.Errorf("got %s\n%+v", s, e)
	}
	if s := Count(Strict()); s.Allowed < 200 || s.Conditional != 4 || s.Denied != 1 || s.Rules < s.Allowed+7 {
		t.Errorf("strict: %+v", s)
	}
}
