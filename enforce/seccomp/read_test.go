package seccomp

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	moby "github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func read(t testing.TB, text string) *Document {
	t.Helper()
	d, err := Read([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestReadRefuses(t *testing.T) {
	rule := func(r string) string { return `{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[` + r + `]}` }
	arg := func(a string) string { return rule(`{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[` + a + `]}`) }
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", ``, "line 1, column 1: it ends where a value should be"},
		{"no object", `[]`, "line 1, column 1: the profile: wanted an object, found a list"},
		{"null", `null`, "line 1, column 1: the profile: wanted an object, found null"},
		{"bad UTF-8", "\"\xff\"", "line 1, column 1: it is not valid UTF-8"},
		{"large", `"` + strings.Repeat("a", 1<<20) + `"`, "line 1, column 1: it is larger than 1 MiB"},
		{"empty", `{}`, `line 1, column 1: the profile: "defaultAction" is missing`},
		{"no default", `{"defaultAction":null,"syscalls":[]}`, `line 1, column 1: the profile: "defaultAction" is missing`},
		{"key", "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\n  \"sycalls\":[]}", `line 2, column 3: the profile: unknown key "sycalls"; did you mean "syscalls"?`},
		{"case", `{"DefaultAction":"SCMP_ACT_ERRNO","defaultAction":"SCMP_ACT_ERRNO"}`, `unknown key "DefaultAction"; did you mean "defaultAction"?`},
		{"twice", `{"defaultAction":"SCMP_ACT_ALLOW","defaultAction":"SCMP_ACT_ERRNO"}`, `line 1, column 35: the key "defaultAction" stands twice in one object`},
		{"action", `{"defaultAction":"SCMP_ACT_ERNO"}`, `line 1, column 18: defaultAction: "SCMP_ACT_ERNO"; did you mean "SCMP_ACT_ERRNO"?`},
		{"type", `{"defaultAction":1}`, `line 1, column 18: defaultAction: wanted text, found the number 1`},
		{"NUL", rule(`{"names":["read\u0000x"],"action":"SCMP_ACT_ALLOW"}`), `a string with the character U+0000`},
		{"escape", rule(`{"names":["read"],"action":"SCMP_ACT_ALLOW","comment":"\u001b[2J"}`), `comment: "\x1b[2J" has control characters`},
		{"name", rule(`{"names":["Read"],"action":"SCMP_ACT_ALLOW"}`), `names: wanted a system call's name like openat, found "Read"`},
		{"no name", rule(`{"names":[],"action":"SCMP_ACT_ALLOW"}`), `syscalls: no system call is named; write "names": ["read"]`},
		{"both", rule(`{"name":"read","names":["read"],"action":"SCMP_ACT_ALLOW"}`), `syscalls: both "name" and "names"; leave one of them out`},
		{"no action", rule(`{"names":["read"]}`), `line 1, column 47: syscalls: "action" is missing`},
		{"names", rule(`{"names":"read","action":"SCMP_ACT_ALLOW"}`), `names: wanted a list, found the text "read"`},
		{"item", rule(`null`), `syscalls: wanted an object, found null`},
		{"name of null", rule(`{"names":[null],"action":"SCMP_ACT_ALLOW"}`), `names: wanted text, found null`},
		{"index", arg(`{"index":6,"value":0,"op":"SCMP_CMP_EQ"}`), `index: wanted a number from 0 to 5, found the number 6`},
		{"negative", arg(`{"index":0,"value":-1,"op":"SCMP_CMP_EQ"}`), `value: wanted a number from 0 to 18446744073709551615, found the number -1`},
		{"fraction", arg(`{"index":0,"value":1e3,"op":"SCMP_CMP_EQ"}`), `found the number 1e3`},
		{"number as text", arg(`{"index":0,"value":"1","op":"SCMP_CMP_EQ"}`), `found the text "1"`},
		{"too large", arg(`{"index":0,"value":18446744073709551616,"op":"SCMP_CMP_EQ"}`), `found the number 18446744073709551616`},
		{"operator", arg(`{"index":0,"value":0,"op":"SCMP_CMP_MASKED"}`), `did you mean "SCMP_CMP_MASKED_EQ"?`},
		{"no operator", arg(`{"index":0,"value":0}`), `args: "op" is missing`},
		{"errno", rule(`{"names":["read"],"action":"SCMP_ACT_ERRNO","errnoRet":4096}`), `errnoRet: wanted a number from 0 to 4095, found the number 4096`},
		{"errno's name", rule(`{"names":["read"],"action":"SCMP_ACT_ERRNO","errno":"EPREM"}`), `errno: unknown error "EPREM"; did you mean "EPERM"?`},
		{"two errnos", rule(`{"names":["read"],"action":"SCMP_ACT_ERRNO","errno":"EPERM","errnoRet":38}`), `"errno" is 1 and "errnoRet" is 38; leave one of them out`},
		{"default's two errnos", `{"defaultAction":"SCMP_ACT_ERRNO","defaultErrno":"ENOSYS","defaultErrnoRet":1}`, `"defaultErrno" is 38 and "defaultErrnoRet" is 1`},
		{"architecture", `{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_46"]}`, `did you mean "SCMP_ARCH_X86_64"?`},
		{"both architectures", `{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86"],"archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":[]}]}`, `both "architectures" and "archMap"`},
		{"flag", `{"defaultAction":"SCMP_ACT_ERRNO","flags":["SECCOMP_FILTER_FLAG_LOGS"]}`, `did you mean "SECCOMP_FILTER_FLAG_LOG"?`},
		{"capability", rule(`{"names":["read"],"action":"SCMP_ACT_ALLOW","excludes":{"caps":["SYS_ADMIN"]}}`), `caps: wanted a capability like CAP_SYS_ADMIN, found "SYS_ADMIN"`},
		{"machine", rule(`{"names":["read"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["vax"]}}`), `arches: "vax"; known are amd64, arm, arm64,`},
		{"kernel", rule(`{"names":["read"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"4"}}`), `minKernel: wanted a kernel's version like 4.8, found "4"`},
		{"kernel 0.0", rule(`{"names":["read"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"0.0"}}`), `minKernel: wanted`},
		{"condition", rule(`{"names":["read"],"action":"SCMP_ACT_ALLOW","includes":{"cap":["CAP_BPF"]}}`), `includes: unknown key "cap"; did you mean "caps"?`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Read([]byte(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
		})
	}
}

// TestReadAllErrors: they come at once, in the order of the text.
func TestReadAllErrors(t *testing.T) {
	_, err := Read([]byte("{\n\"defaultAction\": \"x\",\n\"syscalls\": [\n{},\n{\"names\": [\"read\"], \"action\": 1}]}"))
	want := `line 2, column 18: defaultAction: "x"; known are SCMP_ACT_ALLOW, SCMP_ACT_ERRNO, SCMP_ACT_KILL, SCMP_ACT_KILL_PROCESS, SCMP_ACT_KILL_THREAD, SCMP_ACT_LOG, SCMP_ACT_NOTIFY, SCMP_ACT_TRACE, SCMP_ACT_TRAP; ` +
		`line 4, column 1: syscalls: "action" is missing; line 4, column 1: syscalls: no system call is named; write "names": ["read"]; ` +
		`line 5, column 31: action: wanted text, found the number 1`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestReadLines(t *testing.T) {
	d := read(t, "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"a\"],\"action\":\"SCMP_ACT_ALLOW\"},\n\n  {\"names\":[\"b\"],\n\"action\":\"SCMP_ACT_ALLOW\"}, {\"names\":[\"c\"],\"action\":\"SCMP_ACT_ALLOW\"}]}")
	for i, want := range [][2]int{{1, 47}, {3, 3}, {4, 29}} {
		if r := d.Rules[i]; r.Line != want[0] || r.Column != want[1] {
			t.Errorf("rule %d is at %d:%d, want %v", i, r.Line, r.Column, want)
		}
	}
}

// TestReadAsDocker: Docker's own default and its older forms, for several containers, as moby's own code reads them.
func TestReadAsDocker(t *testing.T) {
	shipped, err := json.Marshal(moby.DefaultProfile())
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{"default": string(shipped)}
	for _, name := range []string{"old.json"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(text)
	}
	for name, text := range texts {
		for _, bounding := range [][]string{nil, {"CAP_SYS_ADMIN"}, {"CAP_SYS_PTRACE", "CAP_BPF", "CAP_SYS_CHROOT"}} {
			sameAsDocker(t, name, text, bounding)
		}
	}
}

func sameAsDocker(t *testing.T, name, text string, bounding []string) {
	t.Helper()
	want, err := moby.LoadProfile(text, &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: bounding}}})
	if err != nil {
		t.Fatal(err)
	}
	got := read(t, text).Profile(bounding, native(t), Kernel{99, 0}) // every kernel that a test runs on is older than that, and newer than any that is named
	if len(want.Syscalls) == 0 || !reflect.DeepEqual(plain(t, got), plain(t, want)) {
		t.Errorf("%s with %v differs:\ngot  %s\nwant %s", name, bounding, mustJSON(t, got), mustJSON(t, want))
	}
}

// plain is a profile without the difference between no list and an empty one.
func plain(t *testing.T, p *specs.LinuxSeccomp) (again *specs.LinuxSeccomp) {
	t.Helper()
	if err := json.Unmarshal(mustJSON(t, p), &again); err != nil {
		t.Fatal(err)
	}
	return again
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func native(t *testing.T) specs.Arch {
	t.Helper()
	arch, ok := map[string]specs.Arch{"amd64": specs.ArchX86_64, "arm64": specs.ArchAARCH64}[runtime.GOARCH]
	if !ok {
		t.Fatalf("no architecture for %s", runtime.GOARCH)
	}
	return arch
}

// TestReadPodman: names of errors, and both forms of them.
func TestReadPodman(t *testing.T) {
	text, err := os.ReadFile("testdata/podman.json")
	if err != nil {
		t.Fatal(err)
	}
	p := read(t, string(text)).Profile(nil, specs.ArchX86_64, Kernel{6, 0})
	if *p.DefaultErrnoRet != 38 || len(p.Architectures) != 3 {
		t.Errorf("the default errno is %d, the architectures are %v", *p.DefaultErrnoRet, p.Architectures)
	}
	for _, s := range p.Syscalls {
		if s.Action == specs.ActErrno && (s.ErrnoRet == nil || *s.ErrnoRet != 1 && *s.ErrnoRet != 22) {
			t.Errorf("%v has no errno", s.Names)
		}
	}
	named := read(t, `{"defaultAction":"SCMP_ACT_ERRNO","defaultErrno":"ENOSYS","syscalls":[{"name":"read","action":"SCMP_ACT_ERRNO","errno":"EACCES","args":null}]}`)
	if *named.DefaultErrnoRet != 38 || *named.Rules[0].ErrnoRet != 13 || named.Rules[0].Names[0] != "read" {
		t.Errorf("%+v", named)
	}
}

func TestConditions(t *testing.T) {
	d := read(t, `{"defaultAction":"SCMP_ACT_ERRNO","archMap":[{"architecture":"SCMP_ARCH_AARCH64","subArchitectures":["SCMP_ARCH_ARM"]}],"syscalls":[
		{"names":["all"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_A","CAP_B"]}},
		{"names":["any"],"action":"SCMP_ACT_ALLOW","excludes":{"caps":["CAP_A","CAP_B"]}},
		{"names":["arm"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["arm64","arm"]}},
		{"names":["new"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"5.10"}},
		{"names":["old"],"action":"SCMP_ACT_ALLOW","excludes":{"minKernel":"5.10","arches":["x86"]}}]}`)
	for _, tt := range []struct {
		caps   []string
		arch   specs.Arch
		kernel Kernel
		want   string
	}{
		{nil, specs.ArchX86_64, Kernel{5, 9}, "any old"},
		{[]string{"CAP_A"}, specs.ArchX86_64, Kernel{5, 10}, "new"},
		{[]string{"CAP_B", "CAP_A"}, specs.ArchAARCH64, Kernel{6, 1}, "all arm new"},
		{nil, specs.ArchX86, Kernel{4, 19}, "any"},
		{nil, specs.ArchMIPS, Kernel{4, 19}, "any old"},
	} {
		p := d.Profile(tt.caps, tt.arch, tt.kernel)
		var names []string
		for _, s := range p.Syscalls {
			names = append(names, s.Names...)
		}
		if got := strings.Join(names, " "); got != tt.want {
			t.Errorf("%v on %s, %s: %s, want %s", tt.caps, tt.arch, tt.kernel, got, tt.want)
		}
		if wanted := tt.arch == specs.ArchAARCH64; wanted != (len(p.Architectures) == 2) {
			t.Errorf("on %s the architectures are %v", tt.arch, p.Architectures)
		}
	}
}

func TestParseKernel(t *testing.T) {
	for release, want := range map[string]Kernel{"6.12.3-amd64": {6, 12}, "3.12-1-amd64": {3, 12}, "5.10": {5, 10}} {
		if got, err := ParseKernel(release); err != nil || got != want {
			t.Errorf("%s is %v, %v", release, got, err)
		}
	}
	if _, err := ParseKernel("linux"); err == nil || !strings.Contains(err.Error(), `the kernel's release "linux" does not begin with two numbers`) {
		t.Errorf("got %v", err)
	}
}

// FuzzRead: any text is read or refused with where and why. What is read is what encoding/json reads, if it is a profile of the
// OCI specification, and what moby's own code reads, if it has no names of errors, which are Podman's.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"architectures":["SCMP_ARCH_X86"],"flags":["SECCOMP_FILTER_FLAG_LOG"],"listenerPath":"/a","listenerMetadata":"b","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"valueTwo":2,"op":"SCMP_CMP_MASKED_EQ"}]}]}`))
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ERRNO","archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}],"syscalls":[{"name":"read","action":"SCMP_ACT_ERRNO","errnoRet":1,"comment":"x","includes":{"caps":["CAP_BPF"],"arches":["amd64"],"minKernel":"4.8"},"excludes":{}}]}`))
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ERRNO","defaultErrno":"ENOSYS","syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","errno":"EPERM","args":null}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := Read(text)
		if err != nil {
			all, ok := err.(Errors)
			if !ok || len(all) == 0 {
				t.Fatalf("%v is not of type Errors", err)
			}
			for _, e := range all {
				if e.Line < 1 || e.Column < 1 || e.Message == "" {
					t.Fatalf("%+v does not say where or what", e)
				}
			}
			return
		}
		bounding := []string{"CAP_BPF"}
		got := plain(t, d.Profile(bounding, native(t), Kernel{255, 255}))
		if strings.Contains(string(text), "rrno") && strings.Contains(string(text), `"E`) {
			return // Podman's
		}
		want, err := moby.LoadProfile(string(text), &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: bounding}}})
		if err != nil {
			t.Fatalf("%q: moby says %v", text, err)
		}
		if strings.Contains(string(text), "minKernel") {
			return // the machine's kernel is not the one that is asked for here
		}
		if !reflect.DeepEqual(got, plain(t, want)) {
			t.Fatalf("%q\ngot  %s\nwant %s", text, mustJSON(t, got), mustJSON(t, want))
		}
		if len(d.ArchMap) > 0 || strings.Contains(string(text), "cludes") || strings.Contains(string(text), `"name"`) {
			return
		}
		var oci *specs.LinuxSeccomp
		if err := json.Unmarshal(text, &oci); err != nil || !reflect.DeepEqual(got, plain(t, oci)) {
			t.Fatalf("%q (%v)\ngot  %s\nwant %s", text, err, mustJSON(t, got), mustJSON(t, oci))
		}
	})
}
