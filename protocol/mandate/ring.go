package mandate

import (
	"bytes"
	"fmt"
	"io"

	"github.com/gtank/ristretto255"

	"github.com/backchannel/backchannel/protocol/label"
)

// RingSize is the length of a ring signature in bytes.
const RingSize = 96

// members is a ring in its only order: the authority, then the envoy.
type members [2]PublicKey

func (m members) points() (p [2]*ristretto255.Element, err error) {
	if m[0] == m[1] {
		return p, ErrRefused
	}
	for i, k := range m {
		if p[i], err = k.point(); err != nil {
			return p, err
		}
	}
	return p, nil
}

func (m members) challenge(index byte, message []byte, p *ristretto255.Element) *ristretto255.Scalar {
	h := label.Hash512(label.MandateRing, m[0][:], m[1][:], []byte{index}, message, p.Bytes())
	return scalarFrom(h[:])
}

// sign makes a ring signature of Abe, Ohkubo and Suzuki with the key of either
// member. Both do the same steps in the same time.
//
// What is drawn depends on the key, the ring, the message and on randomness: a
// machine whose random generator repeats itself still never uses one nonce twice.
func (m members) sign(own *Private, message []byte, random io.Reader) (sig [RingSize]byte, err error) {
	y, err := m.points()
	if err != nil {
		return sig, err
	}
	j := byte(0)
	switch own.public {
	case m[0]:
	case m[1]:
		j = 1
	default:
		return sig, ErrRefused
	}
	var salt [32]byte
	if _, err := io.ReadFull(random, salt[:]); err != nil {
		return sig, fmt.Errorf("drawing a nonce: %w", err)
	}
	key := own.scalar.Bytes()
	defer clear(key)
	wide := label.Derive(label.MandateNonce, key, salt[:], 128, m[0][:], m[1][:], message)
	defer clear(wide)
	u, decoy := scalarFrom(wide[:64]), scalarFrom(wide[64:])

	var c, s [2]*ristretto255.Scalar
	o := 1 - j
	c[o] = m.challenge(o, message, ristretto255.NewIdentityElement().ScalarBaseMult(u))
	s[o] = decoy
	c[j] = m.challenge(j, message, ristretto255.NewIdentityElement().MultiScalarMult(
		[]*ristretto255.Scalar{s[o], c[o]}, []*ristretto255.Element{ristretto255.NewGeneratorElement(), y[o]}))
	s[j] = ristretto255.NewScalar().Multiply(c[j], own.scalar)
	s[j].Subtract(u, s[j])

	copy(sig[:], c[0].Bytes())
	copy(sig[32:], s[0].Bytes())
	copy(sig[64:], s[1].Bytes())
	return sig, nil
}

// verify reports whether one of the members made sig. It works on public values
// only, and its time depends on them.
func (m members) verify(message []byte, sig *[RingSize]byte) bool {
	y, err := m.points()
	if err != nil {
		return false
	}
	var v [3]*ristretto255.Scalar // c0, s0, s1
	for i := range v {
		// Scalars that are not reduced are refused, else there would be two
		// encodings of one signature.
		if v[i], err = ristretto255.NewScalar().SetCanonicalBytes(sig[32*i : 32*i+32]); err != nil {
			return false
		}
	}
	next := func(c, s *ristretto255.Scalar, y *ristretto255.Element) *ristretto255.Element {
		return ristretto255.NewIdentityElement().VarTimeDoubleScalarBaseMult(c, y, s)
	}
	c1 := m.challenge(1, message, next(v[0], v[1], y[0]))
	c0 := m.challenge(0, message, next(c1, v[2], y[1]))
	return bytes.Equal(c0.Bytes(), sig[:32])
}
