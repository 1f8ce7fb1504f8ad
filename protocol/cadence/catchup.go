package cadence

import "github.com/backchannel/backchannel/protocol/secret"

// MaxPeriods is the most periods that a Book holds: what a drop keeps, 96 hours, at
// one period in 30 seconds.
const MaxPeriods = 11520

// What is known of one period.
type mark byte

const (
	askedFirst mark = 1 << iota
	askedSecond
	failedFirst // the first replica was not there, or did not answer
	found
	written // a later box of the peer says so
	turned  // the replica that is asked first is the one with number 1

	marks = askedFirst | askedSecond | failedFirst | found | written | turned
)

// A Book says which periods of one contact were read. No address is read twice, so
// what was asked is marked, and committed, before the get leaves.
//
// Replicas are counted here in the order in which they are asked; see [Book.Turn].
type Book struct {
	first  uint64 // the period of marks[0]
	marks  []mark
	newest int // index of the newest box found, or -1
}

// NewBook returns a Book that begins with a period.
func NewBook(first uint64) *Book { return &Book{first: first, newest: -1} }

// at returns the mark of a period, or nil if the Book does not reach so far.
func (b *Book) at(period uint64) *mark {
	if period < b.first || period-b.first >= MaxPeriods {
		return nil
	}
	i := int(period - b.first)
	for len(b.marks) <= i {
		b.marks = append(b.marks, 0)
	}
	return &b.marks[i]
}

func (b *Book) set(period uint64, m mark) {
	if p := b.at(period); p != nil {
		*p |= m
	}
}

// Asked marks a replica, 0 or 1, of a period as read.
func (b *Book) Asked(period uint64, replica int) {
	if replica == 0 {
		b.set(period, askedFirst)
	} else {
		b.set(period, askedSecond)
	}
}

// Failed says that a get of the first replica brought no box.
func (b *Book) Failed(period uint64) { b.set(period, askedFirst|failedFirst) }

// Found says that a get brought the box of a period.
func (b *Book) Found(period uint64) {
	if p := b.at(period); p != nil {
		*p |= found
		b.newest = max(b.newest, int(period-b.first))
	}
}

// Written says that the peer wrote the periods from one to another, both included.
func (b *Book) Written(from, to uint64) {
	from = max(from, b.first)
	for n := uint64(0); n < MaxPeriods && from+n <= to; n++ {
		b.set(from+n, written)
	}
}

// Forget drops the periods before one: the drops do not keep them any more. It is
// called before the Book reaches [MaxPeriods].
func (b *Book) Forget(before uint64) {
	if before <= b.first {
		return
	}
	n := min(before-b.first, uint64(len(b.marks)))
	b.marks = append([]mark(nil), b.marks[n:]...)
	b.newest = max(-1, b.newest-int(n))
	b.first = before
}

// Overdue returns the newest period that catching up may ask for in a slot: its
// current get should have left lag slots ago. There is none before the first.
func Overdue(slot, lag Slot, p Period) (uint64, bool) {
	if slot < 2*lag || (slot-2*lag)/Slot(p) < 2 {
		return 0, false
	}
	return uint64((slot-2*lag)/Slot(p) - 2), true
}

// next returns what is asked for next of this contact: if numbers are missing, the
// periods that the peer is known to have written; then the stretch behind the
// newest box, in ever smaller strides; then the second replicas there.
func (b *Book) next(horizon uint64, missing bool, skip func(uint64, int) bool) (period uint64, replica int, ok bool) {
	if b.at(horizon) == nil {
		return 0, 0, false
	}
	if skip == nil {
		skip = func(uint64, int) bool { return false }
	}
	top := int(horizon - b.first)
	for i := top; missing && i >= 0; i-- {
		switch m := b.marks[i]; {
		case m&written == 0 || m&found != 0:
		case m&askedFirst == 0:
			if p := b.first + uint64(i); !skip(p, 0) {
				return p, 0, true
			}
		case m&failedFirst != 0 && m&askedSecond == 0:
			if p := b.first + uint64(i); !skip(p, 1) {
				return p, 1, true
			}
		}
	}
	for _, stride := range []uint64{256, 64, 16, 4, 1} {
		for i := top; i > b.newest; i-- {
			if p := b.first + uint64(i); p%stride == 0 && b.marks[i]&(askedFirst|found) == 0 && !skip(p, 0) {
				return p, 0, true
			}
		}
	}
	for i := top; i > b.newest; i-- {
		if p := b.first + uint64(i); b.marks[i]&(failedFirst|askedSecond|found) == failedFirst && !skip(p, 1) {
			return p, 1, true
		}
	}
	return 0, 0, false
}

// A Question is what a catch-up get asks for.
type Question struct {
	Contact int // its place in the list, or -1: a random address
	Period  uint64
	Replica int
}

// A Reader is one contact for whom it may be asked.
type Reader struct {
	Book    *Book
	Period  Period
	Missing bool // a number between the lowest owed and the highest is missing
	// Skip reports whether a question is to be passed over, because the packet that
	// leaves now does not lead there. Nil: none is.
	Skip func(period uint64, replica int) bool
}

// Ask returns what the catch-up get of a lane asks for. Contacts who need something
// take turns. If nobody does it is a random address, and one time in 16 a second
// replica of any age that was never read, so that reading what is old says nothing.
func Ask(seed secret.Key, readers []Reader, slot, lag Slot, lane int) Question {
	var all []Question
	for c, r := range readers {
		horizon, ok := Overdue(slot, lag, r.Period)
		if !ok {
			continue
		}
		if period, replica, ok := r.Book.next(horizon, r.Missing, r.Skip); ok {
			all = append(all, Question{c, period, replica})
		}
	}
	turn := uint64(slot)*Lanes + uint64(lane)
	if len(all) > 0 {
		return all[turn%uint64(len(all))]
	}
	if draw(seed, "age", turn, 0)%16 == 0 {
		if q, ok := old(seed, readers, slot, lag, turn); ok {
			return q
		}
	}
	return Question{Contact: -1}
}

// old draws a second replica that was never read; it tries a few times.
func old(seed secret.Key, readers []Reader, slot, lag Slot, turn uint64) (Question, bool) {
	for try := uint64(1); try <= 8 && len(readers) > 0; try++ {
		c := int(draw(seed, "contact", turn, try) % uint64(len(readers)))
		b := readers[c].Book
		horizon, ok := Overdue(slot, lag, readers[c].Period)
		if !ok || b.at(horizon) == nil {
			continue
		}
		i := draw(seed, "age", turn, try) % (horizon - b.first + 1)
		if b.marks[i]&askedSecond == 0 {
			return Question{c, b.first + i, 1}, true
		}
	}
	return Question{}, false
}
