package wire

import "encoding/binary"

// missingSize is the length of a Missing in bytes.
const missingSize = 8

// Missing is the content of a frame of that kind: numbers that its sender passed over,
// since the other side owed them no more and they had not come.
//
//	0  4  from: the lowest
//	4  4  to: the highest
type Missing struct{ From, To uint32 }

// Append appends the 8-byte encoding of m to b.
func (m Missing) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, m.From)
	return binary.BigEndian.AppendUint32(b, m.To)
}

// ParseMissing parses the encoding that Append makes. It refuses another length, number 0
// and what ends before it begins.
func ParseMissing(b []byte) (Missing, error) {
	if len(b) != missingSize {
		return Missing{}, ErrFormat
	}
	m := Missing{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])}
	if m.From == 0 || m.To < m.From {
		return Missing{}, ErrFormat
	}
	return m, nil
}
