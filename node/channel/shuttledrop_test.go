package channel_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/shuttle"
)

func (s *side) drop(number uint64) channel.DroppedShuttle {
	s.w.t.Helper()
	d, out, err := s.c.DropShuttle(s.now(), number)
	if err != nil {
		s.w.t.Fatal(err)
	}
	s.do(out)
	s.w.settle()
	return d
}

func (s *side) errands() (n int) {
	list, _ := s.c.Shuttle(s.now(), nil)
	return len(list)
}

func (s *side) seal(offer string) {
	s.w.t.Helper()
	_, out, err := s.c.Offer(s.now(), 0, offer)
	if err != nil {
		s.w.t.Fatal(err)
	}
	s.do(out)
}

// crafted counts the lines of shuttles that a side has sent or is to send.
func (s *side) crafted() (n int) {
	for _, m := range s.c.Transcript(0) {
		if m.Craft == channel.ShuttleCraft && m.Direction == channel.Out {
			n++
		}
	}
	return n
}

// TestDropShuttle has the first drop an exchange at each step: he is told what others have
// of it, nothing more of it is sent, taken or kept, and a call for it is not taken again.
func TestDropShuttle(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		play  func(w *world, x *exchange)
		want  channel.DroppedShuttle
		lines int // that have left
		again int // exchanges after the same call
	}{
		"called": {func(*world, *exchange) {}, channel.DroppedUnsaid, 0, 1},
		"sealed, and nothing has left": {func(w *world, _ *exchange) {
			w.cut()
			w.b.seal("five days")
		}, channel.DroppedUnsaid, 0, 0},
		"sealed": {func(w *world, _ *exchange) {
			w.b.seal("five days")
			w.pass(4*time.Second, time.Second)
		}, channel.DroppedSealed, 1, 0},
		"both sealed": {func(_ *world, x *exchange) { x.commit(1) }, channel.DroppedOpening, 2, 0},
		"open":        {func(w *world, x *exchange) { w.hand(x.release(x.commit(1))) }, channel.DroppedRead, 2, 0},
	} {
		w := newWorld(t, 140)
		w.meet()
		e := w.calledFor(1)
		x.play(w, e)
		if _, _, err := w.b.c.DropShuttle(w.b.now(), 9); !errors.Is(err, channel.ErrNoShuttle) {
			t.Errorf("%s: another one is dropped: %v", name, err)
		}
		if got := w.b.drop(0); got != x.want || w.b.errands() != 0 {
			t.Errorf("%s: others have %q, want %q; %d are kept", name, got, x.want, w.b.errands())
		}
		if got := w.b.crafted(); got != x.lines {
			t.Errorf("%s: %d lines are left, want %d", name, got, x.lines)
		}
		for r, err := range w.b.store.Scan(channel.KindShuttle, w.b.id) {
			if err != nil || strings.Contains(string(r.Value), "days") {
				t.Errorf("%s: record %d holds an offer or the subject, %v", name, r.Key.Seq, err)
			}
		}
		w.b.restart()
		w.connect()
		w.settle()
		notes := len(w.b.texts(channel.Notice))
		w.hand(e.round.Call(shuttle.First))
		if got := w.b.errands(); got != x.again || len(w.b.texts(channel.Notice)) != notes+x.again {
			t.Errorf("%s: after the same call %d are kept", name, got)
		}
		id := e.round.ID(shuttle.First)
		w.hand(append(append([]byte{1, 5}, id[:]...), make([]byte, 1074)...)) // something that opens
		if _, waits := w.b.c.Unseen(); waits {
			t.Errorf("%s: what came after it is kept", name)
		}
		if _, _, err := w.b.c.DropShuttle(w.b.now(), 0); (x.again == 0) != errors.Is(err, channel.ErrNoShuttle) {
			t.Errorf("%s: dropped twice: %v", name, err)
		}
	}
}

// TestDropBeforeTheOpeningLeaves has the other side's commitment come by a drop, so that what
// opens the own offer waits: nobody can read it after it is taken back.
func TestDropBeforeTheOpeningLeaves(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 142)
	w.meet()
	w.agree()
	e := w.calledFor(1)
	w.b.seal("five days")
	w.pass(4*time.Second, time.Second)
	first, err := e.round.Receive(shuttle.First, e.sent(), w.minute())
	_, err2 := e.second.Seal("seven days", newSeed(3), w.minute())
	messages, err3 := e.second.Receive(first, w.minute())
	if err = errors.Join(err, err2, err3); err != nil {
		t.Fatal(err)
	}
	second, err := e.round.Receive(shuttle.Second, messages[0], w.minute())
	if err != nil {
		t.Fatal(err)
	}
	w.cut()
	var bag mailbag
	w.a.do(w.a.c.Say(w.now, channel.ShuttleCraft, second))
	for period := uint64(20); period < 24; period++ {
		w.a.fill(&bag, period)
	}
	for len(bag) > 0 {
		w.b.fetch(&bag, 0)
	}
	if list, _ := w.b.c.Shuttle(w.now, nil); list[0].State != channel.OffersSealed {
		t.Fatalf("it is %q", list[0].State)
	}
	if got := w.b.drop(0); got != channel.DroppedSealed || w.b.crafted() != 1 {
		t.Errorf("others have %q; %d lines", got, w.b.crafted())
	}
}

// TestManyDropped drops without end: what is remembered of it stays bounded, and does not
// stand in the way of another call.
func TestManyDropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 144)
	w.meet()
	for n := range byte(40) {
		w.calledFor(n)
		w.b.seal("five days")
		w.b.drop(0)
	}
	w.calledFor(99)
	records := 0
	for _, err := range w.b.store.Scan(channel.KindShuttle, w.b.id) {
		if records++; err != nil {
			t.Fatal(err)
		}
	}
	if w.b.errands() != 1 || records > 33 {
		t.Errorf("%d are kept, in %d records", w.b.errands(), records)
	}
}

// TestMediatorDrops has the mediator drop an exchange before its call has left, while it
// waits, and after it was released: what was released to both reaches both.
func TestMediatorDrops(t *testing.T) {
	t.Parallel()
	for _, left := range []bool{false, true} {
		w := newWorld(t, 146)
		w.meet()
		r := w.round(1)
		if !left {
			w.cut()
		}
		out, err := w.a.c.OpenShuttle(w.a.now(), r, shuttle.First, channel.ContactID{9})
		if err != nil {
			t.Fatal(err)
		}
		w.a.do(out)
		w.pass(2*time.Second, time.Second)
		u, _ := w.a.c.Carried(0)
		one, two, released, ok := w.a.c.Rounds(u.ID)
		if !ok || released || one != r.ID(shuttle.First) || two != r.ID(shuttle.Second) {
			t.Fatal("the names of an exchange are others")
		}
		w.a.do(w.a.c.DropRound(w.a.now(), false, one))
		w.a.restart()
		w.connect()
		w.settle()
		w.pass(2*time.Second, time.Second)
		if got := w.b.errands(); (got == 1) != left || w.a.errands() != 0 {
			t.Errorf("left %t: %d stand at the first, %d at the mediator's", left, got, w.a.errands())
		}
		if !left {
			continue
		}
		w.b.seal("five days") // into nothing, and without harm
		w.pass(4*time.Second, time.Second)
		if _, waits := w.a.c.Unseen(); waits || w.a.errands() != 0 {
			t.Error("what comes after it was dropped is kept")
		}
	}

	w := newWorld(t, 148)
	w.meet()
	r := w.released()
	w.a.do(w.a.c.DropRound(w.now, true, r.ID(shuttle.First)))
	w.connect()
	w.settle()
	w.pass(2*time.Second, time.Second)
	if list, _ := w.b.c.Shuttle(w.b.now(), nil); list[0].State != channel.OffersOpen || w.a.errands() != 0 {
		t.Errorf("released and dropped, it is %q", list[0].State)
	}
}

// released is an exchange that the mediator has released while the first is away.
func (w *world) released() *shuttle.Round {
	w.t.Helper()
	r := w.round(1)
	second, err := shuttle.NewParty(r.Call(shuttle.Second), secret.Key{}, w.minute())
	out, err2 := w.a.c.OpenShuttle(w.a.now(), r, shuttle.First, channel.ContactID{9})
	if err = errors.Join(err, err2); err != nil {
		w.t.Fatal(err)
	}
	w.a.do(out)
	w.pass(2*time.Second, time.Second)
	see := func(u channel.Unseen) []byte {
		pass, out := w.a.c.See(w.now, u)
		w.a.do(out)
		return pass
	}
	unseen := func() channel.Unseen {
		w.pass(4*time.Second, time.Second)
		u, ok := w.a.c.Unseen()
		if !ok {
			w.t.Fatal("nothing has come")
		}
		return u
	}
	w.b.seal("five days")
	_, err = second.Seal("seven days", newSeed(5), w.minute())
	messages, err2 := second.Receive(see(unseen()), w.minute())
	if err = errors.Join(err, err2); err != nil {
		w.t.Fatal(err)
	}
	from := channel.Unseen{ID: r.ID(shuttle.Second), From: shuttle.Second, Message: messages[0]}
	w.a.do(w.a.c.Pass(w.now, see(from)))
	see(unseen())
	from.Message = messages[1]
	see(from)
	w.cut()
	_, out, err = w.a.c.Release(w.now, r.ID(shuttle.First))
	if err != nil {
		w.t.Fatal(err)
	}
	w.a.do(out)
	return r
}
