package seccomp

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"runclamp/enforce/spelling"
	"runclamp/enforce/strictjson"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const (
	// maxProfile is far above what people write: Docker's default has 13 KiB.
	maxProfile = 1 << 20
	// maxArgs is how many arguments a system call has.
	maxArgs = 6
)

// Errors are all that is wrong with a profile, in the order of the text.
type Errors []strictjson.Error

func (e Errors) Error() string {
	var parts []string
	for _, one := range e {
		parts = append(parts, one.Error())
	}
	return strings.Join(parts, "; ")
}

// Read reads a profile strictly: whatever none of those who read such a profile understands is an error, and so is what they
// understand in different ways. The error is of type Errors.
func Read(data []byte) (*Document, error) {
	root, err := strictjson.Parse(data, maxProfile)
	if err != nil {
		var where strictjson.Error
		if !errors.As(err, &where) {
			where = strictjson.Error{Line: 1, Column: 1, Message: err.Error()}
		}
		return nil, Errors{where}
	}
	r := &reader{data: data}
	d := r.document(root)
	if len(r.errors) > 0 {
		slices.SortStableFunc(r.errors, func(a, b strictjson.Error) int {
			return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
		})
		return nil, r.errors
	}
	return d, nil
}

// reader goes on after an error, to find all.
type reader struct {
	data   []byte
	errors Errors
	// line is how many lines end before the last rule, and start the offset where its own begins.
	line, start int
}

func (r *reader) fail(at int, format string, args ...any) {
	r.errors = append(r.errors, strictjson.At(r.data, at, fmt.Sprintf(format, args...)))
}

// key is a key that an object may have, and what reads its value. null is as good as no key, as for who reads with encoding/json.
type key struct {
	name     string
	required bool
	read     func(name string, v *strictjson.Value)
}

// object reads the members of an object, and says which were there.
func (r *reader) object(name string, v *strictjson.Value, keys []key) (there map[string]bool) {
	if v.Kind != '{' {
		r.fail(v.At, "%s: wanted an object, found %s", name, found(v))
		return nil
	}
	there = map[string]bool{}
	for _, m := range v.Members {
		i := slices.IndexFunc(keys, func(k key) bool { return k.name == m.Key })
		switch {
		case i < 0:
			var known []string
			for _, k := range keys {
				known = append(known, k.name)
			}
			r.fail(m.At, "%s: unknown key %s", name, spelling.Unknown(m.Key, known))
		case string(m.Value.Raw) != "null":
			there[m.Key] = true
			keys[i].read(m.Key, m.Value)
		}
	}
	for _, k := range keys {
		if k.required && !there[k.name] {
			r.fail(v.At, "%s: %q is missing", name, k.name)
		}
	}
	return there
}

// list reads each item of a list.
func (r *reader) list(name string, v *strictjson.Value, read func(name string, v *strictjson.Value)) {
	if v.Kind != '[' {
		r.fail(v.At, "%s: wanted a list, found %s", name, found(v))
		return
	}
	for _, item := range v.Items {
		read(name, item)
	}
}

func (r *reader) document(v *strictjson.Value) *Document {
	d := &Document{}
	var errno *uint
	r.object("the profile", v, []key{
		{"defaultAction", true, func(n string, v *strictjson.Value) { d.DefaultAction = r.action(n, v) }},
		{"defaultErrnoRet", false, func(n string, v *strictjson.Value) { d.DefaultErrnoRet = r.small(n, v, maxErrno) }},
		{"defaultErrno", false, func(n string, v *strictjson.Value) { errno = r.errno(n, v) }},
		{"architectures", false, func(n string, v *strictjson.Value) {
			r.list(n, v, func(n string, v *strictjson.Value) { d.Architectures = append(d.Architectures, r.arch(n, v)) })
		}},
		{"archMap", false, func(n string, v *strictjson.Value) {
			r.list(n, v, func(n string, v *strictjson.Value) { d.ArchMap = append(d.ArchMap, r.archMap(n, v)) })
		}},
		{"flags", false, func(n string, v *strictjson.Value) {
			r.list(n, v, func(n string, v *strictjson.Value) {
				d.Flags = append(d.Flags, specs.LinuxSeccompFlag(r.oneOf(n, v, flagNames())))
			})
		}},
		{"listenerPath", false, func(n string, v *strictjson.Value) { d.ListenerPath = r.text(n, v) }},
		{"listenerMetadata", false, func(n string, v *strictjson.Value) { d.ListenerMetadata = r.text(n, v) }},
		{"syscalls", false, func(n string, v *strictjson.Value) {
			r.list(n, v, func(_ string, v *strictjson.Value) { d.Rules = append(d.Rules, r.rule(v)) })
		}},
	})
	if len(d.Architectures) > 0 && len(d.ArchMap) > 0 {
		r.fail(v.At, "the profile has both \"architectures\" and \"archMap\"; leave one of them out")
	}
	d.DefaultErrnoRet = r.sameErrno(v, "defaultErrno", "defaultErrnoRet", errno, d.DefaultErrnoRet)
	return d
}

func (r *reader) archMap(name string, v *strictjson.Value) ArchMap {
	var m ArchMap
	r.object(name, v, []key{
		{"architecture", true, func(n string, v *strictjson.Value) { m.Architecture = r.arch(n, v) }},
		{"subArchitectures", false, func(n string, v *strictjson.Value) {
			r.list(n, v, func(n string, v *strictjson.Value) { m.SubArchitectures = append(m.SubArchitectures, r.arch(n, v)) })
		}},
	})
	return m
}

func (r *reader) rule(v *strictjson.Value) Rule {
	var rule Rule
	rule.Line, rule.Column = r.position(v.At)
	var errno *uint
	there := r.object("syscalls", v, []key{
		{"names", false, func(n string, v *strictjson.Value) {
			r.list(n, v, func(n string, v *strictjson.Value) { rule.Names = append(rule.Names, r.callName(n, v)) })
		}},
		{"name", false, func(n string, v *strictjson.Value) { rule.Names = append(rule.Names, r.callName(n, v)) }},
		{"action", true, func(n string, v *strictjson.Value) { rule.Action = r.action(n, v) }},
		{"errnoRet", false, func(n string, v *strictjson.Value) { rule.ErrnoRet = r.small(n, v, maxErrno) }},
		{"errno", false, func(n string, v *strictjson.Value) { errno = r.errno(n, v) }},
		{"args", false, func(n string, v *strictjson.Value) {
			r.list(n, v, func(n string, v *strictjson.Value) { rule.Args = append(rule.Args, r.arg(n, v)) })
		}},
		{"comment", false, func(n string, v *strictjson.Value) { rule.Comment = r.text(n, v) }},
		{"includes", false, func(n string, v *strictjson.Value) { rule.Includes = r.condition(n, v) }},
		{"excludes", false, func(n string, v *strictjson.Value) { rule.Excludes = r.condition(n, v) }},
	})
	switch {
	case there["name"] && there["names"]:
		r.fail(v.At, "syscalls: both \"name\" and \"names\"; leave one of them out")
	case there != nil && len(rule.Names) == 0:
		r.fail(v.At, "syscalls: no system call is named; write \"names\": [\"read\"]")
	}
	rule.ErrnoRet = r.sameErrno(v, "errno", "errnoRet", errno, rule.ErrnoRet)
	return rule
}

// sameErrno is the one number that a name and a number stand for. Podman's profiles have both.
func (r *reader) sameErrno(v *strictjson.Value, name, number string, named, ret *uint) *uint {
	switch {
	case named == nil:
		return ret
	case ret != nil && *ret != *named:
		r.fail(v.At, "%q is %d and %q is %d; leave one of them out", name, *named, number, *ret)
	}
	return named
}

func (r *reader) arg(name string, v *strictjson.Value) specs.LinuxSeccompArg {
	var a specs.LinuxSeccompArg
	r.object(name, v, []key{
		{"index", true, func(n string, v *strictjson.Value) {
			if i := r.small(n, v, maxArgs-1); i != nil {
				a.Index = *i
			}
		}},
		{"value", true, func(n string, v *strictjson.Value) { a.Value = r.number(n, v, 1<<64-1) }},
		{"valueTwo", false, func(n string, v *strictjson.Value) { a.ValueTwo = r.number(n, v, 1<<64-1) }},
		{"op", true, func(n string, v *strictjson.Value) { a.Op = specs.LinuxSeccompOperator(r.oneOf(n, v, operatorNames())) }},
	})
	return a
}

func (r *reader) condition(name string, v *strictjson.Value) Condition {
	var c Condition
	r.object(name, v, []key{
		{"caps", false, func(n string, v *strictjson.Value) {
			r.list(n, v, func(n string, v *strictjson.Value) { c.Caps = append(c.Caps, r.capability(n, v)) })
		}},
		{"arches", false, func(n string, v *strictjson.Value) {
			r.list(n, v, func(n string, v *strictjson.Value) {
				c.Arches = append(c.Arches, r.oneOf(n, v, slices.Sorted(maps.Keys(archNames()))))
			})
		}},
		{"minKernel", false, func(n string, v *strictjson.Value) { c.MinKernel = r.kernel(n, v) }},
	})
	return c
}

// text is a string without control characters: they would end it early for who reads in C, and hide it from who reads it.
func (r *reader) text(name string, v *strictjson.Value) string {
	var s string
	if v.Raw[0] != '"' || json.Unmarshal(v.Raw, &s) != nil {
		r.fail(v.At, "%s: wanted text, found %s", name, found(v))
		return ""
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		r.fail(v.At, "%s: %q has control characters", name, s)
	}
	return s
}

// oneOf is one of the names that are known.
func (r *reader) oneOf(name string, v *strictjson.Value, known []string) string {
	before := len(r.errors)
	s := r.text(name, v)
	if len(r.errors) == before && !slices.Contains(known, s) {
		r.fail(v.At, "%s: %s", name, spelling.Unknown(s, known))
	}
	return s
}

func (r *reader) action(name string, v *strictjson.Value) specs.LinuxSeccompAction {
	return specs.LinuxSeccompAction(r.oneOf(name, v, actionNames()))
}

func (r *reader) arch(name string, v *strictjson.Value) specs.Arch {
	var known []string
	for _, a := range archNames() {
		known = append(known, string(a))
	}
	slices.Sort(known)
	return specs.Arch(r.oneOf(name, v, known))
}

// callName: libseccomp's names have no other characters. Which there are depends on the kernel; lint says which are unknown.
func (r *reader) callName(name string, v *strictjson.Value) string {
	return r.spelled(name, v, "a system call's name like openat", func(c rune) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' })
}

func (r *reader) capability(name string, v *strictjson.Value) string {
	s := r.spelled(name, v, "a capability like CAP_SYS_ADMIN", func(c rune) bool { return c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' })
	if s != "" && !strings.HasPrefix(s, "CAP_") {
		r.fail(v.At, "%s: wanted a capability like CAP_SYS_ADMIN, found %q", name, s)
	}
	return s
}

// spelled is a text of certain characters; "" if it is none.
func (r *reader) spelled(name string, v *strictjson.Value, wanted string, good func(rune) bool) string {
	before := len(r.errors)
	s := r.text(name, v)
	if len(r.errors) > before {
		return ""
	}
	if s == "" || strings.ContainsFunc(s, func(c rune) bool { return !good(c) }) {
		r.fail(v.At, "%s: wanted %s, found %q", name, wanted, s)
		return ""
	}
	return s
}

func (r *reader) number(name string, v *strictjson.Value, most uint64) uint64 {
	n, err := strconv.ParseUint(string(v.Raw), 10, 64)
	if v.Kind != 'v' || err != nil || n > most {
		r.fail(v.At, "%s: wanted a number from 0 to %d, found %s", name, most, found(v))
		return 0
	}
	return n
}

// small is a number that may be left out.
func (r *reader) small(name string, v *strictjson.Value, most uint64) *uint {
	before := len(r.errors)
	n := uint(r.number(name, v, most))
	if len(r.errors) > before {
		return nil
	}
	return &n
}

// errno is an error by its name, as Podman's profiles have it: EPERM.
func (r *reader) errno(name string, v *strictjson.Value) *uint {
	before := len(r.errors)
	s := r.text(name, v)
	if len(r.errors) > before {
		return nil
	}
	var known []string
	for n := uint(1); n <= maxErrno; n++ {
		if is := unix.ErrnoName(unix.Errno(n)); is == s && is != "" {
			return &n
		} else if is != "" {
			known = append(known, is)
		}
	}
	r.fail(v.At, "%s: unknown error %s", name, spelling.Unknown(s, known))
	return nil
}

// kernel is a version like 4.8; Docker takes an empty one for none.
func (r *reader) kernel(name string, v *strictjson.Value) Kernel {
	before := len(r.errors)
	s := r.text(name, v)
	if len(r.errors) > before || s == "" {
		return Kernel{}
	}
	version, patchlevel, dot := strings.Cut(s, ".")
	a, errA := strconv.ParseUint(version, 10, 8)
	b, errB := strconv.ParseUint(patchlevel, 10, 8)
	if !dot || errA != nil || errB != nil || a == 0 && b == 0 {
		r.fail(v.At, "%s: wanted a kernel's version like 4.8, found %q", name, s)
		return Kernel{}
	}
	return Kernel{int(a), int(b)}
}

// found says in words what stands there.
func found(v *strictjson.Value) string {
	switch {
	case v.Kind == '{':
		return "an object"
	case v.Kind == '[':
		return "a list"
	case v.Raw[0] == '"':
		return "the text " + string(v.Raw)
	case string(v.Raw) == "null":
		return "null"
	case v.Raw[0] == 't' || v.Raw[0] == 'f':
		return "the truth value " + string(v.Raw)
	}
	return "the number " + string(v.Raw)
}

// position is the line and column of a rule. Rules are asked for in their order, so that no text is counted twice.
func (r *reader) position(at int) (line, column int) {
	since := r.data[r.start:at]
	if newlines := bytes.Count(since, []byte("\n")); newlines > 0 {
		r.line += newlines
		r.start += bytes.LastIndexByte(since, '\n') + 1
	}
	return 1 + r.line, 1 + at - r.start
}

func actionNames() []string {
	return []string{
		string(specs.ActAllow), string(specs.ActErrno), string(specs.ActKill), string(specs.ActKillProcess), string(specs.ActKillThread),
		string(specs.ActLog), string(specs.ActNotify), string(specs.ActTrace), string(specs.ActTrap),
	}
}

func operatorNames() []string {
	return []string{
		string(specs.OpEqualTo), string(specs.OpNotEqual), string(specs.OpLessThan), string(specs.OpLessEqual),
		string(specs.OpGreaterThan), string(specs.OpGreaterEqual), string(specs.OpMaskedEqual),
	}
}

// flagNames are those that runc knows (libcontainer/seccomp, setFlag).
func flagNames() []string {
	return []string{
		"SECCOMP_FILTER_FLAG_TSYNC", string(specs.LinuxSeccompFlagLog), string(specs.LinuxSeccompFlagSpecAllow),
		string(specs.LinuxSeccompFlagWaitKillableRecv),
	}
}
