package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/vault"
)

// answerStep is what Open adds to Argon2's time for each slot, whatever it finds:
// 0.25 s at 8,192 slots. Work that takes longer is rounded up to the next multiple.
const (
	answerStep      = 30 * time.Microsecond
	answerStepCheap = 5 * time.Microsecond
)

// Open opens the store in cfg.Dir for reading: every level that the passphrase
// reaches, of which the deepest is the one that answers. It changes not one byte in
// the folder, before [Store.Online] or ever. All records are in memory when it
// returns.
//
// Besides wrapped system errors it returns ErrMissing, ErrDamaged, ErrNewer,
// ErrOlder, ErrPassphrase or an *InUseError; ErrDamaged says that a file cannot be
// read as it is, whatever the passphrase. Look at [Store.RolledBack] before
// anything else. The time until it answers is the same whether and what the
// passphrase opens.
func Open(cfg Config, passphrase []byte) (*Store, error) {
	raw, err := readHeader(cfg.Dir)
	if err != nil {
		return nil, err
	}
	h, err := parseHeader(raw)
	if err != nil {
		return nil, err
	}
	l, err := takeLock(cfg.Dir)
	if err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, dir: cfg.Dir, header: h, raw: raw, lock: l}
	if err := s.open(passphrase); err != nil {
		return nil, errors.Join(err, l.release())
	}
	return s, nil
}

func (s *Store) open(passphrase []byte) (err error) {
	if s.folder, err = os.Stat(s.dir); err != nil {
		return fmt.Errorf("opening store: %w", err)
	}
	found, err := readSlots(recordsIn(s.dir), s.header.slots)
	if err != nil {
		return err
	}
	if err := s.lock.sign(); err != nil {
		return err
	}
	p, err := normalize(passphrase)
	if err != nil {
		return ErrPassphrase
	}
	defer clear(p)
	s.kek = s.header.kek(p, s.cfg.Cost)
	began := time.Now()
	err = s.load(found)
	answer(began, s.header.slots, s.cfg.Cost)
	if err != nil {
		s.kek.Wipe()
		return err
	}
	return nil
}

// load opens the levels and holds them against the counter.
func (s *Store) load(found *slots) error {
	s.seen = found.sum()
	v, err := vault.Open(s.header.geometry(), &s.header.store, s.kek, found.slot)
	if err != nil {
		return fromVault(err)
	}
	s.vault, s.keys = v, newCounterKeys(v.CountKey())
	s.durable, s.staged = s.level().Durable(), s.level().Durable()
	s.judge()
	return nil
}

// judge holds the tick that the slots name against the counter; docs/spec/store.md,
// section Rollback, has the table.
func (s *Store) judge() {
	counted, state := readCounter(s.dir, s.keys)
	tick := s.vault.Ticks()
	s.behind = tick == counted+1 && state != counterGone // the process died between Badger and the counter
	if s.behind || tick == counted && state == counterWhole {
		return
	}
	for n := range s.vault.Depth() {
		s.vault.Level(n).Suspect()
	}
}

// answer waits until the answer is due.
func answer(began time.Time, slots uint32, cost Cost) {
	step := answerStep
	if cost == Cheap {
		step = answerStepCheap
	}
	step *= time.Duration(slots)
	<-time.After(step - time.Since(began)%step)
}

// Opens reports whether this is the passphrase that the store was opened with, at
// the price of Argon2. It is for lifting a screen lock: keys stay in memory either
// way.
func (s *Store) Opens(passphrase []byte) bool {
	s.mu.RLock()
	err := s.usable()
	var kek secret.Key
	if err == nil {
		kek = s.kek.Clone()
	}
	s.mu.RUnlock()
	if err != nil {
		return false
	}
	defer kek.Wipe()
	p, err := normalize(passphrase)
	if err != nil {
		return false
	}
	defer clear(p)
	tried := s.header.kek(p, s.cfg.Cost)
	defer tried.Wipe()
	return tried.Equal(kek)
}

// here reports ErrMissing unless the folder is the one that was opened, with the
// same header: one that was destroyed must not be written again.
func (s *Store) here() error {
	at, err := os.Stat(s.dir)
	if err == nil && !os.SameFile(at, s.folder) {
		return ErrMissing
	}
	if errors.Is(err, os.ErrNotExist) {
		return ErrMissing
	}
	if err != nil {
		return fmt.Errorf("looking at store: %w", err)
	}
	raw, err := readHeader(s.dir)
	if errors.Is(err, os.ErrPermission) {
		return err
	}
	if err != nil || !bytes.Equal(raw, s.raw) {
		return ErrMissing
	}
	return nil
}
