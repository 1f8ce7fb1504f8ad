package channel

import (
	"strings"

	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/ratchet"
	"github.com/backchannel/backchannel/protocol/wire"
)

// cell handles a ratchet message. Its effects and the ratchet's new state are
// one commit; only after it the acknowledgement leaves.
func (v *Conversation) cell(cell *wire.Cell) {
	next, body, err := v.s.ratchet.Open(cell, handshake.Day(v.now))
	if err != nil {
		v.notOpened(cell)
		return
	}
	f, err := wire.ParseFrame(body[:])
	if err != nil || f.Number > v.s.received+wire.Window {
		return // not stored, not acknowledged: the state stays what it was
	}
	if h, ok := v.s.ratchet.Peek(cell); ok {
		v.remember(h, cell)
	}
	v.s.ratchet = next
	if _, twice := v.inbound[f.Number]; f.Number > v.s.received && !twice {
		v.inbound[f.Number] = f
		v.put(KindInbound, v.cellKey(f.Number), body[:])
		v.advance()
	}
	v.saveSession()
	v.ackSoon()
}

// notOpened handles a cell whose body does not open. A name that was seen under
// another nonce is proof that the peer was put back to an older state and sent
// something else in its place; a cell that was seen already is one that the peer
// does not know to have arrived.
func (v *Conversation) notOpened(cell *wire.Cell) {
	h, ok := v.s.ratchet.Peek(cell)
	if !ok {
		return
	}
	if nonce, known := v.recent[name(h.Chain, h.N)]; known && nonce != [24]byte(cell[:24]) {
		v.recover()
		return
	}
	v.ackSoon()
}

func name(chain [32]byte, n uint32) [36]byte {
	var b [36]byte
	copy(b[:], chain[:])
	b[32], b[33], b[34], b[35] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	return b
}

// remember keeps the nonces of cells opened in this run, for notOpened. They are
// not stored: after a restart the peer's resume tells the same.
func (v *Conversation) remember(h ratchet.Header, cell *wire.Cell) {
	if len(v.recent) >= 2*wire.Window {
		clear(v.recent)
	}
	v.recent[name(h.Chain, h.N)] = [24]byte(cell[:24])
}

// advance takes the frames whose turn it is.
func (v *Conversation) advance() {
	for {
		f, ok := v.inbound[v.s.received+1]
		if !ok || v.full() {
			return
		}
		v.s.received++
		if f.Part+1 < f.Parts {
			continue // kept until its last part is there
		}
		v.take(f)
	}
}

// take handles the frame that completes a message.
func (v *Conversation) take(last wire.Frame) {
	var text strings.Builder
	whole := true
	start := last.Number - uint32(last.Part)
	for n := start; n <= last.Number; n++ {
		f, ok := v.inbound[n]
		whole = whole && ok && f.ID == last.ID && f.Kind == last.Kind && f.Parts == last.Parts && uint32(f.Part) == n-start
		text.Write(f.Content)
		if ok {
			delete(v.inbound, n)
			v.drop(KindInbound, v.cellKey(n))
		}
	}
	if !whole {
		v.note(NoteMissing)
		return
	}
	v.deliver(last, text.String())
}

// deliver acts on a whole message.
func (v *Conversation) deliver(f wire.Frame, content string) {
	switch f.Kind {
	case wire.FrameText:
		if v.byID[f.ID] {
			return // sent again in a later session
		}
		v.add(Message{
			Direction: In, Channel: f.Channel, ID: f.ID, Minute: f.Minute,
			Text: strings.ToValidUTF8(content, "\uFFFD"),
		})
	case wire.FrameCommit:
		v.commitCame([]byte(content))
	case wire.FrameReveal:
		v.revealCame([]byte(content))
	case wire.FrameConsent:
		v.c.peerConsent = true
		v.goOn()
	case wire.FramePlace:
		if place, rest, err := identity.ParsePlace([]byte(content)); err == nil && len(rest) == 0 {
			v.c.peerPlace = place
			v.saveContact()
		}
	default:
		// A kind of a later version: acknowledged, and set aside.
	}
}

// notOwed passes over the numbers that the peer no longer owes: their life
// ended before they arrived. They block nothing, and the person is told.
func (v *Conversation) notOwed(c wire.Control) {
	missing := false
	for v.s.received+1 < c.Lowest() && !v.full() {
		n := v.s.received + 1
		f, ok := v.inbound[n]
		v.s.received++
		switch {
		case !ok:
			missing = true
		case f.Part+1 == f.Parts:
			v.take(f)
		}
	}
	if missing {
		v.note(NoteMissing)
		v.dropOrphans()
		v.advance()
		v.saveSession()
		v.ackSoon()
	}
}

// dropOrphans drops parts whose last part has been passed over.
func (v *Conversation) dropOrphans() {
	for n, f := range v.inbound {
		if last := n - uint32(f.Part) + uint32(f.Parts) - 1; last <= v.s.received {
			delete(v.inbound, n)
			v.drop(KindInbound, v.cellKey(n))
		}
	}
}

// ackSoon asks for a box at the next point of the acknowledgement grid.
func (v *Conversation) ackSoon() {
	if v.link != nil && v.link.ackDue.IsZero() {
		v.link.ackDue = v.now.Truncate(v.cfg.AckDelay).Add(v.cfg.AckDelay)
	}
}
