package enforce_test

import (
	"testing"

	"runclamp/enforce"
	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestDevices(t *testing.T) {
	rule := func(kind, access string, numbers ...int64) specs.LinuxDeviceCgroup {
		r := specs.LinuxDeviceCgroup{Allow: true, Type: kind, Access: access}
		if len(numbers) > 0 {
			r.Major = &numbers[0]
		}
		if len(numbers) > 1 {
			r.Minor = &numbers[1]
		}
		return r
	}
	rules := func(rules ...specs.LinuxDeviceCgroup) func(*specs.Spec) {
		return func(s *specs.Spec) { s.Linux.Resources.Devices = append(s.Linux.Resources.Devices, rules...) }
	}
	device := func(d specs.LinuxDevice, more ...specs.LinuxDeviceCgroup) func(*specs.Spec) {
		return func(s *specs.Spec) {
			s.Linux.Devices = []specs.LinuxDevice{d}
			rules(more...)(s)
		}
	}
	userNamespace := func(spoil func(*specs.Spec)) func(*specs.Spec) {
		return func(s *specs.Spec) {
			spoil(s)
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
			ids := []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}}
			s.Linux.UIDMappings, s.Linux.GIDMappings = ids, ids
		}
	}
	kvm := specs.LinuxDevice{Path: "/dev/kvm", Type: "c", Major: 10, Minor: 232}
	allow := func(in *enforce.Input) {
		in.Policy.Controls.Devices.Allow = []string{"/dev/kvm"}
		in.Facts.Devices = enforce.Devices{"/dev/kvm": {Type: "c", Major: 10, Minor: 232}}
	}
	runControlCases(t, []controlCase{
		{name: "docker run --device", spoil: device(kvm, rule("c", "rwm", 10, 232)), findings: []string{"devices:/dev/kvm reject", "devices:/dev/kvm reject"}, verdict: enforce.Refused},
		{name: "allowed", spoil: device(kvm, rule("c", "rwm", 10, 232)), input: allow, verdict: enforce.Unchanged},
		{name: "allowed, under another name", spoil: device(specs.LinuxDevice{Path: "/dev/x", Type: "u", Major: 10, Minor: 232}), input: allow, verdict: enforce.Unchanged},
		{name: "another one under its name", spoil: device(specs.LinuxDevice{Path: "/dev/kvm", Type: "b", Major: 8, Minor: 0}), input: allow, findings: []string{"devices:/dev/kvm reject"}, verdict: enforce.Refused},
		{name: "a disk as /dev/null", spoil: device(specs.LinuxDevice{Path: "/dev/null", Type: "b", Major: 8, Minor: 0}), findings: []string{"devices:/dev/null reject"}, verdict: enforce.Refused},
		{name: "a disk with null's numbers", spoil: device(specs.LinuxDevice{Path: "/dev/null", Type: "b", Major: 1, Minor: 3}), findings: []string{"devices:/dev/null reject"}, verdict: enforce.Refused},
		{name: "the standard ones", spoil: device(specs.LinuxDevice{Path: "/dev/null", Type: "c", Major: 1, Minor: 3}, rule("c", "rwm", 1, 3), rule("c", "rwm", 136), rule("c", "m")), verdict: enforce.Unchanged},
		{name: "a standard one under another name", spoil: device(specs.LinuxDevice{Path: "/dev/x", Type: "c", Major: 1, Minor: 3}), verdict: enforce.Unchanged},
		{name: "a file of the host's that is called a device, in a user namespace", spoil: userNamespace(device(specs.LinuxDevice{Path: "/var/run/docker.sock", Type: "c", Major: 1, Minor: 3})),
			findings: []string{"devices:/var/run/docker.sock reject"}, verdict: enforce.Refused},
		{name: "the same with an allowed one", spoil: userNamespace(device(specs.LinuxDevice{Path: "/dev/x", Type: "c", Major: 10, Minor: 232})), input: allow,
			findings: []string{"devices:/dev/x reject"}, verdict: enforce.Refused},
		{name: "the same under a rootless engine", spoil: device(specs.LinuxDevice{Path: "/dev/x", Type: "c", Major: 1, Minor: 3}), input: func(in *enforce.Input) {
			in.Facts.UserNamespace = true
		}, findings: []string{"devices:/dev/x reject"}, verdict: enforce.Refused},
		{name: "an allowed one in a user namespace", spoil: userNamespace(device(kvm, rule("c", "rwm", 10, 232))), input: allow, verdict: enforce.Unchanged},
		{name: "a standard one in a user namespace", spoil: userNamespace(device(specs.LinuxDevice{Path: "/dev/null", Type: "c", Major: 1, Minor: 3})), verdict: enforce.Unchanged},
		{name: "a rule", spoil: rules(rule("b", "r", 8, 0)), findings: []string{"devices:8:0 reject"}, verdict: enforce.Refused},
		{name: "a rule for many", spoil: rules(rule("c", "rw", 10, -1)), findings: []string{"devices:10:* reject"}, verdict: enforce.Refused},
		// To runc these are all devices with all access, too.
		{name: "all to be read", spoil: rules(rule("", "r")), findings: []string{"privileged reject"}, verdict: enforce.Refused},
		{name: "docker run --device-cgroup-rule 'a *:* m'", spoil: rules(rule("a", "m", -1, -1)), findings: []string{"privileged reject"}, verdict: enforce.Refused},
		{name: "any type", spoil: rules(rule("a", "rwm", 1, 3)), findings: []string{"privileged reject"}, verdict: enforce.Refused},
		{name: "any type to be made", spoil: rules(rule("a", "m", 1, 3)), input: func(in *enforce.Input) {
			in.Policy.Exceptions = []policy.Exception{{Name: "e", Allow: []string{"privileged", "devices:1:3"}}}
		}, findings: []string{"devices:*:* reject", "privileged audit"}, verdict: enforce.Refused},
		{name: "all, and then none", spoil: rules(rule("a", "m"), specs.LinuxDeviceCgroup{Access: "rwm"}), verdict: enforce.Unchanged},
		{name: "denied", spoil: rules(specs.LinuxDeviceCgroup{Type: "c", Access: "rwm"}), verdict: enforce.Unchanged},
		{name: "an exception", spoil: device(kvm, rule("c", "rwm", 10, 232)), input: func(in *enforce.Input) {
			in.Policy.Exceptions = []policy.Exception{{Name: "e", Allow: []string{"devices:/dev/kvm"}}}
		}, findings: []string{"devices:/dev/kvm audit", "devices:/dev/kvm audit"}, verdict: enforce.Unchanged},
		{name: "privileged says it all", spoil: device(kvm, rule("", "rwm")), findings: []string{"privileged reject"}, verdict: enforce.Refused},
		{name: "privileged is lifted", spoil: device(kvm, rule("a", "rwm")), input: func(in *enforce.Input) {
			in.Policy.Exceptions = []policy.Exception{{Name: "e", Allow: []string{"privileged"}}}
		}, findings: []string{"devices:/dev/kvm reject", "devices:*:* reject", "privileged audit"}, verdict: enforce.Refused},
	})
}
