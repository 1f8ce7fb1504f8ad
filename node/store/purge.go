package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/ristretto/v2/z"
)

// A purge builds the database anew beside its place, from the live records alone,
// and puts it where the old one was; docs/spec/store.md, section Purge. What was
// deleted or replaced is in no file of the folder after it, and every record has
// the generation of the purge: which ones were written late does not show.
func freshDir(dir string) string  { return recordsDir(dir) + ".new" }
func formerDir(dir string) string { return recordsDir(dir) + ".old" }

// purgeBatch is how many bytes of records are handed to Badger at once.
const purgeBatch = 1 << 20

// Purge takes every deleted and every replaced value out of the folder's files.
// It seals and writes all live records again, which takes about a second for
// 50 MB, and nothing else can be done meanwhile.
//
// ErrFull and a refused permission leave the store as it was. Any other error
// poisons it, as in Commit. If the process dies on the way, the next Open finds
// the records whole, and finishes what was begun or takes it back.
func (s *Store) Purge() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(); err != nil {
		return err
	}
	if err := s.secure(); err != nil {
		return err
	}
	total, _ := tableBytes(s.db)
	if err := full(s.dir, total+memFileSize+openSpace+commitSpace); err != nil {
		return err
	}
	m := mark{generation: s.generation + 1}
	fresh, err := s.rebuild(m.generation)
	if err != nil {
		return errors.Join(err, os.RemoveAll(freshDir(s.dir)))
	}
	s.cfg.faults.hook(stepPurgeBuilt)
	if err := s.exchange(); err != nil {
		return s.poison(err)
	}
	m.digest = fresh.sum
	s.index, s.generation, s.written, s.highest = fresh, m.generation, true, m.generation
	if !s.rolledBack {
		if err := s.counter.write(s.keys, s.cfg.random(), m, s.cfg.faults.hook); err != nil {
			return s.poison(err)
		}
	}
	s.cfg.faults.hook(stepPurgeCounted)
	if err := dropLeftovers(s.dir); err != nil {
		return s.poison(err)
	}
	_, s.crowd = tableBytes(s.db)
	_ = s.secure() // what fails here is tried again before the next commit
	return nil
}

// rebuild fills the fresh folder with all live records, sealed anew under one
// generation, and makes it durable.
func (s *Store) rebuild(generation uint64) (*index, error) {
	dir := freshDir(s.dir)
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("clearing records: %w", writeError(err))
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making records: %w", writeError(err))
	}
	db, err := openBadger(dir, nil)
	if err != nil {
		return nil, err
	}
	var fresh *index
	err = guard(func() error {
		fresh, err = s.copyInto(db, generation)
		return err
	})
	if err == nil {
		to := &Store{cfg: s.cfg, keys: s.keys, db: db}
		err = to.writeBadger(nil, control{mark: mark{generation, fresh.sum}, tainted: s.rolledBack})
	}
	if err := errors.Join(err, closeBadger(db)); err != nil {
		return nil, err
	}
	return fresh, syncFiles(dir)
}

// copyInto writes the live records into an empty database, in the order of their
// names, and returns what they are.
func (s *Store) copyInto(db *badger.DB, generation uint64) (*index, error) {
	fresh := newIndex()
	w := db.NewStreamWriter()
	if err := w.Prepare(); err != nil {
		w.Cancel()
		return nil, writeError(err)
	}
	buf := z.NewBuffer(2*purgeBatch, "purge")
	defer func() { _ = buf.Release() }()
	err := s.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			name, sealed, err := s.again(it.Item(), generation, fresh)
			if err != nil {
				return err
			}
			if sealed == nil {
				continue
			}
			badger.KVToBuffer(&pb.KV{Key: name, Value: sealed, Version: 1}, buf)
			if buf.LenNoPadding() < purgeBatch {
				continue
			}
			if err := w.Write(buf); err != nil {
				return err
			}
			buf.Reset()
		}
		return w.Write(buf)
	})
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		w.Cancel()
		return nil, writeError(err)
	}
	if len(fresh.entries) != len(s.index.entries) {
		return nil, ErrDamaged
	}
	return fresh, nil
}

// again seals one record anew and adds it to the index. The control record gives
// nothing: it is written when the digest is known.
func (s *Store) again(item *badger.Item, generation uint64, fresh *index) (name, sealed []byte, err error) {
	err = item.Value(func(old []byte) error {
		p, err := s.keys.open(item.Key(), old)
		if err != nil {
			return ErrDamaged
		}
		defer clear(p.value)
		if p.key == (Key{}) {
			return nil
		}
		if s.index.entries[p.key].generation != p.generation {
			return ErrDamaged
		}
		at, box, err := s.keys.seal(s.cfg.random(), plain{generation, p.key, p.value})
		if err != nil {
			return err
		}
		fresh.put(p.key, entry{generation, s.keys.term(at, generation, box)})
		name, sealed = at[:], box
		return nil
	})
	return name, sealed, err
}

// exchange closes the old database, puts the fresh one in its place and opens it.
// A crash between the two renames is mended by [finishPurge].
func (s *Store) exchange() error {
	db := s.db
	s.db, s.spare = nil, ""
	if err := closeBadger(db); err != nil {
		s.db = db
		return err
	}
	records := recordsDir(s.dir)
	if err := os.RemoveAll(formerDir(s.dir)); err != nil {
		return fmt.Errorf("clearing records: %w", err)
	}
	if err := errors.Join(os.Rename(records, formerDir(s.dir)), syncDir(s.dir)); err != nil {
		return fmt.Errorf("putting records aside: %w", err)
	}
	s.cfg.faults.hook(stepPurgeAside)
	if err := errors.Join(os.Rename(freshDir(s.dir), records), syncDir(s.dir)); err != nil {
		return fmt.Errorf("putting records in place: %w", err)
	}
	s.cfg.faults.hook(stepPurgeInPlace)
	var err error
	if s.db, err = openBadger(records, nil); err != nil {
		return err
	}
	s.pending = !flushed(records, flushWait)
	return materialize(records)
}

// finishPurge puts fresh records in place if a crash left the place empty. They
// were whole and durable before the old ones were put aside.
func finishPurge(dir string) error {
	if _, err := os.Lstat(recordsDir(dir)); !errors.Is(err, os.ErrNotExist) {
		return nil
	}
	err := os.Rename(freshDir(dir), recordsDir(dir))
	if errors.Is(err, os.ErrNotExist) {
		return nil // then there is nothing to finish: the checks say what is missing
	}
	if err = errors.Join(err, syncDir(dir)); err != nil {
		return fmt.Errorf("finishing a purge: %w", err)
	}
	return nil
}

// dropLeftovers removes what a purge, whole or cut off, leaves beside the records.
func dropLeftovers(dir string) error {
	if err := errors.Join(os.RemoveAll(formerDir(dir)), os.RemoveAll(freshDir(dir)), syncDir(dir)); err != nil {
		return fmt.Errorf("removing old records: %w", err)
	}
	return nil
}

// syncFiles makes a folder and every file in it durable.
func syncFiles(dir string) error {
	found, err := files(dir)
	if err != nil {
		return fmt.Errorf("syncing records: %w", err)
	}
	for name := range found {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0)
		if err != nil {
			return fmt.Errorf("syncing records: %w", err)
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return fmt.Errorf("syncing records: %w", writeError(err))
		}
	}
	return syncDir(dir)
}
