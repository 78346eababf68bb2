package shim

import "runclamp/bundle"

// Crun is crun's dialect. The tables are the union of crun 1.8.1 and 1.21 (src/crun.c and one file a verb there), which is what
// distributions have between them. A test holds them against the --help of a real crun.
//
// crun reads flags by argp (argp.h, with ARGP_IN_ORDER) and so by getopt_long(3): a long name may be cut short as long as no other
// begins with it, short ones may stand together with a value behind them (-dp/file, where "-p=/file" is the file "=/file"), and
// a single dash never begins a long one. Of all of these ParseVerb takes none.
func Crun() Dialect {
	return Dialect{
		Name: "crun", versions: "crun 1.8 to 1.21",
		global: []flag{
			{name: "debug"}, {name: "log", value: true}, {name: "log-format", value: true}, {name: "root", value: true},
			{name: "systemd-cgroup"}, {name: "cgroup-manager", value: true}, {name: "rootless", value: true},
			{name: "log-level", value: true}, // not in 1.8.1
		},
		verbs: []string{
			"checkpoint", "create", "delete", "exec", "features", "kill", "list", "pause", "ps", "restore", "resume", "run", "spec",
			"start", "state", "update",
		},
		grammar:     crunGrammar,
		passed:      []string{"state", "kill", "delete", "list", "ps", "pause", "resume", "features", "spec"},
		argp:        true,
		ofContainer: bundle.OfCrunContainer,
	}
}

// crunGrammar is what may follow a verb of crun's.
func crunGrammar(verb string) (command, bool) {
	bundle := flag{name: "bundle", short: "b", value: true}
	consoleSocket := flag{name: "console-socket", value: true}
	pidFile, preserveFDs := flag{name: "pid-file", value: true}, flag{name: "preserve-fds", value: true}
	detach := flag{name: "detach", short: "d"}
	format := flag{name: "format", short: "f", value: true}
	noPivot, noNewKeyring, noSubreaper := flag{name: "no-pivot"}, flag{name: "no-new-keyring"}, flag{name: "no-subreaper"}
	criu := []flag{
		{name: "image-path", value: true}, {name: "work-path", value: true}, {name: "tcp-established"}, {name: "ext-unix-sk"},
		{name: "shell-job"}, {name: "file-locks"}, {name: "manage-cgroups-mode", value: true},
	}
	one := func(flags ...flag) (command, bool) { return command{flags: flags, min: 1, max: 1}, true }
	switch verb {
	case "create":
		return one(bundle, consoleSocket, pidFile, noSubreaper, noPivot, noNewKeyring, preserveFDs)
	case "run":
		return one(bundle, consoleSocket, detach, flag{name: "keep"}, pidFile, noSubreaper, noPivot, noNewKeyring, preserveFDs)
	case "start", "state", "pause", "resume":
		return one()
	case "exec":
		return command{min: 1, max: unlimited, words: true, flags: []flag{
			consoleSocket, {name: "cwd", value: true}, {name: "env", short: "e", value: true, many: true},
			{name: "tty", short: "t", written: true}, {name: "user", short: "u", value: true},
			{name: "process", short: "p", value: true}, detach, pidFile, {name: "process-label", value: true},
			{name: "apparmor", value: true}, {name: "no-new-privs"}, {name: "cap", short: "c", value: true, many: true},
			preserveFDs, {name: "cgroup", value: true},
		}}, true
	case "update":
		return one(flag{name: "resources", short: "r", value: true}, flag{name: "blkio-weight", value: true},
			flag{name: "cpu-period", value: true}, flag{name: "cpu-quota", value: true}, flag{name: "cpu-share", value: true},
			flag{name: "cpu-rt-period", value: true}, flag{name: "cpu-rt-runtime", value: true},
			flag{name: "cpuset-cpus", value: true}, flag{name: "cpuset-mems", value: true},
			flag{name: "kernel-memory", value: true}, flag{name: "kernel-memory-tcp", value: true},
			flag{name: "memory", value: true}, flag{name: "memory-reservation", value: true}, flag{name: "memory-swap", value: true},
			flag{name: "pids-limit", value: true}, flag{name: "l3-cache-schema", value: true}, flag{name: "mem-bw-schema", value: true})
	case "restore":
		return one(append(criu, bundle, consoleSocket, detach, pidFile,
			flag{name: "lsm-profile", value: true}, flag{name: "lsm-mount-context", value: true})...)
	case "checkpoint":
		return one(append(criu, flag{name: "parent-path", value: true}, flag{name: "leave-running"}, flag{name: "pre-dump"})...)
	case "delete":
		return one(flag{name: "force", short: "f"}, flag{name: "regex", short: "r"})
	case "kill":
		return command{min: 1, max: 2, flags: []flag{{name: "all", short: "a"}, {name: "regex", short: "r"}}}, true
	case "ps":
		return one(format)
	case "list":
		return command{flags: []flag{format, {name: "quiet", short: "q"}}}, true
	case "spec":
		return command{flags: []flag{bundle, {name: "file", short: "f", value: true}, {name: "rootless"}}}, true
	case "features":
		return command{}, true
	}
	return command{}, false
}
