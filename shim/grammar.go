package shim

// flag is one flag of the delegate's command line.
type flag struct {
	name, short string
	// value: it takes one; otherwise it is true or false.
	value bool
	// many: it may stand more than once. Of any other flag that stands twice, runc takes the last; nobody who reads the
	// command line sees that at a glance, so it is refused.
	many bool
}

// command is one verb that is taken apart before it is handed over.
type command struct {
	flags []flag
	// words: behind the container's ID stand the words of a command, which are not ours to read.
	words bool
}

// globalFlags stand before the verb. The tables are the union of runc 1.1 to 1.5 (main.go and one file a verb there); a
// delegate that does not have a flag says so itself. A test holds them against the --help of a real runc.
func globalFlags() []flag {
	return []flag{
		{name: "debug"}, {name: "log", value: true}, {name: "log-format", value: true}, {name: "root", value: true},
		{name: "criu", value: true}, {name: "systemd-cgroup"}, {name: "rootless", value: true},
	}
}

// intercepted are the verbs that runclamp has a say in.
func intercepted(verb string) (command, bool) {
	bundle := flag{name: "bundle", short: "b", value: true}
	consoleSocket, pidfdSocket := flag{name: "console-socket", value: true}, flag{name: "pidfd-socket", value: true}
	pidFile, preserveFDs := flag{name: "pid-file", value: true}, flag{name: "preserve-fds", value: true}
	detach := flag{name: "detach", short: "d"}
	noPivot, noNewKeyring, noSubreaper := flag{name: "no-pivot"}, flag{name: "no-new-keyring"}, flag{name: "no-subreaper"}
	criu := []flag{
		{name: "image-path", value: true}, {name: "work-path", value: true}, {name: "tcp-established"}, {name: "ext-unix-sk"},
		{name: "shell-job"}, {name: "file-locks"}, {name: "manage-cgroups-mode", value: true},
		{name: "empty-ns", value: true, many: true}, {name: "auto-dedup"}, {name: "lazy-pages"},
	}
	switch verb {
	case "create":
		return command{flags: []flag{bundle, consoleSocket, pidfdSocket, pidFile, noPivot, noNewKeyring, preserveFDs}}, true
	case "run":
		return command{flags: []flag{bundle, consoleSocket, pidfdSocket, detach, {name: "keep"}, pidFile, noSubreaper, noPivot, noNewKeyring, preserveFDs}}, true
	case "start":
		return command{}, true
	case "exec":
		return command{words: true, flags: []flag{
			consoleSocket, pidfdSocket, {name: "cwd", value: true}, {name: "env", short: "e", value: true, many: true},
			{name: "tty", short: "t"}, {name: "user", short: "u", value: true}, {name: "additional-gids", short: "g", value: true, many: true},
			{name: "process", short: "p", value: true}, detach, pidFile, {name: "process-label", value: true},
			{name: "apparmor", value: true}, {name: "no-new-privs"}, {name: "cap", short: "c", value: true, many: true},
			preserveFDs, {name: "cgroup", value: true, many: true}, {name: "ignore-paused"},
		}}, true
	case "restore":
		return command{flags: append(criu, bundle, consoleSocket, detach, pidFile, noSubreaper, noPivot,
			flag{name: "lsm-profile", value: true}, flag{name: "lsm-mount-context", value: true})}, true
	case "checkpoint":
		return command{flags: append(criu, flag{name: "parent-path", value: true}, flag{name: "leave-running"},
			flag{name: "tcp-skip-in-flight"}, flag{name: "link-remap"}, flag{name: "status-fd", value: true},
			flag{name: "page-server", value: true}, flag{name: "pre-dump"})}, true
	}
	return command{}, false
}

// passed are the verbs that go straight to the delegate.
func passed(verb string) bool {
	switch verb {
	case "state", "kill", "delete", "list", "ps", "events", "pause", "resume", "update", "features", "spec", "help", "h":
		return true
	}
	return false
}

func find(flags []flag, name string) (flag, bool) {
	for _, f := range flags {
		if name == f.name || name == f.short && name != "" {
			return f, true
		}
	}
	return flag{}, false
}
