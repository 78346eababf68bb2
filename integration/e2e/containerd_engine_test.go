package e2e

import (
	"crypto/sha256"
	"errors"
	"fmt"
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
	// config is the template of the configuration file. D stands for the folder, HANDLERS for the runtimes.
	config string
	// plugin is the CRI's name in that file.
	plugin string
	// network is the start of its addresses, which no other containerd of the tests has.
	network string
	daemon  *daemon

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
HANDLERS
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
HANDLERS
`

// handlers are the sections of the runtimes. All annotations are passed on, which is as bad as it gets: by default none is.
func (c *containerd) handlers() string {
	var b strings.Builder
	for name, path := range c.runtimes() {
		section := fmt.Sprintf("plugins.'%s'.containerd.runtimes.%s", c.plugin, name)
		fmt.Fprintf(&b, `  [%s]
    runtime_type = 'io.containerd.runc.v2'
    pod_annotations = ['*']
    container_annotations = ['*']
    [%s.options]
      BinaryName = '%s'
      Root = 'D/state/runc'
`, section, section, path)
	}
	return b.String()
}

// cniConfig is one network for each place: two of the same name hand out each other's addresses.
const cniConfig = `{"cniVersion": "0.4.0", "name": "NAME", "plugins": [
	{"type": "ptp", "ipam": {"type": "host-local", "subnet": "SUBNET", "dataDir": "D/ipam"}}]}`

// subnet is one of the 4096 of a network that have 14 addresses. Which one comes from the folder's random name, so that runs
// of the tests at the same time do not have routes to the same address. Two containerds of one run never do.
func (c *containerd) subnet() string {
	sum := sha256.Sum256([]byte(c.dir))
	return fmt.Sprintf("%s%d.%d/28", c.network, sum[0], sum[1]&0xf0)
}

func (c *containerd) needs() []string {
	shim := filepath.Join(filepath.Dir(c.program), "containerd-shim-runc-v2")
	return []string{c.program, shim, c.delegate, ctrProgram, "/usr/lib/cni/ptp", "/usr/lib/cni/host-local"}
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
	fill := strings.NewReplacer("'D/", "'"+c.dir+"/", `"D/`, `"`+c.dir+"/", "NAME", filepath.Base(c.dir), "SUBNET", c.subnet())
	config := strings.Replace(c.config, "HANDLERS", c.handlers(), 1)
	err = errors.Join(
		os.Mkdir(c.file("cni"), 0o755),
		os.WriteFile(c.file("cni", "10-e2e.conflist"), []byte(fill.Replace(cniConfig)), 0o644),
		os.WriteFile(c.file("config.toml"), []byte(fill.Replace(config)), 0o644))
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
