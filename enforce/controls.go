package enforce

// Controls is the registry, in the order in which decisions are made. The order matters: seccomp is computed for the
// capabilities that are left, and those depend on whether the user was changed.
func Controls() []Control {
	return []Control{
		specification(),
		checkpoint(),
		privileged(),
		annotations(),
		hooks(),
		hostNamespaces(),
		nonRoot(),
		capabilities(),
		noNewPrivileges(),
		environment(),
		readOnlyRootfs(),
		hostMounts(),
		procMounts(),
		devices(),
		resources(),
		sysctls(),
		appArmor(),
		seccompProfile(),
	}
}
