//go:build !linux

package main

// lockMemory is for Linux alone so far; the doctor says so.
func lockMemory() {}
