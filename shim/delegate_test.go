package shim

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"runclamp/bundle"

	"golang.org/x/sys/unix"
)

// rootsOwn is a folder that only root can write, with only such folders above it. /tmp is not one, and from /run nothing
// can be executed on some hosts.
func rootsOwn(t *testing.T) string {
	t.Helper()
	needsRoot(t)
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

func needsRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("left out: only root has a folder that nobody else can write (make test runs as root)")
	}
}

func TestDelegate(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		arrange    func(conf, bin string) error
	}{
		{"good", "", func(string, string) error { return nil }},
		{"writable by the group", "chmod go-w", func(_, bin string) error { return os.Chmod(bin, 0o775) }},
		{"not root's", "belongs to UID 5, and must be root's: chown root", func(_, bin string) error { return os.Chown(bin, 5, 0) }},
		{"not executable", "/bin/runc is not executable: chmod +x /", func(_, bin string) error { return os.Chmod(bin, 0o644) }},
		{"folder writable", "chmod go-w", func(_, bin string) error { return os.Chmod(filepath.Dir(bin), 0o777) }},
		{"folder sticky", "(mode 1777): chmod go-w", func(_, bin string) error { return os.Chmod(filepath.Dir(bin), 0o777|os.ModeSticky) }},
		{"folder not root's", "belongs to UID 5", func(_, bin string) error { return os.Chown(filepath.Dir(bin), 5, 0) }},
		{"configuration folder writable", "chmod go-w", func(conf, _ string) error { return os.Chmod(conf, 0o777) }},
		{"a script", "/bin/runc is a script", func(_, bin string) error { return os.WriteFile(bin, []byte("#!/bin/sh\n"), 0o755) }},
		{"empty", "", func(_, bin string) error { return os.Truncate(bin, 0) }},
		{"a FIFO", "not a regular file", func(_, bin string) error { return errors.Join(os.Remove(bin), unix.Mkfifo(bin, 0o755)) }},
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

// TestJudgeProgram and TestOnlyRoots are the rules without the files.
func TestJudgeProgram(t *testing.T) {
	self := unix.Stat_t{Dev: 1, Ino: 2}
	for _, tt := range []struct {
		name          string
		st            unix.Stat_t
		want, guarded string
	}{
		{"good", unix.Stat_t{Mode: unix.S_IFREG | 0o755}, "", ""},
		{"for root only", unix.Stat_t{Mode: unix.S_IFREG | 0o500}, "", ""},
		{"somebody's", unix.Stat_t{Mode: unix.S_IFREG | 0o755, Uid: 65534}, "/x belongs to UID 65534, and must be root's: chown root /x", ""},
		{"group's", unix.Stat_t{Mode: unix.S_IFREG | 0o775}, "/x can be written by others than root (mode 0775): chmod go-w /x", ""},
		{"everybody's", unix.Stat_t{Mode: unix.S_IFREG | 0o757}, "chmod go-w /x", ""},
		{"not executable", unix.Stat_t{Mode: unix.S_IFREG | 0o644}, "/x is not executable: chmod +x /x", "chmod +x /x"},
		{"a folder", unix.Stat_t{Mode: unix.S_IFDIR | 0o755}, "/x is not a regular file", "not a regular file"},
		{"a device", unix.Stat_t{Mode: unix.S_IFCHR | 0o755}, "/x is not a regular file", "not a regular file"},
		{"ourselves", unix.Stat_t{Mode: unix.S_IFREG | 0o755, Dev: 1, Ino: 2}, "runclamp itself", "runclamp itself"},
		{"our inode elsewhere", unix.Stat_t{Mode: unix.S_IFREG | 0o755, Dev: 3, Ino: 2}, "", ""},
	} {
		for unchecked, want := range map[bool]string{false: tt.want, true: tt.guarded} {
			if err := judgeProgram("/x", tt.st, self, unchecked); !says(err, want) {
				t.Errorf("%s, unchecked %v: got %v, want %q", tt.name, unchecked, err, want)
			}
		}
	}
}

func TestOnlyRoots(t *testing.T) {
	for _, tt := range []struct {
		st   unix.Stat_t
		want string
	}{
		{unix.Stat_t{Mode: unix.S_IFDIR | 0o755}, ""},
		{unix.Stat_t{Mode: unix.S_IFDIR | 0o700, Gid: 5}, ""},
		{unix.Stat_t{Mode: unix.S_IFDIR | 0o755, Uid: 5}, "/d belongs to UID 5, and must be root's: chown root /d"},
		{unix.Stat_t{Mode: unix.S_IFDIR | 0o775}, "/d can be written by others than root (mode 0775): chmod go-w /d"},
		{unix.Stat_t{Mode: unix.S_IFDIR | 0o1777}, "(mode 1777): chmod go-w /d"},
		{unix.Stat_t{Mode: unix.S_IFDIR | 0o1757}, "chmod go-w /d"},
	} {
		if err := bundle.OnlyRoots("/d", tt.st); !says(err, tt.want) {
			t.Errorf("%o, UID %d: got %v, want %q", tt.st.Mode, tt.st.Uid, err, tt.want)
		}
	}
}

// says: err has want in it, or is nil where nothing is wanted.
func says(err error, want string) bool {
	if want == "" {
		return err == nil
	}
	return err != nil && strings.Contains(err.Error(), want)
}

func TestMapsAll(t *testing.T) {
	for text, want := range map[string]bool{
		"         0          0 4294967295\n": true, "0 100000 65536\n": false, "0 1000 1\n1 100000 65536\n": false, "": false, "0 0 1\n": false,
	} {
		if mapsAll(text) != want {
			t.Errorf("%q", text)
		}
	}
}

// TestUnchecked: outside the initial user namespace owners are left out, and everything else holds.
func TestUnchecked(t *testing.T) {
	dir := t.TempDir() // below a folder that everybody can write
	bin, link := filepath.Join(dir, "runc"), filepath.Join(dir, "delegate")
	if err := errors.Join(os.WriteFile(bin, []byte("x"), 0o755), os.Chmod(bin, 0o777), os.Symlink("runc", link)); err != nil {
		t.Fatal(err)
	}
	d, err := openDelegate(link, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.file.Close(); err != nil || !d.Unchecked || d.path != bin {
		t.Errorf("%+v, %v", d, err)
	}
	if _, err := openDelegate(link, false); err == nil {
		t.Error("a program that everybody can write was taken")
	}
	if _, err := openDelegate("/proc/self/exe", true); !errors.Is(err, errItself) {
		t.Errorf("ourselves: %v", err)
	}
	if err := os.Chmod(bin, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := openDelegate(link, true); !says(err, "chmod +x "+bin) {
		t.Error(err)
	}
}

// TestExecDelegate: what is executed is the file that was opened, whatever its name leads to by then; it sees the resolved
// path as its own name, the soft limit of open files as it was, and none of our descriptors.
func TestExecDelegate(t *testing.T) {
	const asked = "RUNCLAMP_TEST_EXEC"
	if path := os.Getenv(asked); path != "" {
		d, err := openDelegate(path, true)
		if err == nil {
			err = errors.Join(os.Remove(path), os.WriteFile(path, []byte("another"), 0o755))
		}
		if err == nil {
			runtime.GC()
			err = d.exec([]string{"-c", `echo "$0 $A $(ulimit -Sn)"; ls -l /proc/$$/fd`}, []string{"A=b", "PATH=/usr/bin:/bin"})
		}
		t.Fatal(err)
	}
	sh, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Skip("left out: no /bin/sh")
	}
	bin := filepath.Join(t.TempDir(), "runc")
	if err := os.WriteFile(bin, sh, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", `ulimit -Sn 77; exec "$0" "$@"`, os.Args[0], "-test.run=^TestExecDelegate$")
	cmd.Env = append(os.Environ(), asked+"="+bin)
	out, err := cmd.CombinedOutput()
	first, descriptors, _ := strings.Cut(string(out), "\n")
	if want := bin + " b 77"; err != nil || first != want || !strings.Contains(descriptors, "0 -> ") || strings.Contains(descriptors, "runc") {
		t.Errorf("%v, got %q, want %q and no descriptor of its own file", err, out, want)
	}
}
