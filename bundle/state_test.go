package bundle

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// TestContainers: what is no container is passed over, and what can't be looked into is not taken for that.
func TestContainers(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"a/state.json", "b/status", "c/exec.fifo", "file"} {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if ids, err := Containers(root); err != nil || !slices.Equal(ids, []string{"a", "b"}) {
		t.Errorf("%q, %v", ids, err)
	}
	// Like a folder of root's is to others.
	if err := os.Symlink("d", filepath.Join(root, "d")); err != nil {
		t.Fatal(err)
	}
	if ids, err := Containers(root); !errors.Is(err, unix.ELOOP) {
		t.Errorf("%q, %v", ids, err)
	}
	if ids, err := Containers(filepath.Join(root, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%q, %v", ids, err)
	}
}

// FuzzParseState: of a record that is JSON, what is passed over hides nothing, and runc's decoder reads the same as ours.
func FuzzParseState(f *testing.F) {
	f.Add(` {"id":"x","init_process_pid":7,"x":[{"a":"]}\\","b":[1,{}]},null,-1.5e3],"init_process_start":8,"config":{"rootfs":{},"labels":["a=b","bundle=/b"]},"y":"\""} `)
	f.Add("{\"config\":{\"x\":\"\xff\",\"labels\":[\"bundle=/b\xff\"]}}")
	f.Fuzz(func(t *testing.T, text string) {
		bundle, init, err := parseState([]byte(text))
		if err != nil || !json.Valid([]byte(text)) {
			return
		}
		var s struct {
			PID    int    `json:"init_process_pid"`
			Start  uint64 `json:"init_process_start"`
			Config struct {
				Labels []string `json:"labels"`
			} `json:"config"`
		}
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatalf("encoding/json says %v: %q", err, text)
		}
		first := ""
		for _, l := range s.Config.Labels {
			if path, ok := strings.CutPrefix(l, "bundle="); ok {
				first = path
				break
			}
		}
		if bundle != first || init != (Init{s.PID, s.Start}) || !utf8.ValidString(bundle) {
			t.Fatalf("we read %q, %v, and runc %q, %d, %d: %q", bundle, init, first, s.PID, s.Start, text)
		}
	})
}
