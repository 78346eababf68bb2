package main

import (
	"fmt"
	"strings"

	"runclamp/enforce/seccomp"

	"github.com/spf13/cobra"
)

func profileStatsCommand(a *about) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stats PROFILE",
		Short: "Count what a profile lets through",
		Long: `Count what a profile lets through. How many instructions its filter has depends on the runtime that builds it: as root, the delegate is
asked to, by a container that is created, never started and removed. Where that can't be done, it is said why.

` + profileNames + ` container:ID is a running container, as the kernel filters it.`,
		Example: "  clampctl profile stats strict",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			w := cmd.OutOrStdout()
			c, ok, err := a.container(cmd, args[0])
			switch {
			case err != nil:
				return err
			case ok:
				for i, p := range c.programs {
					fmt.Fprintf(w, "filter %d: %d instructions\n", i, len(p))
				}
				_, err := fmt.Fprintf(w, "allowed: %d\nconditional: %d\n", seccomp.Count(c.profile).Allowed, len(c.depending))
				return err
			}
			p, err := a.profile(args[0])
			if err != nil {
				return err
			}
			s := seccomp.Count(p)
			fmt.Fprintf(w, "allowed: %d\nconditional: %d\ndenied by name: %d\nrules: %d\n", s.Allowed, s.Conditional, s.Denied, s.Rules)
			programs, by, err := built(p)
			if err != nil {
				_, err = fmt.Fprintf(w, "instructions: not known: %s\n", oneLine(err))
				return err
			}
			n := 0
			for _, p := range programs {
				n += len(p)
			}
			_, err = fmt.Fprintf(w, "instructions: %d, built by %s\n", n, by)
			return err
		},
	}
	rootFlag(cmd, &a.roots)
	return cmd
}

// oneLine is an error as the rest of a line.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
