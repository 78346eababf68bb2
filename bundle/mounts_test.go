package bundle

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"runclamp/enforce"
	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestParseMountTable(t *testing.T) {
	got, err := parseMountTable([]byte(`22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw shared:1 master:2 - ext4 /dev/vda rw
42 27 254:0 /etc /var/lib/docker/volumes/a\040b/_data rw shared:1 - ext4 /dev/vda rw
43 27 0:50 / /home/a/x - tmpfs rw - fuse  rw
`))
	want := mountTable{
		{22, "/proc", enforce.Place{Device: "0:21", Inside: "/", Type: "proc"}},
		{27, "/", enforce.Place{Device: "254:0", Inside: "/", Type: "ext4"}},
		{42, "/var/lib/docker/volumes/a b/_data", enforce.Place{Device: "254:0", Inside: "/etc", Type: "ext4"}},
		{43, "/home/a/x\u00a0-\u00a0tmpfs", enforce.Place{Device: "0:50", Inside: "/", Type: "fuse"}},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, text := range []string{"\n", "22 27 0:21 / /proc rw\n", "x 27 0:21 / /proc rw - proc proc rw\n"} {
		if _, err := parseMountTable([]byte(text)); err == nil {
			t.Errorf("%q is no error", text)
		}
	}
	for path, want := range map[string]string{"/var/lib/docker/volumes/a b/_data/x": "/etc/x", "/var/lib/docker/volumes/a b/_data": "/etc", "/var/lib/docker/volumes/a b/_data (deleted)": "", "/": ""} {
		p, err := want2(got[2].placeOf(path))
		if p != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", path, p, err)
		}
	}
	if p, err := got[1].placeOf("/a"); err != nil || p.Inside != "/a" {
		t.Errorf("%+v, %v", p, err)
	}
}

func want2(p enforce.Place, err error) (string, error) {
	if err != nil {
		return "", err
	}
	return p.Inside, nil
}

// TestMountFacts: sources are told apart by what they are and where they lead; nothing blocks.
func TestMountFacts(t *testing.T) {
	b := newBundle(t, plain)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	listener, err := net.Listen("unix", at("docker.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := errors.Join(os.Mkdir(at("folder"), 0o755), os.WriteFile(at("file"), nil, 0o644), unix.Mkfifo(at("fifo"), 0o600), os.Symlink("/etc", at("link"))); err != nil {
		t.Fatal(err)
	}
	c := readConfig(t, b)
	c.Spec.Mounts = []specs.Mount{{Source: "proc", Type: "proc"}, {Source: "/proc/sys", Options: []string{"bind"}}}
	// To the delegate, they are others (its working directory is the bundle, and then the root filesystem).
	others := []string{"/proc/self/cwd", "/proc/self/fd/3", "/dev/fd/3", at("cwd")}
	if err := os.Symlink("/proc/self/cwd", at("cwd")); err != nil {
		t.Fatal(err)
	}
	for _, other := range others {
		c.Spec.Mounts = append(c.Spec.Mounts, specs.Mount{Source: other, Type: "bind"})
	}
	for _, name := range []string{"folder", "file", "fifo", "link", "docker.sock", "gone"} {
		c.Spec.Mounts = append(c.Spec.Mounts, specs.Mount{Source: at(name), Type: "bind"})
	}
	var p policy.Controls
	p.HostMounts = policy.HostMounts{Action: policy.Fix, Allow: []policy.HostMount{{Source: at("link")}, {Source: at("gone")}}}
	m, err := b.MountFacts(c, policy.Workload{}, "id", p)
	if err != nil {
		t.Fatal(err)
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]enforce.Kind{"folder": enforce.Folder, "file": enforce.Regular, "fifo": enforce.FIFO, "docker.sock": enforce.Socket} {
		s := m.Sources[at(name)]
		if s.Kind != want || s.Path != filepath.Join(real, name) || s.Unknown != "" || s.Device == "" || !strings.HasSuffix(s.Inside, name) {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if s := m.Sources[at("link")]; s.Path != "/etc" || m.Places.Allowed[at("link")] != s.Spot {
		t.Errorf("the link: %+v, allowed %+v", s, m.Places.Allowed)
	}
	if s := m.Sources[at("gone")]; s.Unknown == "" || len(m.Sources) != 7+len(others) || len(m.Places.Allowed) != 1 {
		t.Errorf("%+v in %d, %+v", s, len(m.Sources), m.Places.Allowed)
	}
	if s := m.Sources["/proc/sys"]; s.Type != "proc" {
		t.Errorf("/proc/sys: %+v", s)
	}
	for _, other := range others {
		if s := m.Sources[other]; !strings.Contains(s.Unknown, "link of procfs") {
			t.Errorf("%s: %+v", other, s)
		}
	}
	if (m.Root.Unknown == "") == (m.Root.Path == "") {
		t.Errorf("root: %+v", m.Root)
	}
	if m.Bundle.Kind != enforce.Folder || !strings.HasSuffix(b.Path, filepath.Base(m.Bundle.Inside)) {
		t.Errorf("the bundle %s: %+v", b.Path, m.Bundle)
	}
	for _, want := range []string{"/etc", "/usr", "/proc", "/run", filepath.Join(real, "docker.sock")} {
		if !slices.ContainsFunc(m.Places.Host, func(h enforce.HostPlace) bool { return h.Path == want && h.Device != "" && h.Is != "" }) {
			t.Errorf("%s is not among the host's own", want)
		}
	}
	if why := m.Places.Judge(m.Sources["/proc/sys"].Place); why == "" {
		t.Error("/proc/sys may be bound")
	}
	if why := m.Places.Judge(m.Sources[at("folder")].Place); why != "" {
		t.Error(why)
	}
	p.HostMounts.Action = policy.Off
	if m, err := b.MountFacts(c, policy.Workload{}, "id", p); err != nil || m.Sources != nil {
		t.Errorf("looked for in vain: %+v, %v", m, err)
	}
}

// TestMountOf: both ways to learn a file's mount agree.
func TestMountOf(t *testing.T) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, a, _, err := whereIs(int(f.Fd()))
	b, err2 := mountOf(int(f.Fd()))
	if a != b || a == 0 || err != nil || err2 != nil {
		t.Errorf("%d, %d, %v, %v", a, b, err, err2)
	}
}

// TestEngineFolders: all that real engines bind into a container by themselves is known as theirs, but nothing of another
// container's.
func TestEngineFolders(t *testing.T) {
	seen := map[policy.Engine]bool{}
	for name, c := range identityCases(t) {
		if strings.Contains(name, "forged") || strings.Contains(name, "not-its-id") || strings.Contains(name, "other") || strings.Contains(name, "elsewhere") || strings.Contains(name, "binds") || strings.Contains(name, "own-hosts") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			c.writeRecords(t)
			b := &Bundle{Path: c.Bundle}
			w := c.identify()
			for i, m := range c.spec.Mounts {
				// Some cases have another container's configuration.
				c.spec.Mounts[i].Source = regexp.MustCompile("/docker/containers/[0-9a-f]{64}/").ReplaceAllString(m.Source, "/docker/containers/"+c.ID+"/")
			}
			own := b.engineFolders(c.spec, w, c.ID).own
			isOwn := func(path string) bool {
				return slices.ContainsFunc(own, func(o ownFolderOf) bool {
					return within(path, o.path) && (!o.volumes || strings.Contains(path, "/_data"))
				})
			}
			for _, m := range c.spec.Mounts {
				if m.Type != "bind" || w.Engine == policy.Unknown || m.Destination == "/there" {
					continue
				}
				if !isOwn(m.Source) {
					t.Errorf("%s at %s is not known as %s's own: %+v", m.Source, m.Destination, w.Engine, own)
				}
				seen[w.Engine] = true
				if strings.Contains(m.Source, "/sandboxes/") || strings.Contains(m.Source, c.ID) {
					if other := strings.NewReplacer(c.ID, strings.Repeat("f", 64), c.spec.Annotations["io.kubernetes.cri.sandbox-id"]+"/", strings.Repeat("f", 64)+"/").Replace(m.Source); isOwn(other) {
						t.Errorf("%s is taken for its own", other)
					}
				}
			}
		})
	}
	for _, e := range []policy.Engine{policy.Docker, policy.Kubernetes, policy.Podman} {
		if !seen[e] {
			t.Errorf("no case of %s has a bind mount", e)
		}
	}
}

// TestPodFolders: a pod has its own kubelet's folder, and no other one's.
func TestPodFolders(t *testing.T) {
	const uid, id, state = "0c1f2b1e-0000-4000-8000-000000000001", "aa", "/run/containerd"
	at := func(pod string) specs.Mount {
		return specs.Mount{Type: "bind", Source: "/var/lib/kubelet/pods/" + pod + "/volumes/kubernetes.io~empty-dir/x"}
	}
	s := &specs.Spec{Root: &specs.Root{Path: "rootfs"}, Mounts: []specs.Mount{at(uid), at("other"), at(uid + "1"), at(".."), {Type: "bind", Source: "/pods/" + uid}}}
	b := &Bundle{Path: state + "/io.containerd.runtime.v2.task/k8s.io/" + id}
	annotations := map[string]string{"io.kubernetes.cri.sandbox-uid": uid}
	for _, tt := range []struct {
		w    policy.Workload
		want []string
	}{
		{policy.Workload{Engine: policy.Kubernetes, Kind: policy.Container, Namespace: "n", Annotations: annotations}, []string{b.Path + "/rootfs", "/var/lib/kubelet/pods/" + uid}},
		// Not the kubelet's, but ctr's, which writes what it is told.
		{policy.Workload{Engine: policy.Kubernetes, Kind: policy.Container, Annotations: annotations}, []string{b.Path + "/rootfs"}},
		{policy.Workload{Engine: policy.Containerd, Kind: policy.Container, Annotations: annotations}, []string{b.Path + "/rootfs"}},
		{policy.Workload{Engine: policy.Kubernetes, Kind: policy.Container, Namespace: "n", Annotations: map[string]string{"io.kubernetes.cri.sandbox-uid": ".."}}, []string{b.Path + "/rootfs"}},
	} {
		var got []string
		for _, o := range b.engineFolders(s, tt.w, id).own {
			got = append(got, o.path)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%+v\n got  %q\n want %q", tt.w, got, tt.want)
		}
	}
}

// TestJoinedContainers: a container that shares another one's network has its /etc/hosts, and only then.
func TestJoinedContainers(t *testing.T) {
	other := strings.Repeat("b", 64)
	s := &specs.Spec{Linux: &specs.Linux{}, Mounts: []specs.Mount{
		{Destination: "/etc/hosts", Source: "/data/containers/" + other + "/hosts"},
		{Destination: "/dev/shm", Source: "/data/containers/" + other + "/mounts/shm"},
		{Destination: "/etc/hostname", Source: "/data/containers/" + other + "/config.v2.json"},
		{Destination: "/x", Source: "/data/containers/" + other + "/hosts"},
	}}
	for _, tt := range []struct {
		joins specs.LinuxNamespaceType
		want  int
	}{{"", 0}, {specs.NetworkNamespace, 1}, {specs.IPCNamespace, 1}, {specs.PIDNamespace, 0}} {
		s.Linux.Namespaces = []specs.LinuxNamespace{{Type: tt.joins, Path: "/proc/7/ns/x"}, {Type: specs.NetworkNamespace}}
		var e engineFolders
		e.joined(s, "/data/containers", "", "mounts/shm")
		if len(e.own) != tt.want {
			t.Errorf("%s: %+v", tt.joins, e.own)
		}
	}
}

func TestDeviceFacts(t *testing.T) {
	var p policy.Controls
	p.Devices.Allow = []string{"/dev/null", "/etc/passwd", "/no/such/device"}
	got := DeviceFacts(p)
	if len(got) != 1 || got["/dev/null"] != (enforce.DeviceNumber{Type: "c", Major: 1, Minor: 3}) {
		t.Errorf("%+v", got)
	}
}

// TestBuildFolders: what BuildKit binds is BuildKit's: a Dockerfile can't name a path of the host's.
func TestBuildFolders(t *testing.T) {
	b := &Bundle{Path: "/data/buildkit/executor/id"}
	s := &specs.Spec{Mounts: []specs.Mount{{Type: "bind", Source: "/data/buildkit/executor/resolv.conf"}, {Type: "bind", Source: "/tmp/buildkit-mount123/cache"},
		{Type: "bind", Source: "/tmp/.buildkit-ssh-sock45/ssh_auth_sock"}}}
	var got []string
	for _, o := range b.engineFolders(s, policy.Workload{Engine: policy.Docker, Kind: policy.Build}, "id").own {
		got = append(got, o.path)
	}
	if want := []string{"/data/buildkit", "/data", "/tmp/buildkit-mount123", "/tmp/.buildkit-ssh-sock45"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func BenchmarkMountFacts(b *testing.B) {
	bundle, c := &Bundle{Path: b.TempDir()}, &Config{Spec: &specs.Spec{Mounts: []specs.Mount{{Type: "bind", Source: "/etc"}}}}
	p := policy.Controls{HostMounts: policy.HostMounts{Action: policy.Fix}}
	for b.Loop() {
		if _, err := bundle.MountFacts(c, policy.Workload{}, "id", p); err != nil {
			b.Fatal(err)
		}
	}
}

// TestOnlyOwn: the host's own places are left alone only if there is nothing else to judge.
func TestOnlyOwn(t *testing.T) {
	place := func(device, inside, kind string) enforce.Place {
		return enforce.Place{Device: device, Inside: inside, Type: kind}
	}
	table := mountTable{{1, "/", place("8:1", "/", "ext4")}, {2, "/own/shm", place("0:9", "/", "tmpfs")}, {3, "/run", place("0:8", "/", "tmpfs")}, {4, "/own/run", place("0:8", "/", "tmpfs")}}
	at := func(path string, p enforce.Place) enforce.Source {
		return enforce.Source{Spot: enforce.Spot{Path: path, Place: p}}
	}
	for name, tt := range map[string]struct {
		source enforce.Source
		want   bool
	}{
		"a file":                  {at("/own/hosts", place("8:1", "/own/hosts", "ext4")), true},
		"a tmpfs":                 {at("/own/shm", table[1].Place), true},
		"a tmpfs of the host's":   {at("/own/run", table[3].Place), false},
		"bound from elsewhere":    {at("/own/etc", place("8:1", "/etc", "ext4")), false},
		"another path":            {at("/srv", place("8:1", "/srv", "ext4")), false},
		"another path to its own": {at("/srv", place("8:1", "/own/hosts", "ext4")), false},
		"something below":         {enforce.Source{Spot: enforce.Spot{Path: "/own", Place: place("8:1", "/own", "ext4")}, Below: []enforce.Spot{{Path: "/own/run", Place: table[3].Place}}}, false},
		"nothing is there":        {enforce.Source{Unknown: "gone"}, true},
	} {
		m := enforce.Mounts{Sources: map[string]enforce.Source{"s": tt.source}, Root: at("/own/rootfs", place("8:1", "/own/rootfs", "ext4"))}
		m.Places.Own = []enforce.Own{{Spot: enforce.Spot{Path: "/own", Place: place("8:1", "/own", "ext4")}}}
		if got := table.onlyOwn(&m); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
		m.Root = at("/srv", m.Root.Place)
		if table.onlyOwn(&m) {
			t.Errorf("%s: with a root filesystem elsewhere", name)
		}
	}
}
