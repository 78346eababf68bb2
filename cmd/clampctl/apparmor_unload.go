package main

import (
	"errors"
	"fmt"
	"strings"

	"runclamp/enforce/apparmor"

	"github.com/spf13/cobra"
)

func appArmorUnloadCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "unload NAME...",
		Short: "Take profiles out of the kernel; root",
		Long: `Take profiles out of the kernel. A profile that confines a process is left, unless --force: the process would go on unconfined, and
nothing could be started in its container any more. A container that is created and not started has no process yet that shows it; its
start is refused then.`,
		Example: "  clampctl apparmor unload runclamp-default-0123456789ab",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			host := apparmor.ThisHost(runDir)
			var failed error
			for _, name := range names {
				users, err := host.Users(name)
				if err != nil {
					return err
				}
				if len(users) > 0 && !force {
					failed = errors.Join(failed, fmt.Errorf("%s confines %d processes (PID %s): stop them first, or give --force", name, len(users), strings.Join(users, ", ")))
					continue
				}
				if err := host.Unload(name); err != nil {
					failed = errors.Join(failed, err)
					continue
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s is unloaded\n", name)
			}
			return failed
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also if it confines processes, which go on unconfined")
	return cmd
}
