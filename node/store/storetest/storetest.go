// Package storetest holds what every store must do, as a suite, and a store in
// memory for the tests of other packages.
package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"math"
	"testing"

	"github.com/backchannel/backchannel/node/store"
)

// A Store is what the suite asks of a store, and what its users may rely on.
type Store interface {
	Online() error
	Get(k store.Key) ([]byte, error)
	Scan(kind store.Kind, object [16]byte) iter.Seq2[store.Record, error]
	ScanKind(kind store.Kind) iter.Seq2[store.Record, error]
	Stage(writes ...store.Write) (ticket uint64, err error)
	DropObject(object [16]byte) (ticket uint64, err error)
	Durable() uint64
	Tick() error
	Opens(passphrase []byte) bool
	Usage() store.Usage
	RolledBack() bool
	AcceptRollback(giveUp func(*store.View) error) error
	Purge() error
	Rekey(passphrases ...[]byte) error
	Close() error
}

var (
	_ Store = (*store.Store)(nil)
	_ Store = (*Memory)(nil)
)

// A Harness opens one and the same store again and again. The suite closes the
// one before it opens the next. Crash opens what the disk of an open store holds
// at this moment, without closing it in order.
type Harness interface {
	Open() (Store, error)
	Crash(open Store) (Store, error)
	Passphrase() []byte
}

// Run runs the suite; fresh makes an empty store for each test in it.
func Run(t *testing.T, fresh func(t *testing.T) Harness) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Harness)
	}{
		{"empty", testEmpty},
		{"put, get, replace, delete", testBasics},
		{"values are copies", testCopies},
		{"every size", testSizes},
		{"order of scans", testOrder},
		{"scan while writing", testScanWhileWriting},
		{"last write to a key counts", testLastWrite},
		{"refused commits change nothing", testRefused},
		{"passphrase", testPassphrase},
		{"offline", testOffline},
		{"closed", testClosed},
		{"reopen", testReopen},
		{"tickets", testTickets},
		{"crash", testCrash},
		{"drop object", testDropObject},
		{"purge", testPurge},
		{"rekey", testRekey},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, fresh(t)) })
	}
}

// Key makes a key whose object repeats one byte.
func Key(kind store.Kind, object byte, seq uint64) store.Key {
	return store.Key{Kind: kind, Object: [16]byte(bytes.Repeat([]byte{object}, 16)), Seq: seq}
}

// Put makes the write that stores value under k.
func Put(k store.Key, value []byte) store.Write { return store.Write{Key: k, Value: value} }

// Drop makes the write that deletes k.
func Drop(k store.Key) store.Write { return store.Write{Key: k, Delete: true} }

// Collect reads a whole scan.
func Collect(scan iter.Seq2[store.Record, error]) ([]store.Record, error) {
	var all []store.Record
	for r, err := range scan {
		if err != nil {
			return all, err
		}
		all = append(all, r)
	}
	return all, nil
}

// look opens a store for reading.
func look(t *testing.T, h Harness) Store {
	t.Helper()
	s, err := h.Open()
	if err != nil {
		t.Fatalf("opening: %v", err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

// open opens a store for writing.
func open(t *testing.T, h Harness) Store {
	t.Helper()
	s := look(t, h)
	online(t, s)
	return s
}

func online(t *testing.T, s Store) {
	t.Helper()
	if err := s.Online(); err != nil {
		t.Fatalf("going online: %v", err)
	}
}

func closeStore(t *testing.T, s Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
}

func stage(t *testing.T, s Store, writes ...store.Write) uint64 {
	t.Helper()
	ticket, err := s.Stage(writes...)
	if err != nil {
		t.Fatalf("staging: %v", err)
	}
	return ticket
}

// maxTicks is in how many ticks a commit is durable, at most.
const maxTicks = 8

// settle ticks until a ticket is durable.
func settle(t *testing.T, s Store, ticket uint64) {
	t.Helper()
	for range maxTicks {
		if s.Durable() >= ticket {
			return
		}
		if err := s.Tick(); err != nil {
			t.Fatalf("ticking: %v", err)
		}
	}
	if s.Durable() < ticket {
		t.Fatalf("ticket %d is not durable after %d ticks", ticket, maxTicks)
	}
}

// commit stages and settles.
func commit(t *testing.T, s Store, writes ...store.Write) {
	t.Helper()
	settle(t, s, stage(t, s, writes...))
}

func want(t *testing.T, s Store, k store.Key, value []byte) {
	t.Helper()
	got, err := s.Get(k)
	if err != nil || !bytes.Equal(got, value) {
		t.Errorf("%v: got %d bytes and error %v, want %d bytes", k, len(got), err, len(value))
	}
}

func wantNone(t *testing.T, s Store, k store.Key) {
	t.Helper()
	if _, err := s.Get(k); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("%v: got error %v, want ErrNotFound", k, err)
	}
}

func wantKeys(t *testing.T, scan iter.Seq2[store.Record, error], keys ...store.Key) {
	t.Helper()
	all, err := Collect(scan)
	if err != nil {
		t.Fatalf("scanning: %v", err)
	}
	if len(all) != len(keys) {
		t.Fatalf("scan met %d records, want %d", len(all), len(keys))
	}
	for i, r := range all {
		if r.Key != keys[i] {
			t.Errorf("record %d of the scan is %v, want %v", i, r.Key, keys[i])
		}
		if string(r.Value) != fmt.Sprint(r.Key) {
			t.Errorf("%v came with the value %q", r.Key, r.Value)
		}
	}
}

// own makes the write that stores a key's own text under it.
func own(k store.Key) store.Write { return Put(k, fmt.Append(nil, k)) }

func testEmpty(t *testing.T, h Harness) {
	s := open(t, h)
	if s.RolledBack() {
		t.Error("a new store is rolled back")
	}
	wantNone(t, s, Key(1, 1, 1))
	wantKeys(t, s.Scan(1, [16]byte{}))
	wantKeys(t, s.ScanKind(1))
	commit(t, s)
	commit(t, s, Drop(Key(1, 1, 1)))
	if err := s.AcceptRollback(nil); err != nil {
		t.Errorf("accepting no rollback: %v", err)
	}
}

func testBasics(t *testing.T, h Harness) {
	s := open(t, h)
	a, b := Key(1, 1, 1), Key(1, 1, 2)
	commit(t, s, Put(a, []byte("one")), Put(b, []byte("two")))
	want(t, s, a, []byte("one"))
	want(t, s, b, []byte("two"))
	wantNone(t, s, Key(2, 1, 1))
	wantNone(t, s, Key(1, 2, 1))
	commit(t, s, Put(a, []byte("three")), Drop(b))
	want(t, s, a, []byte("three"))
	wantNone(t, s, b)
	commit(t, s, Put(b, nil))
	want(t, s, b, nil)
}

func testCopies(t *testing.T, h Harness) {
	s := open(t, h)
	k, value := Key(1, 1, 1), []byte("value")
	commit(t, s, Put(k, value))
	clear(value)
	want(t, s, k, []byte("value"))
	got, _ := s.Get(k)
	clear(got)
	want(t, s, k, []byte("value"))
}

func testSizes(t *testing.T, h Harness) {
	s := open(t, h)
	sizes := []int{0, 1, 178, 179, 180, 1203, 1204, 4096, 5043, 5044, 16563, 16564, store.MaxValue - 1, store.MaxValue}
	for i, n := range sizes {
		commit(t, s, Put(Key(1, 1, uint64(i)), bytes.Repeat([]byte{byte(i)}, n)))
	}
	for i, n := range sizes {
		want(t, s, Key(1, 1, uint64(i)), bytes.Repeat([]byte{byte(i)}, n))
	}
}

func testOrder(t *testing.T, h Harness) {
	s := open(t, h)
	keys := []store.Key{
		Key(1, 0, 0), Key(1, 0, 1), Key(1, 0, 255), Key(1, 0, 256), Key(1, 0, math.MaxUint64),
		Key(1, 1, 2), Key(1, 255, 1), Key(2, 0, 3), Key(255, 0, 0),
	}
	for i := range keys {
		k := keys[(i*4)%len(keys)] // in another order
		stage(t, s, own(k))
	}
	wantKeys(t, s.Scan(1, keys[0].Object), keys[:5]...)
	wantKeys(t, s.ScanKind(1), keys[:7]...)
	wantKeys(t, s.ScanKind(2), keys[7])
	wantKeys(t, s.ScanKind(255), keys[8])
	for range s.ScanKind(1) {
		break // leaving early is allowed
	}
}

func testScanWhileWriting(t *testing.T, h Harness) {
	s := open(t, h)
	commit(t, s, own(Key(1, 1, 1)), own(Key(1, 1, 2)), own(Key(1, 1, 3)))
	var met []uint64
	for r, err := range s.Scan(1, Key(1, 1, 1).Object) {
		if err != nil {
			t.Fatal(err)
		}
		met = append(met, r.Key.Seq)
		commit(t, s, Drop(Key(1, 1, 2)), own(Key(1, 1, 9)))
	}
	if fmt.Sprint(met) != "[1 3]" {
		t.Errorf("the scan met %v, want what was there at the start and still is", met)
	}
}

func testLastWrite(t *testing.T, h Harness) {
	s := open(t, h)
	a, b := Key(1, 1, 1), Key(1, 1, 2)
	commit(t, s, Put(a, []byte("x")), Drop(b), Drop(a), Put(b, []byte("y")), Put(b, []byte("z")))
	wantNone(t, s, a)
	want(t, s, b, []byte("z"))
}

func testRefused(t *testing.T, h Harness) {
	s := open(t, h)
	k := Key(1, 1, 1)
	commit(t, s, Put(k, []byte("kept")))
	big := make([]byte, store.MaxValue)
	many := make([]store.Write, store.MaxWrites+1)
	for i := range many {
		many[i] = Drop(Key(1, 1, uint64(i)))
	}
	for _, test := range []struct {
		err    error
		writes []store.Write
	}{
		{store.ErrTooLarge, []store.Write{Drop(k), Put(k, append(big, 0))}},
		{store.ErrTooLarge, []store.Write{Drop(k), Put(Key(1, 1, 2), big), Put(Key(1, 1, 3), big), Put(Key(1, 1, 4), big)}},
		{store.ErrTooLarge, many},
		{store.ErrKind, []store.Write{Drop(k), Put(store.Key{Seq: 1}, nil)}},
		{store.ErrKind, []store.Write{Drop(store.Key{})}},
	} {
		if _, err := s.Stage(test.writes...); !errors.Is(err, test.err) {
			t.Errorf("got error %v, want %v", err, test.err)
		}
	}
	want(t, s, k, []byte("kept"))
	commit(t, s, Put(Key(1, 1, 3), big), Put(Key(1, 1, 4), big))
	commit(t, s, many[:store.MaxWrites]...)
	wantKeys(t, s.ScanKind(1))
}

func testPassphrase(t *testing.T, h Harness) {
	s := open(t, h)
	p := h.Passphrase()
	if !s.Opens(p) || s.Opens(append(p, 'x')) || s.Opens(nil) {
		t.Error("Opens does not know the passphrase")
	}
}

func testOffline(t *testing.T, h Harness) {
	s := open(t, h)
	k := Key(1, 1, 1)
	commit(t, s, own(k))
	online(t, s) // again is allowed
	closeStore(t, s)
	s = look(t, h)
	_, err := s.Stage(Put(k, nil))
	_, dropErr := s.DropObject(k.Object)
	for _, err := range []error{err, dropErr, s.Tick(), s.Purge(), s.Rekey([]byte("new")), s.AcceptRollback(nil)} {
		if !errors.Is(err, store.ErrOffline) {
			t.Errorf("got error %v, want ErrOffline", err)
		}
	}
	want(t, s, k, fmt.Append(nil, k))
	wantKeys(t, s.ScanKind(1), k)
	if !s.Opens(h.Passphrase()) {
		t.Error("Opens does not know the passphrase")
	}
	online(t, s)
	commit(t, s, Drop(k))
}

func testClosed(t *testing.T, h Harness) {
	s := open(t, h)
	k := Key(1, 1, 1)
	commit(t, s, Put(k, nil))
	closeStore(t, s)
	closeStore(t, s)
	_, err := s.Get(k)
	_, scanErr := Collect(s.Scan(1, k.Object))
	_, kindErr := Collect(s.ScanKind(1))
	_, stageErr := s.Stage(Put(k, nil))
	_, dropErr := s.DropObject(k.Object)
	for _, err := range []error{
		err, scanErr, kindErr, stageErr, dropErr, s.Tick(), s.AcceptRollback(nil), s.Purge(), s.Rekey([]byte("new")), s.Online(),
	} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("got error %v, want ErrClosed", err)
		}
	}
	if s.Opens(h.Passphrase()) || s.RolledBack() || s.Usage() != (store.Usage{}) && s.Usage().Bytes > 0 {
		t.Error("a closed store answers")
	}
}

func testReopen(t *testing.T, h Harness) {
	for i := range uint64(5) {
		s := open(t, h)
		if s.RolledBack() {
			t.Fatalf("open %d is rolled back", i)
		}
		for seq := range i {
			want(t, s, Key(1, 1, seq), []byte{byte(seq)})
		}
		commit(t, s, Put(Key(1, 1, i), []byte{byte(i)}))
		closeStore(t, s)
	}
}

func testTickets(t *testing.T, h Harness) {
	s := open(t, h)
	first := stage(t, s, own(Key(1, 1, 1)))
	if s.Durable() >= first {
		t.Error("a ticket is durable before any tick")
	}
	want(t, s, Key(1, 1, 1), fmt.Append(nil, Key(1, 1, 1)))
	second := stage(t, s, own(Key(1, 1, 2)))
	if second < first || stage(t, s) < second {
		t.Error("tickets fall")
	}
	settle(t, s, second)
	for range 3 { // a tick with nothing to write is one like others
		if err := s.Tick(); err != nil {
			t.Fatal(err)
		}
	}
	if s.Durable() < second {
		t.Error("what was durable is not any more")
	}
	before := s.Durable()
	closeStore(t, s)
	s = open(t, h)
	if ticket := stage(t, s, own(Key(1, 1, 3))); ticket <= before {
		t.Error("a ticket comes again after reopening")
	}
}

// testCrash stages, ticks and crashes: what Durable promised is there, and every
// commit is whole or not there.
func testCrash(t *testing.T, h Harness) {
	s := open(t, h)
	value := bytes.Repeat([]byte("0123456789abcdef"), 600)
	kept := uint64(0)
	for round := range uint64(6) {
		var tickets []uint64
		for i := range uint64(4) {
			seq := 10*round + i
			tickets = append(tickets, stage(t, s, Put(Key(1, 1, seq), value), Put(Key(2, 2, seq), value)))
		}
		for range round % 4 {
			if err := s.Tick(); err != nil {
				t.Fatal(err)
			}
		}
		durable := s.Durable()
		next, err := h.Crash(s)
		if err != nil {
			t.Fatalf("after a crash: %v", err)
		}
		t.Cleanup(func() { closeStore(t, next) })
		s = next
		if s.RolledBack() {
			t.Error("a crash is taken for a rollback")
		}
		for i, ticket := range tickets {
			seq := 10*round + uint64(i)
			a, errA := s.Get(Key(1, 1, seq))
			b, errB := s.Get(Key(2, 2, seq))
			there := errA == nil && errB == nil && bytes.Equal(a, value) && bytes.Equal(b, value)
			if !there && (ticket <= durable || !errors.Is(errA, store.ErrNotFound) || !errors.Is(errB, store.ErrNotFound)) {
				t.Errorf("round %d: commit %d of durable %d is lost or half there: %v, %v", round, ticket, durable, errA, errB)
			}
			if there {
				kept++
			}
		}
		online(t, s)
	}
	if kept == 0 || kept == 24 {
		t.Errorf("%d of 24 commits were kept: this checks nothing", kept)
	}
}

func testDropObject(t *testing.T, h Harness) {
	s := open(t, h)
	for i := range uint64(30) {
		stage(t, s, own(Key(1, 1, i)), own(Key(2, 1, i)), own(Key(1, 2, i)))
	}
	ticket, err := s.DropObject(Key(1, 1, 0).Object)
	if err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		wantKeys(t, s.Scan(1, Key(1, 1, 0).Object))
		wantKeys(t, s.ScanKind(2))
		want(t, s, Key(1, 2, 7), fmt.Append(nil, Key(1, 2, 7)))
	}
	check()
	settle(t, s, ticket)
	closeStore(t, s)
	s = open(t, h)
	check()
	if _, err := s.DropObject([16]byte{9}); err != nil {
		t.Errorf("dropping what is not there: %v", err)
	}
	commit(t, s, own(Key(1, 1, 5))) // it may come again
	wantKeys(t, s.Scan(1, Key(1, 1, 0).Object), Key(1, 1, 5))
}

func testPurge(t *testing.T, h Harness) {
	s := open(t, h)
	if err := s.Purge(); err != nil {
		t.Fatalf("purging an empty store: %v", err)
	}
	for i := range uint64(40) {
		stage(t, s, own(Key(1, 1, i)), own(Key(2, 2, i)))
	}
	commit(t, s)
	var ticket uint64
	for i := range uint64(40) {
		if i%3 != 0 {
			ticket = stage(t, s, Drop(Key(1, 1, i)))
		}
	}
	var left []store.Key
	for i := uint64(0); i < 40; i += 3 {
		left = append(left, Key(1, 1, i))
	}
	for range 2 {
		if err := s.Purge(); err != nil {
			t.Fatalf("purging: %v", err)
		}
		if s.Durable() < ticket {
			t.Error("what was staged is not durable with the purge")
		}
		wantKeys(t, s.ScanKind(1), left...)
		wantNone(t, s, Key(1, 1, 1))
		want(t, s, Key(2, 2, 39), fmt.Append(nil, Key(2, 2, 39)))
	}
	commit(t, s, own(Key(1, 2, 0)))
	left = append(left, Key(1, 2, 0))
	closeStore(t, s)
	s = open(t, h)
	if s.RolledBack() {
		t.Error("a purged store is rolled back")
	}
	wantKeys(t, s.ScanKind(1), left...)
}

func testRekey(t *testing.T, h Harness) {
	s := open(t, h)
	k := Key(1, 1, 1)
	ticket := stage(t, s, own(k))
	if err := s.Rekey([]byte("another")); err != nil {
		t.Fatal(err)
	}
	if s.Durable() < ticket || s.Opens(h.Passphrase()) || !s.Opens([]byte("another")) {
		t.Error("the new passphrase is not in force")
	}
	want(t, s, k, fmt.Append(nil, k))
	if err := s.Rekey(h.Passphrase()); err != nil {
		t.Fatal(err)
	}
	commit(t, s, own(Key(1, 1, 2)))
	closeStore(t, s)
	s = look(t, h)
	if s.RolledBack() {
		t.Error("a store with new keys is rolled back")
	}
	wantKeys(t, s.ScanKind(1), k, Key(1, 1, 2))
}
