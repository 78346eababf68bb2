package main

import (
	"runtime"

	"golang.org/x/sys/unix"
)

const (
	has32    = true
	map32Bit = unix.MAP_32BIT
)

// int80 makes a system call by the 32-bit gate.
//
//go:noescape
func int80(nr, a1, a2 uint32) int32

// attempt32 tells which thread it is on before it makes the call that may be the thread's last.
func attempt32(thread chan<- int, result chan<- int32, nr, a1, a2 uint32) {
	runtime.LockOSThread()
	thread <- unix.Gettid()
	result <- int80(nr, a1, a2)
}
