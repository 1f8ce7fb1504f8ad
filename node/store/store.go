package store

import (
	"crypto/sha256"
	"errors"
	"iter"
	"os"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/vault"
)

// A Store is an open store: its deepest open level. Its methods may be called from
// several goroutines; reads do not wait for a tick that is being written.
type Store struct {
	cfg    Config
	dir    string
	store  [storeSize]byte
	slots  uint32
	sum    [sha256.Size]byte // of the nonces that Open found
	making time.Duration     // what a refresh waits for before it makes a file
	header os.FileInfo       // tells whether the folder is still the same one
	lock   *lock

	rotating sync.Mutex // held while the key file is written; taken before disk

	disk    sync.Mutex // guards the next five; taken before mu
	db      *badger.DB
	counter *counter
	spare   string // path of the next memtable's log; empty: to be made
	pending bool   // a flush has not been seen to end
	ticks   int    // since the last rebuild

	mu        sync.Mutex // guards all below
	vault     *vault.Vault
	kek       secret.Key // of the deepest open level
	second    secret.Key // in the key file; zero: there is none
	staged    uint64     // last ticket that was handed out
	durable   uint64
	views     []*View  // given out since the last refresh
	accepting []uint64 // by level: the ticket with which a rollback is accepted, plus 1; else 0
	online    bool
	closed    bool
	err       error // set once: the store is poisoned
}

// Usage returns how full the deepest open level is.
func (s *Store) Usage() Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return Usage{}
	}
	return s.level().Usage()
}

// Get returns the value of a record, or ErrNotFound. The caller owns the slice.
func (s *Store) Get(k Key) ([]byte, error) { return s.get(nil, k) }

func (s *Store) get(v *View, k Key) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.of(v)
	if err != nil {
		return nil, err
	}
	if k.Kind == 0 {
		return nil, ErrNotFound
	}
	value, ok := l.Get(k)
	if !ok {
		return nil, ErrNotFound
	}
	return value, nil
}

// Scan yields the records of one object in the order of Seq. It goes by the keys
// of the moment when it starts: records added later are not met, records deleted
// meanwhile are skipped, values are those of the moment of the yield. An error
// comes as the last pair. The loop may call any method of the store.
func (s *Store) Scan(kind Kind, object [16]byte) iter.Seq2[Record, error] {
	return s.scan(nil, func(l *vault.Level) []Key { return l.Keys(kind, object) })
}

// ScanKind is [Store.Scan] over every record of a kind, ordered by Object, then
// Seq.
func (s *Store) ScanKind(kind Kind) iter.Seq2[Record, error] {
	return s.scan(nil, func(l *vault.Level) []Key { return l.KindKeys(kind) })
}

func (s *Store) scan(v *View, list func(*vault.Level) []Key) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		s.mu.Lock()
		l, err := s.of(v)
		var keys []Key
		if err == nil {
			keys = list(l)
		}
		s.mu.Unlock()
		if err != nil {
			yield(Record{}, err)
			return
		}
		for _, k := range keys {
			value, err := s.get(v, k)
			if errors.Is(err, ErrNotFound) {
				continue
			}
			if err != nil {
				yield(Record{}, err)
				return
			}
			if !yield(Record{k, value}, nil) {
				return
			}
		}
	}
}

// Close wipes the keys and lets the lock go. A store that was online is rebuilt
// without history first, if there is room; the next Online makes up for it if not.
// What was staged and is not durable is lost. Closing again does nothing.
//
// If the folder cannot be written any more, Badger cannot be stopped: Close then
// returns an error, the lock and Badger's goroutines stay until the process ends,
// and nothing that was durable is lost.
func (s *Store) Close() error {
	s.disk.Lock()
	defer s.disk.Unlock()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	poisoned := s.err != nil
	s.vault.Wipe()
	s.kek.Wipe()
	s.second.Wipe()
	s.mu.Unlock()
	var cerr error
	if s.counter != nil {
		cerr = s.counter.close()
	}
	if s.db == nil { // never online, or a rebuild could not open it again
		return errors.Join(cerr, s.lock.release())
	}
	if err := s.closeRecords(poisoned); err != nil {
		return errors.Join(err, cerr)
	}
	return errors.Join(cerr, s.lock.release())
}

// closeRecords rebuilds the database and closes it.
func (s *Store) closeRecords(poisoned bool) error {
	at, err := os.Stat(headerPath(s.dir))
	if err != nil || !os.SameFile(at, s.header) || writable(s.dir) != nil || writable(recordsDir(s.dir)) != nil {
		return errStuck
	}
	if err := dropReserve(s.dir); err != nil { // the blocks are for what follows
		return err
	}
	if full(s.dir, tickSpace) != nil {
		return errStuck // there may be something to flush, and no room
	}
	rebuild := !poisoned &&
		full(s.dir, tickSpace+openSpace+tablesSpace(s.slots)+reserveSize) == nil &&
		build(s.dir, s.slots, sourceIn(s.db), s.cfg.faults) == nil
	if rebuild {
		if err := declareBuilt(s.dir, s.cfg.faults); err != nil {
			return err
		}
	}
	if err := s.shut(); err != nil {
		return err
	}
	if rebuild {
		if err := replaceRecords(s.dir, s.cfg.faults); err != nil {
			return err
		}
	}
	err = dropLeftovers(s.dir)
	s.cfg.faults.hook(stepOldGone)
	_ = holdReserve(s.dir)
	return err
}

// usable returns why the store cannot be used, if so.
func (s *Store) usable() error {
	if s.closed {
		return ErrClosed
	}
	return s.err
}

// writable returns why nothing can be written, if so.
func (s *Store) writable() error {
	if err := s.usable(); err != nil {
		return err
	}
	if !s.online {
		return ErrOffline
	}
	return nil
}

// ready is writable for who does not hold mu.
func (s *Store) ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writable()
}

// poison makes err the answer to every later call: after a failed write or fsync
// nobody knows what is on the disk, and only a new Open can find out.
func (s *Store) poison(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
	return err
}
