package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"runclamp/enforce/apparmor"
	"runclamp/enforce/policy"
	"runclamp/shim"

	"github.com/spf13/cobra"
)

func policyLintCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "lint FILE",
		Short: "Say what is wrong with a policy file",
		Long: `Say what is wrong with a policy file, one line each: FILE:LINE:COLUMN: message.

Warnings are about exceptions that have expired or do so within 30 days, and about rules that never apply because one above
them matches all that they do. The profiles that it names, of seccomp and of AppArmor, are looked for where the runtime would: in the
configuration folder's profiles/, or by file:. Exit status 1 if there is anything to say.`,
		Example: "  clampctl policy lint /etc/runclamp/policy.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, now := args[0], time.Now()
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			f, err := policy.Parse(text, now)
			found := placed(path, mistakes(err))
			switch {
			case err != nil && found == nil:
				return err
			case err == nil:
				for _, w := range f.Warnings(now) {
					found = append(found, fmt.Sprintf("%s:%d:%d: warning: %s", path, w.Line, w.Column, w.Message))
				}
				profiles, err := lintNamed(path, text)
				if err != nil {
					return err
				}
				found = append(found, profiles...)
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

// lintNamed says what is wrong with the profiles that a policy names, one line each.
func lintNamed(path string, text []byte) ([]string, error) {
	named, err := policy.NamedProfiles(text)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, n := range named {
		problem, absent, err := shim.ProfileProblem(confDir, n)
		switch {
		case err != nil:
			return nil, internal{err}
		case absent && !inEnforceMode(n.Profile):
			problem = fmt.Sprintf("there is no %s/profiles/%s, and the kernel does not show it in enforce mode: it takes whoever made it to load it", confDir, n.Profile)
		case problem == "":
			continue
		case n.Control == "appArmor":
			problem = "wanted " + problem
		}
		severity := ""
		if absent {
			severity = "warning: "
		}
		found = append(found, fmt.Sprintf("%s:%d:%d: %s%s.profile %s: %s", path, n.Line, n.Column, severity, n.Control, n.Profile, problem))
	}
	return found, nil
}

// inEnforceMode: the kernel has the AppArmor profile, and shows it (it does to root).
func inEnforceMode(name string) bool {
	state, err := apparmor.ReadState("/sys")
	if err != nil {
		return false
	}
	for _, p := range state.Profiles {
		if p.Name == name {
			return p.Mode == "enforce"
		}
	}
	return false
}
