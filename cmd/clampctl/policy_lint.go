package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func policyLintCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "lint FILE",
		Short: "Say what is wrong with a policy file",
		Long: `Say what is wrong with a policy file, one line each: FILE:LINE:COLUMN: message.

Warnings are about exceptions that have expired or do so within 30 days, and about rules that never apply because one above
them matches all that they do. Exit status 1 if there is anything to say.`,
		Example: "  clampctl policy lint /etc/runclamp/policy.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, now := args[0], time.Now()
			f, err := readPolicy(path, now)
			found := placed(path, mistakes(err))
			switch {
			case err != nil && found == nil:
				return err
			case err == nil:
				for _, w := range f.Warnings(now) {
					found = append(found, fmt.Sprintf("%s:%d:%d: warning: %s", path, w.Line, w.Column, w.Message))
				}
			}
			if len(found) > 0 {
				fmt.Fprintln(cmd.OutOrStdout(), strings.Join(found, "\n"))
				return errFindings
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is good: mode %s, preset %s, %d rules, %d tighten entries, %d exceptions\n",
				path, f.Mode, f.Preset, len(f.Rules), len(f.Tighten), len(f.Exceptions))
			return err
		},
	}
}
