package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// keyed is a store of two levels with a key file, in which one record lies.
func keyed(t *testing.T) Config {
	t.Helper()
	cfg := testConfig(t)
	cfg.KeyFile = cfg.Dir + ".key"
	fillTwo(t, cfg)
	return cfg
}

// keyless is one without a key file.
func keyless(t *testing.T) Config {
	t.Helper()
	cfg := testConfig(t)
	fillTwo(t, cfg)
	return cfg
}

func fillTwo(t *testing.T, cfg Config) {
	t.Helper()
	mustCreate(t, cfg, otherPass)
	s := mustOpen(t, cfg)
	for i := range uint64(5) {
		mustCommit(t, s, put(i, numbered(i, 80)))
	}
	mustClose(t, s)
}

func readAll(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeAll(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// wantClosed wants neither passphrase to open a store.
func wantClosed(t *testing.T, what string, cfg Config, want error) {
	t.Helper()
	for _, pass := range [][]byte{testPass, otherPass} {
		if s, err := Open(cfg, pass); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
			if err == nil {
				mustClose(t, s)
			}
		}
	}
}

// TestKeyFile opens a store with its key file alone: not without it, and not with
// what is none. Create does not use one that is there.
func TestKeyFile(t *testing.T) {
	t.Parallel()
	cfg := keyed(t)
	plain, another := cfg, cfg
	plain.KeyFile, another.KeyFile = "", filepath.Join(t.TempDir(), "another")
	wantClosed(t, "without a key file", plain, ErrPassphrase)
	wantClosed(t, "none there", another, ErrKeyFile)
	for size, want := range map[int]error{0: ErrKeyFile, 31: ErrKeyFile, 32: ErrPassphrase, 64: ErrPassphrase, 65: ErrKeyFile, 1 << 20: ErrKeyFile} {
		writeAll(t, another.KeyFile, make([]byte, size))
		wantClosed(t, "another file", another, want)
	}
	another.KeyFile = t.TempDir()
	wantClosed(t, "a folder", another, ErrKeyFile)
	fresh := testConfig(t)
	if fresh.KeyFile = cfg.KeyFile; !errors.Is(Create(fresh, testPass), ErrKeyFileExists) {
		t.Error("a new store takes the key file of another one")
	}
	if fresh.KeyFile = filepath.Join(t.TempDir(), "none", "key"); !errors.Is(Create(fresh, testPass), ErrKeyFile) {
		t.Error("a key file is made where no folder is")
	}
	if _, err := os.Stat(fresh.Dir); err == nil {
		t.Error("a store was made without its key file")
	}
	if n := len(readAll(t, cfg.KeyFile)); n != 32 {
		t.Errorf("the key file has %d bytes", n)
	}
	s := mustLook(t, cfg, testPass)
	if err := os.Remove(cfg.KeyFile); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Match(testPass, ""); !errors.Is(err, ErrKeyFile) {
		t.Errorf("without the medium the rest is lifted: %v", err)
	}
	writeAll(t, cfg.KeyFile, make([]byte, 32))
	if m, err := s.Match(testPass, ""); m != Nothing || err != nil {
		t.Errorf("with another medium it is lifted: %v, %v", m, err)
	}
}

// TestRotate rotates the secret, and changes the passphrases: a copy from before
// opens with no passphrase and the new key file, and with the old one it does, so
// that the test would see it. The old secret is nowhere in the new file.
func TestRotate(t *testing.T) {
	t.Parallel()
	for name, rotate := range map[string]func(*Store) error{
		"rotate": (*Store).Rotate, "rekey": func(s *Store) error { return s.Rekey(testPass, otherPass) },
	} {
		cfg := keyed(t)
		image, old := cfg, readAll(t, cfg.KeyFile)
		image.Dir = cfg.Dir + ".image"
		copyFolder(t, cfg.Dir, image.Dir)
		s := mustOpen(t, cfg)
		if err := rotate(s); err != nil {
			t.Fatal(err)
		}
		mustTick(t, s)
		mustClose(t, s)
		if n := recordsOf(t, cfg, false); n != 5 {
			t.Errorf("%s: %d records", name, n)
		}
		mustClose(t, mustLook(t, cfg, otherPass))
		next := readAll(t, cfg.KeyFile)
		if len(next) != 32 || bytes.Equal(next, old) {
			t.Errorf("%s: the key file is %x, and was %x", name, next, old)
		}
		wantClosed(t, "an image from before", image, ErrPassphrase)
		image.KeyFile += ".old"
		writeAll(t, image.KeyFile, old)
		if n := recordsOf(t, image, false); n != 5 {
			t.Errorf("%s: with the old secret the image has %d records: this checks nothing", name, n)
		}
		image.Dir = cfg.Dir
		wantClosed(t, "the old secret", image, ErrPassphrase)
	}
}

// TestRotateWithoutMedium has the medium away, another one in, and one that cannot
// be written: nothing changes, or the old secret is said to be there still.
func TestRotateWithoutMedium(t *testing.T) {
	t.Parallel()
	cfg := keyed(t)
	s := mustOpen(t, cfg)
	secret := readAll(t, cfg.KeyFile)
	if err := os.Remove(cfg.KeyFile); err != nil {
		t.Fatal(err)
	}
	if err := s.Rotate(); !errors.Is(err, ErrKeyFile) {
		t.Errorf("the medium is away: %v", err)
	}
	writeAll(t, cfg.KeyFile, make([]byte, 32))
	if err := s.Rotate(); !errors.Is(err, ErrKeyFile) {
		t.Errorf("another medium: %v", err)
	}
	if b := readAll(t, cfg.KeyFile); !bytes.Equal(b, make([]byte, 32)) {
		t.Error("another medium was written to")
	}
	writeAll(t, cfg.KeyFile, secret)
	s.cfg.faults = &faults{at: func(at step) {
		if at == stepSecretOld {
			_ = os.Rename(cfg.KeyFile, cfg.KeyFile+".away")
		}
	}}
	if err := s.Rotate(); !errors.Is(err, ErrKeyFileOld) {
		t.Errorf("taken away meanwhile: %v", err)
	}
	s.cfg.faults = nil
	if err := os.Rename(cfg.KeyFile+".away", cfg.KeyFile); err != nil {
		t.Fatal(err)
	}
	if b := readAll(t, cfg.KeyFile); len(b) != 64 || !bytes.Equal(b[:32], secret) {
		t.Errorf("the file has %d bytes", len(b))
	}
	mustCommit(t, s, put(5, numbered(5, 80)))
	mustClose(t, s)
	if n := recordsOf(t, cfg, false); n != 6 { // with the second of the two
		t.Errorf("%d records", n)
	}
	mustClose(t, mustOpen(t, cfg)) // going online ends the exchange
	if b := readAll(t, cfg.KeyFile); len(b) != 32 || bytes.Equal(b, secret) {
		t.Errorf("after going online the file has %d bytes", len(b))
	}
	s = mustOpen(t, cfg)
	if err := s.Rotate(); err != nil {
		t.Error(err)
	}
	mustClose(t, s)
}

// TestTakeKeyFile gives a store a key file. Until it has taken it the store opens with
// the file as without; then every passphrase needs it.
func TestTakeKeyFile(t *testing.T) {
	t.Parallel()
	cfg := keyless(t)
	image, bare := cfg, cfg
	image.Dir, cfg.KeyFile = cfg.Dir+".image", cfg.Dir+".key"
	copyFolder(t, cfg.Dir, image.Dir)
	s := mustOpen(t, bare)
	for range 2 { // again, after a command that was cut off
		if err := MakeKeyFile(cfg.KeyFile); err != nil {
			t.Fatal(err)
		}
	}
	with := cfg
	with.Dir = image.Dir
	mustClose(t, mustLook(t, with, otherPass))
	mustClose(t, mustLook(t, image, otherPass))
	if err := s.TakeKeyFile(cfg.Dir + ".none"); !errors.Is(err, ErrKeyFile) {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := s.TakeKeyFile(cfg.KeyFile); err != nil {
		t.Fatal(err)
	}
	if err := s.TakeKeyFile(cfg.KeyFile); !errors.Is(err, ErrKeyFileExists) {
		t.Errorf("once more: %v", err)
	}
	if m, err := s.Match(testPass, ""); m != Shown || err != nil {
		t.Errorf("while it is open: %v, %v", m, err)
	}
	mustClose(t, s)
	wantClosed(t, "without", bare, ErrPassphrase)
	wantClosed(t, "an image with the new file", with, ErrPassphrase)
	mustClose(t, mustLook(t, cfg, otherPass))
	if n := recordsOf(t, cfg, false); n != 5 {
		t.Errorf("%d records", n)
	}
	if err := MakeKeyFile(cfg.KeyFile); !errors.Is(err, ErrKeyFileExists) {
		t.Errorf("one that is in use: %v", err)
	}
}

// TestKillWhileRotating kills a process at every step of an exchange of the second
// secret: the next open finds all records with what is on the medium, for both
// passphrases, and going online leaves one secret there. Cut short, the file opens
// the store as well.
func TestKillWhileRotating(t *testing.T) {
	t.Parallel()
	killWhileRotating(t, keyed(t))
}

// TestKillWhileTaking is TestKillWhileRotating for a store that had no key file.
func TestKillWhileTaking(t *testing.T) {
	t.Parallel()
	base := keyless(t)
	if base.KeyFile = base.Dir + ".key"; MakeKeyFile(base.KeyFile) != nil {
		t.Fatal("no key file")
	}
	killWhileRotating(t, base)
}

func killWhileRotating(t *testing.T, base Config) {
	for _, at := range []step{
		stepSecret, stepBuilding, stepBuilt, stepNextCounter, stepDeclared, stepOldClosed, stepAside, stepInPlace, stepCounterWrite,
		stepCounterSync, stepCounterDone, stepRefreshEnd, stepSecretOld, stepSecretGone,
	} {
		cfg := base
		cfg.Dir = filepath.Join(t.TempDir(), "s")
		cfg.KeyFile = cfg.Dir + ".key"
		copyFolder(t, base.Dir, cfg.Dir)
		writeAll(t, cfg.KeyFile, readAll(t, base.KeyFile))
		if !die(t, cfg, "rotate", at) {
			t.Fatalf("step %d was never met", at)
		}
		b := readAll(t, cfg.KeyFile)
		for _, torn := range [][]byte{b, slices.Concat(make([]byte, 7), b[7:])} {
			if len(torn) == 64 && at == stepSecretOld || &torn[0] == &b[0] {
				writeAll(t, cfg.KeyFile, torn)
				if n := recordsOf(t, cfg, false); n != 5 && n != 7 {
					t.Errorf("step %d: a look finds %d records", at, n)
				}
				mustClose(t, mustLook(t, cfg, otherPass))
			}
		}
		mustClose(t, wantRollback(t, cfg, false))
		if n := len(readAll(t, cfg.KeyFile)); n != 32 {
			t.Errorf("step %d: %d bytes are left in the key file", at, n)
		}
		if n := recordsOf(t, cfg, false); n != 5 && n != 7 {
			t.Errorf("step %d: %d records afterwards", at, n)
		}
		mustClose(t, mustLook(t, cfg, otherPass))
		wantFiles(t, cfg.Dir)
	}
}

// TestDestroyKeyFile writes over one, and over nothing else.
func TestDestroyKeyFile(t *testing.T) {
	t.Parallel()
	cfg := keyed(t)
	if err := DestroyKeyFile(cfg.KeyFile); err != nil {
		t.Fatal(err)
	}
	wantClosed(t, "destroyed", cfg, ErrPassphrase)
	letter := filepath.Join(t.TempDir(), "letter")
	writeAll(t, letter, bytes.Repeat([]byte("Dear "), 100))
	if err := DestroyKeyFile(letter); !errors.Is(err, ErrKeyFile) || len(readAll(t, letter)) != 500 {
		t.Errorf("what is no key file: %v", err)
	}
}
