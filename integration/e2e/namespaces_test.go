package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	api "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// What a container may share with the host, and what it may have the runtime do: namespaces, sysctls, annotations, hooks.

// wantRefusal: the user reads the finding.
func wantRefusal(t *testing.T, err error, finding string) {
	t.Helper()
	if err == nil {
		t.Fatalf("it ran; wanted %s", finding)
	}
	if !strings.Contains(err.Error(), "runclamp: refused: ") || !strings.Contains(err.Error(), finding+": ") {
		t.Errorf("the user reads %v, want %s", err, finding)
	}
}

func namespaceOf(t *testing.T, pid, kind string) string {
	t.Helper()
	link, err := os.Readlink(filepath.Join("/proc", pid, "ns", kind))
	if err != nil {
		t.Fatal(err)
	}
	return link
}

// TestHostsNamespaces: Docker's flags that share the host's.
func TestHostsNamespaces(t *testing.T) {
	forEachDocker(t, func(t *testing.T, d *docker) {
		for flag, finding := range map[string]string{
			"--network=host": "hostNamespaces:network", "--pid=host": "hostNamespaces:pid",
			"--ipc=host": "hostNamespaces:ipc", "--uts=host": "hostNamespaces:uts",
		} {
			t.Run(flag, func(t *testing.T) {
				args := []string{"run", "--rm", "--runtime", "runclamp", flag}
				if flag != "--network=host" {
					args = append(args, "--network", "none")
				}
				_, err := d.try(append(args, "bb", "true")...)
				wantRefusal(t, err, finding)
				if !strings.Contains(err.Error(), fmt.Sprintf("drop %q", strings.ReplaceAll(flag, "=", " "))) {
					t.Errorf("the user does not read what to drop: %v", err)
				}
			})
		}
		t.Run("--userns=host", func(t *testing.T) { d.run(t, "--userns=host", "bb", "true") })
	})
}

// TestAnothersNamespaces: a container may join another one, and what is inside is the other's.
func TestAnothersNamespaces(t *testing.T) {
	forEachDocker(t, func(t *testing.T, d *docker) {
		first := d.start(t, "runclamp", "--ipc", "shareable", "bb", "sleep", "1000")
		second := strings.TrimSpace(d.must(t, "run", "-d", "--runtime", "runclamp", "--network", "container:"+first, "--pid", "container:"+first,
			"--ipc", "container:"+first, "bb", "sleep", "1000"))
		t.Cleanup(func() {
			if err := d.remove(second); err != nil {
				t.Error(err)
			}
		})
		pid := func(id string) string { return strings.TrimSpace(d.must(t, "inspect", "-f", "{{.State.Pid}}", id)) }
		one, two := pid(first), pid(second)
		for _, kind := range []string{"net", "pid", "ipc"} {
			if a, b := namespaceOf(t, one, kind), namespaceOf(t, two, kind); a != b || a == namespaceOf(t, "self", kind) {
				t.Errorf("%s: %s and %s", kind, a, b)
			}
		}
		confined(t, parseSeen(t, d.must(t, "exec", "-u", "0", second, "probe")), "10001")
	})
}

// TestOwnCgroups: in every engine, a container sees its own control groups as the root of all.
func TestOwnCgroups(t *testing.T) {
	forEachEngine(t, func(t *testing.T, e engine) {
		see := []string{"/bin/sh", "-c", "cut -d: -f3 /proc/self/cgroup | sort -u; readlink /proc/self/ns/cgroup"}
		own := func(out string) bool {
			lines := strings.Fields(out)
			return len(lines) == 2 && lines[0] == "/" && lines[1] != namespaceOf(t, "self", "cgroup")
		}
		if out := mustOutput(t, e, container{args: see}); !own(out) {
			t.Errorf("it sees %q", out)
		}
		id := start(t, e, container{args: asleep})
		for _, way := range e.entries() {
			if way.tty {
				continue
			}
			if out, err := way.run(id, "", see...); err != nil || !own(out) {
				t.Errorf("%s sees %q, %v", way.name, out, err)
			}
		}
	})
}

func TestSysctl(t *testing.T) {
	forEachDocker(t, func(t *testing.T, d *docker) {
		if out := d.run(t, "--sysctl", "net.ipv4.tcp_fin_timeout=17", "bb", "cat", "/proc/sys/net/ipv4/tcp_fin_timeout"); out != "17\n" {
			t.Errorf("a safe one is %q", out)
		}
		unsafe := []string{"--network", "none", "--sysctl", "net.core.somaxconn=1234", "bb", "cat", "/proc/sys/net/core/somaxconn"}
		_, err := d.try(append([]string{"run", "--rm", "--runtime", "runclamp"}, unsafe...)...)
		wantRefusal(t, err, "sysctls:net.core.somaxconn")
		if out := d.must(t, append([]string{"run", "--rm", "--runtime", "runclamp-own"}, unsafe...)...); out != "1234\n" {
			t.Errorf("one that a rule lists is %q", out)
		}
	})
}

// TestAnnotation: Docker passes them on from API version 1.43 on.
func TestAnnotation(t *testing.T) {
	forEachDocker(t, func(t *testing.T, d *docker) {
		if d.name == "docker-20.10" {
			return
		}
		for _, tt := range []struct{ runtime, key, finding string }{
			{"runclamp", "note", ""},
			{"runclamp", "run.oci.handler", "annotations:run.oci.handler"},
			{"runclamp", "org.systemd.property.DeviceAllow", "annotations:org.systemd.property.DeviceAllow"},
			{"runclamp", "bundle", "annotations:bundle"},
			{"runclamp-own", "run.oci.mine", ""},
			{"runclamp-own", "run.oci.yours", "annotations:run.oci.yours"},
			{"runclamp-own", "bundle=/evil#", "annotations:bundle=/evil#"},
		} {
			t.Run(tt.runtime+", "+tt.key, func(t *testing.T) {
				err := d.startAnnotated(t, tt.runtime, tt.key)
				if tt.finding != "" {
					wantRefusal(t, err, tt.finding)
				} else if err != nil {
					t.Error(err)
				}
			})
		}
	})
}

// startAnnotated asks as "docker run --annotation" does, for which Debian's client is too old.
func (d *docker) startAnnotated(t *testing.T, runtime, key string) error {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", d.file("docker.sock"))
	}}}
	defer client.CloseIdleConnections()
	post := func(path, body string) (string, error) {
		ctx, cancel := patiently()
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://docker/"+path, bytes.NewBufferString(body))
		if err != nil {
			return "", err
		}
		r.Header.Set("Content-Type", "application/json")
		answer, err := client.Do(r)
		if err != nil {
			return "", err
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err == nil && answer.StatusCode >= 400 {
			err = fmt.Errorf("%s: %s", answer.Status, text)
		}
		return string(text), err
	}
	answer, err := post("containers/create", mustJSON(t, map[string]any{"Image": "bb", "Cmd": []string{"true"}, "HostConfig": map[string]any{
		"Runtime": runtime, "NetworkMode": "none", "Annotations": map[string]string{key: "1"}}}))
	var made struct{ ID string }
	if err == nil {
		err = json.Unmarshal([]byte(answer), &made)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = post("containers/"+made.ID+"/start", "")
	if removeErr := d.remove(made.ID); removeErr != nil {
		t.Error(removeErr)
	}
	return err
}

// TestPreloadIsRecorded: by its name, without its value.
func TestPreloadIsRecorded(t *testing.T) {
	forEachDocker(t, func(t *testing.T, d *docker) {
		id := d.start(t, "runclamp-own", "-e", "LD_PRELOAD=/no/such/secret.so", "bb", "sleep", "1000")
		log, err := os.ReadFile(d.file("audit/own.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(log)) {
			if !strings.Contains(line, id) || !strings.Contains(line, `"verb":"create"`) {
				continue
			}
			if !strings.Contains(line, `"control":"environment","detail":"LD_PRELOAD"`) || strings.Contains(line, "secret.so") {
				t.Errorf("the log says %s", line)
			}
			return
		}
		t.Errorf("nothing of %s in the log: %s", id, log)
	})
}

// TestHooks: Docker's own is run, and one that the policy lists; another is not: not by its path, and not by that of a process
// in a container, whose program lies at a path where the host has one that is listed.
func TestHooks(t *testing.T) {
	forEachDocker(t, func(t *testing.T, d *docker) {
		d.must(t, "run", "--rm", "--runtime", "record", "--network", "none", "bb", "true")
		if sent := d.recorded(t).Hooks; d.name == "docker-20.10" && sent == nil {
			t.Error("this Docker has a hook of its own, and it was not sent")
		}
		id := d.start(t, "runc", "bb", "busybox", "sleep", "1000")
		inside := fmt.Sprintf("/proc/%s/exe", strings.TrimSpace(d.must(t, "inspect", "-f", "{{.State.Pid}}", id)))
		s := d.exampleConfig(t)
		hooked := d.file("hooked")
		touch := []string{"busybox", "touch", hooked}
		own := d.file("runclamp-own")
		for i, tt := range []struct {
			name, runclamp, want string
			hooks                specs.Hooks
		}{
			{"not listed", d.runclamp, "hooks:/usr/bin/busybox: ", specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/busybox", Args: touch}}}},
			{"not listed, after the end", d.runclamp, "hooks.poststop[0]", specs.Hooks{Poststop: []specs.Hook{{Path: "/bin/busybox", Args: touch}}}},
			{"a container's", own, "hooks:untrusted:/usr/bin/busybox: ", specs.Hooks{CreateRuntime: []specs.Hook{{Path: inside, Args: touch}}}},
			{"a container's file", own, "hooks:/proc/", specs.Hooks{CreateRuntime: []specs.Hook{{Path: strings.TrimSuffix(inside, "exe") + "root/bin/busybox", Args: touch}}}},
			{"Docker's name for a container's", own, "hooks:untrusted:/usr/bin/busybox: ", specs.Hooks{CreateRuntime: []specs.Hook{{Path: inside, Args: []string{"libnetwork-setkey", "a", "b"}}}}},
		} {
			t.Run(tt.name, func(t *testing.T) {
				s.Hooks = &tt.hooks
				bundle := writeBundle(t, d.dir, s)
				defer os.RemoveAll(bundle)
				refused(t, tt.runclamp, tt.want, d.file(fmt.Sprintf("hook-%d.log", i)), "--root", d.file("hookroot"), "create", "--bundle", bundle, "hooked")
				if _, err := os.Stat(hooked); !os.IsNotExist(err) {
					t.Errorf("the hook was run: %v", err)
				}
			})
		}
		t.Run("listed", func(t *testing.T) {
			s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/busybox", Args: touch}}}
			bundle := writeBundle(t, d.dir, s)
			defer os.RemoveAll(bundle)
			if err := run(own, "--root", d.file("hookroot"), "create", "--bundle", bundle, "hooked"); err != nil {
				t.Fatal(err)
			}
			if err := run(own, "--root", d.file("hookroot"), "delete", "--force", "hooked"); err != nil {
				t.Error(err)
			}
			if err := os.Remove(hooked); err != nil {
				t.Errorf("the hook was not run: %v", err)
			}
		})
	})
}

// TestHostsNamespacesOfAPod: a pod with the host's network, PIDs or shared memory is refused by its sandbox, and kubectl shows
// why; a rule lets node services have the network.
func TestHostsNamespacesOfAPod(t *testing.T) {
	forEachCRI(t, func(t *testing.T, c *cri) {
		options := func(change func(*api.NamespaceOption), namespace string) func(*api.PodSandboxConfig) {
			return func(s *api.PodSandboxConfig) {
				change(s.Linux.SecurityContext.NamespaceOptions)
				s.Metadata.Namespace = namespace
				if s.Linux.SecurityContext.NamespaceOptions.Network == api.NamespaceMode_NODE {
					s.Hostname = "" // the kubelet names no pod that has the host's name
				}
			}
		}
		network := func(o *api.NamespaceOption) { o.Network = api.NamespaceMode_NODE }
		for finding, change := range map[string]func(*api.NamespaceOption){
			"hostNamespaces:network": network,
			"hostNamespaces:pid":     func(o *api.NamespaceOption) { o.Pid = api.NamespaceMode_NODE },
			"hostNamespaces:ipc":     func(o *api.NamespaceOption) { o.Ipc = api.NamespaceMode_NODE },
		} {
			t.Run(finding, func(t *testing.T) {
				p, err := c.pod(handler, options(change, "kube-system"))
				if err == nil {
					t.Error(p.remove())
				}
				wantRefusal(t, err, finding)
			})
		}
		t.Run("a rule for another namespace", func(t *testing.T) {
			p, err := c.pod("runclamp-own", options(network, "default"))
			if err == nil {
				t.Error(p.remove())
			}
			wantRefusal(t, err, "hostNamespaces:network")
		})
		t.Run("by a rule", func(t *testing.T) {
			p := newPodUnder(t, c, "runclamp-own", options(network, "kube-system"))
			pid := fmt.Sprint(c.pid(t, p.mustCreate(t, nil, asleep...)))
			for kind, shared := range map[string]bool{"net": true, "uts": true, "ipc": false, "pid": false, "mnt": false, "cgroup": false} {
				if got := namespaceOf(t, pid, kind) == namespaceOf(t, "self", kind); got != shared {
					t.Errorf("the host's %s namespace: %v, want %v", kind, got, shared)
				}
			}
		})
	})
}
