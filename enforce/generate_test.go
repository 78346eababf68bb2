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
			Action: pick(g, specs.ActAllow, specs.ActAllow, specs.ActAllow, specs.ActErrno, specs.ActLog, specs.ActTrace, specs.ActKillProcess),
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
			Env:             some(g, "PATH=/bin", "HOME=/root", "HOME=/", "HOME=/home/app", "HOME=", "SECRET=1"),
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
	}
	return s
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
