package cadence

import "errors"

// BlockSize is how many periods a Book keeps in one record, a byte for each.
const BlockSize = 256

// ErrBook is returned for a record of a Book that cannot be.
var ErrBook = errors.New("cadence: not a record of a book")

// First returns the first period that the Book knows.
func (b *Book) First() uint64 { return b.first }

// End returns the period behind the last one of which something is known.
func (b *Book) End() uint64 { return b.first + uint64(len(b.marks)) }

// Newest returns the newest period whose box was found.
func (b *Book) Newest() (period uint64, ok bool) {
	return b.first + uint64(max(b.newest, 0)), b.newest >= 0
}

// Known reports whether a get of a period has left, or its box was found. What lies
// before the Book, or too far ahead for it, counts as known.
func (b *Book) Known(period uint64) bool {
	p := b.at(period)
	return p == nil || *p&(askedFirst|askedSecond|found) != 0
}

// Has reports whether the box of a period was found.
func (b *Book) Has(period uint64) bool {
	p := b.at(period)
	return p != nil && *p&found != 0
}

// Turn says that replica 1 of a period is asked first, because its drop has answered
// lately and the other has not. It does nothing when a get has left already.
func (b *Book) Turn(period uint64) {
	if !b.Known(period) {
		b.set(period, turned)
	}
}

// Replica returns the number of the replica that is asked first (0) or second (1).
func (b *Book) Replica(period uint64, place int) int {
	if p := b.at(period); p != nil && *p&turned != 0 {
		return 1 - place
	}
	return place
}

// Block returns the record of the block that a period lies in, and its number.
func (b *Book) Block(period uint64) (number uint64, record []byte) {
	number = period / BlockSize
	record = make([]byte, BlockSize)
	for i := range record {
		if at := number*BlockSize + uint64(i); at >= b.first && at-b.first < uint64(len(b.marks)) {
			record[i] = byte(b.marks[at-b.first])
		}
	}
	return number, record
}

// Load takes a record that Block made into a Book that holds nothing yet of those
// periods. A get that was under way when the machine stopped counts as failed: the
// other replica is asked then.
func (b *Book) Load(number uint64, record []byte) error {
	if len(record) != BlockSize || number >= 1<<56 {
		return ErrBook
	}
	for i, r := range record {
		m := mark(r)
		if m&^marks != 0 {
			return ErrBook
		}
		if m&askedFirst != 0 && m&found == 0 {
			m |= failedFirst
		}
		period := number*BlockSize + uint64(i)
		if m == 0 || period < b.first {
			continue
		}
		p := b.at(period)
		if p == nil {
			return ErrBook
		}
		*p = m
		if m&found != 0 {
			b.newest = max(b.newest, int(period-b.first))
		}
	}
	return nil
}
