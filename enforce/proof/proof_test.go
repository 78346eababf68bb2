package proof

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"runclamp/enforce"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/rogpeppe/go-internal/txtar"
	"golang.org/x/sys/unix"
)

// recording is what /proc, the control groups and ptrace(2) said of runc's init between create and start, and its configuration
// (integration/proof has the same one). PID and names were made neutral.
type recording struct {
	dir  string
	host Host
	spec *specs.Spec
	init Process
}

// recordings lays every recording out in a folder.
func recordings(t *testing.T, f func(t *testing.T, r *recording)) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) != 2 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { f(t, record(t, file)) })
	}
}

func record(t *testing.T, file string) *recording {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r := &recording{dir: t.TempDir(), init: Process{PID: 42}}
	r.host = Host{Proc: filepath.Join(r.dir, "proc"), Cgroups: filepath.Join(r.dir, "cgroup")}
	for _, f := range archive.Files {
		switch f.Name {
		case "config.json":
			if err := json.Unmarshal(f.Data, &r.spec); err != nil {
				t.Fatal(err)
			}
		case "program":
			var p Program
			for line := range strings.Lines(string(f.Data)) {
				var i unix.SockFilter
				if _, err := fmt.Sscan(line, &i.Code, &i.Jt, &i.Jf, &i.K); err != nil {
					t.Fatal(err)
				}
				p = append(p, i)
			}
			r.host.Programs = func(int) ([]Program, error) { return []Program{p}, nil }
		case "links":
			for line := range strings.Lines(string(f.Data)) {
				name, target, _ := strings.Cut(strings.TrimSpace(line), " ")
				r.link(t, target, name)
			}
		default:
			r.write(t, f.Name, string(f.Data))
		}
	}
	stat, err := os.ReadFile(filepath.Join(r.host.Proc, "42/stat"))
	if err != nil {
		t.Fatal(err)
	}
	if r.init.Start, _, err = startOf(string(stat)); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *recording) path(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return path
}

func (r *recording) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(r.path(t, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (r *recording) link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, r.path(t, name)); err != nil {
		t.Fatal(err)
	}
}

func (r *recording) remove(name string) error { return os.Remove(filepath.Join(r.dir, name)) }

func (r *recording) read(t *testing.T) Facts {
	t.Helper()
	f, err := Read(r.host, r.init, r.spec)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// short has a finding's name, pointer and action.
func short(found []enforce.Finding) []string {
	var s []string
	for _, f := range found {
		s = append(s, fmt.Sprintf("%s %s %s", f.Name(), f.Pointer, f.Action))
	}
	return s
}

func TestRecorded(t *testing.T) {
	recordings(t, func(t *testing.T, r *recording) {
		f := r.read(t)
		if found := Hold(r.spec, f); len(found) > 0 || len(f.Unread) > 0 {
			t.Errorf("%+v, not read %v", found, f.Unread)
		}
		if got := f.Paths["/srv/data"]; got != (Path{To: "/home/data"}) && got != (Path{To: "/home/data", Exists: true}) {
			t.Errorf("/srv/data leads to %+v", got)
		}
	})
}

// TestHold: every fact is held, and it is held one-sided.
func TestHold(t *testing.T) {
	remount := func(f *Facts, at, was, is string) {
		for i, m := range f.Mounts {
			if m.At == at {
				f.Mounts[i].Options = strings.Split(strings.Replace(strings.Join(m.Options, ","), was, is, 1), ",")
			}
		}
	}
	unmount := func(f *Facts, at string) {
		f.Mounts = slices.DeleteFunc(f.Mounts, func(m Mount) bool { return m.At == at })
	}
	mount := func(f *Facts, on string, m Mount) {
		m.ID, m.Parent = 9999, newTree(f.Mounts).at(on).ID
		f.Mounts = append(f.Mounts, m)
	}
	namespace := func(f *Facts, name string, change func(*Namespace)) {
		n := f.Namespaces[name]
		change(&n)
		f.Namespaces[name] = n
	}
	const chown = 1 << unix.CAP_CHOWN
	for _, tt := range []struct {
		name   string
		change func(*specs.Spec, *Facts)
		want   string // "" is nothing
	}{
		{"real UID", func(_ *specs.Spec, f *Facts) { f.Status.UIDs[0] = 0 }, "proof:uid /process/user/uid reject"},
		{"file system UID", func(_ *specs.Spec, f *Facts) { f.Status.UIDs[3] = 0 }, "proof:uid /process/user/uid reject"},
		{"saved GID", func(_ *specs.Spec, f *Facts) { f.Status.GIDs[2] = 0 }, "proof:gid /process/user/gid reject"},
		{"group", func(_ *specs.Spec, f *Facts) { f.Status.Groups = []uint32{0} }, "proof:groups /process/user/additionalGids reject"},
		{"no group", func(_ *specs.Spec, f *Facts) { f.Status.Groups = nil }, ""},
		{"the user's own group", func(_ *specs.Spec, f *Facts) { f.Status.Groups = []uint32{10001} }, ""},
		{"a group of none", func(_ *specs.Spec, f *Facts) { f.Status.Groups = []uint32{unmapped} }, "proof:groups /process/user/additionalGids reject"},
		{"bounding", func(_ *specs.Spec, f *Facts) { f.Status.Bounding |= chown }, "proof:capabilities /process/capabilities/bounding reject"},
		{"effective", func(_ *specs.Spec, f *Facts) { f.Status.Effective |= chown }, "proof:capabilities /process/capabilities/effective reject"},
		{"permitted", func(_ *specs.Spec, f *Facts) { f.Status.Permitted |= chown }, "proof:capabilities /process/capabilities/permitted reject"},
		{"inheritable", func(_ *specs.Spec, f *Facts) { f.Status.Inheritable |= chown }, "proof:capabilities /process/capabilities/inheritable reject"},
		{"ambient", func(_ *specs.Spec, f *Facts) { f.Status.Ambient |= 1 << 63 }, "proof:capabilities /process/capabilities/ambient reject"},
		{"no capability", func(_ *specs.Spec, f *Facts) { f.Status.Bounding = 0 }, ""},
		{"new privileges", func(_ *specs.Spec, f *Facts) { f.Status.NoNewPrivs = false }, "proof:noNewPrivileges /process/noNewPrivileges reject"},
		{"none wanted", func(s *specs.Spec, f *Facts) { s.Process.NoNewPrivileges = false }, ""},
		{"seccomp mode", func(_ *specs.Spec, f *Facts) { f.Status.Seccomp = 0 }, "proof:seccomp /linux/seccomp reject"},
		{"no program", func(_ *specs.Spec, f *Facts) { f.Programs = nil }, "proof:seccompProgram /linux/seccomp reject"},
		{"a second program", func(_ *specs.Spec, f *Facts) { f.Programs = append(f.Programs, Program{ret(unix.SECCOMP_RET_ALLOW)}) }, ""},
		{"another program", func(_ *specs.Spec, f *Facts) { f.Programs = []Program{{ret(unix.SECCOMP_RET_ALLOW)}} }, "proof:seccompProgram /linux/seccomp reject"},
		{"a program that is none", func(_ *specs.Spec, f *Facts) { f.Programs = []Program{{}} }, "proof:seccompProgram  audit"},
		{"root", func(_ *specs.Spec, f *Facts) { remount(f, "/", "ro", "rw") }, "proof:root /root/readonly reject"},
		{"root may be written", func(s *specs.Spec, f *Facts) { remount(f, "/", "ro", "rw"); s.Root.Readonly = false }, ""},
		{"a mount over the root", func(_ *specs.Spec, f *Facts) { mount(f, "/", Mount{At: "/", FSType: "tmpfs", Options: []string{"rw"}}) }, "proof:root /root/readonly reject"},
		{"ro", func(_ *specs.Spec, f *Facts) { remount(f, "/home/other", "ro", "rw") }, "proof:mounts /mounts/7/options reject"},
		{"nosuid, by another name", func(_ *specs.Spec, f *Facts) { remount(f, "/home/data", "nosuid", "x") }, "proof:mounts /mounts/8/options reject"},
		{"a cgroup", func(_ *specs.Spec, f *Facts) { remount(f, "/sys/fs/cgroup/pids", "ro", "rw") }, "proof:mounts /mounts/4/options reject"},
		{"gone", func(_ *specs.Spec, f *Facts) { unmount(f, "/home/other") }, "proof:mounts /mounts/7 reject"},
		{"covered", func(_ *specs.Spec, f *Facts) {
			mount(f, "/home/other", Mount{At: "/home/other", FSType: "ext4", Options: []string{"rw"}})
		}, "proof:mounts /mounts/7/options reject"},
		{"covered from above", func(_ *specs.Spec, f *Facts) {
			mount(f, "/home", Mount{At: "/home", FSType: "ext4", Options: []string{"ro"}})
		}, "proof:mounts /mounts/7 reject"},
		{"unasked", func(_ *specs.Spec, f *Facts) {
			mount(f, "/etc", Mount{At: "/etc", FSType: "ext4", Options: []string{"rw"}})
		}, "proof:mounts /mounts reject"},
		{"unasked, read-only", func(_ *specs.Spec, f *Facts) {
			mount(f, "/etc", Mount{At: "/etc", FSType: "ext4", Options: []string{"ro"}})
		}, ""},
		{"the terminal", func(_ *specs.Spec, f *Facts) {
			mount(f, "/dev", Mount{At: "/dev/console", FSType: "devpts", Options: []string{"rw"}})
		}, ""},
		{"a bind's own", func(s *specs.Spec, f *Facts) {
			s.Mounts[8].Options = append(s.Mounts[8].Options, "rbind")
			mount(f, "/home/data", Mount{At: "/home/data/below", FSType: "ext4", Options: []string{"rw"}})
		}, ""},
		{"a bind's own, recursively read-only", func(s *specs.Spec, f *Facts) {
			s.Mounts[7].Options = []string{"rbind", "rro"}
			mount(f, "/home/other", Mount{At: "/home/other/below", FSType: "ext4", Options: []string{"rw"}})
		}, "proof:mounts /mounts/7/options reject"},
		{"unmasked file", func(_ *specs.Spec, f *Facts) { unmount(f, "/proc/keys") }, "proof:maskedPaths /linux/maskedPaths/4 reject"},
		{"masked with a file system", func(_ *specs.Spec, f *Facts) {
			unmount(f, "/sys/firmware")
			mount(f, "/sys", Mount{At: "/sys/firmware", FSType: "sysfs", Options: []string{"ro"}})
		}, "proof:maskedPaths /linux/maskedPaths/11 reject"},
		{"a mount that is masked", func(s *specs.Spec, f *Facts) {
			s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/home/other")
			mount(f, "/home/other", Mount{At: "/home/other", FSType: "tmpfs", Options: []string{"ro"}})
		}, ""},
		{"a mount in what is masked", func(s *specs.Spec, f *Facts) {
			s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/home")
			mount(f, "/home", Mount{At: "/home", FSType: "tmpfs", Options: []string{"ro"}})
		}, ""},
		{"a mount that is to be masked", func(s *specs.Spec, _ *Facts) {
			s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/home/data")
		}, "proof:maskedPaths /linux/maskedPaths/12 reject"},
		{"nothing to mask", func(_ *specs.Spec, f *Facts) {
			unmount(f, "/proc/keys")
			f.Paths["/proc/keys"] = Path{To: "/proc/keys"}
		}, ""},
		{"writable path", func(_ *specs.Spec, f *Facts) { unmount(f, "/proc/sys") }, "proof:readonlyPaths /linux/readonlyPaths/3 reject"},
		{"host's", func(_ *specs.Spec, f *Facts) { namespace(f, "ipc", func(n *Namespace) { n.Own = n.Host[0] }) }, "proof:namespaces /linux/namespaces/4 reject"},
		{"init's", func(_ *specs.Spec, f *Facts) {
			namespace(f, "net", func(n *Namespace) { n.Host = []string{"net:[1]", n.Own} })
		}, "proof:namespaces /linux/namespaces/1 reject"},
		{"joined", func(s *specs.Spec, f *Facts) {
			s.Linux.Namespaces[1].Path = "/p"
			namespace(f, "net", func(n *Namespace) { n.Joined = n.Own })
		}, ""},
		{"another one joined", func(s *specs.Spec, f *Facts) {
			s.Linux.Namespaces[1].Path = "/p"
			namespace(f, "net", func(n *Namespace) { n.Joined = "net:[1]" })
		}, "proof:namespaces /linux/namespaces/1 reject"},
		{"pids", func(_ *specs.Spec, f *Facts) { f.Cgroup.Pids = at(101) }, "proof:pids /linux/resources/pids/limit reject"},
		{"any pids", func(_ *specs.Spec, f *Facts) { f.Cgroup.Pids = at(Unlimited) }, "proof:pids /linux/resources/pids/limit reject"},
		{"fewer pids", func(_ *specs.Spec, f *Facts) { f.Cgroup.Pids = at(0) }, ""},
		{"memory", func(_ *specs.Spec, f *Facts) { f.Cgroup.Memory = at(64<<20 + 1) }, "proof:memory /linux/resources/memory/limit reject"},
		{"time", func(_ *specs.Spec, f *Facts) { f.Cgroup.CPU = at(510_001) }, "proof:cpu /linux/resources/cpu/quota reject"},
		{"time, as systemd rounds it", func(_ *specs.Spec, f *Facts) { f.Cgroup.CPU = at(510_000) }, ""},
		{"rootless, any time", func(_ *specs.Spec, f *Facts) { f.Cgroup.CPU, f.Rootless = at(Unlimited), true }, "proof:cpu  audit"},
		{"any time", func(_ *specs.Spec, f *Facts) { f.Cgroup.CPU = at(Unlimited) }, "proof:cpu /linux/resources/cpu/quota reject"},
		{"hard limit", func(_ *specs.Spec, f *Facts) { f.Limits["RLIMIT_NOFILE"] = Limit{1, 1025} }, "proof:rlimits /process/rlimits/0 reject"},
		{"soft limit", func(_ *specs.Spec, f *Facts) { f.Limits["RLIMIT_NPROC"] = Limit{math.MaxUint64, 1000} }, "proof:rlimits /process/rlimits/1 reject"},
		{"soft limit up to the hard one", func(_ *specs.Spec, f *Facts) { f.Limits["RLIMIT_NOFILE"] = Limit{1024, 1024} }, ""},
		{"OOM", func(_ *specs.Spec, f *Facts) { *f.OOMScoreAdj = 99 }, "proof:oomScoreAdj /process/oomScoreAdj reject"},
		{"OOM, killed earlier", func(_ *specs.Spec, f *Facts) { *f.OOMScoreAdj = 1000 }, ""},
		{"no AppArmor", func(s *specs.Spec, f *Facts) { s.Process.ApparmorProfile = "p" }, "proof:appArmor /process/apparmorProfile reject"},
		{"profile not enforced", func(s *specs.Spec, f *Facts) {
			s.Process.ApparmorProfile, f.AppArmor = "p", enforce.AppArmor{Enabled: true, Loaded: map[string]bool{"q": true}}
		}, "proof:appArmor /process/apparmorProfile reject"},
		{"profile enforced", func(s *specs.Spec, f *Facts) {
			s.Process.ApparmorProfile, f.AppArmor = "p", enforce.AppArmor{Enabled: true, Loaded: map[string]bool{"p": true}}
		}, ""},
		{"no profile is enforced", func(s *specs.Spec, f *Facts) {
			s.Process.ApparmorProfile, f.AppArmor = "p", enforce.AppArmor{Enabled: true, Loaded: map[string]bool{}}
		}, "proof:appArmor /process/apparmorProfile reject"},
		{"profiles can't be listed", func(s *specs.Spec, f *Facts) {
			s.Process.ApparmorProfile, f.AppArmor = "p", enforce.AppArmor{Enabled: true}
		}, "proof:appArmor  audit"},
		{"not read", func(_ *specs.Spec, f *Facts) {
			f.Unread, f.Programs = []Gap{{factProgram, errors.New("no")}}, nil
		}, "proof:seccompProgram  audit"},
		{"an empty configuration", func(s *specs.Spec, _ *Facts) { *s = specs.Spec{} }, "proof:mounts /mounts reject"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			recordings(t, func(t *testing.T, r *recording) {
				f := r.read(t)
				tt.change(r.spec, &f)
				found := short(Hold(r.spec, f))
				switch {
				case tt.want == "" && len(found) > 0, tt.want != "" && !slices.Contains(found, tt.want):
					t.Errorf("found %q, want %q", found, tt.want)
				}
			})
		})
	}
}

func at(n int64) *int64 { return &n }

// TestReadGaps: what can't be read is said, and keeps nothing else from being read.
func TestReadGaps(t *testing.T) {
	for file, want := range map[string]string{
		"proc/42/status": "proof:status  audit", "proc/42/mountinfo": "proof:mounts  audit", "proc/42/limits": "proof:rlimits  audit",
		"proc/42/oom_score_adj": "proof:oomScoreAdj  audit", "proc/42/ns/pid": "proof:namespaces  audit", "proc/42/cgroup": "proof:cgroup  audit",
		"cgroup/pids/lab-bundle/pids.max": "proof:pids  audit", "cgroup/cpu/lab-bundle/cpu.cfs_period_us": "proof:cpu  audit",
		"cgroup/memory/lab-bundle/memory.limit_in_bytes": "proof:memory  audit",
	} {
		t.Run(file, func(t *testing.T) {
			recordings(t, func(t *testing.T, r *recording) {
				want := want
				r.path(t, file)
				if found := short(Hold(r.spec, r.read(t))); !slices.Equal(found, []string{want}) {
					t.Errorf("gone: %q, want %q", found, want)
				}
				if file == "proc/42/ns/pid" {
					return
				}
				r.write(t, file, "?\n")
				if file == "proc/42/cgroup" {
					r.write(t, file, "9:name=systemd:/lab-bundle\n")
					r.spec.Linux.Resources.CPU, r.spec.Linux.Resources.Memory = nil, nil
					want = "proof:pids  audit" // no group of that controller's
				}
				if found := short(Hold(r.spec, r.read(t))); !slices.Equal(found, []string{want}) {
					t.Errorf("nonsense: %q, want %q", found, want)
				}
			})
		})
	}
	recordings(t, func(t *testing.T, r *recording) {
		r.host.Programs = func(int) ([]Program, error) { return nil, unix.EACCES }
		if found := short(Hold(r.spec, r.read(t))); !slices.Equal(found, []string{"proof:seccompProgram  audit"}) {
			t.Errorf("%q", found)
		}
	})
}

// TestReadAnother: a PID that was given out again is not taken for the container's.
func TestReadAnother(t *testing.T) {
	recordings(t, func(t *testing.T, r *recording) {
		r.host.Programs = func(int) ([]Program, error) {
			r.write(t, "proc/42/stat", "42 (a) b) S"+strings.Repeat(" 1", 30))
			return nil, nil
		}
		if _, err := Read(r.host, r.init, r.spec); err == nil || !strings.Contains(err.Error(), "it is another one") {
			t.Errorf("got %v", err)
		}
		r.init.PID = 43
		if _, err := Read(r.host, r.init, r.spec); err == nil || err.Error() != "process 43 has ended" {
			t.Errorf("got %v", err)
		}
	})
}

// TestReadHeadless: a program whose first thread has ended goes on with the others, and does not count as ended.
func TestReadHeadless(t *testing.T) {
	recordings(t, func(t *testing.T, r *recording) {
		stat := func(state string, threads int) string {
			return fmt.Sprintf("42 (a) %s%s %d 0 %d 1\n", state, strings.Repeat(" 1", 16), threads, r.init.Start)
		}
		process := filepath.Join(r.host.Proc, "42")
		if err := errors.Join(os.MkdirAll(filepath.Join(r.dir, "task"), 0o700), os.Rename(process, filepath.Join(r.dir, "task/44"))); err != nil {
			t.Fatal(err)
		}
		r.write(t, "proc/42/stat", stat("Z", 3))
		if err := os.Rename(filepath.Join(r.dir, "task"), filepath.Join(process, "task")); err != nil {
			t.Fatal(err)
		}
		for thread, text := range map[string]string{"42": stat("Z", 3), "43": stat("X", 3), "44": stat("S", 3)} {
			r.write(t, "proc/42/task/"+thread+"/stat", text)
		}
		programs, asked := r.host.Programs, 0
		r.host.Programs = func(pid int) ([]Program, error) { asked = pid; return programs(pid) }
		f := r.read(t)
		if found := Hold(r.spec, f); len(found) > 0 || len(f.Unread) > 0 || asked != 44 {
			t.Errorf("%+v, not read %v, filters of %d", found, f.Unread, asked)
		}
		f.Status.UIDs[0] = 0
		if found := Hold(r.spec, f); len(found) == 0 {
			t.Error("its status was not read")
		}
		for _, text := range []string{stat("Z", 1), stat("X", 3)} {
			r.write(t, "proc/42/stat", text)
			if _, err := Read(r.host, r.init, r.spec); !errors.Is(err, ErrEnded) {
				t.Errorf("%q: %v", text, err)
			}
		}
		r.write(t, "proc/42/stat", stat("Z", 3))
		r.write(t, "proc/42/task/44/stat", stat("Z", 3))
		if _, err := Read(r.host, r.init, r.spec); !errors.Is(err, ErrEnded) {
			t.Errorf("no thread is left, and it says %v", err)
		}
	})
}

// TestReadUnified: cgroup v2 has one folder for all.
func TestReadUnified(t *testing.T) {
	recordings(t, func(t *testing.T, r *recording) {
		r.write(t, "proc/42/cgroup", "0::/../b\n")
		if found := short(Hold(r.spec, r.read(t))); !slices.Equal(found, []string{"proof:cpu  audit", "proof:memory  audit", "proof:pids  audit"}) {
			t.Errorf("outside: %q", found)
		}
		r.write(t, "proc/42/cgroup", "0::/a:b\n")
		for name, text := range map[string]string{"pids.max": "100\n", "memory.max": "67108864\n", "cpu.max": "50000 100000\n"} {
			r.write(t, "cgroup/a:b/"+name, text)
		}
		f := r.read(t)
		if found := Hold(r.spec, f); len(found) > 0 || *f.Cgroup.Pids != 100 || *f.Cgroup.Memory != 64<<20 || *f.Cgroup.CPU != 500_000 {
			t.Errorf("%q, %+v", short(found), f.Cgroup)
		}
		for name, text := range map[string]string{"pids.max": "max\n", "memory.max": "max\n", "cpu.max": "max 100000\n"} {
			r.write(t, "cgroup/a:b/"+name, text)
		}
		want := []string{"proof:cpu /linux/resources/cpu/quota reject", "proof:memory /linux/resources/memory/limit reject", "proof:pids /linux/resources/pids/limit reject"}
		if found := short(Hold(r.spec, r.read(t))); !slices.Equal(found, want) {
			t.Errorf("%q", found)
		}
		// crun's group below the one that systemd makes has no limits of its own.
		r.write(t, "proc/42/cgroup", "0::/up/mid/container\n")
		for name, text := range map[string]string{"pids.max": "100\n", "memory.max": "67108864\n", "cpu.max": "50000 100000\n"} {
			r.write(t, "cgroup/up/"+name, text)
			none := map[bool]string{true: "max 100000\n", false: "max\n"}[name == "cpu.max"]
			r.write(t, "cgroup/up/mid/"+name, none)
			r.write(t, "cgroup/up/mid/container/"+name, none)
		}
		if found := short(Hold(r.spec, r.read(t))); len(found) > 0 {
			t.Errorf("below: %q", found)
		}
		r.write(t, "cgroup/up/pids.max", "101\n")
		if found := short(Hold(r.spec, r.read(t))); !slices.Equal(found, want[2:]) {
			t.Errorf("looser above: %q", found)
		}
	})
}

// TestFilterLast: crun's filter is not there before start, if there is no-new-privileges. That is not known, and neither held nor broken.
func TestFilterLast(t *testing.T) {
	recordings(t, func(t *testing.T, r *recording) {
		r.host.FilterLast = true
		r.host.Programs = func(int) ([]Program, error) { return nil, nil }
		r.spec.Process.NoNewPrivileges = true
		status, err := os.ReadFile(filepath.Join(r.dir, "proc/42/status"))
		if err != nil {
			t.Fatal(err)
		}
		r.write(t, "proc/42/status", strings.Replace(string(status), "Seccomp:\t2", "Seccomp:\t0", 1))
		if found := short(Hold(r.spec, r.read(t))); !slices.Equal(found, []string{"proof:seccompProgram  audit"}) {
			t.Errorf("with no-new-privileges: %q", found)
		}
		r.spec.Process.NoNewPrivileges = false
		if found := short(Hold(r.spec, r.read(t))); !slices.Equal(found, []string{"proof:seccomp /linux/seccomp reject", "proof:seccompProgram /linux/seccomp reject"}) {
			t.Errorf("without: %q", found)
		}
	})
}

// TestReadUserNamespace: IDs are those that the configuration means, and one that has no name inside is not taken for one that has.
func TestReadUserNamespace(t *testing.T) {
	recordings(t, func(t *testing.T, r *recording) {
		r.link(t, "user:[99]", "proc/42/ns/user")
		r.write(t, "proc/42/uid_map", "         0     100000      65536\n")
		r.write(t, "proc/42/gid_map", "         0     100000      65536\n")
		status, err := os.ReadFile(filepath.Join(r.host.Proc, "42/status"))
		if err != nil {
			t.Fatal(err)
		}
		// Nobody asked for it: what the host calls its IDs counts.
		if found := short(Hold(r.spec, r.read(t))); len(found) > 0 {
			t.Errorf("one that was not asked for: %q", found)
		}
		mappings := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}, {ContainerID: 70000, HostID: 300000, Size: 1}}
		r.spec.Linux.Namespaces = append(r.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		r.spec.Linux.UIDMappings, r.spec.Linux.GIDMappings = mappings, mappings
		if found := short(Hold(r.spec, r.read(t))); !slices.Equal(found, []string{"proof:gid /process/user/gid reject", "proof:groups /process/user/additionalGids reject", "proof:uid /process/user/uid reject"}) {
			t.Errorf("the host's 10001: %q", found)
		}
		shifted := strings.NewReplacer("10001", "110001", "Groups:\t2000", "Groups:\t102000").Replace(string(status))
		r.write(t, "proc/42/status", shifted)
		for name, maps := range map[string][]specs.LinuxIDMapping{
			"another's IDs": {{ContainerID: 0, HostID: 200000, Size: 65536}}, "fewer": {{ContainerID: 0, HostID: 100000, Size: 65535}},
			"from another on": {{ContainerID: 1, HostID: 100001, Size: 65536}},
		} {
			r.spec.Linux.GIDMappings = maps
			if found := short(Hold(r.spec, r.read(t))); !slices.Equal(found, []string{"proof:mappings /linux/gidMappings reject"}) {
				t.Errorf("%s: %q", name, found)
			}
		}
		r.spec.Linux.GIDMappings = mappings
		if found := short(Hold(r.spec, r.read(t))); len(found) > 0 {
			t.Errorf("shifted: %q", found)
		}
		// The groups of a rootless engine's user stay with it.
		r.write(t, "proc/42/status", strings.Replace(shifted, "Groups:\t102000", "Groups:\t65534", 1))
		if found := short(Hold(r.spec, r.read(t))); !slices.Equal(found, []string{"proof:groups /process/user/additionalGids reject"}) {
			t.Errorf("a group from outside: %q", found)
		}
		r.host.Rootless = true
		if found := short(Hold(r.spec, r.read(t))); len(found) > 0 {
			t.Errorf("rootless: %q", found)
		}
	})
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		text string
		want Mount
	}{
		{"36 35 98:0 /a\\040b /c\\134d rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue\n", Mount{36, 35, "98:0", "/a b", `/c\d`, []string{"rw", "noatime"}, "ext3", "/dev/root"}},
		{"36 35 98:0 / /a\u00a0-\u00a0b\r rw - fuse  rw\n", Mount{36, 35, "98:0", "/", "/a\u00a0-\u00a0b\r", []string{"rw"}, "fuse", ""}},
		{"36 35 0:5 / /x ro - proc proc\n", Mount{36, 35, "0:5", "/", "/x", []string{"ro"}, "proc", "proc"}},
	} {
		got, err := ParseMounts(tt.text)
		if err != nil || len(got) != 1 || fmt.Sprint(got[0]) != fmt.Sprint(tt.want) {
			t.Errorf("%q is %+v, %v", tt.text, got, err)
		}
	}
	for _, bad := range []string{"\n", "36 35 98:0 / / rw master:1\n", "a 35 98:0 / / rw - ext3 x\n"} {
		if got, err := ParseMounts(bad); err == nil {
			t.Errorf("%q is %+v", bad, got)
		}
	}
	for state, want := range map[string]life{"R 1": alive, "t 5": alive, "Z 1": over, "Z 0": over, "Z 2": headless, "X 1": over, "X 2": over} {
		state, threads, _ := strings.Cut(state, " ")
		text := "7 (a) S 1) " + state + strings.Repeat(" 5", 16) + " " + threads + " 5 99 1"
		if got, l, err := startOf(text); err != nil || got != 99 || l != want {
			t.Errorf("%s: %d, %v, %v", text, got, l, err)
		}
	}
}

// TestResolve: a link leads to where it leads in the container.
func TestResolve(t *testing.T) {
	dir := t.TempDir()
	err := errors.Join(os.MkdirAll(filepath.Join(dir, "run/lock"), 0o700), os.Mkdir(filepath.Join(dir, "var"), 0o700), os.Symlink("/run", filepath.Join(dir, "var/run")),
		os.Symlink("../../../run/lock", filepath.Join(dir, "var/lock")), os.Symlink("loop", filepath.Join(dir, "loop")), os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for p, want := range map[string]Path{
		"/run": {"/run", true}, "/var/run": {"/run", true}, "/var/run/lock": {"/run/lock", true}, "/var/lock": {"/run/lock", true},
		"/var/run/none/x": {"/run/none/x", false}, "/none": {"/none", false}, "/file": {"/file", true}, "/file/x": {"/file/x", false}, "/": {"/", true},
	} {
		if got, err := resolve(root, p); err != nil || got != want {
			t.Errorf("%s leads to %+v, %v", p, got, err)
		}
	}
	if got, err := resolve(root, "/loop"); !errors.Is(err, unix.ELOOP) {
		t.Errorf("a loop leads to %+v, %v", got, err)
	}
}
