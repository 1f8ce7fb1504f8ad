package handshake

import (
	"encoding/binary"
	"time"

	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// TagSize is the length of a Tag in bytes.
const TagSize = 16

// A Tag tells the one who shares the pair secret which step of which handshake
// a flight is, before any Diffie-Hellman; to anybody else it is noise.
type Tag [TagSize]byte

// A Flight is a handshake message as it travels: it fills a cell exactly.
//
//	   0   16  tag
//	  16 3568  message m1, m2 or m3; random in the very first flight
//	3584  512  card of the sender at first contact, else zeros
type Flight struct {
	Tag     Tag
	Message Message
	Card    *identity.Card // nil but in the first two flights of a contact
}

// Cell returns the flight's encoding.
func (f *Flight) Cell() *wire.Cell {
	var c wire.Cell
	copy(c[:], f.Tag[:])
	copy(c[TagSize:], f.Message[:])
	if f.Card != nil {
		copy(c[TagSize+MessageSize:], f.Card.Append(nil))
	}
	return &c
}

// ParseFlight parses the encoding that Cell makes.
func ParseFlight(c *wire.Cell) (*Flight, error) {
	f := &Flight{Tag: Tag(c[:TagSize]), Message: Message(c[TagSize : TagSize+MessageSize])}
	tail := c[TagSize+MessageSize:]
	if [identity.CardSize]byte(tail) == [identity.CardSize]byte{} {
		return f, nil
	}
	card, err := identity.ParseCard(tail)
	if err != nil {
		return nil, ErrHandshake
	}
	f.Card = &card
	return f, nil
}

// Hour is the unit in which knock tags change.
func Hour(t time.Time) uint32 { return uint32(t.Unix() / 3600) }

// Day is the unit in which recovery pairs change.
func Day(t time.Time) uint32 { return uint32(t.Unix() / 86400) }

// KnockTag is the tag of m1 sent by one side in one hour under a pair secret. A
// listener computes those of a day around its clock for every secret it holds.
func KnockTag(pair secret.Key, from identity.Side, hour uint32) Tag {
	return tag(pair, "m1", []byte{byte(from)}, binary.BigEndian.AppendUint32(nil, hour))
}

// AnswerTag is the tag of m2 and m3: it names the m1 that they belong to.
func AnswerTag(pair secret.Key, step byte, m1 *Message) Tag {
	seen := Seen(m1)
	return tag(pair, "answer", []byte{step}, seen[:])
}

// PartedTag is the tag of m1 of a recovery under the pair secret of a day, from a side that is
// in a session and hears nothing of the other one. Its second half names that session, by the
// pair secret that it led to, to who is in it; to others both halves are noise.
func PartedTag(day, session secret.Key, from identity.Side, hour uint32) (t Tag) {
	context := [][]byte{{byte(from)}, binary.BigEndian.AppendUint32(nil, hour)}
	m1, in := tag(day, "parted", context...), tag(session, "parted in", context...)
	copy(t[:], m1[:TagSize/2])
	copy(t[TagSize/2:], in[:TagSize/2])
	return t
}

// Parted compares a tag that came with the PartedTag that its sender would have made in one's
// own session: whether it is such a tag, and whether it names that session.
func (t Tag) Parted(own Tag) (parted, same bool) {
	parted = [TagSize / 2]byte(t[:]) == [TagSize / 2]byte(own[:])
	return parted, parted && t == own
}

// CardTag is the tag of the first flight of a contact, which holds a card only.
func CardTag(box secret.Key) Tag { return tag(box, "card") }

func tag(key secret.Key, what string, context ...[]byte) Tag {
	mac := label.MAC(label.HandshakeKnock, key.Bytes(), append([][]byte{[]byte(what)}, context...)...)
	return Tag(mac[:TagSize])
}

// MonthDays is how many days a recovery secret is for.
const MonthDays = 30

// Month returns the month of a day, counted from 1970: 30 days, whatever the calendar says.
func Month(day uint32) uint32 { return day / MonthDays }

// maxMonths bounds how far a recovery secret is derived ahead: a clock that is far off is
// not followed.
const maxMonths = 2400

// RecoverySecret derives the recovery secret of a month from that of another month before
// it. It leads forward only: what a machine forgets of a month that has passed, a thief
// does not find. ok is false for a month before, or one that is too far ahead.
func RecoverySecret(recovery secret.Key, of, month uint32) (key secret.Key, ok bool) {
	if month < of || month-of > maxMonths {
		return secret.Key{}, false
	}
	key = recovery.Clone()
	for m := of + 1; m <= month; m++ {
		next := label.DeriveKey(label.HandshakeMonth, key, binary.BigEndian.AppendUint32(nil, m))
		key.Wipe()
		key = next
	}
	return key, true
}

// RecoveryPair derives the pair secret of a recovery handshake on a given day
// from the recovery secret of its month; backups hold that of the month they are made in.
func RecoveryPair(recovery secret.Key, day uint32) secret.Key {
	return label.DeriveKey(label.HandshakeRecPair, recovery, binary.BigEndian.AppendUint32(nil, day))
}
