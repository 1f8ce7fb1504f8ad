package store

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/ristretto/v2/z"

	"github.com/backchannel/backchannel/protocol/vault"
)

// A rebuild makes the database anew beside its place, with every slot once, and
// puts it where the old one was; docs/spec/store.md, section Rebuild. What is left
// says nothing of how often and in what order slots were written: its files depend
// on the number of slots alone.

// batchSize is how many bytes of slots are handed to Badger at once.
const batchSize = 1 << 20

// rebuildSpace is what a rebuild of n slots takes on the disk. It has a log, which
// stays empty.
func rebuildSpace(n uint32) int64 { return int64(n)*(vault.SlotSize+64) + 12<<20 }

func (s *Store) roomToRebuild() bool { return full(s.dir, rebuildSpace(s.header.slots)) == nil }

// rebuild fills the fresh folder with all slots and makes it durable.
func rebuild(dir string, all iter.Seq2[uint32, *vault.Slot]) error {
	fresh := freshDir(dir)
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("clearing records: %w", writeError(err))
	}
	if err := os.Mkdir(fresh, 0o700); err != nil {
		return fmt.Errorf("making records: %w", writeError(err))
	}
	db, err := openBadger(fresh, nil)
	if err != nil {
		return err
	}
	err = guard(func() error { return stream(db, all) })
	if err := errors.Join(err, closeBadger(db)); err != nil {
		return err
	}
	if err := prepare(fresh); err != nil {
		return err
	}
	return syncFiles(fresh)
}

// stream writes all slots into an empty database, without a log and at version 1.
func stream(db *badger.DB, all iter.Seq2[uint32, *vault.Slot]) error {
	w := db.NewStreamWriter()
	if err := w.Prepare(); err != nil {
		w.Cancel()
		return writeError(err)
	}
	buf := z.NewBuffer(2*batchSize, "rebuild")
	defer func() { _ = buf.Release() }()
	var err error
	for i, slot := range all {
		badger.KVToBuffer(&pb.KV{Key: slotKey(i), Value: slot[:], Version: 1}, buf)
		if buf.LenNoPadding() < batchSize {
			continue
		}
		if err = w.Write(buf); err != nil {
			break
		}
		buf.Reset()
	}
	if err == nil {
		err = w.Write(buf)
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		w.Cancel()
		return writeError(err)
	}
	return nil
}

// prepare removes what would hinder Badger or say when it ran, once everything was
// read: logs, of which none holds a tick; value logs, discard counts and the key
// registry, which hold nothing in this format and are made afresh; and tables
// without a name in the MANIFEST.
func prepare(records string) error {
	found, err := files(records)
	if err != nil {
		return err
	}
	named, err := readManifest(records)
	if err != nil {
		return err
	}
	for name := range found {
		if name == badger.ManifestFilename {
			continue
		}
		if id, ok := table.ParseFileID(name); ok && strings.HasSuffix(name, ".sst") {
			if _, ok := named[id]; ok {
				continue
			}
		}
		if err := os.Remove(filepath.Join(records, name)); err != nil {
			return fmt.Errorf("tidying records: %w", writeError(err))
		}
	}
	return nil
}

// exchange puts the fresh records in the place of the old ones. A crash between the
// renames leaves no records, and whole fresh ones: see recordsIn.
func (s *Store) exchange() error {
	if err := os.RemoveAll(formerDir(s.dir)); err != nil {
		return fmt.Errorf("clearing records: %w", writeError(err))
	}
	records := recordsDir(s.dir)
	if err := errors.Join(os.Rename(records, formerDir(s.dir)), syncDir(s.dir)); err != nil {
		return fmt.Errorf("putting records aside: %w", writeError(err))
	}
	s.cfg.faults.hook(stepAside)
	if err := errors.Join(os.Rename(freshDir(s.dir), records), syncDir(s.dir)); err != nil {
		return fmt.Errorf("putting records in place: %w", writeError(err))
	}
	s.cfg.faults.hook(stepInPlace)
	return nil
}

// recordsIn returns where the records lie: in their place, or in the fresh folder if
// a crash left the place empty.
func recordsIn(dir string) string {
	if _, err := os.Lstat(recordsDir(dir)); errors.Is(err, os.ErrNotExist) {
		if _, err := os.Lstat(freshDir(dir)); err == nil {
			return freshDir(dir)
		}
	}
	return recordsDir(dir)
}

// settle ends what a crash left of a rebuild, for a folder whose records were read.
func settle(dir string) error {
	if recordsIn(dir) != recordsDir(dir) {
		if err := errors.Join(os.Rename(freshDir(dir), recordsDir(dir)), syncDir(dir)); err != nil {
			return fmt.Errorf("putting records in place: %w", writeError(err))
		}
	}
	return dropLeftovers(dir)
}

// dropLeftovers removes what a rebuild, whole or cut off, leaves beside the records.
func dropLeftovers(dir string) error {
	if err := errors.Join(os.RemoveAll(formerDir(dir)), os.RemoveAll(freshDir(dir)), syncDir(dir)); err != nil {
		return fmt.Errorf("removing old records: %w", writeError(err))
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
