//go:build !linux

package store

import (
	"errors"
	"math"
	"os"
	"syscall"
)

// freeSpace does not know. A full disk is not guarded against on this system.
func freeSpace(string) (int64, error) { return math.MaxInt64, nil }

// allocate promises nothing on this system.
func allocate(*os.File, int64, bool) error { return nil }

// noRoom reports whether a write failed for want of space, where that is known.
func noRoom(err error) bool { return errors.Is(err, syscall.ENOSPC) }
