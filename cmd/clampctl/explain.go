package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"runclamp/bundle"
	"runclamp/enforce"
	"runclamp/enforce/policy"
	"runclamp/shim"

	"github.com/spf13/cobra"
)

func explainCommand() *cobra.Command {
	var called, verb string
	cmd := &cobra.Command{
		Use:   "explain BUNDLE",
		Short: "What runclamp would do about a bundle, and why; changes nothing",
		Long: `What runclamp would do about a bundle (a folder with a config.json), and why: who the container is, which policy and which
rule hold, what is found, and the changes as a diff. It changes nothing.

Which engine the bundle belongs to is taken from its path. For Podman and CRI-O, runclamp also looks at who calls it, which
nobody does here: such a bundle counts as an unknown engine's.`,
		Example: "  clampctl explain /run/containerd/io.containerd.runtime.v2.task/default/web",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			p, err := shim.ReadPolicy(confDir, called, time.Now())
			if err != nil {
				return err
			}
			j, err := judge(path, verb, p)
			if err != nil {
				return err
			}
			return explain(cmd.OutOrStdout(), j)
		},
	}
	cmd.Flags().StringVar(&called, "as", "runclamp", "the name that runclamp is called by: runclamp-NAME reads NAME.yaml")
	cmd.Flags().StringVar(&verb, "verb", "create", "create, run or restore")
	return cmd
}

func judge(path, verb string, p shim.PolicyFile) (j shim.Judgement, err error) {
	b, err := bundle.Open(path)
	if err != nil {
		return j, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	c, err := b.ReadConfig()
	if err != nil {
		return j, err
	}
	// An engine names the delegate's root and the bundle after its namespace, and the bundle after the container.
	return shim.Judge(shim.Asked{
		Verb: verb, Root: filepath.Join("/", filepath.Base(filepath.Dir(path))), ID: filepath.Base(path),
		Parent: func() []string { return nil },
	}, b, c, p, time.Now())
}

func explain(w io.Writer, j shim.Judgement) error {
	d := j.Decision
	fmt.Fprintf(w, "%s (%s)\n%s\n", d.Verdict, j.Policy.Source, shim.OneLine(describe(j)))
	writeFindings(w, d.Findings)
	if len(j.Changes) > 0 {
		fmt.Fprintln(w)
	}
	for _, c := range j.Changes {
		fmt.Fprintf(w, "@@ %s\n", shim.OneLine(c.Pointer))
		if c.From != nil {
			fmt.Fprintf(w, "- %s\n", shortened(c.From))
		}
		if c.To != nil {
			fmt.Fprintf(w, "+ %s\n", shortened(c.To))
		}
	}
	for _, p := range d.Prepare {
		fmt.Fprintf(w, "@@ the kernel\n+ AppArmor profile %s, unless it is loaded as it is\n", p.Profile.Name)
	}
	if len(d.Findings) > 0 {
		return errFindings
	}
	return nil
}

// writeFindings writes them as a refusal has them, one thing a line. Names and paths may be a stranger's choice: what a running container
// mounts has them as well.
func writeFindings(w io.Writer, findings []enforce.Finding) {
	for _, f := range findings {
		fmt.Fprintf(w, "\n%s (%s)\n", shim.OneLine(f.Name()), f.Action)
		for _, part := range []struct{ head, text string }{{"at     ", f.Pointer}, {"found  ", f.Found}, {"wanted ", f.Wanted}, {"mend   ", f.Mend}} {
			if part.text != "" {
				fmt.Fprintf(w, "  %s %s\n", part.head, shim.OneLine(part.text))
			}
		}
	}
}

// describe says who the container is, and what of the policy applies to it.
func describe(j shim.Judgement) string {
	parts := append([]string{who(j.Workload)}, named("rule", j.Policy.Rule, "tighten", strings.Join(j.Policy.Tightened, "; "))...)
	for _, e := range j.Policy.Exceptions {
		parts = append(parts, fmt.Sprintf("exception %s until %s", e.Name, e.Expires))
	}
	for _, e := range j.Policy.Expired {
		parts = append(parts, fmt.Sprintf("exception %s expired on %s", e.Name, e.Expires))
	}
	return strings.Join(parts, ", ")
}

// who says who a container is.
func who(w policy.Workload) string {
	parts := []string{strings.TrimSpace(fmt.Sprintf("%s %s", w.Engine, w.Kind))}
	parts = append(parts, named("namespace", w.Namespace, "pod", w.Pod, "container", w.Container, "image", w.Image, "imageDigest", w.ImageDigest)...)
	return strings.Join(parts, ", ")
}

// named has a name before each value that there is.
func named(pairs ...string) (parts []string) {
	for pair := range slices.Chunk(pairs, 2) {
		if pair[1] != "" {
			parts = append(parts, pair[0]+" "+pair[1])
		}
	}
	return parts
}

// shortened: a seccomp profile is longer than anybody reads.
func shortened(value []byte) string {
	const most = 160
	if len(value) <= most {
		return string(value)
	}
	return fmt.Sprintf("%s… (%d bytes)", value[:most], len(value))
}
