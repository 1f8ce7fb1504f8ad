package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backchannel/backchannel/protocol/secret"
)

// history makes a store, and copies of its folder after one and after two
// sessions, each killed at its end. With many there are tables besides the log.
func history(t *testing.T, many bool) (cfg Config, old, now string) {
	t.Helper()
	cfg = testConfig(t)
	mustCreate(t, cfg)
	n := uint64(3)
	if many {
		n = 12
	}
	base := tempDir(t)
	old, now = filepath.Join(base, "old"), filepath.Join(base, "now")
	for session, to := range []string{old, now} {
		s := mustOpen(t, cfg)
		for i := range n {
			seq := uint64(session)*n + i
			mustCommit(t, s, put(seq, numbered(seq, 80)))
		}
		copyFolder(t, cfg.Dir, to)
		mustClose(t, s)
	}
	copyFolder(t, now, cfg.Dir)
	return cfg, old, now
}

func TestRecordsPutBack(t *testing.T) {
	t.Parallel()
	for _, many := range []bool{false, true} {
		cfg, old, _ := history(t, many)
		copyFolder(t, recordsDir(old), recordsDir(cfg.Dir))
		s := wantRollback(t, cfg, true)
		if n, err := count(s, 80); err != nil || n == 0 {
			t.Errorf("what is left cannot be read: %d records, error %v", n, err)
		}
	}
}

// TestRollbackStays commits and reopens: nothing but AcceptRollback ends it.
func TestRollbackStays(t *testing.T) {
	cfg, old, _ := history(t, false)
	copyFolder(t, recordsDir(old), recordsDir(cfg.Dir))
	for seq := range uint64(5) { // past the tick where the counter stands
		s := wantRollback(t, cfg, true)
		mustCommit(t, s, put(seq, numbered(seq, 80)))
		mustTick(t, s, 1)
		if !s.RolledBack() {
			t.Error("a commit ended the rollback")
		}
		mustClose(t, s)
	}
	s := wantRollback(t, cfg, true)
	if err := s.AcceptRollback(); err != nil || s.RolledBack() {
		t.Fatalf("accepting: %v", err)
	}
	mustCommit(t, s, put(5, numbered(5, 80)))
	mustClose(t, s)
	s = wantRollback(t, cfg, false)
	if n, err := count(s, 80); n != 6 || err != nil {
		t.Errorf("%d records, error %v", n, err)
	}
}

// TestWholeFolderPutBack states what cannot be found.
func TestWholeFolderPutBack(t *testing.T) {
	cfg, old, _ := history(t, false)
	copyFolder(t, old, cfg.Dir)
	wantRollback(t, cfg, false)
}

func TestCounters(t *testing.T) {
	remove := func(t *testing.T, path string) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name string
		do   func(t *testing.T, dir, old string)
	}{
		{"both deleted", func(t *testing.T, dir, _ string) {
			remove(t, counterPath(dir, 0))
			remove(t, counterPath(dir, 1))
		}},
		{"first deleted", func(t *testing.T, dir, _ string) { remove(t, counterPath(dir, 0)) }},
		{"second deleted", func(t *testing.T, dir, _ string) { remove(t, counterPath(dir, 1)) }},
		{"swapped", func(t *testing.T, dir, _ string) {
			for _, names := range [][2]int{{0, 2}, {1, 0}, {2, 1}} {
				if err := os.Rename(counterPath(dir, names[0]), counterPath(dir, names[1])); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"put back", func(t *testing.T, dir, old string) {
			for slot := range 2 {
				replace(t, counterPath(old, slot), counterPath(dir, slot))
			}
		}},
		{"one put back", func(t *testing.T, dir, old string) { replace(t, counterPath(old, 0), counterPath(dir, 0)) }},
		{"lengthened", func(t *testing.T, dir, _ string) {
			f, err := os.OpenFile(counterPath(dir, 0), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.WriteString("more")
			if err := errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg, old, _ := history(t, false)
			test.do(t, cfg.Dir, old)
			s := wantRollback(t, cfg, true)
			if n, err := count(s, 80); n != 6 || err != nil {
				t.Errorf("%d records, error %v", n, err)
			}
			if err := s.AcceptRollback(); err != nil {
				t.Fatal(err)
			}
			mustTick(t, s, 1)
			mustClose(t, s)
			wantRollback(t, cfg, false)
		})
	}
}

func replace(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestSingleFilesPutBack puts back each file of the older copy by itself: the
// store is refused, rolled back, or has every record.
func TestSingleFilesPutBack(t *testing.T) {
	t.Parallel()
	cfg, old, now := history(t, true)
	for name := range contents(t, old) {
		copyFolder(t, now, cfg.Dir)
		replace(t, filepath.Join(old, name), filepath.Join(cfg.Dir, name))
		got := outcome(cfg)
		t.Logf("%s: %s", name, got)
		if got != "rolled back" && got != "records 24" && !strings.HasSuffix(got, ErrDamaged.Error()) {
			t.Errorf("%s put back: %s", name, got)
		}
	}
}

// TestFaultPoisons makes each call on a counter file fail once.
func TestFaultPoisons(t *testing.T) {
	for _, call := range []string{"write", "sync"} {
		cfg := testConfig(t)
		mustCreate(t, cfg)
		fault := &fault{call: call}
		broken := cfg
		broken.faults = &faults{counter: func(f counterFile) counterFile { return faulty{f, fault} }}
		s := mustOpen(t, broken)
		mustCommit(t, s, put(0, numbered(0, 80)))
		fault.armed = true
		err := commit(s, put(1, numbered(1, 80)))
		if !errors.Is(err, errFault) {
			t.Fatalf("%s: got error %v, want the fault", call, err)
		}
		fault.armed = false
		_, getErr := s.Get(key(0))
		var scanErr error
		for _, scanErr = range s.ScanKind(1) {
			break
		}
		_, stageErr := s.Stage(put(2, nil))
		for _, later := range []error{getErr, scanErr, stageErr, s.Tick(), s.Purge(), s.AcceptRollback()} {
			if !errors.Is(later, errFault) {
				t.Errorf("%s: a later call gives error %v, want the fault again", call, later)
			}
		}
		mustClose(t, s)
		s = wantRollback(t, cfg, false)
		if n, err := count(s, 80); n < 1 || n > 2 || err != nil {
			t.Errorf("%s: %d records after reopening, error %v", call, n, err)
		}
	}
}

var errFault = errors.New("fault")

type fault struct {
	call  string
	armed bool
}

type faulty struct {
	counterFile
	*fault
}

func (f faulty) WriteAt(b []byte, off int64) (int, error) {
	if f.armed && f.call == "write" {
		n, _ := f.counterFile.WriteAt(b[:len(b)/2], off) // torn
		return n, errFault
	}
	return f.counterFile.WriteAt(b, off)
}

func (f faulty) Sync() error {
	if f.armed && f.call == "sync" {
		return errFault
	}
	return f.counterFile.Sync()
}

// TestHedgedNonces seals counters with a random source that repeats: equal
// plaintexts alone give equal nonces.
func TestHedgedNonces(t *testing.T) {
	k := newCounterKeys(secret.FromBytes(make([]byte, 32)))
	box := func(tick uint64) string {
		b, err := k.box(zeros{}, counterRecord{tick: tick})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	first, again := box(2), box(2)
	if first != again {
		t.Error("a fixed random source gives two ciphertexts")
	}
	if box(2)[:24] == box(4)[:24] {
		t.Error("a fixed random source gives one nonce to two plaintexts")
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
