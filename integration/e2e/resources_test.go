package e2e

import (
	"fmt"
	"strings"
	"testing"

	api "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// maxPids prints the limit of processes, in both versions of cgroups.
const maxPids = "cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max"

const maxMemory = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max"

// coreLimits prints the soft and the hard limit of core dumps.
const coreLimits = "ulimit -S -c; ulimit -H -c"

func TestNoCoreDumps(t *testing.T) {
	forEachEngine(t, func(t *testing.T, e engine) {
		if out := mustOutput(t, e, container{args: []string{"/bin/sh", "-c", coreLimits}}); out != "0\n0\n" {
			t.Errorf("the limits of core dumps are %q", out)
		}
	})
}

func TestLimitOfProcesses(t *testing.T) {
	forEachDocker(t, func(t *testing.T, d *docker) {
		for _, tt := range []struct {
			want  string
			flags []string
		}{
			{"512", nil}, {"512", []string{"--pids-limit", "-1"}}, {"512", []string{"--pids-limit", "600"}}, {"100", []string{"--pids-limit", "100"}}, {"512", []string{"--pids-limit", "0"}},
		} {
			if out := d.run(t, append(tt.flags, "bb", "/bin/sh", "-c", maxPids)...); strings.TrimSpace(out) != tt.want {
				t.Errorf("%q: the limit is %s, want %s", tt.flags, out, tt.want)
			}
		}
		if out := d.run(t, "--ulimit", "core=0", "--ulimit", "nofile=512", "bb", "/bin/sh", "-c", coreLimits+"; ulimit -n"); out != "0\n0\n512\n" {
			t.Errorf("the limits are %q", out)
		}
	})
	forEachCRI(t, func(t *testing.T, c *cri) {
		if out := newPod(t, c, nil).mustRun(t, nil, "/bin/sh", "-c", maxPids); out != "512\n" {
			t.Errorf("the limit is %q", out)
		}
	})
}

// TestUpdate: "docker update" changes limits within those of the policy, and what exec starts has them as well.
func TestUpdate(t *testing.T) {
	forEachDocker(t, func(t *testing.T, d *docker) {
		id := d.start(t, "runclamp", append([]string{"bb"}, asleep...)...)
		show := func(script string) string {
			t.Helper()
			return strings.TrimSpace(d.must(t, "exec", id, "/bin/sh", "-c", script))
		}
		if got := show(coreLimits); got != "0\n0" {
			t.Errorf("what exec starts has the limits %q", got)
		}
		for _, tt := range []struct{ flags, script, want string }{
			{"--pids-limit 50", maxPids, "50"},
			{"--pids-limit 200", maxPids, "200"},
			{"--pids-limit -1", maxPids, "512"},
			{"--pids-limit 100000", maxPids, "512"},
			{"--memory 64m --memory-swap 64m", maxMemory, fmt.Sprint(64 << 20)},
			{"--cpus 0.5", maxPids, "512"},
		} {
			if _, err := d.try(append(append([]string{"update"}, strings.Fields(tt.flags)...), id)...); err != nil {
				t.Fatalf("%s: %v", tt.flags, err)
			}
			if got := show(tt.script); got != tt.want {
				t.Errorf("after %q the limit is %s, want %s", tt.flags, got, tt.want)
			}
		}
		// What is no limit is refused, at the runtime as well, and the user reads why.
		refused(t, d.runclamp, "resources:intelRdt: another share of caches or memory bandwidth", d.file("update.log"),
			"--root", d.root(t, id), "update", "--l3-cache-schema", "L3:0=f", id)
		if got := show(maxPids); got != "512" {
			t.Errorf("after a refusal the limit is %s", got)
		}
	})
}

// TestUpdateByTheKubelet: resizing a pod does not lift what the policy limits.
func TestUpdateByTheKubelet(t *testing.T) {
	forEachCRI(t, func(t *testing.T, c *cri) {
		id := newPod(t, c, nil).mustCreate(t, nil, asleep...)
		ctx, cancel := patiently()
		defer cancel()
		_, err := c.client.UpdateContainerResources(ctx, &api.UpdateContainerResourcesRequest{ContainerId: id,
			Linux: &api.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: -1, CpuShares: 300, MemoryLimitInBytes: 48 << 20}})
		if err != nil {
			t.Fatal(err)
		}
		out, err := c.execSync(id, "", "/bin/sh", "-c", maxPids+"; "+maxMemory)
		if want := fmt.Sprintf("512\n%d\n", 48<<20); err != nil || out != want {
			t.Errorf("the limits are %q, %v; want %q", out, err, want)
		}
	})
}
