package enforce

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// devices: a container has the devices that every container has, and no other.
//
// A disk is all that is on it, whatever may be mounted; /dev/mem and /dev/kmsg are the kernel; and with the rules of the
// device cgroup opened, whoever can make device files makes his own.
//
// Docker: --device, --device-cgroup-rule; compose: devices; Kubernetes: what device plugins give. config-linux.md "Devices",
// "Device cgroup".
func devices() Control {
	return Control{
		Name:   "devices",
		Fields: []string{"/linux/devices", "/linux/resources/devices"},
		Action: func(c policy.Controls) policy.Action { return c.Devices.Action },
		Reference: Reference{
			Docker:     "no --device, no --device-cgroup-rule",
			Compose:    "no devices, no device_cgroup_rules",
			Kubernetes: "no device plugin's resources",
			CIS:        []string{"5.18"},
		},
		Check: func(in Input) []Finding {
			r := linux(in.Spec).Resources
			if opensAllDevices(r) && in.refusesPrivileged() {
				return nil // one plain sentence says it all
			}
			const mend = `drop "--device" and "--device-cgroup-rule" (compose: devices), or allow it in a rule (devices.allow)`
			var found []Finding
			names := map[DeviceNumber]string{}
			for i, d := range linux(in.Spec).Devices {
				n := DeviceNumber{d.Type, d.Major, d.Minor}.normal()
				if n.standard() || in.Facts.Devices.allows(n) {
					if !inUserNamespace(in) || n.isAt(d.Path) || in.Facts.Devices[d.Path] == n {
						continue
					}
					found = append(found, Finding{
						Detail: d.Path, Pointer: fmt.Sprintf("/linux/devices/%d", i),
						Found: fmt.Sprintf("the device %s at %s, and in a user namespace runc binds what the host has there", n, d.Path), Wanted: "devices where the host has them",
						Mend: `leave the second path out of "--device"`,
					})
					continue
				}
				names[n] = d.Path
				found = append(found, Finding{
					Detail: d.Path, Pointer: fmt.Sprintf("/linux/devices/%d", i),
					Found: "the host's device " + n.String(), Wanted: "the devices that every container has", Mend: mend,
				})
			}
			if r == nil {
				return found
			}
			// The delegate denies what no rule allows (runc, libcontainer/cgroups/devices).
			for i, d := range r.Devices {
				n, exact := ruleNumber(d)
				switch {
				case !d.Allow, slices.ContainsFunc(r.Devices[i+1:], deniesAll):
					continue
				case !allDevices(d) && strings.Trim(d.Access, "m") == "":
					// runc lets every device file be made, and none be opened (libcontainer/specconv, AllowedDevices).
					continue
				case exact && (n.standard() || in.Facts.Devices.allows(n)), n.Type == "c" && !wild(d.Major) && *d.Major == 136:
					continue // 136 are the terminals of /dev/pts
				}
				detail, ok := names[n]
				switch {
				case allDevices(d):
					detail = "*:*"
				case !ok || !exact:
					detail = number(d.Major) + ":" + number(d.Minor)
				}
				found = append(found, Finding{
					Detail: detail, Pointer: fmt.Sprintf("/linux/resources/devices/%d", i),
					Found: fmt.Sprintf("access %q to the host's devices %s %s:%s", d.Access, d.Type, number(d.Major), number(d.Minor)), Wanted: "access to the devices that every container has", Mend: mend,
				})
			}
			return found
		},
	}
}

// inUserNamespace: no device files can be made. runc binds the host's file of the same path in their place, whatever that is
// (libcontainer, bindMountDeviceNode).
func inUserNamespace(in Input) bool {
	return in.Facts.UserNamespace || slices.ContainsFunc(linux(in.Spec).Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == specs.UserNamespace })
}

// refusesPrivileged: the control "privileged" has its say and is not lifted.
func (in Input) refusesPrivileged() bool {
	a := in.Policy.Controls.Privileged.Action
	return a != policy.Off && a != policy.Audit && !in.lifted("privileged", "")
}

// DeviceNumber is what a device is to the kernel, whatever its file is called: c or b, and two numbers.
type DeviceNumber struct {
	Type         string
	Major, Minor int64
}

// Devices are those that the policy allows, by the path that they have on the host. A container may have them under another.
type Devices map[string]DeviceNumber

func (d Devices) allows(n DeviceNumber) bool {
	for _, a := range d {
		if a == n {
			return true
		}
	}
	return false
}

// normal: "u" is an unbuffered character device, which Linux does not tell apart.
func (n DeviceNumber) normal() DeviceNumber {
	if n.Type == "u" {
		n.Type = "c"
	}
	return n
}

func (n DeviceNumber) String() string { return fmt.Sprintf("%s %d:%d", n.Type, n.Major, n.Minor) }

// standardDevices are those that config-linux.md "Default Devices" has, /dev/tty and /dev/console as well as /dev/ptmx
// (Documentation/admin-guide/devices.txt), and /dev/net/tun, which runc gives to every container.
func standardDevices() map[DeviceNumber]string {
	return map[DeviceNumber]string{
		{"c", 1, 3}: "/dev/null", {"c", 1, 5}: "/dev/zero", {"c", 1, 7}: "/dev/full", {"c", 1, 8}: "/dev/random", {"c", 1, 9}: "/dev/urandom",
		{"c", 5, 0}: "/dev/tty", {"c", 5, 1}: "/dev/console", {"c", 5, 2}: "/dev/ptmx", {"c", 10, 200}: "/dev/net/tun",
	}
}

func (n DeviceNumber) standard() bool { return standardDevices()[n] != "" }

// isAt: it is a standard device, and at its usual path.
func (n DeviceNumber) isAt(path string) bool { return n.standard() && standardDevices()[n] == path }

// deniesAll: what was allowed before is taken back.
func deniesAll(d specs.LinuxDeviceCgroup) bool {
	return !d.Allow && allDevices(d) && wild(d.Major) && wild(d.Minor) && strings.Contains(d.Access, "r") && strings.Contains(d.Access, "w")
}

// ruleNumber is the one device that a rule is about, if it is about one.
func ruleNumber(d specs.LinuxDeviceCgroup) (n DeviceNumber, exact bool) {
	n.Type = d.Type
	if wild(d.Major) || wild(d.Minor) {
		return n, false
	}
	n.Major, n.Minor = *d.Major, *d.Minor
	return n, d.Type == "c" || d.Type == "b"
}

func number(n *int64) string {
	if wild(n) {
		return "*"
	}
	return strconv.FormatInt(*n, 10)
}
