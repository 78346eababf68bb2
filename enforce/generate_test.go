package enforce_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// generator makes configurations that a hurried or hostile person might write: each field is absent, ordinary or odd.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator { return generator{rand.New(rand.NewPCG(seed, seed))} }

func pick[T any](g generator, of ...T) T { return of[g.IntN(len(of))] }

func some[T any](g generator, of ...T) []T {
	var s []T
	for range g.IntN(len(of) + 1) {
		s = append(s, pick(g, of...))
	}
	return s
}

func (g generator) caps() []string {
	return some(g, "CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_NOT_A_ONE", "cap_chown", "CAP_SYS_PTRACE")
}

func (g generator) id() uint32 {
	return pick[uint32](g, 0, 0, 1, 33, 999, 1000, 9999, 10000, 10001, 20000, 65534, 65535, 1000650000, 4294967295)
}

func (g generator) condition() specs.LinuxSeccompArg {
	return specs.LinuxSeccompArg{
		Index: uint(g.IntN(3)), Value: pick[uint64](g, 0, 1, 2, 3, 16, 38, 40, 2114060288, 1<<32+40, 1<<63, 1<<64-1), ValueTwo: pick[uint64](g, 0, 0, 1),
		Op: pick(g, specs.OpEqualTo, specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpMaskedEqual),
	}
}

func (g generator) seccomp() *specs.LinuxSeccomp {
	if g.IntN(4) == 0 {
		return nil
	}
	p := &specs.LinuxSeccomp{
		DefaultAction: pick(g, specs.ActErrno, specs.ActErrno, specs.ActErrno, specs.ActKillProcess, specs.ActTrap, specs.ActAllow, specs.ActLog, "", "SCMP_ACT_WHATEVER"),
		Architectures: some(g, specs.ArchX86_64, specs.ArchX86, specs.ArchX32),
		Flags:         some(g, specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlag("SECCOMP_FILTER_FLAG_TSYNC")),
	}
	if g.IntN(10) == 0 {
		p.ListenerPath = "/run/agent.sock"
	}
	if g.IntN(10) == 0 {
		p.Flags = append(p.Flags, specs.LinuxSeccompFlagSpecAllow)
	}
	for range g.IntN(12) {
		s := specs.LinuxSyscall{
			Names:  some(g, "read", "write", "socket", "personality", "clone", "clone3", "bpf", "keyctl", "mount", "no_such_call"),
			Action: pick(g, specs.ActAllow, specs.ActAllow, specs.ActAllow, specs.ActErrno, specs.ActLog, specs.ActKillProcess),
		}
		if g.IntN(2) == 0 {
			for range g.IntN(3) {
				s.Args = append(s.Args, g.condition())
			}
		}
		if g.IntN(3) == 0 {
			errno := uint(pick(g, 1, 38))
			s.ErrnoRet = &errno
		}
		p.Syscalls = append(p.Syscalls, s)
	}
	return p
}

func (g generator) mounts() []specs.Mount {
	var mounts []specs.Mount
	for _, dest := range some(g, "/proc", "/dev", "/dev/shm", "/tmp", "/run/lock", "/var/tmp/", "/run/secrets/token", "/data", "/var/run/secrets/kubernetes.io", "/sys") {
		m := specs.Mount{Destination: dest, Type: pick(g, "tmpfs", "bind"), Source: pick(g, "/src", "/src", "/srv/data", "/srv/with")}
		switch dest {
		case "/proc":
			m.Type = "proc"
		case "/sys":
			m.Type = "sysfs"
		}
		m.Options = some(g, "rw", "ro", "nosuid", "nodev", "suid", "mode=755")
		if m.Type == "bind" {
			m.Options = some(g, "rw", "ro", "bind", "rbind", "nosuid", "nodev", "suid", "rdev", "rshared", "slave")
		}
		if g.IntN(25) == 0 {
			m = pick(g, specs.Mount{Destination: dest, Type: "bind", Source: pick(g, "/etc", "/var/lib/docker/volumes/bound/_data", "rel", "/never-seen")},
				specs.Mount{Destination: dest, Type: pick(g, "", "proc", "ext4"), Options: some(g, "rbind")},
				specs.Mount{Destination: pick(g, "/run/../tmp", "/proc/sys", "rel", "/"), Type: "tmpfs", Options: some(g, "remount", "idmap")})
		}
		mounts = append(mounts, m)
	}
	return mounts
}

func (g generator) spec() *specs.Spec {
	s := &specs.Spec{Version: "1.0.2", Mounts: g.mounts()}
	if g.IntN(20) > 0 {
		s.Process = &specs.Process{
			User:            specs.User{UID: g.id(), GID: g.id(), AdditionalGids: some[uint32](g, 0, 0, 10, 2000)},
			Args:            []string{"/app"},
			Env:             some(g, "PATH=/bin", "HOME=/root", "HOME=/", "HOME=/home/app", "HOME=", "SECRET=1", "LD_PRELOAD=/x.so"),
			Cwd:             "/",
			NoNewPrivileges: g.IntN(2) == 0,
		}
		if g.IntN(4) > 0 {
			s.Process.Capabilities = &specs.LinuxCapabilities{
				Bounding: g.caps(), Effective: g.caps(), Permitted: g.caps(), Inheritable: g.caps(), Ambient: g.caps(),
			}
		}
	}
	if g.IntN(20) > 0 {
		s.Root = &specs.Root{Path: pick(g, "rootfs", "/abs/rootfs", ""), Readonly: g.IntN(2) == 0}
	}
	if g.IntN(10) > 0 {
		s.Linux = &specs.Linux{
			Seccomp:       g.seccomp(),
			MaskedPaths:   some(g, "/proc/kcore", "/proc/keys/", "/proc/acpi", "/proc/sys", "/sys/firmware"),
			ReadonlyPaths: some(g, "/proc/sys", "/proc/bus", "/proc/irq"),
		}
		s.Linux.Namespaces, s.Linux.Sysctl = g.namespaces(), g.sysctls()
		if g.IntN(6) == 0 {
			s.Linux.RootfsPropagation = pick(g, "rshared", "shared", "rprivate", "rslave")
		}
		if g.IntN(8) == 0 {
			s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "c", Major: pick[int64](g, 1, 1, 1, 8), Minor: 3}}
		}
		if g.IntN(8) == 0 {
			s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: pick[uint32](g, 1, 65536)}}
			s.Linux.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: pick[uint32](g, 1, 65536)}}
		}
		if g.IntN(8) == 0 {
			s.Linux.Resources = &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: g.IntN(2) == 0, Access: "rwm"}}}
		}
		if g.IntN(2) == 0 {
			s.Linux.Resources = g.resources(s.Linux.Resources)
		}
	}
	if g.IntN(6) == 0 {
		g.oddities(s)
	}
	if s.Process != nil && g.IntN(2) == 0 {
		for range g.IntN(4) {
			s.Process.Rlimits = append(s.Process.Rlimits, specs.POSIXRlimit{
				Type: pick(g, "RLIMIT_CORE", "RLIMIT_NOFILE", "RLIMIT_NPROC", "rlimit_core"),
				Hard: pick[uint64](g, 0, 1, 1024, 4096, 1<<64-1), Soft: pick[uint64](g, 0, 1024, 1<<64-1),
			})
		}
		s.Process.OOMScoreAdj = pick(g, nil, number(0), number(-1000), number(-998), number(-997), number(500))
	}
	s.Annotations = g.annotations()
	if g.IntN(16) == 0 {
		s.Hooks = &specs.Hooks{CreateRuntime: g.hooks(), CreateContainer: g.hooks(), Poststop: g.hooks()}
		//lint:ignore SA1019 prestart is what Docker sends
		s.Hooks.Prestart = g.hooks()
	}
	return s
}

func number[T any](n T) *T { return &n }

func (g generator) resources(r *specs.LinuxResources) *specs.LinuxResources {
	if r == nil {
		r = &specs.LinuxResources{}
	}
	limit := func(of ...int64) *int64 {
		if g.IntN(3) == 0 {
			return nil
		}
		return number(pick(g, of...))
	}
	r.Pids = pick(g, nil, &specs.LinuxPids{Limit: limit(-1, -1, 0, 1, 100, 512, 513, 1<<62)})
	r.Memory = pick(g, nil, &specs.LinuxMemory{Limit: limit(-1, 0, 1<<20, 64<<20, 1<<40), Swap: limit(-1, 0, 1<<40, 1<<41)})
	r.CPU = pick(g, nil, &specs.LinuxCPU{Quota: limit(-1, 0, 1000, 50_000, 200_000, 1<<62)})
	if r.CPU != nil && g.IntN(2) == 0 {
		r.CPU.Period = number(pick[uint64](g, 0, 1, 1000, 50_000, 100_000, 1_000_000, 1<<63))
		r.CPU.Burst = number(pick[uint64](g, 0, 60_000, 1<<40))
	}
	if g.IntN(3) == 0 {
		r.Unified = map[string]string{}
		for _, key := range some(g, "pids.max", "memory.max", "cpu.max", "memory.high", "cgroup.freeze") {
			r.Unified[key] = pick(g, "max", "0", "1", "1000000", "-1", "1\nmax", "50000 100000", "max 100000", "200000 100000")
		}
	}
	return r
}

// oddities are what the specification control looks at.
func (g generator) oddities(s *specs.Spec) {
	s.Version = pick(g, "1.0.2", "1.3.0", "1.4.0", "2.0.0", "")
	if s.Process != nil {
		s.Process.Cwd = pick(g, "/", "/proc/self/fd/7", "relative", "")
		s.Process.SelinuxLabel = pick(g, "", "system_u:system_r:container_t:s0:c1,c2", "system_u:system_r:spc_t:s0", "x")
		s.Process.User.Umask = pick(g, nil, number[uint32](0o22), number[uint32](0o7777))
		s.Process.Scheduler = pick(g, nil, &specs.Scheduler{Policy: pick(g, specs.SchedOther, specs.SchedFIFO), Nice: pick[int32](g, 0, -5)})
		s.Process.IOPriority = pick(g, nil, &specs.LinuxIOPriority{Class: pick(g, specs.IOPRIO_CLASS_BE, specs.IOPRIO_CLASS_RT)})
	}
	if s.Linux != nil {
		s.Linux.CgroupsPath = pick(g, "", "/docker/a", "/", "/../a", "machine.slice:libpod:a", "a")
		s.Linux.Personality = pick(g, nil, &specs.LinuxPersonality{Domain: pick(g, specs.PerLinux, specs.PerLinux32)})
		s.Linux.IntelRdt = pick(g, nil, &specs.LinuxIntelRdt{})
	}
	s.Windows = pick(g, nil, &specs.Windows{})
}

// namespaces are mostly those that a container has.
func (g generator) namespaces() []specs.LinuxNamespace {
	var list []specs.LinuxNamespace
	for _, t := range []specs.LinuxNamespaceType{"pid", "network", "ipc", "uts", "mount", "cgroup", "user", "time"} {
		if g.IntN(60) > 0 && (t != "cgroup" || g.IntN(2) == 0) {
			list = append(list, specs.LinuxNamespace{Type: t})
		}
	}
	if len(list) > 0 && g.IntN(8) == 0 {
		list[g.IntN(len(list))].Path = pick(g, "/proc/1/ns/net", "/proc/7/ns/net", "/run/netns/gone", "/nobody/looked")
	}
	if g.IntN(30) == 0 {
		list = append(list, specs.LinuxNamespace{Type: pick[specs.LinuxNamespaceType](g, "pid", "cgroup", "PID", "")})
	}
	return list
}

func (g generator) sysctls() map[string]string {
	all := map[string]string{}
	for _, k := range some(g, "net.ipv4.tcp_rmem", "net/ipv4/ping_group_range", "kernel.shm_rmid_forced") {
		all[k] = "1"
	}
	if g.IntN(20) == 0 {
		all[pick(g, "kernel.core_pattern", "net.core.somaxconn", "net/core.somaxconn", "", "..")] = "1"
	}
	return all
}

func (g generator) annotations() map[string]string {
	all := map[string]string{"note": "mine"}
	if g.IntN(16) == 0 {
		all[pick(g, "bundle", "bundle=/x", "a\nb", "org.criu.config", "run.oci.handler", "org.systemd.property.KillSignal")] = pick(g, "15", "/x")
	}
	return all
}

func (g generator) hooks() []specs.Hook {
	var list []specs.Hook
	for range g.IntN(3) {
		list = append(list, specs.Hook{
			Path: pick(g, "/proc/7/exe", "/proc/7/exe", "/usr/bin/hook", "/tmp/hook", "/nobody/looked"),
			Args: pick(g, []string{"libnetwork-setkey", "-exec-root=/run/docker", "a", "b"}, []string{"libnetwork-setkey"}, nil),
			Env:  some(g, "LD_PRELOAD=/x.so"),
		})
	}
	return list
}

// text writes a configuration as an engine might, with fields that nobody knows and numbers that a float can't hold.
func (g generator) text(t testing.TB, s *specs.Spec) []byte {
	t.Helper()
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Appendf(nil, `{"x-unknown": {"n": 18446744073709551615, "list": [ 1,2 ]},%s`, data[1:])
}
