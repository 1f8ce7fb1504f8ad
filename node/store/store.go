package store

import (
	"crypto/subtle"
	"errors"
	"iter"
	"os"
	"sync"

	"github.com/dgraph-io/badger/v4"
)

// A Store is an open store. Its methods may be called from several goroutines.
type Store struct {
	cfg    Config
	dir    string
	header header
	lock   *lock

	mu         sync.RWMutex // guards all below; read-locked by readers
	keys       keys
	db         *badger.DB
	counter    *counter
	index      *index
	generation uint64 // of the last commit, in Badger or the counter
	highest    uint64 // of any record at open
	rolledBack bool
	spare      string // path of the next memtable's log; empty: to be made
	pending    bool   // a flush has not been seen to end
	crowd      int    // level-0 tables after the last flush
	written    bool   // something was committed since the open
	closed     bool
	err        error // set once: the store is poisoned
}

// RolledBack reports that records are missing or old, or that the counter cannot
// vouch for them. What is there is authentic and may be read and written, but
// nothing may be sent that must not be sent twice. It stays true, over any number
// of opens and commits, until AcceptRollback.
func (s *Store) RolledBack() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.rolledBack
}

// AcceptRollback makes the present records the state that the next Open expects.
// Call it after dropping, with Commit, whatever must not be taken up again. If
// the process dies on the way, the next Open is rolled back still or clean.
func (s *Store) AcceptRollback() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(); err != nil || !s.rolledBack {
		return err
	}
	if err := s.secure(); err != nil {
		return err
	}
	// Two generations on: Badger alone is then too far ahead to be taken for a
	// commit in flight, until the first of the two counters is written as well.
	m := mark{s.generation + 2, s.index.sum}
	before := mark{s.generation + 1, s.index.sum}
	err := s.writeBadger(nil, control{mark: m})
	if err == nil {
		err = s.counter.write(s.keys, s.cfg.random(), before, s.cfg.faults.hook)
	}
	if err == nil {
		err = s.counter.write(s.keys, s.cfg.random(), m, s.cfg.faults.hook)
	}
	if err != nil {
		return s.poison(err)
	}
	s.generation, s.rolledBack, s.written = m.generation, false, true
	_ = forgetLost(recordsDir(s.dir))
	s.tidy()
	return nil
}

// Get returns the value of a record, or ErrNotFound. The caller owns the slice.
func (s *Store) Get(k Key) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(); err != nil {
		return nil, err
	}
	e, ok := s.index.entries[k]
	if !ok {
		return nil, ErrNotFound
	}
	var p plain
	name := s.keys.nameOf(k)
	err := guard(func() error {
		return s.db.View(func(txn *badger.Txn) error {
			item, err := txn.Get(name[:])
			if err != nil {
				return err
			}
			return item.Value(func(sealed []byte) error {
				p, err = s.keys.open(name[:], sealed)
				return err
			})
		})
	})
	if err != nil || p.key != k || p.generation != e.generation {
		return nil, ErrDamaged // it was there and whole at open
	}
	return p.value, nil
}

// Scan yields the records of one object in the order of Seq. It goes by the keys
// of the moment when it starts: records added later are not met, records deleted
// meanwhile are skipped, values are those of the moment of the yield. An error
// comes as the last pair. The loop may call any method of the store.
func (s *Store) Scan(kind Kind, object [16]byte) iter.Seq2[Record, error] {
	return s.scan(func() []Key { return s.index.of(kind, object) })
}

// ScanKind is [Store.Scan] over every record of a kind, ordered by Object, then
// Seq.
func (s *Store) ScanKind(kind Kind) iter.Seq2[Record, error] {
	return s.scan(func() []Key { return s.index.ofKind(kind) })
}

func (s *Store) scan(list func() []Key) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		s.mu.RLock()
		err := s.usable()
		var keys []Key
		if err == nil {
			keys = list()
		}
		s.mu.RUnlock()
		if err != nil {
			yield(Record{}, err)
			return
		}
		for _, k := range keys {
			v, err := s.Get(k)
			if errors.Is(err, ErrNotFound) {
				continue
			}
			if err != nil {
				yield(Record{}, err)
				return
			}
			if !yield(Record{k, v}, nil) {
				return
			}
		}
	}
}

// Verify reports whether this is the passphrase of the store, at the price of
// opening it. It is for lifting a screen lock: keys stay in memory either way.
func (s *Store) Verify(passphrase []byte) bool {
	s.mu.RLock()
	err := s.usable()
	s.mu.RUnlock()
	if err != nil {
		return false
	}
	p, err := normalize(passphrase)
	if err != nil {
		return false
	}
	defer clear(p)
	root := stretch(p, s.header, s.cfg.Cost)
	defer root.Wipe()
	k, check := deriveKeys(root)
	k.wipe()
	return subtle.ConstantTimeCompare(check[:], s.header.check[:]) == 1
}

// Close wipes the keys, flushes and closes Badger and lets the lock go. Closing
// again does nothing. If the folder cannot be written any more, Badger cannot be
// stopped: Close then returns an error, the lock and Badger's goroutines stay
// until the process ends, and nothing that was committed is lost.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.keys.wipe()
	s.index = newIndex()
	cerr := s.counter.close()
	if s.db == nil { // a purge could not open it again
		return errors.Join(cerr, s.lock.release())
	}
	if s.lock.here(s.dir) != nil || writable(recordsDir(s.dir)) != nil {
		return errors.Join(errStuck, cerr)
	}
	err := dropReserve(s.dir) // the blocks are for what follows
	if err == nil && (s.written || s.pending) && full(s.dir, commitSpace) != nil {
		err = errStuck // there is something to flush, and no room
	}
	if err == nil {
		err = s.shut()
	}
	if err != nil {
		return errors.Join(err, cerr)
	}
	_ = holdReserve(s.dir)
	return errors.Join(cerr, s.lock.release())
}

// shut closes Badger and removes what only an open store needs.
func (s *Store) shut() error {
	total, _ := tableBytes(s.db)
	if err := closeBadger(s.db); err != nil {
		return err
	}
	if s.spare != "" {
		if err := os.Remove(s.spare); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if s.written && s.err == nil && full(s.dir, total+openSpace+commitSpace+reserveSize) == nil {
		settle(recordsDir(s.dir))
	}
	return nil
}

// usable returns why the store cannot be used, if so.
func (s *Store) usable() error {
	if s.closed {
		return ErrClosed
	}
	return s.err
}

// poison makes err the answer to every later call: after a failed write or fsync
// nobody knows what is on the disk, and only a new Open can find out.
func (s *Store) poison(err error) error {
	s.err = err
	return err
}
