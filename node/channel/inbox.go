package channel

import (
	"slices"
	"strings"

	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/ratchet"
	"github.com/backchannel/backchannel/protocol/wire"
)

// cell handles a ratchet message, in a box with a control block. Its effects and the
// ratchet's new state are one commit; only after it the acknowledgement leaves.
func (v *Conversation) cell(c wire.Control, cell *wire.Cell) {
	next, body, err := v.s.ratchet.Open(cell, handshake.Day(v.now))
	if err != nil {
		v.notOpened(c, cell)
		return
	}
	f, err := wire.ParseFrame(body[:])
	if err != nil || f.Number > v.s.received+wire.Window {
		return // not stored, not acknowledged: the state stays what it was
	}
	if _, came := v.s.starts.of(f.Number); came {
		v.recover() // a cell opens once: this is another one of a number that came, on another chain
		return
	}
	if h, ok := v.s.ratchet.Peek(cell); ok {
		v.remember(h, cell)
	}
	v.s.starts.note(f.Number, cell)
	v.s.ratchet = next
	if _, twice := v.inbound[f.Number]; f.Number > v.s.received && !twice {
		v.inbound[f.Number] = f
		stored := f
		if v.used.has(f.Channel) && !v.waitsForEnd(f) {
			stored.Content = nil // it may wait for long, and its channel was burned
		}
		v.put(KindInbound, v.cellKey(f.Number), stored.Append(nil))
		v.advance()
	}
	v.saveSession()
	v.ackSoon()
}

// notOpened handles a cell whose body does not open. A name or a number that was
// seen under another nonce is proof that the peer was put back to an older state and
// sent something else in its place; a cell that was seen already is one that the peer
// does not know to have arrived.
func (v *Conversation) notOpened(c wire.Control, cell *wire.Cell) {
	if v.s.starts.usedAgain(c, cell) {
		v.recover()
		return
	}
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
// not stored: after a restart there are starts.
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
		if !ok || v.full() || v.waitsForEnd(f) {
			return
		}
		if (f.Kind == wire.FrameDropGone || f.Kind == wire.FrameDrop) && len(v.out.Writes) > maxWrites/5 {
			v.out.More = true // it may change what is shown of all that is not acknowledged
			return
		}
		v.take(f)
	}
}

// take handles the frame whose turn it is. The parts of a message that is not
// whole yet are the stored frames before it: of one message, in order, from its
// first part. Parts that do not go on are given up: their message is missing.
func (v *Conversation) take(f wire.Frame) {
	open := v.openParts()
	v.s.received++
	goesOn := int(f.Part) == len(open)
	if goesOn && len(open) > 0 {
		g := open[0]
		goesOn = g.ID == f.ID && g.Kind == f.Kind && g.Parts == f.Parts && g.Channel == f.Channel && g.Number+uint32(f.Part) == f.Number
	}
	if !goesOn {
		v.giveUp(open)
		if open = nil; f.Part != 0 {
			v.giveUp([]wire.Frame{f})
			return
		}
	}
	if f.Part+1 < f.Parts {
		return // kept until its last part is there
	}
	var text strings.Builder
	for _, g := range append(open, f) {
		text.Write(g.Content)
		delete(v.inbound, g.Number)
		v.drop(KindInbound, v.cellKey(g.Number))
	}
	if v.reading != nil {
		v.reading.late = append(v.reading.late, lateMessage{f, text.String()})
		return
	}
	v.deliver(f, text.String())
}

// openParts returns the frames of the message that is not whole yet, in order.
func (v *Conversation) openParts() []wire.Frame {
	var open []wire.Frame
	for n := v.s.received; n > 0; n-- {
		f, ok := v.inbound[n]
		if !ok {
			break
		}
		open = append(open, f)
	}
	slices.Reverse(open)
	return open
}

// giveUp drops the parts of a message that will not become whole, and says so.
func (v *Conversation) giveUp(parts []wire.Frame) {
	if len(parts) == 0 {
		return
	}
	for _, f := range parts {
		delete(v.inbound, f.Number)
		v.drop(KindInbound, v.cellKey(f.Number))
	}
	v.note(NoteMissing)
}

// deliver acts on a whole message.
func (v *Conversation) deliver(f wire.Frame, content string) {
	switch own := f.Channel == 0 && f.Parts == 1; f.Kind { // not what this version sends: acknowledged, and set aside
	case wire.FrameText:
		if f.Channel != Open && (f.Channel == 0 || !v.mayTake(f)) || content == "" { // of a burned channel it may be blank: it is answered
			return
		}
	case wire.FrameCharter:
		if f.Channel <= Open || f.Parts != 1 || content == "" || v.byID[f.ID] {
			return
		}
	case wire.FrameFile:
		if f.Parts != 1 || f.Channel != Open && (f.Channel == 0 || !v.mayTake(f)) {
			return
		}
	case wire.FrameMandate, wire.FrameShuttle:
		if f.Channel != Open || content == "" || v.byID[f.ID] {
			return
		}
	case wire.FrameCommunique:
		if v.byID[f.ID] || !v.mayTakeCommunique(f, content) {
			return
		}
	default:
		if !own {
			return
		}
	}
	switch f.Kind {
	case wire.FrameText:
		if v.byID[f.ID] {
			return // sent again in a later session
		}
		v.add(Message{
			Direction: In, Channel: f.Channel, ID: f.ID, Minute: f.Minute,
			Text: strings.ToValidUTF8(content, "?"), // one byte: what is repaired does not grow
		})
	case wire.FrameFile:
		v.offerCame(f, content)
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
	case wire.FrameBurn:
		v.burnCame()
	case wire.FrameMandate:
		v.mandateCame(f, content)
	case wire.FrameCommunique:
		v.communiqueCame(f, content)
	case wire.FrameCharter:
		v.charterCame(f, content)
	case wire.FrameIntroduction:
		v.introductionCame([]byte(content))
	case wire.FrameShuttle:
		v.shuttleCame(f, content)
	case wire.FrameSounding:
		v.soundingCame([]byte(content))
	case wire.FrameDrop:
		v.dropCame([]byte(content))
	case wire.FrameDropSet:
		v.dropSetCame([]byte(content))
	case wire.FrameDropGone:
		v.dropGoneCame([]byte(content))
	case wire.FrameBranch:
		v.branchCame([]byte(content))
	case wire.FrameMembership:
		v.membershipCame([]byte(content))
	case wire.FrameMissing:
		v.missingCame([]byte(content))
	default:
		// A kind of a later version: acknowledged, and set aside.
	}
}

// notOwed passes over the numbers that the peer no longer owes: their life
// ended before they arrived. They block nothing, and the person is told.
func (v *Conversation) notOwed(c wire.Control) {
	before := v.s.received
	for v.s.received+1 < c.Lowest() && !v.full() {
		if f, ok := v.inbound[v.s.received+1]; ok {
			if v.waitsForEnd(f) {
				break
			}
			v.take(f)
			continue
		}
		if open := v.openParts(); len(open) > 0 {
			v.giveUp(open)
		} else {
			v.note(NoteMissing)
		}
		from := v.s.received + 1
		v.s.received = v.nextStored(c.Lowest()) - 1 // one note for a stretch
		v.passedOver(wire.Missing{From: from, To: v.s.received})
	}
	if v.s.received != before {
		v.advance()
		v.saveSession()
		v.ackSoon()
	}
}

// nextStored returns the lowest number after received whose cell is stored, at
// most limit.
func (v *Conversation) nextStored(limit uint32) uint32 {
	for n := range v.inbound {
		if n > v.s.received {
			limit = min(limit, n)
		}
	}
	return limit
}

// ackSoon asks for a box at the next point of the acknowledgement grid.
func (v *Conversation) ackSoon() {
	if v.link != nil && v.link.ackDue.IsZero() {
		v.link.ackDue = v.now.Truncate(v.cfg.AckDelay).Add(v.cfg.AckDelay)
	}
}
