// Package bundle is the OCI bundle on disk: a folder with config.json and a root filesystem. It reads strictly, edits
// without losing anything, writes atomically, and keeps runclamp's record of what it decided.
package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const (
	configName = "config.json"
	// tempPrefix and the name of the file make the one temporary name that is written before the rename. It is fixed, so
	// that what a killed runclamp left behind is overwritten by the next one and never piles up.
	tempPrefix = ".runclamp."
)

// Bundle is an open bundle. All of its files are reached through the folder's descriptor, so that nobody can put another
// folder under its name between two steps.
type Bundle struct {
	// Path is absolute.
	Path string
	dir  *os.File
}

// Open opens the bundle at an absolute path. The folder itself may not be a link, those above it may (/var/run is one).
// It may be written by its owner only.
func Open(path string) (*Bundle, error) {
	fd, err := unix.Open(path, unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR):
		return nil, fmt.Errorf("the bundle %s is not a folder (a link to one does not count)", path)
	case err != nil:
		return nil, fmt.Errorf("the bundle %s: %w", path, err)
	}
	b := &Bundle{Path: path, dir: os.NewFile(uintptr(fd), path)}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, errors.Join(fmt.Errorf("the bundle %s: %w", path, err), b.Close())
	}
	if st.Mode&0o022 != 0 {
		err := fmt.Errorf("the bundle %s can be written by others than its owner (mode %04o): chmod go-w %s", path, st.Mode&0o7777, path)
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// Close closes the folder.
func (b *Bundle) Close() error { return b.dir.Close() }

// Config is a configuration as it was found on disk.
type Config struct {
	*Document
	Spec *specs.Spec
	// stat is of the file it was read from: its successor gets the same owner and mode.
	stat unix.Stat_t
}

// ReadConfig reads config.json strictly.
func (b *Bundle) ReadConfig() (*Config, error) {
	data, st, err := b.read(configName, maxSize)
	if err != nil {
		return nil, err
	}
	doc, err := ParseDocument(data, reflect.TypeFor[specs.Spec]())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", configName, err)
	}
	var spec *specs.Spec
	if err := doc.Decode(&spec); err != nil {
		return nil, fmt.Errorf("%s: %w", configName, err)
	}
	if spec == nil {
		return nil, fmt.Errorf("%s: it is null", configName)
	}
	return &Config{Document: doc, Spec: spec, stat: st}, nil
}

// Write records a decision, and puts the clamped configuration in the place of the one that was read. What the
// configuration refers to comes first, and so does the record: a configuration that was clamped always has one.
//
// Each file is complete under its name or not there at all. Nothing is synced to the disk, because a bundle is worth
// nothing after a power cut.
func (b *Bundle) Write(was *Config, clamped []byte, files map[string]string, r Record) error {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		// The container's user reads them.
		if err := b.replace(name, []byte(files[name]), ours(0o644)); err != nil {
			return err
		}
	}
	if err := b.WriteRecord(clamped, r); err != nil {
		return err
	}
	// containerd 2.4 under dockerd makes it with mode 0666. Nobody but the owner shall change it from here on.
	st := was.stat
	st.Mode &^= 0o022
	if st.Mode == was.stat.Mode && bytes.Equal(clamped, was.Bytes()) {
		return nil
	}
	return b.replace(configName, clamped, st)
}

// WriteRecord records a decision about the configuration config, which is left as it is.
func (b *Bundle) WriteRecord(config []byte, r Record) error {
	r.ConfigSHA256 = digest(config)
	text, err := r.encode()
	if err != nil {
		return err
	}
	if len(text) > maxRecord {
		// start and exec could not read it.
		return fmt.Errorf("%s would have %d bytes, for %d findings: the configuration asks for too much", recordName, len(text), len(r.Findings))
	}
	return b.replace(recordName, text, ours(0o600))
}

// ours is a file of our own.
func ours(mode uint32) unix.Stat_t {
	return unix.Stat_t{Mode: mode, Uid: uint32(os.Geteuid()), Gid: uint32(os.Getegid())}
}

// read reads one of the bundle's files: a regular one, and no link.
func (b *Bundle) read(name string, most int64) ([]byte, unix.Stat_t, error) {
	var st unix.Stat_t
	path := filepath.Join(b.Path, name)
	// Without O_NONBLOCK a FIFO in its place would hold us up for ever.
	fd, err := unix.Openat(int(b.dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, st, fmt.Errorf("%s is a link, not a file", path)
	}
	if err != nil {
		return nil, st, fmt.Errorf("%s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	data, st, err := readRegular(f, most)
	return data, st, errors.Join(err, f.Close())
}

func readRegular(f *os.File, most int64) ([]byte, unix.Stat_t, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, st, fmt.Errorf("%s: %w", f.Name(), err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, st, fmt.Errorf("%s is not a regular file", f.Name())
	}
	if st.Size > most {
		return nil, st, fmt.Errorf("%s is larger than %d MiB", f.Name(), most>>20)
	}
	// To grow into the size in steps would touch three times the memory, all of it new to a process that has just begun.
	var b bytes.Buffer
	b.Grow(int(st.Size) + bytes.MinRead)
	_, err := b.ReadFrom(io.LimitReader(f, most+1))
	return b.Bytes(), st, err
}

// replace writes a file under the temporary name and renames it.
func (b *Bundle) replace(name string, data []byte, st unix.Stat_t) error {
	dir, temp := int(b.dir.Fd()), tempPrefix+name
	path := filepath.Join(b.Path, temp)
	if err := unix.Unlinkat(dir, temp, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("removing %s: %w", path, err)
	}
	fd, err := unix.Openat(dir, temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	_, err = f.Write(data)
	if err == nil {
		err = sameOwnerAndMode(f, st)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = unix.Renameat(dir, temp, dir, name)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", filepath.Join(b.Path, name), err), unix.Unlinkat(dir, temp, 0))
	}
	return nil
}

// sameOwnerAndMode: an engine that runs as another user must be able to read its configuration as before.
func sameOwnerAndMode(f *os.File, st unix.Stat_t) error {
	if st.Uid != uint32(os.Geteuid()) || st.Gid != uint32(os.Getegid()) {
		if err := f.Chown(int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	return unix.Fchmod(int(f.Fd()), st.Mode&0o7777)
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
