package enforce_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"runclamp/enforce"
	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// disk is the filesystem that everything of the made-up host is on.
const disk = "8:1"

func spot(path string) enforce.Spot {
	return enforce.Spot{Path: path, Place: enforce.Place{Device: disk, Inside: path, Type: "ext4"}}
}

func folder(path string) enforce.Source {
	return enforce.Source{Spot: spot(path), Kind: enforce.Folder}
}

// boundFrom is a folder that is bound from elsewhere, or has a filesystem of its own.
func boundFrom(path, device, inside, fs string) enforce.Source {
	return enforce.Source{Spot: enforce.Spot{Path: path, Place: enforce.Place{Device: device, Inside: inside, Type: fs}}, Kind: enforce.Folder}
}

// hostFacts are of a made-up host.
func hostFacts() enforce.Mounts {
	m := enforce.Mounts{Sources: map[string]enforce.Source{}, Root: folder("/bundle/rootfs"), RecursiveReadOnly: true}
	for _, h := range enforce.HostPlaces() {
		h.Spot = spot(h.Path)
		m.Places.Host = append(m.Places.Host, h)
	}
	m.Places.Host = append(m.Places.Host, enforce.HostPlace{Spot: spot("/opt/app/docker.sock"), Is: enforce.EngineSocket("docker.sock")})
	m.Places.Own = append(m.Places.Own, enforce.Own{Spot: spot("/bundle")}, enforce.Own{Spot: spot("/var/lib/docker/volumes"), Volumes: true})
	for _, p := range []string{"/hosts", "/src", "/roots", "/all", "/group", "/other", "/unknown", "/var/lib/docker/containers/own"} {
		m.Places.Own = append(m.Places.Own, enforce.Own{Spot: spot(p)})
		m.Sources[p] = folder(p)
	}
	for _, p := range []string{"/", "/etc", "/etc/shadow", "/var", "/var/lib", "/var/lib/docker", "/var/lib/docker/containers/other/hosts", "/var/lib/kubelet/pods/other/volumes/x",
		"/srv", "/srv/data", "/home", "/home/a", "/home/a/.ssh/id", "/home/a/project", "/opt", "/opt/app", "/usr/bin/docker-init", "/usr/bin/sh", "/usr/share/zoneinfo/UTC", "/etc/localtime",
		"/var/lib/docker/volumes/v/_data", "/var/lib/docker/volumes/v", "/var/lib/docker/volumes", "/var/lib/docker/containers/own/hosts", "/sys/fs/cgroup", "/var/lib/lxcfs/proc/cpuinfo"} {
		m.Sources[p] = folder(p)
	}
	for _, p := range []string{"/usr/bin/docker-init", "/usr/bin/sh", "/usr/share/zoneinfo/UTC", "/etc/localtime"} {
		m.Sources[p] = enforce.Source{Spot: spot(p), Kind: enforce.Regular}
	}
	m.Sources["/var/run/docker.sock"] = enforce.Source{Spot: spot("/run/docker.sock"), Kind: enforce.Socket}
	m.Sources["/src/agent"] = enforce.Source{Spot: spot("/src/agent"), Kind: enforce.Socket}
	m.Sources["/src/docker.sock"] = enforce.Source{Spot: spot("/src/docker.sock"), Kind: enforce.Socket}
	elsewhere := boundFrom("/src/elsewhere", disk, "/srv/own.sock", "ext4")
	elsewhere.Kind = enforce.Socket
	m.Sources["/src/elsewhere"] = elsewhere
	m.Sources["/srv/own.sock"] = enforce.Source{Spot: spot("/srv/own.sock"), Kind: enforce.Socket}
	m.Sources["/srv/fifo"] = enforce.Source{Spot: spot("/srv/fifo"), Kind: enforce.FIFO}
	m.Sources["/srv/link"] = folder("/etc")
	m.Sources["/srv/gone"] = enforce.Source{Unknown: "no such file or directory"}
	m.Sources["/var/lib/docker/volumes/bound/_data"] = boundFrom("/var/lib/docker/volumes/bound/_data", disk, "/etc", "ext4")
	m.Sources["/var/lib/docker/volumes/disk/_data"] = boundFrom("/var/lib/docker/volumes/disk/_data", disk, "/", "ext4")
	own := boundFrom("/var/lib/docker/volumes/alone/_data", "8:99", "/", "ext4")
	own.Alone = true
	m.Sources["/var/lib/docker/volumes/alone/_data"] = own
	m.Sources["/var/lib/docker/volumes/mounted/_data"] = boundFrom("/var/lib/docker/volumes/mounted/_data", "8:98", "/", "ext4")
	m.Sources["/var/lib/docker/volumes/nfs/_data"] = boundFrom("/var/lib/docker/volumes/nfs/_data", "0:99", "/", "nfs4")
	m.Sources["/var/lib/docker/volumes/proc/_data"] = boundFrom("/var/lib/docker/volumes/proc/_data", "0:5", "/", "proc")
	m.Sources["/var/lib/docker/volumes/layers/_data"] = boundFrom("/var/lib/docker/volumes/layers/_data", "0:96", "/", "overlay")
	m.Sources["/hosts/image"] = boundFrom("/hosts/image", "0:95", "/", "overlay")
	m.Sources["/srv/overlay"] = boundFrom("/srv/overlay", "0:98", "/", "overlay")
	m.Sources["/srv/auto"] = boundFrom("/srv/auto", "0:97", "/", "autofs")
	with := folder("/srv/with")
	with.Below = []enforce.Spot{{Path: "/srv/with/disk", Place: enforce.Place{Device: "8:2", Inside: "/", Type: "ext4"}}}
	m.Sources["/srv/with"] = with
	with = folder("/srv/worse")
	with.Below = []enforce.Spot{{Path: "/srv/worse/x", Place: enforce.Place{Device: disk, Inside: "/root", Type: "ext4"}}}
	m.Sources["/srv/worse"] = with
	return m
}

func bind(source string, options ...string) func(*specs.Spec) {
	return func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/there", Type: "bind", Source: source, Options: append([]string{"rbind"}, options...)})
	}
}

func mount(destination, kind string, options ...string) func(*specs.Spec) {
	return func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: destination, Type: kind, Source: kind, Options: options})
	}
}

// mapped is a folder with data whose files belong to others in there.
func mapped(m specs.LinuxIDMapping) func(*specs.Spec) {
	return func(s *specs.Spec) {
		bind("/srv/data", "nosuid", "nodev", "idmap")(s)
		at := &s.Mounts[len(s.Mounts)-1]
		at.UIDMappings, at.GIDMappings = []specs.LinuxIDMapping{m}, []specs.LinuxIDMapping{m}
	}
}

// inNamespaceOf gives the container a user namespace.
func inNamespaceOf(host uint32, spoil func(*specs.Spec)) func(*specs.Spec) {
	return func(s *specs.Spec) {
		spoil(s)
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		ids := []specs.LinuxIDMapping{{HostID: host, Size: 65536}}
		s.Linux.UIDMappings, s.Linux.GIDMappings = ids, ids
	}
}

// TestSources: what may be bound and what may not, and what a person reads.
func TestSources(t *testing.T) {
	for source, want := range map[string]string{
		"/":                                      "a folder that has /etc in it",
		"/etc":                                   "the host's accounts",
		"/etc/shadow":                            "what is in /etc: the host's accounts",
		"/var":                                   "a folder that has /var/run in it",
		"/var/lib":                               "a folder that has /var/lib/systemd in it",
		"/var/lib/docker":                        "Docker's own data",
		"/var/lib/docker/volumes":                "what is in /var/lib/docker",
		"/var/lib/docker/volumes/v":              "what is in /var/lib/docker",
		"/var/lib/docker/containers/other/hosts": "what is in /var/lib/docker",
		"/var/lib/kubelet/pods/other/volumes/x":  "what is in /var/lib/kubelet",
		"/home":                                  "the homes of the host's users",
		"/home/a":                                "what is in /home",
		"/home/a/.ssh/id":                        "what is in /home",
		"/opt":                                   "a folder that has /opt/cni in it",
		"/opt/app":                               "a folder that has /opt/app/docker.sock in it: the Docker socket",
		"/usr/bin/sh":                            "programs that root runs",
		"/usr/bin/docker-init":                   "programs that root runs", // but for --init
		"/sys/fs/cgroup":                         "the host's kernel",
		"/var/run/docker.sock":                   "leads to /run/docker.sock, and binds the Docker socket, which is root on this host",
		"/srv/own.sock":                          "a socket",
		"/src/agent":                             "",
		"/src/docker.sock":                       "the Docker socket",
		"/src/elsewhere":                         "a socket",
		"/srv/fifo":                              "a FIFO",
		"/srv/link":                              "leads to /etc, and binds the host's accounts",
		"/srv/gone":                              "can't be judged: no such file or directory",
		"/srv/overlay":                           "an overlay",
		"/srv/auto":                              "autofs",
		"/srv/worse":                             "a folder with /srv/worse/x mounted in it: root's home",
		"/srv/never-looked-at":                   "not known",
		"/var/lib/docker/volumes/bound/_data":    "the host's accounts",
		"/var/lib/docker/volumes/disk/_data":     "a folder that has /etc in it",
		"/var/lib/docker/volumes/layers/_data":   "an overlay",
		"/var/lib/docker/volumes/alone/_data":    "a disk of the host's (ext4), which is mounted for this volume only",
		"/var/lib/docker/volumes/proc/_data":     "a filesystem of the host's kernel (proc)",

		"/srv": "", "/srv/data": "", "/hosts/image": "", "/home/a/project": "", "/srv/with": "", "/var/lib/docker/volumes/v/_data": "", "/var/lib/docker/volumes/nfs/_data": "",
		"/var/lib/docker/volumes/mounted/_data": "",
		"/var/lib/docker/containers/own/hosts":  "",
	} {
		t.Run(source, func(t *testing.T) {
			spec := clean(t)
			bind(source)(spec)
			for _, action := range []policy.Action{policy.Fix, policy.Reject} {
				in := enforce.Input{Policy: policy.Policy{Controls: hardened(t)}, Facts: facts(), Spec: spec}
				in.Policy.Controls.HostMounts.Action = action
				d := enforce.Decide(in)
				at := slices.IndexFunc(d.Findings, func(f enforce.Finding) bool { return f.Control == "hostMounts" && f.Detail == source })
				switch {
				case want == "" && (at >= 0 || d.Verdict == enforce.Refused):
					t.Errorf("%s: refused: %+v", action, d.Findings)
				case want == "":
				case at < 0 || d.Verdict != enforce.Refused:
					t.Errorf("%s: %s, %+v", action, d.Verdict, d.Findings)
				case !strings.Contains(d.Findings[at].Found, want) || d.Findings[at].Pointer != "/mounts/2/source":
					t.Errorf("%s: %q at %s, want %q", action, d.Findings[at].Found, d.Findings[at].Pointer, want)
				}
			}
		})
	}
}

func TestHostMounts(t *testing.T) {
	allow := func(readOnly bool, sources ...string) func(*enforce.Input) {
		return func(in *enforce.Input) {
			in.Facts.Mounts.Places.Allowed = map[string]enforce.Spot{}
			for _, s := range sources {
				in.Policy.Controls.HostMounts.Allow = append(in.Policy.Controls.HostMounts.Allow, policy.HostMount{Source: s, ReadOnly: readOnly})
				in.Facts.Mounts.Places.Allowed[s] = in.Facts.Mounts.Sources[s].Spot
			}
		}
	}
	reject := func(c *policy.Controls) { c.HostMounts.Action = policy.Reject }
	except := func(names ...string) func(*enforce.Input) {
		return func(in *enforce.Input) { in.Policy.Exceptions = []policy.Exception{{Name: "e", Allow: names}} }
	}
	const options = "set /mounts/2/options "
	runControlCases(t, []controlCase{
		{name: "a data folder", spoil: bind("/srv/data", "rprivate"), findings: []string{"hostMounts:options fix"}, edits: []string{options + `["rbind","rprivate","nosuid","nodev"]`}, verdict: enforce.Fixed},
		{name: "a data folder under reject", spoil: bind("/srv/data", "rprivate"), policy: reject, findings: []string{"hostMounts:options fix"}, edits: []string{options + `["rbind","rprivate","nosuid","nodev"]`}, verdict: enforce.Fixed},
		{name: "safe already", spoil: bind("/srv/data", "nodev", "nosuid"), verdict: enforce.Unchanged},
		{name: "asked to be unsafe", spoil: bind("/srv/data", "nosuid", "nodev", "suid", "rdev"), findings: []string{"hostMounts:options fix"}, edits: []string{options + `["rbind","nosuid","nodev"]`}, verdict: enforce.Fixed},
		{name: "a named volume", spoil: bind("/var/lib/docker/volumes/v/_data"), verdict: enforce.Unchanged},
		{name: "shared", spoil: bind("/srv/data", "rshared", "nosuid", "nodev"), findings: []string{"hostMounts:propagation fix"}, edits: []string{options + `["rbind","nosuid","nodev","rprivate"]`}, verdict: enforce.Fixed},
		{name: "shared under reject", spoil: bind("/srv/data", "slave", "nosuid", "nodev"), policy: reject, findings: []string{"hostMounts:propagation reject"}, verdict: enforce.Refused},
		{name: "shared by exception", spoil: bind("/srv/data", "rshared"), input: except("hostMounts:propagation"), findings: []string{"hostMounts:options fix", "hostMounts:propagation audit"},
			edits: []string{options + `["rbind","rshared","nosuid","nodev"]`}, verdict: enforce.Fixed},
		{name: "two at once", spoil: bind("/srv/data", "rslave"), findings: []string{"hostMounts:options fix", "hostMounts:propagation fix"},
			edits: []string{options + `["rbind","rprivate"]`, options + `["rbind","rprivate","nosuid","nodev"]`}, verdict: enforce.Fixed},
		{name: "the root shared", spoil: func(s *specs.Spec) { s.Linux.RootfsPropagation = "rshared" }, findings: []string{"hostMounts:propagation fix"}, edits: []string{`set /linux/rootfsPropagation "rslave"`}, verdict: enforce.Fixed},
		{name: "an exception", spoil: bind("/etc", "nosuid", "nodev"), input: except("hostMounts:/etc"), findings: []string{"hostMounts:/etc audit"}, verdict: enforce.Unchanged},
		{name: "allowed", spoil: bind("/etc/shadow", "nosuid", "nodev"), input: allow(false, "/etc"), verdict: enforce.Unchanged},
		{name: "an allowed socket", spoil: bind("/var/run/docker.sock", "nosuid", "nodev"), input: allow(false, "/var/run/docker.sock"), verdict: enforce.Unchanged},
		{name: "allowed, and bound from elsewhere", spoil: bind("/var/lib/docker/volumes/bound/_data", "nosuid", "nodev"), input: allow(false, "/var/lib/docker"), findings: []string{"hostMounts:/var/lib/docker/volumes/bound/_data reject"}, verdict: enforce.Refused},
		{name: "allowed to be read", spoil: bind("/etc", "nosuid", "nodev"), input: allow(true, "/etc"), findings: []string{"hostMounts:readonly fix"}, edits: []string{options + `["rbind","nosuid","nodev","ro"]`}, verdict: enforce.Fixed},
		{name: "allowed to be read, and read", spoil: bind("/etc", "nosuid", "nodev", "ro"), input: allow(true, "/etc"), verdict: enforce.Unchanged},
		{name: "read, but what is below", spoil: bind("/srv/with", "nosuid", "nodev", "ro"), input: allow(true, "/srv"), findings: []string{"hostMounts:readonly fix"}, edits: []string{options + `["rbind","nosuid","nodev","ro","rro"]`}, verdict: enforce.Fixed},
		{name: "read with all below", spoil: bind("/srv/with", "nosuid", "nodev", "ro", "rro"), input: allow(true, "/srv"), verdict: enforce.Unchanged},
		{name: "an old kernel", spoil: bind("/srv/with", "nosuid", "nodev", "ro"), input: func(in *enforce.Input) { allow(true, "/srv")(in); in.Facts.Mounts.RecursiveReadOnly = false },
			findings: []string{"hostMounts:readonly reject"}, verdict: enforce.Refused},
		{name: "the host's time", spoil: bind("/usr/share/zoneinfo/UTC", "ro", "nosuid", "nodev"), verdict: enforce.Unchanged},
		{name: "the host's time, writable", spoil: bind("/etc/localtime", "nosuid", "nodev"), findings: []string{"hostMounts:/etc/localtime reject"}, verdict: enforce.Refused},
		{name: "docker run --init", spoil: func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/sbin/docker-init", Type: "bind", Source: "/usr/bin/docker-init", Options: []string{"bind", "ro"}})
		}, verdict: enforce.Unchanged},
		{name: "another program as init", spoil: func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/sbin/docker-init", Type: "bind", Source: "/usr/bin/sh", Options: []string{"bind", "ro", "nosuid", "nodev"}})
		}, findings: []string{"hostMounts:/usr/bin/sh reject"}, verdict: enforce.Refused},
		{name: "not recursive", spoil: func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/there", Source: "/srv/worse", Options: []string{"bind", "nosuid", "nodev"}})
		}, verdict: enforce.Unchanged},
		{name: "relative", spoil: bind("etc"), findings: []string{"hostMounts:source reject"}, verdict: enforce.Refused},

		{name: "a disk", spoil: mount("/there", "ext4"), findings: []string{"hostMounts:type reject"}, verdict: enforce.Refused},
		{name: "no type", spoil: mount("/there", ""), findings: []string{"hostMounts:type reject"}, verdict: enforce.Refused},
		{name: "a second proc", spoil: mount("/there", "proc"), findings: []string{"hostMounts:destination reject", "procMounts:/there reject"}, verdict: enforce.Refused},
		{name: "a tmpfs over what is masked", spoil: mount("/proc/sys", "tmpfs"), findings: []string{"hostMounts:destination reject"}, verdict: enforce.Refused},
		{name: "a tmpfs over all", spoil: mount("/x/..", "tmpfs"), findings: []string{"hostMounts:destination reject"}, verdict: enforce.Refused},
		{name: "relative destination", spoil: mount("proc/sys", "tmpfs"), findings: []string{"hostMounts:destination reject"}, verdict: enforce.Refused},
		{name: "over the root", spoil: mount("//", "tmpfs"), findings: []string{"hostMounts:destination reject"}, verdict: enforce.Refused},
		{name: "a slash at the end", spoil: mount("/data/", "tmpfs"), verdict: enforce.Unchanged},
		{name: "writable sysfs", spoil: mount("/sys", "sysfs", "ro", "rw"), findings: []string{"hostMounts:sysfs fix"}, edits: []string{options + `["ro"]`}, verdict: enforce.Fixed},
		{name: "writable cgroups", spoil: mount("/sys/fs/cgroup", "cgroup", "nosuid"), findings: []string{"hostMounts:cgroup fix"}, edits: []string{options + `["nosuid","ro"]`}, verdict: enforce.Fixed},
		{name: "lxcfs", spoil: func(s *specs.Spec) {
			bind("/var/lib/lxcfs/proc/cpuinfo", "nosuid", "nodev")(s)
			s.Mounts[2].Destination = "/proc/cpuinfo"
		}, findings: []string{"hostMounts:destination reject"}, verdict: enforce.Refused},
		{name: "lxcfs, allowed", spoil: func(s *specs.Spec) {
			bind("/var/lib/lxcfs/proc/cpuinfo", "nosuid", "nodev")(s)
			s.Mounts[2].Destination = "/proc/cpuinfo"
		}, input: allow(false, "/var/lib/lxcfs/proc/cpuinfo"), verdict: enforce.Unchanged},
		{name: "hidden mappings", spoil: bind("/srv/data", "nosuid", "nodev", "idmap=uids=0-0-1;gids=0-0-1"), findings: []string{"hostMounts:option reject"}, verdict: enforce.Refused},
		{name: "hidden mappings below", spoil: bind("/srv/data", "nosuid", "nodev", "ridmap=uids=0-0-1"), findings: []string{"hostMounts:option reject"}, verdict: enforce.Refused},
		{name: "a link", spoil: bind("/srv/data", "nosuid", "nodev", "copy-symlink"), findings: []string{"hostMounts:option reject"}, verdict: enforce.Refused},
		{name: "on a link", spoil: mount("/there", "tmpfs", "dest-nofollow"), findings: []string{"hostMounts:option reject"}, verdict: enforce.Refused},
		{name: "remount", spoil: mount("/there", "tmpfs", "remount"), findings: []string{"hostMounts:remount reject"}, verdict: enforce.Refused},
		{name: "mapped to root", spoil: func(s *specs.Spec) {
			bind("/srv/data", "nosuid", "nodev")(s)
			s.Mounts[2].UIDMappings = []specs.LinuxIDMapping{{HostID: 0, Size: 1}}
		}, findings: []string{"hostMounts:mappings reject"}, verdict: enforce.Refused},
		{name: "mapped by nobody", spoil: bind("/srv/data", "nosuid", "nodev", "idmap"), findings: []string{"hostMounts:mappings reject"}, verdict: enforce.Refused},
		{name: "root's files are the user's", spoil: mapped(specs.LinuxIDMapping{ContainerID: 0, HostID: 10001, Size: 1}), findings: []string{"hostMounts:mappings reject"}, verdict: enforce.Refused},
		{name: "root's files are another's than root's of a user namespace", spoil: inNamespaceOf(100000, mapped(specs.LinuxIDMapping{ContainerID: 0, HostID: 110001, Size: 1})),
			findings: []string{"hostMounts:mappings reject"}, verdict: enforce.Refused},
		{name: "mapped as the user namespace is", spoil: inNamespaceOf(100000, mapped(specs.LinuxIDMapping{HostID: 100000, Size: 65536})), verdict: enforce.Unchanged},
		{name: "mapped by the user namespace", spoil: inNamespaceOf(100000, bind("/srv/data", "nosuid", "nodev", "idmap")), verdict: enforce.Unchanged},
		{name: "nobody's but a user's", spoil: mapped(specs.LinuxIDMapping{ContainerID: 1000, HostID: 10001, Size: 1}), verdict: enforce.Unchanged},
		{name: "the time zone, to be written after all", spoil: bind("/etc/localtime", "ro", "rrw"), findings: []string{"hostMounts:options fix", "hostMounts:/etc/localtime reject"}, verdict: enforce.Refused},
		{name: "read, and to be written after all", spoil: bind("/srv/data", "nosuid", "nodev", "ro", "rrw"), input: allow(true, "/srv"), findings: []string{"hostMounts:readonly fix"},
			edits: []string{options + `["rbind","nosuid","nodev","ro"]`}, verdict: enforce.Fixed},
		{name: "mapped by the user namespace", spoil: func(s *specs.Spec) {
			bind("/srv/data", "nosuid", "nodev", "idmap")(s)
			s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}}
		}, verdict: enforce.Unchanged},
	})
}

func TestRootPath(t *testing.T) {
	for path, want := range map[string]bool{"/": false, "/etc": false, "/usr/share": false, "/var/lib": false, "/var/lib/docker": false, "/run/x": false, "/srv/rootfs": true, "/var/lib/docker/overlay2/x/merged": true, "/bundle/rootfs": true,
		"/srv/with": true, "/srv/worse": false, "/var/lib/kubelet/pods/other/volumes/x": false} {
		spec := clean(t)
		spec.Root.Path = path
		in := enforce.Input{Policy: policy.Policy{Controls: hardened(t)}, Facts: facts(), Spec: spec}
		in.Facts.Mounts.Root = folder(path)
		in.Facts.Mounts.Root.Below = in.Facts.Mounts.Sources[path].Below
		d := enforce.Decide(in)
		if good := d.Verdict == enforce.Unchanged; good != want {
			t.Errorf("%s: %s %+v", path, d.Verdict, d.Findings)
		}
		if !want && (len(d.Findings) != 1 || d.Findings[0].Name() != "hostMounts:root") {
			t.Errorf("%s: %+v", path, d.Findings)
		}
	}
}

// TestEnginesMounts: what engines bind by themselves is not refused, nor are their devices.
func TestEnginesMounts(t *testing.T) {
	for _, c := range engineConfigs(t) {
		if strings.Contains(c.name, "privileged") {
			continue
		}
		var spec *specs.Spec
		if err := json.Unmarshal(c.text, &spec); err != nil {
			t.Fatal(err)
		}
		for _, action := range []policy.Action{policy.Fix, policy.Reject} {
			in := hardenedInput(t)
			in.Spec, in.Facts.Mounts = spec, mountsOf(spec)
			in.Policy.Controls.HostMounts.Action = action
			for _, f := range enforce.Decide(in).Findings {
				if (f.Control == "hostMounts" || f.Control == "devices") && f.Action == policy.Reject {
					t.Errorf("%s: %s: %s", c.name, f.Name(), f.Found)
				}
			}
		}
	}
}

// mountsOf are facts about a real engine's configuration: its files are its own, and where they seem to be.
func mountsOf(s *specs.Spec) enforce.Mounts {
	m := hostFacts()
	if s == nil {
		return m
	}
	own := regexp.MustCompile("^/.*(/containers|/sandboxes|-containers)/[0-9a-f]{64}")
	if s.Root != nil {
		m.Root = folder(s.Root.Path)
	}
	for _, mount := range s.Mounts {
		if _, ok := m.Sources[mount.Source]; ok || mount.Type != "bind" {
			continue
		}
		m.Sources[mount.Source] = enforce.Source{Spot: spot(mount.Source), Kind: enforce.Regular}
		if f := own.FindString(mount.Source); f != "" {
			m.Places.Own = append(m.Places.Own, enforce.Own{Spot: spot(f)})
		}
	}
	m.Places.Own = append(m.Places.Own, enforce.Own{Spot: spot("/var/lib/containers/storage/volumes"), Volumes: true})
	return m
}

// sameOrStricter: the second mount is the first one, or can do less.
func sameOrStricter(a, b specs.Mount) bool {
	wasPrivate := a.Options
	flags := func(m specs.Mount) (f [5]bool) {
		for _, o := range m.Options {
			switch o {
			case "ro", "rw":
				f[0] = o == "ro"
			case "nosuid", "suid":
				f[1] = o == "nosuid"
			case "nodev", "dev":
				f[2] = o == "nodev"
			case "noexec", "exec":
				f[3] = o == "noexec"
			case "rro", "rrw":
				f[4] = o == "rro"
			}
		}
		return f
	}
	fa, fb := flags(a), flags(b)
	for i := range fa {
		if fa[i] && !fb[i] {
			return false
		}
	}
	for _, o := range b.Options {
		if !slices.Contains(wasPrivate, o) && !slices.Contains([]string{"ro", "rro", "nosuid", "nodev", "rprivate"}, o) {
			return false
		}
	}
	return a.Destination == b.Destination && a.Source == b.Source && a.Type == b.Type
}

// TestNotLookedFor: without the host's own places, nothing but the engine's own is let through.
func TestNotLookedFor(t *testing.T) {
	for source, want := range map[string]enforce.Verdict{"/hosts": enforce.Unchanged, "/srv/data": enforce.Refused, "/var/lib/docker/volumes/nfs/_data": enforce.Refused} {
		spec := clean(t)
		bind(source, "nosuid", "nodev")(spec)
		in := enforce.Input{Policy: policy.Policy{Controls: hardened(t)}, Facts: facts(), Spec: spec}
		in.Facts.Mounts.Places.Host = nil
		if d := enforce.Decide(in); d.Verdict != want {
			t.Errorf("%s: %s %+v", source, d.Verdict, d.Findings)
		}
	}
}
