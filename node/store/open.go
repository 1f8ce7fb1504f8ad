package store

import (
	"errors"
	"os"
	"runtime/debug"
	"time"

	"github.com/backchannel/backchannel/protocol/vault"
)

// Open opens the store in cfg.Dir for this process alone, for reading: every level
// that the passphrase reaches, of which the deepest is shown. It changes not one
// byte in the folder, keeps no file open but the lock beside it, and holds all
// records in memory; see [Store.Online].
//
// Besides wrapped system errors it returns ErrMissing, ErrDamaged, ErrNewer,
// ErrOlder, ErrPassphrase, ErrMemory, ErrKeyFile or an *InUseError. ErrDamaged says that a file
// cannot be read as it is, whatever the passphrase. How long the answer takes does
// not depend on the passphrase, on what levels there are or what they hold. Look at
// [Store.RolledBack] before anything else.
func Open(cfg Config, passphrase []byte) (*Store, error) {
	if _, err := readHeader(cfg.Dir); err != nil {
		return nil, err // without a lock file where there is no store
	}
	l, err := takeLock(cfg.Dir)
	if err != nil {
		return nil, err
	}
	s, err := openLocked(cfg, l, passphrase)
	if err != nil {
		return nil, errors.Join(err, l.release())
	}
	return s, nil
}

func openLocked(cfg Config, l *lock, passphrase []byte) (*Store, error) {
	if err := l.sign(); err != nil && !errors.Is(err, ErrFull) { // to look needs no room
		return nil, err
	}
	b, err := readHeader(cfg.Dir)
	if err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, dir: cfg.Dir, lock: l}
	if s.store, err = parseHeader(b); err != nil {
		return nil, err
	}
	if s.header, err = os.Stat(headerPath(cfg.Dir)); err != nil {
		return nil, err
	}
	im, err := readImage(currentRecords(cfg.Dir))
	if err != nil {
		return nil, err
	}
	boxes, err := readCounters(cfg.Dir)
	if err != nil {
		return nil, err
	}
	s.slots, s.sum = uint32(len(im.slots)), im.sum()
	if cfg.Cost != Cheap && s.slots < vault.MinSlots {
		return nil, ErrDamaged
	}
	if err := s.unlock(im, passphrase); err != nil {
		return nil, err
	}
	key := s.vault.CountKey()
	defer key.Wipe()
	if boxes.judge(key, s.vault.Ticks()) == counterBroken {
		for n := range s.vault.Depth() {
			s.vault.Level(n).Suspect()
		}
	}
	s.durable = s.level().Durable()
	s.staged = s.durable
	return s, nil
}

// unlock opens the levels. It answers at a moment that was fixed before it looked
// into any slot.
func (s *Store) unlock(im *image, passphrase []byte) error {
	p, err := normalize(passphrase)
	if err != nil {
		return ErrPassphrase
	}
	defer clear(p)
	seconds, err := s.cfg.seconds()
	if err != nil {
		return err
	}
	defer wipeKeys(seconds)
	start := time.Now()
	kek := s.cfg.kek(&s.store, p)
	answer := answerTime(s.slots, time.Since(start))
	s.making = 2 * answer
	end := time.After(answer * time.Duration(len(seconds)))
	for _, second := range seconds { // two only after a crash in an exchange
		s.vault, err = vault.Open(s.cfg.geometryOf(s.slots), &s.store, kek, second, im.slot)
		if !errors.Is(err, vault.ErrKey) {
			s.second = second.Clone()
			break
		}
	}
	if s.cfg.Cost != Cheap {
		debug.FreeOSMemory() // the files, too, were read into memory; it takes longer the more records there are
	}
	<-end
	if err != nil {
		kek.Wipe()
		if errors.Is(err, vault.ErrKey) {
			return ErrPassphrase
		}
		return ErrDamaged
	}
	s.kek = kek
	return nil
}

// answerTime is how long looking into the slots is made to take: as long as three
// full levels do, in proportion to what stretching took, because that tells how
// fast the machine is at the moment.
func answerTime(slots uint32, stretched time.Duration) time.Duration {
	per := max(stretched/5, answerLeast)
	return per * time.Duration(slots) / vault.MinSlots
}

// answerLeast is for stores of tests, whose passphrases are not stretched.
const answerLeast = 120 * time.Millisecond

// level is the deepest open level. The caller holds mu, if the store is in use, and
// knows that it is not closed.
func (s *Store) level() *vault.Level { return s.vault.Level(s.vault.Depth() - 1) }
