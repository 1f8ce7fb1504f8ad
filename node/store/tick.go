package store

import (
	"errors"
	"fmt"
	"os"

	"github.com/backchannel/backchannel/protocol/vault"
)

// Stage takes a commit up, in memory: reads see it at once, and it comes to the
// disk as a whole with one of the next ticks. It is there when Durable reaches the
// ticket. With no writes it returns the last ticket.
//
// ErrOffline, ErrTooLarge, ErrKind, ErrLevelFull and ErrFull, when the disk has no
// room for a tick, change nothing.
func (s *Store) Stage(writes ...Write) (ticket uint64, err error) {
	return s.stage(func(l *vault.Level) (uint64, error) {
		if len(writes) == 0 {
			return 0, nil
		}
		return l.Stage(writes)
	})
}

// DropObject removes an object with all its records, of whatever kind, by letting
// go of its key. What it returns is as with [Store.Stage].
func (s *Store) DropObject(object [16]byte) (ticket uint64, err error) {
	return s.stage(func(l *vault.Level) (uint64, error) { return l.Drop(object) })
}

func (s *Store) stage(f func(*vault.Level) (uint64, error)) (ticket uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writable(); err != nil {
		return 0, err
	}
	if err := full(s.dir, commitSpace); errors.Is(err, ErrFull) {
		return 0, err
	}
	if ticket, err = f(s.level()); err != nil {
		return 0, fromVault(err)
	}
	s.staged = max(s.staged, ticket)
	return s.staged, nil
}

// Durable returns the ticket up to which everything that was staged is on the disk.
func (s *Store) Durable() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.durable
}

// Tick writes once: as many slots as always, whether or not anything was staged.
// It is called by the clock.
//
// ErrOffline, ErrFull and a refused permission leave everything as it was, and what
// was staged waits. Any other error poisons the store: what the disk holds is then
// known only to the next Open.
func (s *Store) Tick() error {
	s.disk.Lock()
	defer s.disk.Unlock()
	return s.tick()
}

func (s *Store) tick() error {
	s.mu.RLock()
	err := s.writable()
	s.mu.RUnlock()
	if err != nil {
		return err
	}
	if err := s.secure(); err != nil {
		return err
	}
	s.cfg.faults.hook(stepBegin)
	if err := s.write(); err != nil {
		return s.poison(err)
	}
	s.cfg.faults.hook(stepTidy)
	s.ticks++
	s.tidy()
	if err := s.renewIfDue(); err != nil {
		return s.poison(err)
	}
	s.cfg.faults.hook(stepEnd)
	return nil
}

// maxRedraws bounds how often a tick is drawn again; once is 2^-81.
const maxRedraws = 16

// write makes the changes of one tick and commits them.
func (s *Store) write() error {
	s.mu.Lock()
	before := s.suspect()
	s.accept()
	changes, err := s.draw()
	tick, durable := s.vault.Ticks(), s.level().Durable()
	after, keys := s.suspect(), s.keys
	s.mu.Unlock()
	if err != nil {
		return err
	}
	s.cfg.faults.hook(stepBadger)
	if err := writeSlots(s.db, changes); err != nil {
		return err
	}
	s.cfg.faults.hook(stepBadgerDone)
	switch {
	case after: // the counter is left as it was, as evidence
	case before:
		err = s.counter.writeBoth(keys, s.cfg.random(), tick, s.cfg.faults.hook)
	default:
		err = s.counter.write(keys, s.cfg.random(), tick, s.cfg.faults.hook)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.durable = durable
	s.mu.Unlock()
	return nil
}

func (s *Store) draw() ([]vault.Change, error) {
	for range maxRedraws {
		coins, err := drawCoins(s.cfg.random())
		if err != nil {
			return nil, err
		}
		changes, err := s.vault.Tick(coins)
		if !errors.Is(err, vault.ErrRedraw) {
			return changes, err
		}
	}
	return nil, vault.ErrRedraw
}

// suspect reports whether level 0 is rolled back: what becomes of the counter must
// not depend on a deeper one.
func (s *Store) suspect() bool { return s.vault.Level(0).RolledBack() }

// AcceptRollback makes the present records the state that the next Open expects,
// once everything that was staged until now is on the disk. Call it after dropping,
// with Stage, whatever must not be taken up again. It writes nothing: ticks do. If
// the process dies before them, the next Open is rolled back still.
func (s *Store) AcceptRollback() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(); err != nil {
		return err
	}
	flagged := false
	for n := range s.vault.Depth() {
		flagged = flagged || s.vault.Level(n).RolledBack()
	}
	if !flagged {
		return nil
	}
	if err := s.writable(); err != nil {
		return err
	}
	s.accepting, s.acceptAt = true, s.staged
	return nil
}

// accept has the next tick write down what AcceptRollback has accepted: of the
// shallower levels, where nothing is staged, at once.
func (s *Store) accept() {
	if !s.accepting {
		return
	}
	for n := range s.vault.Depth() - 1 {
		s.vault.Level(n).AcceptRollback()
	}
	if s.durable >= s.acceptAt {
		s.level().AcceptRollback()
		s.accepting = false
	}
}

// secure makes sure that a tick cannot run out of disk half-way, and that it goes
// into the folder that is there. Its errors leave nothing written.
func (s *Store) secure() error {
	if err := s.here(); err != nil {
		if errors.Is(err, ErrMissing) {
			return s.poison(ErrMissing)
		}
		return err
	}
	records := recordsDir(s.dir)
	if err := errors.Join(writable(records), writable(s.dir)); err != nil {
		return fmt.Errorf("looking at store: %w", err)
	}
	if s.spare != "" {
		if _, err := os.Stat(s.spare); errors.Is(err, os.ErrNotExist) {
			return s.poison(ErrMissing)
		}
	}
	if s.pending {
		if !flushed(records, flushWait) {
			return ErrFull
		}
		s.pending = false
	}
	if s.spare == "" {
		spare, err := makeSpare(records)
		if err != nil {
			return err
		}
		s.spare = spare
	}
	if !hasReserve(s.dir) {
		if err := holdReserve(s.dir); err != nil {
			return err
		}
	}
	if err := full(s.dir, commitSpace); err != nil {
		return err
	}
	if s.ticks >= 2*s.renewAfter() {
		if err := s.renewIfDue(); err != nil {
			return s.poison(err)
		}
		if s.ticks >= 2*s.renewAfter() {
			return ErrFull
		}
	}
	return nil
}

// tidy does after a tick what Badger would do in the background: it waits for the
// flush, if the tick set one off, and prepares the next memtable's log. What fails
// here is tried again before the next tick.
func (s *Store) tidy() {
	if s.spare == "" {
		return
	}
	if info, err := os.Stat(s.spare); err == nil && info.Size() == 0 {
		return
	}
	s.spare = ""
	records := recordsDir(s.dir)
	if s.pending = !flushed(records, flushWait); s.pending {
		return
	}
	if spare, err := makeSpare(records); err == nil {
		s.spare = spare
	}
}
