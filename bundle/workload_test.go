package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// identityCase is a container as an engine presents it, and who it is. Note says where it comes from.
type identityCase struct {
	Note, Root, Bundle, ID string
	Parent                 []string
	// Config is a configuration, or the name of one in enforce/testdata/engines.
	Config json.RawMessage
	// Records are the engine's own files. A path that ends with / is a folder.
	Records map[string]json.RawMessage
	Want    policy.Workload
	Labels  map[string]string

	spec *specs.Spec
}

// identityCases reads all cases. Where there are records, the engine's folders are moved into a temporary one.
func identityCases(t testing.TB) map[string]identityCase {
	t.Helper()
	paths, err := filepath.Glob("testdata/identity/*.json")
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]identityCase{}
	for _, p := range paths {
		text := mustRead(t, p)
		var probe identityCase
		mustDecode(t, text, &probe)
		var name string
		if json.Unmarshal(probe.Config, &name) == nil {
			probe.Config = mustRead(t, filepath.Join("../enforce/testdata/engines", name))
		}
		if len(probe.Records) > 0 {
			text, probe.Config = moved(t, text, probe.Config)
		}
		var c identityCase
		mustDecode(t, text, &c)
		mustDecode(t, probe.Config, &c.spec)
		cases[strings.TrimSuffix(filepath.Base(p), ".json")] = c
	}
	if len(cases) == 0 {
		t.Fatal("no cases in testdata/identity")
	}
	return cases
}

func moved(t testing.TB, text, config []byte) ([]byte, []byte) {
	dir := t.TempDir()
	r := strings.NewReplacer(`"/var/lib/`, `"`+dir+"/var/lib/", `"/run/containers/`, `"`+dir+"/run/containers/")
	return []byte(r.Replace(string(text))), []byte(r.Replace(string(config)))
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func mustDecode(t testing.TB, text []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatalf("%v: %.200s", err, text)
	}
}

func (c identityCase) writeRecords(t testing.TB) {
	t.Helper()
	for path, text := range c.Records {
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if !strings.HasSuffix(path, "/") {
			err = errors.Join(err, os.WriteFile(path, text, 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (c identityCase) identify() policy.Workload {
	b := &Bundle{Path: c.Bundle}
	return b.Identify(&Config{Spec: c.spec}, c.Root, c.ID, func() []string { return c.Parent })
}

func TestIdentify(t *testing.T) {
	for name, c := range identityCases(t) {
		t.Run(name, func(t *testing.T) {
			c.writeRecords(t)
			got := c.identify()
			want := c.Want
			want.Annotations = c.spec.Annotations
			if !maps.Equal(got.Labels, c.Labels) {
				t.Errorf("labels: got %q, want %q", got.Labels, c.Labels)
			}
			got.Labels = nil
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s\ngot  %+v\nwant %+v", c.Note, got, want)
			}
		})
	}
}

// facts is a workload without what its user chooses.
func facts(w policy.Workload) policy.Workload {
	w.Image, w.Name, w.Labels, w.Annotations = "", "", nil, nil
	return w
}

// TestFactsAreNotTheUsers: whatever the user of an engine chooses, the facts stay.
func TestFactsAreNotTheUsers(t *testing.T) {
	for name, c := range identityCases(t) {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, uint64(len(name))))
			want := facts(c.Want)
			for range 100 {
				u := c.asUserLikes(t, r)
				u.writeRecords(t)
				if got := facts(u.identify()); !reflect.DeepEqual(got, want) {
					t.Fatalf("got  %+v\nwant %+v\nparent %q\nannotations %q", got, want, u.Parent, u.spec.Annotations)
				}
			}
		})
	}
}

// asUserLikes changes what the user of the case's engine can choose.
func (c identityCase) asUserLikes(t testing.TB, r *rand.Rand) identityCase {
	t.Helper()
	spec := *c.spec
	spec.Hostname = word(r)
	spec.Process = &specs.Process{Env: []string{"HOSTNAME=" + word(r), word(r)}}
	spec.Annotations = maps.Clone(spec.Annotations)
	if spec.Annotations == nil {
		spec.Annotations = map[string]string{}
	}
	engines := c.engineKeys()
	for key := range spec.Annotations {
		if !slices.Contains(engines, key) && r.IntN(2) == 0 {
			delete(spec.Annotations, key)
		}
	}
	for range r.IntN(8) {
		if key := word(r); !slices.Contains(engines, key) {
			spec.Annotations[key] = word(r)
		}
	}
	spec.Mounts = slices.Clone(spec.Mounts)
	for range r.IntN(3) {
		// Docker makes up the container's ID when the user has said this.
		other := strings.Repeat("e", 64)
		spec.Mounts = append(spec.Mounts, specs.Mount{Destination: word(r), Source: filepath.Join("/var/lib", word(r), "containers", other, "hosts")},
			specs.Mount{Destination: "/etc/hosts", Source: filepath.Join("/", word(r), "containers", other, "hosts")})
	}
	c.spec = &spec

	c.Parent = slices.Clone(c.Parent)
	for i, w := range c.Parent[:max(0, len(c.Parent)-1)] {
		// podman run --name --pidfile --log-opt path= --log-opt tag=
		if slices.Contains([]string{"-n", "-p", "-l", "--log-tag"}, w) && c.Want.Engine == policy.Podman {
			c.Parent[i+1] = word(r)
		}
	}
	records := map[string]json.RawMessage{}
	for path, text := range c.Records {
		records[path] = recordAsUserLikes(t, r, path, text)
	}
	c.Records = records
	return c
}

// recordAsUserLikes changes the names and labels in an engine's record.
func recordAsUserLikes(t testing.TB, r *rand.Rand, path string, text json.RawMessage) json.RawMessage {
	t.Helper()
	var record any
	switch filepath.Base(path) {
	case "config.v2.json":
		docker := map[string]any{}
		mustDecode(t, text, &docker)
		docker["Name"] = "/" + word(r)
		docker["Config"] = map[string]any{"Image": word(r), "Labels": map[string]string{word(r): word(r), "Image": word(r)}}
		record = docker
	case "containers.json", "volatile-containers.json":
		var storage []map[string]any
		mustDecode(t, text, &storage)
		for _, s := range storage {
			metadata, err := json.Marshal(map[string]string{"image-name": word(r), "name": word(r)})
			if err != nil {
				t.Fatal(err)
			}
			s["names"], s["metadata"] = []string{word(r)}, string(metadata)
		}
		record = storage
	default:
		return text
	}
	changed, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

// engineKeys are the annotations that the case's engine writes over whatever its user brought.
func (c identityCase) engineKeys() []string {
	labels := []string{"io.kubernetes.pod.namespace", "io.kubernetes.pod.name", "io.kubernetes.container.name"}
	cri := []string{"io.kubernetes.cri.container-type", "io.kubernetes.cri.sandbox-namespace", "io.kubernetes.cri.sandbox-name"}
	own := []string{"io.kubernetes.cri-o.ImageRef", "io.kubernetes.cri-o.Image", "io.kubernetes.cri-o.ContainerType"}
	isCRIO := strings.HasSuffix(c.Bundle, "/userdata")
	switch {
	case c.Want.Engine != policy.Kubernetes:
		return nil
	case c.Want.Namespace == "":
		return cri[:1] // it is no pod's, by ctr in the CRI's namespace: without a type it stays so
	case isCRIO && c.Want.Kind == policy.Sandbox:
		return labels
	case isCRIO:
		return append(labels, own...)
	case c.Want.Kind == policy.Sandbox:
		return cri
	default:
		return append(cri, "io.kubernetes.cri.container-name", "io.kubernetes.cri.image-name")
	}
}

// word is what a user might write anywhere: to be taken for an engine, or for something else.
func word(r *rand.Rand) string {
	words := []string{
		"", "a", "web", "POD", "sandbox", "container", "kube-system", "podman", "cri-o", "libpod", "true", "moby", "k8s.io",
		"--exit-command", "--exit-dir", "--exit-dir=/var/run/crio/exits", "--exit-command-arg", "--runroot", "-b", "-c", "--",
		"sha256:" + strings.Repeat("0", 64), strings.Repeat("0", 64), "/../..", "/etc/hosts", "/etc/hostname", "/var/lib/docker",
		"io.kubernetes.cri.container-type", "io.kubernetes.cri.sandbox-namespace", "io.kubernetes.cri.sandbox-name",
		"io.kubernetes.cri.container-name", "io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ContainerType",
		"io.kubernetes.cri-o.Namespace", "io.kubernetes.cri-o.KubeName", "io.kubernetes.cri-o.ImageRef",
		"io.kubernetes.cri-o.Image", "io.kubernetes.cri-o.Labels", "io.kubernetes.pod.namespace", "io.kubernetes.pod.name",
		"io.kubernetes.container.name", "io.container.manager", "io.podman.annotations.infra", `{"a":"b"}`, "\x00", "ſ",
	}
	return words[r.IntN(len(words))]
}

// TestRecordsOfOthers: a record that somebody else could have written is none.
func TestRecordsOfOthers(t *testing.T) {
	const id = "c1"
	text := []byte(`{"ID":"c1","Image":"sha256:` + strings.Repeat("a", 64) + `"}`)
	for _, tt := range []struct {
		name    string
		arrange func(dir, file string) error
		known   bool
	}{
		{"its own", func(_, _ string) error { return nil }, true},
		{"others write it", func(_, file string) error { return os.Chmod(file, 0o622) }, false},
		{"others write its folder", func(dir, _ string) error { return os.Chmod(dir, 0o777) }, false},
		{"a link", func(_, file string) error { return errors.Join(os.Rename(file, file+"x"), os.Symlink(file+"x", file)) }, false},
		{"its folder is a link", func(dir, _ string) error { return errors.Join(os.Rename(dir, dir+"x"), os.Symlink(dir+"x", dir)) }, false},
		{"a FIFO", func(_, file string) error { return errors.Join(os.Remove(file), unix.Mkfifo(file, 0o600)) }, false},
		{"large", func(_, file string) error { return os.Truncate(file, maxDockerRecord+1) }, false},
		{"not JSON", func(_, file string) error { return os.WriteFile(file, text[1:], 0o600) }, false},
		{"gone", func(dir, _ string) error { return os.RemoveAll(dir) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			dir := filepath.Join(root, "containers", id)
			file := filepath.Join(dir, "config.v2.json")
			if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(file, text, 0o600), tt.arrange(dir, file)); err != nil {
				t.Fatal(err)
			}
			var w policy.Workload
			docker(&w, &specs.Spec{Root: &specs.Root{Path: filepath.Join(root, "overlay2/layer/merged")}}, id)
			if known := w.ImageDigest != ""; known != tt.known {
				t.Errorf("the image is %q", w.ImageDigest)
			}
		})
	}
}

func TestRecordsOfOtherUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("left out: only root can give a file away (make test runs as root)")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "x")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Chown(file, 12345, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := readOwn(dir, "x", 1<<10); !errors.Is(err, errNotOwn) {
		t.Errorf("another user's file: %v", err)
	}
	if err := errors.Join(os.Chown(file, 0, 0), os.Chown(dir, 12345, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := readOwn(dir, "x", 1<<10); !errors.Is(err, errNotOwn) {
		t.Errorf("another user's folder: %v", err)
	}
}

func TestParseConmon(t *testing.T) {
	for _, tt := range []struct {
		argv string
		want string // "" if it isn't certain
	}{
		{"conmon -b /b -c id", "map[bundle:[/b] cid:[id]]"},
		{"conmon --bundle=/b --cid id -t -s --syslog", "map[bundle:[/b] cid:[id] syslog:[] systemd-cgroup:[] terminal:[]]"},
		{"conmon --api-version 1 -c id", "map[api-version:[] cid:[id]]"},
		{"conmon -p --exit-command -n --exit-dir", "map[container-pidfile:[--exit-command] name:[--exit-dir]]"},
		{"conmon --log-tag --exit-command --exit-command=podman", "map[exit-command:[podman] log-tag:[--exit-command]]"},
		{"conmon", "map[]"},
		{"", ""},
		{"conmon -c", ""},
		{"conmon --syslog=x", ""},
		{"conmon --no-such", ""},
		{"conmon -cid", ""},
		{"conmon -- -c", ""},
		{"conmon -", ""},
	} {
		got, ok := parseConmon(strings.Fields(tt.argv))
		for k, values := range got {
			if slices.Equal(values, []string{""}) {
				got[k] = nil
			}
		}
		if text := fmt.Sprint(got); ok != (tt.want != "") || ok && text != tt.want {
			t.Errorf("%s: %s, %v", tt.argv, text, ok)
		}
	}
}

func TestParentCommand(t *testing.T) {
	want := mustRead(t, fmt.Sprintf("/proc/%d/cmdline", os.Getppid()))
	got := ParentCommand()
	if len(got) == 0 || strings.Join(got, "\x00")+"\x00" != string(want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for text, want := range map[string][]string{
		"a\x00\x00b\x00": {"a", "", "b"}, "\x00": {""}, "": nil, "a": nil,
	} {
		if got := splitCommand([]byte(text)); !slices.Equal(got, want) {
			t.Errorf("%q gives %q", text, got)
		}
	}
}

// FuzzIdentify: whatever comes in, it gets an answer, and annotations are facts only where Kubernetes wrote them.
func FuzzIdentify(f *testing.F) {
	for _, c := range identityCases(f) {
		text, err := json.Marshal(c.spec.Annotations)
		if err != nil {
			f.Fatal(err)
		}
		path := ""
		if c.spec.Root != nil {
			path = c.spec.Root.Path
		}
		f.Add(c.Root, c.Bundle, c.ID, strings.Join(c.Parent, "\x00"), path, text)
	}
	f.Fuzz(func(t *testing.T, root, bundle, id, parent, path string, annotations []byte) {
		c := identityCase{Root: root, Bundle: bundle, ID: id, Parent: splitCommand([]byte(parent + "\x00")),
			spec: &specs.Spec{Root: &specs.Root{Path: path}}}
		without := facts(c.identify())
		if json.Unmarshal(annotations, &c.spec.Annotations) != nil {
			return
		}
		w := c.identify()
		if w.Engine == "" || w.ImageDigest != "" && digestOf(w.ImageDigest) == "" {
			t.Fatalf("%+v", w)
		}
		if w.Engine != policy.Kubernetes && !reflect.DeepEqual(facts(w), without) {
			t.Fatalf("annotations changed %+v to %+v", without, w)
		}
		if w.Engine != without.Engine {
			t.Fatalf("annotations changed the engine %s to %s", without.Engine, w.Engine)
		}
		if w.Kind == policy.Sandbox && w.Container != "" {
			t.Fatalf("a sandbox has a container's name: %+v", w)
		}
	})
}
