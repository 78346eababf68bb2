// clampctl tells people what runclamp does.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// The exit codes, as README.md documents them.
const (
	exitNothing  = 0
	exitFindings = 1
	exitUsage    = 2
	exitInternal = 3
)

var (
	// version and the folders are set at link time, as runclamp's are.
	version = "development"
	confDir = "/etc/runclamp"
	runDir  = "/run/runclamp"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// errFindings: there was something to report, and it has been.
var errFindings = errors.New("findings")

// internal is an error of clampctl's own, not of who called it.
type internal struct{ error }

func (i internal) Unwrap() error { return i.error }

func run(args []string, stdout, stderr io.Writer) (code int) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(stderr, "clampctl: internal error, please report it: %v\n%s", p, debug.Stack())
			code = exitInternal
		}
	}()
	root := command()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	switch {
	case err == nil:
		return exitNothing
	case errors.Is(err, errFindings):
		return exitFindings
	}
	fmt.Fprintf(stderr, "clampctl: %v\n", err)
	if errors.As(err, new(internal)) {
		return exitInternal
	}
	return exitUsage
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:   "clampctl COMMAND",
		Short: "What runclamp does about containers, and why",
		Long: `What runclamp does about containers, and why.

Exit status: 0 nothing to report, 1 findings, 2 wrong usage or configuration, 3 internal error.`,
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          needsCommand,
	}
	root.SetVersionTemplate("clampctl {{.Version}}\n")
	root.AddCommand(appArmorCommand(), explainCommand(), policyCommand(), profileCommand(), verifyCommand(), versionCommand())
	return root
}

// needsCommand is what a command does that only has others below it.
func needsCommand(cmd *cobra.Command, _ []string) error {
	cmd.SetOut(cmd.ErrOrStderr())
	if err := cmd.Usage(); err != nil {
		return err
	}
	return errors.New("a command is needed")
}
