package backup

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// A Record is one record of a vault, as docs/spec/store.md names them. The content
// of a file of the kind [Vault] is a count and all records in the order of kind,
// object and sequence number.
//
//	 0  1  kind, not 0
//	 1 16  object
//	17  8  sequence number
//	25  4  length of the value
//	29     value
type Record struct {
	Kind   byte
	Object [16]byte
	Seq    uint64
	Value  []byte
}

const recordFixed = 1 + 16 + 8 + 4

func (r *Record) compare(other *Record) int {
	return cmp.Or(cmp.Compare(r.Kind, other.Kind), slices.Compare(r.Object[:], other.Object[:]), cmp.Compare(r.Seq, other.Seq))
}

// AppendRecords appends the encoding of all records of a vault, which it puts into
// their order. Records that no parser would take are a programming error: it panics.
func AppendRecords(b []byte, list []Record) []byte {
	slices.SortFunc(list, func(x, y Record) int { return x.compare(&y) })
	b = binary.BigEndian.AppendUint32(b, uint32(len(list)))
	for i := range list {
		r := &list[i]
		if r.Kind == 0 || len(r.Value) > MaxValue || i > 0 && list[i-1].compare(r) >= 0 {
			panic("backup: records that cannot be")
		}
		b = append(b, r.Kind)
		b = append(b, r.Object[:]...)
		b = binary.BigEndian.AppendUint64(b, r.Seq)
		b = binary.BigEndian.AppendUint32(b, uint32(len(r.Value)))
		b = append(b, r.Value...)
	}
	return b
}

// RecordsSize is the length of what AppendRecords appends.
func RecordsSize(list []Record) int {
	n := 4
	for _, r := range list {
		n += recordFixed + len(r.Value)
	}
	return n
}

// ParseRecords parses the encoding that AppendRecords makes, and refuses every
// other. The values share the memory of b.
func ParseRecords(b []byte) ([]Record, error) {
	if len(b) < 4 {
		return nil, ErrFormat
	}
	n, rest := int64(binary.BigEndian.Uint32(b)), b[4:]
	if n*recordFixed > int64(len(rest)) {
		return nil, ErrFormat
	}
	list := make([]Record, 0, n)
	for i := range int(n) {
		if len(rest) < recordFixed {
			return nil, ErrFormat
		}
		r := Record{Kind: rest[0], Object: [16]byte(rest[1:17]), Seq: binary.BigEndian.Uint64(rest[17:])}
		size := int64(binary.BigEndian.Uint32(rest[25:]))
		rest = rest[recordFixed:]
		if r.Kind == 0 || size > MaxValue || size > int64(len(rest)) || i > 0 && list[i-1].compare(&r) >= 0 {
			return nil, ErrFormat
		}
		r.Value, rest = rest[:size:size], rest[size:]
		list = append(list, r)
	}
	if len(rest) != 0 {
		return nil, ErrFormat
	}
	return list, nil
}
