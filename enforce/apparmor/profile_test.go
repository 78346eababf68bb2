package apparmor_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runclamp/enforce/apparmor"
	"runclamp/enforce/policy"
)

// `go test ./enforce/apparmor -update` writes the texts in testdata anew.
var update = flag.Bool("update", false, "write the profiles in testdata anew")

// service is the one of docs/apparmor.md.
func service() policy.AppArmorAllow {
	return policy.AppArmorAllow{
		Execute: []string{"/server"}, Read: []string{"/srv"}, Write: []string{"/data"}, Network: []policy.NetworkFamily{"inet", "inet6"},
	}
}

func must(t testing.TB) func(apparmor.Profile, error) apparmor.Profile {
	return func(p apparmor.Profile, err error) apparmor.Profile {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
}

// TestTexts: what the shipped profiles say is looked at before it changes.
func TestTexts(t *testing.T) {
	for file, p := range map[string]apparmor.Profile{"default": must(t)(apparmor.Default()), "service": must(t)(apparmor.Allow(service()))} {
		path := filepath.Join("testdata", file)
		if *update {
			if err := os.WriteFile(path, []byte(p.Text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || p.Text != string(want) {
			t.Errorf("%s is not what is shipped (%v): go test ./enforce/apparmor -update", path, err)
		}
		if !apparmor.Ours(p.Name) || strings.Contains(p.Text, "@@") || strings.Contains(p.Text, "include") {
			t.Errorf("%s: a name that is not ours, a mark that is not filled in, or a text that means something else on another host", p.Name)
		}
	}
}

// TestNames: a name stands for what is said, and for nothing else.
func TestNames(t *testing.T) {
	same, other := service(), service()
	same.Network = []policy.NetworkFamily{"inet6", "inet", "inet"}
	other.Read = []string{"/srv", "/etc/app"}
	name := must(t)(apparmor.Allow(service())).Name
	if got := must(t)(apparmor.Allow(same)).Name; got != name {
		t.Errorf("another order has another name: %s, %s", got, name)
	}
	if got := must(t)(apparmor.Allow(other)).Name; got == name {
		t.Errorf("another list has the same name: %s", got)
	}
	// A path is of the list that it stands in.
	read, write := policy.AppArmorAllow{Read: []string{"/a"}}, policy.AppArmorAllow{Write: []string{"/a"}}
	if must(t)(apparmor.Allow(read)).Name == must(t)(apparmor.Allow(write)).Name {
		t.Error("read and write have the same name")
	}
	for _, n := range []string{"docker-default", "runclamp-default", "runclamp-default-", "runclamp-default-0123456789a", "runclamp-default-0123456789AB",
		"runclamp-default-0123456789ab//child", "runclamp-allowed-0123456789ab", ":ns://runclamp-default-0123456789ab"} {
		if apparmor.Ours(n) {
			t.Errorf("%s is taken for ours", n)
		}
	}
}

// TestInjection: a path is a path, or it is refused. None ends its rule, its profile or its line, and none is a pattern.
func TestInjection(t *testing.T) {
	for _, path := range []string{
		"", "a", "./a", "/a/../b", "/a/..", "/a/./b", "/a//b", "/a/", "//", `/a" w, "/b`, "/a\n  /** rw,", "/a\r", "/a\x00", "/a\x7f", "/a\u0085b", "/a,", "/a#b", "/*", "/a?", "/[a]",
		"/{a,b}", "/a^", `/a\b`, `/a\`, "/@{PROC}", "@{PROC}", "/a@b", "/a'b", "/a(b)", "/a<b>", "/\xff", "/a}\nprofile b {",
	} {
		for what, allow := range map[string]policy.AppArmorAllow{"read": {Read: []string{path}}, "write": {Write: []string{path}}, "execute": {Execute: []string{"/good", path}}} {
			if p, err := apparmor.Allow(allow); err == nil {
				t.Errorf("%s: %q got into a profile:\n%s", what, path, p.Text)
			} else if !strings.HasPrefix(err.Error(), "runclamp-allow: "+what+": ") {
				t.Errorf("%q: the error does not say where: %v", path, err)
			}
		}
	}
	for _, family := range []policy.NetworkFamily{"", "raw", "packet", "inet,\n  file", "INET", "inet raw"} {
		if _, err := apparmor.Allow(policy.AppArmorAllow{Network: []policy.NetworkFamily{family}}); err == nil {
			t.Errorf("the family %q got into a profile", family)
		}
	}
	for _, path := range []string{"/", "/a b", "/ä", "/a-b_c.d:e=f+g~h;i|j&k!l%m$n`"} {
		p := must(t)(apparmor.Allow(policy.AppArmorAllow{Read: []string{path}, Write: []string{path}, Execute: []string{path}}))
		if !strings.Contains(p.Text, `"`+strings.TrimSuffix(path, "/")+`/**" rwkl,`) {
			t.Errorf("%q is not in its profile", path)
		}
		if err := parserHost(t).Check(p); err != nil {
			t.Errorf("%q: %v", path, err)
		}
	}
}

// parserHost is a machine with apparmor_parser, which is all that checking takes. A test without it is left out, aloud.
func parserHost(t testing.TB) apparmor.Host {
	t.Helper()
	h := apparmor.ThisHost(t.TempDir())
	for _, p := range h.Parsers {
		if _, err := os.Stat(p); err == nil {
			return h
		}
	}
	if os.Getenv("RUNCLAMP_E2E_ALL") != "" {
		t.Fatal("there is no apparmor_parser (integration/setup.sh apparmor)")
	}
	t.Skip("left out: there is no apparmor_parser (integration/setup.sh apparmor)")
	return h
}

// FuzzRender: whatever stands in the lists, they are refused, or come to one profile that the parser takes.
func FuzzRender(f *testing.F) {
	f.Add("/a", "/b c", "/server", "inet")
	f.Add("/", "/", "/", "unix")
	f.Add("/a\"", "/@{x}", "/**", "raw")
	h := parserHost(f)
	h.RunDir = "/nonexistent"
	f.Fuzz(func(t *testing.T, read, write, execute, network string) {
		p, err := apparmor.Allow(policy.AppArmorAllow{
			Read: []string{read}, Write: []string{write}, Execute: []string{execute}, Network: []policy.NetworkFamily{policy.NetworkFamily(network)},
		})
		if err != nil {
			return
		}
		// That it is one profile, and of that name, is the parser's word too.
		if err := h.Check(p); err != nil {
			t.Fatalf("%v\n%s", err, p.Text)
		}
	})
}

func TestNameOf(t *testing.T) {
	for _, tt := range []struct{ text, name, err string }{
		{"profile site {\n  file,\n}\n", "site", ""},
		{"# profile no {\nabi <abi/3.0>,\ninclude <tunables/global>\nprofile \"site\" /usr/bin/x flags=(attach_disconnected) {\n  profile child {\n  }\n}\n", "site", ""},
		{"@{x}={a,b}\nprofile site{\n  /{a,b} r, # }\n}\n", "site", ""},
		{"", "", `it has no line "profile NAME {"`},
		{"/usr/bin/x {\n}\n", "", `it has no line "profile NAME {"`},
		{"profile a {\n}\nprofile b {\n}\n", "", "it has 2 profiles (a, b): one is wanted"},
		{"profile :other:a {\n}\n", "", "belongs to another policy namespace"},
		{"profile unconfined {\n}\n", "", "is what the kernel calls no profile"},
		{"profile runclamp-default-0123456789ab {\n}\n", "", "is one that runclamp gives to profiles of its own"},
		{"profile a//b {\n}\n", "", "is a child's"},
		{"profile a*b {\n}\n", "", "has other characters"},
		{"profile " + strings.Repeat("a", 129) + " {\n}\n", "", "is longer than 128 bytes"},
	} {
		name, err := apparmor.NameOf(tt.text)
		if name != tt.name || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%q is called %q, %v; want %q, %s", tt.text, name, err, tt.name, tt.err)
		}
	}
}
