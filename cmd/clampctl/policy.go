package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"runclamp/enforce/policy"

	"github.com/spf13/cobra"
)

func policyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy COMMAND",
		Short: "Check and show policy files",
		Args:  cobra.NoArgs,
		RunE:  needsCommand,
	}
	cmd.AddCommand(policyLintCommand(), policyShowCommand(), policySchemaCommand())
	return cmd
}

// readPolicy reads a policy file. What is wrong with its text comes as policy.Errors.
func readPolicy(path string, now time.Time) (*policy.File, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return policy.Parse(text, now)
}

// placed are the errors of a policy file, one a line, as compilers write them and editors read them.
func placed(path string, all policy.Errors) []string {
	var lines []string
	for _, e := range all {
		lines = append(lines, fmt.Sprintf("%s:%s", path, e.Error()))
	}
	return lines
}

// mistakes are what Parse found wrong with a text, if that is what the error is.
func mistakes(err error) policy.Errors {
	var all policy.Errors
	if errors.As(err, &all) {
		return all
	}
	return nil
}
