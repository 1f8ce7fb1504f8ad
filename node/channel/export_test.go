package channel

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/file"
	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/ratchet"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// The methods here let a test play a malicious peer or a thief: they do what the
// production code never does, with its keys.

// SendFrame seals any frame as the next cell and sends it with honest counters.
func (v *Conversation) SendFrame(now time.Time, f wire.Frame) *Output {
	v.begin(now)
	body := (*[wire.FrameSize]byte)(f.Append(nil))
	next, cell, sealed, err := v.s.ratchet.Seal(v.draw(), body)
	if err != nil {
		panic(err)
	}
	v.s.ratchet = next
	v.s.sent = max(v.s.sent, f.Number)
	v.sealed[f.Number] = &sealedCell{sealed: *sealed, body: *body} // owed until acknowledged
	v.sendBox(0, cell)
	return v.end()
}

// SendControl sends a box with any control block.
func (v *Conversation) SendControl(now time.Time, c wire.Control) *Output {
	v.begin(now)
	v.seal(v.outgoing(v.link.sessionKeys), c, new(wire.Cell))
	return v.end()
}

// Sent returns the highest number given out in the session.
func (v *Conversation) Sent() uint32 { return v.s.sent }

// Stored returns how many frames wait in the inbox, and how many control frames
// in the outbox.
func (v *Conversation) Stored() (inbound, controls int) { return len(v.inbound), len(v.s.controls) }

// AnswersRecovery reports whether it has answered an m1 of a recovery and waits for m3.
func (v *Conversation) AnswersRecovery() bool {
	return v.c.attempt.reason == recovery && v.c.attempt.role == handshake.Responder
}

// Knock starts a handshake under a recovery pair as if it were an ordinary one.
func (v *Conversation) Knock(now, day time.Time) *Output {
	v.begin(now)
	pair, _ := v.c.recoveryPair(handshake.Day(day))
	a := &v.c.attempt
	*a = attempt{reason: roll, role: handshake.Initiator, pair: pair, coins: v.draw(), hour: handshake.Hour(now)}
	_, m1, err := handshake.Initiate(v.c.config(pair), a.coins)
	if err != nil {
		panic(err)
	}
	a.m1, a.tag = *m1, handshake.KnockTag(pair, v.c.side, a.hour)
	v.sendM1()
	return v.end()
}

// ForgetWords makes this side take no part in the exchange it has begun.
func (v *Conversation) ForgetWords() { v.s.words = words{}; v.s.controls = nil }

// PairSecrets returns how many pair secrets are kept.
func (v *Conversation) PairSecrets() int {
	n := 0
	for _, k := range []secret.Key{v.c.pair, v.c.previous} {
		if !k.IsZero() {
			n++
		}
	}
	return n
}

// Epoch counts the sessions of the contact.
func (v *Conversation) Epoch() uint32 { return v.s.epoch }

// SendReport sends any report.
func (v *Conversation) SendReport(now time.Time, entries ...file.Entry) *Output {
	v.begin(now)
	v.sendBox(wire.FlagReport, file.Report(entries))
	return v.end()
}

// KeepEndings has files end that came in and whose line is gone: so many that were
// declined, then so many that came whole.
func (v *Conversation) KeepEndings(now time.Time, declined, whole int) *Output {
	v.begin(now)
	for i := range declined + whole {
		m := Message{Direction: In, ID: file.ID{1, byte(i >> 8), byte(i)}, Stored: minute(now)}
		state := file.Declined
		if i >= declined {
			state = file.Whole
		}
		v.keepEnding(m, state)
	}
	return v.end()
}

// Endings returns how many endings are kept of files that were declined, and of
// others.
func (v *Conversation) Endings() (declined, others int) {
	for _, e := range v.endings {
		if e.state == file.Declined {
			declined++
		} else {
			others++
		}
	}
	return declined, others
}

// UseUpChain puts the counter of the sending chain to its end.
func (v *Conversation) UseUpChain() {
	raw := v.s.ratchet.Append(nil)
	copy(raw[len(raw)-14:], []byte{0xff, 0xff, 0xff, 0xff}) // nothing is missing behind it
	full, err := ratchet.ParseState(raw)
	if err != nil {
		panic(err)
	}
	v.s.ratchet = full
}

// Say puts a line of a tool into the outbox, whatever it holds.
func (v *Conversation) Say(now time.Time, c Craft, content []byte) *Output {
	v.begin(now)
	v.say(c, content)
	return v.finish()
}

// SayHidden says anything as a message of an introduction.
func (v *Conversation) SayHidden(now time.Time, content []byte) *Output {
	v.begin(now)
	v.sayHidden(&introducing{}, content)
	return v.finish()
}

// SendSounding queues a frame of kind sounding, whatever it holds.
func (v *Conversation) SendSounding(now time.Time, content []byte) *Output {
	v.begin(now)
	v.control(wire.FrameSounding, content)
	v.saveSession()
	return v.finish()
}

// CallSounding calls a sounding without a look at the budget.
func (v *Conversation) CallSounding(now, at time.Time, window uint32) *Output {
	content := binary.BigEndian.AppendUint32([]byte{soundingCall}, minute(at))
	return v.SendSounding(now, binary.BigEndian.AppendUint32(content, window))
}

// Unsaid reports whether something that this side said is neither at a drop nor
// acknowledged.
func (v *Conversation) Unsaid() bool {
	for _, m := range v.messages {
		if m.Direction == Out && (m.State == Waiting && v.mayLeave(m) || m.State == OnItsWay && !m.File) {
			return true
		}
	}
	return v.s != nil && len(v.s.controls) > 0
}

// ToTell is of how many files reports have to speak, and whether one of them is the one
// with an ID.
func (v *Conversation) ToTell(id file.ID) (n int, there bool) {
	_, there = v.tell[id]
	return len(v.tell), there
}

// Version1 returns a record of a settled contact as version 1 wrote it.
func Version1(kind store.Kind, value []byte) []byte {
	cut := func(at, n int) []byte {
		return append([]byte{1}, slices.Delete(slices.Clone(value), at, at+n)[1:]...)
	}
	key := func(k secret.Key) int { return len((&encoder{}).keyed(k)) }
	switch kind {
	case KindContact:
		c, err := parseContact(value)
		if err != nil || c.attempt.reason != noReason {
			panic("not a settled contact")
		}
		at := 1 + 1 + 4 + 4 + len(c.name) + 1 + 1 + 4 + key(c.static) + 1 + 2*identity.CardSize + 4 + len(c.invitation)
		return cut(at+key(c.pair)+key(c.previous)+key(c.dial)+key(c.recovery), 4)
	case KindSession:
		value = SessionOfVersion2(value)
		s, err := parseSession(value)
		if err != nil {
			panic(err)
		}
		return cut(1+4+key(s.box)+1+4+2+3*4+8+4+key(s.words.nonce)+3+3*32+1+1+8+1, key(s.drops)+1+4+4)
	case KindDrops:
		o, err := parseDrops(value)
		if err != nil {
			panic(err)
		}
		n := 1 + key(o.root) + drop.BranchNameSize + 1 + 20*len(o.branches) + drop.SetSize*onion.IDSize + 4
		return cut(len(value)-n, n)
	}
	return value
}

// SessionOfVersion2 returns the record of a session as version 2 wrote it.
func SessionOfVersion2(value []byte) []byte {
	s, err := parseSession(value)
	if err != nil {
		panic(err)
	}
	n := 4 + startSize*int(s.starts.count()) + 4 + 1 + 8*len(s.gaps.spans)
	at := len(value) - 4 - len(s.ratchet.Append(nil)) - n
	return append([]byte{2}, slices.Delete(slices.Clone(value), at, at+n)[1:]...)
}

func (e *encoder) keyed(k secret.Key) []byte {
	e.key(k)
	return e.b
}

// Month returns of which month the recovery secret is.
func (v *Conversation) Month() uint32 { return v.c.month }

// Upcoming returns keys of the handshake under way, and not copies of them.
func (v *Conversation) Upcoming() []secret.Key {
	keys := []secret.Key{v.c.attempt.coins, v.c.attempt.pair}
	if u := v.upcoming(); u != nil {
		keys = append(keys, u.hs.Box, u.hs.NextPair)
	}
	return keys
}

// BranchCame hands over what a frame says of chains.
func (v *Conversation) BranchCame(now time.Time, content []byte) *Output {
	v.begin(now)
	v.branchCame(content)
	return v.end()
}

// DropRoot returns the drop root of the session in use, and not a copy of it.
func (v *Conversation) DropRoot() secret.Key { return v.s.drops }

// FormerRoot returns that of the session before, and not a copy of it.
func (v *Conversation) FormerRoot() secret.Key {
	if v.former == nil {
		return secret.Key{}
	}
	return v.former.s.drops
}

// BranchName is the name of the chain of the session in use.
func (v *Conversation) BranchName() drop.BranchName { return v.branchInUse().name }

// KeptStarts returns of how many numbers something is kept of nonces, in the session in use and
// in the one before.
func (v *Conversation) KeptStarts() (session, former uint32) {
	if v.former != nil {
		former = v.former.s.starts.count()
	}
	return v.s.starts.count(), former
}

// Gaps returns the stretches of numbers that are owed no more and were not acknowledged.
func (v *Conversation) Gaps() []wire.Missing { return v.s.gaps.spans }

// TellGone says that the drops are these, whatever they are.
func (v *Conversation) TellGone(now time.Time, relays [drop.SetSize]onion.ID) *Output {
	return v.TellFrame(now, wire.FrameDropGone, slices.Concat(v.drops.Set.Network[:], relays[0][:], relays[1][:], relays[2][:]))
}

// TellFrame says whatever somebody likes.
func (v *Conversation) TellFrame(now time.Time, kind wire.FrameKind, content []byte) *Output {
	v.begin(now)
	v.control(kind, content)
	v.saveSession()
	v.out.More = true
	return v.end()
}

// ForgetControls forgets what the contact itself has to say and was not sent yet.
func (v *Conversation) ForgetControls(now time.Time) *Output {
	v.begin(now)
	v.s.controls = nil
	v.saveSession()
	return v.end()
}

// DropWaits reports whether a place of the drops may not be the same on both sides.
func (v *Conversation) DropWaits(place int) bool { return v.drops.waiting(place) }

// SentFrames is how many frames of the session have left.
func (v *Conversation) SentFrames() uint32 { return v.s.sent }

// TellDrop is OfferDrop as often as somebody likes.
func (v *Conversation) TellDrop(now time.Time, network identity.NetworkID, own onion.ID, p cadence.Period) *Output {
	v.drops.believed = 0
	return v.OfferDrop(now, network, own, p)
}
