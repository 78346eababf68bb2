package main

import (
	"fmt"

	"runclamp/enforce/apparmor"

	"github.com/spf13/cobra"
)

func appArmorCheckCommand() *cobra.Command {
	var called string
	cmd := &cobra.Command{
		Use:   "check [FILE...]",
		Short: "Say what is wrong with profiles; needs apparmor_parser, and no AppArmor in the kernel",
		Long: `Say what is wrong with the profiles in files or, without files, with those that the policy names, by apparmor_parser. Nothing is
loaded, and the kernel needs no AppArmor. Exit status 1 if there is anything to say.`,
		Example: "  clampctl apparmor check /etc/runclamp/profiles/site",
		RunE: func(cmd *cobra.Command, files []string) error {
			profiles, err := profilesOf(files, called)
			if err != nil {
				return err
			}
			bad := false
			for _, p := range profiles {
				if err := apparmor.ThisHost(runDir).Check(p); err != nil {
					bad = true
					fmt.Fprintln(cmd.OutOrStdout(), err)
					continue
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s is good\n", p.Name)
			}
			if bad {
				return errFindings
			}
			return nil
		},
	}
	asFlag(cmd, &called)
	return cmd
}

// asFlag is the flag that says which policy is meant.
func asFlag(cmd *cobra.Command, called *string) {
	cmd.Flags().StringVar(called, "as", "runclamp", "the name that runclamp is called by: runclamp-NAME reads NAME.yaml")
}
