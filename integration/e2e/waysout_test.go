package e2e

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// harmless: it starts, and is confined like any other.
const harmless = ""

// wayOut is a known way out of a container, and what comes of it: the finding that refuses it, or harmless.
type wayOut struct {
	name string
	args []string
	want string
}

// dockersWays are those that Docker's command line offers. What stands for the host is bait, or refused before it is touched.
func dockersWays(d *docker) []wayOut {
	bait := d.file("ways-out")
	return []wayOut{
		{"privileged", []string{"--privileged"}, "privileged: "},
		{"the host's processes", []string{"--pid", "host"}, "hostNamespaces:pid: "},
		{"the host's IPC", []string{"--ipc", "host"}, "hostNamespaces:ipc: "},
		{"the host's network", []string{"--network", "host"}, "hostNamespaces:network: "},
		{"the host's name", []string{"--uts", "host"}, "hostNamespaces:uts: "},
		{"the host's user namespace", []string{"--userns", "host"}, harmless},
		{"the host's root", []string{"-v", "/:/x"}, "hostMounts:/: "},
		{"the host's /etc", []string{"-v", "/etc:/x:ro"}, "hostMounts:/etc: "},
		{"the host's /proc", []string{"-v", "/proc:/x"}, "hostMounts:/proc: "},
		{"the host's /sys", []string{"-v", "/sys:/x"}, "hostMounts:/sys: "},
		{"the host's /dev", []string{"-v", "/dev:/x"}, "hostMounts:/dev: "},
		{"root's home", []string{"-v", "/root:/x"}, "hostMounts:/root: "},
		{"the host's boot loader", []string{"-v", "/boot:/x"}, "hostMounts:/boot: "},
		{"all that engines keep", []string{"-v", "/var/lib:/x"}, "hostMounts:/var/lib: "},
		{"this engine's data", []string{"-v", d.file("data") + ":/x"}, "hostMounts:" + d.file("data") + ": "},
		{"this engine's socket", []string{"-v", d.file("docker.sock") + ":/x"}, "hostMounts:" + d.file("docker.sock") + ": "},
		{"any socket", []string{"-v", filepath.Join(bait, "socket") + ":/x"}, "hostMounts:" + filepath.Join(bait, "socket") + ": "},
		{"a link to /etc", []string{"-v", filepath.Join(bait, "link") + ":/x"}, "hostMounts:"},
		{"over /proc/sys", []string{"-v", filepath.Join(bait, "data") + ":/proc/sys"}, "hostMounts:destination: "},
		{"shared propagation", []string{"-v", filepath.Join(bait, "data") + ":/x"}, harmless},
		{"a device", []string{"--device", "/dev/full:/dev/x", "--device", "/dev/tty0:/dev/y"}, "devices:/dev/y: "},
		{"every device by rule", []string{"--device-cgroup-rule", "a *:* rwm"}, ": "},
		{"disks by rule", []string{"--device-cgroup-rule", "b *:* rwm"}, "devices:"},
		{"all capabilities", []string{"--cap-add", "ALL"}, harmless},
		{"an administrator without a filter", []string{"--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "--security-opt", "systempaths=unconfined"}, "privileged: "},
		{"no filter", []string{"--security-opt", "seccomp=unconfined"}, harmless},
		{"a filter that lets through by default", []string{"--security-opt", "seccomp=" + filepath.Join(bait, "allow.json")}, harmless},
		{"unmasked paths", []string{"--security-opt", "systempaths=unconfined"}, harmless},
		{"setuid programs", []string{"--security-opt", "no-new-privileges=false"}, harmless},
		{"an SELinux type of the host's", []string{"--security-opt", "label=type:spc_t"}, harmless}, // Docker drops it where there is no SELinux
		{"root", []string{"--user", "0:0"}, harmless},
		{"root's group", []string{"--user", "20000:0"}, "20000"},
		{"root among the groups", []string{"--group-add", "0"}, harmless},
		{"a kernel parameter", []string{"--sysctl", "kernel.msgmax=65536"}, "sysctls:kernel.msgmax: "},
		{"a parameter of its network", []string{"--sysctl", "net.ipv4.ip_forward=1"}, "sysctls:net.ipv4.ip_forward: "},
		{"no limit of processes", []string{"--pids-limit", "-1"}, harmless},
		{"core dumps", []string{"--ulimit", "core=-1"}, harmless},
		{"killed last", []string{"--oom-score-adj", "-500"}, harmless},
		{"a preloaded library", []string{"-e", "LD_PRELOAD=/x.so"}, harmless},
		{"the runtime's own descriptors", []string{"-w", "/proc/self/fd/7"}, "specification:process.cwd: "},
		{"a writable root", []string{"--read-only=false"}, harmless},
		{"a program in a tmpfs", []string{"--tmpfs", "/tmp:exec"}, harmless},
	}
}

// TestWaysOutByDocker: each is refused with its reason, or what comes of it is confined.
func TestWaysOutByDocker(t *testing.T) {
	forEachDocker(t, func(t *testing.T, d *docker) {
		bait := d.file("ways-out")
		if err := errors.Join(os.MkdirAll(filepath.Join(bait, "data"), 0o755), os.Symlink("/etc", filepath.Join(bait, "link")),
			os.WriteFile(filepath.Join(bait, "allow.json"), []byte(`{"defaultAction":"SCMP_ACT_ALLOW"}`), 0o644)); err != nil {
			t.Fatal(err)
		}
		socket, err := net.Listen("unix", filepath.Join(bait, "socket"))
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()

		// A volume that looks like any other, and is bound from elsewhere.
		hidden := "hidden-" + filepath.Base(d.dir)
		d.must(t, "volume", "create", "-o", "type=none", "-o", "o=bind", "-o", "device=/etc", hidden)
		defer d.must(t, "volume", "rm", "-f", hidden)
		ways := append(dockersWays(d), wayOut{"a volume that is /etc", []string{"-v", hidden + ":/x"}, "hostMounts:"})
		if len(ways) < 40 {
			t.Errorf("only %d ways", len(ways))
		}
		for _, w := range ways {
			t.Run(w.name, func(t *testing.T) {
				network := []string{"--network", "none"}
				if w.args[0] == "--network" {
					network = nil
				}
				args := append(append(append([]string{"run", "--rm", "--runtime", "runclamp"}, network...), w.args...), "bb", "probe")
				out, err := d.try(args...)
				switch {
				case err == nil && (w.want == harmless || w.want == "20000"):
					uid := "10001"
					if w.want == "20000" {
						uid = "20000"
					}
					s := parseSeen(t, out)
					confinedAs(t, s, uid)
				case err == nil:
					t.Error("it ran")
				case w.want == harmless:
					t.Errorf("it does not run: %v", err)
				case !strings.Contains(err.Error(), "runclamp: refused: ") || !strings.Contains(err.Error(), w.want):
					t.Errorf("the user reads %v", err)
				}
			})
		}
	})
}

// confinedAs is confined, for a group that may be another.
func confinedAs(t *testing.T, s seen, uid string) {
	t.Helper()
	if uid != "10001" {
		s.Status["Gid"] = strings.ReplaceAll(s.Status["Gid"], "10001", uid)
	}
	confined(t, s, uid)
}

// TestWaysOutBySpecification: what no command line of an engine's offers, and whoever writes a bundle can ask for.
func TestWaysOutBySpecification(t *testing.T) {
	forEachDocker(t, func(t *testing.T, d *docker) {
		dir := d.file("spec")
		root := filepath.Join(dir, "root")
		for want, spoil := range map[string]func(*specs.Spec){
			"specification:linux.netDevices: ": func(s *specs.Spec) {
				s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"bait0": {}}
			},
			"specification:linux.intelRdt: ":     func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "other"} },
			"specification:linux.personality: ":  func(s *specs.Spec) { s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32} },
			"specification:linux.timeOffsets: ":  func(s *specs.Spec) { s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 1}} },
			"specification:linux.cgroupsPath: ":  func(s *specs.Spec) { s.Linux.CgroupsPath = "/../bait" },
			"specification:process.scheduler: ":  func(s *specs.Spec) { s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedFIFO, Priority: 9} },
			"specification:process.ioPriority: ": func(s *specs.Spec) { s.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_RT} },
			"specification:vm: ":                 func(s *specs.Spec) { s.VM = &specs.VM{} },
			"hooks:": func(s *specs.Spec) {
				s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: filepath.Join(dir, "hook")}}}
			},
			"annotations:bundle: ":          func(s *specs.Spec) { s.Annotations = map[string]string{"bundle": "/evil"} },
			"annotations:org.criu.config: ": func(s *specs.Spec) { s.Annotations = map[string]string{"org.criu.config": "/evil"} },
			"hostMounts:type: ": func(s *specs.Spec) {
				s.Mounts = append(s.Mounts, specs.Mount{Destination: "/x", Type: "overlay", Source: "overlay", Options: []string{"lowerdir=/etc:/usr"}})
			},
			"hostMounts:root: ": func(s *specs.Spec) { s.Root.Path = "/" },
			"hostMounts:mappings: ": func(s *specs.Spec) {
				s.Mounts = append(s.Mounts, specs.Mount{Destination: "/x", Type: "bind", Source: filepath.Join(dir, "data"), Options: []string{"bind"},
					UIDMappings: []specs.LinuxIDMapping{{ContainerID: 10001, HostID: 0, Size: 1}}, GIDMappings: []specs.LinuxIDMapping{{ContainerID: 10001, HostID: 0, Size: 1}}})
			},
			"hostNamespaces:time: ": func(s *specs.Spec) {
				s.Linux.Namespaces = append(withoutNamespace(s, "time"), specs.LinuxNamespace{Type: "time", Path: "/proc/1/ns/time"})
			},
			"nonRoot:mapping: ": func(s *specs.Spec) {
				s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "user"})
				s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 10001}, {ContainerID: 10001, HostID: 0, Size: 1}}
				s.Linux.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
			},
			"seccomp:listener: ": func(s *specs.Spec) { s.Linux.Seccomp.ListenerPath = filepath.Join(dir, "socket") },
			"seccomp:flags: ": func(s *specs.Spec) {
				s.Linux.Seccomp.Flags = []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagSpecAllow}
			},
			"devices:": func(s *specs.Spec) {
				s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/bait", Type: "b", Major: 240, Minor: 77}}
			},
		} {
			t.Run(strings.Trim(want, ": "), func(t *testing.T) {
				defer os.RemoveAll(dir)
				s := d.exampleConfig(t)
				if err := os.MkdirAll(filepath.Join(dir, "data"), 0o755); err != nil {
					t.Fatal(err)
				}
				spoil(s)
				bundle := writeBundle(t, dir, s)
				before := listing(t, bundle)
				out, err := exec.Command(d.runclamp, "--root", root, "create", "--bundle", bundle, "x").CombinedOutput()
				if err == nil || !strings.Contains(string(out), "runclamp: refused: ") || !strings.Contains(string(out), want) {
					t.Errorf("%v: %s", err, out)
				}
				if after := listing(t, bundle); after != before {
					t.Errorf("the bundle was\n%s\nand is\n%s", before, after)
				}
			})
		}
	})
}

func withoutNamespace(s *specs.Spec, t specs.LinuxNamespaceType) []specs.LinuxNamespace {
	var others []specs.LinuxNamespace
	for _, n := range s.Linux.Namespaces {
		if n.Type != t {
			others = append(others, n)
		}
	}
	return others
}
