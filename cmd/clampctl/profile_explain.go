package main

import (
	"fmt"
	"io"
	"strings"

	"runclamp/enforce/seccomp"

	"github.com/spf13/cobra"
)

func profileExplainCommand(a *about) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain PROFILE",
		Short: "Say what a profile lets through, in words",
		Long: `Say what a profile lets through, in groups, and under which conditions.

` + profileNames + ` container:ID is a running container, as the kernel filters it.`,
		Example: "  clampctl profile explain strict",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			w := cmd.OutOrStdout()
			c, ok, err := a.container(cmd, args[0])
			switch {
			case err != nil:
				return err
			case ok:
				explainProfile(w, seccomp.Explain(c.profile))
				_, err := fmt.Fprintf(w, "depending on arguments\n  %s\n", strings.Join(c.depending, " "))
				return err
			}
			p, err := a.profile(args[0])
			if err != nil {
				return err
			}
			explainProfile(w, seccomp.Explain(p))
			return nil
		},
	}
	rootFlag(cmd, &a.roots)
	return cmd
}

func explainProfile(w io.Writer, e seccomp.Explanation) {
	var archs []string
	for _, arch := range e.Architectures {
		archs = append(archs, strings.TrimPrefix(string(arch), "SCMP_ARCH_"))
	}
	fmt.Fprintf(w, "what is not named here: %s\narchitectures: %s; calls of another kill\n", e.Default, strings.Join(archs, ", "))
	for _, g := range e.Groups {
		fmt.Fprintf(w, "%s\n", g.Group)
		if len(g.Allowed) > 0 {
			fmt.Fprintf(w, "  %s\n", strings.Join(g.Allowed, " "))
		}
		for _, c := range g.Conditional {
			fmt.Fprintf(w, "  %s\n", c)
		}
	}
	for _, d := range e.Denied {
		fmt.Fprintf(w, "denied in its own way: %s\n", d)
	}
}
