package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.uber.org/goleak"
)

// TestMain runs a child's script instead of the tests if the environment names
// one; see runChild.
func TestMain(m *testing.M) {
	if script := os.Getenv(childEnv); script != "" {
		os.Exit(childMain(script))
	}
	// Each step of a history is a tick; the flag of the command line still wins.
	if err := errors.Join(flag.Set("rapid.checks", "3"), flag.Set("rapid.steps", "15")); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// long has the tests do everything as often as docs/figures.md says.
var long = flag.Bool("long", false, "repeat what is repeated as often as the figures say")

// slow is set by the race detector, under which opening a store takes ten times
// as long.
var slow bool

// few says how often a test repeats something: a fifth under the race detector
// or with -short.
func few(n int) int {
	if slow || testing.Short() {
		return max(1, n/5)
	}
	return n
}

var (
	testPass  = []byte("correct horse battery staple")
	otherPass = []byte("another")
	thirdPass = []byte("the third of three")
)

// testSlots is a store that a test can rebuild a hundred times: every 8 ticks.
const testSlots = 1024

func testConfig(t testing.TB) Config {
	return Config{Dir: filepath.Join(t.TempDir(), "s"), Slots: testSlots, Cost: Cheap}
}

func mustCreate(t testing.TB, cfg Config, others ...[]byte) {
	t.Helper()
	if err := Create(cfg, append([][]byte{testPass}, others...)...); err != nil {
		t.Fatalf("creating: %v", err)
	}
}

// mustLook opens a store for reading.
func mustLook(t testing.TB, cfg Config, passphrase []byte) *Store {
	t.Helper()
	s, err := Open(cfg, passphrase)
	if err != nil {
		t.Fatalf("opening: %v", err)
	}
	t.Cleanup(func() { mustClose(t, s) })
	return s
}

// mustOpen opens a store for writing.
func mustOpen(t testing.TB, cfg Config) *Store {
	t.Helper()
	s := mustLook(t, cfg, testPass)
	if err := s.Online(); err != nil {
		t.Fatalf("going online: %v", err)
	}
	return s
}

func mustClose(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
}

func mustStage(t testing.TB, s *Store, writes ...Write) uint64 {
	t.Helper()
	ticket, err := s.Stage(writes...)
	if err != nil {
		t.Fatalf("staging: %v", err)
	}
	return ticket
}

func mustTick(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Tick(); err != nil {
		t.Fatalf("ticking: %v", err)
	}
}

func mustCommit(t testing.TB, s *Store, writes ...Write) {
	t.Helper()
	if err := commit(s, writes...); err != nil {
		t.Fatalf("committing: %v", err)
	}
}

// commit stages and ticks until it is durable.
func commit(s *Store, writes ...Write) error {
	ticket, err := s.Stage(writes...)
	for err == nil && s.Durable() < ticket {
		err = s.Tick()
	}
	return err
}

func key(seq uint64) Key { return Key{Kind: 1, Seq: seq} }

// numbered is the value that scripts store under key(seq), n bytes long.
func numbered(seq uint64, n int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%08d", seq), n/8)
}

func put(seq uint64, value []byte) Write { return Write{Key: key(seq), Value: value} }

// count returns how many of the numbered records are there, and fails if they
// are not the first ones.
func count(s *Store, n int) (uint64, error) {
	var next uint64
	for r, err := range s.ScanKind(1) {
		if err != nil {
			return next, err
		}
		if r.Key.Seq != next || !bytes.Equal(r.Value, numbered(next, n)) {
			return next, errors.New("a record is missing or wrong")
		}
		next++
	}
	return next, nil
}

// recordsOf looks into the store and counts.
func recordsOf(t *testing.T, cfg Config, rolledBack bool) uint64 {
	t.Helper()
	s := mustLook(t, cfg, testPass)
	if s.RolledBack() != rolledBack {
		t.Errorf("RolledBack is %v", s.RolledBack())
	}
	n, err := count(s, 80)
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	return n
}

// wantRollback opens a store and looks whether it is rolled back.
func wantRollback(t *testing.T, cfg Config, want bool) *Store {
	t.Helper()
	s := mustOpen(t, cfg)
	if s.RolledBack() != want {
		t.Errorf("RolledBack is %v", s.RolledBack())
	}
	return s
}

// copyFolder copies a folder, with holes as they are and without the reserve.
func copyFolder(t testing.TB, from, to string) {
	t.Helper()
	if err := CopyFolder(from, to); err != nil {
		t.Fatal(err)
	}
}

// CopyFolder is copyFolder for the tests outside.
func CopyFolder(from, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	return filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.Name() == "reserve" {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, name), 0o700)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return writeSparse(filepath.Join(to, name), b)
	})
}

// writeSparse writes a file whose zeros at the end take no room.
func writeSparse(path string, b []byte) error {
	if err := os.WriteFile(path, bytes.TrimRight(b, "\x00"), 0o600); err != nil {
		return err
	}
	return os.Truncate(path, int64(len(b)))
}

// contents returns every file of a folder.
func contents(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	all := make(map[string][]byte)
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		all[name] = b
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// fingerprint is a hash over the names and bytes of every file of a folder.
func fingerprint(t testing.TB, dir string) string {
	t.Helper()
	all := contents(t, dir)
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(h, "%q %d ", name, len(all[name]))
		h.Write(all[name])
	}
	return hex.EncodeToString(h.Sum(nil))
}
