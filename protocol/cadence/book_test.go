package cadence_test

import (
	"bytes"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/backchannel/backchannel/protocol/cadence"
)

// TestBookSurvives: a book that was kept, block by block, asks for what the book would
// have asked for that was not; but a get that was under way has failed.
func TestBookSurvives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := uint64(rapid.IntRange(0, 5000).Draw(t, "first"))
		b := cadence.NewBook(first)
		n := uint64(rapid.IntRange(1, 900).Draw(t, "periods"))
		for range rapid.IntRange(0, 200).Draw(t, "events") {
			p := first + rapid.Uint64Range(0, n-1).Draw(t, "period")
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0:
				b.Turn(p)
				b.Asked(p, 0)
				b.Failed(p)
			case 1:
				b.Asked(p, 0)
				b.Found(p)
			case 2:
				b.Asked(p, 0)
				b.Failed(p)
				b.Asked(p, 1)
			case 3:
				b.Written(p, p+3)
			case 4:
				b.Turn(p)
			}
		}
		kept := cadence.NewBook(first)
		for block := first / cadence.BlockSize; block <= (first+n+3)/cadence.BlockSize; block++ {
			number, record := b.Block(block * cadence.BlockSize)
			if number != block || kept.Load(number, record) != nil {
				t.Fatal("a record is refused")
			}
			if _, again := kept.Block(block * cadence.BlockSize); !bytes.Equal(record, again) {
				t.Fatal("another record")
			}
		}
		if was, ok := b.Newest(); ok {
			if is, _ := kept.Newest(); is != was {
				t.Fatalf("newest %d, was %d", is, was)
			}
		}
		slot := cadence.Slot(first + n + 20)
		was := &cadence.Reader{Book: b, Period: 1, Missing: true}
		is := &cadence.Reader{Book: kept, Period: 1, Missing: true}
		for range 50 {
			q, k := cadence.Ask(seed, []cadence.Reader{*was}, slot, lag, 0), cadence.Ask(seed, []cadence.Reader{*is}, slot, lag, 0)
			if q != k {
				t.Fatalf("asks for %v, would have asked for %v", k, q)
			}
			if q.Contact < 0 {
				break
			}
			if b.Replica(q.Period, q.Replica) != kept.Replica(q.Period, q.Replica) {
				t.Fatal("another replica")
			}
			for _, b := range []*cadence.Book{b, kept} {
				b.Asked(q.Period, q.Replica)
				b.Failed(q.Period)
			}
		}
	})
}

func TestGetsUnderWayHaveFailed(t *testing.T) {
	b := cadence.NewBook(0)
	b.Turn(5)
	b.Asked(5, 0)
	b.Turn(5) // nothing: a get has left
	kept := cadence.NewBook(0)
	if err := kept.Load(b.Block(5)); err != nil {
		t.Fatal(err)
	}
	kept.Written(5, 5)
	q := cadence.Ask(seed, []cadence.Reader{{Book: kept, Period: 1, Missing: true}}, 100, lag, 0)
	if q.Period != 5 || q.Replica != 1 || kept.Replica(5, q.Replica) != 0 || !kept.Known(5) {
		t.Errorf("%+v", q)
	}
}

func TestBookRefusesOtherRecords(t *testing.T) {
	for name, record := range map[string][]byte{"short": make([]byte, 255), "long": make([]byte, 257), "mark": append(make([]byte, 255), 0x80)} {
		if cadence.NewBook(0).Load(0, record) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	first := make([]byte, cadence.BlockSize)
	first[0] = 1
	for _, number := range []uint64{1 << 56, 3 << 56, 1<<56 + 1} { // their periods are beyond 64 bits, and would be early ones
		if cadence.NewBook(0).Load(number, first) == nil {
			t.Errorf("block %#x: accepted", number)
		}
	}
	far := make([]byte, cadence.BlockSize)
	far[0] = 1
	if cadence.NewBook(0).Load(100, far) == nil {
		t.Error("a period that the book cannot reach: accepted")
	}
	if err := cadence.NewBook(100*cadence.BlockSize).Load(0, far); err != nil {
		t.Error("a period that was forgotten: refused")
	}
}

// TestHas: a book has what was found, and nothing else.
func TestHas(t *testing.T) {
	b := cadence.NewBook(1000)
	b.Asked(1001, 0)
	b.Failed(1002)
	b.Asked(1002, 1)
	b.Written(1003, 1003)
	b.Turn(1004)
	b.Found(1005)
	b.Found(5)
	for _, period := range []uint64{0, 5, 999, 1000, 1001, 1002, 1003, 1004, 1006, 1 << 40} {
		if b.Has(period) {
			t.Errorf("it has period %d", period)
		}
	}
	if !b.Has(1005) {
		t.Error("it has not what was found")
	}
}

// TestTheLastPeriods: behind the last period that a number can say there is none, least of
// all the first one.
func TestTheLastPeriods(t *testing.T) {
	b := cadence.NewBook(math.MaxUint64 - 5)
	b.Found(3)
	if b.Has(3) || !b.Known(3) || b.End() != math.MaxUint64-5 {
		t.Errorf("period 3 is in a book that begins at the end: it reaches to %d", b.End())
	}
}
