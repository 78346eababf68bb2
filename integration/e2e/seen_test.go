package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// seen is what the probe tells (integration/e2e/probe).
type seen struct {
	Status      map[string]string
	Env         []string
	Cwd         string
	Descriptors []string
	Mounts      []struct {
		Point, Type, Options string
		Writable, Exec       bool
	}
	Args []string
	TTY  bool
	// Sockets are the families that no filter denies.
	Sockets []string
}

// parseSeen passes over what else is on a terminal: what was typed comes back in front of it, and ctr may have its say behind.
func parseSeen(t *testing.T, out string) seen {
	t.Helper()
	var s seen
	if err := json.NewDecoder(strings.NewReader(out[max(0, strings.Index(out, "{")):])).Decode(&s); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return s
}

// confined: what holds for every process in a clamped container.
func confined(t *testing.T, s seen, uid string) {
	t.Helper()
	four := strings.TrimSpace(strings.Repeat(uid+" ", 4))
	for key, want := range map[string]string{
		"Uid": four, "Gid": four, "NoNewPrivs": "1", "Seccomp": "2",
		"CapInh": "0000000000000000", "CapPrm": "0000000000000000", "CapEff": "0000000000000000", "CapBnd": "0000000000000000", "CapAmb": "0000000000000000",
	} {
		if s.Status[key] != want {
			t.Errorf("%s is %q, want %q", key, s.Status[key], want)
		}
	}
	if slices.Contains(strings.Fields(s.Status["Groups"]), "0") {
		t.Errorf("group 0 is among %q", s.Status["Groups"])
	}
}

// writable are the mount points where the process can write.
func writable(s seen) []string {
	var points []string
	for _, m := range s.Mounts {
		if m.Writable {
			points = append(points, m.Point)
		}
	}
	slices.Sort(points)
	return points
}
