package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"runclamp/enforce"
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
	f := enforce.Facts{BundlePath: b.Path}
	var paths []string
	for _, t := range p.ReadOnlyRootfs.Tmpfs {
		if t.CopyUp {
			paths = append(paths, t.Path)
		}
	}
	err := b.inRoot(c.Spec.Root, func(root int) error {
		var err error
		if f.ImageFolders, err = imageFolders(root, paths); err != nil {
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
		if f.AppArmor, err = appArmor(h.Sys); err != nil {
			return f, err
		}
	}
	if p.NonRoot.Action != policy.Off {
		f.Owners = owners(c.Spec.Mounts)
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

// appArmor asks the kernel. A kernel without it does not have the files.
func appArmor(sys string) (enforce.AppArmor, error) {
	enabled, err := os.ReadFile(filepath.Join(sys, "module/apparmor/parameters/enabled"))
	if errors.Is(err, fs.ErrNotExist) || err == nil && !strings.HasPrefix(string(enabled), "Y") {
		return enforce.AppArmor{}, nil
	}
	if err != nil {
		return enforce.AppArmor{}, fmt.Errorf("whether the kernel has AppArmor: %w", err)
	}
	a := enforce.AppArmor{Enabled: true, Loaded: map[string]bool{}}
	profiles, err := os.ReadFile(filepath.Join(sys, "kernel/security/apparmor/profiles"))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return a, nil // securityfs is not mounted, or not ours to read (a user namespace): nothing is known to be loaded
	}
	if err != nil {
		return a, fmt.Errorf("the loaded AppArmor profiles: %w", err)
	}
	for line := range strings.Lines(string(profiles)) {
		// apparmorfs writes "name (mode)".
		if name, ok := strings.CutSuffix(strings.TrimSpace(line), " (enforce)"); ok {
			a.Loaded[name] = true
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

// imageFolders says which of the paths are folders in the container's root filesystem. What can't be found out counts as not
// there.
func imageFolders(root int, paths []string) (found map[string]bool, err error) {
	for _, p := range paths {
		f, openErr := openInRoot(root, p, unix.O_PATH|unix.O_DIRECTORY)
		if openErr != nil {
			continue
		}
		if found == nil {
			found = map[string]bool{}
		}
		found[p] = true
		err = errors.Join(err, unix.Close(f))
	}
	return found, err
}

// maxNames is the most that a file of users or groups may have.
const maxNames = 1 << 20

// imageNames reads the image's users and groups. A file that it does not have is empty.
func imageNames(root int) (*enforce.Names, error) {
	var n enforce.Names
	for path, text := range map[string]*string{"etc/passwd": &n.Passwd, "etc/group": &n.Group} {
		fd, err := openInRoot(root, path, unix.O_RDONLY|unix.O_NONBLOCK)
		if err != nil {
			continue
		}
		f := os.NewFile(uintptr(fd), "the image's /"+path)
		data, _, err := readRegular(f, maxNames)
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
		*text = string(data)
	}
	return &n, nil
}
