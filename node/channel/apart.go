package channel

import (
	"bytes"
	"time"

	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/secret"
)

// A machine that is put back to before its last session, and does not notice, writes and reads
// boxes where the other one does not look any more, and hears nothing of it; nor does the other
// one. Each of the two asks, in reunion boxes, whether they are in one session
// (docs/spec/drop.md):
//
//	in session n, hears nothing                   in session n + 1, hears nothing
//	m1 that names n ────────────────────────────> names another one: a recovery, m2
//	recovered session <────────────────────────── m2, in the session until m3 comes
//
// Who is in the session that is named does not answer: the one who asks will hear him.

// deafAfter is for how long nothing was heard of the other side when it is asked: what it had
// put where this side looks would have been found, or is gone.
const deafAfter = formerLife

// deaf reports whether nothing was heard for long in the session in use, and no handshake is
// under way after which the two may be in different sessions for as long as one is away.
func (v *Conversation) deaf() bool {
	a := &v.c.attempt
	begun := a.reason == noReason || a.reason == roll && a.role == handshake.Initiator && !a.ended()
	if v.s == nil || v.s.dead || !begun || v.c.m3 != nil || v.now.IsZero() {
		return false
	}
	if a.reason == noReason && v.aged() && v.overDrops() && v.s.confirmed && !v.manyDraws() {
		return false // a roll goes first: the peer may be in the next session already, and wait for it
	}
	since := max(v.c.heard, handshake.Hour(fromMinute(v.s.began)))
	if a.reason == roll {
		since = max(since, a.hour) // who comes back after weeks answers that first
	}
	return int64(handshake.Hour(v.now))-int64(since) > int64(deafAfter/time.Hour)
}

// askApart begins a recovery that a peer who is in the same session does not answer.
func (v *Conversation) askApart() {
	v.initiate(recovery)
	if a := &v.c.attempt; a.reason == recovery && a.role == handshake.Initiator {
		a.tag = handshake.PartedTag(a.pair, v.c.pair, v.c.side, a.hour)
		v.saveContact()
	}
}

// apart reports whether the recovery under way was begun by askApart, on either side.
func (v *Conversation) apart() bool {
	a, from := &v.c.attempt, v.c.side
	if a.role == handshake.Responder {
		from = from.Other()
	}
	return a.reason == recovery && a.tag != handshake.KnockTag(a.pair, from, a.hour)
}

// asksApart reports whether this side asks whether the two are in one session.
func (v *Conversation) asksApart() bool {
	return v.c.attempt.role == handshake.Initiator && v.apart()
}

// endApart takes back what askApart began: the peer was heard in the session in use, or there
// is a connection, on which it shows at once.
func (v *Conversation) endApart() {
	if v.asksApart() {
		v.endAttempt()
		v.saveContact()
	}
}

// asksElsewhere reports whether a flight asks, under the pair secret of a day, whether the two
// are in one session, and they are not: it names none that this side is in or waits for, and
// was made after this side came to its own. Before that its sender was in the one before.
func (v *Conversation) asksElsewhere(f *handshake.Flight, pair secret.Key, day uint32) bool {
	from, now := v.c.side.Other(), handshake.Hour(v.now)
	for hour := max(24*day, now-min(now, flightHours+knockHours)); hour < 24*(day+1) && hour <= now+knockHours; hour++ {
		if parted, same := f.Tag.Parted(handshake.PartedTag(pair, v.c.pair, from, hour)); !parted || same {
			continue
		}
		v.knocked = hour
		return !v.comesTo(f, pair, from, hour) && (v.s == nil || v.s.dead || hour > handshake.Hour(fromMinute(v.s.began)))
	}
	return false
}

// comesTo reports whether a flight names the session that follows from the handshake under way,
// or the one before while the peer may be in it.
func (v *Conversation) comesTo(f *handshake.Flight, day secret.Key, from identity.Side, hour uint32) bool {
	is := func(session secret.Key) bool {
		_, same := f.Tag.Parted(handshake.PartedTag(day, session, from, hour))
		return same
	}
	u := v.upcoming()
	return u != nil && is(u.hs.NextPair) || !v.c.previous.IsZero() && is(v.c.previous)
}

// goesFirst reports whether the own m1 counts, and one of the peer's that crossed it does not:
// of a recovery before that of a roll, and of equals that of the lower static key. One that only
// asks whether the two are in one session counts before none but another such.
func (v *Conversation) goesFirst(why reason, apart bool) bool {
	a := &v.c.attempt
	lower := bytes.Compare(v.c.ownCard.Static[:], v.c.peerCard.Static[:]) < 0
	switch {
	case v.asksApart():
		return apart && lower
	case apart:
		return a.reason == recovery
	default:
		return a.reason > why || a.reason == why && lower
	}
}
