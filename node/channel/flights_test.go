package channel_test

import (
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// spoiler holds the keys of the connection's boxes, as whoever copied the
// invitation does, and sends altered and repeated flights ahead of each true one.
type spoiler struct {
	w       *world
	root    secret.Key
	seen    [2][]*wire.Cell // true flights, of the dialler and of the listener
	altered int
}

func (x *spoiler) mangle(box *wire.Box) []*wire.Box {
	keys := wire.DeriveLinkKeys(x.root, x.w.hellos[1], x.w.hellos[0]) // b dials
	for i, key := range []secret.Key{keys.FromDialler, keys.FromListener} {
		c, cell, err := wire.OpenBox(key, box)
		if err != nil || c.Flags != wire.FlagFlight {
			continue
		}
		cells := append([]*wire.Cell(nil), x.seen[i]...) // what was heard before, again
		cells = append(cells, x.seen[1-i]...)            // and what the other side said
		x.seen[i] = append(x.seen[i], cell)
		for _, at := range []int{0, handshake.TagSize - 1, handshake.TagSize, handshake.TagSize + 40, handshake.TagSize + handshake.MessageSize - 1, wire.CellSize - 500} {
			bad := *cell
			bad[at] ^= 0x10
			cells = append(cells, &bad)
		}
		var boxes []*wire.Box
		for _, bad := range cells {
			var random [32]byte
			x.w.fill(random[:])
			boxes = append(boxes, wire.SealBox(key, &random, wire.Control{Flags: wire.FlagFlight}, bad))
			x.altered++
		}
		return append(boxes, box)
	}
	return []*wire.Box{box}
}

// TestAlteredFlights spoils every flight of a first contact and of the handshake
// after it, from inside the boxes: messages altered, repeated, sent back, and out
// of their order. The two come to a session all the same, and to the same words.
func TestAlteredFlights(t *testing.T) {
	for _, seed := range []byte{120, 121} { // mutual and strict
		w := newWorld(t, seed)
		x := &spoiler{w: w, root: w.b.c.Links(w.b.now())[0].Link.Box}
		first := true
		w.mangle = func(box *wire.Box) []*wire.Box {
			if first { // the card: whoever alters that is the one who comes first
				first = false
				return []*wire.Box{box}
			}
			return x.mangle(box)
		}
		w.meet()
		w.mangle = nil
		w.compare()
		firstContact := x.altered

		w.now = w.now.Add(31 * 24 * time.Hour)
		x.root = w.b.c.Links(w.b.now())[0].Link.Box
		x.seen = [2][]*wire.Cell{}
		w.mangle = x.mangle
		w.reconnect(time.Minute)
		w.mangle = nil
		w.a.send("all is well")
		w.settle()
		w.pass(2*time.Second, time.Second)
		w.checkAll()
		for _, s := range []*side{w.a, w.b} {
			if v := s.c.View(); s.c.Epoch() != 2 || v.Paused || v.Mark != channel.WordsCompared {
				t.Errorf("%s: session %d, paused %v, %v", s.name, s.c.Epoch(), v.Paused, v.Mark)
			}
		}
		if firstContact < 15 || x.altered-firstContact < 15 {
			t.Errorf("%d and %d altered flights: the test shows little", firstContact, x.altered-firstContact)
		}
	}
}

// TestUsedUpChain comes to the end of a chain's counter: the session is given up,
// both people are told, and a new one carries what was not delivered.
func TestUsedUpChain(t *testing.T) {
	for _, which := range []int{0, 1} {
		w := newWorld(t, 124)
		w.meet()
		w.a.send("before")
		w.b.send("before, too")
		w.settle()
		w.pass(2*time.Second, time.Second)
		s := []*side{w.a, w.b}[which]
		s.send("the first of a chain")
		s.c.UseUpChain()
		s.send("one more")
		w.settle()
		w.pass(2*time.Minute, time.Second)
		if !w.paused() {
			t.Fatalf("%s: a chain that is used up: not paused", s.name)
		}
		w.consent()
		w.pass(time.Minute, time.Second)
		w.checkAll()
	}
}
