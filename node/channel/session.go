package channel

import (
	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/ratchet"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// sessionVersion is that of docs/spec/session.md. In version 1 the chain of boxes at drops
// began with the root of the box keys, and a session was the only one on its chain. Until
// version 2 nothing was kept of nonces.
const sessionVersion = 3

// session is what is kept of the session in use.
type session struct {
	epoch     uint32     // counts the sessions of this contact
	box       secret.Key // root of the box keys of its connections
	role      handshake.Role
	began     uint32 // minutes since 1970
	confirmed bool   // the peer has used it
	dead      bool   // one side was put back to an older state: nothing is sent on it

	sent     uint32 // highest number given out
	acked    uint32 // the peer has all up to this one
	received uint32 // we have all up to this one
	// partSeq is the message whose parts are being sealed, partNext the next of
	// them; 0 when the last message was sealed whole.
	partSeq  uint64
	partNext uint32
	words    words
	// repeat is set after a recovery: the peer may have lost what it had confirmed,
	// so all that is not older than a message's life is sent again. Up to repeated
	// it has been confirmed again. What it has still, it knows by the message IDs.
	repeat   bool
	repeated uint64
	opened   bool           // this side has done its part of the first words exchange
	drops    secret.Key     // root of a chain of boxes at drops; empty once that is of no more use
	chained  bool           // its boxes lie on the chain of a session before
	hour     uint32         // an m1 of the peer's from before is of a handshake that is over
	boxed    uint32         // when the reunion box of its m2 was put, in seconds; 0: it came otherwise
	controls []controlFrame // frames of the contact itself that wait for their turn
	starts   starts
	gaps     gaps
	ratchet  *ratchet.State
}

// controlFrame is a short frame that waits to be sealed.
type controlFrame struct {
	kind    wire.FrameKind
	content []byte
}

// words is the exchange behind the safety words of a session. It is named by the
// commitments of both sides.
type words struct {
	nonce      secret.Key // own; empty before the first exchange
	commit     [32]byte   // own
	started    bool       // by this side
	peerCommit [32]byte
	hasCommit  bool // then the own nonce was queued, and is spent
	peerNonce  [32]byte
	hasNonce   bool
	tries      byte // wrong attempts at these words
}

func (s *session) append(b []byte) []byte {
	e := encoder{b}
	e.u8(sessionVersion)
	e.u32(s.epoch)
	e.key(s.box)
	e.u8(byte(s.role))
	e.u32(s.began)
	e.flag(s.confirmed)
	e.flag(s.dead)
	e.u32(s.sent)
	e.u32(s.acked)
	e.u32(s.received)
	e.u64(s.partSeq)
	e.u32(s.partNext)
	w := &s.words
	e.key(w.nonce)
	for _, f := range []bool{w.started, w.hasCommit, w.hasNonce} {
		e.flag(f)
	}
	e.fixed(w.commit[:])
	e.fixed(w.peerCommit[:])
	e.fixed(w.peerNonce[:])
	e.u8(w.tries)
	e.flag(s.repeat)
	e.u64(s.repeated)
	e.flag(s.opened)
	e.key(s.drops)
	e.flag(s.chained)
	e.u32(s.hour)
	e.u32(s.boxed)
	e.u32(uint32(len(s.controls)))
	for _, c := range s.controls {
		e.u8(byte(c.kind))
		e.bytes(c.content)
	}
	s.starts.append(&e)
	s.gaps.append(&e)
	e.bytes(s.ratchet.Append(nil))
	return e.b
}

// wipe clears the keys of a session that was replaced.
func (s *session) wipe() {
	s.box.Wipe()
	s.drops.Wipe()
	s.words.nonce.Wipe()
	s.ratchet.Wipe()
}

func parseSession(b []byte) (*session, error) {
	d := decoder{b: b}
	s, old, known := &session{}, d.first(), !d.upTo(2)
	if err := d.version(sessionVersion); err != nil {
		return nil, err
	}
	s.epoch = d.u32()
	s.box = d.key()
	s.role = handshake.Role(d.u8())
	s.began = d.u32()
	s.confirmed, s.dead = d.flag(), d.flag()
	s.sent, s.acked, s.received = d.u32(), d.u32(), d.u32()
	s.partSeq, s.partNext = d.u64(), d.u32()
	w := &s.words
	w.nonce = d.key()
	w.started, w.hasCommit, w.hasNonce = d.flag(), d.flag(), d.flag()
	copy(w.commit[:], d.fixed(32))
	copy(w.peerCommit[:], d.fixed(32))
	copy(w.peerNonce[:], d.fixed(32))
	w.tries = d.u8()
	s.repeat, s.repeated = d.flag(), d.u64()
	s.opened = d.flag()
	if old {
		s.drops = s.box.Clone()
	} else {
		s.drops, s.chained, s.hour, s.boxed = d.key(), d.flag(), d.u32(), d.u32()
	}
	for n := d.u32(); n > 0 && !d.bad; n-- {
		s.controls = append(s.controls, controlFrame{wire.FrameKind(d.u8()), d.bytes()})
	}
	if known {
		s.starts.parse(&d)
		s.gaps.parse(&d)
	} else {
		s.gaps.unknown = s.sent
	}
	raw := d.bytes()
	if err := d.end(); err != nil || s.box.IsZero() || w.nonce.IsZero() && (w.started || w.hasCommit) ||
		s.role < handshake.Initiator || s.role > handshake.Responder || s.acked > s.sent {
		return nil, ErrRecord
	}
	var err error
	if s.ratchet, err = ratchet.ParseState(raw); err != nil {
		return nil, ErrRecord
	}
	return s, nil
}

// sealedCell is a cell that is not acknowledged yet, in the form in which it is
// rebuilt: the same cell, never another one with the same keys.
type sealedCell struct {
	sealed  ratchet.Sealed
	body    [wire.FrameSize]byte
	message uint64 // sequence of the message it is part of, or 0
	last    bool   // the message's last part

	order uint64 // when it was last written, in memory only; 0: not in this run
}

func (c *sealedCell) append(b []byte) []byte {
	e := encoder{b}
	e.fixed(c.sealed.Header[:])
	e.key(c.sealed.Message)
	e.fixed(c.body[:])
	e.u64(c.message)
	e.flag(c.last)
	return e.b
}

func parseSealed(b []byte) (*sealedCell, error) {
	d := decoder{b: b}
	c := &sealedCell{}
	copy(c.sealed.Header[:], d.fixed(ratchet.SealedHeaderSize))
	c.sealed.Message = d.key()
	copy(c.body[:], d.fixed(wire.FrameSize))
	c.message, c.last = d.u64(), d.flag()
	if err := d.end(); err != nil || c.sealed.Message.IsZero() {
		return nil, ErrRecord
	}
	return c, nil
}

// State says what became of a message that was sent from here.
type State byte

// The states, in the order in which a message can pass through them.
const (
	Waiting   State = 1 + iota // not sealed: can be recalled
	OnItsWay                   // sealed; it may have left
	InMailbox                  // a drop said so
	Delivered                  // the reader's node acknowledged it
	Expired                    // its life ended unconfirmed
)

// String returns the state in the words that screens show.
func (s State) String() string {
	switch s {
	case Waiting:
		return "waiting here"
	case OnItsWay:
		return "on its way"
	case InMailbox:
		return "in their mailbox"
	case Delivered:
		return "delivered"
	case Expired:
		return "expired, never confirmed"
	default:
		return "no state"
	}
}

// pending reports whether a message may still be delivered.
func (s State) pending() bool { return s == Waiting || s == OnItsWay || s == InMailbox }

// Direction says whose words a message is.
type Direction byte

// The directions.
const (
	Out    Direction = 1 + iota // written here
	In                          // written there
	Notice                      // a line of the program itself
)

// String returns "out", "in" or "notice".
func (d Direction) String() string {
	switch d {
	case Out:
		return "out"
	case In:
		return "in"
	case Notice:
		return "notice"
	default:
		return "no direction"
	}
}

// A Message is one line of a transcript, as it is stored. It has no field that a
// forged one would lack, and its owner can change every one of them.
type Message struct {
	Seq       uint64
	Direction Direction
	Channel   uint32
	State     State // of Out only
	ID        wire.MessageID
	Minute    uint32 // minutes since 1970, by its sender's clock
	Stored    uint32 // minutes since 1970, by this clock
	Text      string // of a file: its name
	File      bool   // the message offers a file: see Conversation.File
	Craft     Craft  // the line is of a tool of statecraft: its Text is for that tool, not for a screen

	// Of File only, and not stored here.
	FileState FileState
	Offered   bool // out: the other machine has the offer
}

func (m *Message) append(b []byte) []byte {
	e := encoder{b}
	e.u8(byte(m.Direction))
	e.u32(m.Channel)
	e.fixed(m.ID[:])
	e.u32(m.Minute)
	e.u32(m.Stored)
	e.bytes([]byte(m.Text))
	e.u8(m.holds())
	return e.b
}

// ParseMessage reads a stored message; its sequence number is the record's. What
// became of it is a record of its own, so that a state that changes does not
// write the text again.
func ParseMessage(seq uint64, b []byte) (Message, error) {
	d := decoder{b: b}
	m := Message{Seq: seq}
	m.Direction = Direction(d.u8())
	m.Channel = d.u32()
	m.ID = wire.MessageID(d.fixed(8))
	m.Minute, m.Stored = d.u32(), d.u32()
	m.Text = string(d.bytes())
	m.File, m.Craft = d.holds()
	if m.Direction < Out || m.Direction > Notice || m.Craft != NoCraft && m.Text == "" {
		return m, ErrRecord
	}
	return m, d.end()
}

// nonces returns both nonces in the order in which words are derived.
func (w *words) nonces(own identity.Side) (inviter, accepter [32]byte) {
	mine := [32]byte(w.nonce.Bytes())
	if own == identity.Inviter {
		return mine, w.peerNonce
	}
	return w.peerNonce, mine
}

// ready reports whether both nonces are known.
func (w *words) ready() bool { return w.hasCommit && w.hasNonce }
