package channel_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/introduction"
	"github.com/backchannel/backchannel/protocol/wire"
)

// ask is the question of an introducer, to be answered within an hour.
func (w *world) ask(side identity.Side) []byte {
	w.t.Helper()
	now := uint32(w.now.Unix() / 60)
	x, err := introduction.New("one upstream", "one on the other bank", now+60, now, w.a.cfg.Random)
	if err != nil {
		w.t.Fatal(err)
	}
	return x.Ask(side)
}

// hidden has a side say anything in an introduction, and lets it arrive.
func (s *side) hidden(m []byte) {
	s.do(s.c.SayHidden(s.now(), m))
	s.w.pass(2*time.Second, time.Second)
}

// accepted has b accept what it is asked.
func (w *world) accepted(ask []byte) {
	w.t.Helper()
	w.a.hidden(ask)
	_, out, err := w.b.c.AnswerIntroduction(w.now, 0, true, "Somebody")
	if err != nil {
		w.t.Fatal(err)
	}
	w.b.do(out)
	w.pass(2*time.Second, time.Second)
}

func (w *world) states() (states []channel.IntroductionState) {
	for _, x := range w.b.c.Introductions(w.now) {
		states = append(states, x.State)
	}
	return states
}

// TestHostileIntroductions has an introducer send what is malformed, out of order, twice
// or without end.
func TestHostileIntroductions(t *testing.T) {
	w := newWorld(t, 60)
	w.meet()
	long := w.ask(identity.Inviter)
	copy(long[19:], []byte{0xff, 0xff, 0xff, 0xff}) // it would never end
	over := w.ask(identity.Inviter)
	copy(over[19:], []byte{0, 0, 0, 1})
	for _, m := range [][]byte{
		{0},
		{1},
		make([]byte, 18), make([]byte, wire.ContentSize), long, over,
		append([]byte{1, 1}, make([]byte, 16)...), append([]byte{1, 5}, make([]byte, introduction.PassSize-2)...), w.ask(identity.Inviter)[:151],
	} {
		w.a.hidden(m)
	}
	if got := w.states(); len(got) != 0 || len(w.b.texts(channel.Notice)) != 0 {
		t.Fatalf("of what is malformed there came %v", got)
	}
	first := w.ask(identity.Accepter)
	w.accepted(first)
	w.a.hidden(first)
	for _, kind := range []byte{2, 3, 4, 5} { // of other kinds, and a reply that does not open
		m := bytes.Clone(first[:18])
		m[1] = kind
		w.a.hidden(append(m, make([]byte, map[byte]int{4: introduction.PassSize - 18, 5: introduction.PassSize - 18}[kind])...))
		w.b.restart()
		w.connect()
		w.settle()
		for _, n := range w.b.c.ToMeet() {
			out, met := w.b.c.MeetIntroduced(w.now, n, func(identity.Side, identity.Invitation, string, time.Time) (identity.Invitation, channel.ContactID, error) {
				t.Error("a contact is made of a message that does not open")
				return identity.Invitation{}, channel.ContactID{}, errors.ErrUnsupported
			})
			if out == nil || met {
				t.Errorf("kind %d: %v, met %v", kind, out, met)
			}
			w.b.do(out)
		}
	}
	if got := w.states(); !slices.Equal(got, []channel.IntroductionState{channel.IntroductionAccepted}) || len(w.b.c.ToMeet()) != 0 {
		t.Errorf("after hostile answers: %v", got)
	}
	for range 30 {
		w.a.hidden(w.ask(identity.Inviter))
	}
	if got := w.states(); len(got) != 16 {
		t.Errorf("%d introductions are kept", len(got))
	}
	w.pass(90*time.Minute, 10*time.Minute)
	if got := w.states(); len(got) != 0 {
		t.Errorf("after the end: %v", got)
	}
	if got := w.b.texts(channel.Notice); len(got) != 17 || got[16] != channel.NoteIntroductionFailed {
		t.Errorf("%d lines: %q", len(got), got[len(got)-1])
	}
}

// TestIntroducedInviter goes on with an introduction in which both have said yes, over
// what is in the way and restarts.
func TestIntroducedInviter(t *testing.T) {
	w := newWorld(t, 61)
	w.meet()
	ask := w.ask(identity.Inviter)
	w.accepted(ask)
	p, err := introduction.NewParty(w.ask(identity.Accepter), uint32(w.now.Unix()/60))
	if err != nil {
		t.Fatal(err)
	}
	share, err := p.Consent(w.a.cfg.Random, uint32(w.now.Unix()/60))
	if err != nil {
		t.Fatal(err)
	}
	w.a.hidden(append(append(share[:2:2], ask[2:18]...), share[18:]...))
	again := func() {
		w.b.restart()
		w.connect()
		w.settle()
	}
	again()
	meet := func(failed error) (*channel.Output, bool) {
		return w.b.c.MeetIntroduced(w.now, w.b.c.ToMeet()[0], func(side identity.Side, _ identity.Invitation, name string, until time.Time) (identity.Invitation, channel.ContactID, error) {
			if side != identity.Inviter || name != "Somebody" || until.Sub(w.now) > time.Hour || until.Sub(w.now) < 50*time.Minute {
				t.Errorf("%v, %q, %v", side, name, until)
			}
			inv, err := identity.NewInvitation(w.b.cfg.Random, identity.Place{}, until, false)
			return inv, channel.ContactID{7}, errors.Join(err, failed)
		})
	}
	if out, met := meet(errors.ErrUnsupported); out != nil || met || !slices.Equal(w.states(), []channel.IntroductionState{channel.IntroductionAgreed}) {
		t.Errorf("what is in the way leads to %v, %v", out, w.states())
	}
	again()
	out, met := meet(nil)
	if !met {
		t.Fatal("not met")
	}
	w.b.do(out)
	again()
	if x, err := w.b.c.Introduction(w.now, 1); err != nil || x.State != channel.IntroductionMet || x.Contact != (channel.ContactID{7}) || len(w.b.c.ToMeet()) != 0 {
		t.Errorf("%+v, %v", x, err)
	}
	for _, r := range w.b.c.Transcript(0) {
		if r.Direction == channel.Out {
			t.Errorf("a message of an introduction is shown: %v", r)
		}
	}
	w.b.do(w.b.c.Burn(w.now))
	w.pass(time.Minute, time.Second)
	for r, err := range w.b.store.Scan(channel.KindIntroduction, w.b.id) {
		if err != nil {
			t.Fatal(err)
		}
		t.Errorf("after burning there is the record %d", r.Key.Seq)
	}
}

// TestIntroductionNotDelivered lets the time go by before the contact was ever on. It
// hears nothing of it, and misses nothing.
func TestIntroductionNotDelivered(t *testing.T) {
	w := newWorld(t, 62)
	w.meet()
	w.cut()
	now := uint32(w.now.Unix() / 60)
	x, err := introduction.New("one upstream", "one on the other bank", now+60, now, w.a.cfg.Random)
	if err != nil {
		t.Fatal(err)
	}
	_, out, err := w.a.c.Introduce(w.now, identity.Inviter, channel.ContactID{9}, [16]byte{1}, x)
	if err != nil {
		t.Fatal(err)
	}
	w.a.do(out)
	w.a.restart()
	w.pass(2*time.Hour, 10*time.Minute)
	w.connect()
	w.settle()
	w.pass(2*time.Second, time.Second)
	if got := w.b.texts(channel.Notice); len(got) != 0 || len(w.states()) != 0 {
		t.Errorf("%q, %v", got, w.states())
	}
	if got := w.a.c.Introductions(w.now); len(got) != 1 || got[0].State != channel.IntroductionForNought || !got[0].Known {
		t.Errorf("%+v", got)
	}
	w.pass(15*24*time.Hour, 12*time.Hour)
	if got := w.a.c.Introductions(w.now); len(got) != 0 {
		t.Errorf("kept for ever: %+v", got)
	}
}
