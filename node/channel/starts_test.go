package channel

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/wire"
)

// stored takes what is kept of nonces through a record.
func (s *starts) stored(t *testing.T) starts {
	t.Helper()
	var e encoder
	s.append(&e)
	if want := 4 + startSize*int(min(s.highest, wire.Window)); len(e.b) != want {
		t.Fatalf("%d bytes, want %d", len(e.b), want)
	}
	var got starts
	d := decoder{b: e.b}
	got.parse(&d)
	if err := d.end(); err != nil {
		t.Fatal(err)
	}
	return got
}

// TestLateCopiesAreNoAlarm has numbers come in any order, with gaps, some never, and any copy of
// any of them again, in any box that an honest writer can have put it into, with the state
// reloaded at every step: none looks as if a number were used again. Another cell of the same
// number does whenever all that its box speaks of is known.
func TestLateCopiesAreNoAlarm(t *testing.T) {
	for seed := range byte(20) {
		rng := rand.New(prototest.Reader(seed))
		var cells []*wire.Cell // by number, from 1
		var boxes []wire.Control
		came := map[uint32]bool{}
		kept := &starts{}
		lowest, found := uint32(1), 0
		for range 3000 {
			sent := uint32(len(cells))
			if rng.IntN(3) == 0 && sent+1-lowest < wire.Window {
				cell := new(wire.Cell)
				binary.BigEndian.PutUint64(cell[:], rng.Uint64())
				cells = append(cells, cell)
				sent++
			}
			if sent >= lowest && rng.IntN(4) == 0 {
				lowest += rng.Uint32N(min(sent-lowest+1, 30) + 1)
			}
			if owed := sent + 1 - lowest; owed > 0 {
				boxes = append(boxes, wire.Control{Sent: sent, Owed: uint16(owed)})
			}
			if len(boxes) == 0 {
				continue
			}
			c := boxes[rng.IntN(len(boxes))]
			n := c.Lowest() + rng.Uint32N(uint32(c.Owed))
			cell := cells[n-1]
			if !came[n] && rng.IntN(5) > 0 {
				came[n] = true
				kept.note(n, cell)
			}
			*kept = kept.stored(t)
			if kept.usedAgain(c, cell) {
				t.Fatalf("seed %d: a copy of %d in %+v looks as if it were used again", seed, n, c)
			}
			all := true
			for i := range uint32(c.Owed) {
				m := c.Lowest() + i
				all = all && came[m] && m+wire.Window > kept.highest
			}
			other := *cell
			other[0]++
			if kept.usedAgain(wire.Control{Sent: c.Sent}, &other) {
				t.Fatalf("seed %d: a box that owes nothing has a cell of a number", seed)
			}
			if got := kept.usedAgain(c, &other); got != all {
				t.Fatalf("seed %d: another cell of %d in %+v: %v, and all are known: %v", seed, n, c, got, all)
			}
			if all {
				found++
			}
		}
		if found == 0 {
			t.Fatalf("seed %d: the script does not come to what it is about", seed)
		}
	}
}

// TestStartsAfterALeap has numbers come that are far above all before them.
func TestStartsAfterALeap(t *testing.T) {
	var s starts
	cell := &wire.Cell{1, 2, 3, 4}
	came := map[uint32]bool{}
	for _, n := range []uint32{1, 150, 199, 200, 400, 1000, 1 << 20, 1<<32 - 2} {
		s.note(n, cell)
		s, came[n] = s.stored(t), true
		for back := range uint32(2 * wire.Window) {
			m := n - min(n, back)
			if _, ok := s.of(m); ok != (came[m] && back < wire.Window) {
				t.Errorf("after %d: %d is known: %v", n, m, ok)
			}
		}
	}
	if s.note(1<<32-2-wire.Window, cell); s.highest != 1<<32-2 {
		t.Error("an old number moved the highest")
	}
}
