package sounding

import (
	"encoding/binary"

	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

// Sizes in bytes. What a message holds changes none of them.
const (
	SharesSize = headerSize + Entries*pointSize // 258
	RoundSize  = headerSize + 2*pairs/8         // 18

	headerSize = 2
	version    = 1
)

// Outgoing returns the message that is due from this side, the same again until
// the next one of the other side was taken; nil if it is the other's turn, or
// nothing is left to say. The caller keeps to the pace of rounds.
func (s *Sounding) Outgoing() []byte {
	m := s.step
	if s.role == Second {
		m--
	}
	if s.closed || m > Rounds { // also when m wrapped: the first has not spoken
		return nil
	}
	b := []byte{version, m}
	if m == 0 {
		for _, share := range s.shares {
			b = append(b, share[:]...)
		}
		return b
	}
	// Noise is fixed by the seed and the round, so that a message that is sent
	// again after a crash is the same.
	noise := label.MAC(label.SoundingNoise, s.seed.Bytes(), s.id[:], []byte{m})
	b = append(b, noise[:2*pairs/8]...)
	for n := range pairs { // without branching on which pairs agree
		agrees := -byte(s.alive >> n & 1) // all ones or zero
		bits := twoBits(&s.mine[n], m)&agrees | getTwo(b[headerSize:], n)&^agrees
		setTwo(b[headerSize:], n, bits)
	}
	return b
}

// Receive takes the next message of the other side. One that was taken already,
// comes too early, or after [Sounding.Close] gives ErrOrder; an error changes
// nothing.
func (s *Sounding) Receive(b []byte) error {
	if !IsMessage(b) {
		return ErrFormat
	}
	m := b[1]
	if s.closed || m != s.step {
		return ErrOrder
	}
	if m == 0 {
		if err := s.takeShares(b[headerSize:]); err != nil {
			return err
		}
	} else {
		s.takeBits(m, b[headerSize:])
	}
	s.step++
	return nil
}

// IsMessage reports whether b has the form of a message of a sounding.
func IsMessage(b []byte) bool {
	if len(b) < headerSize || b[0] != version || b[1] > Rounds {
		return false
	}
	if b[1] == 0 {
		return len(b) == SharesSize
	}
	return len(b) == RoundSize
}

// takeBits drops the pairs that differ, without branching on which they are.
func (s *Sounding) takeBits(round byte, b []byte) {
	for n := range pairs {
		differ := uint64(getTwo(b, n) ^ twoBits(&s.theirs[n], round))
		s.alive &^= (differ | differ>>1) & 1 << n
	}
}

func getTwo(b []byte, n int) byte { return b[n/4] >> (6 - 2*(n%4)) & 3 }

func setTwo(b []byte, n int, bits byte) {
	shift := 6 - 2*(n%4)
	b[n/4] = b[n/4]&^(3<<shift) | bits<<shift
}

// StateSize is the length of a saved sounding, whatever it holds.
const StateSize = 4 + 32 + secret.Size + Entries + 8 + Entries*pointSize + 2*pairs*tagSize

// Append appends the state of s to b: [StateSize] secret bytes, which belong in a
// sealed store. It must be there before the message of [Sounding.Outgoing] goes
// out: a side that takes a step twice, with another message, would answer twice.
func (s *Sounding) Append(b []byte) []byte {
	start := len(b)
	closed := byte(0)
	if s.closed {
		closed = 1
	}
	b = append(b, version, byte(s.role), s.step, closed)
	b = append(b, s.id[:]...)
	b = append(b, s.seed.Bytes()...)
	b = append(b, s.topics[:]...)
	b = binary.BigEndian.AppendUint64(b, s.alive)
	for _, share := range s.shares {
		b = append(b, share[:]...)
	}
	if s.step == 0 {
		for _, x := range s.scalars {
			b = append(b, x[:]...)
		}
		return append(b, make([]byte, StateSize-(len(b)-start))...)
	}
	for n := range pairs {
		b = append(b, s.mine[n][:]...)
		b = append(b, s.theirs[n][:]...)
	}
	return b
}

// Load reads a state that Append wrote.
func Load(b []byte) (*Sounding, error) {
	if len(b) != StateSize || b[0] != version || b[3] > 1 {
		return nil, ErrFormat
	}
	s := &Sounding{role: Role(b[1]), step: b[2], closed: b[3] == 1}
	if s.role != First && s.role != Second || s.step > Rounds+1 {
		return nil, ErrFormat
	}
	b = b[4:]
	take := func(n int) []byte {
		x := b[:n]
		b = b[n:]
		return x
	}
	s.id = ID(take(32))
	s.seed = secret.FromBytes(take(secret.Size))
	s.topics = [Entries]byte(take(Entries))
	for _, topic := range s.topics {
		if topic >= Entries && topic != filler {
			return nil, ErrFormat
		}
	}
	s.alive = binary.BigEndian.Uint64(take(8))
	for i := range s.shares {
		s.shares[i] = [pointSize]byte(take(pointSize))
	}
	if s.step == 0 {
		for i := range s.scalars {
			s.scalars[i] = [32]byte(take(32))
		}
		return s, nil
	}
	for n := range pairs {
		s.mine[n] = [tagSize]byte(take(tagSize))
		s.theirs[n] = [tagSize]byte(take(tagSize))
	}
	return s, nil
}
