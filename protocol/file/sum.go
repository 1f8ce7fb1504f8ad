package file

import (
	"crypto/sha256"
	"encoding"
	"hash"
)

// A Sum adds up the content of a file, in order, to its SHA-256. It can be put
// down and taken up again: see [Sum.State].
type Sum struct{ h hash.Hash }

// NewSum returns the sum of nothing.
func NewSum() *Sum { return &Sum{sha256.New()} }

// Add adds the next bytes.
func (s *Sum) Add(b []byte) { _, _ = s.h.Write(b) }

// Result returns the SHA-256 of what was added.
func (s *Sum) Result() [32]byte { return [32]byte(s.h.Sum(nil)) }

// State returns what [ResumeSum] goes on from. It is about the content, and as
// secret as that.
func (s *Sum) State() []byte {
	b, err := s.h.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		panic("file: SHA-256 does not tell its state")
	}
	return b
}

// ResumeSum returns the Sum whose State this is.
func ResumeSum(state []byte) (*Sum, error) {
	s := NewSum()
	if err := s.h.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
		return nil, ErrFormat
	}
	return s, nil
}
