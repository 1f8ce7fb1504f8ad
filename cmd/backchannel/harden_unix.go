//go:build unix

package main

import (
	"runtime/debug"
	"syscall"
)

// hardenProcess keeps what the node holds in memory out of files: no core dump,
// and no stack of other goroutines in a crash.
func hardenProcess() {
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
	debug.SetTraceback("none")
}
