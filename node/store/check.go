package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
)

// Badger panics in goroutines of its own on a bad table, asks for memory by a
// length that it read from a damaged log, and deletes tables that a truncated
// MANIFEST no longer names. So every file is read here first, by read(2) and in
// the caller's goroutine, and Badger sees only folders that passed.

// checkFiles reads all of Badger's files and changes none. It returns ErrDamaged
// unless every table that the MANIFEST names is there and whole and every log can
// be replayed. A log that ends early passes: a crash does that, and what is
// missing is found by the counter.
func checkFiles(dir string) error {
	return guard(func() error {
		found, err := files(dir)
		if errors.Is(err, os.ErrNotExist) {
			return ErrDamaged
		}
		if err != nil {
			return fmt.Errorf("reading records: %w", readError(err))
		}
		named, err := readManifest(dir)
		if err != nil {
			return err
		}
		for id := range named {
			if err := checkTable(dir, id); err != nil {
				return err
			}
		}
		for name, info := range found {
			if !isLog(name) {
				continue
			}
			if info.Size() > 2*memFileSize {
				return ErrDamaged
			}
			b, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				return fmt.Errorf("reading log: %w", readError(err))
			}
			if err := checkLog(b); err != nil {
				return err
			}
		}
		return nil
	})
}

// readError keeps a refused permission apart from damage, and leaves out what
// else an error of Badger's may say.
func readError(err error) error {
	if errors.Is(err, os.ErrPermission) {
		return os.ErrPermission
	}
	return ErrDamaged
}

// writeError is readError for writes: it keeps what the system said.
func writeError(err error) error {
	if noRoom(err) {
		return ErrFull
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return readError(err)
}

// readManifest returns the tables that the MANIFEST names.
func readManifest(dir string) (map[uint64]badger.TableManifest, error) {
	f, err := os.Open(filepath.Join(dir, badger.ManifestFilename))
	if err != nil {
		return nil, fmt.Errorf("reading manifest: %w", readError(err))
	}
	defer f.Close()
	opt := badgerOptions(dir, false)
	m, _, err := badger.ReplayManifestFile(f, opt.ExternalMagicVersion, opt)
	if err != nil {
		return nil, ErrDamaged
	}
	for _, t := range m.Tables {
		if int(t.Level) >= opt.MaxLevels || t.KeyID != 0 || t.Compression != options.None {
			return nil, ErrDamaged
		}
	}
	return m.Tables, nil
}

// maxTable bounds what is read into memory: a table holds at most a memtable or
// twice the target size of the lowest level, far under this.
const maxTable = 256 << 20

// checkTable opens one table from memory and verifies every checksum in it.
func checkTable(dir string, id uint64) error {
	path := table.NewFilename(id, dir)
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("reading table: %w", readError(err))
	}
	if info.Size() < 16 || info.Size() > maxTable {
		return ErrDamaged
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading table: %w", readError(err))
	}
	t, err := table.OpenInMemoryTable(b, id, &table.Options{
		BlockSize: 4096, ChkMode: options.OnBlockRead, Compression: options.None,
	})
	if err != nil || t.VerifyChecksum() != nil {
		return ErrDamaged
	}
	it := t.NewIterator(table.NOCACHE)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		if len(it.Key()) < 8 {
			return ErrDamaged
		}
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Bounds of an entry in a log; Badger's own mark of a commit is the longest key.
const (
	logHeader   = 20 // key id 8 ‖ iv 12
	maxLogKey   = 64
	maxLogValue = valueThreshold
)

// checkLog walks a memtable's log as Badger's replay will. The first entry that
// is zero, cut off or fails its checksum ends the log; lengths that no commit and
// no torn write can leave are damage.
func checkLog(b []byte) error {
	if len(b) < logHeader {
		return nil // Badger starts it afresh
	}
	if binary.BigEndian.Uint64(b) != 0 {
		return ErrDamaged // names an encryption key; there is none
	}
	for at := logHeader; at+2 < len(b); {
		rest := b[at:]
		n := 2 // meta, user meta
		var field [3]uint64
		for i := range field {
			v, used := binary.Uvarint(rest[n:])
			if used == 0 {
				return nil // cut off
			}
			if used < 0 {
				return ErrDamaged
			}
			field[i], n = v, n+used
		}
		keyLen, valueLen := field[0], field[1]
		if keyLen > maxLogKey || valueLen > maxLogValue {
			return ErrDamaged
		}
		end := n + int(keyLen) + int(valueLen)
		if keyLen == 0 || end+crc32.Size > len(rest) ||
			crc32.Checksum(rest[:end], castagnoli) != binary.BigEndian.Uint32(rest[end:]) {
			return nil
		}
		if keyLen < 8 {
			return ErrDamaged // no room for Badger's version
		}
		at += end + crc32.Size
	}
	return nil
}

// lostSuffix marks a table that the MANIFEST does not name. It is kept while the
// store is rolled back, because it may hold what is missing.
const lostSuffix = ".lost"

// prepare puts in order, once checkFiles has passed, what would hinder Badger:
// the spare log, which it would take for its own; value logs, discard counts and
// the key registry, which hold nothing in this format and are made afresh; and
// tables without a name in the MANIFEST, which it would delete.
func prepare(dir string) error {
	found, err := files(dir)
	if err != nil {
		return err
	}
	named, err := readManifest(dir)
	if err != nil {
		return err
	}
	for name, info := range found {
		path := filepath.Join(dir, name)
		id, isTable := uint64(0), strings.HasSuffix(name, ".sst")
		if isTable {
			id, isTable = table.ParseFileID(name)
		}
		_, isNamed := named[id]
		switch {
		case isLog(name) && info.Size() == 0,
			strings.HasSuffix(name, ".vlog"), name == "DISCARD", name == badger.KeyRegistryFileName:
			err = os.Remove(path)
		case isTable && !isNamed:
			err = os.Rename(path, path+lostSuffix)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// forgetLost removes the tables that prepare set aside.
func forgetLost(dir string) error {
	found, err := files(dir)
	if err != nil {
		return err
	}
	for name := range found {
		if strings.HasSuffix(name, lostSuffix) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}
