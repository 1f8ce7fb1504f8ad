package store

import (
	"errors"
	"fmt"
	"os"
)

// Online opens the store for writing. It may be called again after an error, and
// does nothing once it has worked. It checks that the slots are still those that
// Open read, and puts in order what a crash has left: a rebuild that was cut off,
// history in Badger's files, a counter that is one tick behind.
//
// ErrFull says that there is no room for that. The store can then still be read.
func (s *Store) Online() error {
	s.disk.Lock()
	defer s.disk.Unlock()
	switch err := s.ready(); {
	case err == nil:
		return nil // it is online
	case !errors.Is(err, ErrOffline):
		return err
	}
	if err := s.here(); err != nil {
		return err
	}
	if err := s.lock.takeLate(s.dir); err != nil {
		return err
	}
	rebuilt, err := s.reread()
	if err != nil {
		return err
	}
	if err := full(s.dir, openSpace+tickSpace); err != nil {
		return err
	}
	if err := finishRebuild(s.dir); err != nil {
		return err
	}
	if rebuilt != nil {
		if err := s.rebuildFrom(rebuilt); err != nil {
			return err
		}
	}
	if err := s.openCounter(); err != nil {
		return err
	}
	if err := s.openRecords(); err != nil {
		err = errors.Join(err, s.counter.close())
		s.counter = nil
		return err
	}
	if path := s.keyFile(); path != "" { // what a crash has left there, and a medium that is in
		_ = settleSecret(path, s.second)
	}
	_ = s.secure() // what is missing is looked for again before each tick
	s.mu.Lock()
	defer s.mu.Unlock()
	s.online = true
	return nil
}

// reread reads the slots once more. It returns them if they have to be rebuilt.
func (s *Store) reread() (*image, error) {
	im, err := readImage(currentRecords(s.dir))
	if err != nil {
		return nil, err
	}
	if im.sum() != s.sum {
		return nil, fmt.Errorf("slots changed since they were read: %w", ErrDamaged)
	}
	if im.rebuilt {
		return nil, nil
	}
	return im, nil
}

// rebuildFrom rebuilds a database that is not open.
func (s *Store) rebuildFrom(im *image) error {
	err := build(s.dir, s.slots, im.source(), s.cfg.faults)
	if err == nil {
		err = declareBuilt(s.dir, s.cfg.faults)
	}
	if err == nil {
		err = replaceRecords(s.dir, s.cfg.faults)
	}
	if err == nil {
		err = dropLeftovers(s.dir)
	}
	return err
}

// openCounter opens the counter and puts in order what a crash has left of it.
func (s *Store) openCounter() error {
	boxes, err := readCounters(s.dir)
	if err != nil {
		return err
	}
	key, tick := s.vault.CountKey(), s.vault.Ticks()
	defer key.Wipe()
	before := boxes
	state := boxes.judge(key, tick)
	if s.counter, err = openCounter(s.dir, before, state, s.cfg.faults); err != nil {
		return err
	}
	hook := s.cfg.faults.hook
	switch {
	case state == counterBehind:
		err = s.counter.write(s.cfg.random(), key, tick, hook)
	case state == counterClean && string(before[tick%2]) != string(boxes[tick%2]):
		err = s.counter.put(boxes[tick%2], tick%2, hook) // the end of a refresh
	}
	if err == nil {
		err = dropNextCounter(s.dir)
	}
	if err != nil {
		err = errors.Join(fmt.Errorf("putting the counter in order: %w", lateError(err)), s.counter.close())
		s.counter = nil
		return err
	}
	return nil
}

func dropNextCounter(dir string) error {
	err := os.Remove(nextCounterPath(dir))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return errors.Join(err, syncDir(dir))
}

// openRecords opens Badger on slots that are as a rebuild left them.
func (s *Store) openRecords() error {
	records := recordsDir(s.dir)
	if err := strip(records); err != nil {
		return fmt.Errorf("preparing records: %w", lateError(err))
	}
	var err error
	if s.db, err = openBadger(records, s.slots, s.cfg.faults); err != nil {
		return err
	}
	s.spare, s.pending, s.ticks = "", false, 0
	if err := materialize(records); err != nil {
		err = errors.Join(err, closeBadger(s.db))
		s.db = nil
		return err
	}
	return nil
}
