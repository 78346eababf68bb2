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

	"github.com/spf13/cobra"
)

func explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "explain BUNDLE",
		Short:   "What runclamp would do about a bundle, and why; changes nothing",
		Long:    "What runclamp would do about a bundle (a folder with a config.json), and why. It changes nothing.",
		Example: "  clampctl explain /run/containerd/io.containerd.runtime.v2.task/default/web",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := policy.Default()
			if err != nil {
				return internal{err}
			}
			p, err := f.For(policy.Workload{Engine: policy.Unknown, Kind: policy.Container}, time.Now())
			if err != nil {
				return internal{err}
			}
			d, err := decide(args[0], p.Controls)
			if err != nil {
				return err
			}
			return explain(cmd.OutOrStdout(), d, p.Source)
		},
	}
}

func explain(w io.Writer, d enforce.Decision, source string) error {
	fmt.Fprintf(w, "%s (%s)\n", d.Verdict, source)
	for _, f := range d.Findings {
		fmt.Fprintf(w, "\n%s (%s)\n  at      %s\n  found   %s\n  wanted  %s\n", f.Name(), f.Action, f.Pointer, f.Found, f.Wanted)
		if f.Mend != "" {
			fmt.Fprintf(w, "  mend    %s\n", f.Mend)
		}
	}
	if len(d.Edits) > 0 {
		fmt.Fprintln(w, "\nedits")
	}
	for _, e := range d.Edits {
		value, err := json.Marshal(e.Value)
		if err != nil {
			return internal{fmt.Errorf("%s: %w", e.Pointer, err)}
		}
		fmt.Fprintf(w, "  %-6s %s %s\n", e.Op, e.Pointer, shortened(value))
	}
	if len(d.Findings) > 0 {
		return errFindings
	}
	return nil
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
