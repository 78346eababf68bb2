package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	api "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// refusedFor: the user reads the finding and what it means.
func refusedFor(t *testing.T, err error, wants ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("it ran")
	}
	for _, want := range append(wants, "runclamp: refused: ") {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in what the user reads: %v", want, err)
		}
	}
}

// mountedAt are the options of what is mounted at a path in the container.
func mountedAt(t *testing.T, s seen, point string) []string {
	t.Helper()
	for _, m := range s.Mounts {
		if m.Point == point {
			return strings.Split(m.Options, ",")
		}
	}
	t.Fatalf("nothing is mounted at %s", point)
	return nil
}

// TestHostIsNotMounted: nothing of what is bound here is touched, because nothing of it runs.
func TestHostIsNotMounted(t *testing.T) {
	forEachEngine(t, func(t *testing.T, e engine) {
		dir := shared(t, e)
		listener, err := net.Listen("unix", dir+"/docker.sock")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		if err := os.Symlink("/etc", dir+"/link"); err != nil {
			t.Fatal(err)
		}
		for source, want := range map[string]string{
			"/etc":               "binds the host's accounts, secrets and configuration",
			"/var/lib":           "binds a folder that has /var/lib/",
			dir + "/link":        "leads to /etc, and binds the host's accounts",
			dir + "/docker.sock": "binds the Docker socket, which is root on this host",
			dir:                  "binds a folder that has " + dir + "/docker.sock in it: the Docker socket",
		} {
			t.Run(strings.TrimPrefix(source, dir), func(t *testing.T) {
				_, err := e.output(container{args: []string{"/bin/true"}, binds: []string{source + ":/there:ro"}})
				if _, ok := e.(*cri); ok && source == dir+"/link" {
					// containerd's CRI follows links itself.
					source, want = "/etc", "binds the host's accounts"
				}
				refusedFor(t, err, "hostMounts:"+source+": ", want, "].source", "hostPath")
			})
		}
	})
}

// TestDataIsMounted: a folder with data works, with nosuid and nodev.
func TestDataIsMounted(t *testing.T) {
	forEachEngine(t, func(t *testing.T, e engine) {
		s := parseSeen(t, mustOutput(t, e, container{args: []string{"/bin/probe"}, binds: []string{shared(t, e) + ":/there"}}))
		options := mountedAt(t, s, "/there")
		for _, want := range []string{"rw", "nosuid", "nodev"} {
			if !slices.Contains(options, want) {
				t.Errorf("/there is mounted %q", options)
			}
		}
		if slices.Contains(options, "noexec") {
			t.Errorf("/there is mounted %q: programs may be on a volume", options)
		}
	})
}

func TestDockerVolumes(t *testing.T) {
	forEachDocker(t, func(t *testing.T, d *docker) {
		volume := func(t *testing.T, name string, flags ...string) string {
			t.Helper()
			name += "-" + filepath.Base(d.dir)
			d.must(t, append(append([]string{"volume", "create"}, flags...), name)...)
			t.Cleanup(func() { d.must(t, "volume", "rm", name) })
			return name
		}
		run := func(flags ...string) error {
			_, err := d.try(append(append([]string{"run", "--rm", "--runtime", "runclamp", "--network", "none"}, flags...), "bb", "true")...)
			return err
		}
		t.Run("named", func(t *testing.T) {
			name := volume(t, "named")
			d.run(t, "-v", name+":/there", "bb", "sh", "-c", "ls /there")
		})
		t.Run("bound from /etc", func(t *testing.T) {
			name := volume(t, "etc", "-o", "type=none", "-o", "o=bind", "-o", "device=/etc")
			refusedFor(t, run("-v", name+":/there:ro"), "hostMounts:"+d.file("data/volumes", name, "_data")+": binds the host's accounts")
		})
		t.Run("bound from data", func(t *testing.T) {
			name := volume(t, "data", "-o", "type=none", "-o", "o=bind", "-o", "device="+shared(t, d))
			d.run(t, "-v", name+":/there", "bb", "touch", "/there/file")
		})
		t.Run("the kernel's", func(t *testing.T) {
			name := volume(t, "kernel", "-o", "type=proc", "-o", "device=proc")
			refusedFor(t, run("-v", name+":/there:ro"), "a filesystem of the host's kernel (proc)")
		})
		t.Run("another container's files", func(t *testing.T) {
			id := d.start(t, "runclamp", "bb", "sleep", "1000")
			refusedFor(t, run("-v", d.file("data/containers", id)+":/there:ro"), "own data")
			d.must(t, "run", "--rm", "--runtime", "runclamp", "--network", "container:"+id, "bb", "cat", "/etc/hosts")
		})
		t.Run("shared", func(t *testing.T) {
			dir := shared(t, d)
			if err := errors.Join(unix.Mount(dir, dir, "", unix.MS_BIND, ""), unix.Mount("", dir, "", unix.MS_SHARED, "")); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
					t.Error(err)
				}
			})
			for _, propagation := range []string{"rshared", "rslave"} {
				line := d.run(t, "-v", dir+":/there:"+propagation, "bb", "grep", " /there ", "/proc/self/mountinfo")
				if strings.Contains(line, "shared:") || strings.Contains(line, "master:") || !strings.Contains(line, "nosuid") {
					t.Errorf("%s: %s", propagation, line)
				}
			}
		})
		t.Run("over /proc", func(t *testing.T) {
			refusedFor(t, run("--tmpfs", "/sys/firmware"), "hostMounts:destination: ")
		})
		t.Run("init and the host's time", func(t *testing.T) {
			d.run(t, "--init", "-v", "/etc/localtime:/etc/localtime:ro", "bb", "true")
		})
	})
}

// TestDevice: the bait is a device of no use.
func TestDevice(t *testing.T) {
	forEachDocker(t, func(t *testing.T, d *docker) {
		run := func(flags ...string) error {
			_, err := d.try(append(append([]string{"run", "--rm", "--runtime", "runclamp", "--network", "none"}, flags...), "bb", "true")...)
			return err
		}
		// 240 to 254 are for local use (Documentation/admin-guide/devices.txt): nothing is behind it.
		bait := d.file("bait")
		if err := unix.Mknod(bait, unix.S_IFCHR|0o600, int(unix.Mkdev(240, 77))); err != nil {
			t.Fatal(err)
		}
		refusedFor(t, run("--device", bait+":/dev/bait"), "devices:/dev/bait: the host's device c 240:77", `drop "--device"`)
		refusedFor(t, run("--device-cgroup-rule", "c 240:* rw"), "devices:240:*: ")
		if err := run("--device", "/dev/null:/dev/nothing"); err != nil {
			t.Error(err)
		}
	})
}

// TestHostPath: the kubelet's own folder of the pod is the pod's, another pod's is not, and nothing of the host is.
func TestHostPath(t *testing.T) {
	forEachCRI(t, func(t *testing.T, c *cri) {
		p := newPod(t, c, nil)
		volume := func(uid string) *api.Mount {
			folder := c.file("kubelet/pods", uid, "volumes/kubernetes.io~empty-dir/x")
			if err := os.MkdirAll(folder, 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(folder, 0o777); err != nil {
				t.Fatal(err)
			}
			return &api.Mount{HostPath: folder, ContainerPath: "/there"}
		}
		own := volume(p.config.Metadata.Uid)
		s := parseSeen(t, p.mustRun(t, mounting(own), "/bin/probe"))
		if options := mountedAt(t, s, "/there"); !slices.Contains(options, "rw") {
			t.Errorf("/there is mounted %q", options)
		}
		other := volume("0c1f2b1e-0000-4000-8000-00000000ffff")
		_, err := p.create(mounting(own, &api.Mount{HostPath: other.HostPath, ContainerPath: "/other"}), "/bin/true")
		refusedFor(t, err, fmt.Sprintf("hostMounts:%s: binds what is in %s: the engine's own data", other.HostPath, c.file("kubelet")))
		_, err = p.create(mounting(&api.Mount{HostPath: "/etc", ContainerPath: "/there", Readonly: true}), "/bin/true")
		refusedFor(t, err, "hostMounts:/etc: binds the host's accounts, secrets and configuration", "Kubernetes: hostPath")
	})
}
