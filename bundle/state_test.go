package bundle

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

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
