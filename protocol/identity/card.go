package identity

import (
	"github.com/backchannel/backchannel/protocol/label"
)

// CardSize is the length of an encoded card in bytes.
const CardSize = 512

const cardVersion = 1

// Flags of cards and invitations.
const (
	flagStrict = 1
	flagDrops  = 2 // of cards alone
)

// NetworkID names a relay network. Zero: none, direct only.
type NetworkID [8]byte

// A Card is what one side tells the other at first contact, sealed under keys of
// the invitation. It is fresh for each contact, never signed, and frozen: its
// fingerprint is in the prologue of every later handshake.
//
//	 0    1  version, 1
//	 1    1  flags: 1 = strict, 2 = drops
//	 2   32  X25519 static key
//	34    8  network ID
//	42  <38  place
//	     41  with the flag drops: own choice of a drop 20, the third drop 20 (the
//	         accepter's card: zeros), period 1
//	          zeros up to 512
type Card struct {
	Strict  bool
	Static  [32]byte
	Network NetworkID
	Place   Place

	// Of contacts who meet at a drop; see docs/spec/drop.md.
	Drop   RelayID // this side's choice; zero: none of this
	Third  RelayID // the drop of neither side, as the inviter names it; else zero
	Period byte    // slots to a box
}

// Append appends the 512-byte encoding of c to b.
func (c Card) Append(b []byte) []byte {
	start := len(b)
	flags := flagsOf(c.Strict)
	if c.Drop != (RelayID{}) {
		flags |= flagDrops
	}
	b = append(b, cardVersion, flags)
	b = append(b, c.Static[:]...)
	b = append(b, c.Network[:]...)
	b = c.Place.Append(b)
	if flags&flagDrops != 0 {
		b = append(append(append(b, c.Drop[:]...), c.Third[:]...), c.Period)
	}
	return append(b, make([]byte, CardSize-(len(b)-start))...)
}

// ParseCard parses the encoding that Append makes.
func ParseCard(b []byte) (Card, error) {
	if len(b) != CardSize || b[0] != cardVersion || b[1]&^(flagStrict|flagDrops) != 0 {
		return Card{}, ErrFormat
	}
	c := Card{
		Strict:  b[1]&flagStrict != 0,
		Static:  [32]byte(b[2:34]),
		Network: NetworkID(b[34:42]),
	}
	if !canonical(c.Static) {
		return Card{}, ErrFormat
	}
	drops := b[1]&flagDrops != 0
	var err error
	if c.Place, b, err = ParsePlace(b[42:]); err != nil {
		return Card{}, err
	}
	if drops {
		c.Drop, c.Third, c.Period = RelayID(b), RelayID(b[20:]), b[40]
		if b = b[41:]; c.Drop == (RelayID{}) {
			return Card{}, ErrFormat
		}
	}
	for _, x := range b {
		if x != 0 {
			return Card{}, ErrFormat
		}
	}
	return c, nil
}

// canonical reports whether a key is the one way to write its point: below
// 2^255-19. X25519 takes others, too, for the same point, and they would pass
// where a node looks for its own key or for another contact's.
func canonical(key [32]byte) bool {
	if key[31] != 0x7f {
		return key[31] < 0x7f
	}
	for _, b := range key[1:31] {
		if b != 0xff {
			return true
		}
	}
	return key[0] < 0xed
}

// Fingerprint is what handshakes bind a card by.
func (c Card) Fingerprint() [32]byte {
	return label.Hash(label.CardFingerprint, c.Append(nil))
}

func flagsOf(strict bool) byte {
	if strict {
		return flagStrict
	}
	return 0
}
