package main

import (
	"slices"
	"testing"

	"runclamp/enforce"
	"runclamp/enforce/policy"
	"runclamp/integration/demo/fixture"
	"runclamp/integration/demo/outcome"
)

const (
	yes = outcome.Succeeded
	no  = outcome.Blocked
	na  = outcome.Unmeasured
)

// results are one probe's, for attacks named a, b, c …
func results(outcomes ...outcome.Outcome) []outcome.Result {
	var r []outcome.Result
	for i, o := range outcomes {
		r = append(r, outcome.Result{Name: string(rune('a' + i)), Outcome: o})
	}
	return r
}

func TestAttribution(t *testing.T) {
	tests := []struct {
		what             string
		docker, runclamp outcome.Outcome
		alone, without   [2]outcome.Outcome // control one, control two
		by               string
		failed           bool
	}{
		{"either is enough", yes, no, [2]outcome.Outcome{no, no}, [2]outcome.Outcome{no, no}, "one, two", false},
		{"one does it", yes, no, [2]outcome.Outcome{no, yes}, [2]outcome.Outcome{yes, no}, "one", false},
		{"both are needed", yes, no, [2]outcome.Outcome{yes, yes}, [2]outcome.Outcome{yes, yes}, "one + two", false},
		{"no single one is needed nor enough", yes, no, [2]outcome.Outcome{yes, yes}, [2]outcome.Outcome{no, no}, "combined", false},
		{"what can't be measured alone is no block", yes, no, [2]outcome.Outcome{na, no}, [2]outcome.Outcome{no, yes}, "two", false},
		{"blocked before", no, no, [2]outcome.Outcome{no, no}, [2]outcome.Outcome{no, no}, "Docker's default", false},
		{"never measured", na, na, [2]outcome.Outcome{na, na}, [2]outcome.Outcome{na, na}, "", false},
		{"blocked, but nobody knows what", na, no, [2]outcome.Outcome{na, no}, [2]outcome.Outcome{no, na}, "", false},
		{"not blocked", yes, yes, [2]outcome.Outcome{yes, yes}, [2]outcome.Outcome{yes, yes}, "", true},
		{"made possible", no, yes, [2]outcome.Outcome{no, no}, [2]outcome.Outcome{no, no}, "", true},
		{"not shown to be blocked", yes, na, [2]outcome.Outcome{no, no}, [2]outcome.Outcome{no, no}, "", true},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			rows, err := tabulate(measured{
				docker: results(tt.docker), runclamp: results(tt.runclamp),
				alone:   []ablation{{"one", results(tt.alone[0])}, {"two", results(tt.alone[1])}},
				without: []ablation{{"one", results(tt.without[0])}, {"two", results(tt.without[1])}},
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := rows[0].by(); got != tt.by {
				t.Errorf("blocked by %q, want %q", got, tt.by)
			}
			if got := rows[0].failed(); got != tt.failed {
				t.Errorf("failed: %v, want %v", got, tt.failed)
			}
		})
	}
}

func TestOpenOnPurposeIsNoFailure(t *testing.T) {
	r := row{open: "because", docker: results(yes)[0], runclamp: results(yes)[0]}
	if r.failed() {
		t.Error("an attack that is left open on purpose must not fail the demo")
	}
}

func TestTabulateWantsTheSameAttacks(t *testing.T) {
	for _, m := range []measured{
		{docker: results(yes, yes), runclamp: results(no)},
		{docker: results(yes), runclamp: results(no), alone: []ablation{{"one", nil}}},
		{docker: results(yes), runclamp: results(no), without: []ablation{{"one", []outcome.Result{{Name: "other"}}}}},
	} {
		if _, err := tabulate(m); err == nil {
			t.Errorf("%+v: rows were made of results that do not belong together", m)
		}
	}
}

func TestRender(t *testing.T) {
	rows := []row{
		{name: "write", docker: outcome.Result{Outcome: yes}, runclamp: outcome.Result{Outcome: no, Detail: "EROFS"}, alone: []string{"readOnlyRootfs"}},
		{name: "trace", open: "it is harmless", docker: outcome.Result{Outcome: yes}, runclamp: outcome.Result{Outcome: yes}},
		{name: "kcore", docker: outcome.Result{Outcome: na, Detail: "no such file"}, runclamp: outcome.Result{Outcome: na, Detail: "no such file"}},
		{name: "escape", docker: outcome.Result{Outcome: yes}, runclamp: outcome.Result{Outcome: yes}},
	}
	want := `ATTACK  DOCKER'S DEFAULT  RUNCLAMP         BLOCKED BY
write   succeeded         blocked (EROFS)  readOnlyRootfs
trace   succeeded         succeeded
kcore   not measurable    not measurable
escape  succeeded         SUCCEEDED !!!

Blocked by a, b: each of them alone. By a + b: only both together. Measured, one control at a time.

Left possible on purpose:
  trace: it is harmless

Not measurable here, and not counted:
  kcore: no such file

3 attacks measured: 3 succeed under Docker's default, 2 under runclamp.
`
	if got := render(rows); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := failures(rows); !slices.Equal(got, []string{"escape: succeeded"}) {
		t.Errorf("failures: %q", got)
	}
}

// A control that the demo does not know would stay on in every measurement that is meant to do without it.
func TestEveryControlIsSwitched(t *testing.T) {
	file, err := policy.Default()
	if err != nil {
		t.Fatal(err)
	}
	full := file.Base
	known := fixing(full)
	for _, c := range enforce.Controls() {
		if got := c.Action(alone(full, "")); got != policy.Off {
			t.Errorf("%s is %q with no control on", c.Name, got)
		}
		if c.Action(full) == policy.Fix && !slices.Contains(known, c.Name) {
			t.Errorf("%s changes configurations, and is not measured", c.Name)
		}
		if got := c.Action(without(full, c.Name)); got != policy.Off {
			t.Errorf("%s is %q in a policy without it", c.Name, got)
		}
	}
	if len(known) == 0 {
		t.Error("nothing is measured")
	}
}

// TestEveryMeasurementStarts: what the demo measures with is not refused, whatever control is on or off.
func TestEveryMeasurementStarts(t *testing.T) {
	file, err := policy.Default()
	if err != nil {
		t.Fatal(err)
	}
	asked, err := fixture.Config("/probe")
	if err != nil {
		t.Skip("left out: ", err)
	}
	for _, c := range fixing(file.Base) {
		for name, controls := range map[string]policy.Controls{"alone": alone(file.Base, c), "without": without(file.Base, c)} {
			if _, err := clamp(asked, controls); err != nil {
				t.Errorf("%s %s: %v", c, name, err)
			}
		}
	}
}
