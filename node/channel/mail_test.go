package channel_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/wire"
)

// A mailbag is the boxes of one direction that a drop has and nobody has read.
type mailbag []mailed

type mailed struct {
	control drop.Control
	cell    wire.Cell
}

// agree has both choose drops, and the inviter name them.
func (w *world) agree() {
	w.t.Helper()
	network := identity.NetworkID{7}
	for i, s := range []*side{w.a, w.b} {
		s.do(s.c.OfferDrop(s.now(), network, onion.ID{byte(i + 1)}, cadence.Period(1+i)))
	}
	w.settle()
	o := w.a.c.Drops()
	if o.Own != (onion.ID{1}) || o.Peer != (onion.ID{2}) || o.Period != 2 {
		w.t.Fatalf("%+v", o)
	}
	set := channel.DropSet{Network: network, Relays: [3]onion.ID{o.Own, o.Peer, {3}}, Period: o.Period, First: 9}
	w.a.do(w.a.c.NameDrops(w.a.now(), set))
	w.settle()
	for _, s := range []*side{w.a, w.b} {
		if got := s.c.Drops().Set; got == nil || *got != set {
			w.t.Fatalf("%s: %+v", s.name, got)
		}
	}
}

// fill puts the box of a period into a bag.
func (s *side) fill(bag *mailbag, period uint64) {
	control, cell, out := s.c.Fill(s.now(), period)
	s.do(out)
	if cell == nil {
		cell = new(wire.Cell)
	}
	*bag = append(*bag, mailed{control, *cell})
}

// fetch takes one box out of a bag, and hands it over.
func (s *side) fetch(bag *mailbag, at int) {
	m := (*bag)[at]
	*bag = slices.Delete(*bag, at, at+1)
	s.do(s.c.Mailed(s.now(), m.control, &m.cell))
}

// boxed has both drops of a period's box say that they have it.
func (s *side) boxed(period uint64) {
	s.w.t.Helper()
	for _, at := range s.c.Drops().Set.Relays[:drop.Replicas] {
		s.do(s.c.Boxed(s.now(), period, at))
	}
}

func (s *side) state(seq uint64) channel.State { return s.c.Transcript(seq - 1)[0].State }

// TestMailStates looks at every state of a message that goes over drops.
func TestMailStates(t *testing.T) {
	w := newWorld(t, 2)
	w.meet()
	w.agree()
	w.cut()
	var bag, back mailbag
	seq := w.a.send("Two is fine.")
	want := func(s channel.State) {
		t.Helper()
		if got := w.a.state(seq); got != s {
			t.Fatalf("the message is %q, not %q", got, s)
		}
	}
	want(channel.Waiting)
	w.a.fill(&bag, 20)
	want(channel.OnItsWay)
	w.b.fetch(&bag, 0)
	want(channel.OnItsWay)
	w.a.boxed(19) // of another period: it says nothing
	want(channel.OnItsWay)
	w.a.boxed(20)
	want(channel.OnItsWay) // what went to the connection before it was in no box yet
	for period := uint64(21); period < 29 && w.a.state(seq) == channel.OnItsWay; period++ {
		w.a.fill(&bag, period)
		w.a.boxed(period)
	}
	want(channel.InMailbox)
	w.a.restart()
	want(channel.InMailbox)
	w.b.fill(&back, 20)
	w.a.fetch(&back, 0)
	want(channel.Delivered)
	w.checkAll()

	// Long texts are there when all their parts are.
	seq = w.a.send(string(slices.Repeat([]byte("x"), 4000)))
	for period := uint64(30); period < 33; period++ {
		w.a.fill(&bag, period)
	}
	w.a.boxed(32)
	w.a.boxed(30)
	want(channel.OnItsWay)
	w.a.boxed(31)
	want(channel.InMailbox)

	// A session that takes its place has that box no more.
	w.connect()
	w.settle()
	w.now = w.now.Add(31 * 24 * time.Hour)
	w.checkStates()
}

// TestTwoDropsHaveIt: a text is in their mailbox when two drops of the set have said that they
// have it, of boxes of whatever periods; and what too few have goes before what is there.
func TestTwoDropsHaveIt(t *testing.T) {
	w := newWorld(t, 3)
	w.meet()
	w.agree()
	w.cut()
	var bag mailbag
	one, two, three := onion.ID{1}, onion.ID{2}, onion.ID{3}
	boxed := func(period uint64, at onion.ID) { w.a.do(w.a.c.Boxed(w.now, period, at)) }
	want := func(what string, seq uint64, s channel.State) {
		t.Helper()
		if got := w.a.state(seq); got != s {
			t.Fatalf("%s: the message is %q, not %q", what, got, s)
		}
	}
	period := uint64(20)
	for range 40 { // what went to the connection is out of the way
		w.a.fill(&bag, period)
		w.a.boxed(period)
		period++
	}
	var back mailbag
	w.b.fill(&back, period)
	w.a.fetch(&back, 0) // both have the set
	seq := w.a.send("Two is fine.")
	early, first := seq, period
	for range 12 { // with nothing else to say it goes again, and again
		w.a.fill(&bag, period)
		boxed(period, three)
		boxed(period, three)
		want("one drop", seq, channel.OnItsWay)
		period++
	}
	boxed(first, onion.ID{9})
	want("a drop that is not of the set", seq, channel.OnItsWay)
	boxed(first, one)
	want("two drops", seq, channel.InMailbox)

	// What there is of an old box does not count with a new one.
	seq = w.a.send("Or three.")
	w.a.fill(&bag, period)
	boxed(period, one)
	period += 1000
	w.a.fill(&bag, period)
	boxed(period, two)
	want("the other one long ago", seq, channel.OnItsWay)
	boxed(period, three)
	want("both lately", seq, channel.InMailbox)

	// Nor what a relay has that is not of the set any more.
	seq = w.a.send("Not four.")
	period++
	w.a.fill(&bag, period)
	boxed(period, one)
	want("one of its drops is there still", early, channel.InMailbox)
	w.a.do(w.a.c.ReplaceDrop(w.now, one, onion.ID{8}))
	want("one of its drops was replaced", early, channel.OnItsWay)
	boxed(period, two)
	want("one of the two was replaced", seq, channel.OnItsWay)
	more := func(n int) {
		for range n {
			period++
			w.a.fill(&bag, period)
			boxed(period, three)
			boxed(period, onion.ID{8})
		}
	}
	more(20)
	want("the other side has not heard of the new one", seq, channel.OnItsWay)
	for len(bag) > 0 {
		w.b.fetch(&bag, 0)
	}
	period++
	w.b.fill(&back, period)
	w.a.fetch(&back, 0)
	want("it has read all", seq, channel.Delivered)
	seq = w.a.send("Nor five.")
	more(1)
	want("both know the new one", seq, channel.InMailbox)
	period++

	// Of many texts that nobody reads the one that a drop lacks goes again at once.
	for range 20 {
		w.a.send("Well?")
		w.a.fill(&bag, period)
		w.a.boxed(period)
		period++
	}
	seq = w.a.send("No.")
	w.a.fill(&bag, period)
	boxed(period, two)
	w.a.fill(&bag, period+1)
	boxed(period+1, three)
	want("in the next period", seq, channel.InMailbox)
}

// mailed has all that a side says come into boxes, and be called stored.
func (s *side) mailed(bag *mailbag, from uint64) {
	for period := from; period < from+10; period++ {
		s.fill(bag, period)
		s.boxed(period)
	}
}

// TestInTheirMailboxIsUnderWay wants what lies in the other side's mailbox to be on its
// way still: it is not said twice, and is taken back when it may not be sent any more.
func TestInTheirMailboxIsUnderWay(t *testing.T) {
	w := agreed(t, 44)
	w.agree()
	w.cut()
	var bag mailbag
	crafts := func(c channel.Craft) (n int) {
		for _, m := range w.a.c.Transcript(0) {
			if m.Craft == c && m.Direction == channel.Out {
				n++
			}
		}
		return n
	}
	for range 2 {
		_, out, err := w.a.c.RequestMandate(w.now, ministry(9).Public())
		if err != nil {
			t.Fatal(err)
		}
		w.a.do(out)
		w.a.mailed(&bag, 20)
	}
	if got := crafts(channel.MandateCraft); got != 1 {
		t.Errorf("a listener is asked %d times", got)
	}

	before := crafts(channel.CommuniqueCraft)
	w.a.sign(1)
	w.a.mailed(&bag, 40)
	lines := w.a.c.Transcript(0)
	if got := lines[len(lines)-1]; crafts(channel.CommuniqueCraft) != before+1 || got.State != channel.InMailbox {
		t.Fatalf("a proposal is %q", got.State)
	}
	w.now = w.now.Add(2 * time.Hour)
	w.a.do(w.a.c.Tick(w.now))
	if crafts(channel.CommuniqueCraft) != before {
		t.Error("a signing has expired, and a step of it can still be sent")
	}
}

// TestDirectRouteOnly wants no text in a box of a contact that is talked to directly.
func TestDirectRouteOnly(t *testing.T) {
	w := newWorld(t, 4)
	w.meet()
	w.agree()
	w.cut()
	w.a.do(w.a.c.SetRoute(w.now, channel.DirectRoute))
	w.a.send("one")
	control, cell, _ := w.a.c.Fill(w.now, 20)
	if cell != nil || control.Flags != 0 {
		t.Errorf("a box carries a text: %+v", control)
	}
	w.a.restart()
	if w.a.c.Route() != channel.DirectRoute {
		t.Error("the route was forgotten")
	}
}

// TestBothWays sends texts while connections come and go, boxes are lost, come late, in
// any order and twice over, and machines restart. All arrive once and in order, and no
// state is shown that is not true.
func TestBothWays(t *testing.T) {
	for seed := byte(10); seed < 14; seed++ {
		w := newWorld(t, seed)
		w.meet()
		w.agree()
		bags := map[*side]*mailbag{w.a: {}, w.b: {}} // of what each wrote
		for i := range uint64(400) {
			for _, s := range []*side{w.a, w.b} {
				w.disturb(s, bags, i)
			}
			w.now = w.now.Add(20 * time.Second)
			w.checkStates()
		}
		w.cut()
		for i := range uint64(60) { // and now over boxes alone, none lost
			for _, s := range []*side{w.a, w.b} {
				s.fill(bags[s], 1000+i)
				s.peer.fetch(bags[s], len(*bags[s])-1)
			}
		}
		w.checkAll()
	}
}

// disturb lets one thing happen to a side.
func (w *world) disturb(s *side, bags map[*side]*mailbag, period uint64) {
	switch bag := bags[s.peer]; w.rng.IntN(9) {
	case 0:
		s.send(fmt.Sprintf("%s %d", s.name, period))
	case 1:
		w.connect()
		for range w.rng.IntN(8) {
			w.step()
		}
	case 2:
		w.cut()
	case 3:
		s.restart()
	case 4: // a box that nobody finds
		s.fill(new(mailbag), period)
	default:
		s.fill(bags[s], period)
		if w.rng.IntN(2) == 0 {
			s.boxed(period)
		}
		if n := len(*bag); n > 0 && w.rng.IntN(3) > 0 {
			s.fetch(bag, w.rng.IntN(n))
		}
	}
}
