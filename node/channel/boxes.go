package channel

import (
	"io"
	"slices"
	"time"

	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// A link is the one connection that is in use.
type link struct {
	id         LinkID
	up         time.Time
	since      time.Time // when this side resumed; else when it came up
	dialled    bool      // by this side
	invitation bool      // under the invitation's secrets
	dialler    wire.Hello
	listener   wire.Hello

	contactKeys, sessionKeys wire.LinkKeys
	resumeSent, resumeGot    bool // a box of the session went out; one came in
	greets                   bool // what it begins with waits for the next commit

	lastIn, lastOut time.Time
	lastCell        time.Time
	asked           time.Time // when the peer was last asked how far files have come
	m1Out           time.Time // when m1 was last sent on this connection
	ackDue          time.Time // zero: nothing to acknowledge
	junk            int       // boxes that opened under no key
}

// maxJunk is how many boxes may open under no key before a connection is closed.
const maxJunk = 64

// LinkUp tells that a connection stands and both hellos are exchanged. A newer
// connection takes the place of an older one; of two that cross, both sides keep
// the inviter's.
func (v *Conversation) LinkUp(now time.Time, id LinkID, invitation, dialled bool, own, peer wire.Hello) *Output {
	v.begin(now)
	v.expireSignings() // nothing of it is sent after its end
	if invitation && v.c.side == identity.Inviter {
		v.guestUp(id, dialled, own, peer)
		return v.end()
	}
	if v.link != nil {
		inviterDialled := func(dialled bool) bool { return dialled == (v.c.side == identity.Inviter) }
		if now.Sub(v.link.up) < 3*time.Second && inviterDialled(v.link.dialled) && !inviterDialled(dialled) {
			v.out.Close = append(v.out.Close, id)
			return v.end()
		}
		v.out.Close = append(v.out.Close, v.link.id)
	}
	l := &link{id: id, up: now, since: now, dialled: dialled, invitation: invitation, lastIn: now, lastOut: now, lastCell: now}
	l.dialler, l.listener = own, peer
	if !dialled {
		l.dialler, l.listener = peer, own
	}
	root, ok := v.contactRoot(invitation)
	if !ok {
		v.out.Close = append(v.out.Close, id)
		return v.end()
	}
	l.contactKeys = wire.DeriveLinkKeys(root, l.dialler, l.listener)
	v.link, v.out.Link = l, id
	if v.answeredAt.IsZero() || v.c.attempt.role == handshake.Responder {
		v.answeredAt = now // an answered handshake is waited for, after a restart and one over drops, too
	}
	v.greet()
	return v.end()
}

// maxGuests bounds the connections under an invitation that have shown no card.
const maxGuests = 4

// guestUp takes a connection under the invitation. Whoever holds a copy of it can
// make one; until it shows a card it gets no byte and disturbs nothing.
func (v *Conversation) guestUp(id LinkID, dialled bool, own, peer wire.Hello) {
	root, ok := v.contactRoot(true)
	if !ok || dialled {
		v.out.Close = append(v.out.Close, id)
		return
	}
	if len(v.guests) == maxGuests {
		v.out.Close = append(v.out.Close, v.guests[0].id)
		v.guests = v.guests[1:]
	}
	v.guests = append(v.guests, &link{
		id: id, up: v.now, since: v.now, invitation: true, dialler: peer, listener: own,
		lastIn: v.now, lastOut: v.now, lastCell: v.now, contactKeys: wire.DeriveLinkKeys(root, peer, own),
	})
}

// guestBox looks at the one thing that a guest can say: its card. The friend's
// makes this the connection in use; another one is a second use.
func (v *Conversation) guestBox(i int, box *wire.Box) {
	g := v.guests[i]
	v.guests = slices.Delete(v.guests, i, i+1)
	leave := func() { v.out.Close = append(v.out.Close, g.id) }
	c, cell, err := wire.OpenBox(g.contactKeys.FromDialler, box)
	if err != nil || c.Flags != wire.FlagFlight {
		leave()
		return
	}
	f, err := handshake.ParseFlight(cell)
	switch {
	case err != nil || !v.isCard(f):
		leave()
	case v.c.hasPeer && *f.Card != v.c.peerCard:
		v.secondUse()
		leave()
	case v.s != nil && v.s.confirmed:
		v.cameBack()
		leave()
	default:
		if v.link != nil {
			v.out.Close = append(v.out.Close, v.link.id)
		}
		v.link, v.out.Link = g, g.id
		v.greet()
		v.cardCame(f)
	}
}

// cameBack tells once that the friend asks with the invitation again, though
// there was a session: its machine was put back to before, and holds no secret
// from which to recover.
func (v *Conversation) cameBack() {
	for _, m := range v.messages {
		if m.Direction == Notice && m.Text == NoteCameBack {
			return
		}
	}
	v.note(NoteCameBack)
}

// contactRoot is the root of the boxes that carry handshakes.
func (v *Conversation) contactRoot(invitation bool) (secret.Key, bool) {
	if !invitation {
		if v.c.dial.IsZero() {
			return secret.Key{}, false
		}
		return identity.DialLink(v.c.dial).Box, true
	}
	inv, ok := v.invitationLink()
	if !ok {
		return secret.Key{}, false
	}
	return inv.Link().Box, true
}

// greet sends what a new connection begins with.
func (v *Conversation) greet() {
	v.endApart()
	v.link.greets = false
	if u := v.upcoming(); u != nil && v.s != nil && !v.s.dead {
		if v.link.greets = !v.doubtsEnded(); v.link.greets {
			return // with the next commit: the peer may be in that session, and know no other
		}
		v.c.m3, v.c.m3Tag = u.m3, handshake.AnswerTag(v.c.attempt.pair, 3, &v.c.attempt.m1)
		v.sendFlight(&handshake.Flight{Tag: v.c.m3Tag, Message: *v.c.m3})
		v.goOver() // the peer may have it; if not, it is first to get m3
		return
	}
	switch {
	case v.s != nil && !v.s.dead:
		if v.c.m3 != nil {
			v.sendFlight(&handshake.Flight{Tag: v.c.m3Tag, Message: *v.c.m3})
		}
		v.resume()
	case v.c.stage == Met:
		v.initiate(recovery)
	case v.c.side == identity.Accepter:
		v.sendCard()
	}
	// An inviter without a session waits for the card: it does not know yet
	// whether it is the friend who connected.
}

// resume derives the session's keys for the connection and tells the counters.
// It is state in a box, not a cell: a cell of a machine that was put back would
// itself be the second use of a message key.
func (v *Conversation) resume() {
	l := v.link
	if l == nil {
		return
	}
	l.sessionKeys = wire.DeriveLinkKeys(v.s.box, l.dialler, l.listener)
	l.resumeSent, l.resumeGot, l.since = true, false, v.now
	v.sendBox(wire.FlagResume, nil)
}

// LinkDown tells that a connection is gone.
func (v *Conversation) LinkDown(now time.Time, id LinkID) *Output {
	v.begin(now)
	if v.link != nil && v.link.id == id {
		v.keepFlows()
		v.link = nil
	}
	if i := v.guestIndex(id); i >= 0 {
		v.guests = slices.Delete(v.guests, i, i+1)
	}
	return v.end()
}

func (v *Conversation) guestIndex(id LinkID) int {
	return slices.IndexFunc(v.guests, func(g *link) bool { return g.id == id })
}

// Box handles what came in on a connection. A box that opens under no key is
// passed over: late, altered, or of a session that one side has lost.
func (v *Conversation) Box(now time.Time, id LinkID, box *wire.Box) *Output {
	v.begin(now)
	if i := v.guestIndex(id); i >= 0 {
		v.guestBox(i, box)
		return v.end()
	}
	if v.link == nil || v.link.id != id {
		return v.end()
	}
	l := v.link
	if v.s != nil && l.resumeSent {
		if c, cell, err := wire.OpenBox(v.incoming(l.sessionKeys), box); err == nil && c.Flags&wire.FlagFlight == 0 {
			v.sessionBox(c, cell)
			return v.end()
		}
	}
	c, cell, err := wire.OpenBox(v.incoming(l.contactKeys), box)
	if err != nil || c.Flags != wire.FlagFlight {
		if l.junk++; l.junk > maxJunk {
			v.closeLink()
		}
		return v.end()
	}
	l.lastIn = now
	if f, err := handshake.ParseFlight(cell); err == nil {
		v.flight(f)
	}
	return v.end()
}

func (v *Conversation) incoming(k wire.LinkKeys) secret.Key {
	if v.link.dialled {
		return k.FromListener
	}
	return k.FromDialler
}

func (v *Conversation) outgoing(k wire.LinkKeys) secret.Key {
	if v.link.dialled {
		return k.FromDialler
	}
	return k.FromListener
}

func (v *Conversation) closeLink() {
	if v.link == nil {
		return
	}
	v.out.Close = append(v.out.Close, v.link.id)
	v.link = nil
}

// sessionBox handles a box of the session: first its control block, then its
// cell.
func (v *Conversation) sessionBox(c wire.Control, cell *wire.Cell) {
	l := v.link
	l.lastIn = v.now
	v.clockOff = time.Unix(int64(c.Time), 0).Sub(v.now).Truncate(time.Second)
	v.clockAt = v.now
	v.heard()
	v.forgetMonths(c.Time)
	if v.s.dead {
		return
	}
	switch {
	case !l.resumeGot && v.rolledBack(c), c.Received > v.s.sent:
		v.recover()
		return
	case !l.resumeGot:
		// The first box that comes resumes, whatever else it carries: should the
		// peer's first have been lost, its next one serves.
		l.resumeGot = true
		v.unanswered = 0
		if a := &v.c.attempt; a.reason != noReason && a.role == handshake.Initiator && (a.reason != roll || !v.aged()) {
			v.endAttempt() // it was only begun because nothing came
			v.saveContact()
		}
		v.acknowledged(c)
		v.resendAll(c)
		v.askFiles()
	case c.Flags&wire.FlagResume != 0:
		v.ackSoon() // it says that it has none of ours yet
	}
	v.acknowledged(c)
	v.notOwed(c)
	switch {
	case c.Flags&wire.FlagCell != 0:
		v.cell(c, cell)
	case c.Flags&wire.FlagFile != 0:
		v.fileCell(cell, false)
	case c.Flags&wire.FlagReport != 0:
		v.reportCame(cell, said{})
	}
	v.flush()
}

// heard takes note that a box of the session came, whatever is in it.
func (v *Conversation) heard() {
	v.endApart()
	if hour := handshake.Hour(v.now); v.c.heard != hour || v.c.m3 != nil || len(v.c.invitation) > 0 && v.c.side == identity.Accepter {
		// Any box of the session proves that the peer has it: m3 came.
		v.c.heard, v.c.m3 = hour, nil
		if v.c.side == identity.Accepter && v.c.invitation != nil {
			v.c.invitation = nil
			v.out.Linked = true
		}
		v.saveContact()
	}
	if !v.s.confirmed {
		v.s.confirmed = true
		if a := &v.c.attempt; a.reason == recovery && a.role == handshake.Initiator && !v.s.dead {
			v.endAttempt() // it found m3: see unfinished
		}
		v.leftFormer()
		v.c.previous.Wipe()
		v.c.previous = secret.Key{}
		v.forgetSeen()
		v.saveContact()
		v.saveSession()
	}
}

// rolledBack reports whether the counters of a peer's resume show that one of
// the two machines was put back to an older state: it knows less than it has
// said, or we do.
func (v *Conversation) rolledBack(c wire.Control) bool {
	return c.Received < v.s.acked || c.Received > v.s.sent || c.Sent < v.highest()
}

// highest is the highest number that came in, in its turn or before.
func (v *Conversation) highest() uint32 {
	h := v.s.received
	for n := range v.inbound {
		h = max(h, n)
	}
	return h
}

// sendBox sends a box of the session with the counters of now. Without a cell it
// carries random bytes in its place.
func (v *Conversation) sendBox(flags byte, cell *wire.Cell) {
	l := v.link
	c := v.counters(flags)
	switch {
	case cell == nil:
		cell = new(wire.Cell)
		v.random(cell[:])
	case flags&(wire.FlagFile|wire.FlagReport) == 0:
		c.Flags |= wire.FlagCell
		l.lastCell = v.now
	}
	l.ackDue = time.Time{}
	v.seal(v.outgoing(l.sessionKeys), c, cell)
}

// counters is how far the session is.
func (v *Conversation) counters(flags byte) wire.Control {
	c := wire.Control{
		Time: uint32(v.now.Unix()), Flags: flags,
		Sent: v.s.sent, Owed: uint16(v.s.sent + 1 - v.lowest()), Received: v.s.received,
	}
	for n := range v.inbound {
		if n != v.s.received+1 { // its turn comes with the next step
			c.Set(n)
		}
	}
	return c
}

func (v *Conversation) sendFlight(f *handshake.Flight) {
	if v.link == nil {
		return // it goes into a box at a drop: see Meeting
	}
	c := wire.Control{Time: 0, Flags: wire.FlagFlight}
	v.seal(v.outgoing(v.link.contactKeys), c, f.Cell())
}

func (v *Conversation) seal(key secret.Key, c wire.Control, cell *wire.Cell) {
	var random [32]byte
	v.random(random[:])
	if box := wire.SealBox(key, &random, c, cell); c.Flags&wire.FlagFile != 0 {
		v.out.Bulk = append(v.out.Bulk, box)
	} else {
		v.out.Boxes = append(v.out.Boxes, box)
	}
	v.link.lastOut = v.now
}

// random fills b. A source of randomness that fails leaves nothing to go on
// with: crypto/rand never does.
func (v *Conversation) random(b []byte) {
	if _, err := io.ReadFull(v.cfg.Random, b); err != nil {
		panic("channel: the source of randomness failed")
	}
}

func (v *Conversation) draw() secret.Key {
	k, err := secret.Read(v.cfg.Random)
	if err != nil {
		panic("channel: the source of randomness failed")
	}
	return k
}
