// clampctl tells people what runclamp does.
package main

import (
	"fmt"
	"io"
	"os"
)

// The exit codes, as README.md documents them.
const (
	exitNothing  = 0
	exitFindings = 1
	exitUsage    = 2
	exitInternal = 3
)

// version is set at link time.
var version = "development"

const usage = `Usage: clampctl COMMAND

Commands:
  explain BUNDLE   what runclamp would do about a bundle, and why; changes nothing
  version          the version of clampctl

Exit status: 0 nothing to report, 1 findings, 2 wrong usage or configuration, 3 internal error.
`

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return exitUsage
	}
	switch command, args := args[0], args[1:]; command {
	case "explain":
		return explain(args, stdout, stderr)
	case "version", "--version":
		fmt.Fprintln(stdout, "clampctl", version)
		return exitNothing
	case "help", "--help", "-h":
		fmt.Fprint(stdout, usage)
		return exitNothing
	default:
		fmt.Fprintf(stderr, "clampctl: unknown command %q\n\n%s", command, usage)
		return exitUsage
	}
}
