package store

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"

	"github.com/backchannel/backchannel/protocol/vault"
)

// Badger panics in goroutines of its own on a bad table, asks for memory by a
// length that it read from a damaged log, deletes tables that a truncated MANIFEST
// no longer names, and writes whenever it opens. A look may write nothing. So the
// slots are read here, by read(2) and in the caller's goroutine, and Badger opens
// nothing but what a rebuild has just left or what passed as such.

// image is all slots as they lie in Badger's files.
type image struct {
	slots    []*vault.Slot
	versions []uint64 // Badger's, of each slot
	rebuilt  bool     // as a rebuild left it: no log, no history
}

// readImage reads all of Badger's files and changes none. It returns ErrDamaged
// unless the MANIFEST is whole, every table that it names is there and whole, every
// log can be read, and there is a slot for every index up to a number that a store
// can have. A table that the MANIFEST does not name counts if it is whole: then it
// holds what its log does, or a MANIFEST that was cut. A log that ends early
// passes: a crash does that, and what is missing is found by the counter.
func readImage(dir string) (*image, error) {
	im := &image{rebuilt: true}
	err := guard(func() error { return im.read(dir) })
	if err != nil {
		return nil, err
	}
	n := uint32(len(im.slots))
	if slices.Contains(im.slots, nil) || !vault.Standard(n).Valid() {
		return nil, ErrDamaged
	}
	return im, nil
}

func (im *image) read(dir string) error {
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
		if _, ok := found[table.IDToFilename(id)]; !ok {
			return ErrDamaged
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		path, size := filepath.Join(dir, name), found[name].Size()
		switch id, isTable := tableID(name); {
		case isTable:
			_, isNamed := named[id]
			if err := im.readTable(path, id, size); err != nil && (isNamed || !errors.Is(err, ErrDamaged)) {
				return err
			}
			im.rebuilt = im.rebuilt && isNamed
		case isLog(name) && size > 0:
			if err := im.readLog(path, size); err != nil {
				return err
			}
			im.rebuilt = false
		}
	}
	return nil
}

// tableID is the number in the name of a table. Badger's own function for it ends
// the process on a negative one.
func tableID(name string) (uint64, bool) {
	id, err := strconv.ParseUint(strings.TrimSuffix(name, ".sst"), 10, 32)
	return id, err == nil && name == table.IDToFilename(id)
}

// take takes one version of a slot. The value is kept, not copied.
func (im *image) take(key []byte, version uint64, value []byte) error {
	if len(key) != keySize || len(value) != vault.SlotSize {
		return ErrDamaged
	}
	index := binary.BigEndian.Uint32(key)
	if index >= vault.MaxSlots {
		return ErrDamaged
	}
	if more := int(index) + 1 - len(im.slots); more > 0 {
		im.slots = append(im.slots, make([]*vault.Slot, more)...)
		im.versions = append(im.versions, make([]uint64, more)...)
	}
	if im.slots[index] == nil || version >= im.versions[index] {
		im.slots[index], im.versions[index] = (*vault.Slot)(value), version
	}
	im.rebuilt = im.rebuilt && version == rebuiltVersion
	return nil
}

// slot implements [vault.Reader].
func (im *image) slot(index uint32) (*vault.Slot, error) { return im.slots[index], nil }

// nonceSize is how much of a slot is its nonce; it is another one whenever a slot
// is written.
const nonceSize = 24

// sum is a hash over the nonces of all slots.
func (im *image) sum() (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, s := range im.slots {
		h.Write(s[:nonceSize])
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// readManifest returns the tables that the MANIFEST names.
func readManifest(dir string) (map[uint64]badger.TableManifest, error) {
	f, err := os.Open(filepath.Join(dir, badger.ManifestFilename))
	if err != nil {
		return nil, fmt.Errorf("reading manifest: %w", readError(err))
	}
	defer f.Close()
	opt := badgerOptions(dir, vault.MinSlots)
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

// maxTable bounds what is read into memory: a table has 64 MiB, or a memtable.
const maxTable = 128 << 20

// readTable opens one table in memory, verifies every checksum in it and takes its
// slots.
func (im *image) readTable(path string, id uint64, size int64) error {
	if size < 16 || size > maxTable {
		return ErrDamaged
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading table: %w", readError(err))
	}
	var entries [][]byte // key with version, value
	err = guard(func() error {
		t, err := table.OpenInMemoryTable(b, id, &table.Options{
			BlockSize: 4096, ChkMode: options.OnBlockRead, Compression: options.None,
		})
		if err != nil || t.VerifyChecksum() != nil {
			return ErrDamaged
		}
		it := t.NewIterator(table.NOCACHE)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			v := it.Value()
			if len(it.Key()) < 8 || v.Meta&(metaDelete|metaPointer) != 0 {
				return ErrDamaged
			}
			entries = append(entries, slices.Clone(it.Key()), v.Value)
		}
		return nil
	})
	for i := 0; err == nil && i < len(entries); i += 2 {
		key, version := splitKey(entries[i])
		err = im.take(key, version, entries[i+1])
	}
	return err
}

// splitKey takes Badger's version off a key.
func splitKey(b []byte) (key []byte, version uint64) {
	key = b[:len(b)-8]
	return key, ^binary.BigEndian.Uint64(b[len(key):])
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A memtable's log, as Badger writes it.
const (
	logHeader   = 20 // key id 8 ‖ iv 12
	maxLogKey   = 64 // Badger's own mark of a commit is the longest
	maxLogValue = valueThreshold
	metaDelete  = 1 << 0
	metaPointer = 1 << 1 // the value lies in the value log
	metaTxn     = 1 << 6 // part of a transaction
	metaEnd     = 1 << 7 // end of one; its value is the version in decimal
)

// readLog takes the slots of every transaction that is whole, as Badger's replay
// would. The first entry that is zero, cut off or fails its checksum ends the log;
// lengths that no commit and no torn write can leave are damage.
func (im *image) readLog(path string, size int64) error {
	if size > 2*memFileSize {
		return ErrDamaged
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading log: %w", readError(err))
	}
	if len(b) < logHeader {
		return nil // Badger starts it afresh
	}
	if binary.BigEndian.Uint64(b) != 0 {
		return ErrDamaged // names an encryption key; there is none
	}
	var open []logEntry // of the transaction that is being read
	for at := logHeader; ; {
		e, n, err := parseEntry(b[at:])
		if err != nil || n == 0 {
			return err
		}
		at += n
		_, version := splitKey(e.key)
		switch {
		case e.meta&(metaDelete|metaPointer) != 0:
			return ErrDamaged
		case e.meta&metaTxn != 0:
			if len(open) > 0 {
				if _, first := splitKey(open[0].key); first != version {
					return nil
				}
			}
			open = append(open, e)
			continue
		case e.meta&metaEnd == 0:
			return ErrDamaged // a tick is a transaction
		}
		if len(open) == 0 {
			return nil
		}
		if _, of := splitKey(open[0].key); string(e.value) != strconv.FormatUint(of, 10) {
			return nil
		}
		for _, e := range open {
			key, version := splitKey(e.key)
			if err := im.take(key, version, e.value); err != nil {
				return err
			}
		}
		open = nil
	}
}

// logEntry is one entry of a log.
type logEntry struct {
	meta       byte
	key, value []byte
}

// parseEntry reads the entry at the start of b and returns its length: 0 where the
// log ends.
func parseEntry(b []byte) (e logEntry, n int, err error) {
	if len(b) < 3 {
		return e, 0, nil
	}
	n = 2 // meta, user meta
	var field [3]uint64
	for i := range field {
		v, used := binary.Uvarint(b[n:])
		if used == 0 {
			return e, 0, nil // cut off
		}
		if used < 0 {
			return e, 0, ErrDamaged
		}
		field[i], n = v, n+used
	}
	if field[0] > maxLogKey || field[1] > maxLogValue {
		return e, 0, ErrDamaged
	}
	keyEnd := n + int(field[0])
	end := keyEnd + int(field[1])
	if field[0] == 0 || end+crc32.Size > len(b) ||
		crc32.Checksum(b[:end], castagnoli) != binary.BigEndian.Uint32(b[end:]) {
		return e, 0, nil
	}
	if field[0] < 8 {
		return e, 0, ErrDamaged // no room for Badger's version
	}
	return logEntry{b[0], b[n:keyEnd:keyEnd], b[keyEnd:end:end]}, end + crc32.Size, nil
}
