package store

import (
	"runtime/debug"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/vault"
)

// A Match says what a passphrase opens in a store that is open already.
type Match int

// The matches.
const (
	Nothing Match = iota // it is wrong
	Shown                // the level that is shown
	Another              // a level, but another one
)

// String names a match.
func (m Match) String() string {
	switch m {
	case Nothing:
		return "nothing"
	case Shown:
		return "shown"
	case Another:
		return "another"
	default:
		return "no match"
	}
}

// Match says what a passphrase opens, at the price of opening it. It changes
// nothing. All slots are looked at, and the answer comes at a moment that was
// fixed before, whatever it is. keyFile is where the key file is now, if it moved. ErrKeyFile, ErrDamaged and errors of the system say that the
// slots could not be read.
func (s *Store) Match(passphrase []byte, keyFile string) (Match, error) {
	p, err := normalize(passphrase)
	if err != nil {
		return Nothing, nil
	}
	defer clear(p)
	if keyFile == "" {
		keyFile = s.keyFile()
	}
	seconds, err := Config{KeyFile: keyFile}.seconds()
	if err != nil {
		return Nothing, err
	}
	defer wipeKeys(seconds)
	start := time.Now()
	kek := s.cfg.kek(&s.store, p)
	defer kek.Wipe()
	end := time.After(answerTime(s.slots, time.Since(start)))
	defer func() { <-end }()

	s.disk.Lock()
	defer s.disk.Unlock()
	s.mu.Lock()
	err = s.usable()
	var second secret.Key
	if err == nil {
		second = s.second.Clone()
	}
	shown := err == nil && s.kek.Equal(kek)
	s.mu.Unlock()
	if err != nil {
		return Nothing, err
	}
	defer second.Wipe()
	if !second.IsZero() && !slices.ContainsFunc(seconds, second.Equal) {
		return Nothing, nil // the key file of another store
	}
	ok, err := s.opens(kek, second)
	if s.cfg.Cost != Cheap {
		debug.FreeOSMemory() // as Open does
	}
	switch {
	case err != nil:
		return Nothing, err
	case shown:
		return Shown, nil
	case ok:
		return Another, nil
	}
	return Nothing, nil
}

// opens looks for a header in the slots as they are on the disk. The caller holds
// disk.
func (s *Store) opens(kek, second secret.Key) (bool, error) {
	g := s.cfg.geometryOf(s.slots)
	if s.db == nil {
		im, err := readImage(currentRecords(s.dir))
		if err != nil {
			return false, err
		}
		if len(im.slots) != int(s.slots) {
			return false, ErrDamaged
		}
		return vault.Opens(g, &s.store, kek, second, im.slot)
	}
	ok := false
	err := s.db.View(func(txn *badger.Txn) (err error) {
		ok, err = vault.Opens(g, &s.store, kek, second, slotsIn(txn))
		return err
	})
	return ok, err
}

// slotsIn reads the slots of an open database.
func slotsIn(txn *badger.Txn) vault.Reader {
	return func(index uint32) (*vault.Slot, error) {
		item, err := txn.Get(slotKey(index))
		if err != nil {
			return nil, ErrDamaged
		}
		var slot vault.Slot
		n := 0
		if err := item.Value(func(b []byte) error { n = copy(slot[:], b); return nil }); err != nil || n != vault.SlotSize {
			return nil, ErrDamaged
		}
		return &slot, nil
	}
}

// Opens reports whether Match says Shown.
func (s *Store) Opens(passphrase []byte) bool {
	m, err := s.Match(passphrase, "")
	return err == nil && m == Shown
}
