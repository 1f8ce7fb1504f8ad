// Package harden keeps what a program of ours holds in memory out of files.
package harden

import "runtime/debug"

// Process keeps the stacks of goroutines out of a crash's output. Windows
// writes no core files unless an administrator asked for them.
func Process() { debug.SetTraceback("none") }
