package enforce

import (
	"path"
	"slices"
	"strings"
)

// Mounts are what a decision has to know of where the files of the host really are that a container is to see.
type Mounts struct {
	// Sources are those of bind mounts, by the source as config.json has it.
	Sources map[string]Source
	// Root is the container's root filesystem, Bundle the folder of config.json.
	Root, Bundle Source
	// Places are the host's and its engines' own, and what of them is this container's or allowed to it.
	Places Places
	// RecursiveReadOnly: the kernel can make what is mounted below a folder read-only as well (mount_setattr(2), Linux 5.12).
	// Without it "ro" holds for the folder's own filesystem only.
	RecursiveReadOnly bool
}

// Spot is a file or a folder: how it is reached, and where it is.
type Spot struct {
	// Path has no links in it.
	Path string `json:"path"`
	Place
}

// Place is where something really is: a path in a filesystem. A folder that is bound to another is reached by two paths and
// is in one place.
type Place struct {
	// Device is that of the filesystem, "major:minor", and Inside the path in it: the two fields of that kind in
	// /proc/self/mountinfo (proc_pid_mountinfo(5)).
	Device string `json:"device"`
	Inside string `json:"inside"`
	// Type is the filesystem's.
	Type string `json:"type"`
}

// Kind is what a file is.
type Kind string

// The kinds that are told apart (inode(7)).
const (
	Folder  Kind = "folder"
	Regular Kind = "file"
	Socket  Kind = "socket"
	FIFO    Kind = "FIFO"
	Device  Kind = "device"
)

// Source is what a bind mount would bind.
type Source struct {
	Spot
	Kind Kind
	// Below are what is mounted below it, in whose place it comes along with "rbind".
	Below []Spot
	// Alone: what it is on is mounted there and nowhere else.
	Alone bool
	// Unknown is why nothing is known of it.
	Unknown string
}

// Places are what the source of a mount is held against.
type Places struct {
	// Host are those of HostPlaces that there are, and the sockets and folders of the engines. They need not be looked for if
	// there is nothing but the engine's own to judge; without them, all else is refused.
	Host []HostPlace `json:"host,omitempty"`
	// Own are what the engine binds into this container by itself, or keeps for its users: its files for the container or
	// the pod, and named volumes.
	Own []Own `json:"own,omitempty"`
	// Allowed are the sources that the policy allows, by the path that it has.
	Allowed map[string]Spot `json:"allowed,omitempty"`
}

// HostPlace is a place that no container should see.
type HostPlace struct {
	Spot
	// Is says in a few words what it is.
	Is string `json:"is"`
	// Engine: it belongs to an engine, which has the root filesystems of its containers there.
	Engine bool `json:"engine,omitempty"`
	// Homes: it has a folder for each user. What is below those may be seen, but for hidden files and folders.
	Homes bool `json:"homes,omitempty"`
}

// Own is a folder, or a file, that is the engine's for this container.
type Own struct {
	Spot
	// Volumes: only what is in a folder NAME/_data of it.
	Volumes bool `json:"volumes,omitempty"`
}

// HostPlaces are the paths of a host that no container should see: whoever writes there, or reads secrets there, is soon
// root on the host. In it are all that the CIS Docker Benchmark names (5.6: /, /boot, /dev, /etc, /lib, /proc, /sys, /usr);
// the Pod Security Standards forbid the host's folders altogether (hostPath). What contains one of them, "/" above all, is
// as bad.
func HostPlaces() []HostPlace {
	host := func(p, is string) HostPlace { return HostPlace{Spot: Spot{Path: p}, Is: is} }
	engine := func(p, is string) HostPlace { return HostPlace{Spot: Spot{Path: p}, Is: is, Engine: true} }
	const programs = "programs that root runs"
	return []HostPlace{
		host("/etc", "the host's accounts, secrets and configuration"),
		host("/root", "root's home, with its keys"),
		{Spot: Spot{Path: "/home"}, Is: "the homes of the host's users, with their keys", Homes: true},
		host("/boot", "the host's kernel"), host("/efi", "the host's kernel"),
		host("/proc", "the host's processes"), host("/sys", "the host's kernel"), host("/dev", "the host's devices"),
		// Sockets of daemons that do what they are told, as root: engines, systemd, D-Bus.
		host("/run", "the sockets of the host's daemons"), host("/var/run", "the sockets of the host's daemons"),
		host("/usr", programs), host("/bin", programs), host("/sbin", programs), host("/opt/cni", programs),
		host("/lib", programs), host("/lib32", programs), host("/lib64", programs), host("/libx32", programs),
		// The kubelet and log collectors read there as root, wherever a link leads them.
		host("/var/log", "the host's logs"),
		// Executed as root by their daemons.
		host("/var/spool/cron", "jobs that cron runs as root"), host("/var/spool/at", "jobs that at runs as root"),
		host("/var/lib/systemd", "what systemd acts on"), host("/var/lib/dpkg", "scripts that dpkg runs as root"),
		host("/var/lib/cloud", "scripts that cloud-init runs as root"),
		host("/var/lib/etcd", "the cluster's secrets"), host("/var/lib/rancher", "the cluster's secrets"),
		// Root filesystems, volumes and secrets of all containers.
		engine("/var/lib/docker", "Docker's own data"), engine("/var/lib/containerd", "containerd's own data"),
		engine("/var/lib/containers", "the own data of Podman and CRI-O"), engine("/var/lib/crio", "CRI-O's own data"),
		// The kubelet has no root filesystems.
		host("/var/lib/kubelet", "the secrets and volumes of all pods"),
	}
}

// EngineSocket says what a socket of that name is; nothing, if it is not known as an engine's.
func EngineSocket(name string) string {
	switch name {
	case "docker.sock":
		return "the Docker socket, which is root on this host"
	case "containerd.sock", "containerd.sock.ttrpc":
		return "containerd's socket, which is root on this host"
	case "crio.sock":
		return "CRI-O's socket, which is root on this host"
	case "podman.sock":
		return "Podman's socket, which is root on this host"
	case "buildkitd.sock":
		return "BuildKit's socket, which is root on this host"
	}
	return ""
}

// Judge says why a place must not be in a container; nothing, if it may be. It needs no more than an entry of a mount table
// has, and so can be asked about a container's own (/proc/PID/mountinfo) when its mounts are made.
func (p Places) Judge(at Place) string {
	if p.OwnPlace(at) {
		return ""
	}
	for _, a := range p.Allowed {
		if a.Device == at.Device && within(at.Inside, a.Inside) {
			return ""
		}
	}
	if p.Host == nil {
		return notLookedFor
	}
	if is := kernelFilesystem(at.Type); is != "" {
		return is
	}
	for _, h := range p.Host {
		if h.Device == at.Device {
			if why := h.touches(h.Inside, at.Inside); why != "" {
				return why
			}
		}
	}
	return ""
}

const notLookedFor = "a place of the host's, whose own places nobody has looked for"

// OwnPlace: a place is the engine's for this container.
func (p Places) OwnPlace(at Place) bool {
	return slices.ContainsFunc(p.Own, func(o Own) bool {
		return o.Device == at.Device && within(at.Inside, o.Inside) && (!o.Volumes || volumeData(o.Inside, at.Inside))
	})
}

// OwnPath: a path without links is the engine's for this container. What is there may be from elsewhere all the same.
func (p Places) OwnPath(at string) bool {
	return slices.ContainsFunc(p.Own, func(o Own) bool { return within(at, o.Path) && (!o.Volumes || volumeData(o.Path, at)) })
}

// judgePath says why a path must not be bound: a folder brings what is below its path along, and the engine's own may be on
// a filesystem of its own.
func (p Places) judgePath(at string) string {
	switch {
	case p.OwnPath(at), p.allows(at):
		return ""
	case p.Host == nil:
		return notLookedFor
	}
	for _, h := range p.Host {
		if why := h.touches(h.Path, at); why != "" {
			return why
		}
	}
	return ""
}

func (p Places) allows(at string) bool {
	for _, a := range p.Allowed {
		if within(at, a.Path) {
			return true
		}
	}
	return false
}

// touches says how a place has to do with the host's own, both in the same terms.
func (h HostPlace) touches(own, at string) string {
	switch {
	case at == own:
		return h.Is
	case within(own, at):
		return "a folder that has " + h.Path + " in it: " + h.Is
	case !within(at, own):
		return ""
	case h.Homes:
		below := strings.Split(strings.TrimPrefix(at[len(own):], "/"), "/")
		if len(below) > 1 && !strings.HasPrefix(below[1], ".") {
			return ""
		}
	}
	return "what is in " + h.Path + ": " + h.Is
}

// judgeSource says why a source must not be bound; nothing, if it may be. recursive: with all that is mounted below it.
func (m Mounts) judgeSource(s Source, recursive bool) string {
	if s.Unknown != "" {
		return s.Unknown
	}
	allowed := m.Places.allows(s.Path)
	if is := EngineSocket(path.Base(s.Path)); s.Kind == Socket && is != "" && !allowed {
		return is
	}
	if why := m.Places.judgePath(s.Path); why != "" {
		return why
	}
	if why := m.Places.Judge(s.Place); why != "" {
		return why
	}
	switch {
	case allowed:
	case s.Alone && onDisk(s.Type) && m.Places.volume(s.Path) && !m.Places.OwnPlace(s.Place):
		// A volume with -o type=ext4 -o device=/dev/sdX: whoever may make one reads and writes any disk that is not in use.
		return "a disk of the host's (" + s.Type + "), which is mounted for this volume only"
	case s.Kind == Socket && m.Places.OwnPlace(s.Place):
		// docker build --ssh, and what a container of the pod has in a volume
	case s.Kind == Socket:
		return "a socket, behind which is a daemon of the host's"
	case s.Kind != Folder && s.Kind != Regular:
		return "a " + string(s.Kind) + " of the host's"
	case s.Type == "overlay" && !m.enginesOverlay(s.Path) && !m.onRoot(s.Place):
		// Its layers are folders that may be anywhere (a volume with -o type=overlay -o o=lowerdir=/etc).
		return "an overlay, whose layers may be any folders of the host's"
	}
	if !recursive {
		return ""
	}
	return m.judgeBelow(s)
}

// judgeBelow says why something that is mounted in a folder must not come along with it.
func (m Mounts) judgeBelow(s Source) string {
	for _, b := range s.Below {
		if why := m.Places.Judge(b.Place); why != "" {
			return "a folder with " + b.Path + " mounted in it: " + why
		}
	}
	return ""
}

// enginesOverlay: image volumes, and what a build binds. Whoever makes a named volume says what its layers are.
func (m Mounts) enginesOverlay(at string) bool {
	return slices.ContainsFunc(m.Places.Own, func(o Own) bool { return !o.Volumes && within(at, o.Path) })
}

// onRoot: it is on the filesystem that the host's own folders are on.
func (m Mounts) onRoot(at Place) bool {
	return slices.ContainsFunc(m.Places.Host, func(h HostPlace) bool { return h.Path == "/usr" && h.Device == at.Device })
}

// judgeRoot says why a folder must not be a container's root filesystem. Engines have those in their own data.
func (m Mounts) judgeRoot() string {
	s := m.Root
	if s.Unknown != "" {
		return s.Unknown
	}
	switch {
	case m.Places.OwnPath(s.Path):
		return ""
	case m.Places.Host == nil:
		return notLookedFor
	}
	for _, h := range m.Places.Host {
		for _, at := range []struct {
			host, is string
			same     bool
		}{{h.Path, s.Path, true}, {h.Inside, s.Inside, h.Device == s.Device}} {
			if !at.same || h.Engine && at.is != at.host && within(at.is, at.host) {
				continue
			}
			if why := h.touches(at.host, at.is); why != "" {
				return why
			}
		}
	}
	if is := kernelFilesystem(s.Type); is != "" {
		return is
	}
	// It is bound with all that is mounted in it (runc, prepareRoot).
	return m.judgeBelow(s)
}

// kernelFilesystem says what a filesystem is that has no files but shows, or steers, the kernel.
func kernelFilesystem(t string) string {
	switch t {
	case "proc", "sysfs", "cgroup", "cgroup2", "devtmpfs", "devpts", "debugfs", "tracefs", "securityfs", "selinuxfs", "smackfs",
		"bpf", "configfs", "efivarfs", "pstore", "fusectl", "binfmt_misc", "mqueue", "nsfs", "rpc_pipefs", "nfsd", "resctrl":
		return "a filesystem of the host's kernel (" + t + ")"
	case "autofs":
		return "a folder that is mounted when it is used (autofs), and then may be anything"
	}
	return ""
}

// volume: a path is a named volume's.
func (p Places) volume(at string) bool {
	return slices.ContainsFunc(p.Own, func(o Own) bool { return o.Volumes && within(at, o.Path) && volumeData(o.Path, at) })
}

// onDisk: filesystems that are on a block device, and so have what somebody has put there before.
func onDisk(t string) bool {
	switch t {
	case "ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "nilfs2", "jfs", "reiserfs", "vfat", "msdos", "exfat", "ntfs", "ntfs3", "fuseblk",
		"hfs", "hfsplus", "iso9660", "udf", "squashfs", "erofs", "cramfs", "minix":
		return true
	}
	return false
}

// within: a path is another one, or below it. Both are absolute and clean.
func within(p, folder string) bool {
	return p == folder || folder == "/" || folder != "" && strings.HasPrefix(p, folder+"/")
}

// volumeData: a path is the data of a named volume, which engines keep in <volumes>/NAME/_data.
func volumeData(volumes, at string) bool {
	parts := strings.Split(strings.TrimPrefix(at[len(volumes):], "/"), "/")
	return len(parts) > 1 && parts[1] == "_data"
}
