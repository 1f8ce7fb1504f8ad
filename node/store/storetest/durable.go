package storetest

import (
	"bytes"
	"errors"
	"testing"

	"github.com/backchannel/backchannel/node/store"
)

func testOffline(t *testing.T, h Harness) {
	s := open(t, h)
	k := Key(1, 1, 1)
	commit(t, s, Put(k, []byte("v")))
	closeStore(t, s)
	s, err := h.Open(h.Passphrase())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	want(t, s, k, []byte("v"))
	_, stageErr := s.Stage(Drop(k))
	_, dropErr := s.DropObject(k.Object)
	for _, err := range []error{stageErr, dropErr, s.Tick(), s.Purge(), s.Rekey(h.Passphrase())} {
		if !errors.Is(err, store.ErrOffline) {
			t.Errorf("got error %v, want ErrOffline", err)
		}
	}
	want(t, s, k, []byte("v"))
	for range 2 {
		if err := s.Online(); err != nil {
			t.Fatalf("going online: %v", err)
		}
	}
	commit(t, s, Drop(k))
	wantNone(t, s, k)
}

func testTickets(t *testing.T, h Harness) {
	s := open(t, h)
	a, b := Key(1, 1, 1), Key(1, 1, 2)
	first := stage(t, s, Put(a, []byte("a")))
	if again := stage(t, s); again != first {
		t.Errorf("nothing was staged, and the ticket is %d after %d", again, first)
	}
	want(t, s, a, []byte("a")) // at once
	if s.Durable() >= first {
		t.Error("durable before a tick")
	}
	second := stage(t, s, Put(b, []byte("b")))
	if second < first {
		t.Errorf("ticket %d after %d", second, first)
	}
	settle(t, s, second)
	third := stage(t, s, Drop(a))
	if third <= second || s.Durable() >= third {
		t.Errorf("ticket %d after %d, durable up to %d", third, second, s.Durable())
	}
	settle(t, s, third)
	closeStore(t, s)
	s = open(t, h)
	if ticket := stage(t, s, Put(a, nil)); ticket <= third || s.Durable() >= ticket {
		t.Errorf("after opening again ticket %d follows %d", ticket, third)
	}
}

func testCrash(t *testing.T, h Harness) {
	s := open(t, h)
	durable := 0
	for round := range 4 {
		for i := range 3 {
			commit(t, s, Put(Key(1, 1, uint64(durable)), []byte{byte(durable)}))
			durable++
			stage(t, s, Put(Key(2, 1, uint64(i)), []byte("lost")))
		}
		stage(t, s, Put(Key(1, 1, 0), []byte("never")), Put(Key(3, 3, 3), []byte("never")))
		if err := h.Crash(s); err != nil {
			t.Fatal(err)
		}
		s = open(t, h)
		if s.RolledBack() {
			t.Fatalf("crash %d rolls back", round)
		}
		for n := range durable {
			want(t, s, Key(1, 1, uint64(n)), []byte{byte(n)})
		}
		wantNone(t, s, Key(3, 3, 3))
	}
}

// testLong crashes between the ticks that a long commit takes: it is whole or not
// there.
func testLong(t *testing.T, h Harness) {
	big := func(fill byte) []store.Write {
		return []store.Write{
			Put(Key(1, 1, 1), bytes.Repeat([]byte{fill}, store.MaxValue)),
			Put(Key(1, 1, 2), bytes.Repeat([]byte{fill}, store.MaxValue)),
		}
	}
	s := open(t, h)
	commit(t, s, big(1)...)
	last := byte(1)
	for ticks := range 6 {
		fill := byte(ticks + 2)
		ticket := stage(t, s, big(fill)...)
		for range ticks {
			tick(t, s)
		}
		if s.Durable() >= ticket {
			last = fill
		}
		if err := h.Crash(s); err != nil {
			t.Fatal(err)
		}
		s = open(t, h)
		for seq := range uint64(2) {
			want(t, s, Key(1, 1, 1+seq), bytes.Repeat([]byte{last}, store.MaxValue))
		}
	}
	if last == 1 {
		t.Error("no commit came to its end")
	}
}

func testDropObject(t *testing.T, h Harness) {
	s := open(t, h)
	gone, kept := Key(1, 1, 1), Key(1, 2, 1)
	for n := range uint64(50) {
		commit(t, s, own(Key(1, 1, n)), own(Key(2, 1, n)), own(Key(1, 2, n)))
	}
	ticket, err := s.DropObject(gone.Object)
	if err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		wantKeys(t, s.Scan(1, gone.Object))
		wantKeys(t, s.ScanKind(2))
		want(t, s, kept, []byte("{1 [2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2] 1}"))
	}
	check()
	settle(t, s, ticket)
	check()
	commit(t, s, own(gone))
	wantKeys(t, s.Scan(1, gone.Object), gone)
	ticket, _ = s.DropObject(gone.Object)
	settle(t, s, ticket)
	if err := h.Crash(s); err != nil {
		t.Fatal(err)
	}
	s = open(t, h)
	check()
}

func testRekey(t *testing.T, h Harness) {
	s := open(t, h)
	k := Key(1, 1, 1)
	ticket := stage(t, s, Put(k, []byte("v")))
	next := []byte("another one")
	if err := s.Rekey(next); err != nil {
		t.Fatal(err)
	}
	if s.Durable() < ticket || s.Opens(h.Passphrase()) || !s.Opens(next) {
		t.Error("the passphrase was not changed, or something is not durable")
	}
	commit(t, s, Put(Key(1, 1, 2), []byte("w")))
	closeStore(t, s)
	if _, err := h.Open(h.Passphrase()); !errors.Is(err, store.ErrPassphrase) {
		t.Errorf("the old passphrase: got error %v", err)
	}
	s = openWith(t, h, next)
	want(t, s, k, []byte("v"))
	want(t, s, Key(1, 1, 2), []byte("w"))
	if s.RolledBack() {
		t.Error("rolled back by another passphrase")
	}
}
