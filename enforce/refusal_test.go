package enforce_test

import (
	"testing"

	"runclamp/enforce"
	"runclamp/enforce/policy"
)

func TestRefusal(t *testing.T) {
	finding := func(control, detail, pointer, mend string, a policy.Action) enforce.Finding {
		return enforce.Finding{Control: control, Detail: detail, Pointer: pointer, Found: "a", Wanted: "b", Mend: mend, Action: a}
	}
	r := policy.Reject
	for _, tt := range []struct {
		findings []enforce.Finding
		want     string
	}{
		{[]enforce.Finding{finding("privileged", "", "/linux/resources/devices", `drop "--privileged"`, r), finding("nonRoot", "uid", "/process/user/uid", "", policy.Fix)},
			`privileged: a at linux.resources.devices, wanted b: drop "--privileged" (preset)`},
		{[]enforce.Finding{finding("a", "1", "/mounts/7/source", "", r), finding("b", "2", "", "", r), finding("c", "", "/x~1y", "", r), finding("d", "", "/d", "", r), finding("e", "", "/e", "", r)},
			"a:1: a at mounts[7].source, wanted b; b:2: a, wanted b; c: a at x/y, wanted b; and 2 more: see the audit log (preset)"},
	} {
		if got := (enforce.Decision{Findings: tt.findings}).Refusal("preset"); got != tt.want {
			t.Errorf("\ngot  %s\nwant %s", got, tt.want)
		}
	}
}
