package apparmor_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"runclamp/enforce/apparmor"
)

// fakeHost is a machine whose kernel is a folder. What is written to its .replace stays there; the list of profiles is the test's.
func fakeHost(t *testing.T, list string) apparmor.Host {
	t.Helper()
	dir := t.TempDir()
	h := apparmor.Host{Sys: filepath.Join(dir, "sys"), Proc: filepath.Join(dir, "proc"), RunDir: filepath.Join(dir, "run"), Parsers: apparmor.ThisHost("").Parsers, Patience: time.Minute}
	for name, text := range map[string]string{
		"module/apparmor/parameters/enabled": "Y\n", "module/apparmor/parameters/mode": "enforce\n", "kernel/security/apparmor/profiles": list,
		"kernel/security/apparmor/.replace": "", "kernel/security/apparmor/.remove": "", "kernel/security/apparmor/features/mount/mask": "mount umount pivot_root\n",
		"kernel/security/apparmor/features/file/mask": "create read write exec append mmap_exec link lock\n", "kernel/security/apparmor/features/policy/versions/v8": "yes\n",
	} {
		file(t, filepath.Join(h.Sys, name), text)
	}
	return h
}

func file(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func (k kernel) taken(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(k.Sys, "kernel/security/apparmor/.replace"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

type kernel struct{ apparmor.Host }

func TestReadState(t *testing.T) {
	h := fakeHost(t, "docker-default (enforce)\na b (c) (complain)\nfirm (kill)\ncrun (unconfined)\n:lxd://docker-default (enforce)\nx//y (enforce)\nno mode\n")
	s, err := apparmor.ReadState(h.Sys)
	want := []apparmor.Loaded{{"docker-default", "enforce"}, {"a b (c)", "complain"}, {"firm", "kill"}, {"crun", "unconfined"}, {"x//y", "enforce"}}
	if err != nil || !s.Enabled || !s.Enforces() || !slices.Equal(s.Profiles, want) {
		t.Errorf("%+v, %v", s, err)
	}
	var enforced []string
	for _, p := range s.Profiles {
		if p.Enforced() {
			enforced = append(enforced, p.Name)
		}
	}
	if !slices.Equal(enforced, []string{"docker-default", "firm", "x//y"}) {
		t.Errorf("enforced: %q", enforced)
	}
	file(t, filepath.Join(h.Sys, "module/apparmor/parameters/mode"), "complain\n")
	if s, err := apparmor.ReadState(h.Sys); err != nil || s.Enforces() {
		t.Errorf("a kernel that complains: %+v, %v", s, err)
	}
	// None, or not to be read: whoever asks what confines a container has to know which.
	if s, err := apparmor.ReadState(fakeHost(t, "").Sys); err != nil || s.Profiles == nil || len(s.Profiles) > 0 {
		t.Errorf("a kernel without profiles: %+v, %v", s, err)
	}
	if err := os.RemoveAll(filepath.Join(h.Sys, "kernel")); err != nil {
		t.Fatal(err)
	}
	if s, err := apparmor.ReadState(h.Sys); err != nil || s.Profiles != nil {
		t.Errorf("without securityfs: %+v, %v", s, err)
	}
	for _, sys := range []string{t.TempDir(), "/nonexistent"} {
		if s, err := apparmor.ReadState(sys); err != nil || s.Enabled || s.Enforces() {
			t.Errorf("a kernel without it: %+v, %v", s, err)
		}
	}
}

// TestEnsure: compiled once for one text, parser and kernel; loaded only if need be; the outcome is looked at.
func TestEnsure(t *testing.T) {
	parserHost(t)
	p := must(t)(apparmor.Default())
	k := kernel{fakeHost(t, p.Name+" (enforce)\n")}
	if err := k.Ensure(p); err != nil || k.taken(t) != "" {
		t.Errorf("loaded already, and loaded again: %v", err)
	}
	if _, err := os.Stat(k.RunDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something is kept though nothing was done: %v", err)
	}
	profiles := filepath.Join(k.Sys, "kernel/security/apparmor/profiles")
	file(t, profiles, "")
	if err := k.Ensure(p); err == nil || !strings.Contains(err.Error(), "the kernel does not list it") {
		t.Errorf("the kernel took it and does not list it: %v", err)
	}
	if !strings.Contains(k.taken(t), p.Name) {
		t.Error("what the kernel got is not the profile")
	}
	file(t, profiles, p.Name+" (complain)\n")
	if err := k.Ensure(p); err == nil || !strings.Contains(err.Error(), "is in mode complain") {
		t.Errorf("in complain mode: %v", err)
	}
	kept, err := filepath.Glob(filepath.Join(k.RunDir, "apparmor", "compiled-*"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept: %q, %v", kept, err)
	}
	// What is kept is what is loaded, for this kernel alone.
	file(t, kept[0], "kept")
	file(t, filepath.Join(k.Sys, "kernel/security/apparmor/.replace"), "")
	if err := k.Load(p); err == nil || k.taken(t) != "kept" {
		t.Errorf("compiled again: %v", err)
	}
	file(t, filepath.Join(k.Sys, "kernel/security/apparmor/features/ptrace/mask"), "read trace\n")
	file(t, filepath.Join(k.Sys, "kernel/security/apparmor/.replace"), "")
	if err := k.Load(p); err == nil || k.taken(t) == "kept" {
		t.Errorf("another kernel gets what was compiled for this one: %v", err)
	}
}

// TestEnsureOwn: a profile with a name of its own is loaded again when its text has changed.
func TestEnsureOwn(t *testing.T) {
	parserHost(t)
	k := kernel{fakeHost(t, "site (enforce)\n")}
	replace := filepath.Join(k.Sys, "kernel/security/apparmor/.replace")
	for _, tt := range []struct {
		text   string
		loaded bool
	}{{"profile site {\n}\n", true}, {"profile site {\n}\n", false}, {"profile site {\n  file,\n}\n", true}, {"profile site {\n}\n", true}} {
		file(t, replace, "")
		err := k.Ensure(apparmor.Profile{Name: "site", Text: tt.text})
		if got := k.taken(t) != ""; err != nil || got != tt.loaded {
			t.Errorf("%q: loaded %v, want %v: %v", tt.text, got, tt.loaded, err)
		}
	}
}

func TestEnsureFails(t *testing.T) {
	parserHost(t)
	good := must(t)(apparmor.Default())
	for name, tt := range map[string]struct {
		profile apparmor.Profile
		change  func(*apparmor.Host)
		want    string
	}{
		"no parser":      {good, func(h *apparmor.Host) { h.Parsers = []string{"/nonexistent/p"} }, "there is no apparmor_parser at /nonexistent/p: install it"},
		"a broken one":   {apparmor.Profile{Name: "site", Text: "profile site {\n  file,\n  no such rule,\n}\n"}, nil, "line 3"},
		"another name":   {apparmor.Profile{Name: "site", Text: "profile other {\n}\n"}, nil, "it has the profiles other, and site alone was wanted"},
		"one besides":    {apparmor.Profile{Name: "site", Text: "profile site {\n}\n/bin/other {\n}\n"}, nil, "and site alone was wanted"},
		"nothing":        {apparmor.Profile{Name: "site", Text: ""}, nil, "and site alone was wanted"},
		"no securityfs":  {good, func(h *apparmor.Host) { os.RemoveAll(filepath.Join(h.Sys, "kernel")) }, "what the kernel mediates"},
		"not to be read": {good, func(h *apparmor.Host) { os.Remove(filepath.Join(h.Sys, "kernel/security/apparmor/.replace")) }, "is securityfs mounted?"},
		"no time":        {good, func(h *apparmor.Host) { h.Patience = -time.Second }, "apparmor_parser took too long"},
		"anybody's folder": {good, func(h *apparmor.Host) {
			os.Mkdir(h.RunDir, 0o755)
			os.Chmod(h.RunDir, 0o777)
		}, "must be a folder that nobody but root can write"},
	} {
		t.Run(name, func(t *testing.T) {
			h := fakeHost(t, "")
			if tt.change != nil {
				tt.change(&h)
			}
			if err := h.Ensure(tt.profile); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

func TestUsers(t *testing.T) {
	h := fakeHost(t, "")
	for pid, label := range map[string]string{"1": "unconfined\n", "2": "site (enforce)\n", "3": "other//&site (enforce)\n", "4": "site//child (enforce)\n", "5": "sites (enforce)\n", "self": "site (enforce)\n"} {
		file(t, filepath.Join(h.Proc, pid, "attr/apparmor/current"), label)
	}
	file(t, filepath.Join(h.Proc, "6", "attr/current"), "site (complain)\n")
	users, err := h.Users("site")
	slices.Sort(users)
	if err != nil || !slices.Equal(users, []string{"2", "3", "4", "6"}) {
		t.Errorf("%q, %v", users, err)
	}
}
