package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

const ms = time.Millisecond

func TestMedian(t *testing.T) {
	tests := []struct {
		values []time.Duration
		want   time.Duration
	}{
		{[]time.Duration{3}, 3},
		{[]time.Duration{4, 2}, 3},
		{[]time.Duration{9, 1, 5}, 5},
		{[]time.Duration{8, 2, 100, 4}, 6},
	}
	for _, tt := range tests {
		before := slices.Clone(tt.values)
		if got := medianTime(tt.values); got != tt.want {
			t.Errorf("median of %v is %d, want %d", tt.values, got, tt.want)
		}
		if !slices.Equal(before, tt.values) {
			t.Errorf("%v was reordered to %v, and pairs with it", before, tt.values)
		}
	}
}

// The median of ratios is not the ratio of medians: one slow pair must not count.
func TestRatioAndDifferenceAreOfPairs(t *testing.T) {
	s := series{pairs: []pair{{10 * ms, 9 * ms}, {100 * ms, 90 * ms}, {20 * ms, 40 * ms}}}
	if got := s.ratio(); got != 0.9 {
		t.Errorf("ratio %v, want 0.9", got)
	}
	if got := s.ofMedians(); got != 2 {
		t.Errorf("ratio of medians %v, want 2", got)
	}
	if got := s.difference(); got != -ms {
		t.Errorf("difference %v, want -1ms", got)
	}
}

func TestRender(t *testing.T) {
	got := render([]series{
		{what: "exec", a: "runc", b: "runclamp", pairs: []pair{{10 * ms, 9 * ms}, {20 * ms, 18 * ms}}},
		{what: "state", a: "minexec", b: "runclamp", pairs: []pair{{ms, 2 * ms}}, goal: "+0.50 ms"},
	})
	want := strings.TrimPrefix(`
WHAT   PAIRS  A        MEDIAN    MIN       B         MEDIAN    MIN      B/A    OF PAIRS  B-A       GOAL (AT MOST)
exec   2      runc     15.00 ms  10.00 ms  runclamp  13.50 ms  9.00 ms  0.90x  0.90x     -1.50 ms  -
state  1      minexec  1.00 ms   1.00 ms   runclamp  2.00 ms   2.00 ms  2.00x  2.00x     +1.00 ms  +0.50 ms
`, "\n")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestInterleave(t *testing.T) {
	var order strings.Builder
	side := func(name string, times ...time.Duration) action {
		return func() ([]time.Duration, error) {
			order.WriteString(name)
			return times, nil
		}
	}
	pairs, err := bench{warmup: 1}.interleave(context.Background(), 2, side("A", 1, 2), side("B", 3, 4))
	if err != nil {
		t.Fatal(err)
	}
	if order.String() != "ABABAB" {
		t.Errorf("order %s", order.String())
	}
	if len(pairs) != 2 || !slices.Equal(pairs[0], []pair{{1, 3}, {1, 3}}) || !slices.Equal(pairs[1], []pair{{2, 4}, {2, 4}}) {
		t.Errorf("pairs %v", pairs)
	}
}

func TestInterleaveEndsWithTheFirstError(t *testing.T) {
	broken := errors.New("broken")
	fails := func() ([]time.Duration, error) { return nil, broken }
	if _, err := (bench{}).interleave(context.Background(), 1, fails, fails); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestOnly(t *testing.T) {
	for names, want := range map[string]string{
		"":            "start parallel policy filter exec pass-through load",
		"start":       "start",
		"exec,filter": "filter exec",
	} {
		found, err := only(names)
		var got []string
		for _, g := range found {
			got = append(got, g.name)
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q: %v, %v", names, got, err)
		}
	}
	if _, err := only("start,stop"); err == nil || !strings.Contains(err.Error(), `no group is called "stop"; there are start, parallel`) {
		t.Errorf("got %v", err)
	}
}
