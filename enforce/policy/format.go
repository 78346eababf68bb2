package policy

import (
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"runclamp/enforce/spelling"

	"go.yaml.in/yaml/v3"
)

// enum is a type with a fixed set of values, from the loosest to the strictest.
type enum interface{ values() []string }

// format is how a value is written that is not simply text, a number or true and false.
type format struct {
	// wanted says it in words.
	wanted string
	// tags are what the YAML reader may take such a text for.
	tags []string
	// parse gives what the text stands for.
	parse func(text string, now time.Time) (any, error)
}

// formatOf has the formats that the tag "is" may name. How JSON Schema says the same is in schema.go.
func formatOf(is string) (format, bool) {
	str, num := []string{"!!str"}, []string{"!!str", "!!int"}
	switch is {
	case "apiVersion":
		return format{strconv.Quote(APIVersion), str, parseAPIVersion}, true
	case "preset":
		return format{"a preset", str, parsePreset}, true
	case "name":
		return format{"a name", str, parseName}, true
	case "text":
		return format{"text", str, parseText}, true
	case "date":
		return format{"a date like 2027-03-31", []string{"!!str", "!!timestamp"}, parseDate}, true
	case "finding":
		return format{"control or control:detail", str, parseFinding}, true
	case "size":
		return format{"a size like 64Mi", num, parseSize}, true
	case "mode":
		return format{"permission bits in octal, like 0755", num, parseMode}, true
	case "assignedID":
		return format{"a number, neither 0 nor 65534", []string{"!!int"}, parseAssignedID}, true
	case "capability":
		return format{"a capability", str, parseCapability}, true
	case "field":
		return format{"a field as a refusal names it, like linux.intelRdt", str, parseField}, true
	case "pids":
		return format{"a number of processes, or none", num, orNone(parsePids)}, true
	case "memory":
		return format{"a size like 512Mi, or none", num, orNone(parseSize)}, true
	case "cpus":
		return format{"a number of CPUs like 1.5 or 500m, or none", []string{"!!str", "!!int", "!!float"}, orNone(parseCPUs)}, true
	case "oomScoreAdj":
		return format{"a number from -1000 to 1000", []string{"!!int"}, parseOOMScoreAdj}, true
	case "annotation":
		return format{"an annotation's key", str, parseAnnotation}, true
	case "sysctl":
		return format{"a sysctl like net.core.somaxconn", str, parseSysctl}, true
	case "variable":
		return format{"a variable's name", str, parseVariable}, true
	case "tmpfsPath":
		return format{"an absolute path", str, parseTmpfsPath}, true
	case "file":
		return format{"an absolute path", str, parseFile}, true
	case "confinedPath":
		return format{"an absolute path in the container", str, parseConfinedPath}, true
	case "log":
		return format{"an absolute path, or \"\" for no log", str, parseLog}, true
	case "seccompProfile":
		return format{"profiles' names or file:/absolute/path, joined by +", str, parseSeccompProfile}, true
	case "profile":
		return format{"a profile's name or file:/absolute/path", str, parseProfile}, true
	}
	return format{}, false
}

const (
	// maxID: the highest uint32 is -1 to setuid(2), which means "leave it".
	maxID   = 1<<32 - 2
	maxName = 128
	maxDays = 400
)

// wanted says in words what a value must be.
func wanted(v reflect.Value, tag reflect.StructTag) string {
	if f, ok := formatOf(tag.Get("is")); ok {
		return f.wanted
	}
	if e, ok := v.Interface().(enum); ok {
		return "one of " + strings.Join(e.values(), ", ")
	}
	switch v.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "text"
	}
	return "a number"
}

// scalar is what a node of text stands for, for a value like v.
func scalar(n *yaml.Node, v reflect.Value, tag reflect.StructTag, now time.Time) (any, error) {
	mismatch := func() error { return fmt.Errorf("wanted %s, found %s", wanted(v, tag), found(n)) }
	if is := tag.Get("is"); is != "" {
		f, ok := formatOf(is)
		if !ok {
			return nil, fmt.Errorf("internal error: no format %q", is)
		}
		if !slices.Contains(f.tags, n.Tag) {
			return nil, mismatch()
		}
		return f.parse(n.Value, now)
	}
	if e, ok := v.Interface().(enum); ok {
		if n.Tag != "!!str" {
			return nil, mismatch()
		}
		if !slices.Contains(e.values(), n.Value) {
			return nil, errors.New(spelling.Unknown(n.Value, e.values()))
		}
		return n.Value, nil
	}
	switch {
	case v.Kind() == reflect.Bool && (n.Value == "true" || n.Value == "false") && n.Tag == "!!bool":
		return n.Value == "true", nil
	case v.Kind() == reflect.String && n.Tag == "!!str":
		return n.Value, nil
	case v.Kind() == reflect.Uint32 && n.Tag == "!!int":
		return parseID(n.Value)
	}
	return nil, mismatch()
}

func parseAPIVersion(text string, _ time.Time) (any, error) {
	if text != APIVersion {
		return nil, fmt.Errorf("%q is not the version that this runclamp reads: %s", text, APIVersion)
	}
	return text, nil
}

func presetNames() []string { return []string{"baseline", "restricted", "hardened"} }

func parsePreset(text string, _ time.Time) (any, error) {
	if !slices.Contains(presetNames(), text) {
		return nil, errors.New(spelling.Unknown(text, presetNames()))
	}
	return text, nil
}

// parseName: names stand in refusals and in the audit log.
func parseName(text string, _ time.Time) (any, error) {
	switch {
	case strings.TrimSpace(text) == "":
		return nil, errors.New("an empty name")
	case len(text) > maxName:
		return nil, fmt.Errorf("a name of %d bytes; at most %d", len(text), maxName)
	case strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		return nil, fmt.Errorf("%q has characters that can't be printed", text)
	}
	return text, nil
}

func parseText(text string, _ time.Time) (any, error) {
	if strings.TrimSpace(text) == "" {
		return nil, errors.New("an empty text")
	}
	return text, nil
}

func parseDate(text string, now time.Time) (any, error) {
	date, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return nil, fmt.Errorf("wanted a date like 2027-03-31, found %q", text)
	}
	if last := now.UTC().AddDate(0, 0, maxDays); date.After(last) {
		return nil, fmt.Errorf("%s is more than %d days ahead; the last that is allowed today is %s", text, maxDays, last.Format(time.DateOnly))
	}
	return text, nil
}

func parseFinding(text string, _ time.Time) (any, error) {
	control, detail, colon := strings.Cut(text, ":")
	switch {
	case !slices.Contains(Names(), control):
		return nil, fmt.Errorf("unknown control %s", spelling.Unknown(control, Names()))
	case colon && detail == "":
		return nil, fmt.Errorf("%q names no detail behind the colon", text)
	case detail == "*":
		return nil, fmt.Errorf("%q: findings have no patterns; name each as the refusal prints it", text)
	case control == "capabilities" && strings.HasPrefix(detail, "CAP_"):
		return nil, fmt.Errorf("%q lifts nothing: the finding is named \"capabilities:%s\"", text, strings.TrimPrefix(detail, "CAP_"))
	case strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		return nil, fmt.Errorf("%q has characters that can't be printed", text)
	}
	return text, nil
}

// suffix is a unit as Kubernetes writes it (apimachinery, resource.Quantity).
type suffix struct {
	name  string
	bytes int64
}

func suffixes() []suffix {
	return []suffix{
		{"Ti", 1 << 40}, {"Gi", 1 << 30}, {"Mi", 1 << 20}, {"Ki", 1 << 10},
		{"T", 1e12}, {"G", 1e9}, {"M", 1e6}, {"k", 1e3},
	}
}

// parseSize: 0 would be no limit to tmpfs(5).
func parseSize(text string, _ time.Time) (any, error) {
	digits, unit := text, int64(1)
	for _, s := range suffixes() {
		if d, ok := strings.CutSuffix(text, s.name); ok {
			digits, unit = d, s.bytes
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n > (1<<63-1)/unit || digits[0] < '1' || digits[0] > '9' {
		return nil, fmt.Errorf("wanted a size like 64Mi, 1Gi, 500M or bytes, found %q", text)
	}
	return n * unit, nil
}

// noLimit is how a file says that there is none.
const noLimit = "none"

// orNone reads a limit, or that there is none.
func orNone(parse func(string, time.Time) (any, error)) func(string, time.Time) (any, error) {
	return func(text string, now time.Time) (any, error) {
		if text == noLimit {
			return int64(0), nil
		}
		v, err := parse(text, now)
		if err != nil {
			return nil, fmt.Errorf("%w, or none", err)
		}
		return v, nil
	}
}

// maxPids is the most that the kernel can count (PID_MAX_LIMIT).
const maxPids = 1 << 22

func parsePids(text string, _ time.Time) (any, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || n > maxPids || text[0] < '1' || text[0] > '9' {
		return nil, fmt.Errorf("wanted a number of processes from 1 to %d, found %q", maxPids, text)
	}
	return n, nil
}

// parseCPUs reads CPUs as Docker (1.5) and Kubernetes (1500m) write them. The kernel takes no quota below a millisecond, which is
// a hundredth of the usual period.
func parseCPUs(text string, _ time.Time) (any, error) {
	bad := fmt.Errorf("wanted a number of CPUs from 0.01 on, like 1.5 or 1500m, found %q", text)
	digits, milli := strings.CutSuffix(text, "m")
	whole, part, dot := strings.Cut(digits, ".")
	if milli && dot || dot && part == "" || len(part) > 3 || whole == "" || strings.Trim(whole+part, "0123456789") != "" {
		return nil, bad
	}
	if !milli {
		digits = whole + part + strings.Repeat("0", 3-len(part))
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 10 || n > 1<<30 {
		return nil, bad
	}
	return n, nil
}

// printCPUs is the number in whole CPUs.
func printCPUs(milli int64) string {
	s := fmt.Sprintf("%d.%03d", milli/1000, milli%1000)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

func parseOOMScoreAdj(text string, _ time.Time) (any, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < -1000 || n > 1000 {
		return nil, fmt.Errorf("wanted a number from -1000 to 1000, found %q", text)
	}
	return n, nil
}

// parseField: the path to a field, by dots. Which fields there are depends on who wrote the configuration.
func parseField(text string, _ time.Time) (any, error) {
	good := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r)
	}
	if text == "" || strings.Contains(text, "..") || text[0] == '.' || text[len(text)-1] == '.' || strings.ContainsFunc(text, func(r rune) bool { return !good(r) }) {
		return nil, fmt.Errorf("wanted a field as a refusal names it, like linux.intelRdt, found %q", text)
	}
	return text, nil
}

func rlimitName(text string) string {
	name := strings.ToUpper(text)
	if !strings.HasPrefix(name, "RLIMIT_") {
		name = "RLIMIT_" + name
	}
	return name
}

func shortRlimit(name string) string { return strings.ToLower(strings.TrimPrefix(name, "RLIMIT_")) }

func shortRlimits() []string {
	names := rlimitNames()
	for i, n := range names {
		names[i] = shortRlimit(n)
	}
	return names
}

// rlimitNames are all that the kernel has (getrlimit(2)).
func rlimitNames() []string {
	return []string{
		"RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_CPU", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_LOCKS", "RLIMIT_MEMLOCK",
		"RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_RSS", "RLIMIT_RTPRIO", "RLIMIT_RTTIME",
		"RLIMIT_SIGPENDING", "RLIMIT_STACK",
	}
}

// printSize is the shortest way to write a size.
func printSize(n int64) string {
	for _, s := range suffixes()[:4] {
		if n%s.bytes == 0 {
			return strconv.FormatInt(n/s.bytes, 10) + s.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// parseMode: nothing but the permissions and the sticky bit.
func parseMode(text string, _ time.Time) (any, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(text, "0o"), 8, 32)
	if err != nil || n > 0o1777 {
		return nil, fmt.Errorf("wanted permission bits in octal, at most 1777, found %q", text)
	}
	return uint32(n), nil
}

func printMode(m uint32) string { return fmt.Sprintf("%04o", m) }

func parseID(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n > maxID || len(text) > 1 && (text[0] < '1' || text[0] > '9') {
		return 0, fmt.Errorf("wanted a number from 0 to %d, found %q", uint32(maxID), text)
	}
	return uint32(n), nil
}

// parseAssignedID: root, and the overflow ID that everything without a mapping belongs to, are what nonRoot takes away.
func parseAssignedID(text string, _ time.Time) (any, error) {
	n, err := parseID(text)
	if err != nil {
		return nil, err
	}
	if n == 0 || n == 65534 {
		return nil, fmt.Errorf("%d is what nobody may run as (0 is root, 65534 is nobody)", n)
	}
	return n, nil
}

func parseCapability(text string, _ time.Time) (any, error) {
	name := strings.ToUpper(text)
	if !strings.HasPrefix(name, "CAP_") {
		name = "CAP_" + name
	}
	if !slices.Contains(KernelCapabilities(), name) {
		return nil, fmt.Errorf("unknown capability %s", spelling.Unknown(strings.TrimPrefix(name, "CAP_"), shortNames()))
	}
	return name, nil
}

func shortNames() []string {
	names := KernelCapabilities()
	for i, n := range names {
		names[i] = strings.TrimPrefix(n, "CAP_")
	}
	return names
}

// parseAnnotation: what is never let through can't be allowed (enforce/annotations.go).
func parseAnnotation(text string, _ time.Time) (any, error) {
	switch {
	case text == "":
		return nil, errors.New("an empty key")
	case strings.Contains(text, "*"):
		return nil, fmt.Errorf("%q: keys have no patterns; write the whole key", text)
	case text == "bundle" || strings.Contains(text, "=") || strings.ContainsFunc(text, unicode.IsControl):
		return nil, fmt.Errorf("%q can't be allowed: runc would look for the container's bundle where it says", text)
	}
	return text, nil
}

// parseSysctl takes both spellings, as runc does, and gives the one with dots.
func parseSysctl(text string, _ time.Time) (any, error) {
	good := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-/", r)
	}
	name := strings.ReplaceAll(text, "/", ".")
	if strings.ContainsFunc(text, func(r rune) bool { return !good(r) }) || slices.Contains(strings.Split(name, "."), "") || !strings.Contains(name, ".") {
		return nil, fmt.Errorf("wanted a whole name like net.core.somaxconn, found %q", text)
	}
	return name, nil
}

// parseVariable: a name has everything but what ends it.
func parseVariable(text string, _ time.Time) (any, error) {
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r == '=' || r == '*' || !unicode.IsPrint(r) }) {
		return nil, fmt.Errorf("wanted the whole name of a variable, found %q", text)
	}
	return text, nil
}

// parseTmpfsPath: not over what the kernel shows, nor over what engines mount for every container.
func parseTmpfsPath(text string, _ time.Time) (any, error) {
	if !path.IsAbs(text) || path.Clean(text) != text || strings.ContainsRune(text, 0) {
		return nil, fmt.Errorf("wanted an absolute path without \"..\", \"//\" or a slash at its end, found %q", text)
	}
	under := func(folder string) bool { return text == folder || strings.HasPrefix(text, folder+"/") }
	if text == "/" || slices.ContainsFunc([]string{"/proc", "/sys", "/dev"}, under) {
		return nil, fmt.Errorf("%q is the kernel's or the whole container; a tmpfs can't be there", text)
	}
	if slices.ContainsFunc([]string{"/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/run/secrets", "/var/run/secrets"}, under) {
		return nil, fmt.Errorf("%q is where engines mount their own files; a tmpfs would hide them", text)
	}
	return text, nil
}

func parseFile(text string, _ time.Time) (any, error) {
	if !path.IsAbs(text) || path.Clean(text) != text || text == "/" || strings.ContainsRune(text, 0) {
		return nil, fmt.Errorf("wanted an absolute path without \"..\", \"//\" or a slash at its end, found %q", text)
	}
	return text, nil
}

// parseConfinedPath: a path means itself. AppArmor reads globs and variables in quotation marks too (apparmor.d(5)).
func parseConfinedPath(text string, now time.Time) (any, error) {
	if text != "/" {
		if _, err := parseFile(text, now); err != nil {
			return nil, err
		}
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) || strings.ContainsAny(text, `*?[]{}()^"'\@,#<>`) {
		return nil, fmt.Errorf(`%q: there are no patterns, and none of * ? [ ] { } ( ) ^ " ' \ @ , # < >; a folder stands for all that is below it`, text)
	}
	return text, nil
}

func parseLog(text string, now time.Time) (any, error) {
	if text == "" {
		return text, nil
	}
	return parseFile(text, now)
}

func parseProfile(text string, now time.Time) (any, error) {
	if p, ok := strings.CutPrefix(text, "file:"); ok {
		_, err := parseFile(p, now)
		return text, err
	}
	if text == "unconfined" {
		return nil, errors.New("unconfined is no profile; action: off turns the control off")
	}
	good := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r)
	}
	if text == "" || len(text) > maxName || strings.ContainsAny(text[:1], "._-") || strings.ContainsFunc(text, func(r rune) bool { return !good(r) }) {
		return nil, fmt.Errorf("wanted a profile's name (letters, digits, \".\", \"_\", \"-\") or file:/absolute/path, found %q", text)
	}
	return text, nil
}

// parseSeccompProfile: names joined by "+", which no name and no path has therefore.
func parseSeccompProfile(text string, now time.Time) (any, error) {
	if text == string(AnyProfile) {
		return text, nil
	}
	names := strings.Split(text, "+")
	for i, name := range names {
		if name == string(AnyProfile) {
			return nil, fmt.Errorf("%q: %s is every profile, and makes no other stricter; leave it out", text, name)
		}
		if slices.Contains(names[:i], name) {
			return nil, fmt.Errorf("%q: %s stands twice", text, name)
		}
		if _, err := parseProfile(name, now); err != nil {
			return nil, err
		}
	}
	return text, nil
}

// KernelCapabilities are all that the kernel has (capabilities(7); include/uapi/linux/capability.h), in its order.
func KernelCapabilities() []string {
	return []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
		"CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
		"CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
		"CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
		"CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
		"CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
		"CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
	}
}
