package store

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// freeSpace is what an ordinary process may still write where path lies.
func freeSpace(path string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil //nolint:unconvert // 32 bits on some machines
}

// allocate gives a file real blocks for its first size bytes. With keep its
// length stays: the blocks wait behind the end until the file grows. A file
// system that cannot promise blocks is taken as it is.
func allocate(f *os.File, size int64, keep bool) error {
	var mode uint32
	if keep {
		mode = unix.FALLOC_FL_KEEP_SIZE
	}
	for {
		err := unix.Fallocate(int(f.Fd()), mode, 0, size)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return nil
		case noRoom(err):
			return ErrFull
		}
		return err
	}
}

// noRoom reports whether a write failed for want of space.
func noRoom(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }
