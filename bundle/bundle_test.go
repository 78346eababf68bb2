package bundle

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"runclamp/enforce"
	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const plain = `{"ociVersion":"1.0.2","process":{"user":{"uid":0,"gid":0},"cwd":"/"},"root":{"path":"rootfs"}}`

func newBundle(t *testing.T, config string) *Bundle {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, configName), []byte(config), 0o640); err != nil {
		t.Fatal(err)
	}
	return open(t, dir)
}

func open(t *testing.T, dir string) *Bundle {
	t.Helper()
	b, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func readConfig(t *testing.T, b *Bundle) *Config {
	t.Helper()
	c, err := b.ReadConfig()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	link, file, open := filepath.Join(dir, "link"), filepath.Join(dir, "file"), filepath.Join(dir, "open")
	for _, err := range []error{os.Symlink(dir, link), os.WriteFile(file, nil, 0o600), os.Mkdir(open, 0o700), os.Chmod(open, 0o777)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		link: "a link to one does not count", file: "is not a folder",
		open: "chmod go-w", filepath.Join(dir, "none"): "no such file",
	} {
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
}

func TestReadConfigRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		arrange    func(path string) error
	}{
		{"missing", "no such file", os.Remove},
		{"link", "is a link", func(p string) error { return errors.Join(os.Rename(p, p+"x"), os.Symlink(p+"x", p)) }},
		{"fifo", "not a regular file", func(p string) error { return errors.Join(os.Remove(p), unix.Mkfifo(p, 0o600)) }},
		{"folder", "not a regular file", func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) }},
		{"too large", "larger than 4 MiB", func(p string) error { return os.Truncate(p, maxSize+1) }},
		{"null", "it is null", func(p string) error { return os.WriteFile(p, []byte("null"), 0o600) }},
		{"wrong type", "/process: wanted an object, found a list", func(p string) error { return os.WriteFile(p, []byte(`{"process":[]}`), 0o600) }},
		{"overflow", "/process/user/uid: wanted a number of the type uint32, found the number 4294967296", func(p string) error {
			return os.WriteFile(p, []byte(`{"process":{"user":{"uid":4294967296}}}`), 0o600)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBundle(t, plain)
			if err := tt.arrange(filepath.Join(b.Path, configName)); err != nil {
				t.Fatal(err)
			}
			if _, err := b.ReadConfig(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestWrite(t *testing.T) {
	b := newBundle(t, plain)
	c := readConfig(t, b)
	// What a killed runclamp left behind, and a link that somebody put there, are in nobody's way.
	if err := os.Symlink("/dev/null", filepath.Join(b.Path, tempPrefix+configName)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.Path, tempPrefix+recordName), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	clamped := []byte(`{"ociVersion":"1.0.2"}`)
	if err := b.Write(c, clamped, map[string]string{"runclamp.passwd": "x"}, Record{Source: "built-in preset hardened", Verdict: enforce.Fixed}); err != nil {
		t.Fatal(err)
	}

	after := readConfig(t, b)
	if string(after.Bytes()) != string(clamped) {
		t.Errorf("config.json is %s", after.Bytes())
	}
	if after.stat.Mode != c.stat.Mode || after.stat.Uid != c.stat.Uid || after.stat.Gid != c.stat.Gid {
		t.Errorf("mode and owner were %o %d:%d and are %o %d:%d", c.stat.Mode, c.stat.Uid, c.stat.Gid, after.stat.Mode, after.stat.Uid, after.stat.Gid)
	}
	r, err := b.ReadRecord(after)
	if err != nil || r.Verdict != enforce.Fixed || r.Source != "built-in preset hardened" {
		t.Errorf("the record is %+v, %v", r, err)
	}
	if names := names(t, b.Path); names != "config.json runclamp.json runclamp.passwd" {
		t.Errorf("the bundle has %s", names)
	}
	if info, err := os.Stat(filepath.Join(b.Path, "runclamp.passwd")); err != nil || info.Mode() != 0o644 {
		t.Errorf("the container's user can't read its name: %v, %v", info, err)
	}

	// The same configuration again: it stays the file it is, unless others could write it.
	if err := b.Write(after, clamped, nil, r); err != nil {
		t.Fatal(err)
	}
	if again := readConfig(t, b); again.stat.Ino != after.stat.Ino {
		t.Error("an unchanged config.json was written anew")
	}
	if err := os.Chmod(filepath.Join(b.Path, configName), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := b.Write(readConfig(t, b), clamped, nil, r); err != nil {
		t.Fatal(err)
	}
	if got := readConfig(t, b).stat.Mode & 0o777; got != 0o644 {
		t.Errorf("others can write it: mode %o", got)
	}
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// TestFactsOfTheHost: what the kernel knows of AppArmor, who owns what is bound, and the image's names.
func TestFactsOfTheHost(t *testing.T) {
	b := newBundle(t, plain)
	rootfs, sys, volume := filepath.Join(b.Path, "rootfs"), t.TempDir(), t.TempDir()
	text := func(path, text string) error {
		return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644))
	}
	for _, err := range []error{
		text(filepath.Join(rootfs, "etc/passwd"), "root:x:0:0:::\n"),
		os.Chmod(volume, 0o751),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	c := readConfig(t, b)
	c.Spec.Mounts = []specs.Mount{{Source: volume, Destination: "/v"}, {Source: sys, Destination: "/ro", Options: []string{"rbind", "ro"}},
		{Source: filepath.Join(rootfs, "etc/passwd")}, {Source: "proc"}, {Source: filepath.Join(b.Path, "gone")}}
	var p policy.Controls
	p.NonRoot = policy.NonRoot{Action: policy.Fix, Passwd: true}

	f, err := b.Facts(c, p, Host{Sys: sys})
	if err != nil {
		t.Fatal(err)
	}
	if f.AppArmor.Enabled || f.BundlePath != b.Path || f.Names == nil || *f.Names != (enforce.Names{Passwd: "root:x:0:0:::\n"}) {
		t.Errorf("%+v, names %+v", f, f.Names)
	}
	if o, ok := f.Owners[volume]; len(f.Owners) != 1 || !ok || o.Mode != 0o751 || int(o.UID) != os.Getuid() {
		t.Errorf("owners %+v", f.Owners)
	}

	// A kernel with AppArmor.
	for name, want := range map[string]bool{"Y\n": true, "N\n": false} {
		if err := errors.Join(text(filepath.Join(sys, "module/apparmor/parameters/enabled"), name),
			text(filepath.Join(sys, "kernel/security/apparmor/profiles"), "docker-default (enforce)\nloud (complain)\na b//c (enforce)\n")); err != nil {
			t.Fatal(err)
		}
		f, err := b.Facts(c, p, Host{Sys: sys})
		if err != nil || f.AppArmor.Enabled != want || want && (len(f.AppArmor.Loaded) != 2 || !f.AppArmor.Loaded["docker-default"] || !f.AppArmor.Loaded["a b//c"]) {
			t.Errorf("%q: %+v, %v", name, f.AppArmor, err)
		}
	}
	if err := errors.Join(text(filepath.Join(sys, "module/apparmor/parameters/enabled"), "Y"), text(filepath.Join(sys, "kernel/security/apparmor/profiles"), "loud (complain)\n")); err != nil {
		t.Fatal(err)
	}
	if f, err := b.Facts(c, p, Host{Sys: sys}); err != nil || !f.AppArmor.Enabled || f.AppArmor.Loaded == nil || len(f.AppArmor.Loaded) > 0 {
		t.Errorf("none that denies anything: %+v, %v", f.AppArmor, err)
	}
	if err := os.RemoveAll(filepath.Join(sys, "kernel")); err != nil {
		t.Fatal(err)
	}
	if f, err := b.Facts(c, p, Host{Sys: sys}); err != nil || !f.AppArmor.Enabled || f.AppArmor.Loaded != nil {
		t.Errorf("without securityfs: %+v, %v", f.AppArmor, err)
	}
}

func TestApplySaysWhatItDid(t *testing.T) {
	doc, err := ParseDocument([]byte(`{"a": 18446744073709551615,"l":[1, {"b":2}]}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, changes, err := doc.Apply([]enforce.Edit{
		{Op: enforce.Set, Pointer: "/a", Value: 1}, {Op: enforce.Insert, Pointer: "/l/0", Value: "x"}, {Op: enforce.Set, Pointer: "/l/2/b", Value: 3},
		{Op: enforce.Remove, Pointer: "/l/1"}, {Op: enforce.Set, Pointer: "/n/m", Value: true}, {Op: enforce.Remove, Pointer: "/gone"},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range changes {
		got = append(got, fmt.Sprintf("%s %s>%s", c.Pointer, c.From, c.To))
	}
	want := []string{"/a 18446744073709551615>1", `/l/0 >"x"`, "/l/2/b 2>3", "/l/1 1>", "/n/m >true", "/gone >"}
	if !slices.Equal(got, want) {
		t.Errorf("\n got  %q\n want %q", got, want)
	}
}

func TestWriteFails(t *testing.T) {
	b := newBundle(t, plain)
	c := readConfig(t, b)
	// A folder at the record's place: the rename fails, and the configuration must be untouched.
	if err := os.MkdirAll(filepath.Join(b.Path, recordName, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := b.Write(c, []byte("{}"), nil, Record{}); err == nil || !strings.Contains(err.Error(), "writing") {
		t.Errorf("got %v", err)
	}
	if got := readConfig(t, b); string(got.Bytes()) != plain {
		t.Errorf("config.json is %s", got.Bytes())
	}
	if names := names(t, b.Path); names != "config.json runclamp.json" {
		t.Errorf("the bundle has %s", names)
	}
}

func TestReadRecord(t *testing.T) {
	write := func(t *testing.T, b *Bundle, name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(b.Path, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name, want string
		arrange    func(t *testing.T, b *Bundle)
	}{
		{"none", ErrNoRecord.Error(), func(t *testing.T, b *Bundle) {
			if err := os.Remove(filepath.Join(b.Path, recordName)); err != nil {
				t.Fatal(err)
			}
		}},
		{"configuration changed", "changed after create", func(t *testing.T, b *Bundle) { write(t, b, configName, plain+" ") }},
		{"other version", "version 2", func(t *testing.T, b *Bundle) { write(t, b, recordName, `{"version":2}`) }},
		{"twice", "stands twice", func(t *testing.T, b *Bundle) { write(t, b, recordName, `{"version":1,"version":1}`) }},
		{"empty", "ends where a value", func(t *testing.T, b *Bundle) { write(t, b, recordName, ``) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBundle(t, plain)
			c := readConfig(t, b)
			if err := b.Write(c, c.Bytes(), nil, Record{Source: "p"}); err != nil {
				t.Fatal(err)
			}
			tt.arrange(t, b)
			if _, err := b.ReadRecord(readConfig(t, b)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestOfContainer(t *testing.T) {
	root := t.TempDir()
	b := newBundle(t, plain)
	for _, tt := range []struct{ name, state, want string }{
		{"good", `{"init_process_pid":7,"init_process_start":42,"config":{"labels":["a=b","bundle=` + b.Path + `"]}}`, ""},
		{"two", `{"config":{"labels":["bundle=/evil","bundle=` + b.Path + `"]}}`, "more than one label"},
		{"none", `{"config":{"labels":["x"]}}`, "no label"},
		{"relative", `{"config":{"labels":["bundle=x"]}}`, "not an absolute path"},
		{"not JSON", `{`, "a string in double quotes is missing"},
		{"gone", `{"config":{"labels":["bundle=` + b.Path + `/gone"]}}`, "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(root, tt.name)
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "state.json"), []byte(tt.state), 0o600); err != nil {
				t.Fatal(err)
			}
			got, init, err := OfContainer(root, tt.name)
			if err == nil {
				defer got.Close()
			}
			switch {
			case tt.want == "" && (err != nil || got.Path != b.Path || init != Init{PID: 7, Start: 42}):
				t.Errorf("got %v, %v", got, err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	if _, _, err := OfContainer(root, "nobody"); err == nil || err.Error() != `container "nobody" does not exist` {
		t.Errorf("got %v", err)
	}
}

func TestOfCrunContainer(t *testing.T) {
	root := t.TempDir()
	b := newBundle(t, plain)
	for _, tt := range []struct{ name, status, want string }{
		{"good", `{"pid":7,"process-start-time":42,"cgroup-path":"","bundle":"` + b.Path + `","rootfs":"/r"}`, ""},
		{"two", `{"bundle":"/evil","bundle":"` + b.Path + `"}`, `the key "bundle" stands twice`},
		{"another case", `{"bundle":"` + b.Path + `","Bundle":"/evil"}`, "only by case"},
		{"cut off", `{"bundle":"` + b.Path + `\u0000x"}`, "a string with the character U+0000"},
		{"none", `{"pid":7}`, `the bundle "" is not an absolute path`},
		{"relative", `{"bundle":"x"}`, "not an absolute path"},
		{"no number", `{"pid":"7","bundle":"` + b.Path + `"}`, "wanted a number"},
		{"not JSON", `{`, "line 1, column 2"},
		{"gone", `{"bundle":"` + b.Path + `/gone"}`, "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(root, tt.name)
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "status"), []byte(tt.status), 0o600); err != nil {
				t.Fatal(err)
			}
			got, init, err := OfCrunContainer(root, tt.name)
			if err == nil {
				defer got.Close()
			}
			switch {
			case tt.want == "" && (err != nil || got.Path != b.Path || init != Init{PID: 7, Start: 42}):
				t.Errorf("got %v, %v", got, err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	if _, _, err := OfCrunContainer(root, "nobody"); !errors.Is(err, ErrNoContainer) {
		t.Errorf("got %v", err)
	}
}

func TestFacts(t *testing.T) {
	b := newBundle(t, plain)
	rootfs := filepath.Join(b.Path, "rootfs")
	for _, err := range []error{
		os.MkdirAll(filepath.Join(rootfs, "real", "content"), 0o755),
		os.MkdirAll(filepath.Join(rootfs, "empty"), 0o755),
		os.Symlink("/real", filepath.Join(rootfs, "inside")),
		os.Symlink("../../../../../etc", filepath.Join(rootfs, "outside")), // to the container's own /etc, which is not there
		os.WriteFile(filepath.Join(rootfs, "file"), nil, 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	c := readConfig(t, b)
	var p policy.Controls
	for _, path := range []string{"/real", "/inside", "/outside", "/file", "/none", "/empty"} {
		p.ReadOnlyRootfs.Tmpfs = append(p.ReadOnlyRootfs.Tmpfs, policy.Tmpfs{Path: path, CopyUp: true})
	}
	f, err := b.Facts(c, p, Host{Sys: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{"/real": true, "/inside": true, "/outside": false, "/file": false, "/none": false, "/empty": false} {
		if f.ImageContent[path] != want {
			t.Errorf("%s: got %v", path, f.ImageContent[path])
		}
	}
	c.Spec.Root = &specs.Root{Path: "gone"}
	if _, err := b.Facts(c, p, Host{Sys: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "the root filesystem") {
		t.Errorf("got %v", err)
	}
}

// TestNamesAreNoDevice: what is not a file is not opened. A socket can't be, so whoever tries takes it for a file that is not there.
func TestNamesAreNoDevice(t *testing.T) {
	b := newBundle(t, plain)
	etc := filepath.Join(b.Path, "rootfs/etc")
	if err := errors.Join(os.MkdirAll(etc, 0o755), unix.Mknod(filepath.Join(etc, "passwd"), unix.S_IFSOCK|0o644, 0)); err != nil {
		t.Fatal(err)
	}
	p := policy.Controls{NonRoot: policy.NonRoot{Action: policy.Fix, Passwd: true}}
	if _, err := b.Facts(readConfig(t, b), p, Host{Sys: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "/etc/passwd is not a regular file") {
		t.Errorf("got %v", err)
	}
}

// TestRecordIsReadable: what start and exec could not read is not written.
func TestRecordIsReadable(t *testing.T) {
	b := newBundle(t, plain)
	r := Record{Findings: []enforce.Finding{{Found: strings.Repeat("x", maxRecord)}}}
	if err := b.WriteRecord([]byte(plain), r); err == nil || !strings.Contains(err.Error(), "for 1 findings: the configuration asks for too much") {
		t.Errorf("got %v", err)
	}
	if _, err := b.ReadRecord(readConfig(t, b)); !errors.Is(err, ErrNoRecord) {
		t.Errorf("got %v, want none", err)
	}
}

// TestInherited: what a container has of limits if it gets none of its own.
func TestInherited(t *testing.T) {
	b := newBundle(t, plain)
	if err := os.Mkdir(filepath.Join(b.Path, "rootfs"), 0o755); err != nil {
		t.Fatal(err)
	}
	c := readConfig(t, b)
	var p policy.Controls
	p.Resources.Rlimits = policy.Rlimits{"RLIMIT_NOFILE": 5, "RLIMIT_CORE": 0}
	f, err := b.Facts(c, p, Host{Sys: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if f.HardLimits["RLIMIT_NOFILE"] != limit.Max || len(f.HardLimits) != 2 {
		t.Errorf("%v, want %d open files", f.HardLimits, limit.Max)
	}
	text, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil || strings.TrimSpace(string(text)) != strconv.Itoa(f.OOMScoreAdj) {
		t.Errorf("%d, want %s, %v", f.OOMScoreAdj, text, err)
	}
	p.Resources.Rlimits["RLIMIT_NONE"] = 1
	if _, err := b.Facts(c, p, Host{Sys: t.TempDir()}); err == nil || err.Error() != "no limit is called RLIMIT_NONE" {
		t.Errorf("got %v", err)
	}
	p.Resources.Action = policy.Off
	if f, err := b.Facts(c, p, Host{Sys: t.TempDir()}); err != nil || f.HardLimits != nil {
		t.Errorf("looked at although nobody wants to know: %v, %v", f.HardLimits, err)
	}
}
