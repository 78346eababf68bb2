package enforce

import (
	"fmt"
	"strconv"
	"strings"

	"runclamp/enforce/policy"
)

// spelledOut is how many findings a refusal tells in full. Engines show one line, and people read less of it.
const spelledOut = 3

// Refusal is the one line that a person reads when a container was refused: what was found, where, the mend in the
// engine's own words, and where the decision comes from.
func (d Decision) Refusal(source string) string {
	var parts []string
	more := 0
	for _, f := range d.Findings {
		switch {
		case f.Action != policy.Reject:
		case len(parts) == spelledOut:
			more++
		default:
			parts = append(parts, f.sentence())
		}
	}
	if more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more: see the audit log", more))
	}
	return fmt.Sprintf("%s (%s)", strings.Join(parts, "; "), source)
}

func (f Finding) sentence() string {
	where := ""
	if f.Pointer != "" {
		where = " at " + field(f.Pointer)
	}
	s := fmt.Sprintf("%s: %s%s, wanted %s", f.Name(), f.Found, where, f.Wanted)
	if f.Mend != "" {
		s += ": " + f.Mend
	}
	return s
}

// field writes a pointer as people write it: /mounts/7/source is mounts[7].source.
func field(pointer string) string {
	parts, err := SplitPointer(pointer)
	if err != nil || len(parts) == 0 {
		return "config.json"
	}
	var b strings.Builder
	for i, p := range parts {
		if _, err := strconv.Atoi(p); err == nil {
			fmt.Fprintf(&b, "[%s]", p)
			continue
		}
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(p)
	}
	return b.String()
}
