package enforce

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"runclamp/enforce/policy"
)

// annotations: no annotation changes what the runtime does with the container.
//
// Annotations are for notes. But runc takes some for properties of the container's systemd unit and for CRIU's configuration,
// crun for hooks, seccomp filters and handlers, Kata Containers for its hypervisor: from whoever may write a note, past all that
// is judged here. (CVE-2022-0811 and CVE-2024-3154 are of that kind.) Those that engines send by themselves are let
// through, with the values that engines give them.
//
// runc keeps them in its record of the container as "key=value", next to "bundle=<path>", and takes the first that begins with
// "bundle=" for the path of the bundle (libcontainer/utils, SearchLabels). A key that could be taken for it is refused even if
// the policy lists it.
//
// Docker, Podman: --annotation; compose: annotations; Kubernetes: metadata.annotations, as far as the engine passes them on.
func annotations() Control {
	return Control{
		Name:   "annotations",
		Fields: []string{"/annotations"},
		Action: func(c policy.Controls) policy.Action { return c.Annotations.Action },
		Reference: Reference{
			Docker:     "no --annotation that a runtime, systemd or CRIU heeds",
			Compose:    "no such annotations",
			Kubernetes: "no such metadata.annotations",
		},
		Check: checkAnnotations,
	}
}

// instruction is a key, or the beginning of keys, that something takes for more than a note.
type instruction struct{ prefix, to string }

func instructions() []instruction {
	return []instruction{
		{"org.systemd.property.", "a property of the container's unit to systemd"},
		{"org.criu.", "CRIU's configuration to runc"},
		{"run.oci.", "an instruction to crun"},
		{"krun.", "an instruction to crun's virtual machine"},
		{"module.wasm.", "an instruction to crun and its WebAssembly engines"},
		{"io.katacontainers.", "an instruction to Kata Containers"},
		{"io.containers.trace-syscall", "a file to write to the hook that records system calls"},
	}
}

// enginesOwn are the values of such keys that engines send by themselves: Podman's KillSignal and TimeoutStopUSec with the
// systemd cgroup manager, and CRI-O's (internal/factory/container, SpecAddAnnotations).
func enginesOwn(key, value string) bool {
	pattern := map[string]string{
		"org.systemd.property.KillSignal":          `^[0-9]{1,2}$`,
		"org.systemd.property.TimeoutStopUSec":     `^uint64 [0-9]{1,20}$`,
		"org.systemd.property.CollectMode":         `^'inactive-or-failed'$`,
		"org.systemd.property.DefaultDependencies": `^true$`,
		"org.systemd.property.After":               `^\['crio\.service'\]$`,
	}[key]
	return pattern != "" && regexp.MustCompile(pattern).MatchString(value)
}

func checkAnnotations(in Input) []Finding {
	var found []Finding
	all := in.Spec.Annotations
	for _, key := range slices.Sorted(maps.Keys(all)) {
		f := Finding{
			Detail: cut(key), Pointer: "/annotations/" + escape(key), Wanted: "notes only",
			Mend: fmt.Sprintf(`drop "--annotation %s=…" (Kubernetes: metadata.annotations)`, cut(key)),
		}
		switch {
		case key == "bundle" || strings.Contains(key, "=") || strings.ContainsFunc(key, unicode.IsControl):
			f.Found = fmt.Sprintf("the annotation %q, which runc can take for the path of the bundle", cut(key))
		case slices.Contains(in.Policy.Controls.Annotations.Allow, key) || enginesOwn(key, all[key]):
			continue
		default:
			i := slices.IndexFunc(instructions(), func(i instruction) bool { return strings.HasPrefix(key, i.prefix) })
			if i < 0 {
				continue
			}
			f.Found = fmt.Sprintf("the annotation %s, %s", cut(key), instructions()[i].to)
		}
		found = append(found, f)
	}
	return found
}

// maxShown is how much of a text of the user's stands in a finding.
const maxShown = 128

// cut is a text of the user's as a finding shows it: on one line, and not too much of it.
func cut(s string) string {
	short := []rune(s)
	more := ""
	if len(short) > maxShown {
		short, more = short[:maxShown], "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, string(short)) + more
}

// escape writes a key as a part of a pointer (RFC 6901, section 3).
func escape(key string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(key) }
