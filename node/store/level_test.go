package store

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestLevels makes a store of three levels, and writes through each passphrase,
// the deepest last.
func TestLevels(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	mustCreate(t, cfg, otherPass, thirdPass)
	for i, pass := range [][]byte{thirdPass, otherPass, testPass} {
		s := mustLook(t, cfg, pass)
		if s.vault.Depth() != i+1 {
			t.Fatalf("passphrase %d opens %d levels", i, s.vault.Depth())
		}
		if err := s.Online(); err != nil {
			t.Fatal(err)
		}
		if s.RolledBack() { // it has missed the ticks of shallower sessions
			if err := s.AcceptRollback(nil); err != nil {
				t.Fatal(err)
			}
		}
		mustCommit(t, s, put(0, pass))
		mustTick(t, s)
		mustClose(t, s)
	}
	for _, pass := range [][]byte{thirdPass, otherPass, testPass} {
		s := mustLook(t, cfg, pass)
		if got, err := s.Get(key(0)); err != nil || !bytes.Equal(got, pass) || s.RolledBack() {
			t.Errorf("%s shows %q, error %v, rolled back %v", pass, got, err, s.RolledBack())
		}
		for _, other := range [][]byte{thirdPass, otherPass, testPass} {
			want := Another
			if bytes.Equal(other, pass) {
				want = Shown
			}
			if got, err := s.Match(other, ""); got != want || err != nil {
				t.Errorf("opened by %s, it answers %v to %s, error %v", pass, got, other, err)
			}
		}
		mustClose(t, s)
	}
}

// TestRekeyMovesLevels changes passphrases and their number: what the everyday
// passphrase shows goes with it.
func TestRekeyMovesLevels(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	mustCreate(t, cfg)
	s := mustOpen(t, cfg)
	mustCommit(t, s, put(0, []byte("mine")))
	show := func(pass []byte, want string) {
		t.Helper()
		s := mustLook(t, cfg, pass)
		got, err := s.Get(key(0))
		if string(got) != want || want != "" && err != nil || want == "" && !errors.Is(err, ErrNotFound) || s.RolledBack() {
			t.Errorf("%s shows %q, error %v, rolled back %v", pass, got, err, s.RolledBack())
		}
		mustClose(t, s)
	}
	refused := func(pass []byte) {
		t.Helper()
		if _, err := Open(cfg, pass); !errors.Is(err, ErrPassphrase) {
			t.Errorf("%s opens it still: %v", pass, err)
		}
	}
	if err := s.Rekey(otherPass, thirdPass); err != nil { // one more
		t.Fatal(err)
	}
	mustTick(t, s)
	mustClose(t, s)
	refused(testPass)
	show(otherPass, "mine")
	show(thirdPass, "")

	s = mustLook(t, cfg, otherPass)
	if err := errors.Join(s.Online(), s.Rekey(testPass)); err != nil { // one less
		t.Fatal(err)
	}
	if err := s.Rekey(testPass, testPass); !errors.Is(err, ErrSame) {
		t.Errorf("one passphrase for two levels: %v", err)
	}
	mustClose(t, s)
	show(testPass, "mine")
	refused(otherPass)
	refused(thirdPass)
}

// TestAnswerTime opens with every passphrase and a wrong one, with levels empty and
// full: the answer comes at one and the same moment.
func TestAnswerTime(t *testing.T) {
	t.Parallel()
	empty, full := testConfig(t), testConfig(t)
	mustCreate(t, empty)
	mustCreate(t, full, otherPass, thirdPass)
	s := mustOpen(t, full)
	for i := uint64(0); ; i++ {
		if _, err := s.Stage(put(i, numbered(i, 800))); errors.Is(err, ErrLevelFull) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	mustCommit(t, s)
	mustClose(t, s)
	synctest.Test(t, func(t *testing.T) {
		for _, cfg := range []Config{empty, full} {
			for _, pass := range [][]byte{testPass, otherPass, thirdPass, []byte("wrong")} {
				start := time.Now()
				s, err := Open(cfg, pass)
				if took := time.Since(start); took != answerTime(testSlots, 0) {
					t.Errorf("%s took %v (%v)", pass, took, err)
				}
				if err == nil {
					mustClose(t, s)
				}
			}
		}
	})
	if answerTime(8192, time.Second) != 200*time.Millisecond || answerTime(16384, time.Second) != 400*time.Millisecond {
		t.Error("the answer does not come in proportion")
	}
}
