package store

import (
	"crypto/sha256"
	"errors"
	"iter"
	"os"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/vault"
)

// A Store is an open store. Its methods may be called from several goroutines, and
// none that reads waits for the disk.
type Store struct {
	cfg    Config
	dir    string
	header header
	raw    []byte      // the header as it was read
	folder os.FileInfo // dir as it was opened
	lock   *lock

	disk    sync.Mutex // held while the folder is read or written; guards what follows
	seen    [sha256.Size]byte
	db      *badger.DB // nil: offline
	counter *counter
	spare   string // path of the next memtable's log; empty: to be made
	pending bool   // a flush has not been seen to end
	ticks   int    // since the last rebuild

	mu      sync.RWMutex // guards all below; taken after disk, never held over it
	vault   *vault.Vault
	kek     secret.Key // that it was opened with
	keys    counterKeys
	behind  bool   // the counter has still to be written
	durable uint64 // ticket up to which everything is on the disk
	staged  uint64 // last ticket

	accepting bool   // a rollback was accepted, and that is not yet written
	acceptAt  uint64 // ticket that has to be durable before
	online    bool
	closed    bool
	err       error // set once: the store is poisoned
}

// level is the one that answers: the deepest that is open.
func (s *Store) level() *vault.Level { return s.vault.Level(s.vault.Depth() - 1) }

// usable returns why the store cannot be used, if so.
func (s *Store) usable() error {
	if s.closed {
		return ErrClosed
	}
	return s.err
}

// writable returns why the store cannot be written, if so.
func (s *Store) writable() error {
	if err := s.usable(); err != nil {
		return err
	}
	if !s.online {
		return ErrOffline
	}
	return nil
}

// poison makes err the answer to every later call: after a failed write or fsync
// nobody knows what is on the disk, and only a new Open can find out.
func (s *Store) poison(err error) error {
	if errors.Is(err, ErrFull) {
		err = errUnknown // ErrFull promises that nothing was written
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	return err
}

var errUnknown = errors.New("store: the disk filled up in the middle of a write")

// RolledBack reports that records are missing or old, or that the counter cannot
// vouch for them. What is there is authentic and may be read and written, but
// nothing may be sent that must not be sent twice. It stays true, over any number
// of opens and ticks, until AcceptRollback.
func (s *Store) RolledBack() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.usable() == nil && s.level().RolledBack() && !s.accepting
}

// Get returns the value of a record, or ErrNotFound, as it was staged last. The
// caller owns the slice.
func (s *Store) Get(k Key) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(); err != nil {
		return nil, err
	}
	value, ok := s.level().Get(k)
	if !ok || k.Kind == 0 {
		return nil, ErrNotFound
	}
	return value, nil
}

// Scan yields the records of one object in the order of Seq. It goes by the keys
// of the moment when it starts: records added later are not met, records deleted
// meanwhile are skipped, values are those of the moment of the yield. An error
// comes as the last pair. The loop may call any method of the store.
func (s *Store) Scan(kind Kind, object [16]byte) iter.Seq2[Record, error] {
	return s.scan(func(l *vault.Level) []Key { return l.Keys(kind, object) })
}

// ScanKind is [Store.Scan] over every record of a kind, ordered by Object, then
// Seq.
func (s *Store) ScanKind(kind Kind) iter.Seq2[Record, error] {
	return s.scan(func(l *vault.Level) []Key { return l.KindKeys(kind) })
}

func (s *Store) scan(list func(*vault.Level) []Key) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		s.mu.RLock()
		err := s.usable()
		var keys []Key
		if err == nil {
			keys = list(s.level())
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

// Usage is how full the store is, as far as what is open may know.
type Usage struct {
	Slots uint32 // of the store
	Used  int64  // bytes taken by the records that are open, whole pages
	Limit int64  // that they may take
}

// Usage returns how full the store is.
func (s *Store) Usage() Usage {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.usable() != nil {
		return Usage{}
	}
	u := s.level().Usage()
	return Usage{Slots: s.header.slots, Used: int64(u.Pages) * vault.SlotSize, Limit: int64(u.Limit) * vault.SlotSize}
}
