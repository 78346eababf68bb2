package proof

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"runclamp/enforce"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// tree finds mounts as the kernel does when it walks a path.
type tree struct {
	mounts []Mount
	root   Mount
	// below has the indices of mounts.
	below map[spot]int
}

// spot is a place in a mount.
type spot struct {
	parent int
	at     string
}

func newTree(mounts []Mount) tree {
	t := tree{mounts: mounts, below: make(map[spot]int, len(mounts))}
	ids := map[int]bool{}
	for _, m := range mounts {
		ids[m.ID] = true
	}
	for i, m := range mounts {
		if m.At == "/" && (!ids[m.Parent] || m.Parent == m.ID) {
			t.root = m
			continue
		}
		t.below[spot{m.Parent, m.At}] = i
	}
	return t
}

// at is the mount that a path without links leads into.
func (t tree) at(p string) Mount {
	m := t.over(t.root, "/")
	for i := 1; i <= len(p); i++ {
		if p != "/" && (i == len(p) || p[i] == '/') {
			m = t.over(m, p[:i])
		}
	}
	return m
}

// over is the topmost of the mounts that lie on one another in one place.
func (t tree) over(m Mount, p string) Mount {
	for {
		next, ok := t.below[spot{m.ID, p}]
		if !ok || t.mounts[next].ID == m.ID {
			return m
		}
		m = t.mounts[next]
	}
}

func (m Mount) has(option string) bool { return slices.Contains(m.Options, option) }

// isMask: runc masks a file with /dev/null, a folder with an empty tmpfs that can't be written.
func (m Mount) isMask() bool {
	return m.Root == "/null" && (m.FSType == "tmpfs" || m.FSType == "devtmpfs") || m.FSType == "tmpfs" && m.has("ro")
}

// under: p is below dir, and not dir itself.
func under(p, dir string) bool {
	return p != dir && (dir == "/" || len(p) > len(dir) && p[len(dir)] == '/' && strings.HasPrefix(p, dir))
}

// asked is a mount that the configuration has.
type asked struct {
	index int
	at    string
	mount specs.Mount
	// flags are the options that it must have; recursive are those that what lies below it must have as well.
	flags, recursive []string
}

// flagsOf are the options that take something away. The last one that says something counts (mount(8)).
func flagsOf(options []string) (flags, recursive []string) {
	for _, f := range []struct{ set, unset string }{{"ro", "rw"}, {"nosuid", "suid"}, {"nodev", "dev"}, {"noexec", "exec"}} {
		var on, all bool
		for _, o := range options {
			switch o {
			case f.set:
				on = true
			case f.unset:
				on = false
			case "r" + f.set:
				on, all = true, true
			case "r" + f.unset:
				on, all = false, false
			}
		}
		if on {
			flags = append(flags, f.set)
		}
		if all {
			recursive = append(recursive, f.set)
		}
	}
	return flags, recursive
}

func (f Facts) leadsTo(p string) Path {
	p = clean(p)
	if to, ok := f.Paths[p]; ok {
		return to
	}
	return Path{To: p, Exists: true}
}

func (h *holder) mounts() {
	if h.facts.Mounts == nil {
		return
	}
	t := newTree(h.facts.Mounts)
	if r := h.spec.Root; r != nil && r.Readonly && !t.at("/").has("ro") {
		h.found(factRoot, "/root/readonly", "a root filesystem that can be written", "a read-only one")
	}
	var all []asked
	for i, m := range h.spec.Mounts {
		a := asked{index: i, at: h.facts.leadsTo(m.Destination).To, mount: m}
		a.flags, a.recursive = flagsOf(m.Options)
		all = append(all, a)
	}
	for i, a := range all {
		// What a later one covers can't be seen any more.
		covered := slices.ContainsFunc(all[i+1:], func(later asked) bool { return later.at == a.at || under(a.at, later.at) })
		if !covered && !h.masked(a.at) {
			h.mount(t, a)
		}
	}
	h.unasked(t, all)
	h.paths(t)
}

// masked: it is to be masked, or in something that is. Masks come last, and paths has a look at them.
func (h *holder) masked(p string) bool {
	return h.spec.Linux != nil && slices.ContainsFunc(h.spec.Linux.MaskedPaths, func(mask string) bool {
		to := h.facts.leadsTo(mask)
		return to.Exists && (to.To == p || under(p, to.To))
	})
}

// mount: it is there, with the options that were asked.
func (h *holder) mount(t tree, a asked) {
	pointer := fmt.Sprintf("/mounts/%d", a.index)
	group := a.mount.Type == "cgroup"
	top := t.at(a.at)
	if top.At != a.at && !group {
		h.found(factMounts, pointer, "nothing mounted at "+a.at, "what is configured")
		return
	}
	for _, m := range h.facts.Mounts {
		flags := a.recursive
		switch {
		case m.ID == top.ID && m.At == a.at:
			flags = a.flags
			if group && m.FSType == "tmpfs" {
				// With cgroup v1 runc mounts the hierarchies below a tmpfs, and leaves that one writable for root.
				flags = nil
			}
		case !under(m.At, a.at) || t.at(m.At).ID != m.ID:
			continue
		case group && (m.FSType == "cgroup" || m.FSType == "cgroup2"):
			flags = a.flags
		}
		for _, f := range flags {
			if !m.has(f) {
				h.found(factMounts, pointer+"/options", fmt.Sprintf("%s is mounted %s", m.At, strings.Join(m.Options, ",")), f)
			}
		}
	}
}

// unasked: nothing can be written that is not in the configuration. What a recursive bind brings with it is; and so is what runc
// puts below /dev: the devices, where it can't make them, and the terminal.
func (h *holder) unasked(t tree, all []asked) {
	devices := devicesOf(h.spec)
	for _, m := range h.facts.Mounts {
		switch {
		case m.has("ro") || m.At == "/" || t.at(m.At).ID != m.ID:
		case m.isMask(): // also one that nobody asked for
		case slices.Contains(devices, m.At):
		case slices.ContainsFunc(all, func(a asked) bool {
			return m.At == a.at || under(m.At, a.at) && (slices.Contains(a.mount.Options, "rbind") || a.mount.Type == "cgroup")
		}):
		default:
			h.found(factMounts, "/mounts", fmt.Sprintf("%s (%s) is mounted at %s and can be written", m.Source, m.FSType, m.At), "no such mount")
		}
	}
}

// devicesOf are where the delegate may bind a device or the terminal.
func devicesOf(spec *specs.Spec) []string {
	devices := []string{"/dev/console", "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"}
	if l := spec.Linux; l != nil {
		for _, d := range l.Devices {
			devices = append(devices, clean(d.Path))
		}
	}
	return devices
}

// isDevice: where the delegate can't make a device it binds the host's of the same name, and the terminal at /dev/console.
func (m Mount) isDevice() bool {
	return m.At == "/dev"+m.Root && (m.FSType == "tmpfs" || m.FSType == "devtmpfs") || m.At == "/dev/console" && m.FSType == "devpts"
}

// Mounted are the mounts as a decision about them needs them, and where the destinations of the configuration's lead to.
func (f Facts) Mounted(spec *specs.Spec) (mounts []enforce.Mounted, at func(destination string) string) {
	devices := devicesOf(spec)
	var masked []string
	if l := spec.Linux; l != nil {
		for _, p := range l.MaskedPaths {
			masked = append(masked, f.leadsTo(p).To)
		}
	}
	mounts = make([]enforce.Mounted, 0, len(f.Mounts))
	for _, m := range f.Mounts {
		mounts = append(mounts, enforce.Mounted{
			At: m.At, Place: enforce.Place{Device: m.Device, Inside: m.Root, Type: m.FSType},
			Delegates: m.isDevice() && slices.Contains(devices, m.At) || m.isMask() && slices.Contains(masked, m.At),
			Started:   f.Started,
		})
	}
	return mounts, func(destination string) string { return f.leadsTo(destination).To }
}

// paths: what is to be masked is, and what is to be read-only is. runc passes over what does not exist.
func (h *holder) paths(t tree) {
	l := h.spec.Linux
	if l == nil {
		return
	}
	for i, p := range l.MaskedPaths {
		to := h.facts.leadsTo(p)
		if m := t.at(to.To); to.Exists && (m.At != to.To || !m.isMask()) && !h.insideMask(t, to.To) {
			h.found(factMasked, fmt.Sprintf("/linux/maskedPaths/%d", i), path.Clean(p)+" is not masked", "nothing to be seen there")
		}
	}
	for i, p := range l.ReadonlyPaths {
		to := h.facts.leadsTo(p)
		if m := t.at(to.To); to.Exists && !m.has("ro") && !m.isMask() {
			h.found(factReadonly, fmt.Sprintf("/linux/readonlyPaths/%d", i), path.Clean(p)+" can be written", "a read-only one")
		}
	}
}

// insideMask: a folder above it is masked.
func (h *holder) insideMask(t tree, p string) bool {
	return slices.ContainsFunc(h.spec.Linux.MaskedPaths, func(other string) bool {
		to := h.facts.leadsTo(other).To
		return under(p, to) && t.at(to).At == to && t.at(to).isMask()
	})
}
