package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// result is what the lines of a guest's console say of the tests.
type result struct {
	passed, failed, skipped int
	// ended: the guest's init has come to its end, with this status.
	ended  bool
	status int
}

// statusLine is followed by the status of the tests. It is init.sh's last line.
const statusLine = "guest: status "

// add takes in a line, and says whether somebody would want to read it.
func (r *result) add(line string) bool {
	if text, ok := strings.CutPrefix(line, statusLine); ok {
		status, err := strconv.Atoi(text)
		r.ended, r.status = err == nil, status
		return false
	}
	trimmed := strings.TrimLeft(line, " ")
	switch {
	case strings.HasPrefix(trimmed, "--- PASS: "):
		r.passed++
	case strings.HasPrefix(trimmed, "--- FAIL: "):
		r.failed++
	case strings.HasPrefix(trimmed, "--- SKIP: "):
		r.skipped++
	}
	return line != "" && !strings.Contains(line, "] reboot: ")
}

// report writes the last line, and is an error unless tests ran and passed. err is why the guest ended.
func (r *result) report(out io.Writer, err error, took time.Duration) error {
	fmt.Fprintf(out, "e2e-guest: %d tests passed, %d failed, %d left out, in %v\n", r.passed, r.failed, r.skipped, took.Round(time.Second))
	switch {
	case !r.ended:
		return fmt.Errorf("the guest gave no result: %w", errors.Join(err, errNoStatus))
	case r.status != 0 || r.failed > 0:
		return errors.New("tests failed in the guest")
	case r.passed == 0:
		return errors.New("no test ran in the guest")
	}
	return nil
}

var errNoStatus = fmt.Errorf("no line %q on its console", statusLine)
