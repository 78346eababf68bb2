package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func profileShowCommand(a *about) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show PROFILE",
		Short: "Print a profile as config.json has it",
		Long: `Print a profile as config.json has it (linux.seccomp), with all that depends on this machine and on the capabilities worked out.

` + profileNames + ` For container:ID, the kernel is asked for the filter of a running container, and it is
printed what that makes of every system call of the machine's own architecture.`,
		Example: "  clampctl profile show strict\n  clampctl profile show container:4f0a9c",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, ok, err := a.container(cmd, args[0])
			switch {
			case err != nil:
				return err
			case ok:
				w := cmd.OutOrStdout()
				for _, s := range c.profile.Syscalls {
					fmt.Fprintf(w, "allowed: %s\n", strings.Join(s.Names, " "))
				}
				_, err := fmt.Fprintf(w, "depending on arguments: %s\ndenied: all others\n", strings.Join(c.depending, " "))
				return err
			}
			p, err := a.profile(args[0])
			if err != nil {
				return err
			}
			return writeProfile(cmd.OutOrStdout(), p)
		},
	}
	rootFlag(cmd, &a.roots)
	return cmd
}
