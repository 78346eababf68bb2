package bundle

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"runclamp/enforce"
	"runclamp/enforce/apparmor"
	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Host is where facts come from that are not about the bundle.
type Host struct {
	// Sys and Proc are where sysfs and procfs are mounted.
	Sys, Proc string
	// UserNamespace: this is not the initial one, and who owns what can't be told (user_namespaces(7)).
	UserNamespace bool
}

// Facts finds out what a decision about a configuration under a policy has to know of the host.
func (b *Bundle) Facts(c *Config, p policy.Controls, h Host) (enforce.Facts, error) {
	f := enforce.Facts{BundlePath: b.Path, UserNamespace: h.UserNamespace, Unknown: c.Unknown()}
	var paths []string
	for _, t := range p.ReadOnlyRootfs.Tmpfs {
		if t.CopyUp {
			paths = append(paths, t.Path)
		}
	}
	err := b.inRoot(c.Spec.Root, func(root int) error {
		var err error
		if f.ImageContent, err = imageContent(root, paths); err != nil {
			return err
		}
		if p.NonRoot.Action != policy.Off && p.NonRoot.Passwd {
			f.Names, err = imageNames(root)
		}
		return err
	})
	if err != nil {
		return f, err
	}
	if p.AppArmor.Action != policy.Off {
		if f.AppArmor, err = h.AppArmor(); err != nil {
			return f, err
		}
	}
	if p.NonRoot.Action != policy.Off {
		f.Owners = owners(c.Spec.Mounts)
	}
	if p.Resources.Action != policy.Off {
		if f.HardLimits, err = hardLimits(p.Resources.Rlimits); err != nil {
			return f, err
		}
		if f.OOMScoreAdj, err = ownOOMScoreAdj(); err != nil {
			return f, err
		}
	}
	if p.HostNamespaces.Action != policy.Off || p.Sysctls.Action != policy.Off {
		if f.Namespaces, err = h.namespaces(c.Spec.Linux); err != nil {
			return f, err
		}
	}
	if p.Hooks.Action != policy.Off {
		f.Hooks = h.hooks(c.Spec.Hooks)
	}
	return f, nil
}

// hardLimits are what a container inherits of the limits that the policy names: the delegate gets them from this process.
func hardLimits(named policy.Rlimits) (map[string]uint64, error) {
	resources := map[string]int{
		"RLIMIT_AS": unix.RLIMIT_AS, "RLIMIT_CORE": unix.RLIMIT_CORE, "RLIMIT_CPU": unix.RLIMIT_CPU, "RLIMIT_DATA": unix.RLIMIT_DATA,
		"RLIMIT_FSIZE": unix.RLIMIT_FSIZE, "RLIMIT_LOCKS": unix.RLIMIT_LOCKS, "RLIMIT_MEMLOCK": unix.RLIMIT_MEMLOCK,
		"RLIMIT_MSGQUEUE": unix.RLIMIT_MSGQUEUE, "RLIMIT_NICE": unix.RLIMIT_NICE, "RLIMIT_NOFILE": unix.RLIMIT_NOFILE,
		"RLIMIT_NPROC": unix.RLIMIT_NPROC, "RLIMIT_RSS": unix.RLIMIT_RSS, "RLIMIT_RTPRIO": unix.RLIMIT_RTPRIO,
		"RLIMIT_RTTIME": unix.RLIMIT_RTTIME, "RLIMIT_SIGPENDING": unix.RLIMIT_SIGPENDING, "RLIMIT_STACK": unix.RLIMIT_STACK,
	}
	found := make(map[string]uint64, len(named))
	for name := range named {
		which, ok := resources[name]
		if !ok {
			return nil, fmt.Errorf("no limit is called %s", name)
		}
		var limit unix.Rlimit
		// Go raises the soft limit of open files at its start. The hard one is as it was.
		if err := unix.Getrlimit(which, &limit); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		found[name] = limit.Max
	}
	return found, nil
}

// ownOOMScoreAdj is what a container inherits.
func ownOOMScoreAdj() (int, error) {
	const path = "/proc/self/oom_score_adj"
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	score, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return score, nil
}

// owners are who the writable folders belong to that are bound into the container. What can't be found out is left to the
// delegate, which has to bind it.
func owners(mounts []specs.Mount) map[string]enforce.Owner {
	found := map[string]enforce.Owner{}
	for _, m := range mounts {
		if !filepath.IsAbs(m.Source) || slices.Contains(m.Options, "ro") || slices.Contains(m.Options, "rro") {
			continue
		}
		var st unix.Stat_t
		if err := unix.Stat(m.Source, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
			continue
		}
		found[m.Source] = enforce.Owner{UID: st.Uid, GID: st.Gid, Mode: st.Mode & 0o7777}
	}
	return found
}

// AppArmor asks the kernel.
func (h Host) AppArmor() (enforce.AppArmor, error) {
	state, err := apparmor.ReadState(h.Sys)
	if err != nil || !state.Enabled {
		return enforce.AppArmor{}, err
	}
	a := enforce.AppArmor{Enabled: true}
	if !state.Enforces() {
		a.Permissive = state.Mode
		return a, nil
	}
	if state.Profiles != nil {
		a.Loaded = map[string]bool{}
	}
	for _, p := range state.Profiles {
		if p.Enforced() {
			a.Loaded[p.Name] = true
		}
	}
	return a, nil
}

// inRoot opens the container's root filesystem.
func (b *Bundle) inRoot(root *specs.Root, do func(fd int) error) error {
	if root == nil {
		return nil
	}
	path := root.Path
	if !filepath.IsAbs(path) {
		path = filepath.Join(b.Path, path)
	}
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("the root filesystem %s: %w", path, err)
	}
	return errors.Join(do(fd), unix.Close(fd))
}

// openInRoot opens a file of the container's root filesystem. A link leads to where it leads inside the container. Before
// Linux 5.6 there is no openat2(2), and nothing else resolves links inside of a root without a race.
func openInRoot(root int, path string, flags uint64) (int, error) {
	return unix.Openat2(root, path, &unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
}

// imageContent says which of the paths are folders in the container's root filesystem that have something in them. What can't be found
// out counts as not there.
func imageContent(root int, paths []string) (found map[string]bool, err error) {
	for _, p := range paths {
		f, openErr := openInRoot(root, p, unix.O_RDONLY|unix.O_DIRECTORY)
		if openErr != nil {
			continue
		}
		folder := os.NewFile(uintptr(f), p)
		// Not even "." and ".." are among the names. At the end of an empty folder there is io.EOF.
		if names, _ := folder.Readdirnames(1); len(names) > 0 {
			if found == nil {
				found = map[string]bool{}
			}
			found[p] = true
		}
		err = errors.Join(err, folder.Close())
	}
	return found, err
}

// maxNames is the most that a file of users or groups may have.
const maxNames = 1 << 20

// imageNames reads the image's users and groups. A file that it does not have is empty.
func imageNames(root int) (*enforce.Names, error) {
	var n enforce.Names
	for path, text := range map[string]*string{"etc/passwd": &n.Passwd, "etc/group": &n.Group} {
		at, err := openInRoot(root, path, unix.O_PATH)
		if err != nil {
			continue
		}
		data, err := readImageFile(at, path)
		if err := errors.Join(err, unix.Close(at)); err != nil {
			return nil, err
		}
		*text = string(data)
	}
	return &n, nil
}

// readImageFile reads a file that was opened with O_PATH.
func readImageFile(at int, path string) ([]byte, error) {
	f, _, err := openImageFile(at, path)
	if err != nil {
		return nil, err
	}
	data, _, err := readRegular(f, maxNames)
	return data, errors.Join(err, f.Close())
}

// openImageFile opens for reading what was opened with O_PATH, which has looked at nothing yet. An image may have a device in its
// place, and to open one is to use it: a watchdog begins to count, a tape rewinds.
func openImageFile(at int, path string) (*os.File, unix.Stat_t, error) {
	name := "the image's /" + strings.TrimPrefix(path, "/")
	var st unix.Stat_t
	if err := unix.Fstat(at, &st); err != nil {
		return nil, st, fmt.Errorf("%s: %w", name, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, st, fmt.Errorf("%s is not a regular file", name)
	}
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", at), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, st, fmt.Errorf("%s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), st, nil
}
