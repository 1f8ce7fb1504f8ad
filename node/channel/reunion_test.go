package channel_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// drops is what lies at drops, of two who meet nowhere else. It keeps a box for 96 hours,
// and gives it to its reader once.
type drops struct {
	w      *world
	boxes  map[*side][]placed // by writer
	period uint64

	reunions map[*side][]placed
	lost     int  // boxes with a cell that their reader could not open
	crash    bool // machines are killed between a commit and what follows, and before one
	lossy    bool // a machine has lost what it had confirmed, and the other does not know yet
	loss     int  // of a hundred boxes that are written

	routes map[*side]*route // by which boxes have their places; nil: they are found whatever their place is
}

type placed struct {
	seal    secret.Key // zero: a flight
	control drop.Control
	cell    wire.Cell
	at      time.Time
	address drop.Address
	day     drop.Day
	period  uint64
}

// apart brings two to a session with agreed drops, and cuts their connection for good.
func apart(t *testing.T, seed byte) *drops {
	t.Helper()
	w := newWorld(t, seed)
	w.meet()
	w.compare()
	w.agree()
	w.pass(5*time.Second, time.Second)
	w.cut()
	return &drops{w: w, boxes: map[*side][]placed{}, reunions: map[*side][]placed{}, period: 20}
}

// killed restarts a machine now and then: the box at hand is gone, and what was to be
// stored, or not.
func (d *drops) killed(s *side, out *channel.Output) bool {
	if !d.crash || d.w.rng.IntN(12) > 0 {
		return false
	}
	if d.w.rng.IntN(2) == 0 {
		s.do(out)
	}
	s.restart()
	return true
}

// write puts the box of the next period.
func (d *drops) write(s *side) {
	d.period++
	if s.c.Drops().Set == nil || d.routes != nil && !d.routed(s) {
		return
	}
	control, cell, out := s.c.Fill(s.now(), d.period)
	if d.killed(s, out) {
		return
	}
	s.do(out)
	b := placed{control: control, at: d.w.now}
	if cell != nil {
		b.cell = *cell
	}
	if seals := s.c.Seals(); control.Flags != wire.FlagFlight && len(seals) > 0 {
		b.seal = seals[0].Key
	}
	if d.routes != nil {
		d.place(s, &b)
	}
	if d.w.rng.IntN(100) >= d.loss {
		d.boxes[s] = append(d.boxes[s], b)
		if d.w.rng.IntN(4) > 0 {
			s.boxed(d.period)
		}
	}
}

// read gets one box that lies there, in any order.
func (d *drops) read(s *side) bool {
	all := slices.DeleteFunc(d.boxes[s.peer], func(b placed) bool { return d.w.now.Sub(b.at) > 96*time.Hour })
	if d.boxes[s.peer] = all; len(all) == 0 {
		return false
	}
	i := d.w.rng.IntN(len(all))
	b := all[i]
	d.boxes[s.peer] = slices.Delete(all, i, i+1)
	if d.routes != nil && !d.finds(s, b) {
		return true
	}
	session, ok := uint32(0), b.control.Flags == wire.FlagFlight
	for _, seal := range s.c.Seals() {
		if !ok && seal.Key.Equal(b.seal) {
			session, ok = seal.Session, true
		}
	}
	if !ok {
		if b.control.Flags&wire.FlagCell != 0 {
			d.lost++
		}
		return true
	}
	out := s.c.MailedIn(s.now(), session, b.control, &b.cell)
	if !d.killed(s, out) {
		s.do(out)
	}
	return true
}

// hour lets an hour of a machine that is on pass: it reads what is there and writes.
func (d *drops) hour(s *side) {
	for range 12 {
		s.do(s.c.Tick(s.now()))
		d.reunite(s)
		for range 8 {
			d.read(s)
		}
		d.write(s)
		d.w.now = d.w.now.Add(5 * time.Minute)
	}
}

// days lets both be on for an hour a day, never at the same time.
func (d *drops) days(n int, hook func(s *side)) {
	for range n {
		for _, s := range []*side{d.w.a, d.w.b} {
			if hook != nil {
				hook(s)
			}
			if d.hour(s); d.crash {
				s.restart()
			}
			if !d.lossy {
				d.w.checkStates()
			}
			d.w.now = d.w.now.Add(11 * time.Hour)
		}
	}
}

func (d *drops) want(epoch uint32, marks ...channel.Mark) {
	d.w.t.Helper()
	for i, s := range []*side{d.w.a, d.w.b} {
		mark := channel.WordsCompared
		if len(marks) > 0 {
			mark = marks[i%len(marks)]
		}
		if v := s.c.View(); s.c.Epoch() != epoch || v.Mark != mark || v.Paused {
			d.w.t.Errorf("%s: session %d and not %d; %v, paused %v", s.name, s.c.Epoch(), epoch, v.Mark, v.Paused)
		}
	}
}

// TestRollNeverOnlineTogether: two who are on for an hour a day, twelve hours apart, come
// to new sessions for three months, with words said all the time. Both begin at once.
// Nothing is lost by it, nothing comes twice, and no box is thrown away.
func TestRollNeverOnlineTogether(t *testing.T) {
	d := apart(t, 60)
	n := 0
	say := func(s *side) {
		if n++; n%2 == 0 {
			s.send(fmt.Sprintf("%s %d", s.name, n))
		}
	}
	d.days(100, say)
	d.days(6, nil)
	d.w.checkAll()
	d.want(4)
	if d.lost > 0 {
		t.Errorf("%d boxes with words could not be opened", d.lost)
	}
}

// TestRollOverDropsRandomly plays rolls with boxes lost, machines killed at any step and
// reloaded, boxes in any order, and connections that come up in the middle of a handshake
// and are cut after some boxes. All arrives once and in order, no state is shown that is
// not true, and the two are in one session: no recovery is needed.
func TestRollOverDropsRandomly(t *testing.T) {
	last := byte(66)
	if *long {
		last = 180
	}
	for seed := byte(62); seed < last; seed++ {
		d := apart(t, seed)
		w := d.w
		connects := seed%3 == 0
		d.crash, d.loss = true, 15
		n := 0
		stir := func(s *side) {
			if n++; w.rng.IntN(2) == 0 {
				s.send(fmt.Sprintf("%s %d", s.name, n))
			}
			if connects && w.rng.IntN(3) == 0 {
				w.connect()
				for range w.rng.IntN(14) {
					w.step()
				}
				w.cut()
			}
		}
		w.now = w.now.Add(29 * 24 * time.Hour)
		d.days(20, stir)
		if e := w.a.c.Epoch(); e < 2 {
			t.Errorf("seed %d: no new session in 20 days", seed)
		}
		d.days(8, nil) // what is said lives for 14 days
		w.now = w.now.Add(15 * 24 * time.Hour)
		d.days(20, stir)
		d.crash, d.loss = false, 0
		d.days(8, nil)
		w.checkAll()
		if a, b := w.a.c.View(), w.b.c.View(); a.Paused || b.Paused || a.Mark != channel.WordsCompared {
			t.Errorf("seed %d: a recovery: %v, %v", seed, a.Mark, b.Mark)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// TestUnreadBoxesOfTheSessionBefore: a text lies in a box of the session before when its
// reader goes over to the next one, and its writer never comes back. It is read.
func TestUnreadBoxesOfTheSessionBefore(t *testing.T) {
	for _, initiator := range []int{0, 1} {
		d := apart(t, byte(80+initiator))
		w := d.w
		a, b := w.a, w.b
		if initiator == 1 {
			a, b = b, a
		}
		w.now = w.now.Add(31 * 24 * time.Hour)
		a.do(a.c.Tick(a.now()))
		flight := func(s *side) placed { // the next flight of s, and nothing else
			for range 4 {
				control, cell, out := s.c.Fill(s.now(), d.period)
				d.period++
				if s.do(out); control.Flags == wire.FlagFlight {
					return placed{control: control, cell: *cell}
				}
			}
			t.Fatalf("%s has no flight", s.name)
			return placed{}
		}
		hand := func(s *side, p placed) { s.do(s.c.MailedIn(s.now(), 0, p.control, &p.cell)) }
		hand(b, flight(a)) // m1
		hand(a, flight(b)) // m2
		m3 := flight(a)
		b.send("of the responder")
		a.send("of the initiator, 1")
		a.send(string(slices.Repeat([]byte("2"), 3000)))
		for range 12 {
			d.write(a)
			d.write(b)
		}
		for _, s := range []*side{a, b} {
			d.boxes[s] = slices.DeleteFunc(d.boxes[s], func(p placed) bool { return p.control.Flags == wire.FlagFlight })
		}
		hand(b, m3)
		if b.c.Epoch() != 2 || a.c.Epoch() != 1 {
			t.Fatalf("sessions %d and %d", a.c.Epoch(), b.c.Epoch())
		}
		b.restart()
		for d.read(b) {
			b.restart()
		}
		if got := b.texts(channel.In); len(got) != 2 || got[0] != a.written[0] || got[1] != a.written[1] {
			t.Errorf("%s has %q", b.name, got)
		}
		kept := d.boxes[b]
		d.boxes[b] = nil
		d.write(b) // of the new session: now a goes over, too
		d.read(a)
		if a.c.Epoch() != 2 {
			t.Fatal("it did not go over")
		}
		d.boxes[b] = kept
		for d.read(a) {
			a.restart()
		}
		if got := a.texts(channel.In); len(got) != 1 || d.lost > 0 {
			t.Errorf("%s has %q; %d boxes could not be opened", a.name, got, d.lost)
		}
		// They come anew, and no one sees them twice; and what was kept is wiped.
		d.days(4, nil)
		d.days(7, nil)
		w.checkAll()
		for _, s := range []*side{a, b} {
			if len(s.c.Seals()) != 1 {
				t.Errorf("%s keeps %d sessions", s.name, len(s.c.Seals()))
			}
		}
	}
}

// TestRollMeetsConnection has a connection come up, and end, after each step of a roll
// over drops; late flights come after it. The two are in one session every time.
func TestRollMeetsConnection(t *testing.T) {
	for step := range 6 {
		for boxes := range 7 {
			d := apart(t, 90)
			w := d.w
			w.now = w.now.Add(31 * 24 * time.Hour)
			for _, s := range []*side{w.a, w.b} {
				s.do(s.c.Tick(s.now())) // both begin
			}
			for range step {
				for _, s := range []*side{w.a, w.b} {
					d.write(s)
					d.write(s)
				}
				for range 2 {
					d.read(w.a)
					d.read(w.b)
				}
			}
			late := [][]placed{slices.Clone(d.boxes[w.a]), slices.Clone(d.boxes[w.b])}
			w.connect()
			for range boxes {
				w.step()
			}
			w.cut()
			d.boxes[w.a], d.boxes[w.b] = append(d.boxes[w.a], late[0]...), append(d.boxes[w.b], late[1]...)
			w.a.send("over")
			w.b.send("out")
			d.days(5, nil)
			w.checkAll()
			if a, b := w.a.c.View(), w.b.c.View(); a.Paused || b.Paused || w.a.c.Epoch() < 2 || w.b.c.Epoch() < 2 {
				t.Errorf("step %d, cut after %d boxes: paused %v %v, sessions %d %d", step, boxes, a.Paused, b.Paused, w.a.c.Epoch(), w.b.c.Epoch())
			}
			if t.Failed() {
				t.FailNow()
			}
		}
	}
}

// TestDropsReplaced: two replace drops that left the network, at the same time, with boxes
// lost, machines killed, and a roll in the middle. Both have the same set in the end, and it
// holds what each has chosen; nobody fills a place of the other's.
func TestDropsReplaced(t *testing.T) {
	for _, seed := range []byte{96, 97, 98, 99} {
		d := apart(t, seed)
		w := d.w
		d.crash, d.loss = true, 30
		replace := func(s *side, gone, by byte) {
			s.do(s.c.ReplaceDrop(s.now(), onion.ID{gone}, onion.ID{by}))
		}
		seen := departures{}
		for _, s := range []*side{w.a, w.b} {
			for _, left := range []byte{1, 2, 3, 11} {
				seen.tell(s, onion.ID{left}, w.now)
			}
			seen.give(s)
		}
		if seed%2 == 1 {
			w.now = w.now.Add(31 * 24 * time.Hour)
		}
		d.days(1, nil)
		replace(w.a, 2, 20) // is b's to choose
		replace(w.b, 1, 21)
		replace(w.b, 3, 22)
		replace(w.a, 1, 3) // is there already
		for _, s := range []*side{w.a, w.b} {
			if got := s.c.Drops().Set.Relays; got != [3]onion.ID{{1}, {2}, {3}} {
				t.Fatalf("%s: %v", s.name, got)
			}
		}
		replace(w.a, 1, 11)
		replace(w.b, 2, 12)
		w.a.send("on we go")
		d.days(2, nil)
		replace(w.a, 3, 13)
		d.days(12, func(*side) { replace(w.a, 11, 14) }) // when b has that one
		d.crash, d.loss = false, 0
		d.days(3, nil)
		for _, s := range []*side{w.a, w.b} {
			s.restart()
			o := s.c.Drops()
			if o.Set == nil || o.Set.Relays != [3]onion.ID{{14}, {12}, {13}} || o.Own != o.Set.Relays[o.Side-1] {
				t.Errorf("seed %d: %s: %+v", seed, s.name, o)
			}
		}
		w.checkAll()
	}
}

// TestLackingOfTheSessionBefore: a box of the session before says that there are others to be
// read, before its reader goes over to the next session, or after. It looks for them on, in a
// later run, too, until all have come.
func TestLackingOfTheSessionBefore(t *testing.T) {
	for _, late := range []bool{false, true} {
		d := apart(t, 128)
		w := d.w
		w.now = w.now.Add(31 * 24 * time.Hour)
		a, b := w.a, w.b
		a.do(a.c.Tick(a.now()))
		flight := func(s *side) placed {
			p, ok := d.flightOf(s)
			if !ok {
				t.Fatalf("%s has no flight", s.name)
			}
			return p
		}
		handOver(b, flight(a))
		handOver(a, flight(b))
		m3 := flight(a)
		a.send("in their mailbox, not read yet")
		for range 6 {
			d.write(a)
		}
		d.boxes[a] = slices.DeleteFunc(d.boxes[a], func(p placed) bool { return p.control.Flags == wire.FlagFlight })
		told := d.boxes[a][len(d.boxes[a])-1]
		told.control.Flags &^= wire.FlagCell // the counters alone
		tell := func(session uint32) { b.do(b.c.MailedIn(b.now(), session, told.control, &told.cell)) }
		if !late {
			tell(1)
		}
		if handOver(b, m3); b.c.Epoch() != 2 || late && b.c.Lacking() {
			t.Fatalf("session %d, lacking %v", b.c.Epoch(), b.c.Lacking())
		}
		if late {
			tell(1)
		}
		b.restart()
		if !b.c.Lacking() {
			t.Errorf("late %v: it does not look for the text", late)
		}
		for d.read(b) {
			continue
		}
		if b.c.Lacking() || len(b.texts(channel.In)) != 1 {
			t.Errorf("late %v: lacking %v, with %q", late, b.c.Lacking(), b.texts(channel.In))
		}
	}
}
