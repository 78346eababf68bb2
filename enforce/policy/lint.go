package policy

import (
	"fmt"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
)

// soon is how long before its end an exception is warned of.
const soon = 30

// Warnings are what is allowed in the file and probably not meant.
func (f *File) Warnings(now time.Time) Errors {
	var w Errors
	warn := func(line int, format string, args ...any) {
		w = append(w, Error{Line: line, Column: 1, Message: fmt.Sprintf(format, args...)})
	}
	for i, r := range f.Rules {
		for _, earlier := range f.Rules[:i] {
			if covers(earlier.Match, r.Match) {
				warn(r.Line, "rule %q never applies: rule %q above matches all that it does", r.Name, earlier.Name)
				break
			}
		}
	}
	for _, e := range f.Exceptions {
		switch {
		case e.Expired(now):
			warn(e.Line, "exception %q has expired: it held until %s", e.Name, e.Expires)
		case e.Expired(now.AddDate(0, 0, soon)):
			warn(e.Line, "exception %q expires soon: it holds until %s", e.Name, e.Expires)
		}
	}
	w.sort()
	return w
}

// covers: whatever b matches, a matches too. It sees the simple cases, and says no to the others.
func covers(a, b Match) bool {
	for key, wide := range a {
		narrow, ok := b[key]
		if !ok || slices.ContainsFunc(narrow, func(p string) bool { return !coversPattern(key, wide, p) }) {
			return false
		}
	}
	return true
}

func coversPattern(key string, wide []string, pattern string) bool {
	// A "*" in the narrower pattern is met by none but a "*" in the wider one, which then meets all that it stands for.
	return slices.ContainsFunc(wide, func(p string) bool { return matches(key, p, pattern) })
}

// Named is a profile that a file names, and where.
type Named struct {
	// Control is "seccomp" or "appArmor".
	Control string
	// Profile is one name; of several that are joined, each is a Named.
	Profile      string
	Line, Column int
}

// NamedProfiles are the profiles that a file names, in the order of the text: under controls, in rules and in tighten entries. The file is
// one that Parse finds good.
func NamedProfiles(text []byte) ([]Named, error) {
	root, err := document(text)
	if err != nil {
		return nil, err
	}
	var all []Named
	add := func(entry *yaml.Node) {
		for _, control := range []string{"seccomp", "appArmor"} {
			n := under(entry, "controls", control, "profile")
			if n == nil {
				continue
			}
			names := []string{n.Value}
			if control == "seccomp" {
				names = SeccompProfile(n.Value).Names()
			}
			for _, name := range names {
				all = append(all, Named{control, name, n.Line, n.Column})
			}
		}
	}
	add(root)
	for _, list := range []string{"rules", "tighten"} {
		if n := under(root, list); n != nil {
			for _, entry := range n.Content {
				add(entry)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Named) int { return a.Line - b.Line })
	return all, nil
}

// under is the value that keys lead to; nil if there is none.
func under(n *yaml.Node, keys ...string) *yaml.Node {
	for _, key := range keys {
		var value *yaml.Node
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				value = n.Content[i+1]
			}
		}
		if value == nil {
			return nil
		}
		n = value
	}
	return n
}
