//go:build unix

// Package harden keeps what a program of ours holds in memory out of files.
package harden

import (
	"runtime/debug"
	"syscall"
)

// Process keeps what the program holds in memory out of files: no core
// dump, and no stack of other goroutines in a crash. The stack of the one that fell
// is shown all the same: Go never goes below what GOTRACEBACK says, or leaves unsaid.
// What the program writes is its owner's alone, also where a library asks for more.
// The signals on which Go writes all stacks are taken by run.
func Process() {
	syscall.Umask(0o077)
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
	system()
	debug.SetTraceback("none")
}
