package apparmor

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Label is what confines a process: one profile or, stacked, several at once, of which each can deny.
type Label struct {
	Profiles []string
	// Mode is of all of them: enforce, complain, kill, prompt, user, or mixed if they differ. Empty: unconfined.
	Mode string
}

// ParseLabel reads /proc/PID/attr/apparmor/current.
func ParseLabel(text string) Label {
	names, mode, ok := lastCut(strings.TrimRight(text, "\n\x00"), " (")
	if !ok {
		return Label{Profiles: []string{names}}
	}
	return Label{Profiles: strings.Split(names, "//&"), Mode: strings.TrimSuffix(mode, ")")}
}

// Has says whether a profile is among them, or one that is part of it (a hat, or a child for a program that it starts).
func (l Label) Has(profile string) bool {
	return slices.ContainsFunc(l.Profiles, func(p string) bool { return p == profile || strings.HasPrefix(p, profile+"//") })
}

// Enforced: what is denied does not happen.
func (l Label) Enforced() bool { return l.Mode == "enforce" || l.Mode == "kill" }

func (l Label) String() string {
	names := strings.Join(l.Profiles, "//&")
	if l.Mode == "" {
		return names
	}
	return names + " (" + l.Mode + ")"
}

// LabelOf reads the label of a process, whose folder in procfs is given.
func LabelOf(process string) (Label, error) {
	text, err := os.ReadFile(filepath.Join(process, "attr/apparmor/current"))
	if errors.Is(err, fs.ErrNotExist) {
		// Before Linux 5.1.
		text, err = os.ReadFile(filepath.Join(process, "attr/current"))
	}
	if err != nil {
		return Label{}, err
	}
	return ParseLabel(string(text)), nil
}
