package e2e

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
)

// imageStore makes the images, once, in the archive format that every engine loads.
type imageStore struct {
	place
	once sync.Once
	err  error
}

var images imageStore

const (
	bb = "docker.io/library/bb:latest"
	// pause is the sandbox image of the CRI. Its user is that of Kubernetes' own.
	pause = "docker.io/library/pause:local"
)

// archive is its path.
func (s *imageStore) archive() (string, error) {
	s.once.Do(func() {
		if s.err = s.create(); s.err == nil {
			s.err = errors.Join(s.makeRoot(), s.makePause(), s.pack())
		}
	})
	return s.file("images.tar"), s.err
}

// root has the files of "bb", to be copied.
func (s *imageStore) root() string { return s.file("bb") }

func (s *imageStore) remove() error { return s.wipe(true) }

// makeRoot makes the files of "bb": busybox, the probe, and a few users. /var/run leads to /run, as in most images.
func (s *imageStore) makeRoot() error {
	root := s.root()
	var errs []error
	for _, dir := range []string{"bin", "etc", "tmp", "usr/lib", "root", "var/tmp", "run/in-image", "data", "owned"} {
		errs = append(errs, os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	file := func(path, text string, mode os.FileMode) {
		errs = append(errs, os.WriteFile(filepath.Join(root, path), []byte(text), mode), os.Chmod(filepath.Join(root, path), mode))
	}
	file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:10001:10001:app:/home/app:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n", 0o644)
	file("etc/group", "root:x:0:root\ndisk:x:6:root\napp:x:10001:\n", 0o644)
	file("etc/shadow", "root:*::::::::\n", 0o600)
	errs = append(errs,
		os.Chmod(filepath.Join(root, "tmp"), 0o1777), os.Chmod(filepath.Join(root, "var/tmp"), 0o1777), os.Chmod(filepath.Join(root, "root"), 0o700),
		os.Chown(filepath.Join(root, "owned"), 10001, 10001),
		os.Symlink("../run", filepath.Join(root, "var/run")),
		run("cp", "/bin/busybox", filepath.Join(root, "bin/busybox")),
		run("chroot", root, "/bin/busybox", "--install", "-s", "/bin"),
		build(".", filepath.Join(root, "bin/probe"), "./probe"))
	return errors.Join(errs...)
}

func (s *imageStore) makePause() error {
	return errors.Join(os.Mkdir(s.file("pause"), 0o755), build(".", s.file("pause", "pause"), "./pause"))
}

// pack writes the archive: docker save's format, with a manifest that names a configuration and the layers of each image.
func (s *imageStore) pack() error {
	type manifest struct {
		Config           string
		RepoTags, Layers []string
	}
	var manifests []manifest
	files := []string{"manifest.json"}
	for _, image := range []struct {
		dir, tag string
		config   map[string]any
	}{
		{"bb", bb, map[string]any{"Cmd": []string{"/bin/sh"}}},
		{"pause", pause, map[string]any{"Entrypoint": []string{"/pause"}, "User": "65535:65535"}},
	} {
		layer, config := image.dir+"-layer.tar", image.dir+"-config.json"
		if err := run("tar", "-C", s.file(image.dir), "-cf", s.file(layer), "."); err != nil {
			return err
		}
		content, err := os.ReadFile(s.file(layer))
		if err != nil {
			return err
		}
		text, err := json.Marshal(map[string]any{
			"architecture": runtime.GOARCH, "os": "linux", "created": "2025-01-01T00:00:00Z", "config": image.config,
			"rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(content))}},
		})
		if err := errors.Join(err, os.WriteFile(s.file(config), text, 0o644)); err != nil {
			return err
		}
		manifests = append(manifests, manifest{config, []string{image.tag}, []string{layer}})
		files = append(files, config, layer)
	}
	text, err := json.Marshal(manifests)
	if err := errors.Join(err, os.WriteFile(s.file("manifest.json"), text, 0o644)); err != nil {
		return err
	}
	return run("tar", append([]string{"-C", s.dir, "-cf", s.file("images.tar")}, files...)...)
}
