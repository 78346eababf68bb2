package main

import (
	"fmt"

	"runclamp/enforce/seccomp"

	"github.com/spf13/cobra"
)

func profileStatsCommand(a *about) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stats PROFILE",
		Short: "Count what a profile lets through",
		Long: `Count what a profile lets through. How many instructions its filter has depends on the runtime that builds it: it is said for
container:ID, from the kernel.

` + profileNames,
		Example: "  clampctl profile stats strict",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			w := cmd.OutOrStdout()
			c, ok, err := a.container(args[0])
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
			_, err = fmt.Fprintf(w, "allowed: %d\nconditional: %d\ndenied by name: %d\nrules: %d\ninstructions: not known before a runtime builds the filter (container:ID has them)\n",
				s.Allowed, s.Conditional, s.Denied, s.Rules)
			return err
		},
	}
	a.rootFlag(cmd)
	return cmd
}
