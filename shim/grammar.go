package shim

import "runclamp/bundle"

// flag is one flag of the delegate's command line.
type flag struct {
	name, short string
	// value: it takes one; otherwise it is true or false.
	value bool
	// many: it may stand more than once. Of any other flag that stands twice, runc takes the last; nobody who reads the
	// command line sees that at a glance, so it is refused.
	many bool
	// written: it is true or false, and may say so (--tty=false). All of runc's may (Dialect.argp).
	written bool
}

// command is what may follow one verb.
type command struct {
	flags []flag
	// min and max are how many operands it takes; unlimited is no maximum. The first is the container's ID, if it takes any.
	min, max int
	// words: what follows the ID is another program's, and is taken as it stands. runc then leaves the order of words alone
	// (SkipArgReorder). Of all other verbs it also takes flags behind the operands, which ParseVerb does not.
	words bool
}

const unlimited = -1

// Runc is runc's dialect. The tables are the union of runc 1.1 to 1.5 (main.go and one file a verb there; the same in 1.1.5,
// 1.2.9, 1.3.4, 1.4.0 and 1.5.2 but for the versions that are named here). A delegate that does not have a flag says so itself. A
// test holds them against the --help of a real runc, which leaves out a few hidden flags.
func Runc() Dialect {
	return Dialect{
		Name: "runc", versions: "runc 1.1 to 1.5",
		global: []flag{
			{name: "debug"}, {name: "log", value: true}, {name: "log-format", value: true}, {name: "root", value: true},
			{name: "systemd-cgroup"}, {name: "rootless", value: true},
			{name: "criu", value: true}, // up to 1.3; hidden since 1.2
		},
		verbs: []string{
			"checkpoint", "create", "delete", "events", "exec", "features", "h", "help", "kill", "list", "pause", "ps", "restore",
			"resume", "run", "spec", "start", "state", "update",
		},
		grammar:     runcGrammar,
		passed:      []string{"state", "kill", "delete", "list", "ps", "events", "pause", "resume", "features", "spec", "help", "h"},
		ofContainer: bundle.OfContainer,
	}
}

// runcGrammar is what may follow a verb. It does not say whether runclamp has a say in it (Dialect.passed).
func runcGrammar(verb string) (command, bool) {
	bundle := flag{name: "bundle", short: "b", value: true}
	consoleSocket := flag{name: "console-socket", value: true}
	pidfdSocket := flag{name: "pidfd-socket", value: true} // since 1.2
	pidFile, preserveFDs := flag{name: "pid-file", value: true}, flag{name: "preserve-fds", value: true}
	detach := flag{name: "detach", short: "d"}
	format := flag{name: "format", short: "f", value: true}
	noPivot, noNewKeyring, noSubreaper := flag{name: "no-pivot"}, flag{name: "no-new-keyring"}, flag{name: "no-subreaper"}
	criu := []flag{
		{name: "image-path", value: true}, {name: "work-path", value: true}, {name: "tcp-established"}, {name: "ext-unix-sk"},
		{name: "shell-job"}, {name: "file-locks"}, {name: "manage-cgroups-mode", value: true},
		{name: "empty-ns", value: true, many: true}, {name: "auto-dedup"}, {name: "lazy-pages"},
	}
	one := func(flags ...flag) (command, bool) { return command{flags: flags, min: 1, max: 1}, true }
	switch verb {
	case "create":
		return one(bundle, consoleSocket, pidfdSocket, pidFile, noPivot, noNewKeyring, preserveFDs)
	case "run":
		return one(bundle, consoleSocket, pidfdSocket, detach, flag{name: "keep"}, pidFile, noSubreaper, noPivot, noNewKeyring, preserveFDs)
	case "start", "state", "pause", "resume":
		return one()
	case "exec":
		return command{min: 1, max: unlimited, words: true, flags: []flag{
			consoleSocket, pidfdSocket, {name: "cwd", value: true}, {name: "env", short: "e", value: true, many: true},
			{name: "tty", short: "t"}, {name: "user", short: "u", value: true}, {name: "additional-gids", short: "g", value: true, many: true},
			{name: "process", short: "p", value: true}, detach, pidFile, {name: "process-label", value: true},
			{name: "apparmor", value: true}, {name: "no-new-privs"}, {name: "cap", short: "c", value: true, many: true},
			preserveFDs, {name: "cgroup", value: true, many: true}, {name: "ignore-paused"},
		}}, true
	case "update":
		return one(flag{name: "resources", short: "r", value: true}, flag{name: "blkio-weight", value: true},
			flag{name: "cpu-period", value: true}, flag{name: "cpu-quota", value: true}, flag{name: "cpu-share", value: true},
			flag{name: "cpu-rt-period", value: true}, flag{name: "cpu-rt-runtime", value: true},
			flag{name: "cpu-burst", value: true}, flag{name: "cpu-idle", value: true}, // since 1.2
			flag{name: "cpuset-cpus", value: true}, flag{name: "cpuset-mems", value: true},
			flag{name: "kernel-memory", value: true}, flag{name: "kernel-memory-tcp", value: true}, // hidden
			flag{name: "memory", value: true}, flag{name: "memory-reservation", value: true}, flag{name: "memory-swap", value: true},
			flag{name: "pids-limit", value: true}, flag{name: "l3-cache-schema", value: true}, flag{name: "mem-bw-schema", value: true})
	case "restore":
		return one(append(criu, bundle, consoleSocket, detach, pidFile, noSubreaper, noPivot,
			flag{name: "lsm-profile", value: true}, flag{name: "lsm-mount-context", value: true})...)
	case "checkpoint":
		return one(append(criu, flag{name: "parent-path", value: true}, flag{name: "leave-running"},
			flag{name: "status-fd", value: true}, flag{name: "page-server", value: true}, flag{name: "pre-dump"},
			flag{name: "tcp-skip-in-flight"}, flag{name: "link-remap"})...) // these two since 1.3
	case "delete":
		return one(flag{name: "force", short: "f"})
	case "events":
		return one(flag{name: "interval", value: true}, flag{name: "stats"})
	case "kill":
		return command{min: 1, max: 2, flags: []flag{{name: "all", short: "a"}}}, true // the flag is hidden since 1.2
	case "ps":
		return command{min: 1, max: unlimited, words: true, flags: []flag{format}}, true
	case "list":
		return command{flags: []flag{format, {name: "quiet", short: "q"}}}, true
	case "spec":
		return command{flags: []flag{bundle, {name: "rootless"}}}, true
	case "features":
		return command{}, true
	case "help", "h":
		return command{max: 1}, true
	}
	return command{}, false
}

func find(flags []flag, name string) (flag, bool) {
	for _, f := range flags {
		if name == f.name || name == f.short && name != "" {
			return f, true
		}
	}
	return flag{}, false
}
