package main

import (
	"fmt"
	"os"
	"time"

	"runclamp/enforce/apparmor"
	"runclamp/enforce/policy"
	"runclamp/shim"

	"github.com/spf13/cobra"
)

func appArmorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "apparmor COMMAND",
		Short: "Show, check and load AppArmor profiles",
		Args:  cobra.NoArgs,
		RunE:  needsCommand,
	}
	cmd.AddCommand(appArmorRenderCommand(), appArmorCheckCommand(), appArmorLoadCommand(), appArmorListCommand(), appArmorUnloadCommand())
	return cmd
}

// profilesOf are the profiles in files; without files, those of the policy that a runtime's name stands for.
func profilesOf(files []string, called string) ([]apparmor.Profile, error) {
	var all []apparmor.Profile
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		name, err := apparmor.NameOf(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, apparmor.Profile{Name: name, Text: string(text)})
	}
	if len(files) > 0 {
		return all, nil
	}
	p, err := shim.ReadPolicy(confDir, called, time.Now())
	if err != nil {
		return nil, err
	}
	settings, err := p.AppArmors()
	if err != nil {
		return nil, err
	}
	for _, s := range settings {
		profile, err := profileOf(p, s)
		if err != nil {
			return nil, err
		}
		all = append(all, profile)
	}
	return all, nil
}

func profileOf(p shim.PolicyFile, s policy.AppArmor) (apparmor.Profile, error) {
	own, problem := p.OwnProfile(s)
	switch {
	case !s.Allow.Empty():
		return apparmor.Allow(s.Allow)
	case s.Profile == apparmor.DefaultName:
		return apparmor.Default()
	case problem != "":
		return own, fmt.Errorf("wanted %s", problem)
	case own.Text == "":
		return own, fmt.Errorf("the policy names the profile %s, and %s/profiles has no file of that name: whoever made it loads it", s.Profile, confDir)
	}
	return own, nil
}
