package channel

import (
	"time"

	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/ratchet"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// Over drops a handshake takes as long as two people stay away. A roll's flights lie in the
// boxes of the session in use, every other one, so that what is said goes on meanwhile
// (docs/spec/drop.md):
//
//	initiator                          responder
//	m1, in every other box  ─────────> attempt, Seen
//	keeps m2 <──────────────────────── m2, in every other box
//	m3, in every other box  ─────────> session in use; the one before is read for days
//	a box of that session <─────────── boxes of the new session
//	session in use; likewise
//
// So the initiator goes over to the new session when the peer is known to have it, and no
// box is written that its reader cannot open.

// The bounds of a handshake over drops.
const (
	// flightHours is how long one m1 is good: an answer may be under way for twice as
	// long as drops keep boxes.
	flightHours = 10 * 24
	// maxRolls is how many m1 of a roll are tried before a recovery.
	maxRolls = 3
)

// A Seal is what a session seals its boxes at drops with; the first of several is that
// of the session in use.
type Seal struct {
	Session uint32 // by which MailedIn knows it
	Key     secret.Key
}

// upcoming is the session that follows from an m2 which came over drops.
type upcoming struct {
	of *handshake.Message // that m2
	m3 *handshake.Message
	hs *handshake.Session
}

// upcoming rebuilds the session that is not in use yet, or returns nil.
func (v *Conversation) upcoming() *upcoming {
	a := &v.c.attempt
	if !a.ended() {
		return nil
	}
	if v.next == nil || v.next.of != a.m2 {
		run, _, err := handshake.Initiate(v.c.config(a.pair), a.coins)
		if err != nil {
			return nil
		}
		m3, hs, err := run.Finish(a.m2)
		if err != nil {
			return nil
		}
		v.next.wipe()
		v.next = &upcoming{a.m2, m3, hs}
	}
	return v.next
}

func (u *upcoming) wipe() {
	if u != nil {
		u.hs.Wipe()
	}
}

// Seals returns what the boxes of the contact may be sealed with. The keys are copies.
func (v *Conversation) Seals() (all []Seal) {
	if v.s == nil || v.s.dead {
		return nil
	}
	add := func(epoch uint32, key secret.Key) {
		all = append(all, Seal{epoch, key})
	}
	add(v.s.epoch, drop.SessionKey(v.s.box))
	if u := v.upcoming(); u != nil {
		add(v.s.epoch+1, drop.SessionKey(u.hs.Box))
	}
	if v.former != nil {
		add(v.former.s.epoch, drop.SessionKey(v.former.s.box))
	}
	return all
}

// MailedIn handles a box that was found at a drop, of a session that Seals named; zero is
// none, as of a flight. Boxes come in any order, each once.
func (v *Conversation) MailedIn(now time.Time, session uint32, control drop.Control, cell *wire.Cell) *Output {
	v.begin(now)
	switch flight := control.Flags == wire.FlagFlight; {
	case v.s == nil || v.s.dead, flight != (session == 0):
	case flight:
		v.flightFromDrop(cell)
	case session == v.s.epoch:
		v.mailed(control, cell)
	case session == v.s.epoch+1 && v.c.attempt.ended():
		if v.goOver() {
			v.mailed(control, cell)
		}
	case v.former != nil && session == v.former.s.epoch:
		v.formerBox(control.State(), cell)
	}
	return v.end()
}

func (v *Conversation) flightFromDrop(cell *wire.Cell) {
	v.byDrop = true
	defer func() { v.byDrop = false }()
	if f, err := handshake.ParseFlight(cell); err == nil && f.Card == nil {
		v.flight(f)
	}
}

// goOver puts the upcoming session in use.
func (v *Conversation) goOver() bool {
	u := v.upcoming()
	if u == nil || !v.doubtsEnded() {
		return false
	}
	v.next = nil
	v.install(u.hs, ratchet.NewInitiator(u.hs), handshake.Initiator)
	return true
}

// overDrops reports whether boxes at drops go on from session to session with the peer.
func (v *Conversation) overDrops() bool {
	o := &v.drops
	return v.s != nil && !v.s.dead && o.Set != nil && o.sure && (o.Epoch == v.s.epoch || v.s.chained)
}

// sureOfDrops takes note that the other side has the set, too.
func (v *Conversation) sureOfDrops() {
	if o := &v.drops; o.Set != nil && !o.sure && o.Epoch == v.s.epoch {
		o.sure = true
		v.saveDrops()
	}
}

// aged reports whether it is time for another session.
func (v *Conversation) aged() bool {
	return fromMinute(v.s.began).Add(v.cfg.SessionLife).Before(v.now)
}

// rollOverDrops begins a roll when it is time and there is no connection, and comes back
// to one that does not end. Who is away for weeks has lost nothing, and finds what was said
// in the session: that nothing is heard is no reason for a recovery.
func (v *Conversation) rollOverDrops() {
	if v.link != nil || v.c.stage != Met || !v.overDrops() || v.drops.policy == DirectRoute {
		return
	}
	a := &v.c.attempt
	old := a.age(v.now)
	switch {
	case a.reason == roll && a.role == handshake.Responder && old > 2*flightHours:
		v.endAttempt() // its initiator has given it up, or waits for an m1: see m1Came
		v.saveContact()
	case a.reason == recovery, a.ended(), !v.s.confirmed:
		// Its flights are in boxes for as long as it takes.
	case a.reason == noReason && v.aged():
		if !v.manyDraws() {
			v.initiate(roll)
		}
	case a.reason == roll && a.role == handshake.Initiator && old > flightHours:
		v.rollAgain()
	}
}

// rollAgain makes another m1 in the place of one that nobody answers any more. One counts
// only if its reader was there: seen to have written after it was made. After the last a
// recovery follows, if the two can recover at drops.
func (v *Conversation) rollAgain() {
	a := &v.c.attempt
	tries := a.tries
	if v.c.heard > a.hour+uint32(formerLife/time.Hour) {
		tries++
	}
	_, cards := v.setOfCards()
	switch {
	case !v.aged(): // it was begun on a connection, because nothing came
		v.endAttempt()
	case cards && tries >= maxRolls:
		v.initiate(recovery)
		return
	default:
		v.endAttempt()
		v.initiate(roll)
		a.tries = min(tries, maxRolls)
	}
	v.saveContact()
}

// endAttempt forgets the handshake under way.
func (v *Conversation) endAttempt() {
	v.c.attempt.wipe()
	v.c.attempt = attempt{}
	v.next.wipe()
	v.next = nil
	v.endBranch()
}

// flightForBox returns the flight that the next box of the session carries instead of
// what is said, or nil. While the peer cannot open what is said, it is every box.
func (v *Conversation) flightForBox() *handshake.Flight {
	if v.drops.policy == DirectRoute || !v.overDrops() {
		return nil
	}
	a := &v.c.attempt
	var m3 *handshake.Flight // in the boxes that carry nothing else
	if v.c.m3 != nil && v.s.chained && !v.s.confirmed {
		m3 = &handshake.Flight{Tag: v.c.m3Tag, Message: *v.c.m3}
		if a.role != handshake.Responder { // the peer has not given up what m3 ends
			return m3
		}
	}
	if a.reason != roll {
		return m3
	}
	if v.mail.flight = !v.mail.flight; !v.mail.flight {
		return m3
	}
	return v.ownFlight()
}

// ownFlight is what this side has to say in the attempt under way.
func (v *Conversation) ownFlight() *handshake.Flight {
	a := &v.c.attempt
	if a.role == handshake.Responder {
		_, m2, err := handshake.Respond(v.c.config(a.pair), a.coins, &a.m1)
		if err != nil {
			return nil
		}
		return &handshake.Flight{Tag: handshake.AnswerTag(a.pair, 2, &a.m1), Message: *m2}
	}
	if u := v.upcoming(); u != nil {
		return &handshake.Flight{Tag: handshake.AnswerTag(a.pair, 3, &a.m1), Message: *u.m3}
	}
	return &handshake.Flight{Tag: a.tag, Message: a.m1}
}
