package store

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/backchannel/backchannel/protocol/vault"
)

// Online opens the store for writing: from here on there are ticks. It checks that
// nothing changed since Open, and rebuilds what a crash left. Doing it again does
// nothing, and after an error it can be called again.
//
// Besides wrapped system errors it returns ErrChanged, ErrDamaged, ErrMissing,
// ErrFull or ErrMemory.
func (s *Store) Online() error {
	s.disk.Lock()
	defer s.disk.Unlock()
	s.mu.RLock()
	err, online := s.usable(), s.online
	s.mu.RUnlock()
	if err != nil || online {
		return err
	}
	if err := s.goOnline(); err != nil {
		return err
	}
	s.mu.Lock()
	s.online, s.behind = true, false
	s.mu.Unlock()
	return nil
}

func (s *Store) goOnline() error {
	if s.lock.f == nil {
		return fmt.Errorf("going online: %w", syscall.EROFS)
	}
	if err := s.here(); err != nil {
		return err
	}
	if err := errors.Join(writable(s.dir), writable(recordsIn(s.dir))); err != nil {
		return fmt.Errorf("looking at store: %w", err)
	}
	found, err := readSlots(recordsIn(s.dir), s.header.slots)
	if err != nil {
		return err
	}
	if found.sum() != s.seen {
		return ErrChanged
	}
	if err := settle(s.dir); err != nil {
		return err
	}
	if err := settleCounters(s.dir, s.keys); err != nil {
		return err
	}
	if found.rebuilt() {
		err = prepare(recordsDir(s.dir))
	} else if err = s.makeRoom(); err == nil {
		err = s.replace(found)
	}
	if err != nil {
		return err
	}
	return s.start()
}

// replace rebuilds the records from what was read.
func (s *Store) replace(found *slots) error {
	if err := rebuild(s.dir, found.all()); err != nil {
		return errors.Join(err, os.RemoveAll(freshDir(s.dir)))
	}
	s.cfg.faults.hook(stepRebuilt)
	if err := s.exchange(); err != nil {
		return err
	}
	err := dropLeftovers(s.dir)
	s.cfg.faults.hook(stepCleared)
	return err
}

// start opens Badger, on records that were rebuilt, and the counter.
func (s *Store) start() error {
	if err := full(s.dir, openSpace+commitSpace); err != nil {
		return err
	}
	c, err := openCounter(s.dir, s.cfg.faults.wrap())
	if err == nil && s.behind && !s.suspect() {
		err = c.write(s.keys, s.cfg.random(), s.vault.Ticks(), s.cfg.faults.hook)
	}
	if err == nil {
		err = s.openRecords()
	}
	if err != nil {
		if c != nil {
			_ = c.close()
		}
		return err
	}
	s.counter = c
	return nil
}

// openRecords opens Badger and secures the blocks of what it has mapped.
func (s *Store) openRecords() error {
	records := recordsDir(s.dir)
	db, err := openBadger(records, s.cfg.faults)
	if err != nil {
		return err
	}
	if err := materialize(records); err != nil {
		return errors.Join(err, closeBadger(db))
	}
	s.db, s.spare, s.pending, s.ticks = db, "", false, 0
	return nil
}

// minRenew is after how many ticks the records of a small store are rebuilt.
const minRenew = 32

// renewAfter is after how many ticks as much lies in what ticks left as in all
// slots: then the records are rebuilt. It depends on the number of slots alone.
func (s *Store) renewAfter() int { return max(minRenew, int(s.header.slots/vault.Touch)) }

// renewIfDue rebuilds the records of a store that is online. Without room for that
// it does nothing, for a while.
func (s *Store) renewIfDue() error {
	if s.ticks < s.renewAfter() || !s.roomToRebuild() {
		return nil
	}
	if err := s.stop(); err != nil {
		return err
	}
	found, err := readSlots(recordsDir(s.dir), s.header.slots)
	if err != nil {
		return err
	}
	if err := s.replace(found); err != nil {
		return err
	}
	return s.openRecords()
}

// stop closes Badger.
func (s *Store) stop() error {
	if err := closeBadger(s.db); err != nil {
		return err
	}
	s.db = nil
	if s.spare != "" {
		if err := os.Remove(s.spare); err != nil && !errors.Is(err, os.ErrNotExist) {
			return writeError(err)
		}
		s.spare = ""
	}
	return nil
}
