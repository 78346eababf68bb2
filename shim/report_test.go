package shim

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

func global(t *testing.T, args ...string) Global {
	t.Helper()
	g, _, _, err := ParseGlobal(args)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestReport(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	log := filepath.Join(t.TempDir(), "log")
	for _, tt := range []struct{ format, want string }{
		{"json", `{"level":"error","msg":"runclamp: refused: a \"b\" \\nc","time":"2026-01-02T03:04:05Z"}` + "\n"},
		{"text", `time="2026-01-02T03:04:05Z" level=error msg="runclamp: refused: a \"b\" \\nc"` + "\n"},
	} {
		if err := os.WriteFile(log, []byte("before\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		var stderr strings.Builder
		report(global(t, "--log", log, "--log-format", tt.format), &stderr, now, "runclamp: refused: a \"b\" \nc")
		got, err := os.ReadFile(log)
		if err != nil || string(got) != "before\n"+tt.want {
			t.Errorf("%s: %q, %v", tt.format, got, err)
		}
		if stderr.String() != "runclamp: refused: a \"b\" \\nc\n" {
			t.Errorf("stderr: %q", &stderr)
		}
	}
}

func TestReportWithoutLog(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, "/no/such/folder/log", t.TempDir()} {
		var stderr strings.Builder
		report(global(t, "--log", path), &stderr, time.Now(), "reason")
		if !strings.HasPrefix(stderr.String(), "reason (and the log can't be written: open ") || strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("%s: %q", path, &stderr)
		}
	}
	var stderr strings.Builder
	report(Global{}, &stderr, time.Now(), "reason")
	if stderr.String() != "reason\n" {
		t.Errorf("%q", &stderr)
	}
}

func FuzzOneLine(f *testing.F) {
	f.Add("a\nb\x1b[31m\u2028\xff")
	f.Add(strings.Repeat("é", maxMessage))
	f.Fuzz(func(t *testing.T, s string) {
		got := oneLine(s)
		if !utf8.ValidString(got) || len(got) > maxMessage+16 || strings.ContainsAny(got, "\n\r\x1b\u2028\u0085") {
			t.Errorf("%q", got)
		}
		if data, err := json.Marshal(got); err != nil || strings.Contains(string(data), `\u001b`) {
			t.Errorf("%s, %v", data, err)
		}
	})
}
