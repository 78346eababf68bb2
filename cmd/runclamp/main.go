// runclamp is an OCI runtime that no container starts under unless it is hardened. Its command line is runc's.
package main

import (
	"os"
	"time"

	"runclamp/shim"
)

// The folders are set at link time. Nobody who starts a container can choose them.
var (
	confDir = "/etc/runclamp"
	runDir  = "/run/runclamp"
)

func main() {
	os.Exit(shim.Runtime{
		ConfDir: confDir,
		RunDir:  runDir,
		Name:    os.Args[0],
		Args:    os.Args[1:],
		Env:     os.Environ(),
		Stderr:  os.Stderr,
		Host:    shim.ThisHost,
		Now:     time.Now,
	}.Run())
}
