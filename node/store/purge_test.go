package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"
)

func init() { scripts["purge"] = childPurge }

// sealedValue is what Badger holds for a record.
func sealedValue(t *testing.T, s *Store, k Key) []byte {
	t.Helper()
	name := s.keys.nameOf(k)
	var sealed []byte
	err := s.db.View(func(txn *badger.Txn) error {
		item, err := txn.Get(name[:])
		if err == nil {
			sealed, err = item.ValueCopy(nil)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// inFiles counts the files of a folder in which a value stands.
func inFiles(t *testing.T, dir string, value []byte) (n int) {
	t.Helper()
	for _, b := range contents(t, dir) {
		if bytes.Contains(b, value[:64]) {
			n++
		}
	}
	return n
}

// TestPurgeLeavesNothing looks for sealed values in all files of the folder: of
// records that were deleted, and of versions that were replaced, wherever Badger
// had put them.
func TestPurgeLeavesNothing(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	mustCreate(t, cfg)
	s := mustOpen(t, cfg)
	var gone [][]byte
	fill := func(from uint64) {
		for i := from; i < from+60; i++ { // over a memtable's size: some lie in tables
			mustCommit(t, s, put(i, numbered(i, 40_000)))
		}
		for i := from; i < from+60; i += 3 {
			gone = append(gone, sealedValue(t, s, key(i)), sealedValue(t, s, key(i+1)))
			mustCommit(t, s, Write{Key: key(i), Delete: true}, put(i+1, numbered(i, 8000)))
		}
	}
	fill(0)
	mustClose(t, s)
	s = mustOpen(t, cfg)
	fill(1000)
	found := 0
	for _, value := range gone {
		found += inFiles(t, cfg.Dir, value)
	}
	if found == 0 {
		t.Fatal("nothing that was deleted is in any file before the purge: this would check nothing")
	}
	for round := range 2 {
		if err := s.Purge(); err != nil {
			t.Fatal(err)
		}
		for _, value := range gone {
			if n := inFiles(t, cfg.Dir, value); n != 0 {
				t.Fatalf("round %d: a value that was deleted or replaced stands in %d files", round, n)
			}
		}
		if inFiles(t, cfg.Dir, sealedValue(t, s, key(2))) != 1 {
			t.Fatal("a live value is not found: this would check nothing")
		}
		gone = append(gone, sealedValue(t, s, key(5+3*uint64(round))))
		mustCommit(t, s, Write{Key: key(5 + 3*uint64(round)), Delete: true})
	}
	mustClose(t, s)
	s = wantRollback(t, cfg, false)
	generation := s.index.entries[key(2)].generation
	for k, e := range s.index.entries {
		if e.generation != generation {
			t.Errorf("%v has generation %d, another %d: when it was written shows", k, e.generation, generation)
		}
	}
}

func TestPurgeOfRolledBackStoreStaysRolledBack(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	mustCreate(t, cfg)
	s := mustOpen(t, cfg)
	mustCommit(t, s, put(0, numbered(0, 80)))
	mustClose(t, s)
	old := cfg.Dir + ".old"
	copyFolder(t, recordsDir(cfg.Dir), old)
	s = mustOpen(t, cfg)
	mustCommit(t, s, put(1, numbered(1, 80)))
	mustClose(t, s)
	copyFolder(t, old, recordsDir(cfg.Dir))
	s = wantRollback(t, cfg, true)
	if err := s.Purge(); err != nil || !s.RolledBack() {
		t.Errorf("purging: %v, rolled back %v", err, s.RolledBack())
	}
	mustClose(t, s)
	s = wantRollback(t, cfg, true)
	if err := s.AcceptRollback(); err != nil {
		t.Error(err)
	}
	mustClose(t, s)
	if n := records(t, cfg, false); n != 1 {
		t.Errorf("%d records, want 1", n)
	}
}

// TestKillWhilePurging kills a process at every step of a purge. The next open
// finds all records, is not rolled back, and leaves no second folder.
func TestKillWhilePurging(t *testing.T) {
	t.Parallel()
	steps := []step{
		stepBadger, stepBadgerDone, stepPurgeBuilt, stepPurgeAside, stepPurgeInPlace,
		stepCounterWrite, stepCounterSync, stepCounterDone, stepPurgeCounted,
	}
	for _, at := range steps {
		cfg := testConfig(t)
		mustCreate(t, cfg)
		s := mustOpen(t, cfg)
		for i := range uint64(6) {
			mustCommit(t, s, put(i, numbered(i, 80)))
		}
		mustCommit(t, s, Write{Key: key(5), Delete: true})
		mustClose(t, s)
		if out, err := runChild(t, "purge", cfg.Dir, fmt.Sprint(int(at))); err == nil || strings.Contains(out, "error") {
			t.Fatalf("step %d: %q, error %v", at, out, err)
		}
		s = wantRollback(t, cfg, false)
		for _, dir := range []string{freshDir(cfg.Dir), formerDir(cfg.Dir)} {
			if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("step %d: a folder is left: %v", at, err)
			}
		}
		mustClose(t, s)
		if n := records(t, cfg, false); n != 5 {
			t.Errorf("step %d: %d records, want 5", at, n)
		}
	}
}

// childPurge purges and kills itself at the step in args[1].
func childPurge(args []string) error {
	cfg := childConfig(args[0])
	armed := false
	cfg.faults = &faults{at: func(s step) {
		if armed && fmt.Sprint(int(s)) == args[1] {
			p, _ := os.FindProcess(os.Getpid())
			_ = p.Kill()
			select {}
		}
	}}
	s, err := Open(cfg, testPass)
	if err != nil {
		return err
	}
	armed = true
	if err := s.Purge(); err != nil {
		return err
	}
	return fmt.Errorf("step %s was never met", args[1])
}

// BenchmarkPurge purges a store of 100 MB in records of 4 KiB.
func BenchmarkPurge(b *testing.B) {
	for name, n := range map[string]uint64{"1 MB": 200, "100 MB": 20_000} {
		b.Run(name, func(b *testing.B) {
			cfg := testConfig(b)
			mustCreate(b, cfg)
			s := mustOpen(b, cfg)
			for seq := uint64(0); seq < n; seq += 25 {
				var writes []Write
				for i := range uint64(25) {
					writes = append(writes, put(seq+i, numbered(seq+i, 4096)))
				}
				mustCommit(b, s, writes...)
			}
			for b.Loop() {
				if err := s.Purge(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
