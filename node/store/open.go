package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// flushWait bounds the wait for a memtable's flush, which takes milliseconds.
const flushWait = 5 * time.Second

// Open opens the store in cfg.Dir for this process alone. Besides wrapped system
// errors it returns ErrMissing, ErrDamaged, ErrNewer, ErrPassphrase, ErrFull or
// an *InUseError; ErrDamaged says that a file cannot be read as it is, whatever
// the passphrase. Look at [Store.RolledBack] before anything else.
func Open(cfg Config, passphrase []byte) (*Store, error) {
	if _, err := readHeader(cfg); err != nil {
		return nil, err
	}
	l, err := takeLock(cfg.Dir)
	if err != nil {
		return nil, err
	}
	s, err := openAny(cfg, l, passphrase)
	if err != nil {
		return nil, errors.Join(err, l.release())
	}
	return s, nil
}

// openAny opens a store whose lock is held, after an upgrade if its format is an
// older one.
func openAny(cfg Config, l *lock, passphrase []byte) (*Store, error) {
	if err := settleUpgrade(cfg); err != nil {
		return nil, err
	}
	h, err := readHeader(cfg)
	if err == nil && h.version < cfg.known().current {
		if err = upgrade(cfg, h.version, l, passphrase); err == nil {
			h, err = readHeader(cfg)
		}
	}
	if err != nil {
		return nil, err
	}
	return openLocked(cfg, h, l, passphrase)
}

func openLocked(cfg Config, h header, l *lock, passphrase []byte) (*Store, error) {
	records := recordsDir(cfg.Dir)
	if err := finishPurge(cfg.Dir); err != nil {
		return nil, err
	}
	if err := checkFiles(records); err != nil {
		return nil, err
	}
	if err := l.sign(); err != nil {
		return nil, err
	}
	k, err := unlock(h, passphrase, cfg.Cost)
	if err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, dir: cfg.Dir, header: h, lock: l, keys: k}
	if err := s.start(records); err != nil {
		k.wipe()
		return nil, err
	}
	return s, nil
}

// start opens Badger and the counter and compares them.
func (s *Store) start(records string) error {
	if err := makeRoom(s.dir); err != nil {
		return err
	}
	if err := prepare(records); err != nil {
		return fmt.Errorf("preparing records: %w", err)
	}
	var err error
	if s.db, err = openBadger(records, s.cfg.faults); err != nil {
		return err
	}
	s.pending = !flushed(records, flushWait)
	err = materialize(records)
	if err == nil {
		s.counter, err = openCounter(s.dir, s.cfg.faults.wrap())
	}
	if err == nil {
		err = s.judge()
	}
	if err != nil {
		if s.counter != nil {
			_ = s.counter.close()
		}
		return errors.Join(err, closeBadger(s.db))
	}
	// From here on the store can be read. What a commit needs beyond that is
	// looked for again before each one.
	if !s.rolledBack {
		_ = forgetLost(records)
	}
	_ = dropLeftovers(s.dir)
	_, s.crowd = tableBytes(s.db)
	_ = s.secure()
	return nil
}

// readHeader reads the header; a folder of ours without one is damaged.
func readHeader(cfg Config) (header, error) {
	f, err := os.Open(headerPath(cfg.Dir))
	if errors.Is(err, os.ErrNotExist) {
		if _, err := os.Lstat(recordsDir(cfg.Dir)); err == nil {
			return header{}, ErrDamaged
		}
		return header{}, ErrMissing
	}
	if err != nil {
		return header{}, fmt.Errorf("reading header: %w", readError(err))
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxHeaderSize+1))
	if err != nil {
		return header{}, ErrDamaged
	}
	return parseHeader(b, cfg.known().current)
}

// judge reads every record, and holds the digest over them against the control
// record in Badger and the counter outside it; docs/spec/store.md, section
// Rollback, has the table.
func (s *Store) judge() error {
	control, err := s.load()
	if err != nil {
		return err
	}
	newest, state := s.counter.read(s.keys)
	s.generation = max(control.generation, newest.generation)
	s.rolledBack = control.tainted || control.digest != s.index.sum || s.highest > control.generation
	switch {
	case control.generation == newest.generation:
		s.rolledBack = s.rolledBack || state != counterWhole || control.digest != newest.digest
	case control.generation == newest.generation+1 && state != counterGone:
		if !s.rolledBack { // the process died between Badger and the counter
			return s.counter.write(s.keys, s.cfg.random(), control.mark, s.cfg.faults.hook)
		}
	default:
		s.rolledBack = true
	}
	return nil
}

// load reads Badger whole and builds the index. Without a control record it
// returns the zero one, which no counter agrees with.
func (s *Store) load() (control, error) {
	s.index = newIndex()
	var found control
	err := guard(func() error {
		return s.db.View(func(txn *badger.Txn) error {
			it := txn.NewIterator(badger.IteratorOptions{})
			defer it.Close()
			for it.Rewind(); it.Valid(); it.Next() {
				item := it.Item()
				if err := item.Value(func(sealed []byte) error {
					return s.take(&found, item.Key(), sealed)
				}); err != nil {
					return ErrDamaged
				}
			}
			return nil
		})
	})
	return found, err
}

// take puts one record found in Badger into the index.
func (s *Store) take(found *control, name, sealed []byte) error {
	p, err := s.keys.open(name, sealed)
	if err != nil {
		return err
	}
	defer clear(p.value)
	if p.key == (Key{}) {
		*found, err = parseControl(p.value)
		return err
	}
	if p.key.Kind == 0 {
		return errRecord
	}
	s.highest = max(s.highest, p.generation)
	s.index.put(p.key, entry{p.generation, s.keys.term([nameSize]byte(name), p.generation, sealed)})
	return nil
}
