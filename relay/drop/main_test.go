package drop

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
)

const childEnv = "BACKCHANNEL_DROP_TEST"

// TestMain runs a child's script instead of the tests if the environment names one.
func TestMain(m *testing.M) {
	if script := os.Getenv(childEnv); script != "" {
		if err := scripts[script](os.Args[1:]); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// Badger leaves these two behind when it refuses to open a damaged folder.
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/dgraph-io/badger/v4.(*DB).monitorCache"),
		goleak.IgnoreTopFunction("github.com/dgraph-io/ristretto/v2/z.(*AllocatorPool).freeupAllocators"))
}

var scripts = map[string]func([]string) error{"put": childPut}

// A clock is set by the test.
type clock struct{ ns, serial atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.ns.Store(time.Date(2026, 11, 3, 10, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.ns.Load()).UTC() }
func (c *clock) forward(d time.Duration) { c.ns.Add(int64(d)) }

func testConfig(t testing.TB, c *clock) Config {
	cfg := Config{Dir: filepath.Join(t.TempDir(), "drop"), ID: onion.ID{1}, MinFree: 1 << 20, small: true}
	if c != nil {
		cfg.Now = c.now
	}
	return cfg
}

func mustOpen(t testing.TB, cfg Config) *Store {
	t.Helper()
	s, err := Open(cfg)
	if err != nil {
		t.Fatalf("opening: %v", err)
	}
	t.Cleanup(func() { mustClose(t, s) })
	return s
}

func mustClose(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
}

// numbered is the n-th write key of the tests, and its box.
func numbered(n uint64) (writeKey [drop.AddressSize]byte, box *drop.Box) {
	copy(writeKey[:], "write key of a test    ")
	binary.BigEndian.PutUint64(writeKey[24:], n)
	box = new(drop.Box)
	rand.NewChaCha8(writeKey).Read(box[:])
	return writeKey, box
}

func address(n uint64) drop.Address {
	w, _ := numbered(n)
	return drop.AddressOf(w[:])
}

func put(s *Store, n uint64) drop.Status {
	w, box := numbered(n)
	return s.Put(context.Background(), w, box, nil)
}

func mustPut(t testing.TB, s *Store, numbers ...uint64) {
	t.Helper()
	for _, n := range numbers {
		if got := put(s, n); got != drop.Stored {
			t.Fatalf("putting %d: %v", n, got)
		}
	}
}

func wantFound(t testing.TB, s *Store, numbers ...uint64) {
	t.Helper()
	for _, n := range numbers {
		_, want := numbered(n)
		if got, box := s.Get(address(n)); got != drop.Found || *box != *want {
			t.Errorf("getting %d: %v", n, got)
		}
	}
}

func wantNone(t testing.TB, s *Store, numbers ...uint64) {
	t.Helper()
	for _, n := range numbers {
		if got, _ := s.Get(address(n)); got != drop.None {
			t.Errorf("getting %d: %v", n, got)
		}
	}
}

// holds reports whether any file below dir holds one of the byte strings.
func holds(t testing.TB, dir string, secrets ...[]byte) bool {
	t.Helper()
	found := false
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, s := range secrets {
			found = found || bytes.Contains(b, s) || bytes.Contains([]byte(path), s)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
