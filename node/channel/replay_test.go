package channel_test

import (
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store/storetest"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/wire"
)

// flights opens what goes from b to a under the contact's link secrets and
// returns the handshake flights in it.
func (w *world) flights(boxes []*wire.Box, hellos [2]wire.Hello) []*wire.Cell {
	root := w.b.c.Links(w.now)[0].Link.Box
	keys := wire.DeriveLinkKeys(root, hellos[1], hellos[0]) // b dials
	var cells []*wire.Cell
	for _, box := range boxes {
		if c, cell, err := wire.OpenBox(keys.FromDialler, box); err == nil && c.Flags == wire.FlagFlight {
			cells = append(cells, cell)
		}
	}
	return cells
}

// TestRecordedM1IsNeverAnsweredAgain replays the first message of an ordinary
// handshake: at once, after a restart, and after the session has been replaced.
func TestRecordedM1IsNeverAnsweredAgain(t *testing.T) {
	w := newWorld(t, 100)
	w.meet()
	w.now = w.now.Add(31 * 24 * time.Hour) // both begin a new handshake; one side's m1 counts
	var all []*wire.Box
	w.mangle = func(b *wire.Box) []*wire.Box {
		all = append(all, b)
		return []*wire.Box{b}
	}
	w.connect()
	hellos := w.hellos
	w.settle()
	w.pass(30*time.Second, time.Second)
	recorded := w.flights(all, hellos)
	if len(recorded) == 0 {
		t.Fatal("nothing was recorded: the test would prove nothing")
	}
	w.mangle = nil
	replay := func(when string) {
		t.Helper()
		w.connect()
		w.settle()
		keys := wire.DeriveLinkKeys(w.b.c.Links(w.now)[0].Link.Box, w.hellos[1], w.hellos[0])
		epoch, err := w.a.c.Words()
		if err != nil {
			t.Fatal(err)
		}
		for i, cell := range recorded {
			box := wire.SealBox(keys.FromDialler, &[32]byte{byte(i)}, wire.Control{Flags: wire.FlagFlight}, cell)
			if out := w.a.c.Box(w.now, w.a.link, box); len(out.Boxes) != 0 || len(out.Writes) != 0 {
				t.Errorf("%s: flight %d was answered with %d boxes and %d writes", when, i, len(out.Boxes), len(out.Writes))
			}
		}
		if after, err := w.a.c.Words(); err != nil || after != epoch {
			t.Errorf("%s: the session changed", when)
		}
	}
	replay("at once")
	w.a.restart()
	replay("after a restart")
	w.now = w.now.Add(31 * 24 * time.Hour)
	w.connect()
	w.settle()
	w.pass(30*time.Second, time.Second)
	replay("after the next session")
}

// TestCardsThatAreRefused are keys that are one's own, another contact's, or
// lead nowhere.
func TestCardsThatAreRefused(t *testing.T) {
	inv, err := identity.NewInvitation(prototest.Reader(1), identity.Place{}, start.Add(time.Hour), false)
	if err != nil {
		t.Fatal(err)
	}
	for what, prepare := range map[string]func(*channel.Config, *[32]byte){
		"one's own": func(_ *channel.Config, static *[32]byte) {},
		"another contact's": func(cfg *channel.Config, static *[32]byte) {
			*static = [32]byte{9}
			cfg.Known = func([32]byte) bool { return true }
		},
		"of low order": func(_ *channel.Config, static *[32]byte) { *static = [32]byte{1} },
	} {
		cfg := channel.Config{Random: prototest.Reader(2), Records: storetest.NewMemory()}
		var static [32]byte
		prepare(&cfg, &static)
		c, _, err := channel.New(cfg, channel.ContactID{1}, channel.Introduction{Number: 1, Name: "x", Side: identity.Inviter, Invitation: inv}, start)
		if err != nil {
			t.Fatal(err)
		}
		if static == ([32]byte{}) {
			_, static = c.Static()
		}
		own, peer := wire.Hello{1}, wire.Hello{2}
		c.LinkUp(start, 1, true, false, own, peer)
		out := c.Box(start, 1, cardBox(inv, identity.Card{Static: static}, peer, own))
		if len(out.Boxes) != 0 || len(out.Writes) != 0 || c.View().HasPeer {
			t.Errorf("a card with a key that is %s was taken", what)
		}
		// The friend still can.
		c.LinkUp(start, 2, true, false, own, peer)
		cfg.Known = nil
		if what != "another contact's" {
			good := identity.Card{}
			good.Static, err = public(7)
			if err != nil {
				t.Fatal(err)
			}
			if out := c.Box(start, 2, cardBox(inv, good, peer, own)); len(out.Boxes) == 0 || !c.View().HasPeer {
				t.Errorf("after a key that is %s the friend is refused", what)
			}
		}
	}
}

// TestRecordedRecoveryIsNeverAnsweredAgain replays the m1 of a recovery on the same
// day, when its pair secret is still taken: only that it was seen keeps it out.
func TestRecordedRecoveryIsNeverAnsweredAgain(t *testing.T) {
	w := newWorld(t, 104)
	w.meet()
	old := w.b.store.Copy()
	w.b.send("forgotten")
	w.a.send("forgotten, too")
	w.settle()
	w.pass(2*time.Second, time.Second)
	w.b.putBack(old)
	var all []*wire.Box
	w.mangle = func(b *wire.Box) []*wire.Box {
		all = append(all, b)
		return []*wire.Box{b}
	}
	w.connect()
	hellos := w.hellos
	w.settle()
	w.pass(30*time.Second, time.Second)
	w.mangle = nil
	recorded := w.flights(all, hellos)
	if !w.paused() || len(recorded) == 0 {
		t.Fatal("no recovery was recorded: the test would prove nothing")
	}
	for _, when := range []string{"at once", "after a restart"} {
		w.connect()
		w.settle()
		epoch := w.a.c.Epoch()
		keys := wire.DeriveLinkKeys(w.b.c.Links(w.now)[0].Link.Box, w.hellos[1], w.hellos[0])
		for i, cell := range recorded {
			box := wire.SealBox(keys.FromDialler, &[32]byte{byte(i)}, wire.Control{Flags: wire.FlagFlight}, cell)
			if out := w.a.c.Box(w.now, w.a.link, box); len(out.Boxes) != 0 || len(out.Writes) != 0 {
				t.Errorf("%s: flight %d was answered with %d boxes and %d writes", when, i, len(out.Boxes), len(out.Writes))
			}
		}
		if w.a.c.Epoch() != epoch {
			t.Errorf("%s: the session changed", when)
		}
		w.a.restart()
	}
}
