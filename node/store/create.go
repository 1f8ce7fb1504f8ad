package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/backchannel/backchannel/protocol/vault"
)

// A Config says where a store lies and what it is made with.
type Config struct {
	Dir    string    // the folder; its parent must exist
	Slots  uint32    // for Create: 4 KiB each, vault.MinSlots to vault.MaxSlots; zero: 8192
	Cost   Cost      // the zero value is Standard
	Random io.Reader // nil: crypto/rand

	// KeyFile is the path of a second secret that lies outside this machine, without
	// which no passphrase opens anything; empty: there is none. Create makes the file.
	// It is read whenever a passphrase is tried, and written by Rotate and Rekey.
	KeyFile string

	faults *faults // tests of this package; nil: none
}

func (c Config) random() io.Reader {
	if c.Random == nil {
		return rand.Reader
	}
	return c.Random
}

// cheapSlots is how many slots a store of tests has if it does not say, and
// cheapTouch how many of them a tick writes: who tests what lies above the store
// makes many ticks, and looks at none.
const cheapSlots, cheapTouch = 2048, 40

// geometry is that of a new store.
func (c Config) geometry() (vault.Geometry, error) {
	n := c.Slots
	switch {
	case n == 0 && c.Cost == Cheap:
		n = cheapSlots
	case n == 0:
		n = vault.MinSlots
	}
	g := c.geometryOf(n)
	if !g.Valid() || n < vault.MinSlots && c.Cost != Cheap {
		return g, ErrSlots
	}
	return g, nil
}

// geometryOf is that of a store of n slots.
func (c Config) geometryOf(n uint32) vault.Geometry {
	g := vault.Standard(n)
	if c.Cost == Cheap && c.Slots == 0 {
		g.Touch = cheapTouch
	}
	return g
}

func (c Config) coins() (*vault.Coins, error) {
	var coins vault.Coins
	if _, err := io.ReadFull(c.random(), coins[:]); err != nil {
		return nil, errors.New("drawing coins")
	}
	return &coins, nil
}

// Exists reports whether there is a store in dir, whole or not.
func Exists(dir string) bool {
	_, err := os.Lstat(headerPath(dir))
	return err == nil
}

func stageDir(dir string) string { return filepath.Clean(dir) + ".new" }

// Create makes a new, empty store in cfg.Dir, readable to the owner alone, with a
// level for each passphrase, one to three. The first is the everyday one: it opens
// all levels and shows the deepest. The others open shallower ones. How many there
// are changes nothing in what is written, nor how long it takes.
//
// It returns ErrExists if anything but an empty folder is there, and ErrEmpty,
// ErrLong, ErrSame, ErrSlots, ErrFull, ErrKeyFile or ErrKeyFileExists. The folder appears complete or not at all:
// it is built beside its place, as Dir.new, which a later Create clears away after
// a crash.
func Create(cfg Config, passphrases ...[]byte) error {
	normalized, err := normalizeAll(passphrases)
	if err != nil {
		return err
	}
	defer wipe(normalized)
	g, err := cfg.geometry()
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
	if err = l.sign(); err == nil {
		err = createWithKeyFile(cfg, g, normalized)
	}
	if err != nil {
		err = errors.Join(err, os.RemoveAll(stageDir(cfg.Dir)), l.drop())
		if vacant(cfg.Dir) == nil {
			err = errors.Join(err, os.RemoveAll(lockPath(cfg.Dir)))
		}
		return err
	}
	return l.release()
}

// createWithKeyFile makes the key file first. One that was made for nothing goes.
func createWithKeyFile(cfg Config, g vault.Geometry, normalized [][]byte) error {
	if cfg.KeyFile == "" {
		return createLocked(cfg, g, normalized)
	}
	if err := makeKeyFile(cfg.KeyFile); err != nil {
		return err
	}
	err := createLocked(cfg, g, normalized)
	if err != nil && vacant(cfg.Dir) == nil { // a store that is there needs it
		_ = os.Remove(cfg.KeyFile)
	}
	return err
}

// createLocked builds a store beside its place and moves it there.
func createLocked(cfg Config, g vault.Geometry, normalized [][]byte) error {
	stage := stageDir(cfg.Dir)
	if err := os.RemoveAll(stage); err != nil {
		return fmt.Errorf("creating store: %w", err)
	}
	if err := os.Mkdir(stage, 0o700); err != nil {
		return fmt.Errorf("creating store: %w", err)
	}
	if err := furnish(cfg, stage, g, normalized); err != nil {
		return err
	}
	if err := os.Remove(cfg.Dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return ErrExists // filled meanwhile
	}
	err := os.Rename(stage, cfg.Dir)
	if err == nil {
		err = syncDir(filepath.Dir(filepath.Clean(cfg.Dir)))
	}
	if err != nil {
		return fmt.Errorf("creating store: %w", err)
	}
	return nil
}

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

// furnish fills the stage: all slots, both counters, the reserve, and last the
// header.
func furnish(cfg Config, stage string, g vault.Geometry, normalized [][]byte) error {
	if err := full(stage, tablesSpace(g.Slots)+openSpace+reserveSize+tickSpace); err != nil {
		return err
	}
	var store [storeSize]byte
	if _, err := io.ReadFull(cfg.random(), store[:]); err != nil {
		return errors.New("drawing a salt")
	}
	keks := cfg.keks(&store, normalized)
	defer wipeKeys(keks)
	seconds, err := cfg.seconds()
	if err != nil {
		return err
	}
	defer wipeKeys(seconds)
	coins, err := cfg.coins()
	if err != nil {
		return err
	}
	v, all, err := vault.Create(g, &store, keks, seconds[0], coins)
	if err != nil {
		return err
	}
	defer v.Wipe()
	if err := build(stage, g.Slots, sourceOf(all), cfg.faults); err != nil {
		return err
	}
	if err := os.Rename(freshDir(stage), recordsDir(stage)); err != nil {
		return fmt.Errorf("creating records: %w", err)
	}
	key := v.CountKey()
	defer key.Wipe()
	if err := createCounters(stage, cfg.random(), key, v.Ticks()); err != nil {
		return err
	}
	if err := holdReserve(stage); err != nil {
		return err
	}
	if err := writeFile(headerPath(stage), appendHeader(nil, &store)); err != nil {
		return fmt.Errorf("writing header: %w", writeError(err))
	}
	return syncDir(stage)
}

// writeFile writes a new file and makes its bytes durable.
func writeFile(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}
