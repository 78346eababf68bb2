package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"runclamp/enforce/policy"
	"runclamp/enforce/proof"
	"runclamp/enforce/seccomp"
	"runclamp/shim"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// profileNames is how the commands explain their arguments.
const profileNames = `A profile is named as in a policy: default (Docker's), strict, NAME (profiles/NAME.json in the configuration folder), or a file
(a path with a slash in it).`

// about is what a profile depends on, by flags.
type about struct {
	caps  []string
	roots []string
}

func profileCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "profile COMMAND",
		Short: "Look into seccomp profiles",
		Args:  cobra.NoArgs,
		RunE:  needsCommand,
	}
	a := &about{}
	cmd.PersistentFlags().StringSliceVar(&a.caps, "cap", nil, "a capability that the container has (CAP_SYS_PTRACE); Docker's default depends on them")
	cmd.AddCommand(profileShowCommand(a), profileExplainCommand(a), profileDiffCommand(a), profileIntersectCommand(a), profileLintCommand(), profileStatsCommand(a))
	return cmd
}

// profile is what the name stands for, on this machine.
func (a *about) profile(name string) (*specs.LinuxSeccomp, error) {
	for _, c := range a.caps {
		if !strings.HasPrefix(c, "CAP_") {
			return nil, fmt.Errorf("--cap %s: capabilities are written like CAP_SYS_PTRACE", c)
		}
	}
	if strings.HasPrefix(name, inKernel) {
		return nil, fmt.Errorf("%s: what the kernel has of a container is a program and no profile: show, explain, stats and diff look into it", name)
	}
	switch policy.SeccompProfile(name) {
	case policy.DefaultProfile:
		return seccomp.Default(a.caps)
	case policy.StrictProfile:
		return seccomp.Strict(), nil
	}
	path, d, err := document(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	k, err := thisKernel()
	if err != nil {
		return nil, err
	}
	p := d.Profile(a.caps, seccomp.Native(), k)
	if problem := seccomp.Check(p, []string{p.ListenerPath}); problem != nil {
		return nil, fmt.Errorf("%s: %s: %s, wanted %s", path, problem.Detail, problem.Found, problem.Wanted)
	}
	return p, nil
}

// document reads the file that a name stands for.
func document(name string) (path string, d *seccomp.Document, err error) {
	path = name
	if !strings.Contains(name, "/") {
		path = shim.ProfilePath(confDir, name)
	}
	path = strings.TrimPrefix(path, "file:")
	text, err := os.ReadFile(path)
	if err != nil {
		return path, nil, errors.Unwrap(err)
	}
	d, err = seccomp.Read(text)
	return path, d, err
}

func thisKernel() (seccomp.Kernel, error) {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return seccomp.Kernel{}, internal{err}
	}
	return seccomp.ParseKernel(unix.ByteSliceToString(uts.Release[:]))
}

// inKernel begins the name of a running container.
const inKernel = "container:"

// container is what the kernel filters of a running container.
type container struct {
	programs []proof.Program
	// profile lets through what all arguments do; depending are the calls of which some arguments are denied, denied those of which all are.
	profile           *specs.LinuxSeccomp
	depending, denied []string
}

// container looks into a running container; ok is false if the name is not one's.
func (a *about) container(cmd *cobra.Command, name string) (c container, ok bool, err error) {
	id, ok := strings.CutPrefix(name, inKernel)
	if !ok {
		return c, false, nil
	}
	found, err := containers(cmd, a.roots, []string{id})
	if err != nil {
		return c, true, err
	}
	c.programs, err = shim.Filters(found[0].root, found[0].id)
	if err != nil {
		return c, true, err
	}
	if len(c.programs) == 0 {
		return c, true, fmt.Errorf("container %s has no seccomp filter", found[0].id)
	}
	c.profile = &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: []specs.Arch{seccomp.Native()}}
	var allowed []string
	err = proof.Answers(c.programs, seccomp.Native(), func(name string, a proof.Answer) {
		switch a {
		case proof.Allowed:
			allowed = append(allowed, name)
		case proof.Depends:
			c.depending = append(c.depending, name)
		case proof.Denied:
			c.denied = append(c.denied, name)
		}
	})
	if len(allowed) > 0 {
		c.profile.Syscalls = []specs.LinuxSyscall{{Names: allowed, Action: specs.ActAllow}}
	}
	return c, true, err
}

// writeProfile writes a profile as linux.seccomp has it.
func writeProfile(w io.Writer, p *specs.LinuxSeccomp) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(p); err != nil {
		return internal{err}
	}
	_, err := w.Write(b.Bytes())
	return err
}
