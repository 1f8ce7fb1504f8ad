package store

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"

	"github.com/backchannel/backchannel/protocol/vault"
)

// Badger changes its folder when it opens it, panics in goroutines of its own on a
// bad table, and lets go of acknowledged writes without a word where a log is
// damaged. So its files are read here, by read(2) and in the caller's goroutine,
// and change in nothing. Badger itself only ever opens what was rebuilt from what
// was read, and is never made to replay a log.

// slots are what lies in Badger's files: the newest version of each.
type slots struct {
	value   [][]byte // by index; shares memory with what was read
	version []uint64
	missing int
	entries int // with old versions
}

// slotKey is the name of a slot in Badger.
func slotKey(index uint32) []byte { return binary.BigEndian.AppendUint32(nil, index) }

// readSlots reads n slots. It returns ErrDamaged unless every table that the
// MANIFEST names is there and whole and every slot was found. A log that ends
// early passes: a crash does that, and what is missing is found by the counter.
func readSlots(dir string, n uint32) (*slots, error) {
	s := &slots{value: make([][]byte, n), version: make([]uint64, n), missing: int(n)}
	err := guard(func() error {
		found, err := files(dir)
		if err != nil {
			return fmt.Errorf("reading records: %w", readError(err))
		}
		named, err := readManifest(dir)
		if err != nil {
			return err
		}
		for id := range named {
			if err := s.readTable(dir, id); err != nil {
				return err
			}
		}
		for name, info := range found {
			if isLog(name) && info.Size() > 0 {
				if err := s.readLog(filepath.Join(dir, name)); err != nil {
					return err
				}
			}
		}
		if s.missing > 0 {
			return ErrDamaged
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// put takes one version of a slot, under Badger's name for it: index and version.
func (s *slots) put(name, value []byte) error {
	if len(name) != 4+8 || len(value) != vault.SlotSize {
		return ErrDamaged
	}
	index, version := binary.BigEndian.Uint32(name), math.MaxUint64-binary.BigEndian.Uint64(name[4:])
	if int(index) >= len(s.value) {
		return ErrDamaged
	}
	s.entries++
	if s.value[index] == nil {
		s.missing--
	} else if s.version[index] >= version {
		return nil
	}
	s.value[index], s.version[index] = value, version
	return nil
}

// rebuilt reports whether there is no history: every slot is there once.
func (s *slots) rebuilt() bool { return s.entries == len(s.value) }

// slot is a [vault.Reader].
func (s *slots) slot(index uint32) (*vault.Slot, error) { return (*vault.Slot)(s.value[index]), nil }

// all yields the slots in order.
func (s *slots) all() iter.Seq2[uint32, *vault.Slot] {
	return func(yield func(uint32, *vault.Slot) bool) {
		for i, v := range s.value {
			if !yield(uint32(i), (*vault.Slot)(v)) {
				return
			}
		}
	}
}

// sum tells one state of the slots from all others: by their nonces, which are
// new whenever a slot is written.
func (s *slots) sum() [sha256.Size]byte {
	h := sha256.New()
	for _, v := range s.value {
		h.Write(v[:24])
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
	opt := badgerOptions(dir)
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

// maxTable bounds what is read into memory: a table holds a memtable or tableSize,
// and a little more.
const maxTable = 16 << 20

// readFile reads a file of Badger's into memory.
func readFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading records: %w", readError(err))
	}
	if info.Size() > limit {
		return nil, ErrDamaged
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading records: %w", readError(err))
	}
	return b, nil
}

// readTable reads one table and verifies every checksum in it.
func (s *slots) readTable(dir string, id uint64) error {
	b, err := readFile(table.NewFilename(id, dir), maxTable)
	if err != nil {
		return err
	}
	if len(b) < 16 {
		return ErrDamaged
	}
	t, err := table.OpenInMemoryTable(b, id, &table.Options{
		BlockSize: 4096, ChkMode: options.NoVerification, Compression: options.None, // checked below
	})
	if err != nil || t.VerifyChecksum() != nil {
		return ErrDamaged
	}
	it := t.NewIterator(table.NOCACHE)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		v := it.Value()
		if v.Meta&^metaTxn != 0 {
			return ErrDamaged
		}
		if err := s.put(it.Key(), v.Value); err != nil {
			return err
		}
	}
	return nil
}

// An entry of a memtable's log:
//
//	meta 1 ‖ user meta 1 ‖ varints of key's length, value's length, expiry ‖ key ‖ value ‖ CRC-32C 4
//
// A transaction is entries with metaTxn and one version, then one with metaEnd that
// has the version as text.
const (
	logHeader = 20 // key id 8 ‖ iv 12
	metaTxn   = 1 << 6
	metaEnd   = 1 << 7
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type logEntry struct {
	meta       byte
	key, value []byte
	size       int
}

// parseEntry reads the entry at the start of b. What is zero, cut off or fails its
// checksum is none.
func parseEntry(b []byte) (e logEntry, ok bool) {
	if len(b) < 2 {
		return e, false
	}
	n := 2
	var field [3]uint64
	for i := range field {
		v, used := binary.Uvarint(b[n:])
		if used <= 0 {
			return e, false
		}
		field[i], n = v, n+used
	}
	if field[0] < 8 || field[0] > 64 || field[1] > valueThreshold {
		return e, false // shorter than a version, longer than Badger's mark of a commit
	}
	key, end := n, n+int(field[0])+int(field[1])
	if end+crc32.Size > len(b) || crc32.Checksum(b[:end], castagnoli) != binary.BigEndian.Uint32(b[end:]) {
		return e, false
	}
	value := key + int(field[0])
	return logEntry{meta: b[0], key: b[key:value], value: b[value:end:end], size: end + crc32.Size}, true
}

// readLog reads the log of a memtable as Badger's replay would: up to the first
// entry that is none, and whole transactions only.
func (s *slots) readLog(path string) error {
	b, err := readFile(path, 2*memFileSize)
	if errors.Is(err, os.ErrNotExist) || err != nil {
		return err
	}
	if len(b) < logHeader {
		return nil
	}
	if binary.BigEndian.Uint64(b) != 0 {
		return ErrDamaged // names an encryption key; there is none
	}
	var open []logEntry
	for b = b[logHeader:]; ; {
		e, ok := parseEntry(b)
		if !ok {
			return nil
		}
		b = b[e.size:]
		switch {
		case e.meta == metaEnd && len(open) > 0:
			if version, err := strconv.ParseUint(string(e.value), 10, 64); err != nil || version != open[0].version() {
				return nil
			}
			for _, e := range open {
				if err := s.put(e.key, e.value); err != nil {
					return err
				}
			}
			open = nil
		case e.meta == metaTxn && (len(open) == 0 || e.version() == open[0].version()):
			open = append(open, e)
		default:
			return nil
		}
	}
}

func (e logEntry) version() uint64 {
	return math.MaxUint64 - binary.BigEndian.Uint64(e.key[len(e.key)-8:])
}
