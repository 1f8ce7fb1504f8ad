package store

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// The counter; docs/spec/store.md, section Counter. Two files are written in
// turn: the record of generation g goes to counter.(g mod 2), fsynced, after
// Badger has committed g. The sealed plaintext is
//
//	generation 8 ‖ digest 32 ‖ previous 32
//
// where previous is the SHA-256 of the other file as it was. A crash can tear
// only the file being written, and at that moment Badger is ahead of the other.
const (
	counterPlain = 8 + digestSize + sha256.Size
	counterSize  = counterPlain + sealOverhead
)

// mark is one generation and the digest of the records that it left.
type mark struct {
	generation uint64
	digest     digest
}

type counterRecord struct {
	mark
	previous [sha256.Size]byte
}

func appendCounter(b []byte, r counterRecord) []byte {
	b = binary.BigEndian.AppendUint64(b, r.generation)
	b = append(b, r.digest[:]...)
	return append(b, r.previous[:]...)
}

func parseCounter(b []byte) (counterRecord, error) {
	if len(b) != counterPlain {
		return counterRecord{}, errRecord
	}
	return counterRecord{
		mark:     mark{binary.BigEndian.Uint64(b), digest(b[8:40])},
		previous: [sha256.Size]byte(b[40:]),
	}, nil
}

// counterFile is what the counter needs of an open file; tests put faults here.
type counterFile interface {
	io.WriterAt
	io.ReaderAt
	Truncate(size int64) error
	Sync() error
	Close() error
}

// counter holds both files open.
type counter struct {
	files [2]counterFile
	last  [2][]byte // what each file holds, sealed
	long  [2]bool   // something lies behind the record
}

func counterPath(dir string, slot uint64) string {
	return filepath.Join(dir, fmt.Sprintf("counter.%d", slot))
}

// openCounter opens both files, making the missing ones.
func openCounter(dir string, wrap func(counterFile) counterFile) (*counter, error) {
	c := new(counter)
	for slot := range c.files {
		f, err := os.OpenFile(counterPath(dir, uint64(slot)), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			_ = c.close()
			return nil, fmt.Errorf("opening counter: %w", err)
		}
		c.files[slot] = f
		if wrap != nil {
			c.files[slot] = wrap(f)
		}
	}
	return c, nil
}

// counterState is what both files together are worth.
type counterState int

const (
	counterGone  counterState = iota // a file is missing or cut, or neither is valid
	counterHalf                      // one is valid, or they do not follow each other
	counterWhole                     // both are valid, and the newer follows the older
)

// read returns the newest valid record; with no valid file it is zero.
func (c *counter) read(k keys) (newest counterRecord, state counterState) {
	var found [2]counterRecord
	var valid [2]bool
	cut := false // no crash of ours changes a length
	for slot, f := range c.files {
		box := make([]byte, counterSize+1)
		n, err := f.ReadAt(box, 0)
		if !errors.Is(err, io.EOF) || n != counterSize {
			c.long[slot], cut = n > counterSize, true
			continue
		}
		c.last[slot] = box[:n]
		b, err := openBox(k.counter, box[:n], []byte{byte(slot)})
		if err != nil {
			continue
		}
		r, err := parseCounter(b)
		if err != nil || r.generation%2 != uint64(slot) {
			continue
		}
		found[slot], valid[slot] = r, true
	}
	switch {
	case !valid[0] && !valid[1]:
		return counterRecord{}, counterGone
	case !valid[1], valid[0] && found[0].generation > found[1].generation:
		newest = found[0]
	default:
		newest = found[1]
	}
	if cut {
		return newest, counterGone
	}
	older := 1 - newest.generation%2
	if !valid[older] || found[older].generation+1 != newest.generation ||
		newest.previous != sha256.Sum256(c.last[older]) {
		return newest, counterHalf
	}
	return newest, counterWhole
}

// write makes m durable in the file whose turn it is.
func (c *counter) write(k keys, random io.Reader, m mark, hook func(step)) error {
	slot := m.generation % 2
	r := counterRecord{mark: m, previous: sha256.Sum256(c.last[1-slot])}
	box, err := sealBox(random, k.counter, k.hedge, appendCounter(nil, r), []byte{byte(slot)})
	if err != nil {
		return err
	}
	hook(stepCounterWrite)
	if _, err := c.files[slot].WriteAt(box, 0); err != nil {
		return fmt.Errorf("writing counter: %w", err)
	}
	if c.long[slot] {
		if err := c.files[slot].Truncate(counterSize); err != nil {
			return fmt.Errorf("shortening counter: %w", err)
		}
		c.long[slot] = false
	}
	hook(stepCounterSync)
	if err := c.files[slot].Sync(); err != nil {
		return fmt.Errorf("syncing counter: %w", err)
	}
	c.last[slot] = box
	hook(stepCounterDone)
	return nil
}

func (c *counter) close() error {
	var errs []error
	for _, f := range c.files {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}
