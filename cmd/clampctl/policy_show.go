package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"runclamp/enforce/policy"

	"github.com/spf13/cobra"
)

func policyShowCommand() *cobra.Command {
	var effective bool
	w := policy.Workload{}
	var engine, kind string
	var labels, annotations []string
	cmd := &cobra.Command{
		Use:   "show [FILE]",
		Short: "Print a policy in full, or what holds for one workload",
		Long: `Print a policy with everything that the file leaves out: the preset with the file's controls laid over it.

With --effective, print the controls that hold for the workload that the other flags describe; the rule, the tighten entries
and the exceptions that apply stand above them as comments.

FILE is ` + defaultPolicy() + ` unless it is given; where that does not exist, the built-in preset holds.`,
		Example: `  clampctl policy show
  clampctl policy show --effective --engine kubernetes --namespace ingress --container controller policy.yaml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			w.Engine, w.Kind = policy.Engine(engine), policy.Kind(kind)
			var labelErr, annotationErr error
			w.Labels, labelErr = pairs("label", labels)
			w.Annotations, annotationErr = pairs("annotation", annotations)
			if err := errors.Join(w.Check(), labelErr, annotationErr); err != nil {
				return err
			}
			path, f, err := policyOrDefault(args, time.Now())
			if err != nil {
				return err
			}
			if !effective {
				return showFile(cmd.OutOrStdout(), path, f)
			}
			p, err := f.For(w, time.Now())
			if err != nil {
				return internal{err}
			}
			return showEffective(cmd.OutOrStdout(), path, p)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&effective, "effective", false, "print what holds for one workload")
	flags.StringVar(&engine, "engine", string(policy.Unknown), "docker, kubernetes, podman, containerd or unknown")
	flags.StringVar(&kind, "kind", string(policy.Container), "container, sandbox, build or plugin")
	flags.StringVar(&w.Namespace, "namespace", "", "Kubernetes namespace")
	flags.StringVar(&w.Pod, "pod", "", "Kubernetes pod")
	flags.StringVar(&w.Container, "container", "", "Kubernetes container")
	flags.StringVar(&w.Image, "image", "", "name of the image")
	flags.StringVar(&w.ImageDigest, "image-digest", "", "digest of the image")
	flags.StringVar(&w.Name, "name", "", "name of the container")
	flags.StringArrayVar(&labels, "label", nil, "label `KEY=VALUE`; may be repeated")
	flags.StringArrayVar(&annotations, "annotation", nil, "annotation `KEY=VALUE`; may be repeated")
	return cmd
}

// pairs are KEY=VALUE as the flags write them. A value may have commas, which cobra's own maps would split at.
func pairs(flag string, texts []string) (map[string]string, error) {
	m := map[string]string{}
	for _, text := range texts {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("--%s %q is not KEY=VALUE", flag, text)
		}
		m[key] = value
	}
	return m, nil
}

func defaultPolicy() string { return filepath.Join(confDir, "policy.yaml") }

// policyOrDefault is the policy that is asked for, or that holds on this host. The path is empty for the built-in one.
func policyOrDefault(args []string, now time.Time) (string, *policy.File, error) {
	path := defaultPolicy()
	if len(args) == 1 {
		path = args[0]
	}
	f, err := readPolicy(path, now)
	if len(args) == 0 && errors.Is(err, fs.ErrNotExist) {
		f, err = policy.Default()
		return "", f, err
	}
	if found := placed(path, mistakes(err)); found != nil {
		err = errors.New(strings.Join(found, "\n"))
	}
	return path, f, err
}

func showFile(w io.Writer, path string, f *policy.File) error {
	text, err := f.YAML()
	if err != nil {
		return internal{err}
	}
	if path == "" {
		path = "built in: there is no " + defaultPolicy()
	}
	_, err = fmt.Fprintf(w, "# policy %s\n%s", path, text)
	return err
}

func showEffective(w io.Writer, path string, p policy.Policy) error {
	text, err := p.Controls.YAML()
	if err != nil {
		return internal{err}
	}
	source := p.Source
	if path != "" {
		source = "policy " + path + ", " + p.Source
	}
	fmt.Fprintf(w, "# %s\n# mode: %s\n", source, p.Mode)
	if p.Rule != "" {
		fmt.Fprintf(w, "# rule: %s\n", p.Rule)
	}
	for _, t := range p.Tightened {
		fmt.Fprintf(w, "# tighten: %s\n", t)
	}
	for _, e := range p.Exceptions {
		fmt.Fprintf(w, "# exception: %s, until %s: %s\n", e.Name, e.Expires, strings.Join(e.Allow, ", "))
	}
	for _, e := range p.Expired {
		fmt.Fprintf(w, "# exception, expired %s and not applied: %s: %s\n", e.Expires, e.Name, strings.Join(e.Allow, ", "))
	}
	_, err = w.Write(text)
	return err
}
