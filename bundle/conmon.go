package bundle

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// maxCommand is the most that a command line may have to be looked at. Podman's for conmon has 2 KiB.
const maxCommand = 256 << 10

// ParentCommand is the command line of the process that called us. Nil if it can't be told: it has ended, or is in a PID
// namespace above ours.
func ParentCommand() []string {
	pid := os.Getppid()
	f, err := os.Open(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if err != nil {
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(f, maxCommand+1))
	// If it had ended while we looked, its PID could be another's by now, and we would be somebody else's child.
	if err := errors.Join(err, f.Close()); err != nil || len(data) > maxCommand || os.Getppid() != pid {
		return nil
	}
	return splitCommand(data)
}

// splitCommand takes /proc/PID/cmdline apart (proc_pid_cmdline(5)): each word ends with a NUL byte.
func splitCommand(data []byte) []string {
	data, ok := bytes.CutSuffix(data, []byte{0})
	if !ok {
		return nil
	}
	return strings.Split(string(data), "\x00")
}

// conmonFlag is a flag of conmon's command line.
type conmonFlag struct {
	name  string
	value bool
}

// conmonFlags are those of conmon 2.0 to 2.2 (src/cli.c). A user of Podman chooses the values of some (--pidfile, --name,
// --log-opt tag), so what is a flag and what is a value must be exact. --api-version takes none: the 1 that Podman writes
// behind it is a word that conmon ignores.
func conmonFlags() map[string]conmonFlag {
	flags := map[string]conmonFlag{}
	for _, name := range strings.Fields(`api-version exec exec-attach full-attach leave-stdin-open no-container-partial-message
		no-new-keyring no-pivot no-sync-log replace-listen-pid stdin sync syslog systemd-cgroup terminal version`) {
		flags["--"+name] = conmonFlag{name: name}
	}
	for _, name := range strings.Fields(`bundle cid conmon-pidfile container-pidfile cuuid exec-process-spec exit-command
		exit-command-arg exit-delay exit-dir healthcheck-arg healthcheck-cmd healthcheck-interval healthcheck-retries
		healthcheck-start-period healthcheck-timeout log-global-size-max log-label log-level log-path log-size-max log-tag name
		persist-dir pidfile restore restore-arg runtime runtime-arg runtime-opt sdnotify-socket seccomp-notify-plugins
		seccomp-notify-socket socket-dir-path timeout`) {
		flags["--"+name] = conmonFlag{name: name, value: true}
	}
	for _, pair := range strings.Fields(`t=terminal i=stdin c=cid u=cuuid n=name r=runtime b=bundle 0=persist-dir
		p=container-pidfile P=conmon-pidfile s=systemd-cgroup e=exec l=log-path T=timeout`) {
		short, name, _ := strings.Cut(pair, "=")
		flags["-"+short] = flags["--"+name]
	}
	return flags
}

// parseConmon takes conmon's command line apart, as GLib does: the values of each flag, by its long name. Not ok: there is a
// flag that is not in the table, or a form that no engine uses, and so nothing in it is certain.
func parseConmon(argv []string) (values map[string][]string, ok bool) {
	if len(argv) == 0 {
		return nil, false
	}
	known := conmonFlags()
	values = map[string][]string{}
	for words := argv[1:]; len(words) > 0; {
		word, value, joined := words[0], "", false
		words = words[1:]
		if !strings.HasPrefix(word, "-") {
			continue
		}
		if strings.HasPrefix(word, "--") {
			word, value, joined = strings.Cut(word, "=")
		}
		f, ok := known[word]
		switch {
		case !ok || joined && !f.value:
			return nil, false
		case f.value && !joined:
			if len(words) == 0 {
				return nil, false
			}
			value, words = words[0], words[1:]
		}
		values[f.name] = append(values[f.name], value)
	}
	return values, true
}

// calledByConmonrs: conmon-rs is one process for a pod, and only CRI-O starts it. It hears of the containers by another way
// than its command line (cri-o, internal/oci/runtime_pod.go), which has the sandbox's folder in CRI-O's storage.
func calledByConmonrs(argv []string) bool {
	if len(argv) == 0 || filepath.Base(argv[0]) != "conmonrs" {
		return false
	}
	for i, word := range argv[1:] {
		if word == "--runtime-dir" && i+2 < len(argv) {
			dir := filepath.Clean(argv[i+2])
			return filepath.Base(dir) == "userdata" && strings.HasSuffix(filepath.Dir(filepath.Dir(dir)), "-containers")
		}
	}
	return false
}
