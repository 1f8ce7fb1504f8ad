package channel

import (
	"time"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// maxRecoveries is how many m1 of a recovery are tried over drops, for ten days each.
// After that the machine listens, and a connection can still bring one about.
const maxRecoveries = 9

// A Reunion is what a contact wants done at drops beside the boxes of its session, in each
// reunion time: boxes in which two find each other of whom one has lost its session
// (docs/spec/drop.md).
type Reunion struct {
	Set    DropSet
	Own    drop.Direction
	Theirs drop.Direction
	Write  *wire.Cell // nil: nothing is due
}

// Reunion returns what is wanted in a time, which turn counts; ok is false for two whose cards name no drops, and for
// those who talk directly alone.
func (v *Conversation) Reunion(now time.Time, turn uint32) (r Reunion, ok bool) {
	set, ok := v.setOfCards()
	if !ok || v.c.stage != Met || v.drops.policy == DirectRoute || v.s == nil && v.meets() {
		return r, false
	}
	r = Reunion{Set: *set, Own: drop.FromInviter, Theirs: drop.FromAccepter}
	if v.c.side == identity.Accepter {
		r.Own, r.Theirs = r.Theirs, r.Own
	}
	if f := v.reunionFlight(now, turn); f != nil {
		r.Write = f.Cell()
	}
	return r, true
}

// meets reports whether flights have their place at the drop of the invitation.
func (v *Conversation) meets() bool {
	inv, ok := v.invitationLink()
	_, isDrop := inv.Place.Drop()
	return ok && isDrop
}

// ReunionKey returns the key of a day's reunion boxes, unless it was forgotten.
func (v *Conversation) ReunionKey(day drop.Day) (secret.Key, bool) {
	key, ok := v.c.recoverySecret(uint32(day))
	if !ok {
		return key, false
	}
	defer key.Wipe()
	return drop.RecoveryKey(key, day), true
}

// reunionFlight is the flight of a recovery that the peer waits for, or nil.
func (v *Conversation) reunionFlight(now time.Time, turn uint32) *handshake.Flight {
	var m3 *handshake.Flight
	if v.c.m3 != nil && v.s != nil && !v.s.confirmed && !v.s.chained && !v.meets() {
		m3 = &handshake.Flight{Tag: v.c.m3Tag, Message: *v.c.m3}
	}
	a := &v.c.attempt
	old := a.age(now)
	switch {
	case a.reason != recovery, a.role == handshake.Initiator && old > flightHours, old > 2*flightHours:
		return m3
	case m3 != nil && turn%2 == 0: // an m1 came late, or the peer lost its session again
		return m3
	}
	return v.ownFlight()
}

// Reunited handles a flight from the reunion box of a time that began at put.
func (v *Conversation) Reunited(now, put time.Time, cell *wire.Cell) *Output {
	v.begin(now)
	v.boxed = uint32(put.Unix())
	defer func() { v.boxed = 0 }()
	if v.c.stage == Met {
		v.flightFromDrop(cell)
	}
	return v.end()
}

// recoverOverDrops begins a recovery without a connection when there is no session in use, or
// the peer does not come to it, or may be in another one, and goes back to one that does not end.
func (v *Conversation) recoverOverDrops() {
	if !v.reunites() || !v.recoveryDue() && !v.deaf() {
		return
	}
	a, lost := &v.c.attempt, v.s == nil || v.s.dead
	old := a.age(v.now)
	switch {
	case v.asksApart() && lost:
		v.endAttempt() // it has no session to name any more
		v.initiate(recovery)
	case a.reason != recovery && v.deaf():
		v.askApart()
	case a.reason != recovery:
		v.initiate(recovery)
	case a.role == handshake.Responder && old > 2*flightHours:
		if v.endAttempt(); lost {
			v.initiate(recovery)
		} else {
			v.saveContact() // the one that asked has gone; its keys are of no more use
		}
	case v.asksApart() && old > int64(deafAfter/time.Hour) && v.aged() && v.overDrops():
		v.endAttempt() // by turns with a roll
		v.saveContact()
	case a.role == handshake.Initiator && old > flightHours && a.tries+1 < maxRecoveries:
		tries, begin := a.tries+1, func() { v.initiate(recovery) }
		if v.asksApart() {
			begin = v.askApart
		}
		v.endAttempt()
		begin()
		a.tries = tries
		v.saveContact()
	}
}

// reunites reports whether a recovery can be made over drops now.
func (v *Conversation) reunites() bool {
	_, ok := v.setOfCards()
	return ok && v.link == nil && v.c.stage == Met && v.drops.policy != DirectRoute
}

// recoveryDue reports whether a recovery is to go on, or to begin, over drops.
func (v *Conversation) recoveryDue() bool {
	return v.reunites() && (v.s == nil || v.s.dead || v.c.attempt.reason == recovery || v.unfinished())
}

// unfinished reports whether a recovery that this side began has not been seen to end for so
// long that the peer, who answered it, may have given it up before it found m3. m3 is good yet,
// and another recovery is tried beside it.
func (v *Conversation) unfinished() bool {
	return v.c.m3 != nil && v.s.repeat && !v.s.confirmed && !v.s.chained && v.s.role == handshake.Initiator &&
		fromMinute(v.s.began).Add(flightHours*time.Hour).Before(v.now)
}

// setOfCards is the drops that the two cards name. They never change: so both sides know
// them, whatever one of the two has lost.
func (v *Conversation) setOfCards() (*DropSet, bool) {
	if !v.c.hasPeer {
		return nil, false
	}
	inviter, accepter := v.c.ownCard, v.c.peerCard
	if v.c.side == identity.Accepter {
		inviter, accepter = accepter, inviter
	}
	s := &DropSet{
		Network: inviter.Network, Period: max(cadence.Period(inviter.Period), cadence.Period(accepter.Period)),
		Relays: [drop.SetSize]onion.ID{onion.ID(inviter.Drop), onion.ID(accepter.Drop), onion.ID(inviter.Third)},
	}
	if _, err := parseDropSet(s.append(nil)); err != nil || inviter.Network != accepter.Network || inviter.Network == (identity.NetworkID{}) {
		return nil, false
	}
	return s, true
}

// forgetMonths forgets the recovery secrets of months that have passed, by the own clock and
// by what a box of the session says: one clock alone could be far ahead.
func (v *Conversation) forgetMonths(said uint32) {
	today := min(handshake.Day(v.now), said/(24*60*60))
	if today < seenDays {
		return
	}
	month := handshake.Month(today - seenDays)
	if month <= v.c.month {
		return
	}
	if key, ok := v.c.recoverySecret(month * handshake.MonthDays); ok {
		v.c.recovery.Wipe()
		v.c.recovery, v.c.month = key, month
		v.saveContact()
	}
}
