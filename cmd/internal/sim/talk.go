package sim

import (
	"encoding/binary"
	"time"

	"github.com/backchannel/backchannel/node/route/relayed"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// A talk is one side's part of a conversation: it numbers cells, acknowledges, and sends
// again what is not acknowledged, as node/channel does. Its state survives stops of the
// machine.
type talk struct {
	u      *user
	peer   *talk
	setup  relayed.Contact
	number int // from 1 on
	root   secret.Key

	cells    []cell // own, number n at n-1
	sent     uint32 // highest number given out
	low      uint32 // lowest number that is not acknowledged
	turn     uint64
	in       map[uint32]bool // of the peer, beyond received
	received uint32
	told     uint32 // of received, in the last box that left
	peerSent uint32
	worth    map[uint64]bool // periods whose box is more than cover; kept without cover alone
}

type cell struct {
	message int // in the truth; -1: others of it follow
	last    uint64
	has     bool // the peer's bitmap names it
}

// Content of a cell in bytes: of a text, and of a file.
const (
	textPart = 1700
	filePart = 4000
)

// write lets the person send something.
func (t *talk) write(m Message) {
	w := t.u.w
	m.Sent = seconds(w.now)
	w.truth.Messages = append(w.truth.Messages, m)
	part := textPart
	if m.Size > 4*textPart {
		part = filePart
	}
	for left := m.Size; left > 0; left -= part {
		c := cell{message: -1}
		if left <= part {
			c.message = len(w.truth.Messages) - 1
		}
		t.cells = append(t.cells, c)
	}
	if w.cfg.Weaken == AddedCover {
		t.u.extra(2)
	}
}

// next chooses the cell of the next box: one that was never sent, else the one that was
// sent least recently; 0 for none.
func (t *talk) next() uint32 {
	if int(t.sent) < len(t.cells) && t.sent+1 < t.low+wire.Window {
		t.sent++
		return t.sent
	}
	next := uint32(0)
	for n := t.low; n <= t.sent; n++ {
		if c := &t.cells[n-1]; !c.has && (next == 0 || c.last < t.cells[next-1].last) {
			next = n
		}
	}
	return next
}

// fill is what the next box says.
func (t *talk) fill(period uint64) relayed.Content {
	t.turn++
	n := t.next()
	c := drop.Control{Sent: t.sent, Owed: uint16(t.sent + 1 - t.low), Received: t.received}
	if len(t.in) > 0 {
		state := c.State()
		for n := range t.in {
			if n > t.received+1 {
				state.Set(n)
			}
		}
		c.Bitmap = state.Bitmap
	}
	if t.worth != nil && (n > 0 || t.told != t.received) {
		t.worth[period] = true
	}
	t.told = t.received
	if n == 0 {
		return relayed.Content{Control: c}
	}
	t.cells[n-1].last = t.turn
	c.Flags = drop.FlagCell
	content := relayed.Content{Control: c, Cell: new(wire.Cell)}
	binary.BigEndian.PutUint32(content.Cell[:], n)
	return content
}

func (t *talk) opened(o relayed.Opened) {
	c := o.Control.State()
	for n := t.low; n <= t.sent; n++ {
		t.cells[n-1].has = t.cells[n-1].has || c.Has(n)
	}
	if c.Received >= t.low && c.Received <= t.sent {
		t.low = c.Received + 1
	}
	t.peerSent = max(t.peerSent, c.Sent)
	if c.Flags&drop.FlagCell == 0 {
		return
	}
	if t.u.w.cfg.Weaken == OnDemand {
		t.u.extra(2)
	}
	n := binary.BigEndian.Uint32(o.Cell[:])
	if n <= t.received || n > t.received+wire.Window {
		return
	}
	t.in[n] = true
	for t.in[t.received+1] {
		t.received++
		delete(t.in, t.received)
		t.read(t.received)
	}
}

// read hands the person a cell of the peer, in order.
func (t *talk) read(n uint32) {
	w := t.u.w
	if i := t.peer.cells[n-1].message; i >= 0 {
		at := seconds(w.now)
		w.truth.Messages[i].Delivered = &at
	}
}

func (t *talk) missing() bool { return t.received < t.peerSent }

func seconds(at int64) float64 { return time.Duration(at).Round(time.Microsecond).Seconds() }
