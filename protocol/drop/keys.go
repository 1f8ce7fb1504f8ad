package drop

import (
	"encoding/binary"
	"time"

	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

// Sizes and numbers of docs/spec/drop.md.
const (
	// AddressSize is the length of an Address, and of a write key.
	AddressSize = 32
	// Replicas is at how many of a pair's drops each box lies.
	Replicas = 2
	// SetSize is how many drops a pair has.
	SetSize = 3
	// MeetingBoxes is how many boxes for cards an invitation has in each hour.
	MeetingBoxes = 4
)

// An Address says where a box lies at a drop. It is the hash of a write key.
type Address [AddressSize]byte

// AddressOf returns the address that a write key opens for writing.
func AddressOf(writeKey []byte) Address {
	return label.Hash(label.DropAddress, writeKey)
}

// A Direction says who wrote a box, as the two of a pair count it.
type Direction byte

// The directions.
const (
	FromInviter  Direction = 1
	FromAccepter Direction = 2
	Idle         Direction = 3 // a machine writes to itself
)

// String names the writer.
func (d Direction) String() string {
	switch d {
	case FromInviter:
		return "from the inviter"
	case FromAccepter:
		return "from the accepter"
	case Idle:
		return "idle"
	}
	return "no direction"
}

// Other returns the direction of the answers.
func (d Direction) Other() Direction {
	switch d {
	case FromInviter:
		return FromAccepter
	case FromAccepter:
		return FromInviter
	case Idle:
	}
	return d
}

// A Day is counted from 1970.
type Day uint32

// DayAt returns the day of a moment.
func DayAt(unix time.Duration) Day { return Day(unix / (24 * time.Hour)) }

// Keys are those of one replica of one box.
type Keys struct {
	Write secret.Key // shown by who puts it
	Box   secret.Key // seals it
}

// DeriveKeys returns the keys of one replica, 0 or 1, of a period's box from the key
// of its day. For meeting boxes the period is the number of the box, for reunion boxes 0.
func DeriveKeys(day secret.Key, d Direction, period uint64, replica int) Keys {
	out := label.Derive(label.DropBox, day.Bytes(), nil, 2*secret.Size,
		append(place(d, period), byte(replica)))
	defer clear(out)
	return Keys{secret.FromBytes(out[:secret.Size]), secret.FromBytes(out[secret.Size:])}
}

// Address returns where the box lies.
func (k Keys) Address() Address { return AddressOf(k.Write.Bytes()) }

// Wipe clears both keys.
func (k Keys) Wipe() {
	k.Write.Wipe()
	k.Box.Wipe()
}

// Pair returns which two of a pair's three drops hold replicas 0 and 1 of a period's
// box: 0 is the inviter's choice, 1 the accepter's, 2 that of neither.
func Pair(day secret.Key, d Direction, period uint64) [Replicas]int {
	x := binary.BigEndian.Uint64(label.Derive(label.DropReplicas, day.Bytes(), nil, 8, place(d, period)))
	first := int(x % 6 / 2)
	second := int(x % 2)
	if second >= first {
		second++
	}
	return [Replicas]int{first, second}
}

func place(d Direction, period uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{byte(d)}, period)
}

// MeetingRoot is the root of the boxes in which cards of accepters lie, from the
// secret of an invitation and its binary form.
func MeetingRoot(invited, invitation []byte) secret.Key {
	return secret.FromBytes(label.Derive(label.DropMeeting, invited, invitation, secret.Size))
}

// AnswerRoot is the root of all boxes of a first contact after the card.
func AnswerRoot(meeting secret.Key, card [32]byte) secret.Key {
	return label.DeriveKey(label.DropAnswer, meeting, card[:])
}

// HourKey takes the place of a day key for boxes under one of the two roots. Hours
// are counted from 1970.
func HourKey(root secret.Key, hour uint32) secret.Key {
	return label.DeriveKey(label.DropHour, root, u32(hour))
}

// SessionKey is what a session seals its boxes with, from the root of its boxes: see
// [SealKey].
func SessionKey(root secret.Key) secret.Key { return label.DeriveKey(label.DropSession, root) }

// SealKey returns the key that seals a box of a session, from the box key of its place and
// the session's key. So who has the keys of places alone can open no box of a session but
// a flight, and a box that opens says which session it is of.
func SealKey(box, session secret.Key) secret.Key {
	return label.DeriveKey(label.DropSeal, box, session.Bytes())
}

// RecoveryKey is what the reunion boxes of a day are derived from, from the recovery secret of
// its month: HourKey of it and a time takes the place of a day key.
func RecoveryKey(recovery secret.Key, day Day) secret.Key {
	return label.DeriveKey(label.DropRecovery, recovery, u32(uint32(day)))
}

// IdleKey takes the place of a day key for what a lane writes to itself, from a
// secret of this run of the machine.
func IdleKey(own secret.Key, lane int) secret.Key {
	return label.DeriveKey(label.DropIdle, own, []byte{byte(lane)})
}

func u32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
