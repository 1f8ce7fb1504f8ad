package main

import "runtime/debug"

// hardenProcess keeps the stacks of goroutines out of a crash's output. Windows
// writes no core files unless an administrator asked for them.
func hardenProcess() { debug.SetTraceback("none") }
