package policy

// Hardened is the built-in preset that holds where there is no policy file.
func Hardened() Policy {
	return Policy{
		Source: "built-in preset hardened",
		Controls: Controls{
			Specification:   Plain{Reject},
			Checkpoint:      Plain{Reject},
			Privileged:      Plain{Reject},
			NonRoot:         NonRoot{Action: Fix, Assign: User{UID: 10001, GID: 10001}, Low: KeepLow},
			Capabilities:    Capabilities{Action: Fix},
			NoNewPrivileges: Plain{Fix},
			ReadOnlyRootfs: ReadOnlyRootfs{Action: Fix, Tmpfs: []Tmpfs{
				{Path: "/tmp", Size: 64 << 20, Mode: 0o1777},
				{Path: "/var/tmp", Size: 64 << 20, Mode: 0o1777},
				{Path: "/run", Size: 16 << 20, Mode: 0o755, CopyUp: true},
			}},
			ProcMounts: Plain{Fix},
			Seccomp:    Plain{Fix},
		},
	}
}
