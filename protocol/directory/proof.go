package directory

import (
	"bytes"
	"encoding/binary"
)

// MaxProof is the longest encoding of a proof in bytes.
const MaxProof = 1 + 2*(2+MaxDescriptor)

// A Proof shows that a relay has signed two different descriptors with one epoch and
// sequence, which an honest one never does. Everybody can check it, at any time.
type Proof struct {
	Relay Identity
	a, b  []byte // the descriptor whose bytes are less, the other
}

// NewProof returns the proof that two encoded descriptors make. It returns [ErrProof]
// for two that do not contradict one another: two signatures of one text do not.
func (n *Network) NewProof(a, b []byte) (*Proof, error) {
	if bytes.Compare(a, b) > 0 {
		a, b = b, a
	}
	da, err := n.ParseDescriptor(a)
	if err != nil {
		return nil, err
	}
	db, err := n.ParseDescriptor(b)
	if err != nil {
		return nil, err
	}
	if da.Relay != db.Relay || da.mark() != db.mark() || sameBody(a, b) {
		return nil, ErrProof
	}
	return &Proof{da.Relay, bytes.Clone(a), bytes.Clone(b)}, nil
}

// sameBody compares all but the signatures of two valid descriptors.
func sameBody(a, b []byte) bool {
	return bytes.Equal(a[:len(a)-signSize], b[:len(b)-signSize])
}

// Append appends the encoding of p.
func (p *Proof) Append(b []byte) []byte {
	b = append(b, version)
	for _, d := range [][]byte{p.a, p.b} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(d)))
		b = append(b, d...)
	}
	return b
}

// ParseProof parses what Append makes, and verifies it.
func (n *Network) ParseProof(b []byte) (*Proof, error) {
	first, second, err := splitProof(b)
	if err != nil {
		return nil, err
	}
	return n.NewProof(first, second)
}

func splitProof(b []byte) (first, second []byte, err error) {
	c := &cursor{b: b}
	c.expect(version)
	first = c.take(int(c.u16()))
	second = c.take(int(c.u16()))
	c.require(bytes.Compare(first, second) < 0)
	return first, second, c.done()
}
