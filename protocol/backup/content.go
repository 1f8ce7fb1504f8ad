package backup

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/secret"
)

// A Backup is the content of a file of the kind [Identity].
//
//	0  4  minute in which it was made
//	4  2  count of contacts
//	6     contacts
type Backup struct {
	Made     uint32    // minutes since 1970
	Contacts []Contact // by number
}

// A Contact is what a machine has to know to make a session with a contact anew.
//
//	 0     4  number
//	 4     4  minute in which the contact was made
//	 8     1  side: 1 inviter, 2 accepter
//	 9     1  mode: 1 mutual, 2 strict
//	10     1  mark: 0 not verified, 1 words compared, 2 recovered
//	11     4  minute of the mark, 0 if there is none
//	15     1  flags: 1 = the invitation was used twice
//	16    96  static, dial and recovery secret, 32 each
//	112    4  month of the recovery secret: see handshake.RecoverySecret
//	116 1024  own card, peer's card
//	1140      own place and peer's place, as they were told last
//	          length of the name 1, name
type Contact struct {
	Number    uint32
	Made      uint32 // minutes since 1970
	Side      identity.Side
	Mode      handshake.Mode
	Mark      byte // as docs/spec/session.md numbers them
	MarkedAt  uint32
	UsedTwice bool

	Static, Dial, Recovery secret.Key
	Month                  uint32 // of Recovery
	OwnCard, PeerCard      identity.Card
	OwnPlace, PeerPlace    identity.Place

	Name string // only its owner sees it
}

const (
	contactFixed  = 16 + 3*secret.Size + 4 + 2*identity.CardSize
	maxMark       = 2
	flagUsedTwice = 1
)

// Append appends the encoding of b. A backup that no parser would take is a
// programming error and panics.
func (b *Backup) Append(to []byte) []byte {
	if !b.Valid() {
		panic("backup: a backup that cannot be")
	}
	to = binary.BigEndian.AppendUint32(to, b.Made)
	to = binary.BigEndian.AppendUint16(to, uint16(len(b.Contacts)))
	for i := range b.Contacts {
		to = b.Contacts[i].append(to)
	}
	return to
}

func (c *Contact) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, c.Number)
	b = binary.BigEndian.AppendUint32(b, c.Made)
	b = append(b, byte(c.Side), byte(c.Mode), c.Mark)
	b = binary.BigEndian.AppendUint32(b, c.MarkedAt)
	if c.UsedTwice {
		b = append(b, flagUsedTwice)
	} else {
		b = append(b, 0)
	}
	for _, k := range []secret.Key{c.Static, c.Dial, c.Recovery} {
		b = append(b, k.Bytes()...)
	}
	b = binary.BigEndian.AppendUint32(b, c.Month)
	b = c.PeerCard.Append(c.OwnCard.Append(b))
	b = c.PeerPlace.Append(c.OwnPlace.Append(b))
	b = append(b, byte(len(c.Name)))
	return append(b, c.Name...)
}

// Parse parses the encoding that Append makes, and refuses every other.
func Parse(b []byte) (*Backup, error) {
	if len(b) < 6 {
		return nil, ErrFormat
	}
	out := &Backup{Made: binary.BigEndian.Uint32(b)}
	n, rest := int(binary.BigEndian.Uint16(b[4:])), b[6:]
	if n > MaxContacts || n*contactFixed > len(rest) {
		return nil, ErrFormat
	}
	for range n {
		var c Contact
		var err error
		if c, rest, err = parseContact(rest); err != nil {
			out.Wipe()
			return nil, err
		}
		out.Contacts = append(out.Contacts, c)
	}
	if len(rest) != 0 || !out.Valid() {
		out.Wipe()
		return nil, ErrFormat
	}
	return out, nil
}

func parseContact(b []byte) (c Contact, rest []byte, err error) {
	if len(b) < contactFixed {
		return c, nil, ErrFormat
	}
	c.Number, c.Made = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	c.Side, c.Mode, c.Mark = identity.Side(b[8]), handshake.Mode(b[9]), b[10]
	c.MarkedAt = binary.BigEndian.Uint32(b[11:])
	if b[15]&^flagUsedTwice != 0 {
		return c, nil, ErrFormat
	}
	c.UsedTwice = b[15] == flagUsedTwice
	if c.OwnCard, err = identity.ParseCard(b[116 : 116+identity.CardSize]); err != nil {
		return c, nil, ErrFormat
	}
	if c.PeerCard, err = identity.ParseCard(b[116+identity.CardSize : contactFixed]); err != nil {
		return c, nil, ErrFormat
	}
	if c.OwnPlace, rest, err = identity.ParsePlace(b[contactFixed:]); err != nil {
		return c, nil, ErrFormat
	}
	if c.PeerPlace, rest, err = identity.ParsePlace(rest); err != nil {
		return c, nil, ErrFormat
	}
	if len(rest) == 0 || len(rest) < 1+int(rest[0]) {
		return c, nil, ErrFormat
	}
	c.Name, rest = string(rest[1:1+rest[0]]), rest[1+rest[0]:]
	c.Static, c.Dial, c.Recovery = secret.FromBytes(b[16:48]), secret.FromBytes(b[48:80]), secret.FromBytes(b[80:112])
	c.Month = binary.BigEndian.Uint32(b[112:])
	return c, rest, nil
}

// Valid reports whether a parser would take the backup: contacts in the order of
// their numbers, each one whole, and no key that belongs to two of them.
func (b *Backup) Valid() bool {
	if len(b.Contacts) > MaxContacts {
		return false
	}
	last, keys := uint32(0), map[[32]byte]bool{}
	for i := range b.Contacts {
		c := &b.Contacts[i]
		if c.Number <= last || !c.valid() || keys[c.OwnCard.Static] || keys[c.PeerCard.Static] {
			return false
		}
		last = c.Number
		keys[c.OwnCard.Static], keys[c.PeerCard.Static] = true, true
	}
	return true
}

func (c *Contact) valid() bool {
	for _, k := range []secret.Key{c.Static, c.Dial, c.Recovery} {
		if k.IsZero() || allZero(k.Bytes()) {
			return false
		}
	}
	public, err := handshake.PublicKey(c.Static.Bytes())
	return err == nil && public == c.OwnCard.Static && c.PeerCard.Static != public &&
		(c.Side == identity.Inviter || c.Side == identity.Accepter) &&
		(c.Mode == handshake.Mutual || c.Mode == handshake.Strict) &&
		c.OwnCard.Strict == (c.Mode == handshake.Strict) && c.PeerCard.Strict == c.OwnCard.Strict &&
		c.Mark <= maxMark && (c.Mark == 0) == (c.MarkedAt == 0) &&
		c.Name != "" && len(c.Name) <= MaxName && utf8.ValidString(c.Name)
}

// Wipe clears the keys.
func (b *Backup) Wipe() {
	for _, c := range b.Contacts {
		c.Static.Wipe()
		c.Dial.Wipe()
		c.Recovery.Wipe()
	}
}
