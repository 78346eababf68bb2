package main

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"runclamp/integration/demo/outcome"

	"golang.org/x/sys/unix"
)

func TestJudge(t *testing.T) {
	tests := []struct {
		err    error
		want   outcome.Outcome
		detail string
	}{
		{nil, outcome.Succeeded, ""},
		{unix.EPERM, outcome.Blocked, "EPERM"},
		{&os.PathError{Op: "open", Path: "/x", Err: unix.EROFS}, outcome.Blocked, "EROFS"},
		{fmt.Errorf("run: %w", unix.EACCES), outcome.Blocked, "EACCES"},
		{denied("masked"), outcome.Blocked, "masked"},
		{unix.ENOENT, outcome.Unmeasured, "no such file or directory"},
		{unix.ENOSYS, outcome.Unmeasured, "function not implemented"},
		{unmeasured{unix.EPERM}, outcome.Unmeasured, "operation not permitted"},
		{errors.New("anything else"), outcome.Unmeasured, "anything else"},
	}
	for _, tt := range tests {
		got, detail := judge(tt.err)
		if got != tt.want || detail != tt.detail {
			t.Errorf("judge(%v) = %q, %q, want %q, %q", tt.err, got, detail, tt.want, tt.detail)
		}
	}
}

func TestAttacksHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range attacks() {
		if a.name == "" || seen[a.name] || a.try == nil {
			t.Errorf("attack %q has no name of its own, or nothing to try", a.name)
		}
		seen[a.name] = true
	}
}
