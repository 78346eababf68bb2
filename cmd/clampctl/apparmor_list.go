package main

import (
	"errors"
	"fmt"
	"text/tabwriter"

	"runclamp/enforce/apparmor"

	"github.com/spf13/cobra"
)

func appArmorListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the profiles that the kernel has: name, mode, how many processes, and whose; root",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			state, err := apparmor.ReadState("/sys")
			switch {
			case err != nil:
				return err
			case !state.Enabled:
				return errNoAppArmor
			case state.Profiles == nil:
				return errors.New("the kernel lists no profiles: it takes root, and securityfs at /sys/kernel/security")
			}
			out := cmd.OutOrStdout()
			if !state.Enforces() {
				fmt.Fprintf(out, "The kernel denies nothing: mode %s (/sys/module/apparmor/parameters/mode).\n", state.Mode)
			}
			w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tMODE\tPROCESSES\tOF")
			for _, p := range state.Profiles {
				users, err := apparmor.ThisHost(runDir).Users(p.Name)
				if err != nil {
					return err
				}
				of := "others"
				if apparmor.Ours(p.Name) {
					of = "runclamp"
				}
				fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", p.Name, p.Mode, len(users), of)
			}
			return w.Flush()
		},
	}
}
