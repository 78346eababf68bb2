package apparmor

import "testing"

func TestIncludes(t *testing.T) {
	for text, want := range map[string]bool{
		"# It includes nothing.\nprofile a {\n  file,\n}\n":                 false,
		"profile a {\n  include <abstractions/base>\n}\n":                   true,
		"profile a {\n  #include <abstractions/base>\n}\n":                  true,
		"profile a { include if exists <local/a> }\n":                       true,
		"abi <abi/3.0>,\nprofile a {\n  file, # include it\n  signal,\n}\n": true,
	} {
		if got := includes(text); got != want {
			t.Errorf("includes(%q) is %v", text, got)
		}
	}
}
