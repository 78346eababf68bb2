package shim

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// rootsOwn is a folder that only root can write, with only such folders above it. /tmp is not one.
func rootsOwn(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("left out: only root has a folder that nobody else can write (make test runs as root)")
	}
	dir, err := os.MkdirTemp("/var/lib", "runclamp-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestDelegate(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		arrange    func(conf, bin string) error
	}{
		{"good", "", func(string, string) error { return nil }},
		{"writable by the group", "chmod go-w", func(_, bin string) error { return os.Chmod(bin, 0o775) }},
		{"not root's", "belongs to UID 5, and must be root's: chown root", func(_, bin string) error { return os.Chown(bin, 5, 0) }},
		{"not executable", "chmod +x", func(_, bin string) error { return os.Chmod(bin, 0o644) }},
		{"folder writable", "chmod go-w", func(_, bin string) error { return os.Chmod(filepath.Dir(bin), 0o777) }},
		{"folder sticky", "(mode 1777): chmod go-w", func(_, bin string) error { return os.Chmod(filepath.Dir(bin), 0o777|os.ModeSticky) }},
		{"folder not root's", "belongs to UID 5", func(_, bin string) error { return os.Chown(filepath.Dir(bin), 5, 0) }},
		{"configuration folder writable", "chmod go-w", func(conf, _ string) error { return os.Chmod(conf, 0o777) }},
		{"a folder", "not a regular file", func(_, bin string) error { return errors.Join(os.Remove(bin), os.Mkdir(bin, 0o755)) }},
		{"gone", "no such file", func(_, bin string) error { return os.Remove(bin) }},
		{"ourselves", "runclamp itself", func(conf, _ string) error {
			link := filepath.Join(conf, "delegate")
			return errors.Join(os.Remove(link), os.Symlink("/proc/self/exe", link))
		}},
		{"by way of somebody's link", "chmod go-w", func(conf, bin string) error {
			other := filepath.Join(filepath.Dir(conf), "other")
			link := filepath.Join(conf, "delegate")
			return errors.Join(os.Mkdir(other, 0o755), os.Symlink(bin, filepath.Join(other, "runc")), os.Chmod(other, 0o777),
				os.Remove(link), os.Symlink(filepath.Join(other, "runc"), link))
		}},
		{"round in circles", "too many levels", func(conf, _ string) error {
			link := filepath.Join(conf, "delegate")
			return errors.Join(os.Remove(link), os.Symlink("delegate", link))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := rootsOwn(t)
			conf, bin := filepath.Join(dir, "conf"), filepath.Join(dir, "bin", "runc")
			for _, err := range []error{
				os.Mkdir(conf, 0o755), os.Mkdir(filepath.Dir(bin), 0o755),
				os.WriteFile(bin, []byte("x"), 0o755), os.Symlink("../bin/runc", filepath.Join(conf, "delegate")),
				tt.arrange(conf, bin),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			d, err := Runtime{ConfDir: conf}.delegate()
			if err == nil {
				defer d.file.Close()
			}
			switch {
			case tt.want == "" && (err != nil || d.path != bin):
				t.Errorf("%s, %v", d.path, err)
			case tt.want != "" && tt.name == "ourselves":
				// The test program lies in a folder of the tool's choice; one of the two reasons is enough.
				if err == nil {
					t.Error("it would call itself for ever")
				}
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
