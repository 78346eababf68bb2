package shim

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// maxMessage keeps a refusal to what an engine shows and a person reads, in bytes.
const maxMessage = 4 << 10

// report makes a refusal seen. containerd and dockerd show the last error line of the --log file, and nothing of stderr;
// Podman passes no --log to a runtime that it does not know by name, and shows stderr. So both get it, in one write each.
func report(g Global, stderr io.Writer, now time.Time, message string) {
	message = oneLine(message)
	path, format := g.Log()
	if path != "" {
		if err := appendLog(path, format, now, message); err != nil {
			// stderr is all that is left to say so.
			message += oneLine(fmt.Sprintf(" (and the log can't be written: %v)", err))
		}
	}
	// Who has closed stderr does not want to know.
	_, _ = io.WriteString(stderr, message+"\n")
}

func appendLog(path, format string, now time.Time, message string) error {
	entry := &logrus.Entry{Logger: logrus.New(), Time: now, Level: logrus.ErrorLevel, Message: message}
	formatter := logrus.Formatter(&logrus.TextFormatter{DisableColors: true})
	if format == "json" {
		formatter = &logrus.JSONFormatter{}
	}
	line, err := formatter.Format(entry)
	if err != nil {
		return err
	}
	// As runc opens it (main.go, configLogrus), but not to wait for ever on a FIFO that nobody reads. And not by os.File: it
	// waits for a full one, and writes what is left over of a line as a second piece, between other writers' lines.
	fd, err := unix.Open(path, unix.O_CREAT|unix.O_WRONLY|unix.O_APPEND|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	n, err := unix.Write(fd, line)
	if err == nil && n < len(line) {
		err = io.ErrShortWrite
	}
	if err = errors.Join(err, unix.Close(fd)); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// OneLine: names and paths in a message may be a stranger's choice. A line break would let them write a line of their own
// into the log, and an escape sequence onto a terminal.
func OneLine(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == utf8.RuneError || !unicode.IsPrint(r):
			q := fmt.Sprintf("%q", string(r))
			b.WriteString(q[1 : len(q)-1])
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// oneLine is no longer than a message may be.
func oneLine(s string) string {
	if s = OneLine(s); len(s) > maxMessage {
		return strings.ToValidUTF8(s[:maxMessage-len("…")], "") + "…"
	}
	return s
}
