package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
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
	goleak.VerifyTestMain(m)
}

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

var testPass = []byte("correct horse battery staple")

// memoryDir is where tests put their stores if there is such a place: they make and
// sync a great many files.
const memoryDir = "/dev/shm"

// tempDir is t.TempDir in memory.
func tempDir(t testing.TB) string {
	t.Helper()
	if info, err := os.Stat(memoryDir); err != nil || !info.IsDir() {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(memoryDir, "store") //nolint:usetesting // t.TempDir is on the disk
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func testConfig(t testing.TB) Config {
	return Config{Dir: filepath.Join(tempDir(t), "s"), Cost: Cheap}
}

func mustCreate(t testing.TB, cfg Config) {
	t.Helper()
	if err := Create(cfg, testPass); err != nil {
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

// mustOpen opens a store and goes online.
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

func mustTick(t testing.TB, s *Store, n int) {
	t.Helper()
	for range n {
		if err := s.Tick(); err != nil {
			t.Fatalf("ticking: %v", err)
		}
	}
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

// copyFolder copies a folder with holes and modes as they are.
func copyFolder(t testing.TB, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{to, recordsDir(to)} {
		if err := os.Chmod(dir, 0o700); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

// wantRollback opens a store and goes online.
func wantRollback(t *testing.T, cfg Config, want bool) *Store {
	t.Helper()
	s := mustOpen(t, cfg)
	if s.RolledBack() != want {
		t.Errorf("RolledBack is %v", s.RolledBack())
	}
	return s
}

// records opens the store and counts.
func records(t *testing.T, cfg Config, rolledBack bool) uint64 {
	t.Helper()
	s := wantRollback(t, cfg, rolledBack)
	n, err := count(s, 80)
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	return n
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
