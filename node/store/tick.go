package store

import (
	"errors"
	"fmt"
	"os"

	"github.com/backchannel/backchannel/protocol/vault"
)

// Stage takes a commit up, in memory, where reads see it at once: all of its writes
// come to the disk together, with the tick after which Durable reaches the ticket.
// With no writes it returns the last ticket.
//
// ErrFull, ErrLevelFull, ErrTooLarge and ErrKind change nothing.
func (s *Store) Stage(writes ...Write) (ticket uint64, err error) {
	if err := CheckWrites(writes); err != nil {
		return 0, err
	}
	return s.stageShown(func(l *vault.Level) (uint64, error) { return l.Stage(writes) })
}

// DropObject stages the removal of all records of an object, of every kind, by
// letting go of the key that they are sealed with. It takes as long and as much
// room however many there are. The errors are those of Stage.
func (s *Store) DropObject(object [16]byte) (ticket uint64, err error) {
	return s.stageShown(func(l *vault.Level) (uint64, error) { return l.Drop(object) })
}

func (s *Store) stageShown(do func(*vault.Level) (uint64, error)) (ticket uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ticket, err = s.stage(nil, do); err != nil {
		return 0, err
	}
	s.staged = max(s.staged, ticket)
	return s.staged, nil
}

// stage has a level take something up. The caller holds mu.
func (s *Store) stage(v *View, do func(*vault.Level) (uint64, error)) (ticket uint64, err error) {
	l, err := s.of(v)
	if err == nil {
		err = s.writable()
	}
	if err != nil {
		return 0, err
	}
	if err := full(s.dir, tickSpace); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			err = ErrMissing
		}
		return 0, err
	}
	if ticket, err = do(l); err != nil {
		return 0, levelError(err)
	}
	return ticket, nil
}

// Durable returns the highest ticket that is on the disk, fsynced.
func (s *Store) Durable() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.durable
}

// Tick writes 128 slots, whether or not anything was staged, and then the counter.
// The node's clock calls it and nothing else: who has copies of the disk sees when.
//
// ErrFull and a refused permission leave everything as it was, and what was staged
// waits. Any other error poisons the store: what the disk holds is then known only
// to the next Open, which finds every commit whole or not at all.
//
// Each time when about all slots were written once, a tick rebuilds the database
// before it returns, which takes up to a second for 8,192 slots.
func (s *Store) Tick() error {
	s.disk.Lock()
	defer s.disk.Unlock()
	if err := s.ready(); err != nil {
		return err
	}
	if err := s.secure(); err != nil {
		if errors.Is(err, ErrFull) || errors.Is(err, os.ErrPermission) {
			return err
		}
		return s.poison(err)
	}
	s.cfg.faults.hook(stepBegin)
	t, err := s.draw()
	if err == nil {
		s.cfg.faults.hook(stepBadger)
		err = writeChanges(s.db, t.changes)
	}
	if err == nil {
		s.cfg.faults.hook(stepBadgerDone)
		err = s.count(t.number)
	}
	if err != nil {
		return s.poison(err)
	}
	s.mu.Lock()
	s.durable = t.durable
	s.mu.Unlock()
	s.cfg.faults.hook(stepTidy)
	if err := s.tidy(); err != nil {
		return s.poison(err)
	}
	s.cfg.faults.hook(stepEnd)
	return nil
}

// drawn is one tick, made and not yet written.
type drawn struct {
	changes         []vault.Change
	number, durable uint64
}

// redraws bounds how often a tick is drawn again. Once is less likely than that
// somebody guesses a key of ten bytes.
const redraws = 4

func (s *Store) draw() (t drawn, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acceptDurable(false)
	for range redraws {
		coins, err := s.cfg.coins()
		if err != nil {
			return t, err
		}
		t.changes, err = s.vault.Tick(coins)
		if err == nil {
			t.number, t.durable = s.vault.Ticks(), s.level().Durable()
			return t, nil
		}
		if !errors.Is(err, vault.ErrRedraw) {
			return t, err
		}
	}
	return t, vault.ErrRedraw
}

// count writes the number of a tick to the counter.
func (s *Store) count(tick uint64) error {
	s.mu.Lock()
	key := s.vault.CountKey()
	s.mu.Unlock()
	defer key.Wipe()
	return s.counter.write(s.cfg.random(), key, tick, s.cfg.faults.hook)
}

// here reports whether the folder is still the one that was opened, and may be
// written to.
func (s *Store) here() error {
	at, err := os.Stat(headerPath(s.dir))
	if errors.Is(err, os.ErrNotExist) || err == nil && !os.SameFile(at, s.header) {
		return s.poison(ErrMissing)
	}
	if err == nil {
		err = errors.Join(writable(s.dir), writable(currentRecords(s.dir)))
	}
	if err != nil {
		return fmt.Errorf("looking at store: %w", err)
	}
	return nil
}

// secure makes sure that a tick cannot run out of disk half-way, and that it goes
// into the folder that is there. Its errors leave nothing written.
func (s *Store) secure() error {
	if err := s.here(); err != nil {
		return err
	}
	records := recordsDir(s.dir)
	if s.spare != "" {
		if _, err := os.Stat(s.spare); errors.Is(err, os.ErrNotExist) {
			if s.ticks < s.rebuildAfter() {
				return s.poison(ErrMissing)
			}
			s.spare = "" // used up since a rebuild was put off
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
	if s.ticks >= 2*s.rebuildAfter() { // there was no room for a rebuild all this time
		if err := s.rebuildLive(); err != nil {
			return s.poison(err)
		}
		if s.ticks > 0 {
			return ErrFull
		}
	}
	return full(s.dir, tickSpace)
}

// rebuildAfter is after how many ticks about as much was written as all slots are.
func (s *Store) rebuildAfter() int { return int(s.slots / s.cfg.geometryOf(s.slots).Touch) }

// tidy does after a tick what Badger would do in the background: it waits for the
// flush, if the tick set one off, and rebuilds when it is time to, or prepares the
// next memtable's log. What fails here before anything was exchanged is tried again
// with the next tick. The wait comes first: a rebuild may be put off for want of
// room, and a flush that is left alone then may find the disk full.
func (s *Store) tidy() error {
	if s.spareUsed() {
		s.spare = ""
		s.pending = !flushed(recordsDir(s.dir), flushWait)
	}
	if s.ticks++; s.ticks >= s.rebuildAfter() {
		return s.rebuildLive()
	}
	if s.spare == "" && !s.pending {
		if spare, err := makeSpare(recordsDir(s.dir)); err == nil {
			s.spare = spare
		}
	}
	return nil
}

// spareUsed reports whether Badger has taken the log that was kept ready.
func (s *Store) spareUsed() bool {
	if s.spare == "" {
		return false
	}
	info, err := os.Stat(s.spare)
	return err != nil || info.Size() > 0
}

// rebuildLive rebuilds the open database, if there is room. An error leaves the
// store without one.
func (s *Store) rebuildLive() error {
	err := full(s.dir, tickSpace+openSpace+tablesSpace(s.slots))
	if err == nil {
		err = build(s.dir, s.slots, sourceIn(s.db), s.cfg.faults)
	}
	if errors.Is(err, ErrDamaged) {
		return err
	}
	if built := err == nil; !built {
		return nil // the old slots are as they were
	}
	if err := s.exchange(); err != nil {
		return err
	}
	return dropLeftovers(s.dir)
}

// exchange closes the database, puts the fresh one in its place and opens it.
func (s *Store) exchange() error {
	if err := declareBuilt(s.dir, s.cfg.faults); err != nil {
		return err
	}
	if err := s.shut(); err != nil {
		return err
	}
	if err := replaceRecords(s.dir, s.cfg.faults); err != nil {
		return err
	}
	return s.openRecords()
}

// shut closes Badger and removes the log that was kept ready. If Badger cannot be
// stopped it stays.
func (s *Store) shut() error {
	if err := closeBadger(s.db); err != nil {
		return err
	}
	s.db = nil
	s.cfg.faults.hook(stepOldClosed)
	if s.spare == "" {
		return nil
	}
	err := os.Remove(s.spare)
	s.spare = ""
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
