package apparmor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Loaded is a profile that the kernel has.
type Loaded struct {
	Name string
	// Mode is enforce, complain, kill, or one that later kernels have (unconfined, user).
	Mode string
}

// Enforced: what the profile denies is denied. In mode kill it ends the process as well.
func (l Loaded) Enforced() bool { return enforced(l.Mode) }

func enforced(mode string) bool { return mode == "enforce" || mode == "kill" }

// State is what the kernel says of AppArmor.
type State struct {
	// Enabled: it has AppArmor, and uses it.
	Enabled bool
	// Mode is that of the kernel as a whole. If it is not an enforcing one, no profile is enforced, whatever its own mode. Empty: it
	// is not ours to read.
	Mode string
	// Profiles are those of this policy namespace. Nil: they are not ours to read, or securityfs is not mounted. Otherwise, if it is
	// empty, there are none.
	Profiles []Loaded
}

// Enforces: the kernel as a whole does what profiles say. A mode that can't be read is the usual one.
func (s State) Enforces() bool { return s.Enabled && (s.Mode == "" || enforced(s.Mode)) }

// ReadState asks the kernel whose sysfs is mounted at sys. A kernel without AppArmor does not have the files.
func ReadState(sys string) (State, error) {
	enabled, err := os.ReadFile(filepath.Join(sys, "module/apparmor/parameters/enabled"))
	if errors.Is(err, fs.ErrNotExist) || err == nil && !strings.HasPrefix(string(enabled), "Y") {
		return State{}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("whether the kernel has AppArmor: %w", err)
	}
	s := State{Enabled: true}
	mode, _, err := readable(filepath.Join(sys, "module/apparmor/parameters/mode"))
	if err != nil {
		return s, fmt.Errorf("AppArmor's mode: %w", err)
	}
	s.Mode = strings.TrimSpace(mode)
	profiles, ours, err := readable(filepath.Join(sys, "kernel/security/apparmor/profiles"))
	if err != nil {
		return s, fmt.Errorf("the loaded AppArmor profiles: %w", err)
	}
	if ours {
		s.Profiles = []Loaded{}
	}
	for line := range strings.Lines(profiles) {
		// apparmorfs writes "name (mode)", and the profiles of other policy namespaces as ":namespace://name (mode)": who may write
		// policy there is not root here.
		name, mode, ok := lastCut(strings.TrimSuffix(line, "\n"), " (")
		if ok && !strings.HasPrefix(name, ":") {
			s.Profiles = append(s.Profiles, Loaded{name, strings.TrimSuffix(mode, ")")})
		}
	}
	return s, nil
}

// readable is a file's text, and whether it is there and ours to read.
func readable(path string) (text string, ours bool, err error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return "", false, nil
	}
	return string(raw), err == nil, err
}

func lastCut(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
