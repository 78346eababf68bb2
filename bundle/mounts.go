package bundle

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"runclamp/enforce"
	"runclamp/enforce/policy"
	"runclamp/enforce/proof"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// maxMountInfo: a node with a thousand pods has some ten thousand mounts, of about 200 bytes each.
const maxMountInfo = 32 << 20

// MountFacts finds out where the files of the host really are that a container is to see, and which of them are its engine's
// own for it. It opens nothing but paths: no device, no FIFO, and no automount that is not there yet (open(2), O_PATH).
func (b *Bundle) MountFacts(c *Config, w policy.Workload, id string, p policy.Controls) (enforce.Mounts, error) {
	var m enforce.Mounts
	if p.HostMounts.Action == policy.Off {
		return m, nil
	}
	table, err := readMountTable("/proc/self/mountinfo")
	if err != nil {
		return m, err
	}
	m.Sources = map[string]enforce.Source{}
	for _, mount := range c.Spec.Mounts {
		if mount.Type != "bind" && !slices.Contains(mount.Options, "bind") && !slices.Contains(mount.Options, "rbind") {
			continue
		}
		if _, ok := m.Sources[mount.Source]; !ok {
			m.Sources[mount.Source] = table.source(mount.Source)
		}
	}
	if c.Spec.Root != nil {
		path := c.Spec.Root.Path
		if !filepath.IsAbs(path) {
			path = filepath.Join(b.Path, path)
		}
		m.Root = table.source(path)
	}
	m.Bundle = table.source(b.Path)
	engine := b.engineFolders(c.Spec, w, id)
	m.Places.Own = table.own(engine.own)
	if len(p.HostMounts.Allow) == 0 && table.onlyOwn(&m) {
		return m, nil // as most containers are, and some fifty paths need not be looked up
	}
	if m.Places.Host, err = table.host(engine); err != nil {
		return m, err
	}
	m.Places.Allowed = map[string]enforce.Spot{}
	for _, a := range p.HostMounts.Allow {
		if s := table.source(a.Source); s.Unknown == "" {
			m.Places.Allowed[a.Source] = s.Spot
		}
	}
	// A kernel that has the call finds fault with the descriptor.
	m.RecursiveReadOnly = unix.MountSetattr(-1, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}) != unix.ENOSYS
	return m, nil
}

// onlyOwn: there is nothing to judge but what the engine binds by itself. A tmpfs that is mounted nowhere but in the engine's
// own folders (/dev/shm, secrets) is its own as well: none of the host's files is on it.
func (t mountTable) onlyOwn(m *enforce.Mounts) bool {
	own := m.Places.Own
	for _, s := range m.Sources {
		if s.Type == "tmpfs" && m.Places.OwnPath(s.Path) && !slices.ContainsFunc(t, func(e mountEntry) bool {
			return e.Device == s.Device && !m.Places.OwnPath(e.point)
		}) {
			own = append(own, enforce.Own{Spot: s.Spot})
		}
	}
	m.Places.Own = own
	for _, s := range m.Sources {
		if s.Unknown == "" && (!m.Places.OwnPath(s.Path) || !m.Places.OwnPlace(s.Place)) ||
			slices.ContainsFunc(s.Below, func(b enforce.Spot) bool { return !m.Places.OwnPlace(b.Place) }) {
			return false
		}
	}
	return m.Root.Unknown != "" || m.Places.OwnPath(m.Root.Path)
}

// DeviceFacts are the numbers of the devices that the policy allows. What is no device, or not there, is none.
func DeviceFacts(p policy.Controls) enforce.Devices {
	found := enforce.Devices{}
	for _, path := range p.Devices.Allow {
		var st unix.Stat_t
		if unix.Stat(path, &st) != nil {
			continue
		}
		n := enforce.DeviceNumber{Type: "c", Major: int64(unix.Major(st.Rdev)), Minor: int64(unix.Minor(st.Rdev))}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFBLK:
			n.Type = "b"
		case unix.S_IFCHR:
		default:
			continue
		}
		found[path] = n
	}
	return found
}

// mountEntry is a line of mountinfo (proc_pid_mountinfo(5)).
type mountEntry struct {
	id            int
	point         string
	enforce.Place // of its root
}

type mountTable []mountEntry

func readMountTable(path string) (t mountTable, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("what is mounted: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	text, err := io.ReadAll(io.LimitReader(f, maxMountInfo+1))
	if err == nil && len(text) > maxMountInfo {
		err = fmt.Errorf("%s is larger than %d MiB", path, maxMountInfo>>20)
	}
	if err != nil {
		return nil, fmt.Errorf("what is mounted: %w", err)
	}
	return parseMountTable(text)
}

func parseMountTable(text []byte) (mountTable, error) {
	mounts, err := proof.ParseMounts(string(text))
	if err != nil {
		return nil, fmt.Errorf("what is mounted: %w", err)
	}
	t := make(mountTable, 0, len(mounts))
	for _, m := range mounts {
		t = append(t, mountEntry{m.ID, m.At, enforce.Place{Device: m.Device, Inside: m.Root, Type: m.FSType}})
	}
	return t, nil
}

// source is what a bind mount of a path would bind.
func (t mountTable) source(path string) enforce.Source {
	unknown := func(err error) enforce.Source { return enforce.Source{Unknown: err.Error()} }
	if !filepath.IsAbs(path) || strings.ContainsRune(path, 0) {
		return unknown(fmt.Errorf("%q is no absolute path", path))
	}
	target, err := resolved(path, func(string, unix.Stat_t) error { return nil })
	if err != nil {
		return unknown(err)
	}
	fd, err := unix.Open(target, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return unknown(fmt.Errorf("%s: %w", target, err))
	}
	s, err := t.opened(fd)
	if err := errors.Join(err, unix.Close(fd)); err != nil {
		return unknown(err)
	}
	return s
}

func (t mountTable) opened(fd int) (enforce.Source, error) {
	var s enforce.Source
	at, id, mode, err := whereIs(fd)
	if err != nil {
		return s, err
	}
	if s.Spot, err = t.spot(at, id); err != nil {
		return s, err
	}
	s.Kind = kindOf(mode)
	s.Alone = !slices.ContainsFunc(t, func(e mountEntry) bool { return e.id != id && e.Device == s.Device })
	if s.Kind == enforce.Folder {
		for _, e := range t {
			if below(e.point, at) {
				s.Below = append(s.Below, enforce.Spot{Path: e.point, Place: e.Place})
			}
		}
	}
	return s, nil
}

// spot is a path without links that is on the mount id.
func (t mountTable) spot(at string, id int) (enforce.Spot, error) {
	i := slices.IndexFunc(t, func(e mountEntry) bool { return e.id == id })
	if i < 0 {
		return enforce.Spot{}, fmt.Errorf("%s is on a mount that is not among this host's", at)
	}
	place, err := t[i].placeOf(at)
	return enforce.Spot{Path: at, Place: place}, err
}

// below: both are as the kernel writes paths, and a node has thousands of mounts.
func below(point, folder string) bool {
	rest, ok := strings.CutPrefix(point, strings.TrimSuffix(folder, "/"))
	return ok && len(rest) > 1 && rest[0] == '/'
}

// whereIs says where a descriptor leads: the path without links, the mount and the mode.
func whereIs(fd int) (path string, mount int, mode uint16, err error) {
	if path, err = os.Readlink("/proc/self/fd/" + strconv.Itoa(fd)); err != nil {
		return "", 0, 0, err
	}
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_NO_AUTOMOUNT, unix.STATX_TYPE|unix.STATX_MNT_ID, &st); err != nil {
		return "", 0, 0, fmt.Errorf("%s: %w", path, err)
	}
	if st.Mask&unix.STATX_MNT_ID != 0 {
		return path, int(st.Mnt_id), st.Mode, nil
	}
	// Before Linux 5.8.
	mount, err = mountOf(fd)
	return path, mount, st.Mode, err
}

// mountOf reads the mount of a descriptor where all kernels tell it (proc_pid_fdinfo(5)).
func mountOf(fd int) (id int, err error) {
	f, err := os.Open("/proc/self/fdinfo/" + strconv.Itoa(fd))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "mnt_id:"); ok {
			return strconv.Atoi(strings.TrimSpace(value))
		}
	}
	return 0, errors.New("the kernel does not tell the mount of a file")
}

// placeOf is the place of a path on a mount.
func (e mountEntry) placeOf(path string) (enforce.Place, error) {
	p := e.Place
	rel, err := filepath.Rel(e.point, path)
	// What was removed, or is outside of this root, is marked so in the path, and is not below any mount then.
	if err != nil || !filepath.IsLocal(rel) || !filepath.IsAbs(p.Inside) || strings.HasSuffix(p.Inside, "//deleted") {
		return p, fmt.Errorf("%s is not where its mount %s is", path, e.point)
	}
	p.Inside = filepath.Join(p.Inside, rel)
	return p, nil
}

func kindOf(mode uint16) enforce.Kind {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return enforce.Folder
	case unix.S_IFREG:
		return enforce.Regular
	case unix.S_IFSOCK:
		return enforce.Socket
	case unix.S_IFIFO:
		return enforce.FIFO
	}
	return enforce.Device
}

// own are the engine's folders for a container. Their place is taken from the folder above: if something is mounted on one,
// that is not the engine's by its name alone, but what it is.
func (t mountTable) own(folders []ownFolderOf) []enforce.Own {
	var own []enforce.Own
	for _, f := range folders {
		parent, name := filepath.Split(f.path)
		s := t.source(filepath.Clean(parent))
		if s.Unknown != "" {
			continue
		}
		s.Path, s.Inside = filepath.Join(s.Path, name), filepath.Join(s.Inside, name)
		own = append(own, enforce.Own{Spot: s.Spot, Volumes: f.volumes})
	}
	return own
}

// host finds the places that no container should see: the usual ones, the engine's, and the engines' sockets wherever they
// are. What is not there is left out.
func (t mountTable) host(engine engineFolders) ([]enforce.HostPlace, error) {
	var found []enforce.HostPlace
	add := func(h enforce.HostPlace, s enforce.Spot) {
		named := h.Path
		if h.Spot = s; named == h.Path || !slices.ContainsFunc(found, func(o enforce.HostPlace) bool { return within(h.Path, o.Path) }) {
			found = append(found, h)
		}
	}
	for _, h := range enforce.HostPlaces() {
		if s, ok := t.hostSpot(h.Path); ok {
			add(h, s)
		}
	}
	var wanted []enforce.HostPlace
	for _, path := range engine.data {
		wanted = append(wanted, enforce.HostPlace{Spot: enforce.Spot{Path: path}, Is: "the engine's own data", Engine: true})
	}
	sockets, err := engineSockets("/proc/net/unix")
	if err != nil {
		return nil, err
	}
	for _, path := range sockets {
		wanted = append(wanted, enforce.HostPlace{Spot: enforce.Spot{Path: path}, Is: enforce.EngineSocket(filepath.Base(path))})
	}
	for _, h := range wanted {
		if s := t.source(h.Path); s.Unknown == "" {
			add(h, s.Spot)
		}
	}
	return found, nil
}

// hostSpot is where a path leads that nobody but root has made. No more has to be known of it, so that one call of the kernel's
// finds it, or that it is not there.
func (t mountTable) hostSpot(path string) (s enforce.Spot, ok bool) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return s, false
	}
	at, id, _, err := whereIs(fd)
	if err == nil {
		s, err = t.spot(at, id)
	}
	return s, errors.Join(err, unix.Close(fd)) == nil
}

// engineSockets are the engines' sockets that somebody listens on (proc_net(5), unix). They may be anywhere.
func engineSockets(path string) (sockets []string, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a kernel without them
	}
	if err != nil {
		return nil, fmt.Errorf("the engines' sockets: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		at := strings.Index(lines.Text(), " /")
		if at < 0 {
			continue
		}
		socket := lines.Text()[at+1:]
		if enforce.EngineSocket(filepath.Base(socket)) != "" && !slices.Contains(sockets, socket) {
			sockets = append(sockets, socket)
		}
	}
	return sockets, lines.Err()
}

func within(path, folder string) bool {
	rel, err := filepath.Rel(folder, path)
	return err == nil && filepath.IsLocal(rel)
}

// engineFolders are an engine's on this host.
type engineFolders struct {
	// own is what it binds into this container, or its pod, by itself.
	own []ownFolderOf
	// data is what it has for all containers.
	data []string
}

type ownFolderOf struct {
	path string
	// volumes: of it, only what is in NAME/_data.
	volumes bool
}

// engineFolders says which files an engine binds by itself. The container's ID is the engine's word, and so is, under
// Kubernetes, the pod's (see Identify).
func (b *Bundle) engineFolders(s *specs.Spec, w policy.Workload, id string) engineFolders {
	var e engineFolders
	add := func(path string) { e.own = append(e.own, ownFolderOf{path: path}) }
	if id == "" || id == "." || id == ".." || strings.ContainsRune(id, '/') {
		return e
	}
	if s.Root != nil && filepath.IsLocal(s.Root.Path) {
		add(filepath.Join(b.Path, s.Root.Path)) // in the bundle, which may be among what engines have in /run
	}
	if state, _, ok := strings.Cut(b.Path, "/io.containerd.runtime.v2.task/"); ok {
		e.data = append(e.data, state)
	}
	switch {
	case w.Engine == policy.Docker && w.Kind == policy.Container:
		e.docker(s, id)
	case w.Kind == policy.Build:
		// A Dockerfile can't name a path of the host's: all that is bound is BuildKit's.
		root := strings.TrimSuffix(b.Path, "/executor/"+id)
		add(root)
		if w.Engine == policy.Docker {
			add(filepath.Dir(root))
		}
		for _, m := range s.Mounts {
			// Layers and caches are mounted there first, and there is the socket of a forwarded SSH agent (buildkit,
			// snapshot/localmounter_linux.go and session/sshforward).
			for _, name := range []string{"/buildkit-mount", "/.buildkit-ssh-sock"} {
				if temp, rest, ok := strings.Cut(filepath.Clean(m.Source), name); ok {
					number, _, _ := strings.Cut(rest, "/")
					add(temp + name + number)
				}
			}
		}
	case strings.HasSuffix(b.Path, "-containers/"+id+"/userdata"):
		e.storage(b.Path, s, w, id)
	case w.Engine == policy.Kubernetes && w.Namespace != "":
		if sandbox := w.Annotations["io.kubernetes.cri.sandbox-id"]; isName(sandbox) {
			for _, m := range s.Mounts {
				for _, folder := range []string{"/sandboxes/", "/image-volumes/"} {
					if data, ok := before(m.Source, "/io.containerd.grpc.v1.cri"+folder+sandbox); ok {
						add(data + "/io.containerd.grpc.v1.cri" + folder + sandbox)
						e.data = append(e.data, data)
					}
				}
			}
		}
		e.pod(s, w.Annotations["io.kubernetes.cri.sandbox-uid"])
	}
	return e
}

// docker: a container's files are in <data-root>/containers/<id>, and named volumes in <data-root>/volumes/<name>/_data. A
// subpath of a volume is bound to a folder of Docker's own first (moby, daemon/volume/safepath).
func (e *engineFolders) docker(s *specs.Spec, id string) {
	for _, dir := range dockerFolders(s, id) {
		if !ownFolder(dir) {
			continue
		}
		data := filepath.Dir(filepath.Dir(dir))
		e.data = append(e.data, data)
		e.own = append(e.own, ownFolderOf{path: dir}, ownFolderOf{filepath.Join(data, "volumes"), true})
		if s.Root != nil && within(s.Root.Path, data) {
			e.own = append(e.own, ownFolderOf{path: s.Root.Path})
		}
		for _, m := range s.Mounts {
			if filepath.Dir(m.Source) == filepath.Join(data, "tmp") && strings.HasPrefix(filepath.Base(m.Source), "safe-mount") {
				e.own = append(e.own, ownFolderOf{path: m.Source})
			}
		}
		e.joined(s, filepath.Join(data, "containers"), "", "mounts/shm")
		return
	}
}

// storage: Podman and CRI-O have a container's files in <storage>/<driver>-containers/<id>/userdata, in the storage's root and in
// its run root. CRI-O's containers use their sandbox's.
func (e *engineFolders) storage(bundle string, s *specs.Spec, w policy.Workload, id string) {
	store := filepath.Dir(filepath.Dir(filepath.Dir(bundle)))
	e.data = append(e.data, store)
	e.own = append(e.own, ownFolderOf{filepath.Join(store, "volumes"), true})
	if s.Root != nil && within(s.Root.Path, store) && w.Engine == policy.Podman {
		e.own = append(e.own, ownFolderOf{path: s.Root.Path})
	}
	ids := []string{id}
	if sandbox := w.Annotations["io.kubernetes.cri-o.SandboxID"]; w.Engine == policy.Kubernetes && w.Kind == policy.Container && isName(sandbox) {
		ids = append(ids, sandbox)
	}
	for _, m := range s.Mounts {
		for _, id := range ids {
			if folder, ok := before(m.Source, "-containers/"+id+"/userdata"); ok {
				e.own = append(e.own, ownFolderOf{path: folder + "-containers/" + id + "/userdata"})
			}
		}
		if other, ok := before(m.Source, "/userdata"); ok && w.Engine == policy.Podman && strings.HasSuffix(filepath.Dir(other), "-containers") {
			e.joined(s, filepath.Dir(other), "userdata", "userdata/shm")
		}
	}
	if w.Engine == policy.Kubernetes {
		e.pod(s, w.Annotations["io.kubernetes.pod.uid"])
	}
}

// joined: a container that shares another one's network has its /etc/hosts, /etc/hostname and /etc/resolv.conf, one that
// shares its IPC its /dev/shm (--network container:X, --ipc container:X, --pod).
func (e *engineFolders) joined(s *specs.Spec, containers, files, shm string) {
	joins := func(types ...specs.LinuxNamespaceType) bool {
		return s.Linux != nil && slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
			return n.Path != "" && slices.Contains(types, n.Type)
		})
	}
	for _, m := range s.Mounts {
		rel, err := filepath.Rel(containers, m.Source)
		if err != nil || !filepath.IsLocal(rel) {
			continue
		}
		_, file, _ := strings.Cut(rel, "/")
		switch m.Destination {
		case "/etc/hosts", "/etc/hostname", "/etc/resolv.conf":
			if file == filepath.Join(files, filepath.Base(m.Destination)) && joins(specs.NetworkNamespace, specs.UTSNamespace) {
				e.own = append(e.own, ownFolderOf{path: m.Source})
			}
		case "/dev/shm":
			if file == shm && joins(specs.IPCNamespace) {
				e.own = append(e.own, ownFolderOf{path: m.Source})
			}
		}
	}
}

// pod: the kubelet has what it binds for a pod in <its root>/pods/<the pod's UID>.
func (e *engineFolders) pod(s *specs.Spec, uid string) {
	if !isName(uid) {
		return
	}
	for _, m := range s.Mounts {
		if root, ok := before(m.Source, "/pods/"+uid); ok {
			e.own = append(e.own, ownFolderOf{path: root + "/pods/" + uid})
			e.data = append(e.data, root)
		}
	}
}

// before is what is in front of a part of a path that ends where a component ends.
func before(path, part string) (string, bool) {
	path = filepath.Clean(path)
	front, rest, ok := strings.Cut(path, part)
	return front, ok && filepath.IsAbs(front) && (rest == "" || rest[0] == '/')
}

// isName: it can be a component of a path, and is one that engines make.
func isName(s string) bool {
	return s != "" && strings.Trim(s, "0123456789abcdefABCDEF-") == ""
}
