//go:build unix

package control

import (
	"io"
	"os"
	"syscall"
)

// takeLock holds a file for this process; the system lets it go when the process
// ends, however it ends.
func takeLock(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, errHeld
	}
	return f, nil
}
