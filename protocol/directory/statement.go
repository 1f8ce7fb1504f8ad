package directory

import (
	"encoding/binary"

	"github.com/backchannel/backchannel/protocol/identity"
)

// StatementSize is the size of a statement in bytes.
const StatementSize = 8 + 4 + 32

// A Statement is what one of two parties tells the other, inside their session, of the
// relays that it sees: that their views differ shows to them, and to nobody else.
type Statement struct {
	Network    identity.NetworkID
	Epoch      Epoch    // not zero: no relay is a member in that
	Membership [32]byte // see [View.Hash]
}

// Statement returns what is told of the view.
func (v *View) Statement() Statement { return Statement{v.n.ID(), v.epoch, v.hash} }

// Append appends the encoding of s to b: network ID 8, epoch 4, membership 32.
func (s Statement) Append(b []byte) []byte {
	b = append(b, s.Network[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(s.Epoch))
	return append(b, s.Membership[:]...)
}

// ParseStatement parses the encoding that Append makes. Its error is [ErrFormat].
func ParseStatement(b []byte) (Statement, error) {
	if len(b) != StatementSize {
		return Statement{}, ErrFormat
	}
	s := Statement{
		Network: identity.NetworkID(b), Epoch: Epoch(binary.BigEndian.Uint32(b[8:])), Membership: [32]byte(b[12:]),
	}
	if s.Epoch == 0 {
		return Statement{}, ErrFormat
	}
	return s, nil
}
