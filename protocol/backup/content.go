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
//	15     1  flags: 1 = the invitation was used twice, 2 = introduced,
//	          4 = directly alone, 8 = over relays alone, 16 = there were channels,
//	          32 = the recovery secret is of a month
//	16    96  static, dial and recovery secret, 32 each
//	112 1024  own card, peer's card
//	1136      own place and peer's place, as they were told last
//	          length of the name 1, name
//	          introduced: number of the introducer 4
//	          channels: 133 bytes, see [Channels]
//	          month of the recovery secret 4: see handshake.RecoverySecret
type Contact struct {
	Number    uint32
	Made      uint32 // minutes since 1970
	Side      identity.Side
	Mode      handshake.Mode
	Mark      byte // as docs/spec/session.md numbers them
	MarkedAt  uint32
	UsedTwice bool

	Static, Dial, Recovery secret.Key
	Month                  uint32 // of Recovery; 0: a file of version 1 does not say it
	OwnCard, PeerCard      identity.Card
	OwnPlace, PeerPlace    identity.Place

	Name string // only its owner sees it

	Route      Route
	Introduced bool
	Introducer uint32    // its number; 0: it is a contact no more, or the contact was not introduced
	Channels   *Channels // nil: there was none
}

// A Route says by which routes a contact is talked to. Who restores it must not tell an
// address to somebody to whom it was never told.
type Route byte

// The routes. A file of version 1 says none of them, which is BothRoutes.
const (
	BothRoutes Route = iota
	DirectAlone
	RelaysAlone
)

// String returns the route in words.
func (r Route) String() string {
	switch r {
	case BothRoutes:
		return "both routes"
	case DirectAlone:
		return "directly alone"
	case RelaysAlone:
		return "over relays alone"
	}
	return "no route"
}

// Channels is what must not be forgotten of the channels with a contact: which numbers
// were burned or given out by this side, so that none of them comes back, and none is
// given out twice.
//
//	0   4  floor
//	4 129  used
type Channels struct {
	Floor uint32         // minute; time does not go behind it
	Used  [usedSize]byte // bit n-1, counted from the lowest of the first byte: number n
}

const (
	contactFixed   = 16 + 3*secret.Size + 2*identity.CardSize
	introducerSize = 4
	usedSize       = 129 // numbers up to 1,025
	channelsSize   = 4 + usedSize
	monthSize      = 4
	maxMark        = 2

	flagUsedTwice  = 1
	flagIntroduced = 2
	flagDirect     = 4
	flagRelays     = 8
	flagChannels   = 16
	flagMonth      = 32
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
	b = append(b, c.flags())
	for _, k := range []secret.Key{c.Static, c.Dial, c.Recovery} {
		b = append(b, k.Bytes()...)
	}
	b = c.PeerCard.Append(c.OwnCard.Append(b))
	b = c.PeerPlace.Append(c.OwnPlace.Append(b))
	b = append(b, byte(len(c.Name)))
	b = append(b, c.Name...)
	if c.Introduced {
		b = binary.BigEndian.AppendUint32(b, c.Introducer)
	}
	if c.Channels != nil {
		b = binary.BigEndian.AppendUint32(b, c.Channels.Floor)
		b = append(b, c.Channels.Used[:]...)
	}
	if c.Month != 0 {
		b = binary.BigEndian.AppendUint32(b, c.Month)
	}
	return b
}

func (c *Contact) flags() (f byte) {
	for _, x := range []struct {
		set  bool
		flag byte
	}{
		{c.UsedTwice, flagUsedTwice},
		{c.Introduced, flagIntroduced},
		{c.Route == DirectAlone, flagDirect},
		{c.Route == RelaysAlone, flagRelays},
		{c.Channels != nil, flagChannels},
		{c.Month != 0, flagMonth},
	} {
		if x.set {
			f |= x.flag
		}
	}
	return f
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
	flags := b[15]
	switch flags & (flagDirect | flagRelays) {
	case flagDirect:
		c.Route = DirectAlone
	case flagRelays:
		c.Route = RelaysAlone
	}
	c.UsedTwice, c.Introduced = flags&flagUsedTwice != 0, flags&flagIntroduced != 0
	if flags&flagChannels != 0 {
		c.Channels = &Channels{}
	}
	if flags&flagMonth != 0 {
		c.Month = 1 // until it is read
	}
	if c.flags() != flags { // another flag, or both routes alone
		return c, nil, ErrFormat
	}
	if c.OwnCard, err = identity.ParseCard(b[112 : 112+identity.CardSize]); err != nil {
		return c, nil, ErrFormat
	}
	if c.PeerCard, err = identity.ParseCard(b[112+identity.CardSize : contactFixed]); err != nil {
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
	if c.Introduced {
		if len(rest) < introducerSize {
			return c, nil, ErrFormat
		}
		c.Introducer, rest = binary.BigEndian.Uint32(rest), rest[introducerSize:]
	}
	if c.Channels != nil {
		if len(rest) < channelsSize {
			return c, nil, ErrFormat
		}
		c.Channels.Floor, c.Channels.Used = binary.BigEndian.Uint32(rest), [usedSize]byte(rest[4:])
		rest = rest[channelsSize:]
	}
	if c.Month != 0 {
		if len(rest) < monthSize || binary.BigEndian.Uint32(rest) == 0 {
			return c, nil, ErrFormat
		}
		c.Month, rest = binary.BigEndian.Uint32(rest), rest[monthSize:]
	}
	c.Static, c.Dial, c.Recovery = secret.FromBytes(b[16:48]), secret.FromBytes(b[48:80]), secret.FromBytes(b[80:112])
	return c, rest, nil
}

// Valid reports whether a parser would take the backup: contacts in the order of
// their numbers, each one whole, no key that belongs to two of them, and no introducer
// that is not there or is the contact itself.
func (b *Backup) Valid() bool {
	if len(b.Contacts) > MaxContacts {
		return false
	}
	last, keys, numbers := uint32(0), map[[32]byte]bool{}, map[uint32]bool{0: true}
	for i := range b.Contacts {
		c := &b.Contacts[i]
		if c.Number <= last || !c.valid() || keys[c.OwnCard.Static] || keys[c.PeerCard.Static] {
			return false
		}
		last = c.Number
		keys[c.OwnCard.Static], keys[c.PeerCard.Static], numbers[c.Number] = true, true, true
	}
	for i := range b.Contacts {
		if c := &b.Contacts[i]; !numbers[c.Introducer] || c.Introducer == c.Number || !c.Introduced && c.Introducer != 0 {
			return false
		}
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
		c.Route <= RelaysAlone && c.Channels.valid() &&
		c.Mark <= maxMark && (c.Mark == 0) == (c.MarkedAt == 0) &&
		c.Name != "" && len(c.Name) <= MaxName && utf8.ValidString(c.Name)
}

// valid reports whether no number is used that cannot be: channel 1 goes with its contact,
// and there is none above the highest.
func (c *Channels) valid() bool {
	return c == nil || c.Used[0]&1 == 0 && c.Used[usedSize-1]&^1 == 0
}

// Wipe clears the keys.
func (b *Backup) Wipe() {
	for _, c := range b.Contacts {
		c.Static.Wipe()
		c.Dial.Wipe()
		c.Recovery.Wipe()
	}
}
