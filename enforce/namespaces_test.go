package enforce_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"runclamp/enforce"
	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestHostNamespaces(t *testing.T) {
	without := func(types ...specs.LinuxNamespaceType) func(*specs.Spec) {
		return func(s *specs.Spec) {
			s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(ns specs.LinuxNamespace) bool { return slices.Contains(types, ns.Type) })
		}
	}
	at := func(typ specs.LinuxNamespaceType, path string) func(*specs.Spec) {
		return func(s *specs.Spec) {
			without(typ)(s)
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: typ, Path: path})
		}
	}
	more := func(typ specs.LinuxNamespaceType) func(*specs.Spec) {
		return func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: typ})
		}
	}
	allow := func(all ...policy.HostNamespace) func(*policy.Controls) {
		return func(c *policy.Controls) { c.HostNamespaces.Allow = all }
	}
	const hosts, anothers = "/proc/1/ns/net", "/proc/7/ns/net"
	cases := []controlCase{
		{name: "no cgroup namespace", spoil: without("cgroup"), findings: []string{"hostNamespaces:cgroup fix"},
			edits: []string{`insert /linux/namespaces/5 {"type":"cgroup"}`}, verdict: enforce.Fixed},
		{name: "no cgroup namespace, allowed", spoil: without("cgroup"), policy: allow(policy.HostCgroup), verdict: enforce.Unchanged},
		{name: "no cgroup namespace, reject", spoil: without("cgroup"), policy: func(c *policy.Controls) { c.HostNamespaces.Action = policy.Reject },
			findings: []string{"hostNamespaces:cgroup reject"}, verdict: enforce.Refused},
		{name: "the host's cgroup namespace by path", spoil: at("cgroup", hosts), findings: []string{"hostNamespaces:cgroup reject"}, verdict: enforce.Refused},
		{name: "none at all", spoil: func(s *specs.Spec) { s.Linux.Namespaces = nil }, findings: []string{"hostNamespaces:cgroup fix", "hostNamespaces:ipc reject",
			"hostNamespaces:mount reject", "hostNamespaces:network reject", "hostNamespaces:pid reject", "hostNamespaces:uts reject"}, verdict: enforce.Refused},
		{name: "private time", spoil: more("time"), verdict: enforce.Unchanged},
		{name: "another's time", spoil: at("time", anothers), findings: []string{"hostNamespaces:time reject"}, verdict: enforce.Refused},
		{name: "another's mounts", spoil: at("mount", anothers), findings: []string{"hostNamespaces:mount reject"}, verdict: enforce.Refused},
		{name: "a user namespace", spoil: more("user"), verdict: enforce.Unchanged},
		{name: "another's user namespace", spoil: at("user", anothers), verdict: enforce.Unchanged},
		{name: "the host's user namespace", spoil: at("user", hosts), findings: []string{"hostNamespaces:user reject"}, verdict: enforce.Refused},
		{name: "twice", spoil: more("pid"), policy: allow(policy.HostPID), findings: []string{"hostNamespaces:pid reject"}, verdict: enforce.Refused},
		{name: "no such type", spoil: more("PID"), findings: []string{"hostNamespaces:unknown reject"}, verdict: enforce.Refused},
		{name: "network implies uts", spoil: without("network", "uts"), policy: allow(policy.HostNetwork), verdict: enforce.Unchanged},
		{name: "uts does not imply network", spoil: without("network", "uts"), policy: allow(policy.HostUTS), findings: []string{"hostNamespaces:network reject"}, verdict: enforce.Refused},
		{name: "an exception for network implies uts", spoil: without("network", "uts"), input: except("hostNamespaces:network"), findings: []string{"hostNamespaces:network audit"}, verdict: enforce.Unchanged},
		{name: "an exception for another", spoil: without("ipc"), input: except("hostNamespaces:pid"), findings: []string{"hostNamespaces:ipc reject"}, verdict: enforce.Refused},
		{name: "a sandbox is no exception", spoil: without("network"), input: func(in *enforce.Input) { in.Workload.Kind = policy.Sandbox }, findings: []string{"hostNamespaces:network reject"}, verdict: enforce.Refused},
	}
	for _, typ := range []specs.LinuxNamespaceType{"pid", "ipc", "network", "uts"} {
		refused := []string{"hostNamespaces:" + string(typ) + " reject"}
		own := allow(policy.HostNamespace(typ))
		cases = append(cases,
			controlCase{name: string(typ) + ", none", spoil: without(typ), findings: refused, verdict: enforce.Refused},
			controlCase{name: string(typ) + ", none, allowed", spoil: without(typ), policy: own, verdict: enforce.Unchanged},
			controlCase{name: string(typ) + ", the host's", spoil: at(typ, hosts), findings: refused, verdict: enforce.Refused},
			controlCase{name: string(typ) + ", the host's, allowed", spoil: at(typ, hosts), policy: own, verdict: enforce.Unchanged},
			controlCase{name: string(typ) + ", another's", spoil: at(typ, anothers), verdict: enforce.Unchanged},
			controlCase{name: string(typ) + ", gone", spoil: at(typ, "/run/netns/gone"), policy: own, findings: refused, verdict: enforce.Refused},
			controlCase{name: string(typ) + ", not looked at", spoil: at(typ, "/nobody/looked"), findings: refused, verdict: enforce.Refused},
		)
	}
	runControlCases(t, cases)
}

func except(findings ...string) func(*enforce.Input) {
	return func(in *enforce.Input) { in.Policy.Exceptions = []policy.Exception{{Name: "e", Allow: findings}} }
}

func TestSysctls(t *testing.T) {
	set := func(keys ...string) func(*specs.Spec) {
		return func(s *specs.Spec) {
			s.Linux.Sysctl = map[string]string{}
			for _, k := range keys {
				s.Linux.Sysctl[k] = "1"
			}
		}
	}
	allow := func(c *policy.Controls) { c.Sysctls.Allow = []string{"net.core.somaxconn", "kernel.msgmax"} }
	shared := func(typ specs.LinuxNamespaceType, path string, keys ...string) func(*specs.Spec) {
		return func(s *specs.Spec) {
			set(keys...)(s)
			s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == typ })
			if path != "" {
				s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: typ, Path: path})
			}
		}
	}
	hosts := func(c *policy.Controls) {
		allow(c)
		c.HostNamespaces.Allow = []policy.HostNamespace{policy.HostNetwork, policy.HostIPC}
	}
	runControlCases(t, []controlCase{
		{name: "what engines set", spoil: set("net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range"), verdict: enforce.Unchanged},
		{name: "with slashes", spoil: set("net/ipv4/ping_group_range", "kernel/shm_rmid_forced"), verdict: enforce.Unchanged},
		{name: "unsafe", spoil: set("net.core.somaxconn", "kernel.core_pattern"), findings: []string{"sysctls:kernel.core_pattern reject", "sysctls:net.core.somaxconn reject"}, verdict: enforce.Refused},
		{name: "unsafe, with slashes", spoil: set("net/core/somaxconn"), findings: []string{"sysctls:net.core.somaxconn reject"}, verdict: enforce.Refused},
		{name: "an interface with a dot in its name", spoil: set("net/ipv4/conf/eth0.1/forwarding"), findings: []string{"sysctls:net.ipv4.conf.eth0.1.forwarding reject"}, verdict: enforce.Refused},
		{name: "a safe name in a long one", spoil: set("net/ipv4/tcp_rmem/../tcp_mem"), findings: []string{"sysctls:net.ipv4.tcp_rmem....tcp_mem reject"}, verdict: enforce.Refused},
		{name: "listed", spoil: set("net/core.somaxconn", "kernel.msgmax"), policy: allow, verdict: enforce.Unchanged},
		{name: "on the host's network", spoil: shared("network", "", "net.ipv4.tcp_rmem", "net.core.somaxconn"), policy: hosts,
			findings: []string{"sysctls:net.core.somaxconn reject", "sysctls:net.ipv4.tcp_rmem reject"}, verdict: enforce.Refused},
		{name: "on the host's network, by path", spoil: shared("network", "/proc/1/ns/net", "net.ipv4.tcp_rmem"), policy: hosts, findings: []string{"sysctls:net.ipv4.tcp_rmem reject"}, verdict: enforce.Refused},
		{name: "on a pod's network", spoil: shared("network", "/proc/7/ns/net", "net.ipv4.tcp_rmem"), verdict: enforce.Unchanged},
		{name: "in the host's shared memory", spoil: shared("ipc", "", "kernel.shm_rmid_forced", "kernel.msgmax"), policy: hosts,
			findings: []string{"sysctls:kernel.msgmax reject", "sysctls:kernel.shm_rmid_forced reject"}, verdict: enforce.Refused},
	})
}

func TestAnnotations(t *testing.T) {
	note := func(kv ...string) func(*specs.Spec) {
		return func(s *specs.Spec) {
			s.Annotations = map[string]string{}
			for i := 0; i < len(kv); i += 2 {
				s.Annotations[kv[i]] = kv[i+1]
			}
		}
	}
	allow := func(keys ...string) func(*policy.Controls) {
		return func(c *policy.Controls) { c.Annotations.Allow = keys }
	}
	long := "run.oci." + strings.Repeat("x", 1000)
	cases := []controlCase{
		{name: "notes", spoil: note("note", "mine=1\n", "io.kubernetes.cri.container-type", "sandbox", "", "", "bundles", "x", "x.bundle", "x"), verdict: enforce.Unchanged},
		{name: "allowed", spoil: note("org.criu.config", "/x"), policy: allow("org.criu.config"), verdict: enforce.Unchanged},
		{name: "its neighbour is not", spoil: note("org.criu.config2", "/x"), policy: allow("org.criu.config"), findings: []string{"annotations:org.criu.config2 reject"}, verdict: enforce.Refused},
		{name: "never allowed", spoil: note("bundle", "/x", "bundle=/y", "", "a=b", ""), policy: allow("bundle", "bundle=/y", "a=b"),
			findings: []string{"annotations:a=b reject", "annotations:bundle reject", "annotations:bundle=/y reject"}, verdict: enforce.Refused},
		{name: "control characters", spoil: note("a\nb", ""), policy: allow("a\nb"), findings: []string{"annotations:a\ufffdb reject"}, verdict: enforce.Refused},
		{name: "long", spoil: note(long, ""), findings: []string{"annotations:" + long[:128] + "… reject"}, verdict: enforce.Refused},
		{name: "Podman's own", spoil: note("org.systemd.property.KillSignal", "15", "org.systemd.property.TimeoutStopUSec", "uint64 10000000"), verdict: enforce.Unchanged},
		{name: "CRI-O's own", spoil: note("org.systemd.property.TimeoutStopUSec", "uint64 30000000", "org.systemd.property.CollectMode", "'inactive-or-failed'",
			"org.systemd.property.DefaultDependencies", "true", "org.systemd.property.After", "['crio.service']"), verdict: enforce.Unchanged},
		{name: "their keys, other values", spoil: note("org.systemd.property.KillSignal", "15\n", "org.systemd.property.After", "['a.service']"),
			findings: []string{"annotations:org.systemd.property.After reject", "annotations:org.systemd.property.KillSignal reject"}, verdict: enforce.Refused},
	}
	for _, key := range []string{"org.systemd.property.DeviceAllow", "org.criu.config", "run.oci.handler", "run.oci.hooks.stdout", "run.oci.seccomp_bpf_data", "krun.cpus",
		"module.wasm.image/variant", "io.katacontainers.config.hypervisor.path", "io.containers.trace-syscall"} {
		cases = append(cases, controlCase{name: key, spoil: note(key, "1"), findings: []string{"annotations:" + key + " reject"}, verdict: enforce.Refused})
	}
	runControlCases(t, cases)
}

func TestHooks(t *testing.T) {
	docker := specs.Hook{Path: "/proc/7/exe", Args: []string{"libnetwork-setkey", "-exec-root=/run/docker", "f2657cd6", "45104b1c633c"}}
	prestart := func(change func(*specs.Hook)) func(*specs.Spec) {
		h := docker
		h.Args = slices.Clone(docker.Args)
		if change != nil {
			change(&h)
		}
		return func(s *specs.Spec) { s.Hooks = &specs.Hooks{Prestart: []specs.Hook{h}} } //lint:ignore SA1019 what Docker sends
	}
	args := func(a ...string) func(*specs.Spec) { return prestart(func(h *specs.Hook) { h.Args = a }) }
	with := func(h specs.Hook, env ...string) func(*specs.Spec) {
		return func(s *specs.Spec) {
			s.Process.Env = append(s.Process.Env, env...)
			s.Hooks = &specs.Hooks{CreateContainer: []specs.Hook{h}}
		}
	}
	allow := func(paths ...string) func(*policy.Controls) {
		return func(c *policy.Controls) { c.Hooks.Allow = paths }
	}
	dockerd := []string{"hooks:/usr/bin/dockerd reject"}
	hook := specs.Hook{Path: "/usr/bin/hook"}
	listed := allow("/usr/bin/hook", "/tmp/hook")
	runControlCases(t, []controlCase{
		{name: "Docker's", spoil: prestart(nil), verdict: enforce.Unchanged},
		{name: "old Docker's", spoil: args("libnetwork-setkey", "f2657cd6", "45104b1c633c"), verdict: enforce.Unchanged},
		{name: "Docker's, createRuntime", spoil: func(s *specs.Spec) { s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{docker}} }, verdict: enforce.Unchanged},
		{name: "Docker's, in a place that is not its own", spoil: with(docker), findings: dockerd, verdict: enforce.Refused},
		{name: "Docker's, with an environment", spoil: prestart(func(h *specs.Hook) { h.Env = []string{"A=b"} }), findings: dockerd, verdict: enforce.Refused},
		{name: "dockerd, no arguments", spoil: args(), findings: dockerd, verdict: enforce.Refused},
		{name: "dockerd, another name", spoil: args("dockerd", "-exec-root=/run/docker", "a", "b"), findings: dockerd, verdict: enforce.Refused},
		{name: "dockerd, another option", spoil: args("libnetwork-setkey", "-exec-root=/run/docker;x", "a", "b"), findings: dockerd, verdict: enforce.Refused},
		{name: "dockerd, one more", spoil: args("libnetwork-setkey", "-exec-root=/run/docker", "a", "b", "c"), findings: dockerd, verdict: enforce.Refused},
		{name: "another program, Docker's arguments", spoil: prestart(func(h *specs.Hook) { h.Path = "/usr/bin/hook" }), findings: []string{"hooks:/usr/bin/hook reject"}, verdict: enforce.Refused},
		{name: "nobody looked", spoil: prestart(func(h *specs.Hook) { h.Path = "/proc/8/exe" }), findings: []string{"hooks:/proc/8/exe reject"}, verdict: enforce.Refused},
		{name: "dockerd that others can change", spoil: prestart(nil), input: func(in *enforce.Input) {
			in.Facts.Hooks = map[string]enforce.Hook{"/proc/7/exe": {Path: "/usr/bin/dockerd", Problem: "it is anybody's"}}
		}, findings: dockerd, verdict: enforce.Refused},
		{name: "listed", spoil: with(hook), policy: listed, verdict: enforce.Unchanged},
		{name: "not listed", spoil: with(hook), findings: []string{"hooks:/usr/bin/hook reject"}, verdict: enforce.Refused},
		{name: "listed, but others can change it", spoil: with(specs.Hook{Path: "/tmp/hook"}), policy: listed, findings: []string{"hooks:untrusted:/tmp/hook reject"}, verdict: enforce.Refused},
		{name: "listed, with the linker's variables", spoil: with(specs.Hook{Path: "/usr/bin/hook", Env: []string{"LD_PRELOAD=/x.so"}}), policy: listed, findings: []string{"hooks:environment:/usr/bin/hook reject"}, verdict: enforce.Refused},
		{name: "listed, with the container's variables", spoil: with(hook, "LD_DEBUG=all"), policy: listed, findings: []string{"hooks:environment:/usr/bin/hook reject"}, verdict: enforce.Refused},
		{name: "listed, with an environment of its own", spoil: with(specs.Hook{Path: "/usr/bin/hook", Env: []string{"PATH=/bin"}}, "LD_DEBUG=all"), policy: listed, verdict: enforce.Unchanged},
		{name: "all lists", spoil: func(s *specs.Spec) {
			one := []specs.Hook{hook}
			s.Hooks = &specs.Hooks{CreateRuntime: one, CreateContainer: one, StartContainer: one, Poststart: one, Poststop: one}
			s.Hooks.Prestart = one //lint:ignore SA1019 it is run all the same
		}, findings: slices.Repeat([]string{"hooks:/usr/bin/hook reject"}, 6), verdict: enforce.Refused},
	})
}

func TestEnvironment(t *testing.T) {
	env := func(v ...string) func(*specs.Spec) { return func(s *specs.Spec) { s.Process.Env = v } }
	runControlCases(t, []controlCase{
		{name: "recorded", spoil: env("LD_PRELOAD=/secret.so", "LD_AUDIT", "LD_PRELOADED=1", "ld_preload=1"),
			findings: []string{"environment:LD_PRELOAD audit", "environment:LD_AUDIT audit"}, verdict: enforce.Unchanged},
		{name: "reject", spoil: env("MINE=1", "LD_PRELOAD=1"), policy: func(c *policy.Controls) {
			c.Environment = policy.Environment{Action: policy.Reject, Deny: []string{"MINE"}}
		}, findings: []string{"environment:MINE reject"}, verdict: enforce.Refused},
	})
	spec := clean(t)
	spec.Process.Env = []string{"LD_PRELOAD=/secret.so"}
	d := enforce.Decide(enforce.Input{Policy: policy.Policy{Controls: hardened(t)}, Facts: facts(), Spec: spec})
	if text := mustJSON(t, d.Findings); strings.Contains(string(text), "secret") {
		t.Errorf("the variable's value is told: %s", text)
	}
}

// TestEnginesAreLetThrough: nothing that an engine sends by default is refused by the controls about namespaces, sysctls,
// annotations and hooks, under any preset; and who asks for a privileged container is refused for that alone.
func TestEnginesAreLetThrough(t *testing.T) {
	mine := []string{"hostNamespaces", "sysctls", "annotations", "hooks", "environment"}
	for _, preset := range []string{"baseline", "restricted", "hardened"} {
		controls := presetControls(t, preset)
		for _, c := range engineConfigs(t) {
			var spec *specs.Spec
			if err := json.Unmarshal(c.text, &spec); err != nil {
				t.Fatal(err)
			}
			in := enforce.Input{Policy: policy.Policy{Controls: controls}, Facts: facts(), Verb: "create", Spec: spec}
			for _, ns := range spec.Linux.Namespaces {
				in.Facts.Namespaces[ns.Path] = enforce.Namespace{}
			}
			for _, list := range enforce.AllHooks(spec.Hooks) {
				for _, h := range list {
					in.Facts.Hooks[h.Path] = enforce.Hook{Path: "/usr/bin/dockerd"}
				}
			}
			cgroup := false
			for _, f := range enforce.Decide(in).Findings {
				if !slices.Contains(mine, f.Control) {
					continue
				}
				if f.Name() != "hostNamespaces:cgroup" || f.Action != policy.Fix || preset != "hardened" {
					t.Errorf("%s under %s: %s %s: %s", c.name, preset, f.Name(), f.Action, f.Found)
				}
				cgroup = true
			}
			if preset == "hardened" && !cgroup {
				t.Errorf("%s has a cgroup namespace, which no engine here asks for", c.name)
			}
		}
	}
}

func presetControls(t *testing.T, name string) policy.Controls {
	t.Helper()
	f, err := policy.Parse([]byte("apiVersion: runclamp/v1\npreset: "+name+"\n"), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return f.Base
}
