package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
)

// freshCounters writes both counters of a tick into new files, with a suffix.
func freshCounters(dir, suffix string, k counterKeys, random io.Reader, tick uint64) error {
	before := []byte(nil)
	for _, t := range []uint64{tick - 1, tick} {
		box, err := k.box(random, counterRecord{tick: t, previous: sha256.Sum256(before)})
		if err != nil {
			return err
		}
		path := counterPath(dir, int(t%2)) + suffix
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("writing counter: %w", writeError(err))
		}
		if err := writeFile(path, box); err != nil {
			return fmt.Errorf("writing counter: %w", writeError(err))
		}
		before = box
	}
	return syncDir(dir)
}

// settleCounters puts fresh counters in their place if they are those of the
// records that are there, and removes them if not.
func settleCounters(dir string, k counterKeys) error {
	for slot := range 2 {
		path := counterPath(dir, slot) + freshSuffix
		b, err := readFile(path, counterSize)
		if err != nil {
			continue
		}
		if _, ok := k.open(b, slot); ok {
			err = os.Rename(path, counterPath(dir, slot))
		} else {
			err = os.Remove(path)
		}
		if err != nil {
			return fmt.Errorf("settling counters: %w", writeError(err))
		}
	}
	return syncDir(dir)
}
