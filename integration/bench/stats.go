package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// pair is the same thing measured on both sides, one right after the other.
type pair struct{ a, b time.Duration }

// series is what was measured of one thing.
type series struct {
	what string
	// a and b name the two sides.
	a, b  string
	pairs []pair
	// goal is the project's own, for people to compare with.
	goal string
}

// median is the middle of the values, or the mean of the two in the middle. There must be one value at least.
func median[T cmp.Ordered](values []T, mean func(x, y T) T) T {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return mean(sorted[n/2-1], sorted[n/2])
}

func medianTime(values []time.Duration) time.Duration {
	return median(values, func(x, y time.Duration) time.Duration { return (x + y) / 2 })
}

func (s series) side(of func(pair) time.Duration) []time.Duration {
	var values []time.Duration
	for _, p := range s.pairs {
		values = append(values, of(p))
	}
	return values
}

// ratio is the median of b/a over the pairs: what disturbs a machine for longer than a pair takes falls out of it.
func (s series) ratio() float64 {
	var ratios []float64
	for _, p := range s.pairs {
		ratios = append(ratios, float64(p.b)/float64(p.a))
	}
	return median(ratios, func(x, y float64) float64 { return (x + y) / 2 })
}

// ofMedians is the ratio of b's median to a's.
func (s series) ofMedians() float64 {
	a, b := s.side(func(p pair) time.Duration { return p.a }), s.side(func(p pair) time.Duration { return p.b })
	return float64(medianTime(b)) / float64(medianTime(a))
}

// difference is the median of b-a over the pairs.
func (s series) difference() time.Duration {
	return medianTime(s.side(func(p pair) time.Duration { return p.b - p.a }))
}

func render(all []series) string {
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	// Writing to a strings.Builder can't fail, and a tabwriter has no error of its own.
	_, _ = fmt.Fprintln(table, "WHAT\tPAIRS\tA\tMEDIAN\tMIN\tB\tMEDIAN\tMIN\tB/A\tOF PAIRS\tB-A\tGOAL (AT MOST)")
	for _, s := range all {
		a, b := s.side(func(p pair) time.Duration { return p.a }), s.side(func(p pair) time.Duration { return p.b })
		_, _ = fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%.2fx\t%.2fx\t%s\t%s\n", s.what, len(s.pairs),
			s.a, milliseconds(medianTime(a)), milliseconds(slices.Min(a)),
			s.b, milliseconds(medianTime(b)), milliseconds(slices.Min(b)),
			s.ofMedians(), s.ratio(), signed(s.difference()), cmp.Or(s.goal, "-"))
	}
	_ = table.Flush()
	return b.String()
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.2f ms", d.Seconds()*1000) }

func signed(d time.Duration) string { return fmt.Sprintf("%+.2f ms", d.Seconds()*1000) }
