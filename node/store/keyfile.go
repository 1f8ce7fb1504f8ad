package store

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/backchannel/backchannel/protocol/secret"
)

// A key file holds a second secret, 32 bytes, which is mixed into the keys of all
// headers. It lies on a medium that can be taken away. While the secret is being
// exchanged the file holds the old and then the new one, 64 bytes in all: whatever
// the moment of a crash, one of the two opens the store. docs/spec/store.md, section
// Key file.

// seconds returns what may be the second secret: the newest first, and a zero key if
// the store has none.
func (c Config) seconds() ([]secret.Key, error) {
	if c.KeyFile == "" {
		return []secret.Key{{}}, nil
	}
	b, err := readKeyFile(c.KeyFile)
	if err != nil {
		return nil, err
	}
	defer clear(b)
	var all []secret.Key
	for len(b) >= secret.Size {
		all = append([]secret.Key{secondIn(b)}, all...)
		b = b[secret.Size:]
	}
	return all, nil
}

// secondIn is the first secret in the bytes of a key file: the zero Key, which stands
// for none, if they are zeros.
func secondIn(b []byte) secret.Key {
	if bytes.Equal(b[:secret.Size], make([]byte, secret.Size)) {
		return secret.Key{}
	}
	return secret.FromBytes(b[:secret.Size])
}

func sameSecond(a, b secret.Key) bool { return a.IsZero() && b.IsZero() || a.Equal(b) }

// readKeyFile reads one secret or two, and perhaps a part of the second: ErrKeyFile
// for what is no key file.
func readKeyFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, ErrKeyFile
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, ErrKeyFile
	}
	b, err := io.ReadAll(io.LimitReader(f, 2*secret.Size+1))
	if err != nil || len(b) < secret.Size || len(b) > 2*secret.Size {
		clear(b)
		return nil, ErrKeyFile
	}
	return b, nil
}

// makeKeyFile makes one with a new secret.
func makeKeyFile(path string) error {
	var b [secret.Size]byte
	defer clear(b[:])
	_, _ = rand.Read(b[:]) // never fails
	return newKeyFile(path, &b)
}

// MakeKeyFile makes a key file for a store that has none, at the path that Config
// names from then on: its secret is zero, as that of such a store, which therefore
// opens with the file as without, until [Store.TakeKeyFile]. ErrKeyFileExists says
// that something else is there, and ErrKeyFile that it could not be made.
func MakeKeyFile(path string) error {
	err := newKeyFile(path, new([secret.Size]byte))
	if errors.Is(err, ErrKeyFileExists) && isFresh(path) {
		return nil
	}
	return err
}

// isFresh reports whether a file is as MakeKeyFile left it.
func isFresh(path string) bool {
	b, err := readKeyFile(path)
	if err != nil {
		return false
	}
	defer clear(b)
	return bytes.Equal(b, make([]byte, secret.Size))
}

// TakeKeyFile is Rotate for a store that had no key file until [MakeKeyFile] made
// one. ErrKeyFileExists says that it has one already.
func (s *Store) TakeKeyFile(path string) error {
	s.mu.Lock()
	has, before := !s.second.IsZero(), s.cfg.KeyFile
	s.mu.Unlock()
	if has {
		return ErrKeyFileExists
	}
	s.setKeyFile(path)
	err := s.Rotate()
	if errors.Is(err, ErrKeyFile) {
		s.setKeyFile(before)
	}
	return err
}

// keyFile is where the key file is, as far as the store was told.
func (s *Store) keyFile() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg.KeyFile
}

func (s *Store) setKeyFile(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.KeyFile = path
}

// newKeyFile writes a key file. What is there already may belong to another store,
// which would be lost with the next exchange: it is refused.
func newKeyFile(path string, b *[secret.Size]byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return ErrKeyFileExists
	}
	if err != nil {
		return ErrKeyFile
	}
	_, err = f.Write(b[:])
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		_ = os.Remove(path)
		return ErrKeyFile
	}
	_ = syncDir(filepath.Dir(path)) // not every medium can
	return nil
}

// stageSecret writes a new secret behind the present one and makes it durable.
func stageSecret(path string, present secret.Key) (secret.Key, error) {
	if err := settleSecret(path, present); err != nil {
		return secret.Key{}, err
	}
	next, err := secret.Read(rand.Reader)
	if err != nil {
		return secret.Key{}, errors.New("drawing a second secret")
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return secret.Key{}, ErrKeyFile
	}
	_, err = f.WriteAt(next.Bytes(), secret.Size)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = settleSecret(path, present)
		return secret.Key{}, ErrKeyFile
	}
	return next, nil
}

// settleSecret makes a secret the only one in the file, and writes over the other.
// ErrKeyFile says that it could not, or that the file never held that secret.
func settleSecret(path string, present secret.Key) error {
	b, err := readKeyFile(path)
	if err != nil {
		return err
	}
	defer clear(b)
	first := secondIn(b)
	defer first.Wipe()
	isFirst := sameSecond(first, present)
	if len(b) == secret.Size && isFirst {
		return nil
	}
	known := isFirst
	if len(b) == 2*secret.Size {
		second := secondIn(b[secret.Size:])
		defer second.Wipe()
		known = known || second.Equal(present)
	}
	if !known {
		return ErrKeyFile // of another store
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return ErrKeyFile
	}
	err = settleIn(f, present, isFirst)
	if err := errors.Join(err, f.Close()); err != nil {
		return ErrKeyFile
	}
	return nil
}

// settleIn puts the secret first, unless it is, then random bytes in the place of
// the other, and cuts the file. Each step is durable before the next: one whole copy
// is there at every moment.
func settleIn(f *os.File, present secret.Key, isFirst bool) error {
	if !isFirst {
		if _, err := f.WriteAt(present.Bytes(), 0); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
	}
	var noise [secret.Size]byte
	_, _ = rand.Read(noise[:]) // never fails
	if _, err := f.WriteAt(noise[:], secret.Size); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return errors.Join(f.Truncate(secret.Size), f.Sync())
}

// DestroyKeyFile writes over a key file in place: no copy of the store, of whatever
// time, opens with what is in it then. ErrKeyFile says that nothing was written, or
// that nobody knows.
func DestroyKeyFile(path string) error {
	b, err := readKeyFile(path)
	if err != nil {
		return err
	}
	clear(b)
	if overwrite(path) != nil {
		return ErrKeyFile
	}
	return nil
}
