module runclamp

go 1.26.0

require github.com/opencontainers/runtime-spec v1.3.0

require (
	github.com/moby/profiles/seccomp v0.3.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)
