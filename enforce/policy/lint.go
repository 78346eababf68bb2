package policy

import (
	"fmt"
	"slices"
	"time"
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
