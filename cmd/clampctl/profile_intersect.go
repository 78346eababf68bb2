package main

import (
	"fmt"
	"strings"

	"runclamp/enforce/seccomp"

	"github.com/spf13/cobra"
)

func profileIntersectCommand(a *about) *cobra.Command {
	return &cobra.Command{
		Use:   "intersect A B",
		Short: "Print the profile that is at least as strict as two",
		Long: `Print the profile that runclamp installs where the engine sends A and the policy names B. What had to be given up, because it can't
be decided or written down, is said on the standard error, and it is denied.

` + profileNames,
		Example: "  clampctl profile intersect mine.json default",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.profile(args[0])
			if err != nil {
				return err
			}
			q, err := a.profile(args[1])
			if err != nil {
				return err
			}
			n, err := seccomp.Intersect(p, q)
			if err != nil {
				return err
			}
			if err := writeProfile(cmd.OutOrStdout(), n.Profile); err != nil {
				return err
			}
			if len(n.Undecided) > 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "given up: %s\n", strings.Join(n.Undecided, ", "))
				return errFindings
			}
			return nil
		},
	}
}
