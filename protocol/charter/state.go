package charter

import (
	"encoding/binary"

	"github.com/backchannel/backchannel/protocol/identity"
)

// StateSize is the length of a stored charter in bytes, whatever it holds.
const StateSize = 14 + 32 + 32 + 3*DraftSize

const (
	flagDeclined = 1 << iota
	flagClosedOwn
	flagClosedOther
	flagWithdrawn
	flagArrived
	flagCapped

	flagsKnown = flagDeclined | flagClosedOwn | flagClosedOther | flagWithdrawn | flagArrived | flagCapped
)

// Append appends the stored form of c to b. A draft that is not there is zeros.
//
//	version 1 ‖ side 1 ‖ flags 1 ‖ highest number 2 ‖ channel 4 ‖ latest deadline 4
//	‖ last answer 1 ‖ its digest 32 ‖ digest that the own draft answers 32
//	‖ agreed draft ‖ own draft ‖ the other side's draft
func (c *Charter) Append(b []byte) []byte {
	flags := byte(0)
	for i, set := range []bool{c.declined, c.closed[0], c.closed[1], c.withdrawn, c.arrived, c.capped} {
		if set {
			flags |= 1 << i
		}
	}
	b = append(b, version, byte(c.side), flags)
	b = binary.BigEndian.AppendUint16(b, c.number)
	b = binary.BigEndian.AppendUint32(b, c.channel)
	b = binary.BigEndian.AppendUint32(b, c.until)
	b = append(b, byte(c.answered.kind))
	b = append(b, c.answered.digest[:]...)
	b = append(b, c.answers[:]...)
	for _, d := range []*Draft{c.agreed, c.own, c.pending} {
		if d == nil {
			b = append(b, make([]byte, DraftSize)...)
			continue
		}
		b = d.Append(b)
	}
	return b
}

// ParseState parses what Append made. Whatever parses can be carried on.
func ParseState(b []byte) (*Charter, error) {
	if len(b) != StateSize || b[0] != version || b[2]&^flagsKnown != 0 {
		return nil, ErrFormat
	}
	flags := b[2]
	c := &Charter{
		side: identity.Side(b[1]), number: binary.BigEndian.Uint16(b[3:]),
		channel: binary.BigEndian.Uint32(b[5:]), until: binary.BigEndian.Uint32(b[9:]),
		declined:  flags&flagDeclined != 0,
		closed:    [2]bool{flags&flagClosedOwn != 0, flags&flagClosedOther != 0},
		withdrawn: flags&flagWithdrawn != 0, arrived: flags&flagArrived != 0, capped: flags&flagCapped != 0,
		answered: answer{messageKind(b[13]), Digest(b[14:46])}, answers: Digest(b[46:78]),
	}
	b = b[78:]
	for _, d := range []**Draft{&c.agreed, &c.own, &c.pending} {
		if !zero(b[:DraftSize]) {
			var err error
			if *d, err = ParseDraft(b[:DraftSize]); err != nil {
				return nil, err
			}
		}
		b = b[DraftSize:]
	}
	if !c.consistent() {
		return nil, ErrFormat
	}
	return c, nil
}

// consistent reports whether the pieces can have come together.
func (c *Charter) consistent() bool {
	none := Digest{}
	if c.side != identity.Inviter && c.side != identity.Accepter || c.channel < 2 || c.number == 0 ||
		c.own != nil && c.pending != nil || c.own == nil && (c.withdrawn || c.answers != none) ||
		c.arrived && !c.withdrawn || c.capped != (c.agreed != nil && c.agreed.Deadline > c.until) ||
		c.declined && (c.agreed != nil || c.own != nil || c.pending != nil) ||
		(c.closed[0] || c.closed[1]) && c.pending != nil ||
		(c.answered.digest == none) != (c.answered.kind == 0) ||
		c.answered.kind != 0 && c.answered.kind != messageAccept && c.answered.kind != messageDecline {
		return false
	}
	if c.agreed != nil && (c.agreed.Channel != c.channel || c.agreed.Number > c.number) {
		return false
	}
	for _, d := range []*Draft{c.own, c.pending} {
		if d == nil {
			continue
		}
		want, err := d.after(c.agreed, c.channel, c.number)
		if err != nil || *want != *d || d.Deadline > c.until && !c.capped {
			return false
		}
	}
	return true
}
