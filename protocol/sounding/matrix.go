package sounding

import (
	"slices"

	"github.com/gtank/ristretto255"

	"github.com/backchannel/backchannel/protocol/label"
)

// takeShares computes the tags of all pairs from the other side's shares, and
// forgets our scalars: from then on the state no longer tells our topics to
// somebody who tries them.
func (s *Sounding) takeShares(b []byte) error {
	var points [Entries]*ristretto255.Element
	var theirs [Entries][pointSize]byte
	for i := range points {
		theirs[i] = [pointSize]byte(b[pointSize*i:])
		p, err := ristretto255.NewIdentityElement().SetCanonicalBytes(theirs[i][:])
		if err != nil || p.Equal(ristretto255.NewIdentityElement()) == 1 {
			return ErrRefused
		}
		// One share is one guess: neither twice, nor ours sent back.
		if slices.Contains(theirs[:i], theirs[i]) || slices.Contains(s.shares[:], theirs[i]) {
			return ErrRefused
		}
		points[i] = p
	}
	first, second := &s.shares, &theirs
	if s.role == Second {
		first, second = second, first
	}
	both := transcript(s.id, first, second)
	for own := range Entries {
		x, err := ristretto255.NewScalar().SetCanonicalBytes(s.scalars[own][:])
		if err != nil {
			return ErrFormat
		}
		for their, p := range points {
			dh := ristretto255.NewIdentityElement().ScalarMult(x, p).Bytes()
			n := s.pair(own, their)
			k := label.Derive(label.SoundingPair, dh, nil, 32, both[:], []byte{byte(n)})
			s.mine[n] = tag(k, s.role)
			s.theirs[n] = tag(k, s.role.other())
			clear(dh)
			clear(k)
		}
	}
	clear(s.scalars[:])
	return nil
}

// transcript stands for the sounding and everything that was sent before the
// first bit.
func transcript(id ID, first, second *[Entries][pointSize]byte) [32]byte {
	return label.Hash(label.SoundingSent, id[:], slices.Concat(list(first)...), slices.Concat(list(second)...))
}

func list(points *[Entries][pointSize]byte) [][]byte {
	out := make([][]byte, Entries)
	for i := range points {
		out[i] = points[i][:]
	}
	return out
}

func tag(k []byte, shown Role) [tagSize]byte {
	h := label.MAC(label.SoundingTag, k, []byte{byte(shown)})
	return [tagSize]byte(h[:tagSize])
}

// twoBits are the bits of a tag that round (from 1) releases.
func twoBits(tag *[tagSize]byte, round byte) byte {
	bit := 2 * (int(round) - 1)
	return tag[bit/8] >> (6 - bit%8) & 3
}
