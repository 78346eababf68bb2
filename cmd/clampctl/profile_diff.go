package main

import (
	"fmt"
	"io"
	"strings"

	"runclamp/enforce/proof"
	"runclamp/enforce/seccomp"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/cobra"
)

func profileDiffCommand(a *about) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Say what one profile lets through beyond another",
		Long: `Say what profile A lets through and B does not (+), and what B does and A does not (-). "unknown" is what can't be decided: there
conditions are such that libseccomp may build them otherwise than they are written.

` + profileNames + `

A may be container:ID, a running container, as the kernel filters it: calls with conditions are then tried with the values at and next to
every constant of the filter and of B, and it is not said which arguments B lets through beyond it.

Exit status 1 if there is any difference.`,
		Example: "  clampctl profile diff default strict\n  clampctl profile diff container:4f0a9c strict",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, ok, err := a.container(cmd, args[0])
			switch {
			case err != nil:
				return err
			case ok:
				return a.diffContainer(cmd.OutOrStdout(), c, args[1])
			case strings.HasPrefix(args[1], inKernel):
				return fmt.Errorf("%s: a container comes first: diff %[1]s %s", args[1], args[0])
			}
			p, err := a.profile(args[0])
			if err != nil {
				return err
			}
			q, err := a.profile(args[1])
			if err != nil {
				return err
			}
			_, more := seccomp.Compare(p, q)
			_, less := seccomp.Compare(q, p)
			writeDifferences(cmd.OutOrStdout(), "+", more)
			writeDifferences(cmd.OutOrStdout(), "-", less)
			if len(more)+len(less) > 0 {
				return errFindings
			}
			return nil
		},
	}
	rootFlag(cmd, &a.roots)
	return cmd
}

// diffContainer holds what the kernel filters against a profile.
func (a *about) diffContainer(w io.Writer, c container, name string) error {
	q, err := a.profile(name)
	if err != nil {
		return err
	}
	more, err := proof.Beyond(c.programs, q)
	if err != nil {
		return err
	}
	for _, m := range more {
		fmt.Fprintf(w, "+ %s\n", m)
	}
	// What the kernel denies whatever the arguments are, of the native architecture's calls: the others are not asked for.
	_, less := seccomp.Compare(native(q), &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow,
		Syscalls:      []specs.LinuxSyscall{{Names: c.denied, Action: specs.ActErrno}},
	})
	writeDifferences(w, "-", less)
	if len(more)+len(less) > 0 {
		return errFindings
	}
	return nil
}

// native is the profile without other architectures.
func native(p *specs.LinuxSeccomp) *specs.LinuxSeccomp {
	n := *p
	n.Architectures, _ = seccomp.Prune(p)
	return &n
}

func writeDifferences(w io.Writer, sign string, list []seccomp.Difference) {
	for _, d := range list {
		name := d.Name
		if name == "" {
			name = "everything else"
		}
		unknown := ""
		if d.Answer == seccomp.Unknown {
			unknown = "unknown: "
		}
		fmt.Fprintf(w, "%s %s (%s): %s%s\n", sign, name, d.Arch, unknown, d.Why)
	}
}
