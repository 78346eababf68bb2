package main

import (
	"runclamp/enforce/policy"

	"github.com/spf13/cobra"
)

func policySchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "The JSON Schema of policy files, for editors and pipelines",
		Example: `  clampctl policy schema > policy.schema.json
  # in policy.yaml, for editors with yaml-language-server:
  # yaml-language-server: $schema=policy.schema.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := policy.Schema()
			if err != nil {
				return internal{err}
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
}
