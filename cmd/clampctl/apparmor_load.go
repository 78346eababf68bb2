package main

import (
	"errors"
	"fmt"

	"runclamp/enforce/apparmor"

	"github.com/spf13/cobra"
)

func appArmorLoadCommand() *cobra.Command {
	var called string
	cmd := &cobra.Command{
		Use:   "load [FILE...]",
		Short: "Load profiles into the kernel, replacing those of the same names; root",
		Long: `Load the profiles in files or, without files, those that the policy names. What is loaded under the same name is replaced, also
for the processes that it confines. runclamp loads what a container needs by itself; this does it before, as at boot.`,
		Example: "  clampctl apparmor load",
		RunE: func(cmd *cobra.Command, files []string) error {
			state, err := apparmor.ReadState("/sys")
			if err != nil {
				return err
			}
			if !state.Enabled {
				return errNoAppArmor
			}
			profiles, err := profilesOf(files, called)
			if err != nil {
				return err
			}
			var failed error
			for _, p := range profiles {
				if err := apparmor.ThisHost(runDir).Load(p); err != nil {
					failed = errors.Join(failed, err)
					continue
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s is loaded\n", p.Name)
			}
			return failed
		},
	}
	asFlag(cmd, &called)
	return cmd
}

var errNoAppArmor = errors.New("this kernel has no AppArmor: boot it with apparmor=1 security=apparmor")
