package channel_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/shuttle"
)

// An exchange has the inviter's machine as the mediator's, the accepter's as that of
// the first, and a second whom the test plays.
type exchange struct {
	w      *world
	round  *shuttle.Round
	second *shuttle.Party
}

func (w *world) minute() uint32 { return uint32(w.now.Unix() / 60) }

// hand has the mediator's machine pass a message on.
func (w *world) hand(m []byte) {
	w.a.do(w.a.c.Say(w.a.now(), channel.ShuttleCraft, m))
	w.pass(4*time.Second, time.Second)
}

func (w *world) round(seed byte) *shuttle.Round {
	w.t.Helper()
	r, err := channel.NewShuttle(w.now, w.now.Add(2*time.Hour), "days of transit", prototest.Reader(seed))
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// calledFor is an exchange in which the first was asked for an offer.
func (w *world) calledFor(seed byte) *exchange {
	w.t.Helper()
	r := w.round(seed)
	second, err := shuttle.NewParty(r.Call(shuttle.Second), secret.Key{}, w.minute())
	if err != nil {
		w.t.Fatal(err)
	}
	w.hand(r.Call(shuttle.First))
	return &exchange{w, r, second}
}

// sent is what the first has sent last.
func (x *exchange) sent() []byte {
	lines := slices.DeleteFunc(x.w.b.c.Transcript(0), func(m channel.Message) bool {
		return m.Direction != channel.Out || m.Craft != channel.ShuttleCraft
	})
	return []byte(lines[len(lines)-1].Text)
}

// commit has both seal, and returns what opens the second's offer for the mediator.
func (x *exchange) commit(seed byte) (opening []byte) {
	w := x.w
	w.t.Helper()
	_, out, err := w.b.c.Offer(w.b.now(), 0, "five days")
	if err != nil {
		w.t.Fatal(err)
	}
	w.b.do(out)
	w.pass(4*time.Second, time.Second)
	first, err := x.round.Receive(shuttle.First, x.sent(), w.minute())
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = x.second.Seal("seven days", prototest.Reader(seed), w.minute())
	messages, err2 := x.second.Receive(first, w.minute())
	if err = errors.Join(err, err2); err != nil {
		w.t.Fatal(err)
	}
	second, err := x.round.Receive(shuttle.Second, messages[0], w.minute())
	if err != nil {
		w.t.Fatal(err)
	}
	w.hand(second)
	if _, err := x.round.Receive(shuttle.First, x.sent(), w.minute()); err != nil {
		w.t.Fatal(err)
	}
	return messages[1]
}

// release takes the second's opening, and returns what opens it for the first.
func (x *exchange) release(opening []byte) (toFirst []byte) {
	x.w.t.Helper()
	_, err := x.round.Receive(shuttle.Second, opening, x.w.minute())
	toFirst, _, err2 := x.round.Release(x.w.minute())
	if err = errors.Join(err, err2); err != nil {
		x.w.t.Fatal(err)
	}
	return toFirst
}

func (s *side) notes(text string) (n int) {
	for _, m := range s.c.Transcript(0) {
		if m.Direction == channel.Notice && m.Text == text {
			n++
		}
	}
	return n
}

// TestOpenedOffersStay has a mediator ask for offers without end: what was opened stays
// with its words, and who is not asked is told.
func TestOpenedOffersStay(t *testing.T) {
	w := newWorld(t, 80)
	w.meet()
	open := func() (n int) {
		list, _ := w.b.c.Shuttle(w.b.now(), nil)
		for _, s := range list {
			if s.State == channel.OffersOpen && s.Theirs == "seven days" && s.OwnWords != nil {
				n++
			}
		}
		return n
	}
	for n := range byte(16) {
		x := w.calledFor(n)
		w.hand(x.release(x.commit(n)))
		if n == 0 {
			for n := range byte(10) { // eight are taken
				w.calledFor(100 + n)
			}
			if open() != 1 || w.b.notes(channel.NoteShuttleMany) != 1 || w.b.notes(channel.NoteShuttleCalled) != 9 {
				t.Fatalf("%d are open, %d were called", open(), w.b.notes(channel.NoteShuttleCalled))
			}
			w.now = w.now.Add(3 * time.Hour)
			w.connect()
			w.settle()
		}
	}
	w.calledFor(99)
	w.b.restart()
	if _, _, err := w.b.c.Offer(w.b.now(), 0, "x"); open() != 16 || !errors.Is(err, channel.ErrNoCall) || w.b.notes(channel.NoteShuttleMany) != 2 {
		t.Errorf("%d are open, and another one is asked for: %v", open(), err)
	}
}

// TestOpeningThatDoesNotFit has the second hand the mediator what opens nothing: the
// first is told, once.
func TestOpeningThatDoesNotFit(t *testing.T) {
	w := newWorld(t, 81)
	w.meet()
	x := w.calledFor(1)
	opening := x.commit(1)
	copy(opening[18:], bytes.Repeat([]byte{7}, len(opening)))
	toFirst := x.release(opening)
	w.hand(toFirst)
	w.hand(toFirst)
	list, _ := w.b.c.Shuttle(w.b.now(), nil)
	if n := w.b.notes(channel.NoteShuttleMisfit); n != 1 || list[0].State != channel.OffersSealed {
		t.Errorf("%d lines say that an opening does not fit: %s", n, list[0].State)
	}
}

// TestOpeningAfterTheEnd lets an opening that was released in time arrive late.
func TestOpeningAfterTheEnd(t *testing.T) {
	w := newWorld(t, 82)
	w.meet()
	x := w.calledFor(1)
	toFirst := x.release(x.commit(1))
	w.now = w.now.Add(5 * time.Hour)
	w.b.restart()
	w.connect()
	w.settle()
	w.hand(toFirst)
	if list, _ := w.b.c.Shuttle(w.b.now(), nil); list[0].State != channel.OffersOpen || list[0].Theirs != "seven days" {
		t.Errorf("released in time, it is %q", list[0].State)
	}
}

// TestNoCarriedTextIsDropped hands a mediator many texts: each that was delivered is
// there. What he releases is the exchange of the number that is meant.
func TestNoCarriedTextIsDropped(t *testing.T) {
	w := newWorld(t, 83)
	w.meet()
	for n := range byte(2) {
		out, err := w.a.c.OpenShuttle(w.a.now(), w.round(n), shuttle.First, channel.ContactID{9})
		if err != nil {
			t.Fatal(err)
		}
		w.a.do(out)
	}
	one, ok := w.a.c.Carried(1)
	latest, _ := w.a.c.Carried(0)
	if _, third := w.a.c.Carried(3); !ok || third || one.ID == latest.ID {
		t.Error("an exchange is not found by its number")
	}
	const texts = 70
	for range texts {
		_, out, err := w.b.c.Carry(w.b.now(), "a text")
		if err != nil {
			t.Fatal(err)
		}
		w.b.do(out)
	}
	w.pass(10*time.Minute, 5*time.Second)
	if _, held := w.a.c.Shuttle(w.a.now(), nil); len(held) != texts {
		t.Errorf("%d texts are held, of %d", len(held), texts)
	}
}
