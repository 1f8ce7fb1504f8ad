package store

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/backchannel/backchannel/protocol/secret"
)

// history makes a store, and copies of its folder after one and after two
// sessions of three commits.
func history(t *testing.T) (cfg Config, old, now string) {
	t.Helper()
	cfg = testConfig(t)
	mustCreate(t, cfg)
	base := t.TempDir()
	old, now = filepath.Join(base, "old"), filepath.Join(base, "now")
	for session, to := range []string{old, now} {
		s := mustOpen(t, cfg)
		for i := range uint64(3) {
			seq := uint64(session)*3 + i
			mustCommit(t, s, put(seq, numbered(seq, 2000)))
		}
		mustClose(t, s)
		copyFolder(t, cfg.Dir, to)
	}
	return cfg, old, now
}

func TestRecordsPutBack(t *testing.T) {
	t.Parallel()
	cfg, old, _ := history(t)
	copyFolder(t, recordsDir(old), recordsDir(cfg.Dir))
	s := mustLook(t, cfg, testPass)
	if n, err := count(s, 2000); err != nil || n != 3 || !s.RolledBack() {
		t.Errorf("%d records, rolled back %v, error %v", n, s.RolledBack(), err)
	}
	mustClose(t, s)
	for seq := range uint64(8) { // past the tick where the counter stands
		s := wantRollback(t, cfg, true)
		mustCommit(t, s, put(seq, numbered(seq, 2000)))
		if !s.RolledBack() {
			t.Error("a tick ended the rollback")
		}
		mustClose(t, s)
	}
	s = wantRollback(t, cfg, true)
	if err := s.AcceptRollback(nil); err != nil || s.RolledBack() {
		t.Fatalf("accepting: %v", err)
	}
	mustCommit(t, s, put(8, numbered(8, 2000)))
	mustTick(t, s)
	mustClose(t, s)
	s = wantRollback(t, cfg, false)
	if n, err := count(s, 2000); n != 9 || err != nil {
		t.Errorf("%d records, error %v", n, err)
	}
}

// TestWholeFolderPutBack states what cannot be found.
func TestWholeFolderPutBack(t *testing.T) {
	t.Parallel()
	cfg, old, _ := history(t)
	copyFolder(t, old, cfg.Dir)
	wantRollback(t, cfg, false)
}

// TestRollbackOfALevel opens a store by its shallow passphrase, ticks and closes:
// the deeper level has missed ticks, and says so.
func TestRollbackOfALevel(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	mustCreate(t, cfg, otherPass)
	s := mustOpen(t, cfg)
	mustCommit(t, s, put(0, numbered(0, 80)))
	mustClose(t, s)
	shallow := mustLook(t, cfg, otherPass)
	if err := shallow.Online(); err != nil {
		t.Fatal(err)
	}
	mustTick(t, shallow)
	if shallow.RolledBack() {
		t.Error("the shallow level is rolled back")
	}
	mustClose(t, shallow)
	if s = mustLook(t, cfg, testPass); !s.RolledBack() {
		t.Error("a level that missed a tick does not say so")
	}
}

// TestAcceptedInAllLevels accepts a rollback of all levels in a deep session: none
// stays marked, what was given up in a shallower level is on the disk before its
// mark goes, and a level that was not marked is not asked.
func TestAcceptedInAllLevels(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	mustCreate(t, cfg, otherPass)
	for _, pass := range [][]byte{otherPass, testPass} {
		s := mustLook(t, cfg, pass)
		if err := errors.Join(s.Online(), s.AcceptRollback(nil)); err != nil {
			t.Fatal(err)
		}
		mustCommit(t, s, put(0, pass))
		mustTick(t, s)
		mustClose(t, s)
	}
	s := mustOpen(t, cfg)
	if err := s.AcceptRollback(func(*View) error { return errors.New("asked") }); err != nil {
		t.Errorf("nothing is rolled back: %v", err)
	}
	mustClose(t, s)
	for _, i := range []uint64{0, 1} {
		if err := os.Remove(counterPath(cfg.Dir, i)); err != nil {
			t.Fatal(err)
		}
	}
	s = mustOpen(t, cfg)
	asked := 0
	err := s.AcceptRollback(func(v *View) error {
		asked++
		got, err := v.Get(key(0))
		if err != nil || !bytes.Equal(got, otherPass) {
			t.Errorf("the shallower level shows %q, error %v", got, err)
		}
		n := 0
		for _, err := range v.ScanKind(key(0).Kind) {
			if n++; err != nil {
				t.Error(err)
			}
		}
		if n != 1 {
			t.Errorf("%d records", n)
		}
		return v.Stage(put(0, []byte("given up")))
	})
	if err != nil || asked != 1 || s.RolledBack() {
		t.Fatalf("asked %d times, rolled back %v, error %v", asked, s.RolledBack(), err)
	}
	mustTick(t, s) // what was given up
	crashed := testConfig(t)
	copyFolder(t, cfg.Dir, crashed.Dir)
	if s := mustLook(t, crashed, otherPass); !s.RolledBack() {
		t.Error("accepted with the tick that makes it durable")
	} else if got, err := s.Get(key(0)); err != nil || string(got) != "given up" {
		t.Errorf("%q, error %v", got, err)
	}
	mustTick(t, s)
	mustClose(t, s)
	for _, pass := range [][]byte{otherPass, testPass} {
		s := mustLook(t, cfg, pass)
		if s.RolledBack() {
			t.Errorf("%s is marked still", pass)
		}
		mustClose(t, s)
	}
}

func TestCounters(t *testing.T) {
	t.Parallel()
	cfg, old, now := history(t)
	remove := func(t *testing.T, path string) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name string
		do   func(t *testing.T, dir string)
	}{
		{"both deleted", func(t *testing.T, dir string) {
			remove(t, counterPath(dir, 0))
			remove(t, counterPath(dir, 1))
		}},
		{"first deleted", func(t *testing.T, dir string) { remove(t, counterPath(dir, 0)) }},
		{"second deleted", func(t *testing.T, dir string) { remove(t, counterPath(dir, 1)) }},
		{"swapped", func(t *testing.T, dir string) {
			for _, names := range [][2]uint64{{0, 2}, {1, 0}, {2, 1}} {
				if err := os.Rename(counterPath(dir, names[0]), counterPath(dir, names[1])); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"put back", func(t *testing.T, dir string) {
			for slot := range uint64(2) {
				replace(t, counterPath(old, slot), counterPath(dir, slot))
			}
		}},
		{"lengthened", func(t *testing.T, dir string) {
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
			copyFolder(t, now, cfg.Dir)
			test.do(t, cfg.Dir)
			s := wantRollback(t, cfg, true)
			if n, err := count(s, 2000); n != 6 || err != nil {
				t.Errorf("%d records, error %v", n, err)
			}
			if err := s.AcceptRollback(nil); err != nil {
				t.Fatal(err)
			}
			mustTick(t, s)
			mustClose(t, s)
			mustClose(t, wantRollback(t, cfg, false))
		})
	}
}

// TestJudge holds counters against ticks: what a crash leaves is told from what
// was put back.
func TestJudge(t *testing.T) {
	key, next := secret.New(&[32]byte{1}), secret.New(&[32]byte{2})
	seal := func(key secret.Key, tick uint64, previous []byte) []byte {
		b, err := sealCounter(zeros{}, key, counterRecord{tick, sha256.Sum256(previous)})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	torn := make([]byte, counterSize)
	eight := seal(key, 8, torn)
	nine := seal(key, 9, eight)
	ten := seal(key, 10, nine)
	after := seal(next, 10, nine) // of a refresh
	for _, test := range []struct {
		name  string
		boxes counterBoxes
		key   secret.Key
		tick  uint64
		want  counterState
	}{
		{"in order", counterBoxes{ten, nine}, key, 10, counterClean},
		{"before the counter", counterBoxes{eight, nine}, key, 10, counterBehind},
		{"torn counter", counterBoxes{torn, nine}, key, 10, counterBehind},
		{"one tick lost", counterBoxes{ten, nine}, key, 9, counterBroken},
		{"two ticks lost", counterBoxes{ten, nine}, key, 8, counterBroken},
		{"older counters", counterBoxes{eight, torn}, key, 10, counterBroken},
		{"the other is not what it was", counterBoxes{ten, torn}, key, 10, counterBroken},
		{"one missing", counterBoxes{ten, nil}, key, 10, counterBroken},
		{"none opens", counterBoxes{torn, torn}, key, 10, counterBroken},
		{"refresh, before the slots", counterBoxes{eight, nine, after}, key, 9, counterClean},
		{"refresh, before the counter", counterBoxes{eight, nine, after}, next, 10, counterClean},
		{"refresh, torn counter", counterBoxes{torn, nine, after}, next, 10, counterClean},
		{"refresh, done", counterBoxes{after, nine}, next, 10, counterClean},
		{"refresh, and the slots put back", counterBoxes{after, nine}, key, 9, counterBroken},
		{"tick after a refresh", counterBoxes{after, seal(next, 11, after)}, next, 11, counterClean},
		{"tick after a refresh, torn", counterBoxes{after, torn}, next, 11, counterBehind},
	} {
		if got := test.boxes.judge(test.key, test.tick); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
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
	cfg, old, now := history(t)
	for name := range contents(t, old) {
		copyFolder(t, now, cfg.Dir)
		replace(t, filepath.Join(old, name), filepath.Join(cfg.Dir, name))
		got := outcome(cfg, true)
		t.Logf("%s: %s", name, got)
		if got != "rolled back" && got != "records 6" && got != "error "+ErrDamaged.Error() {
			t.Errorf("%s put back: %s", name, got)
		}
	}
}

// TestFaultPoisons makes each call on a counter file fail once.
func TestFaultPoisons(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"write", "sync"} {
		cfg := testConfig(t)
		mustCreate(t, cfg)
		fault := &fault{call: call}
		broken := cfg
		broken.faults = &faults{counter: func(f counterFile) counterFile { return faulty{f, fault} }}
		s := mustOpen(t, broken)
		mustCommit(t, s, put(0, numbered(0, 2000)))
		ticket := mustStage(t, s, put(1, numbered(1, 2000)))
		fault.armed = true
		if err := s.Tick(); !errors.Is(err, errFault) || s.Durable() >= ticket {
			t.Fatalf("%s: got error %v, want the fault", call, err)
		}
		fault.armed = false
		_, getErr := s.Get(key(0))
		var scanErr error
		for _, scanErr = range s.ScanKind(1) {
			break
		}
		_, stageErr := s.Stage(put(2, nil))
		for _, later := range []error{getErr, scanErr, stageErr, s.Tick(), s.Purge(), s.AcceptRollback(nil)} {
			if !errors.Is(later, errFault) {
				t.Errorf("%s: a later call gives error %v, want the fault again", call, later)
			}
		}
		mustClose(t, s)
		s = wantRollback(t, cfg, false)
		if n, err := count(s, 2000); n < 1 || n > 2 || err != nil {
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

// TestHedgedNonces seals with a random source that repeats: equal records alone
// give equal nonces.
func TestHedgedNonces(t *testing.T) {
	key := secret.New(&[32]byte{1})
	nonce := func(r counterRecord) string {
		b, err := sealCounter(zeros{}, key, r)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:24])
	}
	a := nonce(counterRecord{tick: 1})
	if a != nonce(counterRecord{tick: 1}) {
		t.Error("a fixed random source gives two nonces")
	}
	if a == nonce(counterRecord{tick: 3}) || a == nonce(counterRecord{tick: 1, previous: [32]byte{1}}) {
		t.Error("a fixed random source gives one nonce to two records")
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
