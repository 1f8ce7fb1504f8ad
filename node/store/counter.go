package store

import (
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

// The counter; docs/spec/store.md, section Counter. Two files are written in turn:
// that of tick t is counter.(t mod 2), fsynced after Badger has committed t. The
// sealed plaintext is
//
//	tick 8 ‖ previous 32
//
// where previous is the SHA-256 of the other file as it was. A crash can tear only
// the file being written, and at that moment Badger is ahead of the other.
const (
	counterPlain = 8 + sha256.Size
	counterSize  = chacha20poly1305.NonceSizeX + counterPlain + chacha20poly1305.Overhead
)

// counterKeys come from level 0, so that every session has them.
type counterKeys struct{ seal, nonce secret.Key }

func newCounterKeys(root secret.Key) counterKeys {
	defer root.Wipe()
	return counterKeys{
		seal:  label.DeriveKey(label.StoreCounter, root, []byte("seal")),
		nonce: label.DeriveKey(label.StoreCounter, root, []byte("nonce")),
	}
}

func (k counterKeys) wipe() {
	k.seal.Wipe()
	k.nonce.Wipe()
}

type counterRecord struct {
	tick     uint64
	previous [sha256.Size]byte
}

// box seals a record. The nonce is an HMAC over fresh randomness and what is
// sealed, so that a random source that repeats (a cloned machine) gives the same
// nonce only for the same record.
func (k counterKeys) box(random io.Reader, r counterRecord) ([]byte, error) {
	plain := append(binary.BigEndian.AppendUint64(nil, r.tick), r.previous[:]...)
	var coins [32]byte
	if _, err := io.ReadFull(random, coins[:]); err != nil {
		return nil, errors.New("drawing a nonce")
	}
	data := []byte{byte(r.tick % 2)}
	mac := label.MAC(label.StoreCounter, k.nonce.Bytes(), coins[:], data, plain)
	aead, err := chacha20poly1305.NewX(k.seal.Bytes())
	if err != nil {
		return nil, err
	}
	box := make([]byte, chacha20poly1305.NonceSizeX, counterSize)
	copy(box, mac[:])
	return aead.Seal(box, box, plain, data), nil
}

// open is the inverse of box, for the file of a slot.
func (k counterKeys) open(box []byte, slot int) (r counterRecord, ok bool) {
	if len(box) != counterSize {
		return r, false
	}
	aead, err := chacha20poly1305.NewX(k.seal.Bytes())
	if err != nil {
		return r, false
	}
	nonce, sealed := box[:chacha20poly1305.NonceSizeX], box[chacha20poly1305.NonceSizeX:]
	b, err := aead.Open(nil, nonce, sealed, []byte{byte(slot)})
	if err != nil || binary.BigEndian.Uint64(b)%2 != uint64(slot) {
		return r, false
	}
	return counterRecord{binary.BigEndian.Uint64(b), [sha256.Size]byte(b[8:])}, true
}

// counterPath is where the counter of a slot lies; a refresh has others beside
// them until its records are in their place.
func counterPath(dir string, slot int) string {
	return filepath.Join(dir, fmt.Sprintf("counter.%d", slot))
}

const freshSuffix = ".new"

// counterState is what both files together are worth.
type counterState int

const (
	counterGone  counterState = iota // a file is missing or cut, or neither is valid
	counterHalf                      // one is valid, or they do not follow each other
	counterWhole                     // both are valid, and the newer follows the older
)

// readCounter returns the tick of the newest counter that opens; with none it is
// zero. It changes nothing.
func readCounter(dir string, k counterKeys) (tick uint64, state counterState) {
	var box [2][]byte
	var found [2]counterRecord
	var valid [2]bool
	cut := false // no crash of ours changes a length
	for slot := range box {
		for _, path := range []string{counterPath(dir, slot), counterPath(dir, slot) + freshSuffix} {
			b, err := readFile(path, counterSize)
			if r, ok := k.open(b, slot); ok {
				box[slot], found[slot], valid[slot] = b, r, true
			} else if path == counterPath(dir, slot) && (err != nil || len(b) != counterSize) {
				cut = true
			}
		}
	}
	if !valid[0] && !valid[1] {
		return 0, counterGone
	}
	newest := 0
	if !valid[0] || valid[1] && found[1].tick > found[0].tick {
		newest = 1
	}
	switch tick = found[newest].tick; {
	case cut:
		return tick, counterGone
	case !valid[1-newest] || found[1-newest].tick+1 != tick || found[newest].previous != sha256.Sum256(box[1-newest]):
		return tick, counterHalf
	}
	return tick, counterWhole
}

// counterFile is what the counter needs of an open file; tests put faults here.
type counterFile interface {
	io.WriterAt
	io.ReaderAt
	Truncate(size int64) error
	Sync() error
	Close() error
}

// counter holds both files open for writing.
type counter struct {
	files [2]counterFile
	last  [2][]byte // what each file holds, sealed
}

// openCounter opens both files, making the missing ones.
func openCounter(dir string, wrap func(counterFile) counterFile) (*counter, error) {
	c := new(counter)
	for slot := range c.files {
		f, err := os.OpenFile(counterPath(dir, slot), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			_ = c.close()
			return nil, fmt.Errorf("opening counter: %w", err)
		}
		c.files[slot] = f
		if wrap != nil {
			c.files[slot] = wrap(f)
		}
		box := make([]byte, counterSize)
		n, _ := f.ReadAt(box, 0)
		c.last[slot] = box[:n]
	}
	return c, nil
}

// write makes a tick durable in the file whose turn it is.
func (c *counter) write(k counterKeys, random io.Reader, tick uint64, hook func(step)) error {
	slot := tick % 2
	box, err := k.box(random, counterRecord{tick: tick, previous: sha256.Sum256(c.last[1-slot])})
	if err != nil {
		return err
	}
	hook(stepCounterWrite)
	f := c.files[slot]
	if _, err := f.WriteAt(box, 0); err != nil {
		return fmt.Errorf("writing counter: %w", writeError(err))
	}
	if err := f.Truncate(counterSize); err != nil {
		return fmt.Errorf("shortening counter: %w", writeError(err))
	}
	hook(stepCounterSync)
	if err := f.Sync(); err != nil {
		return fmt.Errorf("syncing counter: %w", writeError(err))
	}
	c.last[slot] = box
	hook(stepCounterDone)
	return nil
}

// writeBoth makes both files vouch for a tick, whatever they held.
func (c *counter) writeBoth(k counterKeys, random io.Reader, tick uint64, hook func(step)) error {
	if err := c.write(k, random, tick-1, hook); err != nil {
		return err
	}
	return c.write(k, random, tick, hook)
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

// freshCounters writes both counters of a tick into new files, with a suffix.
func freshCounters(dir, suffix string, k counterKeys, random io.Reader, tick uint64) error {
	before := []byte(nil)
	for _, t := range []uint64{tick - 1, tick} {
		box, err := k.box(random, counterRecord{tick: t, previous: sha256.Sum256(before)})
		if err != nil {
			return err
		}
		path := counterPath(dir, int(t%2)) + suffix
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("writing counter: %w", writeError(err))
		}
		if err := writeFile(path, box); err != nil {
			return fmt.Errorf("writing counter: %w", writeError(err))
		}
		before = box
	}
	return syncDir(dir)
}

// settleCounters puts fresh counters in their place if they are those of the
// records that are there, and removes them if not.
func settleCounters(dir string, k counterKeys) error {
	for slot := range 2 {
		path := counterPath(dir, slot) + freshSuffix
		b, err := readFile(path, counterSize)
		if err != nil {
			continue
		}
		if _, ok := k.open(b, slot); ok {
			err = os.Rename(path, counterPath(dir, slot))
		} else {
			err = os.Remove(path)
		}
		if err != nil {
			return fmt.Errorf("settling counters: %w", writeError(err))
		}
	}
	return syncDir(dir)
}
