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
	Get(k store.Key) ([]byte, error)
	Scan(kind store.Kind, object [16]byte) iter.Seq2[store.Record, error]
	ScanKind(kind store.Kind) iter.Seq2[store.Record, error]
	Online() error
	Stage(writes ...store.Write) (ticket uint64, err error)
	DropObject(object [16]byte) (ticket uint64, err error)
	Durable() uint64
	Tick() error
	Opens(passphrase []byte) bool
	RolledBack() bool
	AcceptRollback() error
	Purge() error
	Rekey(passphrases ...[]byte) error
	Close() error
}

var (
	_ Store = (*store.Store)(nil)
	_ Store = (*Memory)(nil)
)

// A Harness opens one and the same store again and again. The suite closes the
// one before it opens the next, or crashes it.
type Harness interface {
	Open(passphrase []byte) (Store, error)
	Passphrase() []byte
	Crash(s Store) error // what is on the disk now is what the next Open finds; closes s
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
		{"offline", testOffline},
		{"tickets", testTickets},
		{"crash", testCrash},
		{"long commits", testLong},
		{"drop object", testDropObject},
		{"rekey", testRekey},
		{"passphrase", testPassphrase},
		{"closed", testClosed},
		{"reopen", testReopen},
		{"purge", testPurge},
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

func open(t *testing.T, h Harness) Store {
	t.Helper()
	return openWith(t, h, h.Passphrase())
}

// openWith opens the store and goes online.
func openWith(t *testing.T, h Harness, passphrase []byte) Store {
	t.Helper()
	s, err := h.Open(passphrase)
	if err == nil {
		err = s.Online()
	}
	if err != nil {
		t.Fatalf("opening: %v", err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

func closeStore(t *testing.T, s Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
}

// maxTicks is within how many ticks any commit is on the disk.
const maxTicks = 16

func commit(t *testing.T, s Store, writes ...store.Write) {
	t.Helper()
	settle(t, s, stage(t, s, writes...))
}

func stage(t *testing.T, s Store, writes ...store.Write) uint64 {
	t.Helper()
	ticket, err := s.Stage(writes...)
	if err != nil {
		t.Fatalf("staging: %v", err)
	}
	return ticket
}

func tick(t *testing.T, s Store) {
	t.Helper()
	if err := s.Tick(); err != nil {
		t.Fatalf("ticking: %v", err)
	}
}

// settle ticks until a ticket is durable.
func settle(t *testing.T, s Store, ticket uint64) {
	t.Helper()
	for range maxTicks {
		if s.Durable() >= ticket {
			return
		}
		tick(t, s)
	}
	t.Fatalf("ticket %d is not durable after %d ticks", ticket, maxTicks)
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
	if _, err := s.DropObject(Key(1, 1, 1).Object); err != nil {
		t.Errorf("dropping no object: %v", err)
	}
	if err := s.AcceptRollback(); err != nil {
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
		commit(t, s, own(k))
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
		err, scanErr, kindErr, stageErr, dropErr, s.Online(), s.Tick(), s.AcceptRollback(), s.Purge(), s.Rekey(h.Passphrase()),
	} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("got error %v, want ErrClosed", err)
		}
	}
	if s.Opens(h.Passphrase()) {
		t.Error("a closed store knows its passphrase")
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

func testPurge(t *testing.T, h Harness) {
	s := open(t, h)
	if err := s.Purge(); err != nil {
		t.Fatalf("purging an empty store: %v", err)
	}
	for i := range uint64(40) {
		commit(t, s, own(Key(1, 1, i)), own(Key(2, 2, i)))
	}
	for i := range uint64(40) {
		if i%3 != 0 {
			commit(t, s, Drop(Key(1, 1, i)))
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
