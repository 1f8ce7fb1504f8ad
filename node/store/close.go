package store

import (
	"errors"

	"github.com/backchannel/backchannel/protocol/secret"
)

// Close wipes the keys and records and lets the lock go. If the store was online,
// its records are rebuilt without history before, if the disk has room for that:
// else the next Online does. Closing again does nothing. If the folder cannot be
// written any more, Badger cannot be stopped: Close then returns an error, the lock
// and Badger's goroutines stay until the process ends, and nothing that was durable
// is lost.
func (s *Store) Close() error {
	s.disk.Lock()
	defer s.disk.Unlock()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	poisoned := s.err != nil
	s.closed = true
	s.vault.Wipe()
	s.keys.wipe()
	s.kek.Wipe()
	s.kek = secret.Key{}
	s.mu.Unlock()
	var cerr error
	if s.counter != nil {
		cerr = s.counter.close()
	}
	if s.db == nil {
		return errors.Join(cerr, s.lock.release())
	}
	if s.here() != nil || errors.Join(writable(s.dir), writable(recordsDir(s.dir))) != nil {
		return errors.Join(errStuck, cerr)
	}
	err := dropReserve(s.dir) // the blocks are for what follows
	if err == nil && (s.ticks > 0 || s.pending) && full(s.dir, commitSpace) != nil {
		err = errStuck // there is something to flush, and no room
	}
	if err == nil {
		err = s.stop()
	}
	if err != nil {
		return errors.Join(err, cerr)
	}
	if !poisoned {
		err = s.leave()
	}
	_ = holdReserve(s.dir)
	return errors.Join(err, cerr, s.lock.release())
}

// leave rebuilds the records after Badger was closed.
func (s *Store) leave() error {
	if !s.roomToRebuild() {
		return nil
	}
	found, err := readSlots(recordsDir(s.dir), s.header.slots)
	if err != nil {
		return err
	}
	return s.replace(found)
}
