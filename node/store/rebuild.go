package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/ristretto/v2/z"

	"github.com/backchannel/backchannel/protocol/vault"
)

// A rebuild writes every slot once, as it is, into a database beside its place, and
// puts that where the old one was; docs/spec/store.md, section Rebuild. What was in
// a slot before is in no file of the folder after it, and what files there are
// depends on the number of slots alone.
func freshDir(dir string) string  { return recordsDir(dir) + ".new" }
func builtDir(dir string) string  { return recordsDir(dir) + ".built" }
func formerDir(dir string) string { return recordsDir(dir) + ".old" }

const (
	rebuiltVersion = 1       // Badger's version of every slot after a rebuild
	rebuildBatch   = 1 << 20 // bytes of slots that are handed to Badger at once
)

// A source gives all slots in ascending order, and stops at an error of yield.
type source func(yield func(index uint32, slot []byte) error) error

// slots is the source of an image.
func (im *image) source() source {
	return func(yield func(uint32, []byte) error) error {
		for i, slot := range im.slots {
			if err := yield(uint32(i), slot[:]); err != nil {
				return err
			}
		}
		return nil
	}
}

// sourceOf is the source of slots that are all made anew.
func sourceOf(all vault.All) source {
	return func(yield func(uint32, []byte) error) error {
		for i, slot := range all {
			if err := yield(i, slot[:]); err != nil {
				return err
			}
		}
		return nil
	}
}

// sourceIn is the source of an open database.
func sourceIn(db *badger.DB) source {
	return func(yield func(uint32, []byte) error) error {
		return db.View(func(txn *badger.Txn) error {
			it := txn.NewIterator(badger.IteratorOptions{})
			defer it.Close()
			for it.Rewind(); it.Valid(); it.Next() {
				if len(it.Item().Key()) != keySize {
					return ErrDamaged
				}
				index := binary.BigEndian.Uint32(it.Item().Key())
				if err := it.Item().Value(func(slot []byte) error { return yield(index, slot) }); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// build makes the fresh folder of a store with n slots, durable. What fails leaves
// no folder, and the old slots as they were.
func build(dir string, n uint32, from source, f *faults) error {
	fresh := freshDir(dir)
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("clearing records: %w", lateError(err))
	}
	if err := full(dir, tablesSpace(n)+openSpace); err != nil {
		return err
	}
	err := os.Mkdir(fresh, 0o700)
	if err == nil {
		err = fill(fresh, n, from, f)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("building records: %w", lateError(err)), os.RemoveAll(fresh))
	}
	f.hook(stepBuilt)
	return nil
}

// fill writes a database, and leaves of its files what holds something.
func fill(fresh string, n uint32, from source, f *faults) error {
	db, err := openBadger(fresh, n, f)
	if err != nil {
		return err
	}
	err = guard(func() error { return stream(db, n, from, f) })
	if err := errors.Join(err, closeBadger(db)); err != nil {
		return err
	}
	if err := strip(fresh); err != nil {
		return err
	}
	return syncFiles(fresh)
}

// stream writes the slots into an empty database.
func stream(db *badger.DB, n uint32, from source, f *faults) error {
	w := db.NewStreamWriter()
	if err := w.Prepare(); err != nil {
		w.Cancel()
		return err
	}
	buf := z.NewBuffer(2*rebuildBatch, "rebuild")
	defer func() { _ = buf.Release() }()
	next := uint32(0)
	err := from(func(index uint32, slot []byte) error {
		if index != next || len(slot) != vault.SlotSize {
			return ErrDamaged
		}
		next++
		badger.KVToBuffer(&pb.KV{Key: slotKey(index), Value: slot, Version: rebuiltVersion}, buf)
		if buf.LenNoPadding() < rebuildBatch {
			return nil
		}
		f.hook(stepBuilding)
		defer buf.Reset()
		return w.Write(buf)
	})
	if err == nil {
		err = w.Write(buf)
	}
	if err == nil && next != n {
		err = ErrDamaged
	}
	if err != nil {
		w.Cancel()
		return err
	}
	return w.Flush()
}

// strip removes what Badger makes anew and what holds nothing in this format:
// logs, value logs, discard counts and the key registry. Their times and random
// numbers would only tell of the past.
func strip(dir string) error {
	found, err := files(dir)
	if err != nil {
		return err
	}
	for name := range found {
		if name == badger.ManifestFilename || filepath.Ext(name) == ".sst" {
			continue
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// declareBuilt gives the fresh folder the name by which its slots are the store's
// from now on, whatever becomes of the old ones: closing the old database can fail,
// and leave files that cannot be read. After an error the store must not go on with
// the old ones, as it is not known which of them the next Open takes.
func declareBuilt(dir string, f *faults) error {
	if err := errors.Join(os.Rename(freshDir(dir), builtDir(dir)), syncDir(dir)); err != nil {
		return fmt.Errorf("ending a rebuild: %w", lateError(err))
	}
	f.hook(stepDeclared)
	return nil
}

// replaceRecords puts the built slots where the old ones are, if a crash has not
// put these aside already.
func replaceRecords(dir string, f *faults) error {
	records := recordsDir(dir)
	if _, err := os.Lstat(records); err == nil {
		if err := os.RemoveAll(formerDir(dir)); err != nil {
			return fmt.Errorf("clearing records: %w", lateError(err))
		}
		if err := errors.Join(os.Rename(records, formerDir(dir)), syncDir(dir)); err != nil {
			return fmt.Errorf("putting records aside: %w", lateError(err))
		}
	}
	f.hook(stepAside)
	if err := errors.Join(os.Rename(builtDir(dir), records), syncDir(dir)); err != nil {
		return fmt.Errorf("putting records in place: %w", lateError(err))
	}
	f.hook(stepInPlace)
	return nil
}

// currentRecords is where the slots of a store are.
func currentRecords(dir string) string {
	if _, err := os.Lstat(builtDir(dir)); err == nil {
		return builtDir(dir)
	}
	return recordsDir(dir)
}

// finishRebuild puts what a crash left in order.
func finishRebuild(dir string) error {
	if currentRecords(dir) == builtDir(dir) {
		if err := replaceRecords(dir, nil); err != nil {
			return err
		}
	}
	return dropLeftovers(dir)
}

// dropLeftovers removes what a rebuild, whole or cut off, leaves beside the slots.
func dropLeftovers(dir string) error {
	if err := errors.Join(os.RemoveAll(formerDir(dir)), os.RemoveAll(freshDir(dir)), syncDir(dir)); err != nil {
		return fmt.Errorf("removing old records: %w", lateError(err))
	}
	return nil
}

// syncFiles makes a folder and every file in it durable.
func syncFiles(dir string) error {
	found, err := files(dir)
	if err != nil {
		return err
	}
	for name := range found {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return syncDir(dir)
}
