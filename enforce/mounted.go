package enforce

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// MountSettings are what a container's mounts are held to at start, when they are made. The sources were judged at create;
// whoever can write to a folder on the way to one may have put another in its place before the delegate came to mount it
// (CVE-2021-30465 was such a race, inside of the container). They are kept with the container: a start reads no policy.
type MountSettings struct {
	Action policy.Action `json:"action"`
	// Lifted are the findings that an exception lifts.
	Lifted []LiftedFinding `json:"lifted,omitempty"`
	// Root is where the root filesystem was when it was decided about, Sources where the sources of bind mounts were, by the
	// source as config.json has it. What could not be found is not there.
	Root    Place            `json:"root,omitzero"`
	Sources map[string]Place `json:"sources,omitempty"`
	// Places are for what is mounted below a source, and may have come since.
	Places Places `json:"places,omitzero"`
}

// NewMountSettings are those of a decision about a configuration. clamped is the one that comes of it; nil, if that was refused.
func NewMountSettings(p policy.Policy, f Facts, clamped *specs.Spec) MountSettings {
	s := MountSettings{Action: p.Controls.HostMounts.Action}
	if s.Action == policy.Off {
		return s
	}
	s.Lifted, s.Places, s.Sources = liftedOf("hostMounts", p), f.Mounts.Places, map[string]Place{}
	if f.Mounts.Root.Unknown == "" {
		s.Root = f.Mounts.Root.Place
	}
	for name, source := range f.Mounts.Sources {
		if source.Unknown == "" {
			s.Sources[name] = source.Place
		}
	}
	if clamped == nil {
		return s
	}
	for _, m := range clamped.Mounts {
		// They are not there yet.
		if bundle := f.Mounts.Bundle; runclampsOwn(f.BundlePath, m) && bundle.Unknown == "" {
			bundle.Inside = path.Join(bundle.Inside, path.Base(m.Source))
			s.Sources[m.Source] = bundle.Place
		}
	}
	return s
}

// Mounted is a mount that a container has.
type Mounted struct {
	// At is where, seen from its root.
	At string
	Place
	// Delegates: the delegate makes it by itself, of something that nobody else can change: a mask, a device.
	Delegates bool
	// Started: the container has been running since it was mounted.
	Started bool
}

// DecideMounted holds what is mounted in a container against what was decided about. at is where a destination leads to in
// there: images have links.
//
// At the destination of a bind mount there is what was decided about, by its place in its filesystem, whatever name leads
// there. What else there is came with it (rbind), and is judged by its place, or is of a type that the delegate mounts anew.
// The findings have the name that those about the configuration have, so that the same exceptions lift them; of each mount
// of the configuration there is one at most.
func DecideMounted(s MountSettings, spec *specs.Spec, mounts []Mounted, at func(destination string) string, now time.Time) []Finding {
	if s.Action == policy.Off {
		return nil
	}
	c := mountedCheck{settings: s, asked: []askedMount{{at: "/", pointer: "/root/path", detail: "root", bind: true, root: true, place: s.Root}}}
	for i, m := range spec.Mounts {
		c.asked = append(c.asked, askedMount{
			at: at(m.Destination), pointer: fmt.Sprintf("/mounts/%d/source", i), detail: m.Source, bind: isBind(m), place: s.Sources[m.Source],
		})
	}
	for _, m := range mounts {
		f, bad := c.check(m)
		if !bad || slices.ContainsFunc(c.found, func(o Finding) bool { return o.Pointer == f.Pointer && o.Detail == f.Detail }) {
			continue
		}
		f.Control = "hostMounts"
		if f.Action = settle(s.Action, f); lifted(s.Lifted, f, now) {
			f.Action = policy.Audit
		}
		c.found = append(c.found, f)
	}
	slices.SortStableFunc(c.found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Pointer, b.Pointer), cmp.Compare(a.Detail, b.Detail))
	})
	return c.found
}

// askedMount is a mount of the configuration, or its root filesystem, which is bound as well.
type askedMount struct {
	at, pointer, detail string
	bind, root          bool
	// place is the one that was decided about.
	place Place
}

// fromHost: what is mounted below it comes with it.
func (a askedMount) fromHost() bool { return a.bind && !a.root }

type mountedCheck struct {
	settings MountSettings
	asked    []askedMount
	found    []Finding
}

func (c *mountedCheck) check(m Mounted) (Finding, bool) {
	// What comes later covers. here are those that have this destination, over is the one that it is in.
	over, here := c.asked[0], []askedMount(nil)
	for _, a := range c.asked {
		if within(m.At, a.at) && len(a.at) >= len(over.at) {
			over = a
		}
		if m.At == a.at {
			here = append(here, a)
		}
	}
	bound := slices.IndexFunc(here, func(a askedMount) bool { return a.bind })
	switch {
	case m.Delegates:
		return Finding{}, false
	case bound >= 0:
		if slices.ContainsFunc(here, func(a askedMount) bool {
			return a.bind && (a.place.is(m.Place) || c.replaced(a.place, m)) || !a.bind && c.fresh(m.Place)
		}) {
			return Finding{}, false
		}
		return c.another(m, here[bound]), true
	case slices.ContainsFunc(c.asked, func(a askedMount) bool { return a.bind && a.place.has(m.Place) }):
		return Finding{}, false // a folder of it, made read-only
	case !over.fromHost() && c.fresh(m.Place):
		return Finding{}, false
	}
	why := c.settings.Places.Judge(m.Place)
	f := Finding{Detail: m.At, Pointer: "/mounts", Found: fmt.Sprintf("%s is mounted at %s: %s", m.Place, m.At, why), Wanted: "nothing of the host's own", Mend: "find out which hook mounts it"}
	if over.fromHost() {
		f.Detail, f.Pointer, f.Mend = over.detail, over.pointer, "bind what is needed, and not what contains it"
	}
	return f, why != ""
}

// replaced: while the container ran, what was decided about was moved away and then removed. So editors do with a file that they write anew
// (vim's backup). By its last name it must be none of the host's own.
func (c *mountedCheck) replaced(decided Place, m Mounted) bool {
	last, removed := m.Place, false
	last.Inside, removed = strings.CutSuffix(m.Inside, "//deleted")
	return removed && m.Started && decided.Device != "" && decided.Device == m.Device && c.settings.Places.Judge(last) == ""
}

// another is the finding that something else is mounted than what was decided about.
func (c *mountedCheck) another(m Mounted, a askedMount) Finding {
	f := Finding{
		Detail: a.detail, Pointer: a.pointer, Found: fmt.Sprintf("%s is mounted at %s", m.Place, m.At), Wanted: "what was decided about",
		Mend: "it was changed between create and start: let nobody else write to the folders that lead there, and create the container again",
	}
	if m.Started {
		// By its path alone, a file that a log's rotation has moved can't be told from one that was swapped.
		f.Mend = "if nobody has moved it on the host since (mv, logrotate), it was changed before the start, or mounted by hand: make the container anew"
	}
	if why := c.settings.Places.Judge(m.Place); why != "" && why != notLookedFor {
		f.Found += ", " + why
	}
	if a.place.Device != "" {
		f.Wanted = a.place.String() + ", which was decided about"
	}
	return f
}

// fresh: the delegate mounts filesystems of this type anew. The host's own /run is a tmpfs as well.
func (c *mountedCheck) fresh(p Place) bool {
	switch p.Type {
	case "proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2":
		return true
	case "tmpfs":
		return !slices.ContainsFunc(c.settings.Places.Host, func(h HostPlace) bool { return h.Device == p.Device })
	}
	return false
}

// is: it is the same place. What was removed since is marked so (fs/d_path.c).
func (p Place) is(other Place) bool {
	return p.Device != "" && p.Device == other.Device && (p.Inside == other.Inside || p.Inside+"//deleted" == other.Inside)
}

// has: another place is the same, or in it.
func (p Place) has(other Place) bool {
	return p.Device != "" && p.Device == other.Device && within(other.Inside, p.Inside)
}

func (p Place) String() string { return fmt.Sprintf("%s on the %s %s", p.Inside, p.Type, p.Device) }
