package cadence_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/backchannel/backchannel/protocol/cadence"
)

const lag = 3

// A drop holds, by period, whether the box is at the first and the second replica.
type drop map[uint64][2]bool

// ask lets one contact of period 1 ask once at a slot, and answers from the drop.
func ask(t interface{ Fatalf(string, ...any) }, d drop, r *cadence.Reader, slot cadence.Slot, asked map[cadence.Question]bool) cadence.Question {
	q := cadence.Ask(seed, []cadence.Reader{*r}, slot, lag, 0)
	if q.Contact < 0 {
		return q
	}
	if asked[q] {
		t.Fatalf("asked twice: %v", q)
	}
	if horizon, ok := cadence.Overdue(slot, lag, r.Period); !ok || q.Period > horizon {
		t.Fatalf("slot %d: period %d is not overdue", slot, q.Period)
	}
	asked[q] = true
	r.Book.Asked(q.Period, q.Replica)
	switch {
	case d[q.Period][q.Replica]:
		r.Book.Found(q.Period)
	case q.Replica == 0:
		r.Book.Failed(q.Period)
	}
	return q
}

// TestNothingIsLost: somebody was away; the peer wrote some periods, and some
// copies are lost. Whatever lies behind the newest box or is known to be written
// is found, as long as a copy is there, and no address is asked for twice.
func TestNothingIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := uint64(rapid.IntRange(1, 700).Draw(t, "periods"))
		first := uint64(rapid.IntRange(1000, 100000).Draw(t, "first"))
		d := drop{}
		for p := first; p < first+n; p++ {
			if rapid.IntRange(0, 4).Draw(t, "written") > 0 {
				d[p] = [2]bool{rapid.Bool().Draw(t, "a"), rapid.Bool().Draw(t, "b")}
			}
		}
		r := &cadence.Reader{Book: cadence.NewBook(first), Period: 1, Missing: true}
		slot := cadence.Slot(first + n + 2*lag + 1)
		asked := map[cadence.Question]bool{}
		found := map[uint64]bool{}
		for range 3 * n { // each address once at most
			q := ask(t, d, r, slot, asked)
			if q.Contact >= 0 && d[q.Period][q.Replica] && !found[q.Period] {
				found[q.Period] = true
				for p := first; p < q.Period; p++ { // its control block tells what was written
					if _, ok := d[p]; ok {
						r.Book.Written(p, p)
					}
				}
			}
		}
		for p, copies := range d {
			if (copies[0] || copies[1]) && !found[p] {
				t.Fatalf("period %d of %d to %d is not found, copies %v", p, first, first+n-1, copies)
			}
		}
		if len(asked) > int(2*n) {
			t.Fatalf("%d addresses asked for, %d are there", len(asked), 2*n)
		}
	})
}

// TestOrder: known periods, newest first, each second replica after its first
// failed; then strides; then second replicas.
func TestOrder(t *testing.T) {
	r := &cadence.Reader{Book: cadence.NewBook(1000), Period: 1, Missing: true}
	r.Book.Found(1010)
	r.Book.Written(1003, 1005)
	const slot = 1300 + 2*lag + 2
	asked := map[cadence.Question]bool{}
	var got []cadence.Question
	for range 12 {
		got = append(got, ask(t, drop{1004: {true, true}}, r, slot, asked))
	}
	want := []cadence.Question{
		{Period: 1005},
		{Period: 1005, Replica: 1},
		{Period: 1004},
		{Period: 1003},
		{Period: 1003, Replica: 1},
		{Period: 1280}, // stride 256
		{Period: 1024},
		{Period: 1216}, // 64
		{Period: 1152},
		{Period: 1088},
		{Period: 1296}, // 16
		{Period: 1264},
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("question %d: %v, want %v", i, got[i], want[i])
		}
	}
	r.Missing = false
	r.Book.Found(1300)
	idle, old := 0, 0
	for s := cadence.Slot(slot); s < slot+4000; s++ {
		r.Book.Found(uint64(s) - 2*lag - 2) // always on
		switch q := cadence.Ask(seed, []cadence.Reader{*r}, s, lag, 0); {
		case q.Contact < 0:
			idle++
		case q.Replica == 1:
			old++
		default:
			t.Fatalf("slot %d: %v though nothing is missing", s, q)
		}
	}
	if old < 150 || old > 350 {
		t.Errorf("a second replica of some age in %d of %d idle slots", old, idle+old)
	}
}

// TestTurns: contacts who need something take turns, however much each needs.
func TestTurns(t *testing.T) {
	var readers []cadence.Reader
	for range 3 {
		readers = append(readers, cadence.Reader{Book: cadence.NewBook(100), Period: 1})
	}
	count := map[int]int{}
	for s := cadence.Slot(400); s < 700; s++ {
		q := cadence.Ask(seed, readers, s, lag, 0)
		count[q.Contact]++
		readers[q.Contact].Book.Asked(q.Period, q.Replica)
	}
	for c := range readers {
		if count[c] != 100 {
			t.Errorf("contact %d was asked for %d times of 300", c, count[c])
		}
	}
	if q := cadence.Ask(seed, nil, 400, lag, 0); q.Contact != -1 {
		t.Errorf("without contacts: %v", q)
	}
}

// TestBookIsBounded: what is older or newer than drops keep is not remembered.
func TestBookIsBounded(t *testing.T) {
	b := cadence.NewBook(1000)
	b.Written(0, 1<<63)
	b.Found(1 << 62)
	b.Found(5)
	b.Found(1005)
	b.Forget(1003)
	b.Forget(1002)
	r := cadence.Reader{Book: b, Period: 1, Missing: true}
	if q := cadence.Ask(seed, []cadence.Reader{r}, 1006+2*lag+2, lag, 0); q != (cadence.Question{Contact: 0, Period: 1006, Replica: 0}) {
		t.Errorf("after 1003 was forgotten: %v", q)
	}
	b.Forget(1 << 40)
	if q := cadence.Ask(seed, []cadence.Reader{r}, 1<<40-1, lag, 0); q.Contact != -1 {
		t.Errorf("after all was forgotten: %v", q)
	}
	for _, slot := range []cadence.Slot{0, 7, lag, 2*lag - 1, 2 * lag, 2*lag + 1} {
		if period, ok := cadence.Overdue(slot, lag, 1); ok {
			t.Errorf("slot %d: period %d is overdue before there was one", slot, period)
		}
	}
	if period, ok := cadence.Overdue(2*lag+2, lag, 1); !ok || period != 0 {
		t.Errorf("the first period: %d, %v", period, ok)
	}
	for _, first := range []uint64{1 << 40, 1} { // it begins later, and it ends long before
		r := cadence.Reader{Book: cadence.NewBook(first), Period: 1, Missing: true}
		if q := cadence.Ask(seed, []cadence.Reader{r}, 1<<30, lag, 0); q.Contact != -1 {
			t.Errorf("a book that begins with period %d: %v", first, q)
		}
	}
}

// TestPassedOver: a question that the packet does not lead to is passed over, wherever in the
// order it stands, and the next one is asked.
func TestPassedOver(t *testing.T) {
	const slot = 1012 + 2*lag + 2 // periods to 1012 are overdue
	book := func() *cadence.Book {
		b := cadence.NewBook(1000)
		b.Written(1001, 1003)
		b.Failed(1002)
		b.Found(1010)
		b.Failed(1011)
		return b
	}
	first := func(missing bool, skip map[cadence.Question]bool) cadence.Question {
		return cadence.Ask(seed, []cadence.Reader{{Book: book(), Period: 1, Missing: missing, Skip: func(p uint64, r int) bool {
			return skip[cadence.Question{Period: p, Replica: r}]
		}}}, slot, lag, 0)
	}
	for _, missing := range []bool{true, false} {
		want := []cadence.Question{{Period: 1012}, {Period: 1011, Replica: 1}}
		if missing {
			want = append([]cadence.Question{{Period: 1003}, {Period: 1002, Replica: 1}, {Period: 1001}}, want...)
		}
		skip := map[cadence.Question]bool{}
		for _, q := range want {
			if got := first(missing, skip); got != q {
				t.Errorf("missing %v, %d passed over: %v, want %v", missing, len(skip), got, q)
			}
			skip[q] = true
		}
		if got := first(missing, skip); skip[got] {
			t.Errorf("missing %v: %v was to be passed over", missing, got)
		}
	}
}

// TestOldIsAskedOnce: a second replica of some age is asked for once, like all that is asked.
func TestOldIsAskedOnce(t *testing.T) {
	b, asked := cadence.NewBook(1000), map[uint64]bool{}
	for s := cadence.Slot(1000 + 2*lag + 2); s <= 1600; s++ {
		b.Found(uint64(s) - 2*lag - 2) // always on
	}
	for s := cadence.Slot(1600); s < 20_000; s++ {
		q := cadence.Ask(seed, []cadence.Reader{{Book: b, Period: 1}}, 1600, lag, int(s))
		if q.Contact < 0 {
			continue
		}
		if q.Replica != 1 || asked[q.Period] {
			t.Fatalf("%v, asked before: %v", q, asked[q.Period])
		}
		asked[q.Period] = true
		b.Asked(q.Period, q.Replica)
	}
	if len(asked) < 300 {
		t.Errorf("%d of 600 were asked for", len(asked))
	}
}
