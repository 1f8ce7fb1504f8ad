package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// DestroyKey makes the store in dir unreadable for good, whoever has it open and
// whether or not anybody knows the passphrase: the header, without whose salt no
// passphrase leads to the keys, is overwritten in place and fsynced, and then the
// counters. It takes milliseconds. What a process has in its memory stays there,
// and so does any copy that was made of the header before. A process that has the
// store open cannot write it any more. A file that is missing is passed over; the
// error says which one could not be overwritten.
func DestroyKey(dir string) error {
	var errs []error
	paths := []string{
		headerPath(dir), counterPath(dir, 0), counterPath(dir, 1),
		counterPath(dir, 0) + freshSuffix, counterPath(dir, 1) + freshSuffix,
	}
	for _, path := range paths {
		if err := overwrite(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("overwriting %s: %w", filepath.Base(path), err))
		}
	}
	return errors.Join(errs...)
}

// overwrite fills a file with random bytes, in place.
func overwrite(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		b := make([]byte, min(info.Size(), maxHeaderSize))
		_, _ = rand.Read(b) // never fails
		_, err = f.WriteAt(b, 0)
	}
	return errors.Join(err, f.Sync(), f.Close())
}

// Remove removes the files of a store whose key was destroyed, and of one that was
// being made. It tries for a moment, because a process that had the store open may
// still be writing.
func Remove(dir string) error {
	end := time.Now().Add(200 * time.Millisecond)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := errors.Join(os.RemoveAll(dir), os.RemoveAll(stageDir(dir)), os.RemoveAll(lockPath(dir)))
		if err == nil || time.Now().After(end) {
			_ = syncDir(filepath.Dir(filepath.Clean(dir)))
			return err
		}
		<-tick.C
	}
}

// Holder returns the process that has the store in dir open, or 0.
func Holder(dir string) int {
	f, err := os.OpenFile(lockPath(dir), os.O_RDWR, 0)
	if err != nil {
		return 0
	}
	defer f.Close()
	if held, err := lockFile(f); err != nil || held {
		unlockFile(f)
		return 0
	}
	return readOwner(f).PID
}
