package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const lockSize = 64

// A lock is held on a file beside the folder, whose name ends in ".lock", for as
// long as a store is open: a look must not change a byte in the folder. The kernel
// lets it go when the process dies, in whatever way. The file says who holds it,
// as "pid start" in decimal, the start in Unix seconds, and is blank otherwise.
// It always has lockSize bytes, so that signing it needs no room on the disk.
type lock struct {
	f      *os.File
	signed bool
}

func lockPath(dir string) string { return filepath.Clean(dir) + ".lock" }

// takeLock takes the lock of a folder or returns an *InUseError.
func takeLock(dir string) (*lock, error) {
	f, err := os.OpenFile(lockPath(dir), os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, syscall.EROFS) {
		return new(lock), nil // where nobody can write, nobody has to be kept out
	}
	if err != nil {
		return nil, fmt.Errorf("opening lock: %w", err)
	}
	held, err := lockFile(f)
	if err == nil && !held {
		err = readOwner(f)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &lock{f: f}, nil
}

// takeLate takes a lock that could not be taken at first, on a disk that was for
// reading only and is not any more.
func (l *lock) takeLate(dir string) error {
	if l.f != nil {
		return nil
	}
	late, err := takeLock(dir)
	if err == nil {
		*l = *late
		err = l.sign()
	}
	return err
}

// sign writes this process into the file.
func (l *lock) sign() error {
	if l.f == nil {
		return nil
	}
	l.signed = true
	return l.write(fmt.Sprintf("%d %d", os.Getpid(), time.Now().Unix()))
}

// write fills the file with text and blanks.
func (l *lock) write(text string) error {
	line := fmt.Sprintf("%-*s\n", lockSize-1, text)
	_, err := l.f.WriteAt([]byte(line), 0)
	if noRoom(err) {
		return ErrFull
	}
	if err != nil {
		return fmt.Errorf("writing lock: %w", err)
	}
	return nil
}

// release blanks the file if sign was called, and lets the lock go.
func (l *lock) release() error {
	if l.signed {
		_ = l.write("")
	}
	return l.drop()
}

// drop lets the lock go and leaves the file as it is. It unlocks before it
// closes: a process that is being started elsewhere in the program holds a copy
// of the descriptor for a moment, and the lock with it.
func (l *lock) drop() error {
	if l.f == nil {
		return nil
	}
	unlockFile(l.f)
	return l.f.Close()
}

// readOwner reads who holds the lock. What does not read as an owner gives PID 0.
func readOwner(f io.ReaderAt) *InUseError {
	b := make([]byte, lockSize)
	n, _ := f.ReadAt(b, 0)
	pid, start, ok := bytes.Cut(bytes.TrimRight(b[:n], " \n"), []byte(" "))
	if !ok {
		return new(InUseError)
	}
	p, err := strconv.ParseUint(string(pid), 10, 31)
	if err != nil {
		return new(InUseError)
	}
	s, err := strconv.ParseUint(string(start), 10, 40)
	if err != nil {
		return new(InUseError)
	}
	return &InUseError{PID: int(p), Started: time.Unix(int64(s), 0)}
}
