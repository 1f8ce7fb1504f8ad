package channel_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
)

// toVersion3 gives a side a record of drops as it was before statements of whole sets, and starts it.
func toVersion3(t *testing.T, s *side) {
	t.Helper()
	key := store.Key{Kind: channel.KindDrops, Object: s.id}
	value, err := s.store.Get(key)
	if err != nil {
		t.Fatal(err)
	}
	end := len(value) - drop.BranchNameSize - 1 // of the fields that were not there
	old := slices.Concat([]byte{3}, value[1:end-drop.SetSize*onion.IDSize-4], value[end:])
	if err := s.store.Commit(store.Write{Key: key, Value: old}); err != nil {
		t.Fatal(err)
	}
	s.restart()
}

// TestDropsOfVersion3SaidOnce: a set that was never said is said once, not at each start; and it
// is said though the machine is killed after something else of its drops was stored.
func TestDropsOfVersion3SaidOnce(t *testing.T) {
	for _, changed := range []bool{false, true} {
		w := newWorld(t, 208)
		w.meet()
		w.agree()
		w.pass(5*time.Second, time.Second)
		w.cut()
		if changed {
			w.a.do(w.a.c.ReplaceDrop(w.now, onion.ID{1}, onion.ID{11}))
			w.a.do(w.a.c.ForgetControls(w.now))
		}
		toVersion3(t, w.a)
		if changed {
			w.a.do(w.a.c.SetRoute(w.now, channel.RelayRoute))
			w.a.do(w.a.c.SetRoute(w.now, channel.BothRoutes))
		}
		before := w.a.c.SentFrames()
		for range 10 {
			w.a.restart()
			w.connect()
			w.pass(5*time.Second, time.Second)
		}
		if n := w.a.c.SentFrames() - before; n != 1 {
			t.Errorf("changed %v: said %d times in ten starts", changed, n)
		}
		if a, b := w.a.c.Drops().Set.Relays, w.b.c.Drops().Set.Relays; a != b {
			t.Errorf("%v and %v", a, b)
		}
	}
}

// TestSetNamedLate: an inviter who names his set ten days after he could moves the drops by that
// once, and by his word that one left not at the same time.
func TestSetNamedLate(t *testing.T) {
	w := newWorld(t, 202)
	w.meet()
	w.agree()
	w.cut()
	w.a.cfg.SessionLife = time.Minute
	w.a.restart()
	network := identity.NetworkID{7}
	roll := func() {
		e := w.b.c.Epoch()
		for range 10 {
			w.connect()
			w.settle()
			w.pass(4*time.Minute, 20*time.Second)
			if w.b.c.Epoch() > e {
				return
			}
			w.cut()
			w.now = w.now.Add(time.Hour)
		}
		t.Fatal("no roll")
	}
	next := byte(10)
	offer := func() {
		w.a.do(w.a.c.TellDrop(w.now, network, onion.ID{next}, cadence.Period(1)))
		w.settle()
		if o := w.b.c.Drops(); o.Set == nil && o.Own == (onion.ID{}) {
			w.b.do(w.b.c.OfferDrop(w.now, network, onion.ID{2}, cadence.Period(1)))
			w.settle()
		}
	}
	name := func() bool {
		o := w.a.c.Drops()
		if o.Peer == (onion.ID{}) || o.Set != nil {
			return false
		}
		w.a.do(w.a.c.NameDrops(w.now, channel.DropSet{Network: network, Relays: [3]onion.ID{{next}, o.Peer, {next + 1}}, Period: o.Period, First: 9}))
		w.settle()
		next += 2
		return true
	}
	roll()
	offer()
	w.a.cfg.SessionLife = 1000 * time.Hour
	w.cut()
	w.a.restart()
	w.b.cfg.SessionLife = 1000 * time.Hour
	w.b.restart()
	w.now = w.now.Add(241 * time.Hour)
	w.connect()
	w.settle()
	if !name() || w.b.c.Drops().Set == nil {
		t.Fatal("no set")
	}
	set := w.b.c.Drops().Set.Relays
	w.a.do(w.a.c.TellGone(w.now, [3]onion.ID{{50}, {2}, set[2]}))
	w.settle()
	if now := w.b.c.Drops().Set.Relays; now != set {
		t.Errorf("%v, and at once %v", set, now)
	}
}

// TestInviterNotSureAtARoll: a set of a later session that the inviter is not sure of when it is
// rolled ends on both sides, and nothing is shown as in a mailbox where nobody looks.
func TestInviterNotSureAtARoll(t *testing.T) {
	w := newWorld(t, 203)
	w.meet()
	network := identity.NetworkID{7}
	w.pass(5*time.Second, time.Second)
	w.cut()
	w.a.cfg.SessionLife = time.Minute
	w.a.restart()
	roll := func() {
		e := w.b.c.Epoch()
		for range 10 {
			w.connect()
			w.settle()
			w.pass(4*time.Minute, 20*time.Second)
			if w.b.c.Epoch() > e && w.a.c.Epoch() > e {
				return
			}
			w.cut()
			w.now = w.now.Add(time.Hour)
		}
		t.Fatal("no roll")
	}
	roll()
	w.cut()
	w.a.cfg.SessionLife = 10 * time.Minute
	w.a.restart()
	w.connect()
	w.settle()
	e0 := w.a.c.Epoch()
	for w.a.c.Epoch() == e0 { // comes to a fresh session, ten minutes old at the next roll
		w.pass(time.Second, time.Second)
	}
	w.pass(9*time.Minute, time.Second)
	for i, s := range []*side{w.a, w.b} {
		s.do(s.c.OfferDrop(s.now(), network, onion.ID{byte(i + 1)}, cadence.Period(1+i)))
	}
	w.settle()
	o := w.a.c.Drops()
	set := channel.DropSet{Network: network, Relays: [3]onion.ID{o.Own, o.Peer, {3}}, Period: o.Period, First: 9}
	w.a.do(w.a.c.NameDrops(w.a.now(), set))
	w.settle()
	if w.a.c.Drops().Set == nil || w.b.c.Drops().Set == nil {
		t.Fatal("no set")
	}
	for range 85 { // the accepter's acknowledgement is slow
		w.now = w.now.Add(time.Second)
		w.a.do(w.a.c.Tick(w.now))
		w.settle()
	}
	w.pass(time.Minute, time.Second)
	if w.a.c.Drops().Set != nil || !w.a.c.MayOfferDrop(w.now) {
		t.Fatal("the inviter is sure of it, or may not say that he has none")
	}
	w.a.do(w.a.c.OfferDrop(w.now, network, onion.ID{1}, cadence.Period(1))) // as a node does
	w.settle()
	w.cut()
	w.b.send("hello")
	var bag mailbag
	p := uint64(20)
	for range 3 {
		w.b.fill(&bag, p)
		if st := w.b.c.Drops().Set; st != nil {
			for _, r := range st.Relays[:2] {
				w.b.do(w.b.c.Boxed(w.b.now(), p, r))
			}
		}
		p++
	}
	l := w.b.c.Transcript(0)
	if s := l[len(l)-1].State; s == channel.InMailbox || w.b.c.Drops().Set != nil {
		t.Errorf("the accepter has %v, and a text is %v", w.b.c.Drops().Set, s)
	}
}

// TestSetEndsInMailbox: what the drops of a set said is taken back when the set ends.
func TestSetEndsInMailbox(t *testing.T) {
	w := newWorld(t, 204)
	w.meet()
	w.agree()
	w.pass(5*time.Second, time.Second)
	w.cut()
	w.a.cfg.SessionLife = time.Minute
	w.a.restart()
	for range 5 {
		w.connect()
		w.settle()
		w.pass(4*time.Minute, 20*time.Second)
		if w.b.c.Epoch() > 1 {
			break
		}
	}
	w.cut()
	w.a.cfg.SessionLife = 1000 * time.Hour
	w.a.restart()
	w.b.send("hello")
	var bag mailbag
	p := uint64(20)
	for range 3 {
		w.b.fill(&bag, p)
		for _, r := range w.b.c.Drops().Set.Relays[:2] {
			w.b.do(w.b.c.Boxed(w.b.now(), p, r))
		}
		p++
	}
	l := w.b.c.Transcript(0)
	if l[len(l)-1].State != channel.InMailbox {
		t.Fatal("it is in no mailbox")
	}
	network := identity.NetworkID{7}
	w.a.do(w.a.c.TellDrop(w.now, network, onion.ID{21}, cadence.Period(1)))
	var bagA mailbag
	for range 6 {
		w.a.fill(&bagA, p)
		p++
	}
	for len(bagA) > 0 {
		w.b.fetch(&bagA, 0)
	}
	l = w.b.c.Transcript(0)
	if s := l[len(l)-1].State; w.b.c.Drops().Set != nil || s == channel.InMailbox {
		t.Errorf("without a set it is %v", s)
	}
}

// TestManyTakenBackAtOnce: a statement behind many frames that waited, while much is in the
// mailbox, is taken in commits that a store takes.
func TestManyTakenBackAtOnce(t *testing.T) {
	w := newWorld(t, 205)
	w.meet()
	w.agree()
	w.pass(5*time.Second, time.Second)
	w.cut()
	var bag, bagA mailbag
	p := uint64(20)
	for i := range 200 {
		w.b.send(fmt.Sprint("text ", i))
		w.b.fill(&bag, p)
		for _, r := range w.b.c.Drops().Set.Relays[:2] {
			w.b.do(w.b.c.Boxed(w.b.now(), p, r))
		}
		p++
	}
	var fresh mailbag
	sent := w.a.c.SentFrames()
	take := func() {
		for range 8 {
			bagA = nil
			w.a.fill(&bagA, p)
			p++
			if n := w.a.c.SentFrames(); n > sent && len(bagA) == 1 {
				sent = n
				fresh = append(fresh, bagA[0])
				return
			}
		}
		t.Fatal("nothing fresh")
	}
	for i := range 60 {
		w.a.send(fmt.Sprint("text ", i))
		take()
		if i == 45 {
			w.a.do(w.a.c.ReplaceDrop(w.now, onion.ID{1}, onion.ID{11}))
			take()
		}
	}
	bagA = fresh
	for len(bagA) > 1 {
		w.b.fetch(&bagA, len(bagA)-1)
	}
	out := w.b.c.Mailed(w.now, bagA[0].control, &bagA[0].cell)
	for range 20 {
		if err := store.CheckWrites(out.Writes); err != nil {
			t.Fatalf("%d writes: %v", len(out.Writes), err)
		}
		w.b.do(out)
		if w.b.c.Drops().Set.Relays[0] == (onion.ID{11}) {
			return
		}
		out = w.b.c.Tick(w.now)
	}
	t.Error("the statement is not taken")
}
