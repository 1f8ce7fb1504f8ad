package store

import (
	"errors"
	"fmt"
	"os"

	"github.com/dgraph-io/badger/v4"
)

// Commit makes all writes durable, or none. With no writes it does nothing.
//
// ErrTooLarge, ErrKind, ErrFull and a refused permission leave the store as it
// was. Any other error poisons it: what the disk holds is then known only to the
// next Open, which finds either all of the commit or nothing of it.
func (s *Store) Commit(writes ...Write) error {
	if err := CheckWrites(writes); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(); err != nil || len(writes) == 0 {
		return err
	}
	if err := s.secure(); err != nil {
		if errors.Is(err, ErrFull) || errors.Is(err, os.ErrPermission) {
			return err
		}
		return s.poison(err)
	}
	if err := s.commit(writes, mark{generation: s.generation + 1}); err != nil {
		return s.poison(err)
	}
	s.cfg.faults.hook(stepTidy)
	s.tidy()
	s.cfg.faults.hook(stepEnd)
	return nil
}

// change is one write, sealed.
type change struct {
	key    Key
	name   [nameSize]byte
	sealed []byte // nil: delete
	entry  entry
}

// commit writes generation m to Badger, then to the counter, then to the index;
// m's digest is worked out here. The counter of a rolled-back store is left as
// it was, as evidence.
func (s *Store) commit(writes []Write, m mark) error {
	s.cfg.faults.hook(stepBegin)
	changes, sum, err := s.sealAll(writes, m.generation)
	if err != nil {
		return err
	}
	m.digest = sum
	if err := s.writeBadger(changes, control{mark: m, tainted: s.rolledBack}); err != nil {
		return err
	}
	if !s.rolledBack {
		if err := s.counter.write(s.keys, s.cfg.random(), m, s.cfg.faults.hook); err != nil {
			return err
		}
	}
	s.generation, s.written = m.generation, true
	for _, c := range changes {
		if c.sealed == nil {
			s.index.remove(c.key)
		} else {
			s.index.put(c.key, c.entry)
		}
	}
	return nil
}

// sealAll seals the writes, the last one to each key, and works out the digest
// that they lead to.
func (s *Store) sealAll(writes []Write, generation uint64) ([]change, digest, error) {
	last := make(map[Key]int, len(writes))
	for i, w := range writes {
		last[w.Key] = i
	}
	sum := s.index.sum
	changes := make([]change, 0, len(last))
	for i, w := range writes {
		if last[w.Key] != i {
			continue
		}
		if old, ok := s.index.entries[w.Key]; ok {
			sum = sum.sub(old.term)
		} else if w.Delete {
			continue
		}
		c := change{key: w.Key, name: s.keys.nameOf(w.Key)}
		if !w.Delete {
			var err error
			c.name, c.sealed, err = s.keys.seal(s.cfg.random(), plain{generation, w.Key, w.Value})
			if err != nil {
				return nil, sum, fmt.Errorf("sealing: %w", err)
			}
			c.entry = entry{generation, s.keys.term(c.name, generation, c.sealed)}
			sum = sum.add(c.entry.term)
		}
		changes = append(changes, c)
	}
	return changes, sum, nil
}

// writeBadger commits changes and the control record in one synced transaction.
func (s *Store) writeBadger(changes []change, c control) error {
	name, sealed, err := s.keys.seal(s.cfg.random(), plain{c.generation, Key{}, appendControl(nil, c)})
	if err != nil {
		return fmt.Errorf("sealing: %w", err)
	}
	s.cfg.faults.hook(stepBadger)
	err = guard(func() error {
		txn := s.db.NewTransaction(true)
		defer txn.Discard()
		for _, c := range changes {
			if c.sealed == nil {
				err = txn.Delete(c.name[:])
			} else {
				err = txn.SetEntry(badger.NewEntry(c.name[:], c.sealed))
			}
			if err != nil {
				return err
			}
		}
		if err := txn.SetEntry(badger.NewEntry(name[:], sealed)); err != nil {
			return err
		}
		return txn.Commit()
	})
	if err != nil {
		return fmt.Errorf("committing: %w", writeError(err))
	}
	s.cfg.faults.hook(stepBadgerDone)
	return nil
}

// secure makes sure that a commit cannot run out of disk half-way, and that it
// goes into the folder that is there. Its errors leave nothing written.
func (s *Store) secure() error {
	if err := s.lock.here(s.dir); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return s.poison(ErrMissing)
		}
		return fmt.Errorf("looking at store: %w", err)
	}
	records := recordsDir(s.dir)
	if s.spare != "" {
		if _, err := os.Stat(s.spare); errors.Is(err, os.ErrNotExist) {
			return s.poison(ErrMissing)
		}
	}
	if err := errors.Join(writable(records), writable(s.dir)); err != nil {
		return fmt.Errorf("looking at store: %w", err)
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
	if s.crowd >= compactAt {
		if s.compact(); s.crowd >= refuseAt {
			return ErrFull
		}
	}
	return nil
}

// tidy does after a commit what Badger would do in the background: it waits for
// the flush, if the commit set one off, and prepares the next memtable's log.
// What fails here is tried again before the next commit.
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
	s.compact()
}

// compact merges all tables when there are enough new ones, if the disk has room
// for a second copy of them.
func (s *Store) compact() {
	total, zero := tableBytes(s.db)
	if zero >= compactAt && full(s.dir, total+commitSpace) == nil {
		_ = guard(func() error { return s.db.Flatten(1) })
		_, zero = tableBytes(s.db)
	}
	s.crowd = zero
}
