// Package spelling finds the name that was meant.
package spelling

import (
	"fmt"
	"strings"
)

// Unknown quotes a name and says which known one was meant, or which there are.
func Unknown(name string, known []string) string {
	if near := nearest(name, known); near != "" {
		return fmt.Sprintf("%q; did you mean %q?", name, near)
	}
	return fmt.Sprintf("%q; known are %s", name, strings.Join(known, ", "))
}

// nearest is the known name that the fewest changes of letters lead to; "" if it takes more than a third of them.
func nearest(name string, known []string) string {
	best, least := "", len(name)/3+1
	for _, k := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < least || d == least && best == "" {
			best, least = k, d
		}
	}
	return best
}

// distance is Levenshtein's: how many letters to put in, take out or replace.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return max(len(a), len(b))
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
