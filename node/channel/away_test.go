package channel_test

import (
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/wire"
)

// alone lets one of the two be on for an hour a day, while the other one is away.
func (d *drops) alone(s *side, days int) {
	for range days {
		d.hour(s)
		d.w.now = d.w.now.Add(23 * time.Hour)
	}
}

// flightOf returns the next flight in the boxes of s.
func (d *drops) flightOf(s *side) (placed, bool) {
	for range 4 {
		control, cell, out := s.c.Fill(s.now(), d.period)
		d.period++
		if s.do(out); control.Flags == wire.FlagFlight {
			return placed{control: control, cell: *cell}, true
		}
	}
	return placed{}, false
}

// handOver gives a flight to its reader.
func handOver(s *side, p placed) { s.do(s.c.MailedIn(s.now(), 0, p.control, &p.cell)) }

// untroubled wants both in one session, in one of the numbers, without a recovery.
func (d *drops) untroubled(what string, epochs ...uint32) {
	d.w.t.Helper()
	for _, s := range []*side{d.w.a, d.w.b} {
		v := s.c.View()
		if v.Paused || v.Mark != channel.WordsCompared || s.c.Epoch() != s.peer.c.Epoch() || s.c.Epoch() < epochs[0] {
			d.w.t.Errorf("%s: %s: session %d, %v, paused %v", what, s.name, s.c.Epoch(), v.Mark, v.Paused)
		}
	}
}

// TestAwayForLong: one is away for weeks, from before a roll began. Nothing is lost by it, so
// there is no recovery when it comes back, but the roll.
func TestAwayForLong(t *testing.T) {
	for _, days := range []int{25, 35, 70} {
		d := metAtDrops(t, 120)
		d.w.now = d.w.now.Add(29 * 24 * time.Hour)
		d.days(1, nil)
		d.alone(d.w.a, days)
		d.days(10, nil)
		d.w.a.send("back")
		d.w.b.send("again")
		d.days(3, nil)
		d.untroubled("away before it", 2)
		d.w.checkAll()
	}
}

// TestAwayWithinRoll: one of the two has gone over to the next session, or could have, and one
// of the two is away for weeks then. What is said meanwhile, and does not expire, arrives.
func TestAwayWithinRoll(t *testing.T) {
	for steps := 1; steps <= 4; steps++ {
		for _, cards := range []bool{true, false} {
			for _, days := range []int{22, 45} {
				for left := range 2 {
					d := metAtDrops
					if !cards {
						d = apart
					}
					awayWithinRoll(t, d(t, 122), steps, days, left)
				}
			}
		}
	}
}

func awayWithinRoll(t *testing.T, d *drops, steps, days, left int) {
	w := d.w
	w.now = w.now.Add(31 * 24 * time.Hour)
	sides := []*side{w.a, w.b}
	for range steps {
		for _, s := range sides {
			s.do(s.c.Tick(s.now()))
			d.write(s)
			d.write(s)
			for d.read(s.peer) {
				continue
			}
		}
	}
	d.alone(sides[left], days)
	d.days(14, nil)
	w.a.send("back")
	w.b.send("again")
	d.days(3, nil)
	d.untroubled("within a roll", 2)
	w.checkAll()
	if t.Failed() {
		t.Fatalf("after %d steps, %s alone for %d days", steps, sides[left].name, days)
	}
}

// TestYoungRoll: a roll that was begun on a connection because nothing came, and that the
// next connection ended. Whoever has answered it does not do so for ever, and the next roll
// is as any other.
func TestYoungRoll(t *testing.T) {
	begun := 0
	for i := range 2 {
		d := metAtDrops(t, 124)
		w := d.w
		s := []*side{w.a, w.b}[i]
		w.connect()
		for range 40 { // nothing comes
			w.now = w.now.Add(time.Second)
			s.do(s.c.Tick(s.now()))
		}
		w.cut()
		m1, ok := d.flightOf(s)
		if !ok {
			continue
		}
		begun++
		handOver(s.peer, m1)
		if _, ok := d.flightOf(s.peer); !ok {
			t.Fatalf("%s does not answer", s.peer.name)
		}
		w.connect()
		w.pass(10*time.Second, time.Second)
		w.cut()
		d.days(23, nil)
		if _, ok := d.flightOf(s.peer); ok {
			t.Errorf("%s still answers after 23 days", s.peer.name)
		}
		d.days(16, nil)
		d.untroubled("after a young roll", 2)
	}
	if begun == 0 {
		t.Error("nobody has begun a roll")
	}
}
