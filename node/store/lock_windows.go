package store

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/windows"
)

// lockFile tries to lock f for this process alone. The locked byte lies far
// behind the text, because a locked range cannot be read by others.
func lockFile(f *os.File) (held bool, err error) {
	const exclusive = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err = windows.LockFileEx(windows.Handle(f.Fd()), exclusive, 0, 1, 0, &windows.Overlapped{Offset: 1 << 30})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("locking store: %w", err)
	}
	return true, nil
}

// unlockFile undoes lockFile.
func unlockFile(f *os.File) {
	_ = windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, &windows.Overlapped{Offset: 1 << 30})
}

// syncDir does nothing: Windows has no fsync of folders.
func syncDir(string) error { return nil }

// writable does nothing: the write itself will tell.
func writable(string) error { return nil }
