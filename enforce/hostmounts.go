package enforce

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// hostMounts: a container sees nothing of the host but what its engine gives it, named volumes, and folders with data.
//
// A source is judged by where it really is, not by its name: links are followed, and a folder that is bound from elsewhere
// is what it is bound from (a volume with -o type=none -o o=bind -o device=/etc). What is the host's own, contains it or is
// in it, sockets, devices and filesystems of the kernel are refused; so is every type of mount that engines don't use
// themselves, because an overlay, a FUSE or a disk with a filesystem brings the host in just as well, and mounts over /proc
// and /sys, because they undo what procMounts does.
//
// A source may be changed before the delegate mounts it, so start looks again (mounted.go).
//
// What may be bound gets nosuid and nodev, under reject as well, and mounts do not propagate between it and the host.
//
// Docker: -v, --mount, --volume-driver; compose: volumes; Kubernetes: hostPath, mountPropagation, which the Pod Security
// Standards forbid. config.md "Mounts", config-linux.md "Rootfs Mount Propagation".
func hostMounts() Control {
	return Control{
		Name:   "hostMounts",
		Fields: []string{"/mounts", "/root/path", "/linux/rootfsPropagation"},
		Action: func(c policy.Controls) policy.Action { return c.HostMounts.Action },
		Reference: Reference{
			Fix:        "adds nosuid and nodev, and takes shared propagation off; what is the host's own it refuses",
			Docker:     "no -v or --mount of the host's own folders and sockets; named volumes",
			Compose:    "volumes",
			Kubernetes: "no hostPath volumes",
			PSS:        []string{"hostPathVolumes"}, CIS: []string{"5.6", "5.20", "5.32"}, Gatekeeper: []string{"host-filesystem", "volumes"},
		},
		Check: func(in Input) []Finding {
			var found []Finding
			if s := in.Spec.Root; s != nil && s.Path != "" {
				if why := in.Facts.Mounts.judgeRoot(); why != "" {
					found = append(found, Finding{
						Detail: "root", Pointer: "/root/path",
						Found: fmt.Sprintf("%s is %s", s.Path, why), Wanted: "a root filesystem of the container's own",
						Mend: "unpack the image into a folder of its own",
					})
				}
			}
			if p := linux(in.Spec).RootfsPropagation; p == "shared" || p == "rshared" {
				found = append(found, Finding{
					Detail: "propagation", Pointer: "/linux/rootfsPropagation",
					Found: p + ": what the container mounts appears on the host", Wanted: "rslave or rprivate",
					Mend:  `drop ":rshared" from "-v" (Kubernetes: mountPropagation: Bidirectional)`,
					Edits: []Edit{{Set, "/linux/rootfsPropagation", "rslave"}},
				})
			}
			for i, m := range in.Spec.Mounts {
				found = append(found, checkMount(in, i, m)...)
			}
			return found
		},
	}
}

// checkMount looks at one mount. Its options are changed one finding after the other; what an exception lifts stays.
func checkMount(in Input, i int, m specs.Mount) []Finding {
	if runclampsOwn(in.Facts.BundlePath, m) {
		return nil
	}
	c := mountCheck{in: in, m: m, pointer: fmt.Sprintf("/mounts/%d", i), options: m.Options}
	c.mappings()
	if slices.Contains(m.Options, "remount") {
		c.refuse("remount", "/options", "a remount of what is there already", "a mount", "drop the option remount")
	}
	c.crunsOptions()
	if isBind(m) {
		c.bind()
	} else {
		c.kernel()
	}
	return c.found
}

// runclampsOwn: the files that nonRoot makes.
func runclampsOwn(bundle string, m specs.Mount) bool {
	return bundle != "" && slices.Contains([]string{path.Join(bundle, passwdName), path.Join(bundle, groupName)}, m.Source)
}

// mountCheck is the check of one mount.
type mountCheck struct {
	in      Input
	m       specs.Mount
	pointer string
	// options are the mount's, as the findings so far leave them.
	options []string
	found   []Finding
}

func (c *mountCheck) refuse(detail, at, found, wanted, mend string) {
	c.found = append(c.found, Finding{Detail: detail, Pointer: c.pointer + at, Found: found, Wanted: wanted, Mend: mend})
}

// change is a finding that other options mend.
func (c *mountCheck) change(detail, found, wanted, mend string, options []string) {
	f := Finding{Detail: detail, Pointer: c.pointer + "/options", Found: found, Wanted: wanted, Mend: mend, Edits: []Edit{{Set, c.pointer + "/options", options}}}
	c.found = append(c.found, f)
	if !c.in.lifted("hostMounts", detail) {
		c.options = options
	}
}

// bind looks at what is bound from the host.
func (c *mountCheck) bind() {
	m, facts := c.m, c.in.Facts.Mounts
	source, known := facts.Sources[m.Source]
	if !known {
		source.Unknown = "not known"
	}
	mend := fmt.Sprintf(`drop "-v %s:…" (compose: volumes, Kubernetes: hostPath), use a named volume, or allow it in a rule (hostMounts.allow)`, m.Source)
	why := facts.judgeSource(source, !slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind"))
	switch {
	case !path.IsAbs(m.Source):
		c.refuse("source", "/source", fmt.Sprintf("the relative source %q", m.Source), "an absolute path", "write the whole path")
		return
	case why == "" || c.enginesInit(source) || c.timeZone(source):
	default:
		found := "binds " + why
		if source.Path != "" && source.Path != path.Clean(m.Source) {
			found = fmt.Sprintf("leads to %s, and binds %s", source.Path, why)
		} else if known && source.Unknown != "" {
			found = "can't be judged: " + why
		}
		c.refuse(m.Source, "/source", found, "nothing of the host's own", mend)
	}

	c.destination(facts.Places.allows(source.Path))
	c.propagation()
	// A device that was allowed is to be one.
	isDevice := source.Kind == Device || within(source.Path, "/dev")
	if !facts.Places.OwnPath(source.Path) && !c.enginesInit(source) && !isDevice {
		c.harmless()
	}
	c.readOnly(source)
}

// enginesInit: Docker and Podman bind their init program with --init. It is a program, and nobody can write to it.
func (c *mountCheck) enginesInit(s Source) bool {
	return slices.Contains([]string{"/sbin/docker-init", "/run/podman-init", "/dev/init"}, c.m.Destination) && isReadOnly(c.m.Options) && s.Kind == Regular &&
		within(s.Path, "/usr") && slices.Contains([]string{"docker-init", "tini", "tini-static", "catatonit", "podman-init"}, path.Base(s.Path))
}

// timeZone: the files that everybody binds to have the host's time, and that tell nothing else.
func (c *mountCheck) timeZone(s Source) bool {
	return isReadOnly(c.m.Options) && s.Kind == Regular &&
		(s.Path == "/etc/timezone" || s.Path == "/etc/localtime" || within(s.Path, "/usr/share/zoneinfo"))
}

// destination: nothing comes over what the kernel shows. lxcfs does, with files that tell of the container's own limits.
func (c *mountCheck) destination(allowed bool) {
	at := path.Clean(c.m.Destination)
	mend := "mount it elsewhere"
	switch {
	case !path.IsAbs(c.m.Destination) || slices.Contains(strings.Split(c.m.Destination, "/"), ".."):
		c.refuse("destination", "/destination", fmt.Sprintf("the destination %q", c.m.Destination), `an absolute path without ".."`, "write the path as it is")
	case at == "/":
		c.refuse("destination", "/destination", "a mount over the whole root filesystem", "the root filesystem that it was decided about", mend)
	case !allowed && slices.ContainsFunc([]string{"/proc", "/sys"}, func(k string) bool { return within(at, k) }):
		c.refuse("destination", "/destination", "a mount over "+at+", which the kernel shows", "the kernel's own", mend)
	}
}

// propagation: what is mounted on one side appears on the other (mount_namespaces(7)). Mounting from inside reaches the
// host with "shared"; with "slave" whatever the host mounts later comes in, and nobody judges it.
func (c *mountCheck) propagation() {
	private := slices.DeleteFunc(slices.Clone(c.options), func(o string) bool {
		return slices.Contains([]string{"shared", "rshared", "slave", "rslave"}, o)
	})
	if len(private) == len(c.options) {
		return
	}
	if !slices.Contains(private, "rprivate") {
		private = append(private, "rprivate")
	}
	c.change("propagation", "mounts propagate between the host and the container", "rprivate",
		`drop ":shared", ":slave" and the like from "-v" (Kubernetes: mountPropagation: None)`, private)
}

// harmless: set-user-ID programs and device files of the host's are nothing but files in there.
func (c *mountCheck) harmless() {
	safe := slices.DeleteFunc(slices.Clone(c.options), func(o string) bool {
		return slices.Contains([]string{"suid", "dev", "rsuid", "rdev"}, o)
	})
	for _, o := range []string{"nosuid", "nodev"} {
		if !slices.Contains(safe, o) {
			safe = append(safe, o)
		}
	}
	if !slices.Equal(safe, c.options) {
		c.change("options", "set-user-ID programs or devices work there", "nosuid,nodev", "nothing has to be done, unless it needs them", safe)
		// Docker's users can't even ask for it.
		c.found[len(c.found)-1].Action = policy.Fix
	}
}

// readOnly: what the policy allows to be read only. "ro" is the folder's own filesystem, "rro" all that is mounted below
// (config.md, "Mounts").
func (c *mountCheck) readOnly(s Source) {
	if !c.onlyToBeRead(s) {
		return
	}
	recursive := slices.Contains(c.options, "rro")
	if isReadOnly(c.options) && (recursive || len(s.Below) == 0) {
		return
	}
	f := func(options []string) {
		c.change("readonly", "it can be written", "read-only, as the policy allows it", `add ":ro" to "-v" (Kubernetes: readOnly: true, recursiveReadOnly: Enabled)`, options)
	}
	options := readOnlyOptions(c.options)
	switch {
	case len(s.Below) == 0:
		f(options)
	case c.in.Facts.Mounts.RecursiveReadOnly:
		f(append(slices.DeleteFunc(options, func(o string) bool { return o == "rro" }), "rro"))
	default:
		c.refuse("readonly", "/options", "what is mounted below it can be written ("+s.Below[0].Path+")", "a kernel that has mount_setattr(2)", "bind what is needed and not what contains it")
	}
}

// onlyToBeRead: what the policy says of the source, or of the nearest folder that it is in.
func (c *mountCheck) onlyToBeRead(s Source) bool {
	only, nearest := false, -1
	for _, a := range c.in.Policy.Controls.HostMounts.Allow {
		at, ok := c.in.Facts.Mounts.Places.Allowed[a.Source]
		if ok && within(s.Path, at.Path) && (len(at.Path) > nearest || len(at.Path) == nearest && a.ReadOnly) {
			only, nearest = a.ReadOnly, len(at.Path)
		}
	}
	return only
}

// kernel looks at a mount that is no bind: a filesystem of the types that engines use, where they use it.
func (c *mountCheck) kernel() {
	at := path.Clean(c.m.Destination)
	place := map[string]string{"proc": "/proc", "sysfs": "/sys", "cgroup": "/sys/fs/cgroup", "cgroup2": "/sys/fs/cgroup", "mqueue": "/dev/mqueue", "devpts": "/dev/pts"}
	where, kernels := place[c.m.Type]
	switch {
	case c.m.Type == "tmpfs":
		c.destination(false)
	case !kernels:
		c.refuse("type", "/type", fmt.Sprintf("a mount of type %q", c.m.Type), "bind, tmpfs, proc, sysfs, cgroup, mqueue or devpts",
			"mount it on the host and bind the folder")
	case at != where:
		// A second /proc would have nothing masked.
		c.refuse("destination", "/destination", fmt.Sprintf("%s at %s", c.m.Type, c.m.Destination), "it at "+where, "leave it where the engine mounts it")
	case slices.Contains([]string{"sysfs", "cgroup", "cgroup2"}, c.m.Type) && !isReadOnly(c.options):
		c.change(c.m.Type, "writable "+at+", which steers the kernel", "it read-only", `drop "--privileged" and ":rw"`, readOnlyOptions(c.options))
	}
}

// crunsOptions: what crun alone makes of an option, and nothing else looks at. "idmap=uids=…" has mappings in it
// (src/libcrun/linux.c, get_idmapped_option, which goes by how an option begins), and the others make a link of a mount, or mount
// on a link. To runc they are data for the file system.
func (c *mountCheck) crunsOptions() {
	for _, o := range c.options {
		idmap := strings.HasPrefix(o, "idmap") || strings.HasPrefix(o, "ridmap")
		if idmap && o != "idmap" && o != "ridmap" || slices.Contains([]string{"copy-symlink", "src-nofollow", "dest-nofollow"}, o) {
			c.refuse("option", "/options", fmt.Sprintf("the option %q, which only crun knows", cut(o)), "options that mean the same to every runtime",
				"leave it out; mappings go into uidMappings and gidMappings")
		}
	}
}

// mappings: files are somebody else's in there, and may be root's. A mapping is from the owner on the disk (containerID) to who
// that is on this host as long as it is mounted there (hostID; mount_setattr(2), "ID-mapped mounts"). Who root's files belong to in
// there reads them, and makes set-user-ID programs of root's, so nobody may be that but the root of a user namespace of the
// container's own, who has root's files without such a mapping as well. Without mappings of its own an ID-mapped mount has those of
// the container's user namespace.
func (c *mountCheck) mappings() {
	l := linux(c.in.Spec)
	ofRoot := func(mount, container []specs.LinuxIDMapping) bool {
		return slices.ContainsFunc(mount, func(m specs.LinuxIDMapping) bool {
			return m.HostID == 0 || m.ContainerID == 0 && !slices.ContainsFunc(container, func(r specs.LinuxIDMapping) bool {
				return r.ContainerID == 0 && r.HostID == m.HostID
			})
		})
	}
	own := len(c.m.UIDMappings)+len(c.m.GIDMappings) > 0
	idmap := slices.Contains(c.m.Options, "idmap") || slices.Contains(c.m.Options, "ridmap")
	uids, gids := c.m.UIDMappings, c.m.GIDMappings
	if idmap && !own {
		uids, gids = l.UIDMappings, l.GIDMappings
	}
	if ofRoot(uids, l.UIDMappings) || ofRoot(gids, l.GIDMappings) || idmap && len(uids) == 0 {
		c.refuse("mappings", "/options", "an ID-mapped mount with the host's root among its users", "mappings without root",
			"map to a range of the container's own (Kubernetes: hostUsers: false)")
	}
}

// isReadOnly: of "ro" and "rw" the last one counts. "rrw" is applied after both, and makes it writable again (runc, setRecAttr).
func isReadOnly(options []string) bool {
	ro, recursive := false, ""
	for _, o := range options {
		switch o {
		case "ro":
			ro = true
		case "rw":
			ro = false
		case "rro", "rrw":
			recursive = o
		}
	}
	return ro && recursive != "rrw"
}

func readOnlyOptions(options []string) []string {
	return append(slices.DeleteFunc(slices.Clone(options), func(o string) bool { return o == "rw" || o == "ro" || o == "rrw" }), "ro")
}
