package store

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"iter"
	"os"
	"path/filepath"
)

// An upgrade; docs/spec/store.md, section Upgrade. A store of an older format is
// read by the code that knows it, and written anew inside its own folder, as an
// ordinary store of the present format:
//
//	upgrade.part/   being written; thrown away whenever it is met
//	upgrade/        whole and read once more; with a header in it not in use yet
//
// The one moment of change is the rename of upgrade/header to header. Before it
// the folder is the old store, after it the new one, whose files finish puts into
// their places. The folder's lock is held throughout.

// A source is a store of an older format, open, and its records as they are to be
// from now on: a format that changes what records hold converts them here.
type source struct {
	records    iter.Seq2[Record, error] // in the order of [Key.Compare]
	rolledBack bool
	close      func() error
}

// A reader opens the store of an older format in cfg.Dir, whose lock the caller
// has. Its errors are those of Open. It changes nothing but what opening changes.
type reader func(cfg Config, l *lock, passphrase []byte) (source, error)

// formats says what Open can read.
type formats struct {
	current byte
	older   map[byte]reader
}

// known are the formats of this program. There is none older than version 1.
var known = formats{current: formatVersion}

func (c Config) known() formats {
	if c.formats != nil {
		return *c.formats
	}
	return known
}

func partDir(dir string) string    { return filepath.Join(dir, "upgrade.part") }
func upgradeDir(dir string) string { return filepath.Join(dir, "upgrade") }

// upgrade makes the store in cfg.Dir one of the present format, or leaves it as it
// was.
func upgrade(cfg Config, from byte, l *lock, passphrase []byte) error {
	read := cfg.known().older[from]
	if read == nil {
		return ErrDamaged
	}
	src, err := read(cfg, l, passphrase)
	if err != nil {
		return err
	}
	to := cfg
	to.Dir = partDir(cfg.Dir)
	sum, err := copyStore(to, cfg.Dir, src, passphrase)
	err = errors.Join(err, src.close())
	if err == nil {
		err = reread(to, sum, src.rolledBack, passphrase)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(to.Dir))
	}
	cfg.faults.hook(stepUpgradeWhole)
	if err := os.Rename(to.Dir, upgradeDir(cfg.Dir)); err != nil {
		return fmt.Errorf("upgrading: %w", writeError(err))
	}
	if err := syncDir(cfg.Dir); err != nil {
		return fmt.Errorf("upgrading: %w", writeError(err))
	}
	cfg.faults.hook(stepUpgradeReady)
	if err := os.Rename(headerPath(upgradeDir(cfg.Dir)), headerPath(cfg.Dir)); err != nil {
		return fmt.Errorf("upgrading: %w", writeError(err))
	}
	cfg.faults.hook(stepUpgradeSwitched)
	return settleUpgrade(cfg)
}

// copyStore writes the records of src into a new store, and returns a hash of them.
func copyStore(to Config, old string, src source, passphrase []byte) (sum []byte, err error) {
	p, err := normalize(passphrase)
	if err != nil {
		return nil, err
	}
	defer clear(p)
	size := int64(0)
	found, err := files(recordsDir(old))
	for _, info := range found {
		size += info.Size()
	}
	if err := errors.Join(err, full(old, size+openSpace+reserveSize+2*commitSpace)); err != nil {
		return nil, err
	}
	if err := os.Mkdir(to.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("upgrading: %w", writeError(err))
	}
	if err := build(to, to.Dir, p); err != nil {
		return nil, err
	}
	s, err := Open(to, passphrase)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if src.rolledBack { // the new store must know, too
		s.rolledBack = true
		if err := s.commit(nil, mark{generation: s.generation + 1}); err != nil {
			return nil, err
		}
	}
	h, batch := sha256.New(), []Write(nil)
	for r, err := range src.records {
		if err != nil {
			return nil, err
		}
		hashRecord(h, r)
		next := Write{Key: r.Key, Value: r.Value}
		if CheckWrites(append(batch, next)) != nil {
			if err := s.Commit(batch...); err != nil {
				return nil, err
			}
			batch = nil
		}
		batch = append(batch, next)
	}
	return h.Sum(nil), s.Commit(batch...)
}

// reread opens the new store once before it is trusted.
func reread(to Config, sum []byte, rolledBack bool, passphrase []byte) error {
	s, err := Open(to, passphrase)
	if err != nil {
		return err
	}
	h := sha256.New()
	for r, err := range s.all() {
		if err != nil {
			return errors.Join(err, s.Close())
		}
		hashRecord(h, r)
	}
	same := string(h.Sum(nil)) == string(sum) && s.RolledBack() == rolledBack
	if err := s.Close(); err != nil {
		return err
	}
	if !same {
		return ErrDamaged
	}
	if err := os.Remove(lockPath(to.Dir)); err != nil {
		return fmt.Errorf("upgrading: %w", writeError(err))
	}
	return syncDir(to.Dir)
}

func hashRecord(h hash.Hash, r Record) {
	head := append([]byte{byte(r.Key.Kind)}, r.Key.Object[:]...)
	head = binary.BigEndian.AppendUint64(head, r.Key.Seq)
	h.Write(binary.BigEndian.AppendUint32(head, uint32(len(r.Value))))
	h.Write(r.Value)
}

// all yields every record, in the order of [Key.Compare].
func (s *Store) all() iter.Seq2[Record, error] {
	return s.scan(func() (keys []Key) {
		for kind := range 256 {
			keys = append(keys, s.index.ofKind(Kind(kind))...)
		}
		return keys
	})
}

// settleUpgrade ends what a killed upgrade left: it throws away what was not in
// use yet, or puts what is in use into its place.
func settleUpgrade(cfg Config) error {
	dir, next := cfg.Dir, upgradeDir(cfg.Dir)
	if err := os.RemoveAll(partDir(dir)); err != nil {
		return fmt.Errorf("upgrading: %w", writeError(err))
	}
	if _, err := os.Lstat(next); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if _, err := os.Lstat(headerPath(next)); err == nil {
		// Its header goes last: without it the rest would be taken for the store.
		if err := errors.Join(removeBut(next, "header"), syncDir(next)); err != nil {
			return fmt.Errorf("upgrading: %w", writeError(err))
		}
		return errors.Join(os.RemoveAll(next), syncDir(dir))
	}
	// The new header is durable before anything old goes.
	if err := errors.Join(syncDir(next), syncDir(dir)); err != nil {
		return fmt.Errorf("upgrading: %w", writeError(err))
	}
	list, err := os.ReadDir(next)
	if err != nil {
		return fmt.Errorf("upgrading: %w", readError(err))
	}
	for _, e := range list {
		cfg.faults.hook(stepUpgradeMove)
		place := filepath.Join(dir, e.Name())
		if err := os.RemoveAll(place); err != nil {
			return fmt.Errorf("upgrading: %w", writeError(err))
		}
		cfg.faults.hook(stepUpgradeMoved)
		if err := os.Rename(filepath.Join(next, e.Name()), place); err != nil {
			return fmt.Errorf("upgrading: %w", writeError(err))
		}
	}
	return errors.Join(syncDir(dir), os.Remove(next), syncDir(dir))
}

// removeBut empties a folder of everything but one file.
func removeBut(dir, name string) error {
	list, err := os.ReadDir(dir)
	for _, e := range list {
		if e.Name() != name {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return err
}
