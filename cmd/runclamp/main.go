// runclamp is an OCI runtime that no container starts under unless it is hardened. Its command line is runc's.
package main

import (
	"os"
	"time"

	"runclamp/shim"
)

// confDir is set at link time. Nobody who starts a container can choose it.
var confDir = "/etc/runclamp"

func main() {
	os.Exit(shim.Runtime{
		ConfDir: confDir,
		Name:    os.Args[0],
		Args:    os.Args[1:],
		Env:     os.Environ(),
		Stderr:  os.Stderr,
		Host:    shim.ThisHost,
		Now:     time.Now,
	}.Run())
}
