//go:build !amd64

package main

const (
	has32    = false
	map32Bit = 0
)

// attempt32 is never called here.
func attempt32(thread chan<- int, result chan<- int32, _, _, _ uint32) {
	thread <- 0
	result <- 0
}
