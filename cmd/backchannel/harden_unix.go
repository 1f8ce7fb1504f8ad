//go:build unix

package main

import (
	"runtime/debug"
	"syscall"
)

// hardenProcess keeps what the program holds in memory out of files: no core
// dump, and no stack of other goroutines in a crash. The stack of the one that fell
// is shown all the same: Go never goes below what GOTRACEBACK says, or leaves unsaid.
// What the program writes is its owner's alone, also where a library asks for more.
// The signals on which Go writes all stacks are taken by run.
func hardenProcess() {
	syscall.Umask(0o077)
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
	hardenSystem()
	debug.SetTraceback("none")
}
