package main

import (
	"fmt"
	"io"

	"runclamp/enforce/seccomp"

	"github.com/spf13/cobra"
)

func profileDiffCommand(a *about) *cobra.Command {
	return &cobra.Command{
		Use:   "diff A B",
		Short: "Say what one profile lets through beyond another",
		Long: `Say what profile A lets through and B does not (+), and what B does and A does not (-). "unknown" is what can't be decided: there
conditions are such that libseccomp may build them otherwise than they are written.

` + profileNames + `

Exit status 1 if there is any difference.`,
		Example: "  clampctl profile diff default strict",
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
			_, more := seccomp.Compare(p, q)
			_, less := seccomp.Compare(q, p)
			writeDifferences(cmd.OutOrStdout(), "+", more)
			writeDifferences(cmd.OutOrStdout(), "-", less)
			if len(more)+len(less) > 0 {
				return errFindings
			}
			return nil
		},
	}
}

func writeDifferences(w io.Writer, sign string, list []seccomp.Difference) {
	for _, d := range list {
		name := d.Name
		if name == "" {
			name = "everything else"
		}
		unknown := ""
		if d.Answer == seccomp.Unknown {
			unknown = "unknown: "
		}
		fmt.Fprintf(w, "%s %s (%s): %s%s\n", sign, name, d.Arch, unknown, d.Why)
	}
}
