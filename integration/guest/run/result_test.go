package main

import (
	"errors"
	"strings"
	"testing"
)

func TestResult(t *testing.T) {
	for _, tt := range []struct {
		name, console, want string
		passed              int
	}{
		{"passed", "=== RUN   TestA\n--- PASS: TestA (0.1s)\n    --- PASS: TestA/b (0.1s)\nPASS\n\nguest: status 0\n[   9.1] reboot: Restarting system", "", 2},
		{"failed", "--- PASS: TestA (0.1s)\n--- FAIL: TestB (0.1s)\nFAIL\n\nguest: status 1", "tests failed", 1},
		{"a panic", "--- PASS: TestA (0.1s)\npanic: no\nguest: status 2", "tests failed", 1},
		{"a test program that hides a failure", "--- FAIL: TestB (0.1s)\nguest: status 0", "tests failed", 0},
		{"hung", "--- PASS: TestA (0.1s)\n=== RUN   TestB", "the guest gave no result: killed", 1},
		{"no number", "guest: status ", "the guest gave no result", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r result
			for l := range strings.Lines(tt.console) {
				r.add(strings.TrimSuffix(l, "\n"))
			}
			err := r.judge(errors.New("killed"))
			if r.ended && tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if r.passed != tt.passed {
				t.Errorf("%d passed, want %d", r.passed, tt.passed)
			}
		})
	}
}
