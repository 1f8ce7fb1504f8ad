package channel

import (
	"time"

	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

// ContactID is the random name of a contact on this machine. The other side
// does not know it.
type ContactID [16]byte

// The kinds of record that a conversation keeps, under its ContactID.
const (
	KindContact    store.Kind = 1 + iota // one: keys, marks, a handshake under way
	KindSession                          // one: ratchet and counters
	KindSealed                           // by epoch and cell number: what is not acknowledged yet
	KindInbound                          // by epoch and cell number: what came before its turn
	KindMessage                          // by sequence: the transcript
	KindState                            // by sequence: what became of a sent message
	KindFile                             // by sequence: the file that a message offered
	KindSums                             // under the file's own object, one: sums of a file that is sent
	KindEnded                            // one: how files ended whose lines are gone
	KindMandate                          // by number: what this side holds as an envoy
	KindCommunique                       // by number: a signing that is proposed, under way or done
	KindDrops                            // one: the route, and where boxes lie at relays
)

// KindShuttle is by number: an exchange of sealed offers, as one of the two in it or as
// the mediator between them.
const KindShuttle store.Kind = 15

// KindSounding is by the agreed minute: a sounding; at 0 what the next one has to
// keep a distance from.
const KindSounding store.Kind = 16

// KindFormer is one: the session before the one in use, while boxes of it may lie at drops.
const KindFormer store.Kind = 17

// KindListener is one record of no contact: what this side is to the authorities
// whose mandates it is shown.
const KindListener store.Kind = 140

// contactVersion is that of docs/spec/session.md. Records without a version of their
// own change with it: the contact's is read before them. Version 1 had one recovery secret
// for all months, and no handshakes over drops but the first.
const contactVersion = 2

// Stage says how far a contact has come.
type Stage byte

// The stages.
const (
	Invited   Stage = 1 + iota // an invitation is out
	Accepting                  // an invitation was taken up, no session yet
	Met                        // there was a session
	Leaving                    // being deleted; nothing but name and number is left
)

// String returns the stage in words.
func (s Stage) String() string {
	switch s {
	case Invited:
		return "invited"
	case Accepting:
		return "accepting"
	case Met:
		return "met"
	case Leaving:
		return "being removed"
	default:
		return "no stage"
	}
}

// Mark says what is known of who the contact is.
type Mark byte

// The marks.
const (
	NotVerified Mark = iota
	WordsCompared
	RecoveredNotCompared
)

// String returns the mark in the words that screens show.
func (m Mark) String() string {
	switch m {
	case NotVerified:
		return "not verified"
	case WordsCompared:
		return "words compared by voice"
	case RecoveredNotCompared:
		return "recovered, not compared"
	default:
		return "no mark"
	}
}

// contact is what is kept of a contact beside session and messages.
type contact struct {
	stage      Stage
	number     uint32 // by which it can be named on a command line
	name       string
	side       identity.Side
	mode       handshake.Mode
	made       uint32 // minutes since 1970
	static     secret.Key
	ownCard    identity.Card
	peerCard   identity.Card
	hasPeer    bool   // peerCard is set: the invitation was used
	invitation []byte // binary; empty once it is of no more use

	// pair is the current pair secret. previous is the one before, and only kept
	// by an initiator whose peer has not been seen to hold the current one.
	pair, previous secret.Key
	dial, recovery secret.Key // from the first session; recovery is that of month
	month          uint32
	seen           []seenM1

	mark                    Mark
	markMinute              uint32
	usedTwice               bool // a second machine tried the invitation
	paused                  bool // after a recovery, until both consent
	ownConsent, peerConsent bool

	draws   byte // exchanges of words begun on drawDay
	drawDay uint32

	ownPlace  identity.Place // what the peer was told last: at first, by the card
	peerPlace identity.Place // where the peer said it moved, or none
	heard     uint32         // hour in which the peer was last heard from

	// Lines up to burned are deleted, or about to be; next is the least number that
	// a new line may have: none is given out twice.
	burned, next uint64
	tellBurn     bool // the peer's node has not confirmed that it was asked to burn, too

	attempt attempt
	m3      *handshake.Message // sent, and its session not yet confirmed
	m3Tag   handshake.Tag
}

// seenM1 remembers an answered m1 for as long as its pair secret is kept or, in a
// recovery, its day accepted.
type seenM1 struct {
	hash [32]byte
	day  uint32  // of a recovery; 0: goes with the pair secret
	pair [8]byte // names the pair secret
}

// pairName names a pair secret among the two that are kept.
func pairName(pair secret.Key) [8]byte {
	mac := label.MAC(label.HandshakeSeen, pair.Bytes())
	return [8]byte(mac[:])
}

// maxSeen bounds the answered m1 under one pair secret, or on the days of
// recovery. Beyond it there is silence until the secret rolls.
const maxSeen = 64

// reason says why a handshake runs; it decides what its session changes.
type reason byte

const (
	noReason reason = iota
	first
	roll
	recovery
)

// attempt is a handshake under way, stored so that it can be rebuilt.
type attempt struct {
	reason reason
	role   handshake.Role
	pair   secret.Key
	coins  secret.Key
	m1     handshake.Message
	tag    handshake.Tag // of m1
	hour   uint32        // when it was made
	tries  byte          // how many were made before it, over drops, that came to no end
	// m2 is the answer that came over drops. The session that follows from it is in use
	// when the peer is seen to have it, see reunion.go.
	m2 *handshake.Message
}

// ended reports whether this side began a handshake whose end the peer may have: it must
// not be given up for another one, or the two would be in different sessions.
func (a *attempt) ended() bool { return a.m2 != nil }

// age is how many hours ago its m1 was made; less than none after a clock was put back.
func (a *attempt) age(now time.Time) int64 { return int64(handshake.Hour(now)) - int64(a.hour) }

// wipe clears its keys. The pair secret of a first handshake is the contact's own.
func (a *attempt) wipe() {
	a.coins.Wipe()
	if a.reason != first {
		a.pair.Wipe()
	}
}

// stale reports whether this side's m1 is so old that nobody answers it any more.
func (a *attempt) stale(now time.Time) bool {
	return a.role == handshake.Initiator && !a.ended() && a.age(now) > flightHours
}

func (c *contact) append(b []byte) []byte {
	e := encoder{b}
	e.u8(contactVersion)
	e.u8(byte(c.stage))
	e.u32(c.number)
	e.bytes([]byte(c.name))
	if c.stage == Leaving {
		return e.b
	}
	e.u8(byte(c.side))
	e.u8(byte(c.mode))
	e.u32(c.made)
	e.key(c.static)
	e.fixed(c.ownCard.Append(nil))
	e.flag(c.hasPeer)
	if c.hasPeer {
		e.fixed(c.peerCard.Append(nil))
	}
	e.bytes(c.invitation)
	for _, k := range []secret.Key{c.pair, c.previous, c.dial, c.recovery} {
		e.key(k)
	}
	e.u32(c.month)
	e.u32(uint32(len(c.seen)))
	for _, s := range c.seen {
		e.fixed(s.hash[:])
		e.u32(s.day)
		e.fixed(s.pair[:])
	}
	e.u8(byte(c.mark))
	e.u32(c.markMinute)
	for _, f := range []bool{c.usedTwice, c.paused, c.ownConsent, c.peerConsent} {
		e.flag(f)
	}
	e.u8(c.draws)
	e.u32(c.drawDay)
	e.bytes(c.ownPlace.Append(nil))
	e.bytes(c.peerPlace.Append(nil))
	e.u32(c.heard)
	e.u64(c.burned)
	e.u64(c.next)
	e.flag(c.tellBurn)
	e.u8(byte(c.attempt.reason))
	if a := &c.attempt; a.reason != noReason {
		e.u8(byte(a.role))
		e.key(a.pair)
		e.key(a.coins)
		e.fixed(a.m1[:])
		e.fixed(a.tag[:])
		e.u32(a.hour)
		e.u8(a.tries)
		e.message(a.m2)
	}
	e.message(c.m3)
	if c.m3 != nil {
		e.fixed(c.m3Tag[:])
	}
	return e.b
}

func parseContact(b []byte) (*contact, error) {
	d := decoder{b: b}
	c, old := &contact{}, d.first()
	if err := d.version(contactVersion); err != nil {
		return nil, err
	}
	c.stage = Stage(d.u8())
	c.number = d.u32()
	c.name = string(d.bytes())
	if c.stage == Leaving {
		return c, d.end()
	}
	c.side = identity.Side(d.u8())
	c.mode = handshake.Mode(d.u8())
	c.made = d.u32()
	c.static = d.key()
	c.ownCard = d.card()
	if c.hasPeer = d.flag(); c.hasPeer {
		c.peerCard = d.card()
	}
	c.invitation = d.bytes()
	c.pair, c.previous, c.dial, c.recovery = d.key(), d.key(), d.key(), d.key()
	if c.month = handshake.Month(c.made / (24 * 60)); !old { // as in a backup of before, see Restored
		c.month = d.u32()
	}
	for n := d.u32(); n > 0 && !d.bad; n-- {
		c.seen = append(c.seen, seenM1{hash: [32]byte(d.fixed(32)), day: d.u32(), pair: [8]byte(d.fixed(8))})
	}
	c.mark = Mark(d.u8())
	c.markMinute = d.u32()
	c.usedTwice, c.paused, c.ownConsent, c.peerConsent = d.flag(), d.flag(), d.flag(), d.flag()
	c.draws, c.drawDay = d.u8(), d.u32()
	c.ownPlace, c.peerPlace = d.place(), d.place()
	c.heard = d.u32()
	c.burned, c.next, c.tellBurn = d.u64(), d.u64(), d.flag()
	if c.attempt.reason = reason(d.u8()); c.attempt.reason != noReason {
		a := &c.attempt
		a.role = handshake.Role(d.u8())
		a.pair, a.coins = d.key(), d.key()
		copy(a.m1[:], d.fixed(handshake.MessageSize))
		copy(a.tag[:], d.fixed(handshake.TagSize))
		if a.hour = d.u32(); !old {
			a.tries, a.m2 = d.u8(), d.message()
		}
		d.bad = d.bad || a.pair.IsZero() || a.coins.IsZero() || a.m2 != nil && (a.role != handshake.Initiator || a.reason != roll)
	}
	if c.m3 = d.message(); c.m3 != nil {
		copy(c.m3Tag[:], d.fixed(handshake.TagSize))
	}
	if c.static.IsZero() || c.stage < Invited || c.stage > Met || c.side < identity.Inviter || c.side > identity.Accepter ||
		c.mode < handshake.Mutual || c.mode > handshake.Strict || c.mark > RecoveredNotCompared ||
		c.attempt.reason > recovery || c.attempt.role > handshake.Responder ||
		c.stage == Met && (c.pair.IsZero() || c.dial.IsZero() || c.recovery.IsZero() || !c.hasPeer) {
		return nil, ErrRecord
	}
	return c, d.end()
}

// recoverySecret returns the recovery secret of a day's month, unless that was forgotten.
func (c *contact) recoverySecret(day uint32) (secret.Key, bool) {
	if c.recovery.IsZero() {
		return secret.Key{}, false
	}
	return handshake.RecoverySecret(c.recovery, c.month, handshake.Month(day))
}

// recoveryPair returns the pair secret of recoveries on a day.
func (c *contact) recoveryPair(day uint32) (pair secret.Key, ok bool) {
	key, ok := c.recoverySecret(day)
	if !ok {
		return key, false
	}
	defer key.Wipe()
	return handshake.RecoveryPair(key, day), true
}

// wipe clears the keys.
func (c *contact) wipe() {
	for _, k := range []secret.Key{c.static, c.pair, c.previous, c.dial, c.recovery, c.attempt.pair, c.attempt.coins} {
		k.Wipe()
	}
}

func (e *encoder) message(m *handshake.Message) {
	e.flag(m != nil)
	if m != nil {
		e.fixed(m[:])
	}
}

func (d *decoder) message() *handshake.Message {
	if !d.flag() {
		return nil
	}
	m := new(handshake.Message)
	copy(m[:], d.fixed(handshake.MessageSize))
	return m
}

func (d *decoder) place() identity.Place {
	p, rest, err := identity.ParsePlace(d.bytes())
	d.bad = d.bad || err != nil || len(rest) != 0
	return p
}

func (d *decoder) card() identity.Card {
	c, err := identity.ParseCard(d.fixed(identity.CardSize))
	d.bad = d.bad || err != nil
	return c
}

// config is this side of a handshake under the given pair secret.
func (c *contact) config(pair secret.Key) handshake.Config {
	return handshake.Config{
		Mode: c.mode, Static: c.static, StaticPublic: c.ownCard.Static, PeerStatic: c.peerCard.Static,
		LocalCard: c.ownCard.Fingerprint(), PeerCard: c.peerCard.Fingerprint(), Pair: pair,
	}
}

// minute and its inverse are the precision in which times are kept and sent.
func minute(t time.Time) uint32     { return uint32(t.Unix() / 60) }
func fromMinute(m uint32) time.Time { return time.Unix(int64(m)*60, 0).UTC() }
