package bundle

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const (
	// maxDockerRecord: Docker's own record of a container has a few KiB, and the labels that its user gave it.
	maxDockerRecord = 2 << 20
	// maxStorageRecords: there is one file for all containers of a Podman, with about 700 bytes for each.
	maxStorageRecords = 4 << 20
)

// Identify says who a container is, from what its engine decides: the delegate's root folder, the bundle's path, the command
// line of the process that called us, and the engine's own records. parent is that command line, as ParentCommand tells it;
// it is asked for only where it matters.
//
// It never fails. What can't be established is unknown or empty, and matches no rule. Nothing that whoever starts a container
// can choose has a say in a fact: the same annotation is written by one engine itself, and by the user of another
// (docker run --annotation, podman run --annotation, ctr run --label), so the engine comes first, and only its own keys are
// read.
func (b *Bundle) Identify(c *Config, root, id string, parent func() []string) policy.Workload {
	w := policy.Workload{Engine: policy.Unknown, Annotations: c.Spec.Annotations}
	if id == "" || id == "." || id == ".." || strings.ContainsRune(id, '/') {
		return w
	}
	if namespace, ok := taskNamespace(b.Path, root, id); ok {
		containerd(&w, c.Spec, namespace, id)
	} else if dir, ok := strings.CutSuffix(b.Path, "/executor/"+id); ok {
		build(&w, dir)
	} else if store, ok := strings.CutSuffix(b.Path, "/"+id+"/userdata"); ok && strings.HasSuffix(store, "-containers") {
		conmon(&w, b.Path, store, id, parent())
	}
	return w
}

// taskNamespace is the containerd namespace that a container is in. containerd names it twice: it keeps a task's bundle in
// <state>/io.containerd.runtime.v2.task/<namespace>/<id> (core/runtime/v2/bundle.go), and its shim adds the namespace to the
// delegate's root (cmd/containerd-shim-runc-v2/process, NewRunc). Both must say the same.
func taskNamespace(bundle, root, id string) (namespace string, ok bool) {
	dir, ok := strings.CutSuffix(bundle, "/"+id)
	namespace = filepath.Base(dir)
	return namespace, ok && filepath.Base(filepath.Dir(dir)) == "io.containerd.runtime.v2.task" && filepath.Base(root) == namespace
}

// containerd tells its clients apart by their namespaces.
func containerd(w *policy.Workload, s *specs.Spec, namespace, id string) {
	w.Engine, w.Kind = policy.Containerd, policy.Container
	switch unmapped(namespace) {
	case "moby":
		w.Engine = policy.Docker
		docker(w, s, id)
	case "plugins.moby":
		w.Engine, w.Kind = policy.Docker, policy.Plugin
	case "k8s.io":
		w.Engine = policy.Kubernetes
		cri(w)
	}
}

// unmapped is Docker's namespace without the -UID.GID that dockerd --userns-remap puts behind it (moby, daemon.go,
// RemapContainerdNamespaces).
func unmapped(namespace string) string {
	name, ids, ok := cutLast(namespace, "-")
	uid, gid, dot := strings.Cut(ids, ".")
	if ok && dot && isDigits(uid) && isDigits(gid) && (name == "moby" || name == "plugins.moby") {
		return name
	}
	return namespace
}

// cri reads what containerd's CRI writes of a pod into the annotations. It writes these keys last of all, over whatever a pod
// brought under the same name (containerd 1.6, pkg/cri/server/container_create_linux.go and sandbox_run_linux.go; 2.x,
// internal/cri/annotations, DefaultCRIAnnotations). A sandbox has no container-name or image-name of containerd's: what
// stands there is the pod's, where pod_annotations lets it through.
func cri(w *policy.Workload) {
	w.Namespace = w.Annotations["io.kubernetes.cri.sandbox-namespace"]
	w.Pod = w.Annotations["io.kubernetes.cri.sandbox-name"]
	switch w.Annotations["io.kubernetes.cri.container-type"] {
	case "sandbox":
		w.Kind = policy.Sandbox
	case "container":
		w.Container = w.Annotations["io.kubernetes.cri.container-name"]
		w.Image = w.Annotations["io.kubernetes.cri.image-name"]
	default:
		// Not the kubelet's, but ctr's in its namespace, which writes whatever it is told.
		w.Namespace, w.Pod = "", ""
	}
}

// docker reads Docker's own record of a container (moby, daemon/container, Container.toDisk), which is there before the
// container is created. Of it, only the image's ID is Docker's word.
func docker(w *policy.Workload, s *specs.Spec, id string) {
	for _, dir := range dockerFolders(s, id) {
		var record struct {
			ID, Name, Image string
			Config          struct {
				Image  string
				Labels map[string]string
			}
		}
		data, err := readOwn(dir, "config.v2.json", maxDockerRecord)
		if err != nil || json.Unmarshal(data, &record) != nil || record.ID != id {
			continue
		}
		w.ImageDigest = digestOf(record.Image)
		w.Name = strings.TrimPrefix(record.Name, "/")
		w.Image, w.Labels = record.Config.Image, record.Config.Labels
		return
	}
}

// dockerFolders are where Docker may have its record of a container: <data-root>/containers/<id>. Docker tells its data root
// by the root filesystem, which lies three levels below it (overlay2/<layer>/merged, rootfs/<snapshotter>/<id>,
// vfs/dir/<layer>, btrfs/subvolumes/<layer>), and by the files that it binds into /etc out of that very folder.
//
// Somebody's own file may be bound there as well, but from no folder with the container's name, which Docker makes up only
// when all that its user has to say has been said.
func dockerFolders(s *specs.Spec, id string) []string {
	var dirs []string
	if s.Root != nil && filepath.IsAbs(s.Root.Path) {
		dataRoot := filepath.Dir(filepath.Dir(filepath.Dir(filepath.Clean(s.Root.Path))))
		dirs = append(dirs, filepath.Join(dataRoot, "containers", id))
	}
	for _, m := range s.Mounts {
		switch m.Destination {
		case "/etc/hostname", "/etc/hosts", "/etc/resolv.conf":
			dir, name := filepath.Split(m.Source)
			if dir = filepath.Clean(dir); filepath.IsAbs(dir) && "/etc/"+name == m.Destination && strings.HasSuffix(dir, "/containers/"+id) && !slices.Contains(dirs, dir) {
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs
}

// build: BuildKit has the bundle of a step in <its root>/executor/<id>. Docker's BuildKit has its root in <data-root>/buildkit
// (moby, daemon/internal/builder-next), one that runs by itself in <root>/runc-<snapshotter> (buildkit, cmd/buildkitd).
func build(w *policy.Workload, dir string) {
	switch parent, name := filepath.Split(dir); {
	case name == "buildkit":
		w.Kind = policy.Build
		if ownFolder(filepath.Join(parent, "containers")) {
			w.Engine = policy.Docker
		}
	case strings.HasPrefix(name, "runc-"):
		w.Kind = policy.Build
	}
}

// conmon stands between Podman or CRI-O and the delegate. Both have a container's bundle in <store>/<id>/userdata, and either
// one's annotations can be forged by the other's users. What tells them apart is what they told conmon.
func conmon(w *policy.Workload, bundle, store, id string, parent []string) {
	if calledByConmonrs(parent) {
		crio(w)
		return
	}
	flags, ok := parseConmon(parent)
	if !ok || !slices.Equal(flags["cid"], []string{id}) || !slices.Equal(flags["bundle"], []string{bundle}) {
		return
	}
	command, exits := flags["exit-command"], flags["exit-dir"]
	switch {
	case len(command) == 1 && filepath.Base(command[0]) == "podman":
		podman(w, store, id, flags["exit-command-arg"])
	case len(command) == 0 && len(exits) == 1 && strings.HasSuffix(filepath.Clean(exits[0]), "/crio/exits"):
		crio(w)
	}
}

// podman reads the record that Podman's storage has of a container (containers/storage, containers.go): the image's ID is the
// storage's word, the names are its user's. Those of containers that are removed when they end are in a file of their own,
// in the run root, from containers/storage 1.44 on; Podman tells conmon where that is (pkg/specgenutil,
// CreateExitCommandArgs), for the sake of its own cleanup.
//
// That a container is a pod's infra container is only in Podman's database. So it is an ordinary one here.
func podman(w *policy.Workload, store, id string, cleanup []string) {
	w.Engine, w.Kind = policy.Podman, policy.Container
	if storageRecord(w, store, "containers.json", id) {
		return
	}
	if len(cleanup) > 3 && cleanup[0] == "--root" && cleanup[2] == "--runroot" {
		storageRecord(w, filepath.Join(cleanup[3], filepath.Base(store)), "volatile-containers.json", id)
	}
}

func storageRecord(w *policy.Workload, dir, name, id string) (found bool) {
	var records []struct {
		ID       string   `json:"id"`
		Names    []string `json:"names"`
		Image    string   `json:"image"`
		Metadata string   `json:"metadata"`
	}
	data, err := readOwn(dir, name, maxStorageRecords)
	if err != nil || json.Unmarshal(data, &records) != nil {
		return false
	}
	for _, r := range records {
		if r.ID != id {
			continue
		}
		w.ImageDigest = digestOf("sha256:" + r.Image)
		if len(r.Names) > 0 {
			w.Name = r.Names[0]
		}
		var metadata struct {
			Image string `json:"image-name"`
		}
		if json.Unmarshal([]byte(r.Metadata), &metadata) == nil {
			w.Image = metadata.Image
		}
		return true
	}
	return false
}

// crio reads what CRI-O writes of a pod into the annotations. A pod's own annotations are among them, under whatever keys it
// likes, so only those keys count that are written after them: the kubelet's labels, which come last, in a container
// (cri-o, internal/factory/container, SpecAddAnnotations) and in a sandbox (server/sandbox_run_linux.go). The kubelet puts
// its labels over a pod's own (newPodLabels), and CRI-O the name "POD", which no container can have because it is not in
// lower case, over the kubelet's. CRI-O's own io.kubernetes.cri-o.ContainerType of a sandbox comes before the pod's.
func crio(w *policy.Workload) {
	w.Engine, w.Kind = policy.Kubernetes, policy.Container
	w.Namespace = w.Annotations["io.kubernetes.pod.namespace"]
	w.Pod = w.Annotations["io.kubernetes.pod.name"]
	if name := w.Annotations["io.kubernetes.container.name"]; name == "POD" {
		w.Kind = policy.Sandbox
	} else {
		w.Container = name
		// In a container this one is written after the pod's annotations.
		w.ImageDigest = digestOf("sha256:" + w.Annotations["io.kubernetes.cri-o.ImageRef"])
	}
	w.Image = w.Annotations["io.kubernetes.cri-o.Image"]
	if json.Unmarshal([]byte(w.Annotations["io.kubernetes.cri-o.Labels"]), &w.Labels) != nil {
		w.Labels = nil
	}
}

// digestOf is the digest if it is one, else nothing.
func digestOf(s string) string {
	hexadecimal, ok := strings.CutPrefix(s, "sha256:")
	if !ok || len(hexadecimal) != 64 || strings.Trim(hexadecimal, "0123456789abcdef") != "" {
		return ""
	}
	return s
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// readOwn reads a file that nobody but the engine can have written: it and its folder are root's, or those of the user that
// the engine runs as, which is ours; nobody else writes them, and neither is a link.
func readOwn(dir, name string, most int64) (data []byte, err error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	folder := &Bundle{Path: dir, dir: os.NewFile(uintptr(fd), dir)}
	defer func() { err = errors.Join(err, folder.Close()) }()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if !own(st) {
		return nil, errNotOwn
	}
	data, st, err = folder.read(name, most)
	if err == nil && (int64(len(data)) > most || !own(st)) {
		err = errNotOwn
	}
	return data, err
}

var errNotOwn = errors.New("not the engine's own")

func ownFolder(path string) bool {
	var st unix.Stat_t
	return unix.Lstat(path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR && own(st)
}

func own(st unix.Stat_t) bool {
	return (st.Uid == 0 || int(st.Uid) == os.Geteuid()) && st.Mode&0o022 == 0
}
