package proof

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"runclamp/enforce"
	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestMounted: nothing of what runc mounts by itself is found fault with; a bind whose destination is a link in the image, and
// what is mounted where a mask or a device could be, is.
func TestMounted(t *testing.T) {
	disk := func(inside string) enforce.Place {
		return enforce.Place{Device: "254:0", Inside: inside, Type: "ext4"}
	}
	entry := func(at, device, root, fs string) Mount {
		return Mount{ID: 9999, Parent: 313, At: at, Device: device, Root: root, FSType: fs, Options: []string{"ro"}}
	}
	recordings(t, func(t *testing.T, r *recording) {
		r.spec.Mounts = append(r.spec.Mounts, specs.Mount{Destination: "/srv/bound", Type: "bind", Source: "/data"})
		for _, tt := range []struct {
			name  string
			mount Mount
			want  []string
		}{
			{"nothing", Mount{}, nil},
			{"the source", entry("/home/bound", "254:0", "/data", "ext4"), nil},
			{"another one", entry("/home/bound", "254:0", "/etc", "ext4"), []string{"hostMounts:/data /mounts/%d/source reject"}},
			{"the terminal", entry("/dev/console", "0:89", "/0", "devpts"), nil},
			{"a device that can't be made", entry("/dev/null", "0:5", "/null", "devtmpfs"), nil},
			{"another device", entry("/dev/null", "0:5", "/sda", "devtmpfs"), []string{"hostMounts:/dev/null /mounts reject"}},
			{"a disk instead of a device", entry("/dev/null", "254:0", "/etc/shadow", "ext4"), []string{"hostMounts:/dev/null /mounts reject"}},
			{"a disk instead of a mask", entry("/proc/keys", "254:0", "/etc", "ext4"), []string{"hostMounts:/proc/keys /mounts reject"}},
		} {
			t.Run(tt.name, func(t *testing.T) {
				s := enforce.MountSettings{Action: policy.Fix, Root: disk("/lab/bundle/rootfs"), Sources: map[string]enforce.Place{"/data": disk("/data")}}
				s.Places.Host = []enforce.HostPlace{{Spot: enforce.Spot{Path: "/etc", Place: disk("/etc")}, Is: "the host's"}}
				f := r.read(t)
				f.Paths["/srv/bound"] = Path{To: "/home/bound", Exists: true}
				f.Mounts = slices.Clone(f.Mounts)
				if tt.mount.At != "" {
					f.Mounts = append(f.Mounts, tt.mount)
				}
				want := slices.Clone(tt.want)
				for i := range want {
					if tt.mount.At == "/home/bound" {
						want[i] = fmt.Sprintf(want[i], len(r.spec.Mounts)-1)
					}
				}
				mounts, at := f.Mounted(r.spec)
				if got := short(enforce.DecideMounted(s, r.spec, mounts, at, time.Now())); !slices.Equal(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
			})
		}
	})
}
