package kubernetes

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	nodeAddress = "192.0.2.1" // RFC 5737: nobody's
	conf        = "/etc/runclamp"
	auditLog    = "/var/log/runclamp/audit.jsonl"
	kubeconfig  = "/etc/kubernetes/admin.conf"
	// bundles and runcRoot are where containerd and runc have what they know of the containers that are there.
	bundles  = "/run/containerd/io.containerd.runtime.v2.task/k8s.io"
	runcRoot = "/run/containerd/runc/k8s.io"

	image = "docker.io/library/bb:local"
	pause = "docker.io/library/pause:local"
)

// node is what runs, and where.
type node struct {
	dir, tools string
	logs       []string
}

// withNode starts the node, runs the tests and looks whether anything is left of their pods.
func withNode(m *testing.M, dir string) (status int, err error) {
	n := &node{dir: dir, tools: os.Getenv("RUNCLAMP_KUBERNETES_TOOLS")}
	if n.tools == "" {
		return 1, errors.New("RUNCLAMP_KUBERNETES_TOOLS is not set: make kubernetes")
	}
	defer func() {
		if status != 0 || err != nil {
			n.showLogs()
		}
	}()
	begin := time.Now()
	if err := n.start(); err != nil {
		return 1, err
	}
	versions, err := n.versions()
	if err != nil {
		return 1, err
	}
	fmt.Printf("kubernetes: a node in %.0f s: %s\n", time.Since(begin).Seconds(), versions)
	status = m.Run()
	return status, nothingIsLeft()
}

func (n *node) start() error {
	// Programs of the tools come first; the network plugins need iptables in sbin.
	if err := os.Setenv("PATH", n.tools+":"+os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin"); err != nil {
		return err
	}
	if err := os.Setenv("KUBECONFIG", kubeconfig); err != nil {
		return err
	}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"runclamp", n.install},
		{"containerd", n.containerd},
		{"the images", n.importImages},
		{"the control plane", n.controlPlane},
		{"kubelet", n.kubelet},
		{"the manifests", func() error {
			_, err := command("", "kubectl", "apply", "-f", "../../configs/kubernetes/runtimeclass.yaml", "-f", "../../configs/kubernetes/require.yaml")
			return err
		}},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

// install puts runclamp where "make install" does, with links for two more policies.
func (n *node) install() error {
	runc := filepath.Join(n.dir, "runc")
	policy, err := os.ReadFile("../../configs/kubernetes/policy.yaml")
	// Whatever else the host has there, which is below this node's own.
	if err := errors.Join(err, os.RemoveAll(conf), os.RemoveAll("/etc/containerd"), os.RemoveAll("/etc/cni/net.d")); err != nil {
		return err
	}
	_, err1 := command("", "make", "-C", "../..", "--no-print-directory", "install", "CONFDIR="+conf, "PREFIX=/usr/local", "DESTDIR=")
	_, err2 := command("", "install", "-m", "0755", filepath.Join(n.tools, "runc"), runc)
	return errors.Join(err1, err2,
		os.Symlink(runc, filepath.Join(conf, "delegate")),
		os.Symlink("runclamp", "/usr/local/sbin/runclamp-strict"),
		os.Symlink("runclamp", "/usr/local/sbin/runclamp-loose"),
		writePolicy("policy", string(policy)), writePolicy("strict", strictPolicy), writePolicy("loose", loosePolicy))
}

// writePolicy puts a policy in place in one step, as whoever changes it under a running node should.
func writePolicy(name, text string) error {
	path := filepath.Join(conf, name+".yaml")
	return errors.Join(os.WriteFile(path+".new", []byte(text), 0o644), os.Rename(path+".new", path))
}

// containerdConfig is that of a node before runclamp comes. What the two handlers let through of a pod's annotations is what
// makes them worth forging. Without CAP_SYS_RESOURCE, which not every machine that tests has, no OOM score can be lowered:
// hence restrict_oom_score_adj.
const containerdConfig = `version = 3
imports = ['/etc/containerd/conf.d/*.toml']
root = 'DIR/containerd'
[plugins.'io.containerd.internal.v1.opt']
  path = 'DIR/opt'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = '` + pause + `'
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ['/usr/lib/cni']
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = 'io.containerd.runc.v2'
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      BinaryName = 'DIR/runc'
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runclamp]
    pod_annotations = ['*']
    container_annotations = ['*']
`

const network = `{"cniVersion": "0.4.0", "name": "node", "plugins": [
	{"type": "ptp", "ipam": {"type": "host-local", "subnet": "10.88.0.0/16", "dataDir": "/run/cni-ipam"}}]}`

// containerd reads the very section that users are given, from a file of its own; but this node has no systemd.
func (n *node) containerd() error {
	given, err := os.ReadFile("../../configs/containerd/v3.toml")
	if err != nil {
		return err
	}
	section := strings.Replace(string(given), "SystemdCgroup = true", "SystemdCgroup = false", 1)
	if section == string(given) {
		return errors.New("v3.toml says nothing about SystemdCgroup")
	}
	dropIn := "version = 3\n" + section
	for _, name := range []string{"runclamp-strict", "runclamp-loose"} {
		dropIn += strings.NewReplacer("runtimes.runclamp", "runtimes."+name, "sbin/runclamp", "sbin/"+name).Replace(section)
	}
	err = errors.Join(
		writeFile("/etc/containerd/config.toml", strings.ReplaceAll(containerdConfig, "DIR", n.dir)),
		writeFile("/etc/containerd/conf.d/runclamp.toml", dropIn),
		writeFile("/etc/cni/net.d/10-node.conflist", network))
	if err != nil {
		return err
	}
	return n.daemon(func() error { _, err := ctr("version"); return err }, "containerd")
}

// controlPlane: everything is allowed to the one administrator that there is, and to the components, which are him.
func (n *node) controlPlane() error {
	pki := filepath.Join(n.dir, "pki")
	if err := makePKI(pki); err != nil {
		return err
	}
	in := func(name string) string { return filepath.Join(pki, name) }
	server := "https://127.0.0.1:6443"
	config := fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: node,
clusters: [{name: node, cluster: {server: "%s", certificate-authority: %s}}],
users: [{name: admin, user: {client-certificate: %s, client-key: %s}}],
contexts: [{name: node, context: {cluster: node, user: admin}}]}
`, server, in("ca.crt"), in("admin.crt"), in("admin.key"))
	if err := writeFile(kubeconfig, config); err != nil {
		return err
	}
	healthy := func() error {
		r, err := http.Get("http://127.0.0.1:2379/health")
		if err != nil {
			return err
		}
		return r.Body.Close()
	}
	ready := func() error { _, err := command("", "kubectl", "get", "--raw", "/readyz"); return err }
	started := func() error { return nil }
	for _, d := range []struct {
		ready func() error
		argv  []string
	}{
		{healthy, []string{"etcd", "--data-dir", filepath.Join(n.dir, "etcd"), "--listen-client-urls", "http://127.0.0.1:2379",
			"--advertise-client-urls", "http://127.0.0.1:2379", "--listen-peer-urls", "http://127.0.0.1:2380"}},
		{ready, []string{"kube-apiserver", "--etcd-servers", "http://127.0.0.1:2379", "--secure-port", "6443",
			"--allow-privileged", "--bind-address", "127.0.0.1", "--advertise-address", nodeAddress, "--service-cluster-ip-range", "10.77.0.0/24",
			"--tls-cert-file", in("apiserver.crt"), "--tls-private-key-file", in("apiserver.key"), "--client-ca-file", in("ca.crt"),
			"--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", in("sa.key"),
			"--service-account-signing-key-file", in("sa.key"), "--authorization-mode", "RBAC",
			"--kubelet-client-certificate", in("admin.crt"), "--kubelet-client-key", in("admin.key"),
			"--kubelet-preferred-address-types", "InternalIP"}},
		{started, []string{"kube-controller-manager", "--kubeconfig", kubeconfig, "--leader-elect=false", "--secure-port", "0",
			"--service-account-private-key-file", in("sa.key"), "--root-ca-file", in("ca.crt")}},
		{started, []string{"kube-scheduler", "--kubeconfig", kubeconfig, "--leader-elect=false", "--secure-port", "0"}},
	} {
		if err := n.daemon(d.ready, d.argv...); err != nil {
			return err
		}
	}
	return nil
}

// kubelet runs on a machine whose control groups are the host's: its pods are in one that has the folder's name. It may not
// take the host's disk for full.
func (n *node) kubelet() error {
	config := fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /%s
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
localStorageCapacityIsolation: false
healthzPort: 0
oomScoreAdj: 0
resolvConf: ""
makeIPTablesUtilChains: false
clusterDNS: [10.77.0.10]
authentication: {anonymous: {enabled: false}, x509: {clientCAFile: %s}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
evictionHard: {memory.available: 10Mi}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
`, filepath.Base(n.dir), filepath.Join(n.dir, "pki", "ca.crt"))
	file := filepath.Join(n.dir, "kubelet.yaml")
	if err := errors.Join(makeCgroups(filepath.Base(n.dir)), writeFile(file, config)); err != nil {
		return err
	}
	ready := func() error {
		out, err := command("", "kubectl", "wait", "--for=condition=Ready", "node/node", "--timeout=30s")
		if err == nil {
			// Pods are admitted once their namespace has it.
			_, err = command("", "kubectl", "get", "serviceaccount", "default")
		}
		if err != nil {
			err = fmt.Errorf("%w %s", err, out)
		}
		return err
	}
	return n.daemon(ready, "kubelet", "--config", file, "--kubeconfig", kubeconfig, "--hostname-override", "node", "--node-ip", nodeAddress,
		"--root-dir", filepath.Join(n.dir, "kubelet"))
}

// daemon starts a program that runs as long as the node, and waits until it is ready.
func (n *node) daemon(ready func() error, argv ...string) error {
	path := filepath.Join(n.dir, argv[0]+".log")
	log, err := os.Create(path)
	if err != nil {
		return err
	}
	defer log.Close()
	n.logs = append(n.logs, path)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, n.dir
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	for deadline := time.Now().Add(90 * time.Second); ; {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case exit := <-exited:
			return fmt.Errorf("%s ended: %v", argv[0], exit)
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not answer: %w", argv[0], err)
		}
	}
}

func (n *node) showLogs() {
	for _, log := range n.logs {
		text, err := os.ReadFile(log)
		if err != nil {
			fmt.Println(err)
			continue
		}
		lines := strings.Split(string(text), "\n")
		fmt.Printf("--- the last lines of %s\n%s\n", filepath.Base(log), strings.Join(lines[max(0, len(lines)-25):], "\n"))
	}
}

// versions is what the result in the manual says.
func (n *node) versions() (string, error) {
	info, err1 := command("", "kubectl", "get", "node", "node", "-o", "jsonpath=Kubernetes {.status.nodeInfo.kubeletVersion}, {.status.nodeInfo.containerRuntimeVersion}")
	runc, err2 := command("", filepath.Join(n.dir, "runc"), "--version")
	etcd, err3 := command("", "etcd", "--version")
	var kernel syscall.Utsname
	err := errors.Join(err1, err2, err3, syscall.Uname(&kernel))
	first := func(s string) string { line, _, _ := strings.Cut(s, "\n"); return line }
	var release strings.Builder
	for _, c := range kernel.Release {
		if c == 0 {
			break
		}
		release.WriteByte(byte(c))
	}
	return fmt.Sprintf("%s, %s, %s, Linux %s", info, first(runc), first(etcd), &release), err
}

// importImages makes two images of busybox: one for the pods, one for their sandboxes. They have one layer, as "docker save"
// writes it.
func (n *node) importImages() error {
	layer, err := n.layer()
	if err != nil {
		return err
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	file := func(name string, content []byte) error {
		err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))})
		if err == nil {
			_, err = w.Write(content)
		}
		return err
	}
	type manifest struct {
		Config           string
		RepoTags, Layers []string
	}
	var manifests []manifest
	err = file("layer.tar", layer)
	for _, i := range []struct {
		tag, config string
		run         map[string]any
	}{
		{image, "bb.json", map[string]any{"Cmd": []string{"sh"}}},
		{pause, "pause.json", map[string]any{"Entrypoint": []string{"/bin/sleep", "1000000"}, "User": "65535:65535"}},
	} {
		i.run["Env"] = []string{"PATH=/bin"}
		config, jsonErr := json.Marshal(map[string]any{
			"architecture": runtime.GOARCH, "os": "linux", "config": i.run,
			"rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}},
		})
		err = errors.Join(err, jsonErr, file(i.config, config))
		manifests = append(manifests, manifest{i.config, []string{i.tag}, []string{"layer.tar"}})
	}
	list, jsonErr := json.Marshal(manifests)
	if err := errors.Join(err, jsonErr, file("manifest.json", list), w.Close()); err != nil {
		return err
	}
	_, err = command(archive.String(), "ctr", "-n", "k8s.io", "images", "import", "-")
	return err
}

// layer has busybox under each of its names, and what programs expect of a root filesystem. /var/run leads to /run, as in most
// images.
func (n *node) layer() ([]byte, error) {
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return nil, err
	}
	names, err := command("", "/bin/busybox", "--list")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	var errs []error
	entry := func(h tar.Header, content []byte) {
		h.Size = int64(len(content))
		errs = append(errs, w.WriteHeader(&h))
		_, err := w.Write(content)
		errs = append(errs, err)
	}
	for _, dir := range []tar.Header{
		{Name: "./", Mode: 0o755}, {Name: "bin/", Mode: 0o755}, {Name: "etc/", Mode: 0o755}, {Name: "root/", Mode: 0o700},
		{Name: "run/", Mode: 0o755}, {Name: "tmp/", Mode: 0o1777}, {Name: "var/", Mode: 0o755}, {Name: "var/tmp/", Mode: 0o1777},
	} {
		dir.Typeflag = tar.TypeDir
		entry(dir, nil)
	}
	entry(tar.Header{Typeflag: tar.TypeSymlink, Name: "var/run", Linkname: "../run", Mode: 0o777}, nil)
	entry(tar.Header{Name: "etc/passwd", Mode: 0o644}, []byte("root:x:0:0:root:/root:/bin/sh\napp:x:10001:10001::/tmp:/bin/sh\n"))
	entry(tar.Header{Name: "etc/group", Mode: 0o644}, []byte("root:x:0:root\napp:x:10001:\n"))
	entry(tar.Header{Name: "bin/busybox", Mode: 0o755}, busybox)
	for name := range strings.FieldsSeq(names) {
		if name != "busybox" {
			entry(tar.Header{Typeflag: tar.TypeLink, Name: "bin/" + name, Linkname: "bin/busybox", Mode: 0o755}, nil)
		}
	}
	return b.Bytes(), errors.Join(append(errs, w.Close())...)
}

func writeFile(path, text string) error {
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644))
}

func ctr(args ...string) (string, error) {
	return command("", append([]string{"ctr", "-n", "k8s.io"}, args...)...)
}

// command runs a program to its end, for at most two minutes, and is what it prints. With an error comes what it says.
func command(stdin string, argv ...string) (string, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		return "", err
	}
	timer := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Wait(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w: %s%s", strings.Join(argv, " "), err, &stdout, &stderr)
	}
	return stdout.String(), nil
}
