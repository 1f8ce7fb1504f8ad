// Package forge makes transcripts of talks that did or did not take place, and
// checks them (docs/spec/transcript.md).
//
// A [Transcript] holds everything that one side of a session could turn over if
// it kept every byte and every key: its own secrets, all it drew at random, all
// that went over the wire. [Transcript.Check] replays it with the production
// code and accepts or refuses it. [Forge] makes one from one side's secrets
// alone, with any text on either side, by running both ends of the same code.
// Check cannot tell the two apart, and nobody can: that is the purpose.
//
// The package needs no node and no network.
package forge

import (
	"encoding/binary"
	"errors"
	"unicode/utf8"

	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// Limits of a transcript file.
const (
	MaxEntries = 20_000
	maxName    = 64
	magic      = "BCT1"
	entrySize  = 1 + secret.Size + wire.FrameSize + wire.CellSize
)

// Errors of Parse and Check, in words that can be shown.
var (
	ErrStructure = errors.New("not a transcript, or one that was cut or altered")
	ErrKeys      = errors.New("the keys do not fit what they should open")
	ErrTimes     = errors.New("the times cannot be")
)

// A Transcript is one side's view of one session. The side that discloses it is
// called own.
type Transcript struct {
	Mode     handshake.Mode
	Role     handshake.Role // own role in the handshake
	Side     identity.Side  // own side of the contact
	Hour     uint32         // hours since 1970, when m1 was made
	OwnName  string         // what the discloser calls the two; at most 64 bytes
	PeerName string

	Static   secret.Key // own X25519 private key
	OwnCard  identity.Card
	PeerCard identity.Card
	Pair     secret.Key // pair secret before the session
	Coins    secret.Key // own coins of the handshake

	Messages [3]handshake.Message // m1, m2, m3
	Entries  []Entry
}

// An Entry is one cell, in the order in which the discloser sent or received.
type Entry struct {
	FromPeer bool
	Coins    [secret.Size]byte // what own Seal drew; zero for the peer's cells
	Body     [wire.FrameSize]byte
	Cell     wire.Cell
}

// Append appends the encoding of t, which holds secrets, to b.
func (t *Transcript) Append(b []byte) []byte {
	b = append(b, magic...)
	b = append(b, byte(t.Mode), byte(t.Role), byte(t.Side))
	b = binary.BigEndian.AppendUint32(b, t.Hour)
	for _, name := range []string{t.OwnName, t.PeerName} {
		b = append(b, byte(len(name)))
		b = append(b, name...)
	}
	b = append(b, t.Static.Bytes()...)
	b = t.OwnCard.Append(b)
	b = t.PeerCard.Append(b)
	b = append(b, t.Pair.Bytes()...)
	b = append(b, t.Coins.Bytes()...)
	for i := range t.Messages {
		b = append(b, t.Messages[i][:]...)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(t.Entries)))
	for i := range t.Entries {
		e := &t.Entries[i]
		from := byte(0)
		if e.FromPeer {
			from = 1
		}
		b = append(b, from)
		b = append(b, e.Coins[:]...)
		b = append(b, e.Body[:]...)
		b = append(b, e.Cell[:]...)
	}
	return b
}

// Parse parses the encoding that Append makes.
func Parse(b []byte) (*Transcript, error) {
	r := reader{b: b}
	t := &Transcript{}
	if string(r.take(4)) != magic {
		return nil, ErrStructure
	}
	head := r.take(3)
	t.Mode, t.Role, t.Side = handshake.Mode(head[0]), handshake.Role(head[1]), identity.Side(head[2])
	t.Hour = binary.BigEndian.Uint32(r.take(4))
	t.OwnName, t.PeerName = r.name(), r.name()
	t.Static = secret.FromBytes(r.take(secret.Size))
	t.OwnCard, t.PeerCard = r.card(), r.card()
	t.Pair, t.Coins = secret.FromBytes(r.take(secret.Size)), secret.FromBytes(r.take(secret.Size))
	for i := range t.Messages {
		copy(t.Messages[i][:], r.take(handshake.MessageSize))
	}
	count := binary.BigEndian.Uint32(r.take(4))
	if r.bad || count > MaxEntries || len(r.b) != int(count)*entrySize ||
		t.Mode < handshake.Mutual || t.Mode > handshake.Strict ||
		t.Role < handshake.Initiator || t.Role > handshake.Responder ||
		t.Side < identity.Inviter || t.Side > identity.Accepter {
		return nil, ErrStructure
	}
	t.Entries = make([]Entry, count)
	for i := range t.Entries {
		e := &t.Entries[i]
		from := r.take(1)[0]
		if from > 1 {
			return nil, ErrStructure
		}
		e.FromPeer = from == 1
		copy(e.Coins[:], r.take(secret.Size))
		copy(e.Body[:], r.take(wire.FrameSize))
		copy(e.Cell[:], r.take(wire.CellSize))
	}
	return t, nil
}

// reader takes fixed parts off a slice; past the end it gives zeros and is bad.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if len(r.b) < n {
		r.b, r.bad = nil, true
		return make([]byte, n)
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) name() string {
	n := int(r.take(1)[0])
	s := string(r.take(n))
	r.bad = r.bad || n > maxName || !utf8.ValidString(s)
	return s
}

func (r *reader) card() identity.Card {
	c, err := identity.ParseCard(r.take(identity.CardSize))
	r.bad = r.bad || err != nil
	return c
}
