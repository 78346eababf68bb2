package shim

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

func global(t *testing.T, args ...string) Global {
	t.Helper()
	g, _, _, err := ParseGlobal(Runc(), args)
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
		if !strings.HasPrefix(stderr.String(), "reason (and the log can't be written: "+path+": ") || strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("%s: %q", path, &stderr)
		}
	}
	var stderr strings.Builder
	report(Global{}, &stderr, time.Now(), "reason")
	if stderr.String() != "reason\n" {
		t.Errorf("%q", &stderr)
	}
}

// TestReportFull: a FIFO that is read by nobody and full must not hold a refusal back.
func TestReportFull(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(fifo, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for err == nil {
		_, err = unix.Write(fd, make([]byte, 4096))
	}
	if !errors.Is(err, unix.EAGAIN) {
		t.Fatal(err)
	}
	var stderr strings.Builder
	report(global(t, "--log", fifo), &stderr, time.Now(), "reason")
	if !strings.Contains(stderr.String(), "reason (and the log can't be written: ") {
		t.Errorf("%q", &stderr)
	}
}

// TestReportLong: cut on a rune's boundary, on both.
func TestReportLong(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	for _, pad := range []string{"", "a", "ab"} {
		if err := os.RemoveAll(log); err != nil {
			t.Fatal(err)
		}
		var stderr strings.Builder
		report(global(t, "--log", log, "--log-format=json"), &stderr, time.Now(), pad+strings.Repeat("世", maxMessage))
		text, err := os.ReadFile(log)
		var line struct{ Msg string }
		if err := errors.Join(err, json.Unmarshal(text, &line)); err != nil {
			t.Fatal(err)
		}
		if msg := line.Msg; len(msg) > maxMessage || len(msg) < maxMessage-8 || !strings.HasSuffix(msg, "世…") || strings.ContainsRune(msg, utf8.RuneError) || stderr.String() != msg+"\n" {
			t.Errorf("%d bytes, ends in %q; stderr %d", len(msg), msg[len(msg)-12:], stderr.Len())
		}
	}
	st, err := os.Stat(log)
	if err != nil || st.Mode().Perm()&^0o644 != 0 {
		t.Errorf("%v, %v", st, err)
	}
}

// writes counts them.
type writes []string

func (w *writes) Write(p []byte) (int, error) {
	*w = append(*w, string(p))
	return len(p), nil
}

func TestReportWritesOnce(t *testing.T) {
	var stderr writes
	report(global(t, "--log", "/no/such/log"), &stderr, time.Now(), "a\nb")
	if len(stderr) != 1 {
		t.Errorf("%q", stderr)
	}
}

// TestReportLikeRealRunc: what we write is what runc writes, byte for byte but for message and time.
func TestReportLikeRealRunc(t *testing.T) {
	for _, runc := range realRuncs(t) {
		for _, format := range []string{"json", "text"} {
			dir := t.TempDir()
			theirs, ours := filepath.Join(dir, "theirs"), filepath.Join(dir, "ours")
			if err := exec.Command(runc, "--root", dir, "--log", theirs, "--log-format", format, "state", "a").Run(); err == nil {
				t.Fatalf("%s: there is a container in %s", runc, dir)
			}
			want, err := os.ReadFile(theirs)
			if err != nil {
				t.Fatal(err)
			}
			parts := regexp.MustCompile(`"?time"?[=:]"([^"]+)"`).FindSubmatch(want)
			message := regexp.MustCompile(`"?msg"?[=:]"([^"]+)"`).FindSubmatch(want)
			if parts == nil || message == nil {
				t.Fatalf("%s wrote %q", runc, want)
			}
			at, err := time.Parse(time.RFC3339, string(parts[1]))
			if err != nil {
				t.Fatal(err)
			}
			report(global(t, "--log", ours, "--log-format", format), io.Discard, at, string(message[1]))
			got, err := os.ReadFile(ours)
			if err != nil || string(got) != string(want) {
				t.Errorf("%s, %s: got %q, want %q (%v)", runc, format, got, want, err)
			}
		}
	}
}

func FuzzOneLine(f *testing.F) {
	f.Add("a\nb\x1b[31m\u2028\xff")
	f.Add(strings.Repeat("é", maxMessage))
	f.Fuzz(func(t *testing.T, s string) {
		got := oneLine(s)
		if !utf8.ValidString(got) || len(got) > maxMessage || strings.ContainsAny(got, "\n\r\x1b\u2028\u0085") {
			t.Errorf("%q", got)
		}
		if data, err := json.Marshal(got); err != nil || strings.Contains(string(data), `\u001b`) {
			t.Errorf("%s, %v", data, err)
		}
	})
}
