package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/backchannel/backchannel/protocol/secret"
)

// A Config says where a store lies and what it is made with.
type Config struct {
	Dir    string    // the folder; its parent must exist
	Cost   Cost      // the zero value is Standard
	Random io.Reader // nil: crypto/rand

	faults  *faults  // tests of this package; nil: none
	formats *formats // tests of this package; nil: known
}

func (c Config) random() io.Reader {
	if c.Random == nil {
		return rand.Reader
	}
	return c.Random
}

func headerPath(dir string) string { return filepath.Join(dir, "header") }

// Exists reports whether there is a store in dir, whole or not.
func Exists(dir string) bool {
	_, err := os.Lstat(headerPath(dir))
	return err == nil
}

// Create makes a new, empty store in cfg.Dir, readable to the owner alone. It
// returns ErrExists if anything but an empty folder is there, and ErrEmpty,
// ErrLong or ErrFull. The folder appears complete or not at all: it is built
// beside its place, as Dir.new, which a later Create clears away after a crash.
func Create(cfg Config, passphrase []byte) error {
	p, err := normalize(passphrase)
	if err != nil {
		return err
	}
	defer clear(p)
	if err := vacant(cfg.Dir); err != nil {
		return err
	}
	stage := filepath.Clean(cfg.Dir) + ".new"
	l, err := makeStage(stage)
	if err != nil {
		return err
	}
	if err := build(cfg, stage, p); err != nil {
		err = errors.Join(err, os.RemoveAll(stage))
		return errors.Join(err, l.drop())
	}
	if err := l.release(); err != nil {
		return fmt.Errorf("creating store: %w", err)
	}
	if err := os.Remove(cfg.Dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return ErrExists // filled meanwhile
	}
	if err := os.Rename(stage, cfg.Dir); err != nil {
		return fmt.Errorf("creating store: %w", err)
	}
	if err := syncDir(filepath.Dir(filepath.Clean(cfg.Dir))); err != nil {
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

// makeStage makes the folder that a store is built in, and takes its lock.
func makeStage(stage string) (*lock, error) {
	err := os.Mkdir(stage, 0o700)
	if errors.Is(err, os.ErrExist) {
		l, lerr := takeLock(stage)
		if lerr != nil {
			return nil, lerr
		}
		if err = errors.Join(os.RemoveAll(stage), l.drop()); err == nil {
			err = os.Mkdir(stage, 0o700)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("creating store: %w", err)
	}
	l, err := takeLock(stage)
	if err != nil {
		return nil, err
	}
	if err := l.sign(); err != nil {
		return nil, errors.Join(err, l.drop())
	}
	return l, nil
}

// build fills the stage: an empty database at generation 1, both counters, the
// reserve, and last the header.
func build(cfg Config, stage string, normalized []byte) error {
	if err := full(stage, openSpace+reserveSize+commitSpace); err != nil {
		return err
	}
	h := header{version: cfg.known().current}
	salt, err := secret.Read(cfg.random())
	if err != nil {
		return err
	}
	copy(h.salt[:], salt.Bytes())
	root := stretch(normalized, h, cfg.Cost)
	defer root.Wipe()
	k, check := deriveKeys(root)
	defer k.wipe()
	h.check = check

	if err := os.Mkdir(recordsDir(stage), 0o700); err != nil {
		return fmt.Errorf("creating records: %w", err)
	}
	db, err := openBadger(recordsDir(stage), cfg.faults)
	if err != nil {
		return err
	}
	c, err := openCounter(stage, cfg.faults.wrap())
	if err != nil {
		return errors.Join(err, closeBadger(db))
	}
	s := &Store{cfg: cfg, dir: stage, keys: k, db: db, counter: c, index: newIndex()}
	err = errors.Join(
		c.write(k, cfg.random(), mark{}, cfg.faults.hook),
		s.commit(nil, mark{generation: 1}),
		closeBadger(db), c.close())
	if err != nil {
		return err
	}
	if err := holdReserve(stage); err != nil {
		return err
	}
	if err := writeFile(headerPath(stage), appendHeader(nil, h)); err != nil {
		return fmt.Errorf("writing header: %w", err)
	}
	return syncDir(stage)
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
