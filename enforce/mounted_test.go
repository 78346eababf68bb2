package enforce_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"runclamp/enforce"
	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestDecideMounted: what was decided about may be mounted, what the delegate mounts by itself, and what came with a source and
// is not the host's own; nothing else.
func TestDecideMounted(t *testing.T) {
	now := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	const data = "hostMounts:/srv/data /mounts/1/source "
	on := func(device, inside, fs string) enforce.Place {
		return enforce.Place{Device: device, Inside: inside, Type: fs}
	}
	at := func(at string, p enforce.Place) enforce.Mounted { return enforce.Mounted{At: at, Place: p} }
	ext4 := func(inside string) enforce.Place { return on(disk, inside, "ext4") }
	started := func(m enforce.Mounted) enforce.Mounted { m.Started = true; return m }
	mended := func(m enforce.Mounted) enforce.Mounted { m.Delegates = true; return m }
	exception := func(expires string) func(*policy.Policy) {
		return func(p *policy.Policy) {
			p.Exceptions = []policy.Exception{{Allow: []string{"hostMounts:/srv/data"}, Expires: expires}}
		}
	}
	for _, tt := range []struct {
		name    string
		mounted enforce.Mounted
		policy  func(*policy.Policy)
		want    string // "" is nothing
	}{
		{"the root filesystem", at("/", ext4("/bundle/rootfs")), nil, ""},
		{"another one", at("/", ext4("/bundle")), nil, "hostMounts:root /root/path reject"},
		{"a folder of it, read-only", at("/usr", ext4("/bundle/rootfs/usr")), nil, ""},
		{"what was decided about", at("/data", ext4("/srv/data")), nil, ""},
		{"removed since", at("/data", ext4("/srv/data//deleted")), nil, ""},
		{"replaced since", at("/data", ext4("/srv/data~//deleted")), nil, data + "reject"},
		{"replaced since the start", started(at("/data", ext4("/srv/data~//deleted"))), nil, ""},
		{"renamed since the start", started(at("/data", ext4("/srv/data~"))), nil, data + "reject"},
		{"the host's own, removed since the start", started(at("/data", ext4("/etc/x//deleted"))), nil, data + "reject"},
		{"removed from another disk since the start", started(at("/data", on("8:2", "/srv/data~//deleted", "ext4"))), nil, data + "reject"},
		{"a folder of it, read-only as well", at("/data/x", ext4("/srv/data/x")), nil, ""},
		{"another folder", at("/data", ext4("/srv/other")), nil, data + "reject"},
		{"a folder of it in its place", at("/data", ext4("/srv/data/x")), nil, data + "reject"},
		{"the one above", at("/data", ext4("/srv")), nil, data + "reject"},
		{"the same on another disk", at("/data", on("8:2", "/srv/data", "ext4")), nil, data + "reject"},
		{"the host's own", at("/data", ext4("/etc")), nil, data + "reject"},
		{"a tmpfs in its place", at("/data", on("0:9", "/", "tmpfs")), nil, data + "reject"},
		{"a mask over it", mended(at("/data", on("0:9", "/", "tmpfs"))), nil, ""},
		{"a disk below it", at("/data/disk", on("8:2", "/", "ext4")), nil, ""},
		{"a tmpfs below it", at("/data/disk", on("0:9", "/", "tmpfs")), nil, ""},
		{"the host's own below it", at("/data/x", ext4("/etc")), nil, data + "reject"},
		{"the host's tmpfs below it", at("/data/x", on("0:24", "/", "tmpfs")), nil, data + "reject"},
		{"the host's processes below it", at("/data/x", on("0:22", "/", "proc")), nil, data + "reject"},
		{"a folder whose name begins alike", at("/data2", ext4("/etc")), nil, "hostMounts:/data2 /mounts reject"},
		{"processes", at("/proc", on("0:87", "/", "proc")), nil, ""},
		{"a part of them, read-only", at("/proc/sys", on("0:87", "/sys", "proc")), nil, ""},
		{"devices", at("/dev/pts", on("0:88", "/", "devpts")), nil, ""},
		{"control groups", at("/sys/fs/cgroup/pids", on("0:36", "/c", "cgroup")), nil, ""},
		{"an own tmpfs", at("/tmp", on("0:90", "/", "tmpfs")), nil, ""},
		{"the host's tmpfs", at("/tmp", on("0:24", "/", "tmpfs")), nil, "hostMounts:/tmp /mounts reject"},
		{"a device of the host's", mended(at("/dev/null", on("0:5", "/null", "devtmpfs"))), nil, ""},
		{"what nobody asked for", at("/opt", ext4("/usr/lib")), nil, "hostMounts:/opt /mounts reject"},
		{"data that nobody asked for", at("/opt", ext4("/srv/x")), nil, ""},
		{"a volume", at("/volume", ext4("/var/lib/docker/volumes/v/_data")), nil, ""},
		{"another volume", at("/volume", ext4("/var/lib/docker/volumes/w/_data")), nil, "hostMounts:/var/lib/docker/volumes/v/_data /mounts/2/source reject"},
		{"users that runclamp adds", at("/etc/passwd", ext4("/bundle/runclamp.passwd")), nil, ""},
		{"other ones", at("/etc/passwd", ext4("/etc/passwd")), nil, "hostMounts:/bundle/runclamp.passwd /mounts/3/source reject"},
		{"a source that was not there", at("/gone", ext4("/srv/gone")), nil, "hostMounts:/srv/gone /mounts/4/source reject"},
		{"a link in the image", at("/run/linked", ext4("/srv/data")), nil, ""},
		{"a link in the image, the host's own", at("/run/linked", ext4("/etc")), nil, "hostMounts:/srv/data /mounts/5/source reject"},
		{"a second one over it", at("/twice", ext4("/srv/data")), nil, ""},
		{"a tmpfs over it", at("/twice", on("0:9", "/", "tmpfs")), nil, ""},
		{"the host's tmpfs over it", at("/twice", on("0:24", "/", "tmpfs")), nil, "hostMounts:/srv/data /mounts/6/source reject"},
		{"audit", at("/data", ext4("/etc")), func(p *policy.Policy) { p.Controls.HostMounts.Action = policy.Audit }, data + "audit"},
		{"off", at("/data", ext4("/etc")), func(p *policy.Policy) { p.Controls.HostMounts.Action = policy.Off }, ""},
		{"an exception", at("/data", ext4("/etc")), exception("2026-01-02"), data + "audit"},
		{"an exception, the day after", at("/data", ext4("/etc")), exception("2026-01-01"), data + "reject"},
		{"another exception", at("/volume", ext4("/etc")), exception("2026-01-02"), "hostMounts:/var/lib/docker/volumes/v/_data /mounts/2/source reject"},
		{"below what an exception lets through", at("/data/x", ext4("/etc")), exception("2026-01-02"), data + "audit"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec := &specs.Spec{Mounts: []specs.Mount{
				{Destination: "/proc", Type: "proc", Source: "proc"},
				{Destination: "/data", Type: "bind", Source: "/srv/data", Options: []string{"rbind"}},
				{Destination: "/volume", Source: "/var/lib/docker/volumes/v/_data", Options: []string{"rbind"}},
				{Destination: "/etc/passwd", Type: "bind", Source: "/bundle/runclamp.passwd", Options: []string{"bind"}},
				{Destination: "/gone", Type: "bind", Source: "/srv/gone", Options: []string{"bind"}},
				{Destination: "/var/run/linked", Type: "bind", Source: "/srv/data", Options: []string{"bind"}},
				{Destination: "/twice", Type: "bind", Source: "/srv/data", Options: []string{"bind"}},
				{Destination: "/twice", Type: "tmpfs", Source: "tmpfs"},
			}}
			facts := enforce.Facts{BundlePath: "/bundle", Mounts: hostFacts()}
			facts.Mounts.Bundle = folder("/bundle")
			for i, h := range facts.Mounts.Places.Host {
				if h.Path == "/run" {
					facts.Mounts.Places.Host[i].Place = on("0:24", "/", "tmpfs")
				}
			}
			p := policy.Policy{Controls: policy.Controls{HostMounts: policy.HostMounts{Action: policy.Fix}}}
			if tt.policy != nil {
				tt.policy(&p)
			}
			s := kept(t, enforce.NewMountSettings(p, facts, spec))
			var got []string
			links := func(p string) string { return strings.Replace(p, "/var/run", "/run", 1) }
			// The same twice is one finding.
			for _, f := range enforce.DecideMounted(s, spec, []enforce.Mounted{tt.mounted, tt.mounted}, links, now) {
				got = append(got, fmt.Sprintf("%s %s %s", f.Name(), f.Pointer, f.Action))
				if tt.mounted.Started && !strings.Contains(f.Mend, "moved it on the host since") {
					t.Errorf("mend is %q", f.Mend)
				}
			}
			if strings.Join(got, ";") != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// kept are the settings as a record has them.
func kept(t *testing.T, s enforce.MountSettings) (back enforce.MountSettings) {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(back, s) {
		t.Fatalf("%v: %+v came back as %+v", err, s, back)
	}
	return back
}

// TestMountedWithoutSettings: a container whose record says nothing of mounts, or of the host's places, gets nothing of the host's.
func TestMountedWithoutSettings(t *testing.T) {
	spec := &specs.Spec{Mounts: []specs.Mount{{Destination: "/data", Type: "bind", Source: "/srv/data"}}}
	same := func(p string) string { return p }
	for _, m := range []enforce.Mounted{{At: "/", Place: spot("/x").Place}, {At: "/data", Place: spot("/srv/data").Place}, {At: "/data/x", Place: spot("/x").Place}, {At: "/y", Place: spot("/y").Place}} {
		found := enforce.DecideMounted(enforce.MountSettings{}, spec, []enforce.Mounted{m}, same, time.Time{})
		if len(found) != 1 || found[0].Action != policy.Reject {
			t.Errorf("%+v: %+v", m, found)
		}
	}
}
