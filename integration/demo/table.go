package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"runclamp/integration/demo/outcome"
)

// row is one attack in the table.
type row struct {
	name string
	// open says why runclamp leaves it possible; empty: it has to block it.
	open             string
	docker, runclamp outcome.Result
	// alone are the controls that block it each by itself; together those without which the others don't.
	alone, together []string
}

// tabulate puts the measurements side by side and says which control each block is owed to.
func tabulate(m measured) ([]row, error) {
	for _, other := range slices.Concat([]ablation{{"runclamp", m.runclamp}}, m.alone, m.without) {
		if !slices.EqualFunc(m.docker, other.results, func(a, b outcome.Result) bool { return a.Name == b.Name }) {
			return nil, fmt.Errorf("the probe did not try the same under %s", other.control)
		}
	}
	var rows []row
	for i, d := range m.docker {
		r := row{name: d.Name, open: d.Open, docker: d, runclamp: m.runclamp[i]}
		if d.Outcome == outcome.Succeeded && r.runclamp.Outcome == outcome.Blocked {
			r.alone = thatHave(m.alone, i, outcome.Blocked)
			if len(r.alone) == 0 {
				r.together = thatHave(m.without, i, outcome.Succeeded)
			}
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// thatHave are the controls with, or without, which an attack had the outcome.
func thatHave(all []ablation, attack int, o outcome.Outcome) []string {
	var names []string
	for _, a := range all {
		if a.results[attack].Outcome == o {
			names = append(names, a.control)
		}
	}
	return names
}

// by says which controls block an attack that Docker's default lets through.
func (r row) by() string {
	switch {
	case r.docker.Outcome == outcome.Blocked && r.runclamp.Outcome == outcome.Blocked:
		return "Docker's default"
	case r.docker.Outcome != outcome.Succeeded || r.runclamp.Outcome != outcome.Blocked:
		return ""
	case len(r.alone) > 0:
		return strings.Join(r.alone, ", ")
	case len(r.together) > 0:
		return strings.Join(r.together, " + ")
	default:
		return "combined"
	}
}

// failed: runclamp has to block it and has not been seen to, although it is possible here.
func (r row) failed() bool {
	if r.open != "" {
		return false
	}
	return r.runclamp.Outcome == outcome.Succeeded ||
		r.docker.Outcome == outcome.Succeeded && r.runclamp.Outcome != outcome.Blocked
}

func failures(rows []row) []string {
	var names []string
	for _, r := range rows {
		if r.failed() {
			names = append(names, strings.TrimSuffix(fmt.Sprintf("%s: %s, %s", r.name, r.runclamp.Outcome, r.runclamp.Detail), ", "))
		}
	}
	return names
}

// measurable: it was tried both times, so the two can be compared.
func (r row) measurable() bool {
	return r.docker.Outcome != outcome.Unmeasured && r.runclamp.Outcome != outcome.Unmeasured
}

func render(rows []row) string {
	var aligned strings.Builder
	table := tabwriter.NewWriter(&aligned, 0, 0, 2, ' ', 0)
	// Writing to a strings.Builder can't fail, and a tabwriter has no error of its own.
	_, _ = fmt.Fprintln(table, "ATTACK\tDOCKER'S DEFAULT\tRUNCLAMP\tBLOCKED BY")
	for _, r := range rows {
		_, _ = fmt.Fprintln(table, strings.Join([]string{r.name, cell(r.docker), r.clamped(), r.by()}, "\t"))
	}
	_ = table.Flush()

	var b strings.Builder
	for line := range strings.Lines(aligned.String()) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	b.WriteString("\nBlocked by a, b: each of them alone. By a + b: only both together. Measured, one control at a time.\n")
	section(&b, "Left possible on purpose:", rows, func(r row) string {
		if r.open == "" || r.runclamp.Outcome != outcome.Succeeded {
			return ""
		}
		return r.open
	})
	section(&b, "Not measurable here, and not counted:", rows, func(r row) string {
		switch {
		case r.docker.Outcome == outcome.Unmeasured:
			return r.docker.Detail
		case r.runclamp.Outcome == outcome.Unmeasured:
			return r.runclamp.Detail
		default:
			return ""
		}
	})
	b.WriteString("\n" + totals(rows))
	return b.String()
}

// cell is a result in the table.
func cell(r outcome.Result) string {
	if r.Outcome == outcome.Blocked && r.Detail != "" {
		return fmt.Sprintf("%s (%s)", r.Outcome, r.Detail)
	}
	return string(r.Outcome)
}

// clamped is the result under runclamp; loud where it must not be.
func (r row) clamped() string {
	if r.failed() {
		return strings.ToUpper(cell(r.runclamp)) + " !!!"
	}
	return cell(r.runclamp)
}

// section lists the rows that have something to say, if there are any.
func section(b *strings.Builder, title string, rows []row, say func(row) string) {
	for _, r := range rows {
		if text := say(r); text != "" {
			if title != "" {
				b.WriteString("\n" + title + "\n")
				title = ""
			}
			b.WriteString("  " + r.name + ": " + text + "\n")
		}
	}
}

func totals(rows []row) string {
	var measured, docker, runclamp int
	for _, r := range rows {
		if !r.measurable() {
			continue
		}
		measured++
		if r.docker.Outcome == outcome.Succeeded {
			docker++
		}
		if r.runclamp.Outcome == outcome.Succeeded {
			runclamp++
		}
	}
	return fmt.Sprintf("%d attacks measured: %d succeed under Docker's default, %d under runclamp.\n", measured, docker, runclamp)
}
