//go:build !linux

package main

func (m misused) onReadOnlyDisk() {}
