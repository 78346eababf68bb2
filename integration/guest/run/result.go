package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
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

// judge is an error unless the tests have come to their end, and passed. err is why the guest ended.
func (r *result) judge(err error) error {
	switch {
	case !r.ended:
		return fmt.Errorf("the guest gave no result: %w", errors.Join(err, fmt.Errorf("no line %q on its console", statusLine)))
	case r.status != 0 || r.failed > 0:
		return errors.New("tests failed")
	}
	return nil
}
