package channel_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// TestAlteredFlights is somebody with the keys of the connection and no pair secret:
// he changes bits inside each flight of a handshake. Nothing is answered or stored,
// and the flights as they were make the session.
func TestAlteredFlights(t *testing.T) {
	for _, seed := range []byte{110, 111} { // mutual and strict
		w := newWorld(t, seed)
		w.meet()
		w.now = w.now.Add(31 * 24 * time.Hour)
		flights := 0
		w.mangle = func(box *wire.Box) []*wire.Box {
			keys := wire.DeriveLinkKeys(w.b.c.Links(w.now)[0].Link.Box, w.hellos[1], w.hellos[0])
			for s, key := range map[*side]secret.Key{w.a: keys.FromDialler, w.b: keys.FromListener} {
				c, cell, err := wire.OpenBox(key, box)
				if err != nil || c.Flags != wire.FlagFlight {
					continue
				}
				flights++
				for bit := 0; bit < 8*wire.CellSize; bit += 331 {
					bad := *cell
					bad[bit/8] ^= 1 << (bit % 8)
					out := s.c.Box(w.now, s.link, wire.SealBox(key, &[32]byte{byte(bit), byte(bit >> 8)}, c, &bad))
					if len(out.Boxes)+len(out.Writes)+len(out.Close) != 0 {
						t.Errorf("bit %d of a flight: %d boxes, %d writes, %d ends", bit, len(out.Boxes), len(out.Writes), len(out.Close))
					}
				}
			}
			return []*wire.Box{box}
		}
		w.connect()
		w.settle()
		w.pass(30*time.Second, time.Second)
		if flights < 3 || w.a.c.Epoch() != 2 || w.b.c.Epoch() != 2 || w.paused() {
			t.Errorf("%d flights came to session %d", flights, w.a.c.Epoch())
		}
		w.a.send("in the new session")
		w.settle()
		w.pass(2*time.Second, time.Second)
		w.checkAll()
	}
}

// changeSession changes the stored session of a machine that is off.
func (s *side) changeSession(change func(record []byte)) {
	s.w.t.Helper()
	found := 0
	for r, err := range s.store.Scan(channel.KindSession, s.id) {
		if err != nil {
			s.w.t.Fatal(err)
		}
		value := slices.Clone(r.Value)
		change(value)
		if err := s.store.Commit(store.Write{Key: r.Key, Value: value}); err != nil {
			s.w.t.Fatal(err)
		}
		found++
	}
	if found != 1 {
		s.w.t.Fatalf("%d sessions are stored", found)
	}
	s.restart()
}

// Places in the record of a session (docs/spec/session.md, Stored records).
const (
	sentAt     = 1 + 4 + keyLength + 1 + 4 + 1 + 1
	receivedAt = sentAt + 8
	chainAt    = 14 // from the end: how many cells the sending chain has sealed
)

// TestCountersEnd brings the two counters of a session to their end: the numbers of
// cells, and the place in a chain. Neither begins again at zero: the session ends, a
// new one is made, of which both people are told, and no text is lost.
func TestCountersEnd(t *testing.T) {
	put := binary.BigEndian.PutUint32
	for what, change := range map[string]func(w *world){
		"the numbers of cells": func(w *world) {
			w.a.changeSession(func(b []byte) {
				put(b[sentAt:], math.MaxUint32-2)
				put(b[sentAt+4:], math.MaxUint32-2) // acknowledged
			})
			w.b.changeSession(func(b []byte) { put(b[receivedAt:], math.MaxUint32-2) })
		},
		"a chain": func(w *world) {
			w.a.changeSession(func(b []byte) { put(b[len(b)-chainAt:], math.MaxUint32-1) })
		},
	} {
		w := newWorld(t, 112)
		w.meet()
		w.b.send("so that the chain is a's")
		w.settle()
		w.a.send("before")
		w.settle()
		w.pass(2*time.Second, time.Second)
		w.a.restart()
		w.b.restart()
		change(w)
		w.reconnect(2 * time.Second)
		for i := range 4 {
			w.a.send(fmt.Sprint("at the end ", i))
			w.settle()
		}
		w.pass(time.Minute, time.Second)
		if !w.paused() || w.a.c.Epoch() != 2 {
			t.Errorf("%s: session %d goes on", what, w.a.c.Epoch())
			continue
		}
		waiting := 0
		for _, m := range w.a.c.Transcript(0) {
			if m.Direction == channel.Out && m.State == channel.Waiting {
				waiting++
			}
		}
		if waiting < 3 {
			t.Errorf("%s: %d texts are said to wait here", what, waiting)
		}
		w.consent()
		w.pass(5*time.Second, time.Second)
		w.checkAll()
	}
}

// TestInvitationUsedByTwoAtOnce has two machines with one invitation connect before
// either shows its card. The first card binds the invitation in one commit, whoever's
// it is; the other one gets no byte, and only the inviter is told.
func TestInvitationUsedByTwoAtOnce(t *testing.T) {
	for _, friendFirst := range []bool{true, false} {
		w := newWorld(t, 114)
		inv, err := identity.NewInvitation(newSeed(114), identity.Place{}, start.Add(48*time.Hour), false)
		if err != nil {
			t.Fatal(err)
		}
		thief := w.join("Larch", identity.Accepter, inv, 99)
		sides, cards := []*side{w.b, thief}, []*wire.Box{}
		for i, s := range sides {
			own, peer := wire.Hello{byte(i)}, wire.Hello{9}
			id := channel.LinkID(2000 + i)
			if out := w.a.c.LinkUp(w.now, id, true, false, peer, own); len(out.Boxes)+len(out.Close) != 0 {
				t.Fatal("a guest got a byte")
			}
			cards = append(cards, s.c.LinkUp(w.now, id, true, true, own, peer).Boxes...)
		}
		order := []int{0, 1}
		if !friendFirst {
			order = []int{1, 0}
		}
		won := w.a.c.Box(w.now, channel.LinkID(2000+order[0]), cards[order[0]])
		if len(won.Boxes) != 1 || len(won.Writes) == 0 || w.a.c.View().UsedTwice {
			t.Fatalf("the first card: %d boxes, %d writes", len(won.Boxes), len(won.Writes))
		}
		w.a.do(won)
		lost := w.a.c.Box(w.now, channel.LinkID(2000+order[1]), cards[order[1]])
		if len(lost.Boxes) != 0 || !slices.Equal(lost.Close, []channel.LinkID{channel.LinkID(2000 + order[1])}) {
			t.Errorf("the second card: %d boxes, closes %v", len(lost.Boxes), lost.Close)
		}
		w.a.do(lost)
		if !w.a.c.View().UsedTwice || sides[order[1]].c.View().UsedTwice {
			t.Error("not the inviter is told, or another")
		}
		w.a.restart()
		if v := w.a.c.View(); !v.UsedTwice || !v.HasPeer {
			t.Errorf("after a restart: %+v", v)
		}
		if _, _, err := w.a.c.Send(w.now, "secret"); err == nil {
			t.Error("a text is taken for a contact that may be a thief")
		}
	}
}

// TestClocksApart has two clocks that differ: the two talk on, each person is told
// whose clock is off and by how much, and a new session is made where it can be.
func TestClocksApart(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		ahead time.Duration
		rolls bool // a new session is made: knocks are known for a day
	}{{time.Hour, true}, {-23 * time.Hour, true}, {2 * day, false}, {-3650 * day, false}, {3650 * day, false}} {
		w := newWorld(t, 116)
		w.meet()
		w.b.ahead = c.ahead
		w.reconnect(5 * time.Second)
		for i := range 3 {
			w.a.send(fmt.Sprint("a ", i))
			w.b.send(fmt.Sprint("b ", i))
			w.settle()
			w.pass(5*time.Second, time.Second)
		}
		if got := w.a.c.View().ClockOff; (got - c.ahead).Abs() > 2*time.Second {
			t.Errorf("%v ahead: it says %v", c.ahead, got)
		}
		if got := w.b.c.View().ClockOff; (got + c.ahead).Abs() > 2*time.Second {
			t.Errorf("%v ahead: the other says %v", c.ahead, got)
		}
		w.checkAll()
		before := w.a.c.Epoch()
		w.now = w.now.Add(31 * day) // for longer than a session lives
		for range 3 {
			w.reconnect(2 * time.Minute)
			w.a.send("a month later")
			w.b.send("a month later")
			w.settle()
			w.pass(10*time.Second, time.Second)
		}
		if rolled := w.a.c.Epoch() > before; rolled != c.rolls {
			t.Errorf("%v ahead: a new session %v", c.ahead, rolled)
		}
		if w.a.c.View().Paused || w.b.c.View().Paused {
			t.Errorf("%v ahead: paused", c.ahead)
		}
		w.checkAll()
	}
}

// TestADayAndANight keeps two machines connected for a day, with a new connection
// every half hour and a text every hour: what they keep is the texts and no more, and
// the owner is woken no more often at its end than at its beginning.
func TestADayAndANight(t *testing.T) {
	w := newWorld(t, 118)
	w.meet()
	records := func() (n, size int) {
		for _, s := range []*side{w.a, w.b} {
			for kind := store.Kind(1); kind < 32; kind++ {
				for r, err := range s.store.Scan(kind, s.id) {
					if err != nil {
						t.Fatal(err)
					}
					n, size = n+1, size+len(r.Value)
				}
			}
		}
		return n, size
	}
	hour := func(i int) (woken int) {
		w.a.send(fmt.Sprintf("hour %4d", i))
		for half := range 2 {
			if half > 0 {
				w.connect()
				w.settle()
			}
			for end := w.now.Add(30 * time.Minute); w.now.Before(end); woken++ {
				next := w.a.c.Next(w.now)
				if n := w.b.c.Next(w.now); n.Before(next) {
					next = n
				}
				w.now = next
				for _, s := range []*side{w.a, w.b} {
					s.do(s.c.Tick(w.now))
				}
				w.settle()
			}
		}
		return woken
	}
	hour(0)
	wokenFirst := hour(1)
	n, size := records()
	wokenLast := 0
	for i := 2; i < 24; i++ {
		wokenLast = hour(i)
	}
	after, sizeAfter := records()
	perText := (after - n) / 22
	t.Logf("%d records of %d bytes after 2 hours, %d of %d after 24; woken %d times in an hour, then %d", n, size, after, sizeAfter, wokenFirst, wokenLast)
	if perText > 4 || (after-n)%22 != 0 || sizeAfter-size > 22*200 {
		t.Error("more is kept than the texts")
	}
	if wokenLast > wokenFirst+10 || wokenFirst > 1000 {
		t.Error("it is woken more and more often")
	}
	w.checkAll()
}
