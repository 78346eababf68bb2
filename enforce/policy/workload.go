package policy

import (
	"fmt"
	"slices"
	"strings"

	"runclamp/enforce/spelling"
)

// Engine is what calls runclamp.
type Engine string

const (
	// Docker is dockerd, by way of its containerd.
	Docker Engine = "docker"
	// Kubernetes is a kubelet's container runtime: containerd's CRI or CRI-O.
	Kubernetes Engine = "kubernetes"
	// Podman is Podman, by way of conmon.
	Podman Engine = "podman"
	// Containerd is a client of containerd's other than those above: ctr, nerdctl.
	Containerd Engine = "containerd"
	// Unknown is anything else. Only a rule that names it applies to it: no pattern does.
	Unknown Engine = "unknown"
)

// Kind is what a container is for.
type Kind string

const (
	// Container is an ordinary one.
	Container Kind = "container"
	// Sandbox holds a pod's namespaces: the pause container.
	Sandbox Kind = "sandbox"
	// Build is a step of an image's build under BuildKit.
	Build Kind = "build"
	// Plugin is one of Docker's managed plugins.
	Plugin Kind = "plugin"
)

// Workload is who a container is. The zero value of a field is "not known", which no pattern matches, not even "*".
type Workload struct {
	// Facts, which the engine vouches for: whoever starts a container can't choose them freely.

	Engine Engine `json:"engine"`
	Kind   Kind   `json:"kind"`
	// Namespace, Pod and Container are Kubernetes' names.
	Namespace string `json:"namespace,omitempty"`
	Pod       string `json:"pod,omitempty"`
	Container string `json:"container,omitempty"`
	// ImageDigest is "sha256:…", where the engine's own records have it.
	ImageDigest string `json:"imageDigest,omitempty"`

	// User input: whoever starts a container chooses it.

	// Image is the name that the image was asked for by.
	Image string `json:"image,omitempty"`
	// Name is the container's name.
	Name        string            `json:"name,omitempty"`
	Labels      map[string]string `json:"-"`
	Annotations map[string]string `json:"-"`
}

func engines() []string {
	return []string{string(Docker), string(Kubernetes), string(Podman), string(Containerd), string(Unknown)}
}

func kinds() []string {
	return []string{string(Container), string(Sandbox), string(Build), string(Plugin)}
}

// value is what a key of a match looks at; "" if it is not known.
func (w Workload) value(key string) string {
	kubernetes := w.Engine == Kubernetes
	switch {
	case kubernetes && key == "namespace":
		return w.Namespace
	case kubernetes && key == "pod":
		return w.Pod
	case kubernetes && key == "container":
		return w.Container
	}
	switch key {
	case "engine":
		return string(w.Engine)
	case "kind":
		return string(w.Kind)
	case "imageDigest":
		return w.ImageDigest
	case "image":
		return w.Image
	case "name":
		return w.Name
	}
	if label, ok := strings.CutPrefix(key, "label."); ok {
		return w.Labels[label]
	}
	if annotation, ok := strings.CutPrefix(key, "annotation."); ok {
		return w.Annotations[annotation]
	}
	return ""
}

// Check says what is wrong with a workload that a person has described.
func (w Workload) Check() error {
	if !slices.Contains(engines(), string(w.Engine)) {
		return fmt.Errorf("engine %s", spelling.Unknown(string(w.Engine), engines()))
	}
	if !slices.Contains(kinds(), string(w.Kind)) {
		return fmt.Errorf("kind %s", spelling.Unknown(string(w.Kind), kinds()))
	}
	if w.Engine != Kubernetes && w.Namespace+w.Pod+w.Container != "" {
		return fmt.Errorf("namespace, pod and container are known under kubernetes only, and the engine is %s", w.Engine)
	}
	return nil
}
