package enforce

import "slices"

// Beside are the names of what a runtime's command line and environment can add to a configuration, or take from it, without a
// word of it in config.json (runc, create.go, notify_socket.go, utils_linux.go). They are findings of the specification control.
const (
	NoPivot      = "no-pivot"
	NoNewKeyring = "no-new-keyring"
	// CgroupManager is crun's --cgroup-manager=disabled.
	CgroupManager = "cgroup-manager"
	PreserveFDs   = "preserve-fds"
	ListenFDs     = "LISTEN_FDS"
	NotifySocket  = "NOTIFY_SOCKET"
)

func besides(given []string) []Finding {
	var found []Finding
	for _, b := range []Finding{
		{Detail: NoPivot, Found: "--no-pivot, which leaves the host's root filesystem mounted behind the container's", Wanted: "pivot_root(2)",
			Mend: "take it out of the engine's options (DOCKER_RAMDISK, containerd's NoPivotRoot)"},
		{Detail: NoNewKeyring, Found: "--no-new-keyring, which leaves the engine's session keyring to the container", Wanted: "a keyring of its own",
			Mend: "take it out of the engine's options (containerd's NoNewKeyring)"},
		{Detail: CgroupManager, Found: "--cgroup-manager=disabled, which leaves the container without limits in its engine's control group", Wanted: "a control group of its own",
			Mend: `leave out "--cgroups=disabled" (Podman)`},
		{Detail: PreserveFDs, Found: "--preserve-fds, which gives the container files that are open outside", Wanted: "a container without them",
			Mend: `leave out "--preserve-fds", and use a volume`},
		{Detail: ListenFDs, Found: "LISTEN_FDS, which gives the container sockets that are open outside", Wanted: "a container without them",
			Mend: "start it from a unit without socket activation"},
		{Detail: NotifySocket, Found: "NOTIFY_SOCKET, for which runc binds a folder of the host's into the container", Wanted: "a container without it",
			Mend: `start it from a unit that is not Type=notify, or with "--sdnotify=conmon"`},
	} {
		if slices.Contains(given, b.Detail) {
			found = append(found, b)
		}
	}
	return found
}
