package drop

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Badger writes through memory maps of sparse files. When the disk has no block for a
// page the kernel answers with SIGBUS, and the process dies. So puts stop while much is
// left (Config.MinFree), and what opening and closing need is held in the file
// reserve, which is given up just before.
//
// BUG: another program that fills the disk from MinFree to the brim within the moment
// of one commit, or of the flush that it sets off, can still end the process. What was
// answered with stored is in the logs by then.
const (
	reserveSize      = 64 << 20
	smallReserveSize = 8 << 20
)

func (c Config) reserve() int64 {
	if c.small {
		return smallReserveSize
	}
	return reserveSize
}

func (c Config) reservePath() string { return filepath.Join(c.Dir, "reserve") }

// holdReserve makes or completes the reserve. If there is not the room for it, it returns an
// error, and nothing is taken.
func (c Config) holdReserve() error {
	if info, err := os.Stat(c.reservePath()); err == nil && info.Size() == c.reserve() {
		return nil
	}
	if free, err := freeSpace(c.Dir); err != nil || free < c.reserve() {
		return ErrFull
	}
	f, err := os.OpenFile(c.reservePath(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("opening the reserve: %w", err)
	}
	err = allocate(f, c.reserve())
	if err != nil {
		_ = f.Truncate(0) // a part of it would only take room
	}
	return errors.Join(err, f.Close())
}

// dropReserve gives the blocks back, and reports [ErrFull] if there is not the room then
// that they stand for.
func (c Config) dropReserve() error {
	if err := os.Truncate(c.reservePath(), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("freeing the reserve: %w", err)
	}
	free, err := freeSpace(c.Dir)
	if err != nil {
		return fmt.Errorf("asking for free space: %w", err)
	}
	if free < c.reserve() {
		return ErrFull
	}
	return nil
}

// roomToWrite reports whether a group of puts may be committed.
func (c Config) roomToWrite() bool { return c.spaceLeft() && c.holdReserve() == nil }

// spaceLeft reports whether the disk has what puts leave free.
func (c Config) spaceLeft() bool {
	free, err := freeSpace(c.Dir)
	return err == nil && free >= c.MinFree
}
