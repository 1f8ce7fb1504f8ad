package store

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"strconv"
)

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
	if err != nil {
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
			if string(e.value) != strconv.FormatUint(open[0].version(), 10) {
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
