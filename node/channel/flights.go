package channel

import (
	"slices"
	"time"

	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/ratchet"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// maxUnanswered is how often one m1 is sent before another one is made: its
// answer may have been spent before this machine was put back.
const maxUnanswered = 4

// knockHours is how far two clocks may lie apart for a handshake to be known.
const knockHours = 24

// Lines that the program writes into a transcript.
const (
	NoteUsedTwice = "A second machine tried this invitation. Do not trust this contact; make a new invitation by another route."
	NoteLateUse   = "A second machine tried this invitation. You compared words before, so your contact is who you heard; somebody else has seen the invitation."
	NoteRecovered = "This session was made anew from the recovery secret, because one of the two machines lost or put back its state. What was said lately may be missing there: ask. Sending is paused until both of you say to go on. Compare words again."
	NoteAgain     = "This is the second time within a day, and words were not compared in between. Two machines may be running with the same keys, on your side or on theirs. Find out before you go on: only one may."
	NoteApart     = "The two machines were in different sessions, and neither could hear the other over relays. So one of them seems to have been put back to an older state: a copy of its disk, a snapshot of a virtual machine, a copied folder. If neither of you did that, somebody has had a machine of yours in hand, or a copy of it. Find out before you go on."
	NoteCameBack  = "Their machine was put back to a time before you met, and asks with the old invitation. Nothing can be agreed with it: make a new invitation."
	NoteMissing   = "A message is missing: it expired or was taken back before it could be delivered."
	NoteManyDraws = "The words were drawn many times today. No further ones are drawn until tomorrow. If neither of you asked for them, somebody may sit between you."
	NoteBadWords  = "The words exchange did not hold together. If it happens again, somebody may sit between you."
	NoteGoOn      = "Both of you said to go on."
)

// flight handles a handshake flight. Whatever does not fit gets no answer.
func (v *Conversation) flight(f *handshake.Flight) {
	switch a := &v.c.attempt; { // a zero attempt has no pair secret to try
	case v.isCard(f):
		v.cardCame(f)
	case f.Card == nil && a.reason != noReason && a.role == handshake.Initiator && f.Tag == handshake.AnswerTag(a.pair, 2, &a.m1):
		v.m2Came(f)
	case f.Card == nil && a.reason != noReason && a.role == handshake.Responder && f.Tag == handshake.AnswerTag(a.pair, 3, &a.m1):
		v.m3Came(f)
	default:
		v.m1Came(f)
	}
}

// isCard reports whether a flight is an accepter's first, for the invitation that
// is kept.
func (v *Conversation) isCard(f *handshake.Flight) bool {
	inv, ok := v.invitationLink()
	return ok && v.c.side == identity.Inviter && f.Card != nil && f.Tag == handshake.CardTag(inv.Link().Box)
}

// sendCard is the accepter's first flight: its card, and noise where a message
// would be.
func (v *Conversation) sendCard() {
	inv, ok := v.invitationLink()
	if !ok {
		return
	}
	f := &handshake.Flight{Tag: handshake.CardTag(inv.Link().Box), Card: &v.c.ownCard}
	v.random(f.Message[:])
	v.sendFlight(f)
}

// cardCame handles the accepter's card. The first one that comes binds the
// invitation, in one commit; another one is a second use.
func (v *Conversation) cardCame(f *handshake.Flight) {
	switch {
	case !v.c.hasPeer:
		inv, ok := v.invitationLink()
		if !ok || v.now.After(inv.Expiry) || f.Card.Strict != inv.Strict ||
			f.Card.Static == v.c.ownCard.Static || v.cfg.Known(f.Card.Static) {
			v.closeLink()
			return
		}
		v.c.peerCard, v.c.hasPeer = *f.Card, true
		v.c.pair = inv.Pair(v.c.ownCard.Static, f.Card.Static)
		if v.initiate(first); v.c.attempt.reason != first {
			v.c.peerCard, v.c.hasPeer, v.c.pair = identity.Card{}, false, secret.Key{}
			v.closeLink() // a key that nothing can be agreed with
		}
	case v.s == nil:
		v.initiate(first) // the same friend again, after a cut
	}
	// With a session, greet has sent m3 and resume already.
}

// secondUse raises the alarm: two machines have had the invitation, and which of
// them is the friend, only the comparison of words can tell.
func (v *Conversation) secondUse() {
	if v.c.usedTwice {
		return
	}
	v.c.usedTwice = true
	if v.c.mark == WordsCompared {
		v.note(NoteLateUse)
	} else {
		v.note(NoteUsedTwice)
	}
	v.saveContact()
}

// initiate starts a handshake, or repeats the m1 of the one under way.
func (v *Conversation) initiate(why reason) {
	a := &v.c.attempt
	if a.role == handshake.Responder && a.reason >= why && v.now.Sub(v.answeredAt) < 2*v.cfg.AnswerTimeout {
		return // its m3 is to come; a second handshake would only be one more alarm
	}
	hour := handshake.Hour(v.now)
	fresh := a.reason != why || a.role != handshake.Initiator || hour-a.hour > knockHours/2 || v.unanswered >= maxUnanswered
	if fresh {
		pair := v.c.pair
		switch {
		case why == recovery:
			day, ok := v.c.recoveryPair(handshake.Day(v.now))
			if !ok {
				return
			}
			defer day.Wipe()
			pair = day
		case v.s != nil && !v.s.confirmed && !v.c.previous.IsZero():
			pair = v.c.previous // the peer may never have come to the newer one
		}
		v.endAttempt()
		*a = attempt{reason: why, role: handshake.Initiator, pair: pair.Clone(), coins: v.draw(), hour: hour}
		_, m1, err := handshake.Initiate(v.c.config(a.pair), a.coins)
		if err != nil {
			v.endAttempt()
			return
		}
		a.m1, a.tag = *m1, handshake.KnockTag(a.pair, v.c.side, hour)
		v.unanswered = 0
		v.saveContact()
	}
	v.sendM1()
}

func (v *Conversation) sendM1() {
	if v.link == nil {
		return
	}
	a := &v.c.attempt
	f := &handshake.Flight{Tag: a.tag, Message: a.m1}
	if a.reason == first {
		f.Card = &v.c.ownCard
	}
	v.link.m1Out = v.now
	v.unanswered++
	v.sendFlight(f)
}

// m1Came handles what may be the start of a handshake.
func (v *Conversation) m1Came(f *handshake.Flight) {
	why, pair, day, ok := v.knock(f)
	if !ok || v.byDrop && v.s != nil && v.outdated() {
		return // it lay there for long, and its sender has made a session since
	}
	a := &v.c.attempt
	hash := handshake.Seen(&f.Message)
	if slices.ContainsFunc(v.c.seen, func(s seenM1) bool { return s.hash == hash }) {
		if a.reason != noReason && a.role == handshake.Responder && a.m1 == f.Message {
			v.answer() // m2 was lost; the same again
		}
		return
	}
	// A responder gives up its attempt before it makes an m1 of that hour.
	givenUp := a.ended() && why == roll && v.knocked > a.hour+2*flightHours
	apart := why == recovery && f.Tag != handshake.KnockTag(pair, v.c.side.Other(), v.knocked)
	if !givenUp && a.reason != noReason && a.role == handshake.Initiator && !a.stale(v.now) && v.goesFirst(why, apart) {
		return // both started
	}
	if a.ended() && why == roll && !givenUp {
		return // the peer may have the session that this side began
	}
	if v.seenUnder(day) >= maxSeen || why == roll && v.manyDraws() {
		return
	}
	next := attempt{reason: why, role: handshake.Responder, pair: pair, coins: v.draw(), m1: f.Message, tag: f.Tag, hour: v.knocked}
	cfg := v.c.config(pair)
	if why == first {
		cfg.PeerStatic, cfg.PeerCard = f.Card.Static, f.Card.Fingerprint()
	}
	if _, _, err := handshake.Respond(cfg, next.coins, &f.Message); err != nil {
		return
	}
	if why == first {
		v.c.peerCard, v.c.hasPeer, v.c.pair = *f.Card, true, pair
	}
	v.endAttempt()
	*a = next
	v.c.seen = append(v.c.seen, seenM1{hash: hash, day: day, pair: pairName(pair)})
	v.saveContact()
	v.answer()
}

// outdated reports whether the m1 at hand, which came over drops, is from before the session in
// use. Who has answered puts m2, and no m1 of its own any more: so of two reunion boxes the
// later one tells, whatever the clocks. Who was put back after m2 is not outdated by it.
func (v *Conversation) outdated() bool {
	if v.boxed != 0 && v.s.boxed != 0 {
		return v.boxed <= v.s.boxed
	}
	return v.knocked < v.s.hour
}

// knock finds the pair secret under which a flight knocks.
func (v *Conversation) knock(f *handshake.Flight) (why reason, pair secret.Key, day uint32, ok bool) {
	from := v.c.side.Other()
	hour, back, days := handshake.Hour(v.now), uint32(knockHours), uint32(1)
	if v.byDrop {
		back, days = flightHours+knockHours, flightHours/24+1
	}
	fits := func(pair secret.Key) bool {
		for h := hour - back; h <= hour+knockHours; h++ {
			if handshake.KnockTag(pair, from, h) == f.Tag {
				v.knocked = h
				return true
			}
		}
		return false
	}
	if v.c.stage == Accepting && f.Card != nil {
		inv, known := v.invitationLink()
		if !known || f.Card.Strict != inv.Strict || f.Card.Static == v.c.ownCard.Static || v.cfg.Known(f.Card.Static) ||
			v.c.hasPeer && *f.Card != v.c.peerCard {
			return noReason, secret.Key{}, 0, false
		}
		pair = inv.Pair(f.Card.Static, v.c.ownCard.Static)
		return first, pair, 0, fits(pair)
	}
	if f.Card != nil || v.c.stage != Met {
		return noReason, secret.Key{}, 0, false
	}
	for _, pair := range []secret.Key{v.c.pair, v.c.previous} {
		if !pair.IsZero() && fits(pair) {
			return roll, pair.Clone(), 0, true
		}
	}
	today := handshake.Day(v.now)
	for d := today - days; d <= today+1; d++ {
		switch pair, known := v.c.recoveryPair(d); {
		case !known:
		case fits(pair), v.boxed != 0 && v.asksElsewhere(f, pair, d):
			return recovery, pair, d, true
		default:
			pair.Wipe()
		}
	}
	return noReason, secret.Key{}, 0, false
}

// seenDays is how long an answered m1 of a recovery is remembered: longer than its day is
// accepted, over drops, too.
const seenDays = flightHours/24 + 3

// seenUnder counts the answered m1 that share a bound: those of the pair secrets
// (day 0), or those of all days of recovery that are still accepted. Older days
// are forgotten on the way: their pairs are accepted no more.
func (v *Conversation) seenUnder(day uint32) int {
	today := handshake.Day(v.now)
	v.c.seen = slices.DeleteFunc(v.c.seen, func(s seenM1) bool { return s.day != 0 && s.day+seenDays < today })
	n := 0
	for _, s := range v.c.seen {
		if (s.day == 0) == (day == 0) {
			n++
		}
	}
	return n
}

// forgetSeen drops the answered m1 whose pair secrets are gone: they cannot be
// answered any more.
func (v *Conversation) forgetSeen() {
	keep := map[[8]byte]bool{pairName(v.c.pair): true}
	if !v.c.previous.IsZero() {
		keep[pairName(v.c.previous)] = true
	}
	v.c.seen = slices.DeleteFunc(v.c.seen, func(s seenM1) bool { return s.day == 0 && !keep[s.pair] })
}

// answer sends m2 of the attempt under way. It is rebuilt, so it is the same
// whenever it is sent.
func (v *Conversation) answer() {
	a := &v.c.attempt
	_, m2, err := handshake.Respond(v.c.config(a.pair), a.coins, &a.m1)
	if err != nil {
		return
	}
	v.answeredAt = v.now
	v.sendFlight(&handshake.Flight{Tag: handshake.AnswerTag(a.pair, 2, &a.m1), Message: *m2})
}

func (v *Conversation) m2Came(f *handshake.Flight) {
	a := v.c.attempt
	run, _, err := handshake.Initiate(v.c.config(a.pair), a.coins)
	if err != nil {
		return
	}
	m3, s, err := run.Finish(&f.Message)
	if err != nil || a.ended() {
		return
	}
	if v.byDrop && v.link == nil && a.reason == roll {
		s.Wipe() // it is made anew when the peer is known to have it
		v.c.attempt.m2 = &f.Message
		v.saveContact()
		return
	}
	if !v.doubtsEnded() {
		s.Wipe()
		return
	}
	v.c.m3, v.c.m3Tag = m3, handshake.AnswerTag(a.pair, 3, &a.m1)
	v.sendFlight(&handshake.Flight{Tag: v.c.m3Tag, Message: *m3})
	v.install(s, ratchet.NewInitiator(s), handshake.Initiator)
}

func (v *Conversation) m3Came(f *handshake.Flight) {
	a := v.c.attempt
	run, _, err := handshake.Respond(v.c.config(a.pair), a.coins, &a.m1)
	if err != nil {
		return
	}
	s, err := run.Finish(&f.Message)
	if err != nil {
		return
	}
	if !v.doubtsEnded() {
		s.Wipe()
		return
	}
	v.c.m3 = nil
	v.install(s, ratchet.NewResponder(s), handshake.Responder)
}

// install makes a new session the one in use. The peer has proved itself. What
// is not acknowledged is sealed anew; what came before its turn comes again.
func (v *Conversation) install(hs *handshake.Session, state *ratchet.State, role handshake.Role) {
	why, hour, apart := v.c.attempt.reason, v.c.attempt.hour, v.apart()
	if why == first {
		v.c.stage = Met
		v.c.dial, v.c.recovery = hs.Dial.Clone(), hs.Recovery.Clone()
		v.c.month = handshake.Month(hour / 24)
		v.out.Linked = true
	}
	v.c.previous.Wipe()
	v.c.previous = secret.Key{}
	if role == handshake.Initiator && why != recovery {
		v.c.previous = v.c.attempt.pair.Clone() // until the peer is seen to have the next
	}
	v.c.pair.Wipe()
	v.c.pair = hs.NextPair.Clone()
	v.forgetSeen()
	v.endAttempt()
	v.unanswered = 0

	epoch, repeat, repeated := uint32(1), why == recovery, uint64(0)
	chained, consenting := why == roll && v.overDrops(), why == roll && v.owes(wire.FrameConsent)
	if v.s != nil {
		epoch = v.s.epoch + 1
		if v.s.repeat && !repeat { // begun after a recovery, and not at its end
			repeat, repeated = true, v.s.repeated
		}
		for n := range v.sealed {
			v.stale = append(v.stale, store.Key{Kind: KindSealed, Object: v.id, Seq: v.cellKey(n)})
		}
		if chained {
			v.keepFormer()
		} else {
			v.staleInbound(v.s.epoch, v.inbound)
			v.s.wipe()
			v.dropFormer()
		}
	}
	clear(v.sealed)
	v.inbound = map[uint32]wire.Frame{}
	clear(v.recent)
	v.mail = mail{}
	v.forgetPosted()
	v.ackedTo = 0
	v.s = &session{epoch: epoch, box: hs.Box.Clone(), drops: hs.Drops.Clone(), chained: chained, role: role, began: minute(v.now), ratchet: state}
	hs.Wipe()
	v.s.repeat, v.s.repeated = repeat, repeated
	if v.s.hour = hour; role == handshake.Initiator {
		if v.s.boxed = v.boxed; !chained { // else the peer may have had it for long
			v.s.hour = handshake.Hour(v.now)
		}
	}
	if repeat {
		v.standByAll()
	}
	v.requeue()
	if why != roll {
		v.dropsOfCards(hour)
	}
	if role == handshake.Initiator {
		v.beginWords()
	}
	if why == recovery {
		v.stopSoundings()
		v.c.paused, v.c.ownConsent, v.c.peerConsent = true, false, false
		again := v.c.mark == RecoveredNotCompared && v.now.Sub(fromMinute(v.c.markMinute)) < 24*time.Hour
		v.c.mark, v.c.markMinute = RecoveredNotCompared, minute(v.now)
		v.note(NoteRecovered)
		if apart {
			v.note(NoteApart)
		}
		if again {
			v.note(NoteAgain)
		}
	}
	// What a person said or the machine announced, and the session before may
	// have taken along, is said again.
	if v.c.paused && v.c.ownConsent || consenting { // the peer may be paused, and this side not any more
		v.control(wire.FrameConsent, nil)
	}
	if v.c.tellBurn {
		v.control(wire.FrameBurn, nil)
	}
	if chained {
		v.sayDrops()
	}
	if v.c.ownPlace != v.c.ownCard.Place {
		v.control(wire.FramePlace, v.c.ownPlace.Append(nil))
	}
	if chained && len(v.drops.branches) >= maxBranches {
		v.tellBranches()
	}
	v.saveContact()
	v.saveSession()
	v.resume()
}

// owes reports whether a frame of the contact itself is not acknowledged.
func (v *Conversation) owes(kind wire.FrameKind) bool {
	for _, cell := range v.sealed {
		if wire.FrameKind(cell.body[0]) == kind {
			return true
		}
	}
	return v.s != nil && slices.ContainsFunc(v.s.controls, func(c controlFrame) bool { return c.kind == kind })
}

// recover ends the use of the session: one of the two machines was put back to
// an older state. Nothing is sent on it any more; a recovery handshake follows.
func (v *Conversation) recover() {
	v.s.dead = true
	v.saveSession()
	v.initiate(recovery)
}

// RolledBack tells that this machine's own store was found older than it should
// be: what was sent since is not known, so the session is not used again.
func (v *Conversation) RolledBack(now time.Time) *Output {
	v.begin(now)
	if v.s != nil {
		v.s.dead = true
		v.saveSession()
	}
	v.stopSoundings()
	return v.end()
}
