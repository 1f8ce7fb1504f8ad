package drop

import (
	"encoding/binary"

	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

// A Branch is one of the chains on which boxes of a contact may lie: that of the session in
// which the drops were agreed, or that of one which was rolled after it. Each side moves from
// one to the next for itself (docs/spec/drop.md).
type Branch struct {
	Session uint32 // by which its owner knows it; 0: the first
	Writes  Day    // from this day on the owner writes on it; 0: it does not
	Told    Day    // from this day on the other side does, as it said; 0: it has not said so
}

// Branches are the chains of a contact in the order of their sessions. If there are none,
// there is the first chain alone.
type Branches []Branch

// Writing returns the place of the chain on which the owner writes on a day.
func (b Branches) Writing(d Day) int {
	at := 0
	for i := range b {
		if b[i].Writes != 0 && d >= b[i].Writes {
			at = i
		}
	}
	return at
}

// Reading returns the places of the chains on which the other side's boxes of a day may lie,
// rising; at least one. They are on the last one that it is known to have moved to by that day,
// or on one behind it: that it moved may not have been read. They are not on one to which it
// moved later.
func (b Branches) Reading(d Day) (at []int) {
	at = []int{0}
	for i := range b {
		switch {
		case b[i].Told == 0 && i > 0:
			at = append(at, i)
		case b[i].Told != 0 && d >= b[i].Told:
			at = []int{i}
		}
	}
	return at
}

// BranchNameSize is the length of a BranchName.
const BranchNameSize = 8

// A BranchName names a chain to the other side, inside a session.
type BranchName [BranchNameSize]byte

// NewBranch returns the chain of a session that was rolled, from its drop root and the day of
// the hour that its m1 names, and its name.
func NewBranch(root secret.Key, first Day) (*Chain, BranchName) {
	out := label.Derive(label.DropBranch, root.Bytes(), nil, secret.Size+BranchNameSize)
	defer clear(out)
	branch := secret.FromBytes(out[:secret.Size])
	defer branch.Wipe()
	return NewChain(branch, first), BranchName(out[secret.Size:])
}

// NameBranch returns the name of a session's chain.
func NameBranch(root secret.Key) BranchName {
	c, name := NewBranch(root, 0)
	c.Wipe()
	return name
}

// MoveSize is the length of a Move in bytes.
const MoveSize = 2*BranchNameSize + 4

// A Move is what one side tells the other of its chains, in a frame of the session in use.
type Move struct {
	Watches BranchName // the chain of this session, once boxes are looked for on it; else zeros
	Writes  BranchName // the last chain that the sender has moved to; zeros: it is on the first
	From    Day        // its first day there; 0: it is on the first chain
}

// Append appends the encoding of m: watches 8, writes 8, from 4.
func (m Move) Append(b []byte) []byte {
	b = append(append(b, m.Watches[:]...), m.Writes[:]...)
	return binary.BigEndian.AppendUint32(b, uint32(m.From))
}

// ParseMove parses what Append makes. A day without a chain, or a chain without a day, is
// [ErrFormat].
func ParseMove(b []byte) (Move, error) {
	if len(b) != MoveSize {
		return Move{}, ErrFormat
	}
	m := Move{BranchName(b), BranchName(b[BranchNameSize:]), Day(binary.BigEndian.Uint32(b[2*BranchNameSize:]))}
	if (m.Writes == BranchName{}) != (m.From == 0) {
		return Move{}, ErrFormat
	}
	return m, nil
}
