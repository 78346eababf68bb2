// Minexec hands over to the program that is its first argument, and does nothing else: what a wrapper in Go costs at the
// least.
package main

import (
	"fmt"
	"os"
	"syscall"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "minexec: no program")
		os.Exit(1)
	}
	err := syscall.Exec(os.Args[1], os.Args[1:], os.Environ())
	fmt.Fprintf(os.Stderr, "minexec: %s: %v\n", os.Args[1], err)
	os.Exit(1)
}
