package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
)

// containerd is a private containerd. It is two engines: the CRI, which is what Kubernetes uses, and ctr.
type containerd struct {
	place
	program string
	// path has the shim.
	path string
	// config is the template of the configuration file. D and NET stand for the folder and the network.
	config string
	daemon *daemon

	begin sync.Once
	err   error
	// users are the engines that it is up for.
	users atomic.Int32
}

const ctrProgram = "/usr/bin/ctr"

// common to both versions of the configuration file: nothing is shared with a containerd of the host.
const configCommon = `
root = 'D/root'
state = 'D/state'
[grpc]
  address = 'D/containerd.sock'
[plugins.'io.containerd.internal.v1.opt']
  path = 'D/opt'
`

// An OOM score below the daemon's own needs CAP_SYS_RESOURCE, which not every machine that tests has: hence
// restrict_oom_score_adj. And naming one runtime takes the default one away, without which the CRI does not load.

const configVersion2 = "version = 2\n" + configCommon + `
[plugins.'io.containerd.grpc.v1.cri']
  sandbox_image = '` + pause + `'
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins.'io.containerd.grpc.v1.cri'.cni]
    bin_dir = '/usr/lib/cni'
    conf_dir = 'D/cni'
  [plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]
    runtime_type = 'io.containerd.runc.v2'
    [plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc.options]
      BinaryName = 'D/runc'
      Root = 'D/state/runc'
  [plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runclamp]
    runtime_type = 'io.containerd.runc.v2'
    [plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runclamp.options]
      BinaryName = 'D/runclamp'
      Root = 'D/state/runc'
  [plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.own]
    runtime_type = 'io.containerd.runc.v2'
    [plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.own.options]
      BinaryName = 'D/runclamp-own'
      Root = 'D/state/runc'
`

const configVersion3 = "version = 3\n" + configCommon + `
[plugins.'io.containerd.nri.v1.nri']
  disable = true
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = '` + pause + `'
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ['/usr/lib/cni']
    conf_dir = 'D/cni'
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = 'io.containerd.runc.v2'
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      BinaryName = 'D/runc'
      Root = 'D/state/runc'
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runclamp]
    runtime_type = 'io.containerd.runc.v2'
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runclamp.options]
      BinaryName = 'D/runclamp'
      Root = 'D/state/runc'
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.own]
    runtime_type = 'io.containerd.runc.v2'
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.own.options]
      BinaryName = 'D/runclamp-own'
      Root = 'D/state/runc'
`

// cniConfig is one network for each place: two of the same name hand out each other's addresses.
const cniConfig = `{"cniVersion": "0.4.0", "name": "NAME", "plugins": [
	{"type": "ptp", "ipam": {"type": "host-local", "subnet": "SUBNET", "dataDir": "D/ipam"}}]}`

func (c *containerd) needs() []string {
	return []string{c.program, c.delegate, ctrProgram, "/usr/lib/cni/ptp", "/usr/lib/cni/host-local"}
}

// up starts it for the first of its two engines.
func (c *containerd) up() error {
	c.users.Add(1)
	c.begin.Do(func() { c.err = c.boot() })
	return c.err
}

func (c *containerd) boot() error {
	archive, err := images.archive()
	if err := errors.Join(err, c.create(), c.install()); err != nil {
		return err
	}
	subnet := map[string]string{"containerd-1.6": "10.99.16.0/24", "containerd-2.4": "10.99.24.0/24"}[c.name]
	fill := strings.NewReplacer("'D/", "'"+c.dir+"/", `"D/`, `"`+c.dir+"/", "NAME", filepath.Base(c.dir), "SUBNET", subnet)
	err = errors.Join(
		os.Mkdir(c.file("cni"), 0o755),
		os.WriteFile(c.file("cni", "10-e2e.conflist"), []byte(fill.Replace(cniConfig)), 0o644),
		os.WriteFile(c.file("config.toml"), []byte(fill.Replace(c.config)), 0o644))
	if err != nil {
		return err
	}
	if c.daemon, err = c.startDaemon(c.path, c.program, "--config", c.file("config.toml")); err != nil {
		return err
	}
	if err := c.daemon.ready(func() error { _, err := c.ctr("default", "", "version"); return err }); err != nil {
		return err
	}
	_, err1 := c.ctr("k8s.io", "", "images", "import", archive)
	_, err2 := c.ctr("default", "", "images", "import", archive)
	return errors.Join(err1, err2)
}

func (c *containerd) socket() string { return c.file("containerd.sock") }

// ctr runs the ctr command. Debian's speaks to both.
func (c *containerd) ctr(namespace, stdin string, args ...string) (string, error) {
	return command(c.environ(), stdin, append([]string{ctrProgram, "-a", c.socket(), "-n", namespace}, args...)...)
}

// shut ends it for the last of its two engines. By then each has removed its containers.
func (c *containerd) shut() error {
	if c.users.Add(-1) > 0 {
		return nil
	}
	return errors.Join(c.daemon.stop(), c.wipe(true))
}
