package relayed

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/secret"
)

// TestBranches: the boxes of one move to another chain, and the other side does not know from
// when on; then it does, and moves, too. Machines restart in between. All arrives, as many
// packets leave as before, and the first chain is forgotten.
func TestBranches(t *testing.T) {
	w := newWorld(t, 71, 6)
	w.cfg.Slot = 10 * time.Minute // the same in fewer packets
	w.lies = true                 // the test looks for boxes on the first chain alone
	a, b := w.user(1), w.user(2)
	ta, tb := w.meet(1, a, b, 1, set(3, 4, 5))
	a.start()
	b.start()
	w.run(time.Hour)
	id, root := ContactID{1}, secret.New(&[32]byte{7})
	today, _ := a.m.Today()
	if today != drop.DayAt(time.Duration(w.now.UnixNano())) {
		t.Fatalf("day %d", today)
	}
	branches := map[*user]drop.Branches{a: {{}, {Session: 2}}, b: {{}, {Session: 5}}}
	for u, all := range branches {
		chain, _ := drop.NewBranch(root, today-30)
		u.turn(u.m.AddBranch(id, all[1].Session, chain))
		u.turn(u.m.SetBranches(id, all))
	}
	tell := func(u *user, writes, told drop.Day) {
		branches[u][1].Writes, branches[u][1].Told = writes, told
		u.turn(u.m.SetBranches(id, branches[u]))
	}
	say := func(d time.Duration) {
		for range 3 {
			ta.write(2)
			tb.write(2)
			w.run(d / 3)
		}
	}
	restart := func() {
		for _, u := range []*user{a, b} {
			u.stop()
			u.start()
			u.turn(u.m.SetBranches(id, branches[u]))
		}
	}
	say(12 * time.Hour) // both look in two places, and nothing has moved
	if len(tb.order) == 0 || len(ta.order) == 0 {
		t.Fatal("nothing comes while a side may move")
	}
	tell(a, today+1, 0)
	say(24 * time.Hour)
	before := len(tb.order)
	restart()
	say(12 * time.Hour)
	if len(tb.order) == before {
		t.Error("a box of the other chain is not found by who does not know")
	}
	tell(b, today+2, today+1)
	say(24 * time.Hour)
	restart()
	tell(a, today+1, today+2)
	say(12 * time.Hour)
	w.run(12 * time.Hour)
	checkAll(t, ta, tb)
	for _, u := range []*user{a, b} {
		record := slices.Clone(u.disk[recordName{id, Route, 0}])
		if branches[u] = branches[u][1:]; record[9] != 2 {
			t.Errorf("%d chains are kept", record[9])
		}
		tell1 := u.m.SetBranches(id, branches[u])
		if u.turn(tell1); u.disk[recordName{id, Route, 0}][9] != 1 {
			t.Error("the first chain is not forgotten")
		}
		if again := u.m.SetBranches(id, branches[u]); len(again.Writes) != 0 {
			t.Error("what does not change is written")
		}
	}
	restart()
	before = len(tb.order)
	say(6 * time.Hour)
	w.run(6 * time.Hour)
	checkAll(t, ta, tb)
	if len(tb.order) == before {
		t.Error("nothing comes on the chain that is left")
	}
}

// TestNoPlaceIsAskedTwice has a contact looked for on two chains, with and without boxes found,
// while it becomes known where it is: of a period the two replicas are asked at most, each once.
func TestNoPlaceIsAskedTwice(t *testing.T) {
	m := New(Config{})
	m.cfg.Constants.Slot = time.Hour
	chain := func(b byte) *drop.Chain { return drop.NewChain(secret.New(&[32]byte{b}), 10) }
	c := &contact{
		id: ContactID{1}, direction: drop.FromInviter, period: 1, book: cadence.NewBook(240), set: set(3, 4, 5),
		branches: []*branch{newBranch(0, chain(1)), newBranch(2, chain(2))},
	}
	m.contacts = []*contact{c}
	for known, told := range []drop.Day{0, 0, 12} {
		for silent := range 2 * silence {
			c.silent = silent
			for period := uint64(240); period < 340; period++ {
				c.setBranches(drop.Branches{{}, {Session: 2}})
				first, ok := m.question(c, period, 0)
				if !ok {
					t.Fatal("it is not looked for")
				}
				c.setBranches(drop.Branches{{}, {Session: 2, Told: told}})
				c.silent = known * silence
				second, ok := m.question(c, period, 1)
				if !ok || first.replica == second.replica {
					t.Fatalf("period %d: %+v, then %+v", period, first, second)
				}
				if may := c.days.Reading(m.day(1, period)); len(may) == 1 && second.session != c.days[may[0]].Session {
					t.Errorf("period %d, day %d: looked for on the chain of %d", period, m.day(1, period), second.session)
				}
				c.silent = silent
			}
		}
	}
}

// TestSparseHoursFindTheOtherChain: a reader who is on for some hours a day, long after its
// writer, knows two chains on which boxes may be, and of neither that it is the one. It finds
// boxes on either, though all gets that catch up go by strides.
func TestSparseHoursFindTheOtherChain(t *testing.T) {
	const perDay, day0 = 1440, 20000 // periods; the first day
	for _, hours := range []uint64{1, 2} {
		for _, writes := range []uint32{0, 2} {
			m := New(Config{})
			m.cfg.Constants.Slot = 30 * time.Second
			chain := func(b byte) *drop.Chain { return drop.NewChain(secret.New(&[32]byte{b}), day0) }
			c := &contact{
				id: ContactID{1}, direction: drop.FromInviter, period: 2, book: cadence.NewBook(day0 * perDay), set: set(3, 4, 5),
				branches: []*branch{newBranch(0, chain(1)), newBranch(2, chain(2))},
				days:     drop.Branches{{}, {Session: 2}},
			}
			m.contacts = []*contact{c}
			found := 0
			ask := func(period uint64, place int) {
				q, ok := m.question(c, period, place)
				if !ok {
					t.Fatalf("period %d is not looked for", period)
				}
				c.book.Asked(period, place)
				// The writer is on for an hour a day, from 00:07 on.
				if minute := period % perDay; minute >= 7 && minute < 67 && q.session == writes {
					found++
					c.foundOn, c.silent = q.session, 0
					c.book.Found(period)
					return
				}
				c.silent++
				if place == 0 {
					c.book.Failed(period)
				}
			}
			for day := uint64(1); day <= 20; day++ {
				noon := (day0+day)*perDay + 720
				for slot := 2 * noon; slot < 2*(noon+60*hours); slot++ {
					if kept := slot/2 - 4*perDay; kept > day0*perDay {
						c.book.Forget(kept)
					}
					if now := slot/2 - 1; slot%2 == 1 && !c.book.Known(now) {
						ask(now, 0)
					}
					for lane := range 2 {
						q := cadence.Ask(secret.New(&[32]byte{9}), []cadence.Reader{{Book: c.book, Period: 2}}, cadence.Slot(slot), 5, lane)
						if q.Contact >= 0 {
							ask(q.Period, q.Replica)
						}
					}
				}
			}
			if found < 10 {
				t.Errorf("on for %d h a day: %d boxes found on the chain of session %d in 20 days", hours, found, writes)
			}
		}
	}
}

// TestRecordOfManyChains: a record has as many chains as are of use, and no more.
func TestRecordOfManyChains(t *testing.T) {
	for n := 1; n <= maxBranches+1; n++ {
		c := &contact{}
		for i := range n {
			c.branches = append(c.branches, newBranch(uint32(i), drop.NewChain(secret.New(&[32]byte{byte(i + 1)}), 10)))
		}
		record, got := c.appendBranches(nil), &contact{}
		if _, err := got.loadBranches(record, routeVersion); (err == nil) != (n <= maxBranches) || err == nil && len(got.branches) != n {
			t.Errorf("%d chains: %v", n, err)
		}
	}
}

// TestRouteOfVersion1 reads a record from before there were several chains.
func TestRouteOfVersion1(t *testing.T) {
	w := newWorld(t, 72, 6)
	a, b := w.user(1), w.user(2)
	ta, tb := w.meet(1, a, b, 1, set(3, 4, 5))
	a.start()
	b.start()
	ta.write(1)
	tb.write(1)
	w.run(30 * time.Minute)
	for _, u := range []*user{a, b} {
		name := recordName{ContactID{1}, Route, 0}
		record := u.disk[name]
		if record[0] != 2 || record[9] != 1 || binary.BigEndian.Uint32(record[10:]) != 0 {
			t.Fatalf("%x", record[:14])
		}
		u.disk[name] = slices.Concat([]byte{1}, record[1:9], record[14:])
		u.stop()
		u.start()
	}
	ta.write(1)
	tb.write(1)
	w.run(30 * time.Minute)
	checkAll(t, ta, tb)
	if len(ta.order) != 2 || len(tb.order) != 2 {
		t.Errorf("%d and %d texts", len(ta.order), len(tb.order))
	}
}
