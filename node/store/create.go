package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/vault"
)

// Small is the number of slots of a store that is Cheap: enough for the tests of
// other packages, with ticks of the usual size.
const Small = 1024

// A Config says where a store lies and what it is made with.
type Config struct {
	Dir    string    // the folder; its parent must exist
	Slots  uint32    // of a new store, vault.MinSlots to vault.MaxSlots, a multiple of 8; zero: 8,192
	Cost   Cost      // the zero value is Standard
	Random io.Reader // nil: crypto/rand

	faults *faults // tests of this package; nil: none
}

func (c Config) random() io.Reader {
	if c.Random == nil {
		return rand.Reader
	}
	return c.Random
}

// slots returns the number of slots of a new store.
func (c Config) slots() (uint32, error) {
	n, least := c.Slots, uint32(vault.MinSlots)
	if c.Cost == Cheap {
		least = Small
	}
	if n == 0 {
		n = least
	}
	if n < least || !vault.Standard(n).Valid() {
		return 0, ErrSlots
	}
	return n, nil
}

// Exists reports whether there is a store in dir, whole or not.
func Exists(dir string) bool {
	_, err := os.Lstat(headerPath(dir))
	return err == nil
}

// Create makes a new, empty store in cfg.Dir, readable to the owner alone, with one
// or two passphrases. The first is the everyday one and opens everything; the
// second, if there is one, opens level 0 alone. The work, the time, and the names
// and sizes of files are the same for one and for two.
//
// It returns ErrExists if anything but an empty folder is there, and ErrEmpty,
// ErrLong, ErrSame, ErrSlots or ErrFull. The folder appears complete or not at
// all: it is built beside its place, as Dir.new, which a later Create clears away
// after a crash.
func Create(cfg Config, passphrases ...[]byte) error {
	all, err := normalizeAll(passphrases)
	if err != nil {
		return err
	}
	defer clearAll(all)
	return create(cfg, func(h header) ([]secret.Key, error) { return h.keks(all, cfg.Cost, cfg.random()) })
}

// create makes a store with the levels that keks gives the keys of.
func create(cfg Config, keks func(header) ([]secret.Key, error)) error {
	n, err := cfg.slots()
	if err != nil {
		return err
	}
	if err := vacant(cfg.Dir); err != nil {
		return err
	}
	l, err := takeLock(cfg.Dir)
	if err != nil {
		return err
	}
	stage := stageDir(cfg.Dir)
	err = errors.Join(l.sign(), os.RemoveAll(stage))
	if err == nil {
		err = os.Mkdir(stage, 0o700)
	}
	if err == nil {
		if err = build(cfg, n, stage, keks); err != nil {
			err = errors.Join(err, os.RemoveAll(stage))
		} else {
			err = moveIn(stage, cfg.Dir)
		}
	}
	if err = errors.Join(err, l.release()); err != nil && !errors.Is(err, ErrExists) {
		return fmt.Errorf("creating store: %w", err)
	}
	return err
}

func stageDir(dir string) string { return filepath.Clean(dir) + ".new" }

// vacant returns ErrExists unless dir is missing or an empty folder.
func vacant(dir string) error {
	_, err := os.Lstat(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("creating store: %w", err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) > 0 {
		return ErrExists
	}
	return nil
}

// moveIn puts the finished folder in its place.
func moveIn(stage, dir string) error {
	if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return ErrExists // filled meanwhile
	}
	return errors.Join(os.Rename(stage, dir), syncDir(filepath.Dir(filepath.Clean(dir))))
}

// build fills the stage: the records, both counters, the reserve, and last the
// header.
func build(cfg Config, n uint32, stage string, keks func(header) ([]secret.Key, error)) error {
	if err := full(stage, rebuildSpace(n)+reserveSize+openSpace+commitSpace); err != nil {
		return err
	}
	h := header{slots: n}
	if _, err := io.ReadFull(cfg.random(), h.store[:]); err != nil {
		return errors.New("drawing a salt")
	}
	keys, err := keks(h)
	if err != nil {
		return err
	}
	defer wipeAll(keys)
	coins, err := drawCoins(cfg.random())
	if err != nil {
		return err
	}
	v, all, err := vault.Create(h.geometry(), &h.store, keys, coins)
	if err != nil {
		return err
	}
	defer v.Wipe()
	if err := rebuild(stage, all); err != nil {
		return err
	}
	if err := os.Rename(freshDir(stage), recordsDir(stage)); err != nil {
		return err
	}
	k := newCounterKeys(v.CountKey())
	defer k.wipe()
	if err := freshCounters(stage, "", k, cfg.random(), v.Ticks()); err != nil {
		return err
	}
	if err := holdReserve(stage); err != nil {
		return err
	}
	if err := writeFile(headerPath(stage), appendHeader(nil, h)); err != nil {
		return fmt.Errorf("writing header: %w", writeError(err))
	}
	return syncDir(stage)
}

func wipeAll(keys []secret.Key) {
	for _, k := range keys {
		k.Wipe()
	}
}

func drawCoins(random io.Reader) (*vault.Coins, error) {
	var c vault.Coins
	if _, err := io.ReadFull(random, c[:]); err != nil {
		return nil, errors.New("drawing coins")
	}
	return &c, nil
}

// writeFile writes a new file and makes its bytes durable.
func writeFile(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}
