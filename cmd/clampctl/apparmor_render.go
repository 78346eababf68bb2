package main

import (
	"fmt"

	"runclamp/enforce/apparmor"
	"runclamp/enforce/policy"

	"github.com/spf13/cobra"
)

func appArmorRenderCommand() *cobra.Command {
	var allow policy.AppArmorAllow
	var network []string
	cmd := &cobra.Command{
		Use:   "render",
		Short: "Print a profile as runclamp would load it",
		Long: `Print a profile as runclamp would load it: runclamp-default, or runclamp-allow if anything is allowed. Paths are the
container's, without links; a folder stands for all that is below it.`,
		Example: "  clampctl apparmor render --execute /server --network inet,inet6",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, n := range network {
				allow.Network = append(allow.Network, policy.NetworkFamily(n))
			}
			p, err := apparmor.Default()
			if !allow.Empty() {
				p, err = apparmor.Allow(allow)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), p.Text)
			return err
		},
	}
	cmd.Flags().StringSliceVar(&allow.Read, "read", nil, "files and folders that the service reads")
	cmd.Flags().StringSliceVar(&allow.Write, "write", nil, "files and folders that it reads and writes")
	cmd.Flags().StringSliceVar(&allow.Execute, "execute", nil, "programs that it runs and libraries that it loads")
	cmd.Flags().StringSliceVar(&network, "network", nil, "families of socket(2): inet, inet6, netlink, unix")
	return cmd
}
