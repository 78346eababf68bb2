//go:build !amd64 && !arm64

package proof

const (
	nativeArch = 0
	// hasTable: without the numbers of the system calls, no program can be held against a profile. That is said.
	hasTable = false
)

var native architecture

func foreign() []architecture { return nil }
