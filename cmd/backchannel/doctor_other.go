//go:build !linux

package main

func (d *doctor) checkMemory() {
	d.note("memory", "", "core dumps, swap, locked memory and hibernation could not be looked at on this system: see that the disk is encrypted")
}
