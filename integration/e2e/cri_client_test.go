package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/util/exec"
	api "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// cri is containerd as the kubelet uses it.
type cri struct {
	*containerd
	connection *grpc.ClientConn
	client     api.RuntimeServiceClient
	made       atomic.Int32
	// pods are those of the containers that launch has started.
	pods map[string]*pod
}

// pod is a sandbox, in which containers can be created.
type pod struct {
	cri    *cri
	id     string
	config *api.PodSandboxConfig
	made   int
}

// handler is the name of the runtime that a RuntimeClass leads to.
const handler = "runclamp"

func (c *cri) up() error {
	if err := c.containerd.up(); err != nil {
		return err
	}
	var err error
	if c.connection, err = grpc.NewClient("unix://"+c.socket(), grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		return err
	}
	c.client, c.pods = api.NewRuntimeServiceClient(c.connection), map[string]*pod{}
	return c.daemon.ready(func() error {
		ctx, cancel := patiently()
		defer cancel()
		status, err := c.client.Status(ctx, &api.StatusRequest{})
		if err != nil {
			return err
		}
		for _, s := range status.Status.Conditions {
			if !s.Status && (s.Type == api.RuntimeReady || s.Type == api.NetworkReady) {
				return fmt.Errorf("%s: %s", s.Type, s.Message)
			}
		}
		return nil
	})
}

func (c *cri) down() error {
	if c.client == nil {
		return c.shut()
	}
	ctx, cancel := patiently()
	defer cancel()
	list, err := c.client.ListPodSandbox(ctx, &api.ListPodSandboxRequest{})
	errs := []error{err}
	for _, item := range list.GetItems() {
		errs = append(errs, (&pod{cri: c, id: item.Id}).remove())
	}
	return errors.Join(append(errs, c.connection.Close(), c.shut())...)
}

// pod starts a sandbox. The configuration is what the kubelet sends for an everyday pod, and what change makes of it.
func (c *cri) pod(handler string, change func(*api.PodSandboxConfig)) (*pod, error) {
	n := c.made.Add(1)
	config := &api.PodSandboxConfig{
		Metadata:     &api.PodSandboxMetadata{Name: fmt.Sprintf("pod%d", n), Uid: fmt.Sprintf("%08d-0000-4000-8000-000000000000", n), Namespace: "default"},
		Hostname:     fmt.Sprintf("pod%d", n),
		LogDirectory: c.file("logs", fmt.Sprint(n)),
		DnsConfig:    &api.DNSConfig{Servers: []string{"10.0.0.10"}},
		Linux: &api.LinuxPodSandboxConfig{
			CgroupParent: c.cgroup() + fmt.Sprintf("/pod%d", n),
			SecurityContext: &api.LinuxSandboxSecurityContext{
				NamespaceOptions: &api.NamespaceOption{Network: api.NamespaceMode_POD, Pid: api.NamespaceMode_CONTAINER, Ipc: api.NamespaceMode_POD},
			},
		},
	}
	if change != nil {
		change(config)
	}
	if err := os.MkdirAll(config.LogDirectory, 0o755); err != nil {
		return nil, err
	}
	ctx, cancel := patiently()
	defer cancel()
	r, err := c.client.RunPodSandbox(ctx, &api.RunPodSandboxRequest{Config: config, RuntimeHandler: handler})
	if err != nil {
		return nil, fmt.Errorf("RunPodSandbox: %w", err)
	}
	return &pod{cri: c, id: r.PodSandboxId, config: config}, nil
}

// remove ends a pod with all its containers.
func (p *pod) remove() error {
	ctx, cancel := patiently()
	defer cancel()
	_, err1 := p.cri.client.StopPodSandbox(ctx, &api.StopPodSandboxRequest{PodSandboxId: p.id})
	_, err2 := p.cri.client.RemovePodSandbox(ctx, &api.RemovePodSandboxRequest{PodSandboxId: p.id})
	return errors.Join(err1, err2)
}

// create makes a container of "bb", and starts it.
func (p *pod) create(change func(*api.ContainerConfig), command ...string) (id string, err error) {
	p.made++
	config := &api.ContainerConfig{
		Metadata: &api.ContainerMetadata{Name: fmt.Sprintf("c%d", p.made)},
		Image:    &api.ImageSpec{Image: bb},
		Command:  command,
		LogPath:  fmt.Sprintf("c%d.log", p.made),
		Linux: &api.LinuxContainerConfig{
			Resources: &api.LinuxContainerResources{},
			SecurityContext: &api.LinuxContainerSecurityContext{
				NamespaceOptions: p.config.Linux.SecurityContext.NamespaceOptions,
				MaskedPaths:      []string{"/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"},
				ReadonlyPaths:    []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
			},
		},
	}
	if change != nil {
		change(config)
	}
	ctx, cancel := patiently()
	defer cancel()
	r, err := p.cri.client.CreateContainer(ctx, &api.CreateContainerRequest{PodSandboxId: p.id, Config: config, SandboxConfig: p.config})
	if err != nil {
		return "", fmt.Errorf("CreateContainer: %w", err)
	}
	if _, err := p.cri.client.StartContainer(ctx, &api.StartContainerRequest{ContainerId: r.ContainerId}); err != nil {
		return "", fmt.Errorf("StartContainer: %w", err)
	}
	return r.ContainerId, nil
}

func (c *cri) status(id string) (*api.ContainerStatusResponse, error) {
	ctx, cancel := patiently()
	defer cancel()
	return c.client.ContainerStatus(ctx, &api.ContainerStatusRequest{ContainerId: id, Verbose: true})
}

// pid is that of the first process, on the host, which containerd tells whoever asks for more than the standard has.
func pid(info map[string]string) (int, error) {
	var v struct{ Pid int }
	if err := json.Unmarshal([]byte(info["info"]), &v); err != nil || v.Pid == 0 {
		return 0, fmt.Errorf("no PID in %q: %w", info["info"], err)
	}
	return v.Pid, nil
}

// wait waits until a container has ended, and is its exit status and what it has written to its standard output.
func (c *cri) wait(id string) (string, error) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-time.After(20 * time.Millisecond) {
		s, err := c.status(id)
		if err != nil {
			return "", err
		}
		if s.Status.State != api.ContainerState_CONTAINER_EXITED {
			continue
		}
		stdout, stderr, err := readLog(s.Status.LogPath)
		if err == nil && s.Status.ExitCode != 0 {
			err = &exit{int(s.Status.ExitCode), stdout + stderr + s.Status.Message}
		}
		return stdout, err
	}
	return "", fmt.Errorf("%s does not end", id)
}

// readLog takes apart what the kubelet shows as "kubectl logs": time, stream, P or F (a part of a line, or its end), text.
func readLog(path string) (stdout, stderr string, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", "", err
	}
	streams := map[string]*strings.Builder{"stdout": {}, "stderr": {}}
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
		if len(fields) < 4 || streams[fields[1]] == nil {
			return "", "", fmt.Errorf("%s: %q", path, line)
		}
		streams[fields[1]].WriteString(fields[3])
		if fields[2] == "F" {
			streams[fields[1]].WriteByte('\n')
		}
	}
	return streams["stdout"].String(), streams["stderr"].String(), nil
}

// single starts a pod with one container.
func (c *cri) single(con container) (*pod, string, error) {
	labels, annotations := pairs(con.labels), pairs(con.annotations)
	p, err := c.pod(cmp.Or(con.runtime, handler), func(s *api.PodSandboxConfig) {
		s.Labels, s.Annotations = labels, annotations
		s.Linux.SecurityContext.Privileged = con.privileged
	})
	if err != nil {
		return nil, "", err
	}
	id, err := p.create(func(s *api.ContainerConfig) {
		s.Labels, s.Annotations = labels, annotations
		s.Stdin, s.StdinOnce, s.Tty = con.stdin != "", con.stdin != "", con.tty
		s.Linux.SecurityContext.Privileged = con.privileged
		for _, b := range con.binds {
			source, target, _ := strings.Cut(b, ":")
			target, ro, _ := strings.Cut(target, ":")
			s.Mounts = append(s.Mounts, &api.Mount{HostPath: source, ContainerPath: target, Readonly: ro == "ro"})
		}
	}, con.args...)
	if err != nil {
		return nil, "", errors.Join(err, p.remove())
	}
	return p, id, nil
}

func pairs(list []string) map[string]string {
	m := map[string]string{}
	for _, p := range list {
		k, v, _ := strings.Cut(p, "=")
		m[k] = v
	}
	return m
}

func (c *cri) output(con container) (out string, err error) {
	p, id, err := c.single(con)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, p.remove()) }()
	if con.stdin != "" {
		ctx, cancel := patiently()
		defer cancel()
		r, err := c.client.Attach(ctx, &api.AttachRequest{ContainerId: id, Stdin: true, Stdout: true, Stderr: !con.tty, Tty: con.tty})
		if err != nil {
			return "", fmt.Errorf("Attach: %w", err)
		}
		if _, err := stream(r.Url, con.stdin, con.tty); err != nil {
			return "", err
		}
	}
	out, err = c.wait(id)
	if con.stdin != "" && !con.tty && err == nil {
		// What has no end of line gets one in a log.
		out = strings.TrimSuffix(out, "\n")
	}
	return out, err
}

func (c *cri) launch(con container) (string, error) {
	p, id, err := c.single(con)
	if err == nil {
		c.pods[id] = p
	}
	return id, err
}

func (c *cri) running(id string) (bool, error) {
	s, err := c.status(id)
	return err == nil && s.Status.State == api.ContainerState_CONTAINER_RUNNING, err
}

func (c *cri) stop(id string) error { return c.stopWithin(id, 60) }

func (c *cri) kill(id string) error { return c.stopWithin(id, 0) }

func (c *cri) stopWithin(id string, seconds int64) error {
	ctx, cancel := patiently()
	defer cancel()
	_, err := c.client.StopContainer(ctx, &api.StopContainerRequest{ContainerId: id, Timeout: seconds})
	return err
}

func (c *cri) remove(id string) error {
	p := c.pods[id]
	delete(c.pods, id)
	ctx, cancel := patiently()
	defer cancel()
	err := c.kill(id)
	_, removeErr := c.client.RemoveContainer(ctx, &api.RemoveContainerRequest{ContainerId: id})
	return errors.Join(err, removeErr, p.remove())
}

func (c *cri) entries() []entry {
	return []entry{
		{"ExecSync", false, c.execSync},
		{"Exec", false, func(id, stdin string, args ...string) (string, error) { return c.exec(id, stdin, false, args...) }},
		{"Exec, terminal", true, func(id, stdin string, args ...string) (string, error) { return c.exec(id, stdin, true, args...) }},
	}
}

// execSync is what a probe of the kubelet's does. It has no standard input.
func (c *cri) execSync(id, stdin string, args ...string) (string, error) {
	if stdin != "" {
		args = append([]string{"/bin/sh", "-c", `printf %s "$0" | "$@"`, stdin}, args...)
	}
	ctx, cancel := patiently()
	defer cancel()
	r, err := c.client.ExecSync(ctx, &api.ExecSyncRequest{ContainerId: id, Cmd: args, Timeout: int64(patience.Seconds())})
	if err == nil && r.ExitCode != 0 {
		err = &exit{int(r.ExitCode), string(r.Stdout) + string(r.Stderr)}
	}
	return string(r.GetStdout()), err
}

// exec is "kubectl exec".
func (c *cri) exec(id, stdin string, tty bool, args ...string) (string, error) {
	ctx, cancel := patiently()
	defer cancel()
	r, err := c.client.Exec(ctx, &api.ExecRequest{ContainerId: id, Cmd: args, Tty: tty, Stdin: stdin != "", Stdout: true, Stderr: !tty})
	if err != nil {
		return "", err
	}
	return stream(r.Url, stdin, tty)
}

// stream is the other half of Exec and Attach: the streams, over a connection of their own.
func stream(at, stdin string, tty bool) (string, error) {
	ctx, cancel := patiently()
	defer cancel()
	var stdout, stderr bytes.Buffer
	options := remotecommand.StreamOptions{Stdout: &stdout, Stderr: &stderr, Tty: tty}
	if stdin != "" {
		options.Stdin = strings.NewReader(stdin)
	}
	if tty {
		// There is one output only, and the keyboard stays.
		options.Stderr = nil
		if stdin != "" {
			keyboard, end := openAfter(stdin)
			defer end()
			options.Stdin = keyboard
		}
	}
	err := connect(ctx, at, options)
	var failed exec.CodeExitError
	if errors.As(err, &failed) {
		err = &exit{failed.Code, stdout.String() + stderr.String()}
	}
	return stdout.String(), err
}

// converse types something and stays until it is told to go.
func converse(ctx context.Context, at, typed string, answer io.Writer) error {
	keyboard, end := openAfter(typed)
	defer end()
	return connect(ctx, at, remotecommand.StreamOptions{Stdin: keyboard, Stdout: answer, Stderr: io.Discard})
}

func connect(ctx context.Context, at string, options remotecommand.StreamOptions) error {
	u, err := url.Parse(at)
	if err != nil {
		return err
	}
	executor, err := remotecommand.NewSPDYExecutor(&rest.Config{}, "POST", u)
	if err != nil {
		return err
	}
	return executor.StreamWithContext(ctx, options)
}

// openAfter is an input that has text and then stays open until it is ended.
func openAfter(text string) (io.Reader, func()) {
	read, write := io.Pipe()
	return io.MultiReader(strings.NewReader(text), read), func() { _ = write.Close() } // never fails
}

// until is a buffer that calls then when all that was wanted is there.
type until struct {
	text bytes.Buffer
	want string
	then func()
}

func (u *until) Write(p []byte) (int, error) {
	n, err := u.text.Write(p)
	if strings.Contains(u.text.String(), u.want) {
		u.then()
	}
	return n, err
}

func (c *cri) writes() []string { return everydayWrites() }

// bundle is where containerd keeps a container's bundle.
func (c *cri) bundle(id string) string {
	return filepath.Join(c.file("state"), "io.containerd.runtime.v2.task", "k8s.io", id)
}
