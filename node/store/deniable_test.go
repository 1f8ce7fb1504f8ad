package store

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/vault"
)

// createLevels makes a store with some levels; levelPass opens them.
func createLevels(t *testing.T, cfg Config, levels int) {
	t.Helper()
	err := create(cfg, func(h header) (keks []secret.Key, err error) {
		for n := range levels {
			keks = append(keks, h.kek(levelPass(n), cfg.Cost))
		}
		return keks, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func levelPass(n int) []byte { return fmt.Appendf(nil, "passphrase of level %d", n) }

// openLevel opens a level and goes online.
func openLevel(t *testing.T, cfg Config, n int) *Store {
	t.Helper()
	s := mustLook(t, cfg, levelPass(n))
	if err := s.Online(); err != nil {
		t.Fatal(err)
	}
	return s
}

// sizes are the names and sizes of all files.
func sizes(t *testing.T, dir string) map[string]int {
	t.Helper()
	all := map[string]int{}
	for name, b := range contents(t, dir) {
		all[name] = len(b)
	}
	return all
}

// sameSizes compares names and sizes. Tables differ by some bytes from one run to the
// next: a checksum of what is random is written as a varint, and names of slots are
// cut by what they share with the one before. Which of them has which number is a
// race between Badger's goroutines.
func sameSizes(a, b map[string]int) bool {
	if len(a) != len(b) {
		return false
	}
	var tables [2][]int
	for name, n := range a {
		m, ok := b[name]
		switch {
		case !ok:
			return false
		case filepath.Ext(name) == ".sst":
			tables[0], tables[1] = append(tables[0], n), append(tables[1], m)
		case n != m:
			return false
		}
	}
	slices.Sort(tables[0])
	slices.Sort(tables[1])
	return slices.EqualFunc(tables[0], tables[1], func(n, m int) bool { return max(n, m)-min(n, m) <= 512 })
}

// TestFilesOfLevels plays sessions on stores of one, two and three levels, the
// deepest of which is written full of records: names and sizes of files are the
// same throughout, while open and after each close.
func TestFilesOfLevels(t *testing.T) {
	t.Parallel()
	var want []map[string]int
	for levels := 1; levels <= vault.MaxLevels; levels++ {
		cfg := testConfig(t)
		createLevels(t, cfg, levels)
		got := []map[string]int{sizes(t, cfg.Dir)}
		for session := range 2 {
			s := openLevel(t, cfg, levels-1)
			for i := range 20 {
				if levels > 1 { // else nothing is written at all
					for j := range uint64(levels) {
						if _, err := s.Stage(put(uint64(session*100+i)+j<<20, numbered(j, 2000))); err != nil {
							t.Fatal(err)
						}
					}
				}
				mustTick(t, s, 1)
			}
			got = append(got, sizes(t, cfg.Dir))
			mustClose(t, s)
			got = append(got, sizes(t, cfg.Dir))
		}
		s := openLevel(t, cfg, levels-1)
		if err := s.Purge(); err != nil {
			t.Fatal(err)
		}
		got = append(got, sizes(t, cfg.Dir))
		mustClose(t, s)
		got = append(got, sizes(t, cfg.Dir))
		if want == nil {
			want = got
			continue
		}
		for i := range got {
			if !sameSizes(want[i], got[i]) {
				t.Errorf("%d levels, moment %d: the files are\n%v, with one level\n%v", levels, i, got[i], want[i])
			}
		}
	}
}

// TestCreateShowsNothing makes stores with one and with two passphrases: the folder
// has the same files, and no bytes of the header but the salt differ.
func TestCreateShowsNothing(t *testing.T) {
	t.Parallel()
	one, two := testConfig(t), testConfig(t)
	mustCreate(t, one)
	if err := Create(two, testPass, []byte("the other")); err != nil {
		t.Fatal(err)
	}
	if a, b := sizes(t, one.Dir), sizes(t, two.Dir); !sameSizes(a, b) {
		t.Errorf("one passphrase: %v, two: %v", a, b)
	}
	for _, test := range []struct {
		cfg        Config
		passphrase []byte
		depth      int
	}{{one, testPass, 1}, {two, testPass, 2}, {two, []byte("the other"), 1}} {
		s := mustLook(t, test.cfg, test.passphrase)
		if s.vault.Depth() != test.depth {
			t.Errorf("%q opens %d levels, want %d", test.passphrase, s.vault.Depth(), test.depth)
		}
		mustClose(t, s)
	}
	for _, test := range []struct {
		want error
		all  [][]byte
	}{
		{ErrSame, [][]byte{testPass, testPass}}, {ErrEmpty, [][]byte{testPass, nil}}, {ErrEmpty, [][]byte{nil, testPass}},
	} {
		if err := Create(testConfig(t), test.all...); !errors.Is(err, test.want) {
			t.Errorf("got error %v, want %v", err, test.want)
		}
	}
	if Create(testConfig(t)) == nil || Create(testConfig(t), []byte("a"), []byte("b"), []byte("c")) == nil {
		t.Error("no passphrase, or three, make a store")
	}
}

// TestLookChangesNothing opens every level, rightly and wrongly, after a close and
// after a crash: no byte of the folder changes, and no file's time.
func TestLookChangesNothing(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	createLevels(t, cfg, 2)
	s := openLevel(t, cfg, 1)
	mustCommit(t, s, put(0, numbered(0, 80)))
	crashed := cfg
	crashed.Dir = cfg.Dir + ".crashed"
	copyFolder(t, cfg.Dir, crashed.Dir)
	mustClose(t, s)
	for _, cfg := range []Config{cfg, crashed} {
		before, times := fingerprint(t, cfg.Dir), modified(t, cfg.Dir)
		for n := range 2 {
			s := mustLook(t, cfg, levelPass(n))
			if got, err := count(s, 80); err != nil || got != uint64(n) {
				t.Errorf("level %d: %d records, error %v", n, got, err)
			}
			mustClose(t, s)
		}
		if _, err := Open(cfg, levelPass(2)); !errors.Is(err, ErrPassphrase) {
			t.Errorf("got error %v, want ErrPassphrase", err)
		}
		if before != fingerprint(t, cfg.Dir) || !maps.Equal(times, modified(t, cfg.Dir)) {
			t.Error("a look changed the folder")
		}
	}
}

func modified(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	all := map[string]int64{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		all[path] = info.ModTime().UnixNano()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestRetiredSlotsAreGone looks in every file, after a close, after the rebuild in
// the middle of a session and after a purge, for what slots held before.
func TestRetiredSlotsAreGone(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	mustCreate(t, cfg)
	seen := map[[32]byte][]byte{} // first bytes of every slot that ever was
	starts := map[[8]byte][32]byte{}
	remember := func() (now map[[32]byte]bool) {
		found, err := readSlots(recordsDir(cfg.Dir), Small)
		if err != nil {
			t.Fatal(err)
		}
		now = map[[32]byte]bool{}
		for _, slot := range found.value {
			id := sha256.Sum256(slot)
			now[id] = true
			seen[id], starts[[8]byte(slot)] = bytes.Clone(slot[:24]), id
		}
		return now
	}
	// check fails if a file holds a retired slot, or not all that are live.
	check := func(when string) {
		t.Helper()
		live := remember()
		if len(seen) < len(live)+100 {
			t.Fatalf("%s: only %d slots were retired: this would check nothing", when, len(seen)-len(live))
		}
		there := map[[32]byte]bool{}
		for _, b := range contents(t, cfg.Dir) {
			for i := 0; i+8 <= len(b); i++ {
				if id, ok := starts[[8]byte(b[i:])]; ok && bytes.HasPrefix(b[i:], seen[id]) {
					there[id] = true
				}
			}
		}
		for id := range seen {
			if there[id] != live[id] {
				t.Fatalf("%s: a slot that is retired (%v) is there, or one that is not is not", when, !live[id])
			}
		}
	}
	remember()
	s := mustOpen(t, cfg)
	for range 4 {
		mustTick(t, s, 1)
		remember()
	}
	mustClose(t, s)
	check("closed")
	s = mustOpen(t, cfg)
	mustTick(t, s, s.renewAfter()-1)
	remember()
	mustTick(t, s, 1)
	check("rebuilt on the way")
	mustTick(t, s, 2)
	remember()
	if err := s.Purge(); err != nil {
		t.Fatal(err)
	}
	check("purged")
	mustClose(t, s)
	check("closed again")
}

// TestDeepLevelAndShallowSession states what a session at level 0 does to a deeper
// one: a look nothing, ticks destroy it, and it says so.
func TestDeepLevelAndShallowSession(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	everyday, other := []byte("everyday"), []byte("other")
	if err := Create(cfg, everyday, other); err != nil {
		t.Fatal(err)
	}
	session := func(passphrase []byte, f func(s *Store)) {
		t.Helper()
		s := mustLook(t, cfg, passphrase)
		if err := s.Online(); err != nil {
			t.Fatal(err)
		}
		f(s)
		mustClose(t, s)
	}
	session(everyday, func(s *Store) { mustCommit(t, s, put(0, []byte("deep"))) })
	session(other, func(s *Store) {
		if _, err := s.Get(key(0)); !errors.Is(err, ErrNotFound) {
			t.Errorf("level 0 shows what is deeper: %v", err)
		}
	})
	session(everyday, func(s *Store) {
		if v, err := s.Get(key(0)); err != nil || string(v) != "deep" || s.RolledBack() {
			t.Errorf("a session without ticks: %q, error %v, rolled back %v", v, err, s.RolledBack())
		}
	})
	session(other, func(s *Store) { mustTick(t, s, 1) })
	s := mustLook(t, cfg, everyday)
	if !s.RolledBack() {
		t.Error("ticks without the deeper level are not noticed")
	}
	mustClose(t, s)
	session(other, func(s *Store) {
		if s.RolledBack() {
			t.Error("level 0 is rolled back by its own ticks")
		}
		mustTick(t, s, 150)
	})
	if _, err := Open(cfg, everyday); !errors.Is(err, ErrPassphrase) {
		t.Errorf("after 150 ticks at 1,024 slots: got error %v, want ErrPassphrase", err)
	}
}

// TestRekeyRearranges gives a store another second passphrase, takes it away, and
// gives one to a store that had none.
func TestRekeyRearranges(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	mustCreate(t, cfg)
	s := mustOpen(t, cfg)
	mustCommit(t, s, put(0, []byte("mine")))
	everyday, other := []byte("everyday"), []byte("other")
	wantLevels := func(passphrase []byte, depth int, value string) {
		t.Helper()
		mustClose(t, s)
		s = mustLook(t, cfg, passphrase)
		v, _ := s.Get(key(0))
		if s.vault.Depth() != depth || string(v) != value || s.RolledBack() {
			t.Errorf("%q opens %d levels and %q, rolled back %v", passphrase, s.vault.Depth(), v, s.RolledBack())
		}
		if err := s.Online(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Rekey(everyday, other); err != nil {
		t.Fatal(err)
	}
	wantLevels(other, 1, "")
	wantLevels(everyday, 2, "mine")
	next := []byte("next")
	if err := s.Rekey(next, other); err != nil {
		t.Fatal(err)
	}
	wantLevels(other, 1, "")
	wantLevels(next, 2, "mine")
	if err := s.Rekey(everyday); err != nil {
		t.Fatal(err)
	}
	wantLevels(everyday, 1, "mine")
	mustClose(t, s)
	for _, p := range [][]byte{testPass, other, next} {
		if _, err := Open(cfg, p); !errors.Is(err, ErrPassphrase) {
			t.Errorf("%q: got error %v, want ErrPassphrase", p, err)
		}
	}
}

// TestNoRuns looks for structure in the slots and counters: no byte value is common
// and no window of 16 bytes comes twice, whatever is stored.
func TestNoRuns(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	mustCreate(t, cfg)
	s := mustOpen(t, cfg)
	mustCommit(t, s, put(0, make([]byte, MaxValue)))
	mustClose(t, s)
	found, err := readSlots(recordsDir(cfg.Dir), Small)
	if err != nil {
		t.Fatal(err)
	}
	all := slices.Concat(found.value...)
	for slot := range 2 {
		b, err := os.ReadFile(counterPath(cfg.Dir, slot))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	windows := make(map[[16]byte]bool, len(all)/16)
	var tally [256]int
	for i := 0; i+16 <= len(all); i += 16 {
		w := [16]byte(all[i:])
		if windows[w] {
			t.Fatalf("16 bytes at %d come a second time", i)
		}
		windows[w] = true
		for _, b := range w {
			tally[b]++
		}
	}
	chi, want := 0.0, float64(len(all)/16*16)/256
	for _, n := range tally {
		chi += (float64(n) - want) * (float64(n) - want) / want
	}
	if chi > 400 { // 255 degrees of freedom: mean 255, deviation 22.6
		t.Errorf("chi-square over byte values is %.0f", chi)
	}
}
