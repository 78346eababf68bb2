package shim

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"runclamp/bundle"
	"runclamp/enforce/policy"

	"golang.org/x/sys/unix"
)

// A policy of a thousand rules takes 25 ms to read as YAML, half as long as it takes to start a container. So a large one is also
// kept in a form of which only the rule that matches is decoded (policy.File.Keep), in a folder that root alone can write. It is a help
// and nothing more: whatever is wrong with it, the policy itself is read. (A rule that can't be decoded although the hash is right would be an
// error of Keep's, and refuses.)

const (
	// cacheFrom is the size of a policy, in bytes, from which it is worth it.
	cacheFrom = 16 << 10
	// maxCached is the most that is read back.
	maxCached = 16 << 20
)

// policyCache is the kept form of one policy.
type policyCache struct {
	// dir is the folder, name the policy's.
	dir, name string
	// key is of the policy's text and of this very program: another one may read the same text differently.
	key string
}

// through gives the policy whose text has the hash sum: as it is kept, or as it is read, and kept from then on.
func (c policyCache) through(sum string, read func() (*policy.File, error)) (*policy.File, error) {
	var self unix.Stat_t
	if err := unix.Stat("/proc/self/exe", &self); err != nil {
		return read()
	}
	// Of two releases, size and time of modification may be the same (packages that set it), and a number that is given out again. Nobody sets ctime.
	c.key = fmt.Sprintf("%s %d %d %d %d.%d %d.%d", sum, self.Dev, self.Ino, self.Size, self.Mtim.Sec, self.Mtim.Nsec, self.Ctim.Sec, self.Ctim.Nsec)
	if f, err := c.load(); err == nil {
		return f, nil
	}
	f, err := read()
	if err == nil {
		// Not to be able to keep it makes the next start slower, and nothing wrong.
		_ = c.store(f)
	}
	return f, err
}

// open opens the folder, and makes it if need be.
func (c policyCache) open(create bool) (int, error) {
	if create {
		if err := unix.Mkdir(c.dir, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
			return -1, err
		}
	}
	fd, err := unix.Open(c.dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil {
		err = bundle.OnlyRoots(c.dir, st)
	}
	if err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

// load gives the policy, or an error of any kind.
func (c policyCache) load() (f *policy.File, err error) {
	dir, err := c.open(false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unix.Close(dir)) }()
	fd, err := unix.Openat(dir, c.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	data, err := readOpened(os.NewFile(uintptr(fd), filepath.Join(c.dir, c.name)), maxCached, false)
	if err != nil {
		return nil, err
	}
	return c.decode(data)
}

// encode gives what is kept of a policy: a line, and what it is about.
func (c policyCache) encode(f *policy.File) ([]byte, error) {
	text, err := f.Keep()
	return append(c.line(text), text...), err
}

// decode reads what encode wrote for the same key.
func (c policyCache) decode(data []byte) (*policy.File, error) {
	text := data[bytes.IndexByte(data, '\n')+1:]
	if !bytes.HasPrefix(data, c.line(text)) {
		return nil, errors.New("it is another policy's, another program's, or not as it was written")
	}
	return policy.ReadKept(text)
}

// line has a hash of the text that it stands in front of, so that none of it can be missing or changed.
func (c policyCache) line(text []byte) []byte {
	return fmt.Appendf(nil, "%s %x\n", c.key, sha256.Sum256(text))
}

// store keeps the policy.
func (c policyCache) store(f *policy.File) (err error) {
	data, err := c.encode(f)
	if err != nil {
		return err
	}
	dir, err := c.open(true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Close(dir)) }()
	// One temporary name, so that what a killed runclamp left behind does not pile up. Two that start at the same time may take
	// each other's file away: what can't be read back is written again.
	temp := "." + c.name
	if err := unix.Unlinkat(dir, temp, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	fd, err := unix.Openat(dir, temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(fd), filepath.Join(c.dir, temp))
	_, err = file.Write(data)
	if err = errors.Join(err, file.Close()); err == nil {
		err = unix.Renameat(dir, temp, dir, c.name)
	}
	if err != nil {
		return errors.Join(err, unix.Unlinkat(dir, temp, 0))
	}
	return nil
}
