package store

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Badger writes through memory maps of sparse files. When the disk has no block
// for a page the kernel answers with SIGBUS, and the process dies. So every block
// is secured before Badger can touch it; docs/spec/store.md, section Space:
//
//   - the logs that are open get all their blocks at Online;
//   - the next memtable's log exists beforehand, empty, with its blocks behind
//     its end ("spare"), under the name that Badger will take;
//   - a file "reserve" holds the blocks that flushing at Close needs, and is given
//     up just before;
//   - a tick goes ahead only with spare and reserve in hand and commitSpace free,
//     for the flush that it may set off;
//   - records are rebuilt with room for a second copy of all slots, or not at all.
//
// BUG: Badger makes each table anew, so its blocks cannot be secured beforehand.
// Another program that fills the disk to the brim between the look at free space
// and the end of a flush (milliseconds) or of a rebuild can still end the process.
// What was durable is in the log by then, and stays.
const (
	reserveSize = 8 << 20
	commitSpace = 6 << 20  // a memtable's table
	openSpace   = 20 << 20 // two logs, a value log, discard counts
)

func reservePath(dir string) string { return filepath.Join(dir, "reserve") }

// Room returns how many bytes may still be written where path lies, if the system
// tells.
func Room(path string) (bytes uint64, known bool) {
	free, err := freeSpace(path)
	return uint64(max(free, 0)), err == nil && free != math.MaxInt64
}

// full reports ErrFull if less than need is free.
func full(dir string, need int64) error {
	free, err := freeSpace(dir)
	if err != nil {
		return fmt.Errorf("asking for free space: %w", err)
	}
	if free < need {
		return ErrFull
	}
	return nil
}

// holdReserve makes or completes the reserve, if commitSpace is left over.
func holdReserve(dir string) error {
	f, err := os.OpenFile(reservePath(dir), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("opening reserve: %w", err)
	}
	err = full(dir, reserveSize+commitSpace)
	if err == nil {
		err = allocate(f, reserveSize, false)
	}
	if err != nil {
		_ = f.Truncate(0) // a part of it would only take room
	}
	return errors.Join(err, f.Close())
}

// dropReserve gives the blocks back.
func dropReserve(dir string) error {
	if err := os.Truncate(reservePath(dir), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("freeing reserve: %w", err)
	}
	return nil
}

// hasReserve reports whether the reserve is whole.
func hasReserve(dir string) bool {
	info, err := os.Stat(reservePath(dir))
	return err == nil && info.Size() == reserveSize
}

// makeRoom secures what a rebuild takes, from the reserve if need be.
func (s *Store) makeRoom() error {
	need := rebuildSpace(s.header.slots)
	if full(s.dir, need) == nil {
		return nil
	}
	if err := dropReserve(s.dir); err != nil {
		return err
	}
	return full(s.dir, need)
}

// materialize gives every file that Badger has mapped its blocks.
func materialize(records string) error {
	found, err := files(records)
	if err != nil {
		return err
	}
	for name, info := range found {
		if info.Size() == 0 || !isLog(name) && !strings.HasSuffix(name, ".vlog") && name != "DISCARD" {
			continue
		}
		f, err := os.OpenFile(filepath.Join(records, name), os.O_RDWR, 0)
		if errors.Is(err, os.ErrNotExist) {
			continue // flushed meanwhile
		}
		if err != nil {
			return err
		}
		err = allocate(f, info.Size(), false)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// makeSpare makes the next memtable's log: empty, with its blocks behind the end,
// and its name durable, which Badger does not see to. It returns its path.
func makeSpare(records string) (string, error) {
	found, err := files(records)
	if err != nil {
		return "", err
	}
	next := 0
	for name, info := range found {
		if n, err := strconv.Atoi(strings.TrimSuffix(name, ".mem")); isLog(name) && err == nil && info.Size() > 0 {
			next = max(next, n+1)
		}
	}
	path := filepath.Join(records, fmt.Sprintf("%05d.mem", next))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", fmt.Errorf("making spare log: %w", err)
	}
	if err := errors.Join(allocate(f, memFileSize, true), f.Close()); err != nil {
		_ = os.Remove(path)
		return "", err
	}
	return path, syncDir(records)
}
