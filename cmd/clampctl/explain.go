package main

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"runclamp/bundle"
	"runclamp/enforce"
	"runclamp/enforce/policy"
)

func explain(args []string, stdout, stderr io.Writer) int {
	if len(args) != 1 {
		fmt.Fprint(stderr, "clampctl: explain takes one bundle: a folder with a config.json\n")
		return exitUsage
	}
	f, err := policy.Default()
	if err != nil {
		fmt.Fprintf(stderr, "clampctl: %v\n", err)
		return exitInternal
	}
	p, err := f.For(policy.Workload{Engine: policy.Unknown, Kind: policy.Container}, time.Now())
	d, err := decide(args[0], p.Controls)
	if err != nil {
		fmt.Fprintf(stderr, "clampctl: %v\n", err)
		return exitUsage
	}
	fmt.Fprintf(stdout, "%s (%s)\n", d.Verdict, p.Source)
	for _, f := range d.Findings {
		fmt.Fprintf(stdout, "\n%s (%s)\n  at      %s\n  found   %s\n  wanted  %s\n", f.Name(), f.Action, f.Pointer, f.Found, f.Wanted)
		if f.Mend != "" {
			fmt.Fprintf(stdout, "  mend    %s\n", f.Mend)
		}
	}
	if len(d.Edits) > 0 {
		fmt.Fprintln(stdout, "\nedits")
	}
	for _, e := range d.Edits {
		value, err := json.Marshal(e.Value)
		if err != nil {
			fmt.Fprintf(stderr, "clampctl: %s: %v\n", e.Pointer, err)
			return exitInternal
		}
		fmt.Fprintf(stdout, "  %-6s %s %s\n", e.Op, e.Pointer, shortened(value))
	}
	if len(d.Findings) > 0 {
		return exitFindings
	}
	return exitNothing
}

// shortened: a seccomp profile is longer than anybody reads.
func shortened(value []byte) string {
	const most = 160
	if len(value) <= most {
		return string(value)
	}
	return fmt.Sprintf("%s… (%d bytes)", value[:most], len(value))
}

func decide(path string, controls policy.Controls) (enforce.Decision, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return enforce.Decision{}, err
	}
	b, err := bundle.Open(path)
	if err != nil {
		return enforce.Decision{}, err
	}
	c, err := b.ReadConfig()
	if err != nil {
		return enforce.Decision{}, err
	}
	facts, err := b.Facts(c, controls)
	if err != nil {
		return enforce.Decision{}, err
	}
	return enforce.Decide(enforce.Input{Policy: controls, Facts: facts, Spec: c.Spec}), b.Close()
}
