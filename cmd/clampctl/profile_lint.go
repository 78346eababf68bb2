package main

import (
	"errors"
	"fmt"
	"strings"

	"runclamp/enforce/policy"
	"runclamp/enforce/seccomp"

	"github.com/spf13/cobra"
)

func profileLintCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "lint PROFILE",
		Short: "Say what is wrong with a profile",
		Long: `Say what is wrong with a profile, and what in it does nothing or more than it seems to, one line each: FILE:LINE:COLUMN: message.

` + profileNames + `

Exit status 1 if there is anything to say.`,
		Example: "  clampctl profile lint mine.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, found, err := lintProfile(args[0])
			if err != nil {
				return err
			}
			for _, e := range found {
				fmt.Fprintf(cmd.OutOrStdout(), "%s:%d:%d: %s\n", path, e.Line, e.Column, e.Message)
			}
			if len(found) > 0 {
				return errFindings
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is good\n", path)
			return err
		},
	}
}

// lintProfile reads a profile, and says what is wrong with it.
func lintProfile(name string) (path string, found seccomp.Errors, err error) {
	if name == string(policy.DefaultProfile) || name == string(policy.StrictProfile) {
		p, err := (&about{}).profile(name)
		if err != nil {
			return name, nil, err
		}
		return name, seccomp.Lint(seccomp.DocumentOf(p)), nil
	}
	if strings.HasPrefix(name, inKernel) {
		_, err := (&about{}).profile(name)
		return name, nil, err
	}
	path, d, err := document(name)
	switch {
	case errors.As(err, &found):
		return path, found, nil
	case err != nil:
		return path, nil, fmt.Errorf("%s: %w", path, err)
	}
	return path, seccomp.Lint(d), nil
}
