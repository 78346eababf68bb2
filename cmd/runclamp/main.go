// How many processors its control group may use matters to none of its few milliseconds, and to find out takes a fiftieth of them.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// runclamp is an OCI runtime that no container starts under unless it is hardened. Its command line is runc's.
package main

import (
	"os"
	"runtime/debug"
	"time"

	"runclamp/shim"
)

// The folders are set at link time. Nobody who starts a container can choose them.
var (
	confDir = "/etc/runclamp"
	runDir  = "/run/runclamp"
)

// enough memory for whatever an engine sends, in bytes. Up to there, collecting garbage costs a process time that ends in a
// few milliseconds anyway.
const enough = 256 << 20

func main() {
	debug.SetMemoryLimit(enough)
	debug.SetGCPercent(-1)
	os.Exit(shim.Runtime{
		ConfDir: confDir,
		RunDir:  runDir,
		Name:    os.Args[0],
		Args:    os.Args[1:],
		Env:     os.Environ(),
		Stdin:   os.Stdin,
		Stderr:  os.Stderr,
		Host:    shim.ThisHost,
		Now:     time.Now,
	}.Run())
}
