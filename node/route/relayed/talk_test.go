package relayed

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// A talk stands for a conversation: it numbers texts, acknowledges, sends again, and
// says what is true of each text. Its state survives restarts.
type talk struct {
	u         *user
	peer      *talk
	direction drop.Direction
	days      *drop.Chain // to look at drops, not used by the machine
	set       [drop.SetSize]onion.ID

	texts    []text // own, number n at n-1
	sent     uint32 // highest number given out
	turn     uint64
	carried  map[uint64]uint32 // period → number
	told     map[Stored]bool
	in       map[uint32]time.Time
	received uint32
	peerSent uint32
	peerLow  uint32
	order    []uint32 // as the person sees them

	real *correspondent // says what a conversation says; nil: the above does
}

type text struct {
	written, mailed, read, delivered time.Time
	at                               []onion.ID // drops that said they have it
	lastTurn                         uint64
	has                              bool // the peer's bitmap names it
}

// meet makes two users contacts of one another.
func (w *world) meet(id byte, a, b *user, p cadence.Period, set [drop.SetSize]onion.ID) (*talk, *talk) {
	root := secret.New(&[32]byte{id, 99})
	first := drop.DayAt(time.Duration(w.now.UnixNano()))
	cid := ContactID{id}
	side := func(u *user, d drop.Direction) *talk {
		t := &talk{u: u, direction: d, days: drop.NewChain(root, first), set: set, carried: map[uint64]uint32{}, told: map[Stored]bool{}, in: map[uint32]time.Time{}}
		u.talks[cid] = t
		u.setup[cid] = Contact{ID: cid, Direction: d, Set: set, Period: p, Chain: drop.NewChain(root, first)}
		return t
	}
	ta, tb := side(a, drop.FromInviter), side(b, drop.FromAccepter)
	ta.peer, tb.peer = tb, ta
	return ta, tb
}

func (t *talk) write(n int) {
	for range n {
		t.texts = append(t.texts, text{written: t.u.w.now})
	}
}

func (t *talk) lowest() uint32 {
	for i, x := range t.texts {
		if x.delivered.IsZero() {
			return uint32(i + 1)
		}
	}
	return uint32(len(t.texts) + 1)
}

// fill is what the next box says: state, and a cell that was never sent, or the one
// that was sent least recently.
func (t *talk) fill(period uint64) Content {
	if t.real != nil {
		return t.real.fill(period)
	}
	t.turn++
	next := uint32(0)
	low := t.lowest()
	if int(t.sent) < len(t.texts) && t.sent+1 < low+wire.Window {
		t.sent++
		next = t.sent
	} else {
		for n := low; n <= t.sent; n++ {
			x := t.texts[n-1]
			if x.delivered.IsZero() && !x.has && (next == 0 || x.lastTurn < t.texts[next-1].lastTurn) {
				next = n
			}
		}
	}
	c := drop.Control{Sent: t.sent, Owed: uint16(t.sent + 1 - min(low, t.sent+1)), Received: t.received}
	state := c.State()
	for n := range t.in {
		if n > t.received+1 {
			state.Set(n)
		}
	}
	c.Bitmap = state.Bitmap
	if next == 0 {
		return Content{Control: c}
	}
	t.texts[next-1].lastTurn = t.turn
	t.carried[period] = next
	c.Flags = drop.FlagCell
	var cell wire.Cell
	binary.BigEndian.PutUint32(cell[:], next)
	return Content{c, &cell}
}

func (t *talk) opened(o Opened) {
	if t.real != nil {
		t.real.opened(o)
		return
	}
	w := t.u.w
	c := o.Control.State()
	for n := uint32(1); n <= t.sent; n++ {
		x := &t.texts[n-1]
		if n <= c.Received && x.delivered.IsZero() {
			x.delivered = w.now
			if t.peer.received < n {
				w.t.Errorf("text %d is called delivered and is not", n)
			}
		}
		x.has = x.has || c.Has(n)
	}
	t.peerSent, t.peerLow = max(t.peerSent, c.Sent), max(t.peerLow, c.Lowest())
	if c.Flags&drop.FlagCell == 0 {
		return
	}
	n := binary.BigEndian.Uint32(o.Cell[:])
	if _, there := t.in[n]; there || n <= t.received || n > t.received+wire.Window {
		return
	}
	t.in[n] = w.now
	for {
		if _, there := t.in[t.received+1]; !there {
			return
		}
		t.received++
		t.order = append(t.order, t.received)
		delete(t.in, t.received)
		t.peer.texts[t.received-1].read = w.now
	}
}

func (t *talk) missing() bool {
	if t.real != nil {
		return t.real.c.Lacking()
	}
	return t.received < t.peerSent
}

// started is called when the machine starts.
func (t *talk) started() {
	if t.real != nil {
		t.real.reload()
	}
}

// mailed hears a drop's own word; what it says must be so.
func (t *talk) mailed(s Stored) {
	if t.told[s] {
		t.u.w.t.Errorf("period %d is called stored twice by one drop", s.Period)
	}
	t.told[s] = true
	day, ok := t.days.Key(t.u.m.day(t.u.setup[t.contact()].Period, s.Period))
	if !ok {
		t.u.w.t.Fatal("no key")
	}
	truly := false
	for r := range drop.Replicas {
		truly = truly || t.u.w.stored[storedAt{s.Drop, drop.DeriveKeys(day, t.direction, s.Period, r).Address()}]
	}
	if !truly && !t.u.w.lies {
		t.u.w.t.Errorf("period %d is called stored and is not", s.Period)
	}
	if t.real != nil {
		t.real.do(t.real.c.Boxed(t.u.w.now, s.Period, s.Drop))
	}
	n := t.carried[s.Period]
	if n == 0 {
		return
	}
	x := &t.texts[n-1]
	if !slices.Contains(x.at, s.Drop) {
		x.at = append(x.at, s.Drop)
	}
	if len(x.at) > 1 && x.mailed.IsZero() {
		x.mailed = t.u.w.now
	}
}

func (t *talk) contact() ContactID {
	for id, other := range t.u.talks {
		if other == t {
			return id
		}
	}
	return ContactID{}
}
