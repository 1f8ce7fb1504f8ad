package drop

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

// The key file is one page that never grows or moves, so that overwriting a key
// overwrites its blocks, on disks where such a thing is possible:
//
//	 0  8  version, zeros
//	 8  8  expiry, seconds
//	16 48  eight slots: day 4, key 32, check 4, zeros 8
const (
	keyFileSize  = 4096
	keyHeader    = 16
	keySlots     = 8
	keySlotSize  = 48
	keySlotUsed  = 4 + secret.Size
	keyCheckSize = 4
	keyVersion   = 1
)

// A keyFile holds the keys of the days.
type keyFile struct {
	f    *os.File
	keys map[dayNumber]secret.Key
}

// openKeys opens the key file, or makes it. A slot that was cut by a crash counts as
// empty: its day held nothing yet that was acknowledged, or was being erased.
func openKeys(path string, expiry time.Duration) (*keyFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the keys: %w", err)
	}
	k := &keyFile{f, map[dayNumber]secret.Key{}}
	if err := k.load(uint64(expiry / time.Second)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return k, nil
}

func (k *keyFile) load(expiry uint64) error {
	page := make([]byte, keyFileSize)
	defer clear(page)
	n, err := io.ReadFull(k.f, page)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		if n > 0 && page[0] != 0 && page[0] != keyVersion {
			return ErrDamaged
		}
		clear(page)
		page[0] = keyVersion
		binary.BigEndian.PutUint64(page[8:], expiry)
		if _, err := k.f.WriteAt(page, 0); err != nil {
			return fmt.Errorf("making the keys: %w", err)
		}
		return k.f.Sync()
	}
	switch {
	case err != nil:
		return fmt.Errorf("reading the keys: %w", err)
	case page[0] != keyVersion:
		return ErrDamaged
	case binary.BigEndian.Uint64(page[8:]) != expiry:
		return ErrExpiry
	}
	for i := range keySlots {
		slot := page[keyHeader+i*keySlotSize:][:keySlotSize]
		day := dayNumber(binary.BigEndian.Uint32(slot))
		if check := slotCheck(slot); [keyCheckSize]byte(slot[keySlotUsed:]) == check && slotOf(day) == i {
			k.keys[day] = secret.FromBytes(slot[4:keySlotUsed])
		}
	}
	return nil
}

func slotOf(day dayNumber) int { return int(day % keySlots) }

func slotCheck(slot []byte) [keyCheckSize]byte {
	sum := label.Hash(label.DropRecord, []byte("slot"), slot[:keySlotUsed])
	return [keyCheckSize]byte(sum[:])
}

// add makes a day's key, and returns when it is on the disk.
func (k *keyFile) add(day dayNumber, random io.Reader) (secret.Key, error) {
	key, err := secret.Read(random)
	if err != nil {
		return secret.Key{}, err
	}
	slot := make([]byte, keySlotSize)
	defer clear(slot)
	binary.BigEndian.PutUint32(slot, uint32(day))
	copy(slot[4:], key.Bytes())
	check := slotCheck(slot)
	copy(slot[keySlotUsed:], check[:])
	if err := k.write(day, slot); err != nil {
		return secret.Key{}, err
	}
	k.keys[day] = key
	return key, nil
}

// erase overwrites a day's key, and returns when that is on the disk.
func (k *keyFile) erase(day dayNumber) error {
	key, ok := k.keys[day]
	if !ok {
		return nil
	}
	if err := k.write(day, make([]byte, keySlotSize)); err != nil {
		return err
	}
	key.Wipe()
	delete(k.keys, day)
	return nil
}

func (k *keyFile) write(day dayNumber, slot []byte) error {
	if _, err := k.f.WriteAt(slot, int64(keyHeader+slotOf(day)*keySlotSize)); err != nil {
		return fmt.Errorf("writing a key: %w", err)
	}
	if err := k.f.Sync(); err != nil {
		return fmt.Errorf("writing a key: %w", err)
	}
	return nil
}

func (k *keyFile) close() error {
	for _, key := range k.keys {
		key.Wipe()
	}
	return k.f.Close()
}
