package shim

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// smallDisk puts a file system of its own under the bundle, with the configuration in it.
func smallDisk(t *testing.T, l lab, flags uintptr) {
	t.Helper()
	if err := unix.Mount("tmpfs", l.bundle, "tmpfs", 0, "size=64k,mode=700"); err != nil {
		t.Fatalf("a tmpfs to fill: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(l.bundle, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := os.Mkdir(filepath.Join(l.bundle, "rootfs"), 0o755); err != nil {
		t.Fatal(err)
	}
	l.write(t, filepath.Join(l.bundle, "config.json"), dockerLike)
	if flags != 0 {
		if err := unix.Mount("", l.bundle, "", unix.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
		return
	}
	// Up to the last page but one: there is room for the record or for the configuration, and not for both.
	full, err := os.Create(filepath.Join(l.bundle, "full"))
	if err != nil {
		t.Fatal(err)
	}
	page := make([]byte, 4096)
	for err == nil {
		_, err = full.Write(page)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	if err := full.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFullDisk: a bundle that can't be written is refused, with the configuration as it was and nothing half-written.
func TestFullDisk(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		flags      uintptr
		free       int64
	}{
		{"full", "no space left on device", 0, 0},
		{"full after the record", "no space left on device", 0, 8192},
		{"read-only", "read-only file system", unix.MS_RDONLY, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t)
			l.policy(t, "audit: {log: LOG}\n")
			smallDisk(t, l, tt.flags)
			if tt.free > 0 {
				full := filepath.Join(l.bundle, "full")
				info, err := os.Stat(full)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.Truncate(full, info.Size()-tt.free); err != nil {
					t.Fatal(err)
				}
			}
			l.mustRefuse(t, tt.want, "create", "--bundle", l.bundle, "c1")
			if text, err := os.ReadFile(filepath.Join(l.bundle, "config.json")); err != nil || string(text) != dockerLike {
				t.Errorf("config.json is %s, %v", text, err)
			}
			for _, name := range strings.Fields(names(t, l.bundle)) {
				if strings.HasPrefix(name, ".") {
					t.Errorf("%s was left behind", name)
				}
			}
			// What was decided and what then went wrong are two lines.
			if lines := strings.Split(strings.TrimSpace(l.log(t)), "\n"); len(lines) != 2 || !strings.Contains(lines[0], `"verdict":"fixed"`) || !strings.Contains(lines[1], `"verdict":"refused"`) || !strings.Contains(lines[1], tt.want) {
				t.Errorf("the audit log has %q", lines)
			}
		})
	}
}

// TestFullAuditLog: as with any other log that can't be written, and the line that fits only in part is a line of its own.
func TestFullAuditLog(t *testing.T) {
	for required, verdict := range map[string]string{"false": "", "true": "and the policy requires it"} {
		t.Run("required: "+required, func(t *testing.T) {
			l := newLab(t)
			l.policy(t, "audit: {log: LOG, required: "+required+"}\n")
			dir := filepath.Join(l.dir, "audit")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4k,mode=700"); err != nil {
				t.Fatalf("a tmpfs to fill: %v", err)
			}
			defer func() {
				if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
					t.Error(err)
				}
			}()
			l.write(t, filepath.Join(dir, "log"), strings.Repeat("x", 4000)+"\n")
			if verdict != "" {
				l.mustRefuse(t, verdict, "create", "--bundle", l.bundle, "c1")
				if names := names(t, l.bundle); names != "config.json rootfs" {
					t.Errorf("the bundle has %s", names)
				}
				return
			}
			log := filepath.Join(l.dir, "errors")
			l.mustRun(t, "--root", l.root, "--log", log, "create", "c1")
			if text, err := os.ReadFile(log); err != nil || !strings.Contains(string(text), "the audit log") {
				t.Errorf("%s, %v", text, err)
			}
		})
	}
}

// TestManyAtOnce: 64 creates at the same time, while the policy is replaced by another and back. Each container is as one of the two
// wants it, whole; and nothing is left behind.
func TestManyAtOnce(t *testing.T) {
	l := newLab(t)
	const head = "apiVersion: runclamp/v1\naudit: {log: %s}\ncontrols:\n  nonRoot: {assign: {uid: %d, gid: %d}}\n"
	// So large that it is kept.
	rules := "rules:\n"
	for i := range 300 {
		rules += fmt.Sprintf("- {name: rule-%d, match: {engine: kubernetes, namespace: namespace-%d}, controls: {}}\n", i, i)
	}
	policies := [2]string{}
	for i, id := range []int{20001, 20002} {
		policies[i] = fmt.Sprintf(head, filepath.Join(l.dir, "audit", "log"), id, id) + rules
	}
	conf := filepath.Join(l.dir, "conf")
	replace := func(text string) error {
		return errors.Join(os.WriteFile(filepath.Join(conf, "new"), []byte(text), 0o644), os.Rename(filepath.Join(conf, "new"), filepath.Join(conf, "policy.yaml")))
	}
	if err := replace(policies[0]); err != nil {
		t.Fatal(err)
	}
	const many = 64
	for i := range many {
		if err := errors.Join(os.MkdirAll(filepath.Join(l.dir, fmt.Sprint("b", i), "rootfs"), 0o755)); err != nil {
			t.Fatal(err)
		}
		l.write(t, filepath.Join(l.dir, fmt.Sprint("b", i), "config.json"), dockerLike)
	}

	done := make(chan struct{})
	replaced := make(chan error, 1)
	go func() {
		var err error
		for i := 1; err == nil; i++ {
			select {
			case <-done:
				replaced <- nil
				return
			default:
				err = replace(policies[i%2])
			}
		}
		replaced <- err
	}()
	var wg sync.WaitGroup
	for i := range many {
		wg.Go(func() {
			out, err := exec.Command(l.runclamp, "--root", l.root, "create", "--bundle", filepath.Join(l.dir, fmt.Sprint("b", i)), fmt.Sprint("c", i)).CombinedOutput()
			if err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	wg.Wait()
	close(done)
	if err := <-replaced; err != nil {
		t.Fatal(err)
	}

	for i := range many {
		bundle := filepath.Join(l.dir, fmt.Sprint("b", i))
		text, err := os.ReadFile(filepath.Join(bundle, "config.json"))
		if err != nil || !strings.Contains(string(text), `"uid":20001,"gid":20001`) && !strings.Contains(string(text), `"uid":20002,"gid":20002`) {
			t.Errorf("%v: %s", err, text)
		}
		if got := names(t, bundle); got != "config.json rootfs runclamp.json" {
			t.Errorf("the bundle has %s", got)
		}
	}
	if lines := strings.Count(l.log(t), "\n"); lines != many {
		t.Errorf("%d lines in the audit log, want %d", lines, many)
	}
}
