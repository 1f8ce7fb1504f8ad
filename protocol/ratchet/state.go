package ratchet

import (
	"encoding/binary"
	"errors"

	"github.com/backchannel/backchannel/protocol/secret"
)

// stateVersion is the first byte of a stored state.
const stateVersion = 1

const skippedSize = secret.Size + 4 + 4 + secret.Size

// ErrState is returned for stored bytes that are not a state.
var ErrState = errors.New("ratchet: not a stored state")

// keys lists the keys of a state in the order in which they are stored.
func (s *State) keys() []*secret.Key {
	return []*secret.Key{
		&s.root, &s.dhPrivate, &s.kemSeed, &s.sendChain, &s.receiveChain,
		&s.sendHeader, &s.receiveHeader, &s.nextSendHeader, &s.nextReceiveHeader,
	}
}

// Append appends the stored form of the state, which is secret, to b.
//
//	version 1 ‖ step due 1 ‖ which keys are set 2 ‖ binding 32 ‖ nine keys 32
//	‖ peer X25519 32 ‖ peer ML-KEM 1184 ‖ own X25519 32 ‖ own ML-KEM 1184
//	‖ own ciphertext 1088 ‖ sent 4 ‖ received 4 ‖ previous 4
//	‖ count 2 ‖ skipped keys: header 32, n 4, day 4, key 32
func (s *State) Append(b []byte) []byte {
	due := byte(0)
	if s.stepDue {
		due = 1
	}
	b = append(b, stateVersion, due)
	var set uint16
	for i, k := range s.keys() {
		if !k.IsZero() {
			set |= 1 << i
		}
	}
	b = binary.BigEndian.AppendUint16(b, set)
	b = append(b, s.binding[:]...)
	for _, k := range s.keys() {
		if k.IsZero() {
			b = append(b, make([]byte, secret.Size)...)
		} else {
			b = append(b, k.Bytes()...)
		}
	}
	b = append(b, s.peerDH[:]...)
	b = append(b, s.peerKEM[:]...)
	b = append(b, s.ownDH[:]...)
	b = append(b, s.ownKEM[:]...)
	b = append(b, s.ownCT[:]...)
	b = binary.BigEndian.AppendUint32(b, s.sent)
	b = binary.BigEndian.AppendUint32(b, s.received)
	b = binary.BigEndian.AppendUint32(b, s.previous)
	b = binary.BigEndian.AppendUint16(b, uint16(len(s.skipped)))
	for _, k := range s.skipped {
		b = append(b, k.header.Bytes()...)
		b = binary.BigEndian.AppendUint32(b, k.n)
		b = binary.BigEndian.AppendUint32(b, k.day)
		b = append(b, k.key.Bytes()...)
	}
	return b
}

// ParseState parses the stored form that Append makes.
func ParseState(b []byte) (*State, error) {
	s := newState()
	keys := s.keys()
	fixed := 4 + 32 + len(keys)*secret.Size + 2*dhSize + 2*len(s.peerKEM) + len(s.ownCT) + 12 + 2
	if len(b) < fixed || b[0] != stateVersion || b[1] > 1 {
		return nil, ErrState
	}
	s.stepDue = b[1] == 1
	set := binary.BigEndian.Uint16(b[2:])
	if set>>len(keys) != 0 {
		return nil, ErrState
	}
	b = b[4:]
	b = b[copy(s.binding[:], b):]
	for i, k := range keys {
		if set>>i&1 == 1 {
			*k = secret.FromBytes(b[:secret.Size])
		} else if [secret.Size]byte(b) != [secret.Size]byte{} {
			return nil, ErrState
		}
		b = b[secret.Size:]
	}
	b = b[copy(s.peerDH[:], b):]
	b = b[copy(s.peerKEM[:], b):]
	b = b[copy(s.ownDH[:], b):]
	b = b[copy(s.ownKEM[:], b):]
	b = b[copy(s.ownCT[:], b):]
	s.sent = binary.BigEndian.Uint32(b)
	s.received = binary.BigEndian.Uint32(b[4:])
	s.previous = binary.BigEndian.Uint32(b[8:])
	count := int(binary.BigEndian.Uint16(b[12:]))
	if b = b[14:]; count > MaxStored || len(b) != count*skippedSize || !s.consistent() {
		return nil, ErrState
	}
	for range count {
		s.skipped = append(s.skipped, skippedKey{
			header: secret.FromBytes(b[:32]),
			n:      binary.BigEndian.Uint32(b[32:]),
			day:    binary.BigEndian.Uint32(b[36:]),
			key:    secret.FromBytes(b[40:72]),
		})
		b = b[skippedSize:]
	}
	return s, nil
}

// consistent reports whether the keys that must be there are, so that a state
// that parses can be used without fear of an empty key.
func (s *State) consistent() bool {
	return !s.root.IsZero() && !s.nextSendHeader.IsZero() && !s.nextReceiveHeader.IsZero() &&
		s.dhPrivate.IsZero() == s.kemSeed.IsZero() &&
		s.sendChain.IsZero() == s.sendHeader.IsZero() &&
		s.receiveChain.IsZero() == s.receiveHeader.IsZero() &&
		(s.sendChain.IsZero() || !s.dhPrivate.IsZero()) &&
		(s.stepDue || !s.dhPrivate.IsZero())
}

// Wipe clears the keys of s, which it may share with the state before and after.
func (s *State) Wipe() {
	for _, k := range s.keys() {
		k.Wipe()
	}
	for _, k := range s.skipped {
		k.key.Wipe()
	}
}
