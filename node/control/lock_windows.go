//go:build windows

package control

import (
	"io"
	"os"

	"golang.org/x/sys/windows"
)

// takeLock holds a file for this process; the system lets it go when the process
// ends, however it ends.
func takeLock(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	if err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, new(windows.Overlapped)); err != nil {
		_ = f.Close()
		return nil, errHeld
	}
	return f, nil
}
