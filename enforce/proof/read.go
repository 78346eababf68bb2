package proof

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"runclamp/enforce/apparmor"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Host is where facts come from. Tests have folders of their own.
type Host struct {
	// Proc and Cgroups are where procfs and the control groups are mounted.
	Proc, Cgroups string
	// Programs asks for a process's seccomp filters.
	Programs func(pid int) ([]Program, error)
	// FilterLast: before it is started, under no-new-privileges the delegate installs the seccomp filter only when it has been told to start, right
	// before execve(2). So crun does (src/libcrun/container.c, container_init), and there is nothing to be read before.
	FilterLast bool
	// Started: the process has executed its program, so its AppArmor profile can be read, and it may have changed what it has a right to.
	Started bool
	// Rootless: this is not the initial user namespace, so the engine is somebody's own.
	Rootless bool
}

// errFilterLast is why a filter was not read.
var errFilterLast = errors.New("crun installs it after start, right before the program is executed")

// ThisHost is the one that this runs on.
func ThisHost() Host {
	return Host{Proc: "/proc", Cgroups: "/sys/fs/cgroup", Programs: programsOf}
}

// Process is a process that can't be taken for another: a PID is given out again, but not with the same start.
type Process struct {
	PID int
	// Start is field 22 of /proc/PID/stat.
	Start uint64
}

// ErrEnded: there is no such process any more.
var ErrEnded = errors.New("has ended")

// Read reads what a configuration says something about. It is an error if that process is not there any more, before or after: then
// nothing is known. What can't be read for another reason is in the facts' Unread.
func Read(h Host, p Process, spec *specs.Spec) (Facts, error) {
	r := reader{host: h, dir: filepath.Join(h.Proc, strconv.Itoa(p.PID)), spec: spec, facts: Facts{Rootless: h.Rootless, Started: h.Started}}
	if err := r.same(p); err != nil {
		return Facts{}, err
	}
	thread, err := r.living(p)
	if err != nil {
		return Facts{}, err
	}
	r.all(thread)
	r.dir = filepath.Join(h.Proc, strconv.Itoa(p.PID))
	// All of the process between two looks at one and the same start.
	if err := r.same(p); err != nil {
		return Facts{}, err
	}
	return r.facts, nil
}

type reader struct {
	host  Host
	dir   string
	spec  *specs.Spec
	facts Facts
	// life is of the process when it was last looked at.
	life life
	// buffer is what files are read into, one after the other.
	buffer bytes.Buffer
}

func (r *reader) same(p Process) error {
	text, err := r.file("stat")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("process %d %w", p.PID, ErrEnded)
	}
	if err != nil {
		return err
	}
	start, l, err := startOf(text)
	r.life = l
	switch {
	case err != nil:
		return err
	case start != p.Start:
		return fmt.Errorf("process %d was started at %d, the container's at %d: it is another one, and the container's %w", p.PID, start, p.Start, ErrEnded)
	case l == over:
		return fmt.Errorf("process %d %w", p.PID, ErrEnded)
	}
	return nil
}

// living is the thread to be looked at: the first one, or another where a program has ended that one and goes on with the others. Of a
// thread that has ended the kernel tells next to nothing, so the folder is the other one's from then on.
func (r *reader) living(p Process) (thread int, err error) {
	if r.life != headless {
		return p.PID, nil
	}
	// A program may make threads as fast as they end. It has ended only if there is none that went away while it was looked for.
	const tries = 10
	missed := false
	for range tries {
		missed = false
		threads, err := os.ReadDir(filepath.Join(r.dir, "task"))
		if err != nil {
			return 0, err
		}
		for _, t := range threads {
			text, err := r.file(filepath.Join("task", t.Name(), "stat"))
			if err != nil {
				missed = true
				continue
			}
			if _, l, err := startOf(text); err != nil || l != alive {
				continue
			}
			r.dir = filepath.Join(r.dir, "task", t.Name())
			return strconv.Atoi(t.Name())
		}
		if err := r.same(p); err != nil {
			return 0, err
		}
	}
	if missed {
		return 0, fmt.Errorf("process %d has no thread that stays to be looked at", p.PID)
	}
	return 0, fmt.Errorf("process %d %w", p.PID, ErrEnded)
}

// usual is how much there is to read at the most, if a host is not full of mounts, in bytes. It is room, and not a limit.
const usual = 16 << 10

func (r *reader) file(name string) (string, error) {
	f, err := os.Open(filepath.Join(r.dir, name))
	if err != nil {
		return "", err
	}
	r.buffer.Reset()
	r.buffer.Grow(usual)
	_, err = r.buffer.ReadFrom(f)
	return r.buffer.String(), errors.Join(err, f.Close())
}

// gap: an error means that a fact is not known.
func (r *reader) gap(fact string, err error) {
	if err != nil {
		r.facts.Unread = append(r.facts.Unread, Gap{fact, err})
	}
}

func (r *reader) all(pid int) {
	programs := make(chan error, 1)
	switch {
	case hasSeccomp(r.spec) && r.host.FilterLast && !r.host.Started && r.spec.Process != nil && r.spec.Process.NoNewPrivileges:
		programs <- errFilterLast
	case hasSeccomp(r.spec):
		// It has to be waited for, while the rest can be read.
		go func() {
			var err error
			r.facts.Programs, err = r.host.Programs(pid)
			programs <- err
		}()
	default:
		programs <- nil
	}
	r.gap(factStatus, r.status())
	r.gap(factMounts, r.mounts())
	r.namespaces()
	r.process()
	r.cgroup()
	r.label()
	r.gap(factProgram, <-programs)
}

// label is read where there is one: before its start a process shows the label that it is to lose (attr/exec can't be read from outside).
func (r *reader) label() {
	if p := r.spec.Process; !r.host.Started || p == nil || p.ApparmorProfile == "" {
		return
	}
	var err error
	r.facts.Label, err = apparmor.LabelOf(r.dir)
	r.gap(AppArmor, err)
}

func (r *reader) status() error {
	text, err := r.file("status")
	if err != nil {
		return err
	}
	s, err := parseStatus(text)
	if err != nil {
		return err
	}
	own, err := os.Readlink(filepath.Join(r.dir, "ns/user"))
	ours, err2 := os.Readlink(filepath.Join(r.host.Proc, "self/ns/user"))
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	// In a namespace that was not asked for, IDs are the host's all the same.
	if own != ours && hasUserNamespace(r.spec) {
		if err := r.translate(&s); err != nil {
			return err
		}
	}
	r.facts.Status = &s
	return nil
}

// translate: the kernel shows IDs as they are called here, and the configuration has them as they are called inside.
func (r *reader) translate(s *Status) error {
	read := func(name string) ([]IDMap, error) {
		text, err := r.file(name)
		if err != nil {
			return nil, err
		}
		return parseIDMap(text)
	}
	uids, err := read("uid_map")
	gids, err2 := read("gid_map")
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	s.UIDMap, s.GIDMap = uids, gids
	for i := range s.UIDs {
		s.UIDs[i], s.GIDs[i] = inside(uids, s.UIDs[i]), inside(gids, s.GIDs[i])
	}
	for i := range s.Groups {
		s.Groups[i] = inside(gids, s.Groups[i])
	}
	if r.facts.Rootless {
		// A rootless engine has no right to take its user's groups from the container (user_namespaces(7), setgroups).
		s.Groups = slices.DeleteFunc(s.Groups, func(g uint32) bool { return g == unmapped })
	}
	return nil
}

func (r *reader) mounts() (err error) {
	text, err := r.file("mountinfo")
	if err != nil {
		return err
	}
	mounts, err := ParseMounts(text)
	if err != nil {
		return err
	}
	if r.host.Started && !slices.ContainsFunc(mounts, func(m Mount) bool { return m.At == "/" }) {
		// The kernel shows no mounts but those below the root of the process (fs/proc_namespace.c), and servers take a folder of theirs for that.
		return errors.New("the program has changed its root (chroot(2)), and what is mounted outside of that can't be seen")
	}
	var paths []string
	for _, m := range r.spec.Mounts {
		paths = append(paths, m.Destination)
	}
	if l := r.spec.Linux; l != nil {
		paths = append(append(paths, l.MaskedPaths...), l.ReadonlyPaths...)
	}
	root, err := os.OpenRoot(filepath.Join(r.dir, "root"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	tree := newTree(mounts)
	to := map[string]Path{}
	for _, p := range paths {
		p = clean(p)
		// Nothing is a link that something is mounted on.
		if tree.at(p).At == p {
			continue
		}
		if to[p], err = resolve(root, p); err != nil {
			return err
		}
	}
	// Mounts without their paths can't be judged, so it is both or none.
	r.facts.Mounts, r.facts.Paths = mounts, to
	return nil
}

// clean: runc takes a path that is not absolute as if it were.
func clean(p string) string { return path.Clean("/" + p) }

// resolve follows the links of a path inside of a root.
func resolve(root *os.Root, p string) (Path, error) {
	const maxLinks = 40 // path_resolution(7)
	at, rest := "/", strings.Split(p, "/")
	for links := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, part)
		target, err := root.Readlink(next[1:])
		switch {
		case err == nil:
			if links++; links > maxLinks {
				return Path{}, fmt.Errorf("%s in the container: %w", p, unix.ELOOP)
			}
			if path.IsAbs(target) {
				at = "/"
			}
			rest = append(strings.Split(target, "/"), rest...)
		case errors.Is(err, unix.EINVAL): // no link
			at = next
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
			return Path{To: path.Join(append([]string{next}, rest...)...)}, nil
		default:
			return Path{}, fmt.Errorf("%s in the container: %w", p, err)
		}
	}
	return Path{To: at, Exists: true}, nil
}

// namespaceFile is what /proc/PID/ns calls a type.
func namespaceFile(t specs.LinuxNamespaceType) string {
	switch t {
	case specs.MountNamespace:
		return "mnt"
	case specs.NetworkNamespace:
		return "net"
	case specs.TimeNamespace:
		// Who has made one is put into it by execve(2) only (time_namespaces(7)).
		return "time_for_children"
	}
	return string(t)
}

func (r *reader) namespaces() {
	if r.spec.Linux == nil {
		return
	}
	r.facts.Namespaces = map[string]Namespace{}
	for _, n := range r.spec.Linux.Namespaces {
		file := "ns/" + namespaceFile(n.Type)
		own, err := os.Readlink(filepath.Join(r.dir, file))
		if err != nil {
			r.gap(factNamespaces, err)
			continue
		}
		ns := Namespace{Own: own}
		if n.Path != "" {
			// A path in /proc or a file that the namespace is mounted on.
			var st unix.Stat_t
			if err := unix.Stat(n.Path, &st); err != nil {
				r.gap(factNamespaces, fmt.Errorf("%s: %w", n.Path, err))
				continue
			}
			ns.Joined = fmt.Sprintf("%s:[%d]", strings.TrimSuffix(path.Base(file), "_for_children"), st.Ino)
		}
		for _, host := range []string{"self", "1"} {
			name, err := os.Readlink(filepath.Join(r.host.Proc, host, file))
			if err != nil {
				// Of the init, an engine without root can't tell. Its own is what counts then.
				if host == "self" {
					r.gap(factNamespaces, err)
				}
				continue
			}
			ns.Host = append(ns.Host, name)
		}
		r.facts.Namespaces[namespaceFile(n.Type)] = ns
	}
}

func (r *reader) process() {
	p := r.spec.Process
	if p == nil {
		return
	}
	if p.OOMScoreAdj != nil {
		text, err := r.file("oom_score_adj")
		var score int
		if err == nil {
			score, err = strconv.Atoi(strings.TrimSpace(text))
		}
		if err == nil {
			r.facts.OOMScoreAdj = &score
		}
		r.gap(factOOM, err)
	}
	if len(p.Rlimits) > 0 {
		text, err := r.file("limits")
		if err == nil {
			r.facts.Limits, err = parseLimits(text)
		}
		r.gap(factLimits, err)
	}
}

// cgroup reads the limits that the configuration has, under the names that they have in cgroup v1 or v2.
func (r *reader) cgroup() {
	pids, memory, cpu := cgroupLimits(r.spec)
	if pids == nil && memory == nil && cpu == nil {
		return
	}
	text, err := r.file("cgroup")
	if err != nil {
		r.gap(factCgroup, err)
		return
	}
	read := func(controller, v1, v2 string) (string, error) {
		dir, unified, err := r.controller(text, controller)
		if err != nil {
			return "", err
		}
		name := v1
		if unified {
			name = v2
		}
		value, err := os.ReadFile(filepath.Join(dir, name))
		// With systemd, crun puts the process into a group below the one with the limits, which hold there as well (cgroups(7)).
		for err == nil && unified && strings.HasPrefix(string(value), "max") && dir != filepath.Clean(r.host.Cgroups) {
			dir = filepath.Dir(dir)
			above, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				break // the topmost group has no limits
			}
			value = above
		}
		return strings.TrimSpace(string(value)), err
	}
	if pids != nil {
		value, err := read("pids", "pids.max", "pids.max")
		if err == nil {
			r.facts.Cgroup.Pids, err = cgroupNumber(value)
		}
		r.gap(factPids, err)
	}
	if memory != nil {
		value, err := read("memory", "memory.limit_in_bytes", "memory.max")
		if err == nil {
			r.facts.Cgroup.Memory, err = cgroupNumber(value)
		}
		r.gap(factMemory, err)
	}
	if cpu != nil {
		value, err := read("cpu", "cpu.cfs_quota_us", "cpu.max")
		if err == nil && !strings.Contains(value, " ") {
			var period string
			period, err = read("cpu", "cpu.cfs_period_us", "cpu.max")
			value += " " + period
		}
		if err == nil {
			r.facts.Cgroup.CPU, err = cgroupCPU(value)
		}
		r.gap(factCPU, err)
	}
}

// controller is the folder of the process's group for a controller: cgroup v1 has one for each, v2 one for all.
func (r *reader) controller(text, controller string) (dir string, unified bool, err error) {
	found := ""
	for line := range strings.Lines(text) {
		// hierarchy:controllers:path (cgroups(7)); the path may have colons.
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		switch {
		case len(f) != 3:
			return "", false, fmt.Errorf("cgroup: %q", line)
		case slices.Contains(strings.Split(f[1], ","), controller):
			dir, err := r.below(f[1], f[2])
			return dir, false, err
		case f[0] == "0" && f[1] == "":
			found = f[2]
		}
	}
	if found == "" {
		return "", false, fmt.Errorf("no control group of %s", controller)
	}
	dir, err = r.below("", found)
	return dir, true, err
}

// below: a group outside of our own cgroup namespace is shown with "/.." (cgroup_namespaces(7)), and nobody can read it.
func (r *reader) below(hierarchy, group string) (string, error) {
	if strings.HasPrefix(group, "/..") {
		return "", fmt.Errorf("the control group %s is outside of our cgroup namespace", group)
	}
	return filepath.Join(r.host.Cgroups, hierarchy, group), nil
}

func cgroupNumber(s string) (*int64, error) {
	n := int64(Unlimited)
	if s == "max" {
		return &n, nil
	}
	u, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return nil, err
	}
	n = int64(min(u, math.MaxInt64))
	return &n, nil
}

// cgroupCPU takes "quota period", in microseconds.
func cgroupCPU(s string) (*int64, error) {
	n := int64(Unlimited)
	quota, period, _ := strings.Cut(s, " ")
	if quota == "max" || quota == "-1" {
		return &n, nil
	}
	q, err := strconv.ParseInt(quota, 10, 64)
	p, err2 := strconv.ParseInt(period, 10, 64)
	if err := errors.Join(err, err2); err != nil || p <= 0 || q < 0 {
		return nil, fmt.Errorf("a CPU quota of %q: %w", s, err)
	}
	n = perSecond(q, p)
	return &n, nil
}

// perSecond is the time of each second, in microseconds.
func perSecond(quota, period int64) int64 { return int64(float64(quota) / float64(period) * 1e6) }
