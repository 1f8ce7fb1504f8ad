//go:build !linux

package harden

// LockMemory is for Linux alone so far; the doctor says so.
func LockMemory() {}
