package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	api "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Kubernetes' own ways, as the kubelet asks for them over the CRI.

// newPod starts a sandbox under runclamp that is gone after the test.
func newPod(t *testing.T, c *cri, change func(*api.PodSandboxConfig)) *pod {
	t.Helper()
	return newPodUnder(t, c, handler, change)
}

func newPodUnder(t *testing.T, c *cri, handler string, change func(*api.PodSandboxConfig)) *pod {
	t.Helper()
	p, err := c.pod(handler, change)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.remove(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// mustCreate starts a container in the pod.
func (p *pod) mustCreate(t *testing.T, change func(*api.ContainerConfig), command ...string) (id string) {
	t.Helper()
	id, err := p.create(change, command...)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// mustRun runs a container of the pod to its end.
func (p *pod) mustRun(t *testing.T, change func(*api.ContainerConfig), command ...string) string {
	t.Helper()
	out, err := p.cri.wait(p.mustCreate(t, change, command...))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// as is runAsUser, runAsGroup and, in supplementalGroups, what Kubernetes makes of fsGroup.
func as(uid int64, groups ...int64) func(*api.ContainerConfig) {
	return func(c *api.ContainerConfig) {
		c.Linux.SecurityContext.RunAsUser = &api.Int64Value{Value: uid}
		c.Linux.SecurityContext.RunAsGroup = &api.Int64Value{Value: uid}
		c.Linux.SecurityContext.SupplementalGroups = groups
	}
}

func mounting(mounts ...*api.Mount) func(*api.ContainerConfig) {
	return func(c *api.ContainerConfig) { c.Mounts = append(c.Mounts, mounts...) }
}

func all(changes ...func(*api.ContainerConfig)) func(*api.ContainerConfig) {
	return func(c *api.ContainerConfig) {
		for _, change := range changes {
			change(c)
		}
	}
}

// procStatus has the lines of a process's status, seen from the host.
func procStatus(t *testing.T, pid int) map[string]string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	status := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		status[key] = strings.Join(strings.Fields(value), " ")
	}
	return status
}

func (c *cri) pid(t *testing.T, id string) int {
	t.Helper()
	s, err := c.status(id)
	if err != nil {
		t.Fatal(err)
	}
	n, err := pid(s.Info)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (p *pod) pid(t *testing.T) int {
	t.Helper()
	ctx, cancel := patiently()
	defer cancel()
	s, err := p.cri.client.PodSandboxStatus(ctx, &api.PodSandboxStatusRequest{PodSandboxId: p.id, Verbose: true})
	if err != nil {
		t.Fatal(err)
	}
	n, err := pid(s.Info)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestSandbox: the process that holds a pod's namespaces runs, and is as confined as a container. The UID is its image's own.
func TestSandbox(t *testing.T) {
	forEachCRI(t, func(t *testing.T, c *cri) {
		p := newPod(t, c, nil)
		confined(t, seen{Status: procStatus(t, p.pid(t))}, "65535")
		ctx, cancel := patiently()
		defer cancel()
		s, err := c.client.PodSandboxStatus(ctx, &api.PodSandboxStatusRequest{PodSandboxId: p.id})
		if err != nil {
			t.Fatal(err)
		}
		if s.Status.State != api.PodSandboxState_SANDBOX_READY || !strings.HasPrefix(s.Status.Network.GetIp(), c.network) {
			t.Errorf("state %v, network %v", s.Status.State, s.Status.Network)
		}
		if s.Status.RuntimeHandler != handler {
			t.Errorf("it runs under %q", s.Status.RuntimeHandler)
		}
	})
}

// TestPodNamespaces: the containers of a pod are in the sandbox's namespaces, which they join by path, and not in the host's.
func TestPodNamespaces(t *testing.T) {
	forEachCRI(t, func(t *testing.T, c *cri) {
		p := newPod(t, c, nil)
		sandbox := p.pid(t)
		one, two := c.pid(t, p.mustCreate(t, nil, asleep...)), c.pid(t, p.mustCreate(t, nil, asleep...))
		for _, kind := range []string{"net", "ipc", "uts"} {
			want := namespace(t, sandbox, kind)
			if want == namespace(t, os.Getpid(), kind) {
				t.Errorf("%s: the sandbox is in the host's", kind)
			}
			if a, b := namespace(t, one, kind), namespace(t, two, kind); a != want || b != want {
				t.Errorf("%s: the sandbox is in %s, its containers in %s and %s", kind, want, a, b)
			}
		}
		for _, kind := range []string{"pid", "mnt"} {
			if a, b := namespace(t, one, kind), namespace(t, two, kind); a == b || a == namespace(t, os.Getpid(), kind) {
				t.Errorf("%s: %s and %s", kind, a, b)
			}
		}
	})
}

// TestHostNetwork: the host's network namespace is refused or it is what the pod gets, by no path of its own in the sandbox and
// by the sandbox's path in its containers. It is never silently replaced by another.
func TestHostNetwork(t *testing.T) {
	forEachCRI(t, func(t *testing.T, c *cri) {
		p, err := c.pod(handler, func(s *api.PodSandboxConfig) {
			s.Hostname = ""
			s.Linux.SecurityContext.NamespaceOptions.Network = api.NamespaceMode_NODE
		})
		if err != nil {
			if !strings.Contains(err.Error(), "runclamp: refused: hostNamespaces:network") {
				t.Error(err)
			}
			return
		}
		t.Cleanup(func() {
			if err := p.remove(); err != nil {
				t.Error(err)
			}
		})
		id, err := p.create(nil, asleep...)
		if err != nil {
			if !strings.Contains(err.Error(), "runclamp: refused: hostNamespaces:network") {
				t.Error(err)
			}
			return
		}
		host := namespace(t, os.Getpid(), "net")
		if sandbox, inside := namespace(t, p.pid(t), "net"), namespace(t, c.pid(t, id), "net"); sandbox != host || inside != host {
			t.Errorf("the host is in %s, the sandbox in %s, its container in %s", host, sandbox, inside)
		}
		out, err := c.execSync(id, "", "/bin/probe")
		if err != nil {
			t.Fatal(err)
		}
		confined(t, parseSeen(t, out), "10001")
	})
}

// namespace is the one that a process is in.
func namespace(t *testing.T, pid int, kind string) string {
	t.Helper()
	link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
	if err != nil {
		t.Fatal(err)
	}
	return link
}

// TestRunAsUser: a UID that the pod names is kept, whatever its height.
func TestRunAsUser(t *testing.T) {
	forEachCRI(t, func(t *testing.T, c *cri) {
		for _, uid := range []int64{1000, 1000650000} {
			t.Run(fmt.Sprint(uid), func(t *testing.T) {
				p := newPod(t, c, nil)
				confined(t, parseSeen(t, p.mustRun(t, as(uid), "/bin/probe")), fmt.Sprint(uid))
			})
		}
		t.Run("0", func(t *testing.T) {
			p := newPod(t, c, nil)
			confined(t, parseSeen(t, p.mustRun(t, as(0), "/bin/probe")), "10001")
		})
	})
}

// TestGroups: fsGroup and supplementalGroups are kept, group 0 is not.
func TestGroups(t *testing.T) {
	forEachCRI(t, func(t *testing.T, c *cri) {
		for name, user := range map[string]func(*api.ContainerConfig){
			"1000":            as(1000, 2000, 0, 3000),
			"the image's":     func(s *api.ContainerConfig) { s.Linux.SecurityContext.SupplementalGroups = []int64{2000, 0, 3000} },
			"1000, groups []": as(1000, 2000, 3000),
		} {
			t.Run(name, func(t *testing.T) {
				dir := groupFolder(t, c, 0o2770, 2000)
				p := newPod(t, c, nil)
				out := p.mustRun(t, all(user, mounting(&api.Mount{HostPath: dir, ContainerPath: "/data"})),
					"/bin/sh", "-c", "echo written >/data/file && exec /bin/probe")
				groups := strings.Fields(parseSeen(t, out).Status["Groups"])
				if !slices.Contains(groups, "2000") || !slices.Contains(groups, "3000") || slices.Contains(groups, "0") {
					t.Errorf("its groups are %q", groups)
				}
				if text, err := os.ReadFile(filepath.Join(dir, "file")); err != nil || string(text) != "written\n" {
					t.Errorf("%q, %v", text, err)
				}
			})
		}
	})
}

// groupFolder is a volume as the kubelet prepares it for an fsGroup.
func groupFolder(t *testing.T, c *cri, mode uint32, group int) string {
	t.Helper()
	dir := shared(t, c)
	// os.Chmod has its own bits for set-group-ID.
	if err := errors.Join(os.Chown(dir, 0, group), run("chmod", fmt.Sprintf("%o", mode), dir)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestServiceAccountToken: the kubelet gives it to runAsUser, mode 0600, when all containers of the pod have the same.
func TestServiceAccountToken(t *testing.T) {
	forEachCRI(t, func(t *testing.T, c *cri) {
		dir := shared(t, c)
		token := filepath.Join(dir, "token")
		if err := errors.Join(os.WriteFile(token, []byte("a token"), 0o600), os.Chown(token, 1000, 1000)); err != nil {
			t.Fatal(err)
		}
		p := newPod(t, c, nil)
		mount := &api.Mount{HostPath: dir, ContainerPath: "/var/run/secrets/kubernetes.io/serviceaccount", Readonly: true}
		out := p.mustRun(t, all(as(1000), mounting(mount)), "/bin/sh", "-c",
			"cat /var/run/secrets/kubernetes.io/serviceaccount/token && stat -c ' %u %a %i' /run/secrets/kubernetes.io/serviceaccount/token")
		if want := fmt.Sprintf("a token 1000 600 %d\n", inode(t, token)); out != want {
			t.Errorf("%q, want %q", out, want)
		}
	})
}

// TestEmptyDir: two containers of a pod share a volume, also if they run as different users.
func TestEmptyDir(t *testing.T) {
	forEachCRI(t, func(t *testing.T, c *cri) {
		for name, users := range map[string][2]func(*api.ContainerConfig){
			"no user":       {func(*api.ContainerConfig) {}, func(*api.ContainerConfig) {}},
			"two, fsGroup":  {as(1000, 2000), as(3000, 2000)},
			"one and image": {as(1000, 2000), func(*api.ContainerConfig) {}},
		} {
			t.Run(name, func(t *testing.T) {
				dir := groupFolder(t, c, 0o2777, 2000)
				volume := mounting(&api.Mount{HostPath: dir, ContainerPath: "/cache"})
				p := newPod(t, c, nil)
				writer := p.mustCreate(t, all(users[0], volume), "/bin/sh", "-c", "umask 002; echo shared >/cache/new && mv /cache/new /cache/file; while [ ! -e /cache/seen ]; do sleep 0.05; done; echo fine")
				out := p.mustRun(t, all(users[1], volume), "/bin/sh", "-c", "while [ ! -e /cache/file ]; do sleep 0.05; done; cat /cache/file; >/cache/seen; stat -c %g /cache/file")
				if out != "shared\n2000\n" {
					t.Errorf("the reader says %q", out)
				}
				if out, err := c.wait(writer); err != nil || out != "fine\n" {
					t.Errorf("the writer says %q, %v", out, err)
				}
			})
		}
	})
}

// TestOOMScore: what decides who dies first when memory runs out is the kubelet's. It is the same with runclamp as without.
func TestOOMScore(t *testing.T) {
	forEachCRI(t, func(t *testing.T, c *cri) {
		for name, score := range map[string]int64{"guaranteed": -997, "burstable": 800, "best effort": 1000} {
			t.Run(name, func(t *testing.T) {
				type scores struct{ container, sandbox, asked string }
				under := func(handler string) scores {
					p := newPodUnder(t, c, handler, nil)
					id := p.mustCreate(t, func(s *api.ContainerConfig) { s.Linux.Resources.OomScoreAdj = score }, asleep...)
					var config struct {
						Process struct{ OOMScoreAdj json.Number }
					}
					text, err := os.ReadFile(filepath.Join(c.bundle(id), "config.json"))
					if err := errors.Join(err, json.Unmarshal(text, &config)); err != nil {
						t.Fatal(err)
					}
					return scores{oomScore(t, c.pid(t, id)), oomScore(t, p.pid(t)), config.Process.OOMScoreAdj.String()}
				}
				if with, without := under(handler), under("runc"); with != without {
					t.Errorf("with runclamp %+v, without %+v", with, without)
				}
			})
		}
	})
}

func oomScore(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// TestInitContainers run one after the other, each to its end, and then the pod's own.
func TestInitContainers(t *testing.T) {
	forEachCRI(t, func(t *testing.T, c *cri) {
		volume := mounting(&api.Mount{HostPath: groupFolder(t, c, 0o2777, 2000), ContainerPath: "/steps"})
		p := newPod(t, c, nil)
		for _, step := range []string{"one", "two"} {
			if out := p.mustRun(t, volume, "/bin/sh", "-c", "echo "+step+" >>/steps/done; echo done"); out != "done\n" {
				t.Errorf("%q", out)
			}
		}
		failing := p.mustCreate(t, nil, "/bin/sh", "-c", "echo no >&2; exit 3")
		if _, err := c.wait(failing); exitStatus(err) != 3 || !strings.Contains(err.Error(), "no") {
			t.Errorf("an init container that fails: %v", err)
		}
		if out := p.mustRun(t, volume, "/bin/cat", "/steps/done"); out != "one\ntwo\n" {
			t.Errorf("%q", out)
		}
	})
}

// TestProbes: the kubelet's exec probes have the exit status of their command, its output, and an end.
func TestProbes(t *testing.T) {
	forEachCRI(t, func(t *testing.T, c *cri) {
		p := newPod(t, c, nil)
		id := p.mustCreate(t, nil, asleep...)
		probe := func(seconds int64, command ...string) (*api.ExecSyncResponse, error) {
			ctx, cancel := patiently()
			defer cancel()
			return c.client.ExecSync(ctx, &api.ExecSyncRequest{ContainerId: id, Cmd: command, Timeout: seconds})
		}
		for status := range int32(3) {
			r, err := probe(300, "/bin/sh", "-c", fmt.Sprintf("echo out; echo err >&2; exit %d", status))
			if err != nil || r.ExitCode != status || string(r.Stdout) != "out\n" || string(r.Stderr) != "err\n" {
				t.Errorf("%v, %v", r, err)
			}
		}
		if r, err := probe(1, "/bin/sleep", "1000"); err == nil {
			t.Errorf("a probe without an end ends with %v", r)
		}
		if r, err := probe(300, "/no/such/program"); err == nil || strings.Contains(err.Error(), "runclamp: refused") || !strings.Contains(err.Error(), "no such file") {
			t.Errorf("a probe that is not there: %v, %v", r, err)
		}
		if r, err := probe(300, "/bin/true"); err != nil || r.ExitCode != 0 {
			t.Errorf("after them: %v, %v", r, err)
		}
	})
}

// TestRestart: a container that ended is replaced by another one in the same sandbox, as restartPolicy does it.
func TestRestart(t *testing.T) {
	forEachCRI(t, func(t *testing.T, c *cri) {
		p := newPod(t, c, nil)
		first := p.mustCreate(t, nil, asleep...)
		if err := c.kill(first); err != nil {
			t.Fatal(err)
		}
		if s, err := c.status(first); err != nil || s.Status.State != api.ContainerState_CONTAINER_EXITED {
			t.Errorf("%v, %v", s, err)
		}
		ctx, cancel := patiently()
		defer cancel()
		if _, err := c.client.RemoveContainer(ctx, &api.RemoveContainerRequest{ContainerId: first}); err != nil {
			t.Error(err)
		}
		confined(t, parseSeen(t, p.mustRun(t, nil, "/bin/probe")), "10001")
	})
}

// TestResize: in-place resizing of a pod changes a container that runs.
func TestResize(t *testing.T) {
	forEachCRI(t, func(t *testing.T, c *cri) {
		p := newPod(t, c, nil)
		id := p.mustCreate(t, func(s *api.ContainerConfig) {
			s.Linux.Resources = &api.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: 50000, CpuShares: 512, MemoryLimitInBytes: 64 << 20}
		}, asleep...)
		ctx, cancel := patiently()
		defer cancel()
		_, err := c.client.UpdateContainerResources(ctx, &api.UpdateContainerResourcesRequest{ContainerId: id,
			Linux: &api.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: 30000, CpuShares: 300, MemoryLimitInBytes: 48 << 20}})
		if err != nil {
			t.Fatal(err)
		}
		out, err := c.execSync(id, "", "/bin/sh", "-c", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max")
		if err != nil || strings.TrimSpace(out) != fmt.Sprint(48<<20) {
			t.Errorf("the limit is %q, %v", out, err)
		}
	})
}

// TestRefusedContainerKeepsThePod: a container that is refused takes neither the pod nor its neighbours with it. The reason
// is that of StartContainer, which is what "kubectl describe pod" shows.
func TestRefusedContainerKeepsThePod(t *testing.T) {
	forEachCRI(t, func(t *testing.T, c *cri) {
		p := newPod(t, c, func(s *api.PodSandboxConfig) { s.Linux.SecurityContext.Privileged = true })
		neighbour := p.mustCreate(t, nil, asleep...)
		_, err := p.create(func(s *api.ContainerConfig) { s.Linux.SecurityContext.Privileged = true }, asleep...)
		if err == nil || !strings.HasPrefix(err.Error(), "StartContainer: ") || !strings.Contains(err.Error(), "runclamp: refused: privileged: ") {
			t.Errorf("kubectl describe shows %v", err)
		}
		if running, err := c.running(neighbour); !running {
			t.Errorf("the neighbour does not run: %v", err)
		}
		confined(t, parseSeen(t, p.mustRun(t, nil, "/bin/probe")), "10001")
	})
}

// TestAttach: what "kubectl attach" sees is what the container writes from then on, and it hears what is typed; and so it is
// for the next who attaches. It repeats its answer, because the first may come before the output is attached.
func TestAttach(t *testing.T) {
	forEachCRI(t, func(t *testing.T, c *cri) {
		p := newPod(t, c, nil)
		id := p.mustCreate(t, func(s *api.ContainerConfig) { s.Stdin = true }, "/bin/sh", "-c",
			`while :; do cat /tmp/answer 2>/dev/null; sleep 0.1; done & while read line; do echo got "$line" >/tmp/answer; done; wait`)
		for _, word := range []string{"one", "two"} {
			if err := attachUntil(c, id, word+"\n", "got "+word+"\n"); err != nil {
				t.Error(err)
			}
		}
	})
}

// attachUntil types something and detaches when it has been answered.
func attachUntil(c *cri, id, typed, want string) error {
	ctx, cancel := patiently()
	defer cancel()
	r, err := c.client.Attach(ctx, &api.AttachRequest{ContainerId: id, Stdin: true, Stdout: true, Stderr: true})
	if err != nil {
		return err
	}
	answered := &until{want: want, then: cancel}
	if err := converse(ctx, r.Url, typed, answered); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	if got := answered.text.String(); !strings.Contains(got, want) {
		return fmt.Errorf("%q was answered with %q", typed, got)
	}
	return nil
}
