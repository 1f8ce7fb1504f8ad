package store

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

// The counter; docs/spec/store.md, section Counter. It holds the number of the
// last tick outside Badger, in two files that are written in turn: that of tick t
// goes to counter.(t mod 2), fsynced, after Badger has committed the tick. What is
// sealed is
//
//	tick 8 ‖ previous 32
//
// where previous is the SHA-256 of the other file as it was. The key comes from
// level 0, and is another one after each refresh: its counter lies ready in
// counter.new before the slots are exchanged.
const (
	counterPlain = 8 + sha256.Size
	counterSize  = chacha20poly1305.NonceSizeX + counterPlain + chacha20poly1305.Overhead
)

func counterPath(dir string, slot uint64) string {
	return filepath.Join(dir, fmt.Sprintf("counter.%d", slot))
}

func nextCounterPath(dir string) string { return filepath.Join(dir, "counter.new") }

type counterRecord struct {
	tick     uint64
	previous [sha256.Size]byte
}

// sealCounter seals a record for the file whose turn it is. The nonce is an HMAC
// over fresh randomness and what is sealed, so that coins that repeat give one
// twice only for the same record.
func sealCounter(random io.Reader, key secret.Key, r counterRecord) ([]byte, error) {
	var coins [32]byte
	if _, err := io.ReadFull(random, coins[:]); err != nil {
		return nil, errors.New("drawing a nonce")
	}
	b := binary.BigEndian.AppendUint64(nil, r.tick)
	b = append(b, r.previous[:]...)
	hedge := label.DeriveKey(label.StoreCounter, key)
	defer hedge.Wipe()
	mac := label.MAC(label.StoreCounter, hedge.Bytes(), coins[:], b)
	aead, err := chacha20poly1305.NewX(key.Bytes())
	if err != nil {
		return nil, err
	}
	box := append(make([]byte, 0, counterSize), mac[:chacha20poly1305.NonceSizeX]...)
	return aead.Seal(box, box, b, []byte{byte(r.tick % 2)}), nil
}

// openCounterBox is the inverse of sealCounter, for the file of a slot.
func openCounterBox(key secret.Key, box []byte, slot uint64) (r counterRecord, ok bool) {
	if len(box) != counterSize {
		return r, false
	}
	aead, err := chacha20poly1305.NewX(key.Bytes())
	if err != nil {
		return r, false
	}
	nonce, sealed := box[:chacha20poly1305.NonceSizeX], box[chacha20poly1305.NonceSizeX:]
	b, err := aead.Open(nil, nonce, sealed, []byte{byte(slot)})
	if err != nil {
		return r, false
	}
	r = counterRecord{binary.BigEndian.Uint64(b), [sha256.Size]byte(b[8:])}
	return r, r.tick%2 == slot
}

// counterState is what the counter says of the slots.
type counterState int

const (
	counterBroken counterState = iota // the slots are old, or it cannot vouch for them
	counterBehind                     // the process died between Badger and the counter
	counterClean
)

// String names a state.
func (s counterState) String() string {
	switch s {
	case counterBroken:
		return "broken"
	case counterBehind:
		return "behind"
	case counterClean:
		return "clean"
	}
	return "unknown"
}

// counterBoxes are the contents of counter.0, counter.1 and counter.new; nil for
// one that is missing or has another length.
type counterBoxes [3][]byte

func readCounters(dir string) (boxes counterBoxes, err error) {
	for i, path := range []string{counterPath(dir, 0), counterPath(dir, 1), nextCounterPath(dir)} {
		f, err := os.Open(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return boxes, fmt.Errorf("reading counter: %w", readError(err))
		}
		b, err := io.ReadAll(io.LimitReader(f, counterSize+1))
		if err := errors.Join(err, f.Close()); err != nil {
			return boxes, fmt.Errorf("reading counter: %w", readError(err))
		}
		if len(b) == counterSize {
			boxes[i] = b
		}
	}
	return boxes, nil
}

// judge holds the counter against the number of the last tick in the slots. A
// counter.new of that very tick is taken for the file that it is to become.
func (boxes *counterBoxes) judge(key secret.Key, tick uint64) counterState {
	if r, ok := openCounterBox(key, boxes[2], tick%2); ok && r.tick == tick {
		boxes[tick%2] = boxes[2]
	}
	if boxes[0] == nil || boxes[1] == nil {
		return counterBroken // no crash of ours changes a length
	}
	var newest counterRecord
	for slot := range uint64(2) {
		if r, ok := openCounterBox(key, boxes[slot], slot); ok && r.tick >= newest.tick {
			newest = r
		}
	}
	switch {
	case newest.tick == 0:
		return counterBroken
	case newest.tick == tick && newest.previous == sha256.Sum256(boxes[1-tick%2]):
		return counterClean
	case newest.tick+1 == tick:
		return counterBehind
	}
	return counterBroken
}

// counterFile is what the counter needs of an open file; tests put faults here.
type counterFile interface {
	io.WriterAt
	Truncate(size int64) error
	Sync() error
	Close() error
}

// counter holds both files open for writing.
type counter struct {
	files [2]counterFile
	last  [2][]byte // what each file holds
	both  bool      // the other file has to be written, too
}

// openCounter opens both files, making the missing ones.
func openCounter(dir string, boxes counterBoxes, state counterState, f *faults) (*counter, error) {
	c := &counter{last: [2][]byte{boxes[0], boxes[1]}, both: state == counterBroken}
	for slot := range c.files {
		file, err := os.OpenFile(counterPath(dir, uint64(slot)), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			_ = c.close()
			return nil, fmt.Errorf("opening counter: %w", writeError(err))
		}
		c.files[slot] = f.wrap(file)
	}
	if state == counterBroken { // one may have been made
		if err := syncDir(dir); err != nil {
			_ = c.close()
			return nil, fmt.Errorf("opening counter: %w", writeError(err))
		}
	}
	return c, nil
}

// box seals the record of a tick, to follow what the other file holds.
func (c *counter) box(random io.Reader, key secret.Key, tick uint64) ([]byte, error) {
	return sealCounter(random, key, counterRecord{tick, sha256.Sum256(c.last[1-tick%2])})
}

// write makes the number of a tick durable in the file whose turn it is. What was
// broken is put in order in both.
func (c *counter) write(random io.Reader, key secret.Key, tick uint64, hook func(step)) error {
	if c.both {
		box, err := c.box(random, key, tick-1)
		if err == nil {
			err = c.put(box, (tick-1)%2, hook)
		}
		if err != nil {
			return err
		}
	}
	box, err := c.box(random, key, tick)
	if err == nil {
		err = c.put(box, tick%2, hook)
	}
	c.both = c.both && err != nil
	return err
}

// put writes a box into a file and makes it durable.
func (c *counter) put(box []byte, slot uint64, hook func(step)) error {
	hook(stepCounterWrite)
	if _, err := c.files[slot].WriteAt(box, 0); err != nil {
		return fmt.Errorf("writing counter: %w", err)
	}
	if c.last[slot] == nil { // something may lie behind it
		if err := c.files[slot].Truncate(counterSize); err != nil {
			return fmt.Errorf("shortening counter: %w", err)
		}
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

// createCounters makes both files: that of the first tick, and random bytes.
func createCounters(dir string, random io.Reader, key secret.Key, tick uint64) error {
	other := make([]byte, counterSize)
	_, _ = rand.Read(other) // never fails
	box, err := sealCounter(random, key, counterRecord{tick, sha256.Sum256(other)})
	if err != nil {
		return err
	}
	err = errors.Join(
		writeFile(counterPath(dir, tick%2), box),
		writeFile(counterPath(dir, 1-tick%2), other))
	if err != nil {
		return fmt.Errorf("writing counter: %w", writeError(err))
	}
	return nil
}
