package bundle

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"runclamp/enforce"
	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Facts finds out what a decision about a configuration under a policy has to know of the host.
func (b *Bundle) Facts(c *Config, p policy.Controls) (enforce.Facts, error) {
	var paths []string
	for _, t := range p.ReadOnlyRootfs.Tmpfs {
		if t.CopyUp {
			paths = append(paths, t.Path)
		}
	}
	folders, err := b.imageFolders(c.Spec.Root, paths)
	return enforce.Facts{ImageFolders: folders}, err
}

// imageFolders says which of the paths are folders in the container's root filesystem. A link leads to where it leads
// inside the container. What can't be found out counts as not there.
func (b *Bundle) imageFolders(root *specs.Root, paths []string) (map[string]bool, error) {
	if root == nil || len(paths) == 0 {
		return nil, nil
	}
	path := root.Path
	if !filepath.IsAbs(path) {
		path = filepath.Join(b.Path, path)
	}
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("the root filesystem %s: %w", path, err)
	}
	dir := os.NewFile(uintptr(fd), path)
	found := map[string]bool{}
	for _, p := range paths {
		// Before Linux 5.6 there is no openat2(2), and nothing else resolves links inside of a root without a race.
		how := &unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
		f, openErr := unix.Openat2(fd, p, how)
		if openErr != nil {
			continue
		}
		found[p] = true
		err = errors.Join(err, unix.Close(f))
	}
	return found, errors.Join(err, dir.Close())
}
