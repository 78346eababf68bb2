package proof

import (
	"slices"
	"strings"
	"testing"

	"runclamp/enforce"
	"runclamp/enforce/apparmor"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestStarted: what a program did by itself, with what it was given, is no finding. What it can't have done is.
func TestStarted(t *testing.T) {
	const (
		chown  = 1 << 0
		setgid = 1 << 6
		setuid = 1 << 7
		setcap = 1 << 8
		bind   = 1 << 10
	)
	ids := func(id uint32) [4]uint32 { return [4]uint32{id, id, id, id} }
	for _, tt := range []struct {
		name    string
		process specs.Process
		change  func(*Status)
		before  string // what is found before the start
		after   string
	}{
		{"nothing", specs.Process{NoNewPrivileges: true}, func(*Status) {}, "", ""},
		{"another user", specs.Process{NoNewPrivileges: true}, func(s *Status) { s.UIDs = ids(7) }, "uid", "uid"},
		{"another user, with a right to it", specs.Process{NoNewPrivileges: true, Capabilities: sets("CAP_SETUID")}, func(s *Status) { s.UIDs = ids(7) }, "uid", ""},
		{"another user, by a set-UID program", specs.Process{}, func(s *Status) { s.UIDs = ids(7) }, "uid", ""},
		{"other groups", specs.Process{NoNewPrivileges: true, Capabilities: sets("CAP_SETUID")}, func(s *Status) { s.GIDs, s.Groups = ids(7), []uint32{8} }, "gid groups", "gid groups"},
		{"other groups, with a right to it", specs.Process{NoNewPrivileges: true, Capabilities: sets("CAP_SETGID")}, func(s *Status) { s.GIDs, s.Groups = ids(7), []uint32{8} }, "gid groups", ""},
		{"other groups, by a set-UID program", specs.Process{}, func(s *Status) { s.GIDs, s.Groups = ids(7), []uint32{8} }, "gid groups", "groups"},
		{"other groups, by a program that has a right to it", specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_SETGID"}}},
			func(s *Status) { s.GIDs, s.Groups = ids(7), []uint32{8} }, "gid groups", ""},
		{"no-new-privileges is gone", specs.Process{NoNewPrivileges: true}, func(s *Status) { s.NoNewPrivs = false }, "noNewPrivileges", "noNewPrivileges"},
		{"a permitted capability in effect", specs.Process{NoNewPrivileges: true, Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN"}, Permitted: []string{"CAP_CHOWN"}}},
			func(s *Status) { s.Effective, s.Inheritable, s.Ambient = chown, chown, chown }, "ambient effective inheritable", ""},
		{"a capability more", specs.Process{NoNewPrivileges: true, Capabilities: sets("CAP_CHOWN")}, func(s *Status) { s.Effective, s.Permitted = bind, bind }, "effective permitted", "effective permitted"},
		{"one of the bounding set", specs.Process{NoNewPrivileges: true, Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN"}}},
			func(s *Status) { s.Effective, s.Permitted = chown, chown }, "effective permitted", "effective permitted"},
		{"one of the bounding set, by a program that has it", specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN"}}},
			func(s *Status) { s.Effective, s.Permitted = chown, chown }, "effective permitted", ""},
		{"inheritable, with a right to it", specs.Process{NoNewPrivileges: true, Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN", "CAP_SETPCAP"}, Permitted: []string{"CAP_SETPCAP"}}},
			func(s *Status) { s.Inheritable = chown | setcap }, "inheritable", ""},
		{"more in the bounding set", specs.Process{Capabilities: sets("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP")},
			func(s *Status) { s.Bounding = setuid | setgid | setcap | bind }, "bounding", "bounding"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec := &specs.Spec{Process: &tt.process}
			if tt.process.Capabilities == nil {
				tt.process.Capabilities = &specs.LinuxCapabilities{}
			}
			tt.process.User = specs.User{UID: 10001, GID: 10001}
			s := Status{UIDs: ids(10001), GIDs: ids(10001), NoNewPrivs: tt.process.NoNewPrivileges}
			tt.change(&s)
			for started, want := range map[bool]string{false: tt.before, true: tt.after} {
				var got []string
				for _, f := range Hold(spec, Facts{Status: &s, Started: started}) {
					what := f.Detail
					if what == factCapabilities {
						what = f.Pointer[strings.LastIndex(f.Pointer, "/")+1:]
					}
					if !slices.Contains(got, what) {
						got = append(got, what)
					}
					if !started != strings.Contains(f.Mend, "the delegate did not") {
						t.Errorf("started %v: mend is %q", started, f.Mend)
					}
				}
				if got := strings.Join(got, " "); got != want {
					t.Errorf("started %v: found %q, wanted %q", started, got, want)
				}
			}
		})
	}
}

func sets(names ...string) *specs.LinuxCapabilities {
	return &specs.LinuxCapabilities{Bounding: names, Effective: names, Permitted: names}
}

// TestStartedLimits: a program may go beyond its limits if it has a right to that, and else somebody else has let it.
func TestStartedLimits(t *testing.T) {
	score := 0
	facts := Facts{OOMScoreAdj: &score, Limits: map[string]Limit{"RLIMIT_NOFILE": {Soft: 9, Hard: 9}}}
	for _, tt := range []struct {
		process       specs.Process
		before, after int
	}{
		{specs.Process{Capabilities: &specs.LinuxCapabilities{}}, 2, 2},
		{specs.Process{NoNewPrivileges: true, Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_SYS_RESOURCE"}}}, 2, 2},
		{specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_SYS_RESOURCE"}}}, 2, 0},
		{specs.Process{NoNewPrivileges: true, Capabilities: sets("CAP_SYS_RESOURCE")}, 2, 0},
	} {
		want := 100
		tt.process.OOMScoreAdj, tt.process.Rlimits = &want, []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 8, Hard: 8}}
		for started, want := range map[bool]int{false: tt.before, true: tt.after} {
			facts.Started = started
			if found := short(Hold(&specs.Spec{Process: &tt.process}, facts)); len(found) != want {
				t.Errorf("started %v: %+v: %q", started, tt.process.Capabilities, found)
			}
		}
	}
}

// TestReadLabel: once the program is executed, the label counts, and not what the kernel has loaded.
func TestReadLabel(t *testing.T) {
	recordings(t, func(t *testing.T, r *recording) {
		r.spec.Process.ApparmorProfile = "web"
		r.host.Started = true
		for label, want := range map[string]string{
			"web (enforce)\n": "", "web//worker (enforce)\n": "", "web//&site (enforce)\n": "", "web (kill)\n": "",
			"web (complain)\n": "/process/apparmorProfile reject", "web2 (enforce)\n": "/process/apparmorProfile reject",
			"unconfined\n": "/process/apparmorProfile reject", "web (mixed)\n": "/process/apparmorProfile reject", "": "/process/apparmorProfile reject",
		} {
			r.write(t, "proc/42/attr/apparmor/current", label)
			found := short(Hold(r.spec, r.read(t)))
			if want == "" && len(found) > 0 || want != "" && !slices.Equal(found, []string{"proof:appArmor " + want}) {
				t.Errorf("%q: %q", label, found)
			}
		}
		// All profiles may complain at once, and a label does not show it.
		r.write(t, "proc/42/attr/apparmor/current", "web (enforce)\n")
		complains := r.read(t)
		complains.AppArmor = enforce.AppArmor{Enabled: true, Permissive: "complain"}
		if found := short(Hold(r.spec, complains)); !slices.Equal(found, []string{"proof:appArmor  audit"}) {
			t.Errorf("a kernel that complains: %q", found)
		}
		r.write(t, "proc/42/attr/current", "unconfined\n")
		if err := r.remove("proc/42/attr/apparmor/current"); err != nil {
			t.Fatal(err)
		}
		if f := r.read(t); f.Label.String() != "unconfined" {
			t.Errorf("before Linux 5.1: %v", f.Label)
		}
		if err := r.remove("proc/42/attr/current"); err != nil {
			t.Fatal(err)
		}
		if found := short(Hold(r.spec, r.read(t))); !slices.Equal(found, []string{"proof:appArmor  audit"}) {
			t.Errorf("without: %q", found)
		}
		r.host.Started = false
		f := r.read(t)
		f.AppArmor.Enabled, f.AppArmor.Loaded = true, map[string]bool{"web": true}
		if found := short(Hold(r.spec, f)); len(found) > 0 || f.Label.String() != (apparmor.Label{}).String() {
			t.Errorf("before its start: %q, %v", found, f.Label)
		}
	})
}

// TestReadChrooted: of a program that has taken a folder for its root only what is mounted there can be seen, and nothing is found of the rest.
func TestReadChrooted(t *testing.T) {
	recordings(t, func(t *testing.T, r *recording) {
		for text, want := range map[string]string{
			"63 43 254:0 /lib /lib rw,relatime - ext4 /dev/vda rw\n": "proof:mounts  audit",
			"": "proof:mounts  audit",
		} {
			r.write(t, "proc/42/mountinfo", text)
			if found := short(Hold(r.spec, r.read(t))); len(found) < 2 {
				t.Errorf("before its start: %q", found)
			}
			started := *r
			started.host.Started = true
			if found := short(Hold(r.spec, started.read(t))); !slices.Contains(found, want) || slices.ContainsFunc(found, func(f string) bool { return strings.HasSuffix(f, "reject") }) {
				t.Errorf("%q, wanted %q and nothing that refuses", found, want)
			}
		}
	})
}
