package channel

import (
	"time"

	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/charter"
	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/wire"
)

// Tick does what time brings about: what expires, what is due on the connection.
// Call it at the time that Next returned, or at any other.
func (v *Conversation) Tick(now time.Time) *Output {
	v.begin(now)
	v.burnLapsed()
	if len(v.charters) > 0 {
		v.requeue() // the clock may be right again
	}
	v.expire()
	v.expireSignings()
	v.expireIntroductions()
	v.tickSoundings()
	v.expireFiles()
	v.expireEndings()
	v.expireFormer()
	if len(v.orphans) == 0 { // what names a part file goes after it
		v.dropStale()
	}
	v.takeDrops()
	v.rollOverDrops()
	v.recoverOverDrops()
	for len(v.guests) > 0 && now.Sub(v.guests[0].up) >= v.cfg.AnswerTimeout {
		v.out.Close = append(v.out.Close, v.guests[0].id)
		v.guests = v.guests[1:]
	}
	l := v.link
	if l == nil {
		return v.end()
	}
	if now.Sub(l.lastIn) >= 3*v.cfg.KeepAlive {
		v.closeLink() // nothing came for long: the peer is gone
		return v.end()
	}
	if v.s != nil && !v.s.dead && l.resumeSent && l.resumeGot {
		v.tickSession(l)
	} else {
		v.tickHandshake(l)
	}
	return v.end()
}

func (v *Conversation) tickSession(l *link) {
	switch {
	case len(v.sealed) > 0 && v.now.Sub(l.lastCell) >= v.cfg.ResendAfter:
		v.resendOldest()
	case !l.ackDue.IsZero() && !v.now.Before(l.ackDue), v.now.Sub(l.lastOut) >= v.cfg.KeepAlive:
		v.sendIdle()
	}
	v.tickFiles(l)
	if v.aged() {
		v.handshakeDue(l, roll)
	}
	v.flush()
}

// sendIdle sends a box in which a cell only goes along.
func (v *Conversation) sendIdle() {
	if v.canSend() && v.state() || v.s.dead || v.link == nil {
		return
	}
	v.sendBox(0, nil)
}

// tickHandshake presses on while there is no resume from the peer: the m1 under
// way again; else a new handshake; else, if that stays unanswered, recovery.
func (v *Conversation) tickHandshake(l *link) {
	waited := v.now.Sub(l.since)
	if v.s != nil && !v.s.dead && l.resumeSent && v.now.Sub(l.lastOut) >= v.cfg.AnswerTimeout/3 {
		if v.c.m3 != nil {
			v.sendFlight(&handshake.Flight{Tag: v.c.m3Tag, Message: *v.c.m3})
		}
		v.sendBox(wire.FlagResume, nil)
	}
	switch {
	case v.c.stage != Met:
		if v.c.attempt.role == handshake.Initiator && v.now.Sub(l.m1Out) >= v.cfg.AnswerTimeout {
			v.initiate(first)
		}
	case v.s == nil || v.s.dead:
		v.handshakeDue(l, recovery)
	case waited < v.cfg.AnswerTimeout:
	case l.invitation && !v.s.confirmed && !v.c.previous.IsZero():
		v.handshakeDue(l, first) // it was put back before it came to the session
	case v.unanswered >= maxUnanswered || v.c.attempt.reason == recovery:
		v.handshakeDue(l, recovery) // no pair secret is shared any more
	case !v.s.confirmed && v.c.previous.IsZero():
		// After a recovery: m3 goes out again above, and is most likely only slow. A
		// connection on which nothing comes ends after three times KeepAlive; this
		// must come before.
		if waited >= 2*v.cfg.AnswerTimeout {
			v.handshakeDue(l, recovery)
		}
	default:
		v.handshakeDue(l, roll)
	}
}

// handshakeDue starts or repeats a handshake, at most once in AnswerTimeout.
//
// A new session draws new words. After many draws there is none but by recovery,
// of which the person is told: else a peer could have words drawn till they suit.
func (v *Conversation) handshakeDue(l *link, why reason) {
	if v.manyDraws() && why != recovery {
		return
	}
	if v.now.Sub(l.m1Out) >= v.cfg.AnswerTimeout {
		v.initiate(why)
	}
}

// Next returns when Tick has something to do next, seen from now.
func (v *Conversation) Next(now time.Time) time.Time {
	next := now.Add(time.Hour)
	sooner := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	for i := range v.messages {
		if m := &v.messages[i]; m.Direction == Out && m.State.pending() && !v.outlasts(m) {
			sooner(fromMinute(m.Stored).Add(v.cfg.Life + time.Minute))
			break // the oldest comes first
		}
	}
	v.soonerDeadline(now, sooner)
	if len(v.stale) > 0 || len(v.lapsed) > 0 { // at a point of a grid: events that come often do not put it off
		sooner(now.Truncate(time.Second).Add(time.Second))
	}
	for _, seq := range v.moving {
		for _, again := range []time.Time{v.files[seq].flow.after, v.files[seq].in.after} {
			if again.After(now) {
				sooner(again)
			}
		}
	}
	for _, s := range v.signings {
		if at := fromMinute(s.expiry); at.After(now) {
			sooner(at)
		}
	}
	for _, x := range v.introductions {
		if at := x.ends(); at.After(now) {
			sooner(at)
		}
	}
	for _, s := range v.sounded {
		sooner(v.soundingNext(s, now))
	}
	if v.recoveryDue() && v.c.attempt.reason != recovery {
		sooner(now.Add(time.Second))
	}
	for _, g := range v.guests {
		sooner(g.up.Add(v.cfg.AnswerTimeout))
	}
	if l := v.link; l != nil {
		sooner(l.lastIn.Add(3 * v.cfg.KeepAlive))
		if l.resumeGot {
			sooner(l.lastOut.Add(v.cfg.KeepAlive))
		}
		if len(v.sealed) > 0 && l.resumeGot {
			sooner(l.lastCell.Add(v.cfg.ResendAfter))
		}
		if l.resumeGot && v.open(Out) > 0 {
			sooner(l.asked.Add(v.cfg.ResendAfter))
		}
		if !l.ackDue.IsZero() && l.resumeGot {
			sooner(l.ackDue)
		}
		if !l.resumeGot || v.s == nil || v.s.dead {
			sooner(now.Add(v.cfg.AnswerTimeout / 3))
		}
	}
	if !next.After(now) {
		return now
	}
	return next
}

// soonerDeadline asks for the next deadline of a channel. While the own clock is wrong
// the others are asked once a minute, and so often what is withheld is looked at.
func (v *Conversation) soonerDeadline(now time.Time, sooner func(time.Time)) {
	if len(v.charters) == 0 {
		return
	}
	if !charter.CheckClock(now, v.used.floor, v.cfg.Stated(now)).Sound() {
		sooner(now.Add(time.Minute))
	}
	for _, c := range v.charters {
		if at := fromMinute(c.Deadline()); at.After(now) {
			sooner(at)
		} else {
			sooner(now.Add(10 * time.Second))
		}
	}
}

// outlasts reports whether a message lives as long as its channel: one of a charter, so
// that no text ever comes before what was agreed.
func (v *Conversation) outlasts(m *Message) bool {
	return m.Craft == CharterCraft && v.charters[m.Channel] != nil
}

// expire ends the life of messages. Their numbers are owed no more; the peer
// passes over them and tells its person.
func (v *Conversation) expire() {
	changed := false
	for i := range v.messages {
		m := &v.messages[i]
		if m.Direction != Out || !m.State.pending() || v.outlasts(m) ||
			v.now.Before(fromMinute(m.Stored).Add(v.cfg.Life+time.Minute)) {
			continue
		}
		if v.full() {
			break
		}
		changed = true
		if m.File {
			v.settle(m.Seq, FileEnded)
		} else {
			v.setState(i, Expired)
		}
		v.unseal(m.Seq)
	}
	if changed {
		v.requeue()
	}
	if inv, ok := v.invitationLink(); ok && v.c.stage == Met && !v.invitationOfUse(inv, v.now) {
		v.c.invitation = nil // no second use can come any more
		v.out.Linked = true
		v.saveContact()
	}
}

// unseal drops the cells of a message that is owed no more.
func (v *Conversation) unseal(seq uint64) {
	before := len(v.sealed)
	for n, cell := range v.sealed {
		if cell.message == seq {
			delete(v.sealed, n)
			v.drop(KindSealed, v.cellKey(n))
			v.s.gaps.add(n)
		}
	}
	partial := v.s != nil && v.s.partSeq == seq
	if partial {
		v.s.partSeq, v.s.partNext = 0, 0
	}
	if partial || len(v.sealed) < before {
		v.saveSession()
	}
}

// dropStale deletes records of former sessions, some at a time.
func (v *Conversation) dropStale() {
	for len(v.stale) > 0 && !v.full() {
		v.out.Writes = append(v.out.Writes, store.Write{Key: v.stale[0], Delete: true})
		v.stale = v.stale[1:]
	}
	if v.burning && len(v.stale) == 0 && len(v.lapsed) == 0 {
		v.burning, v.out.Burned = false, true
	}
}

// Moved tells the peer where this machine can be reached from now on.
func (v *Conversation) Moved(now time.Time, place identity.Place) *Output {
	v.begin(now)
	if place != v.c.ownPlace {
		v.c.ownPlace = place
		v.saveContact()
		if v.s != nil && !v.s.dead {
			v.control(wire.FramePlace, place.Append(nil))
			v.saveSession()
			v.out.More = true
		}
	}
	return v.end()
}
