package channel

import (
	"slices"
	"time"

	"github.com/backchannel/backchannel/protocol/shuttle"
)

// maxDropped bounds the exchanges of which it is remembered that they were dropped.
const maxDropped = 32

// A DroppedShuttle says what others have of an exchange that was dropped here. None of them
// is told that it was.
type DroppedShuttle byte

// What they have. The first four are of one of the two, the others of the mediator's.
const (
	DroppedUnsaid   DroppedShuttle = 1 + iota // nothing of this side's offer
	DroppedSealed                             // that it was sealed; nobody can read it any more
	DroppedOpening                            // what opens it: the mediator can let the other side read it
	DroppedRead                               // both offers were read
	DroppedUnopened                           // both sides see that it ends with nothing opened
	DroppedReleased                           // both sides have what was released to them
)

// String returns it in the words that screens show.
func (d DroppedShuttle) String() string {
	switch d {
	case DroppedUnsaid:
		return "they have nothing of your offer"
	case DroppedSealed:
		return "nobody can read your offer"
	case DroppedOpening:
		return "your offer can still be read"
	case DroppedRead:
		return "both were read"
	case DroppedUnopened:
		return "nothing is opened"
	case DroppedReleased:
		return "both were released"
	default:
		return "no state"
	}
}

// shuttleAt is the exchange of a number; 0 stands for the only one.
func (v *Conversation) shuttleAt(n uint64) (uint64, *errand, error) {
	if n == 0 {
		numbers := slices.DeleteFunc(v.errandNumbers(), func(n uint64) bool { return v.errands[n].dropped })
		switch {
		case len(numbers) > 1:
			return 0, nil, ErrWhichShuttle
		case len(numbers) == 1:
			n = numbers[0]
		}
	}
	if e := v.errands[n]; e != nil && !e.dropped {
		return n, e, nil
	}
	return 0, nil, ErrNoShuttle
}

// Mediates finds an exchange by its number, 0 standing for the only one, and reports
// whether this person is the mediator in it.
func (v *Conversation) Mediates(n uint64) (number uint64, mediator bool, err error) {
	number, e, err := v.shuttleAt(n)
	return number, err == nil && e.party == nil, err
}

// DropShuttle ends an exchange on this side, as one of the two in it: what is kept of it is
// deleted, and what of it has not left is taken back. Nobody is told. 0 stands for the only
// exchange with the contact.
func (v *Conversation) DropShuttle(now time.Time, n uint64) (DroppedShuttle, *Output, error) {
	n, e, err := v.shuttleAt(n)
	if err != nil {
		return 0, nil, err
	}
	if e.party == nil {
		return 0, nil, ErrNoShuttle // the mediator's: see DropRound
	}
	v.begin(now)
	stage, id := e.party.Stage(), e.party.ID()
	unsaid := v.takeBack(id)
	d := DroppedOpening
	switch {
	case stage == shuttle.Opened:
		d = DroppedRead
	case stage == shuttle.Called, unsaid[shuttleCommitment], stage == shuttle.Sealed && e.party.Role() == shuttle.Second:
		d = DroppedUnsaid
	case stage == shuttle.Sealed, unsaid[shuttleOpening]:
		d = DroppedSealed
	}
	expiry := e.party.Expiry()
	v.dropErrand(n)
	if stage != shuttle.Called { // in one exchange one offer is sealed, also if it is called again
		v.errands[n] = &errand{dropped: true, id: id, expiry: expiry}
		v.saveErrand(n)
		v.forgetDropped()
	}
	return d, v.finish(), nil
}

// forgetDropped keeps the list of what was dropped short: what is over goes, and the oldest.
func (v *Conversation) forgetDropped() {
	all := slices.DeleteFunc(v.errandNumbers(), func(n uint64) bool { return !v.errands[n].dropped })
	for i, n := range all {
		if len(all)-i > maxDropped || minute(v.now) >= v.errands[n].expiry {
			v.dropErrand(n)
		}
	}
}

// DropRound is DropShuttle for the mediator. It is called on both conversations, with what
// [Conversation.Carried] returns of either, and both Outputs are one commit.
func (v *Conversation) DropRound(now time.Time, released bool, id shuttle.ID) *Output {
	v.begin(now)
	if n, e := v.errandBy(id); e != nil {
		if !released { // else one of them could read, and the other not
			v.takeBack(id)
		}
		v.dropErrand(n)
	}
	return v.finish()
}

// Rounds are the names of the mediator's exchange that one of the two knows by id, and
// whether it was released. It is called on the conversation with the first.
func (v *Conversation) Rounds(id shuttle.ID) (first, second shuttle.ID, released, ok bool) {
	_, e := v.roundFor(id)
	if e == nil {
		return first, second, false, false
	}
	return e.round.ID(shuttle.First), e.round.ID(shuttle.Second), e.round.Released(), true
}

// What a line of an exchange is, by its kind on the wire.
const (
	shuttleCommitment byte = 3 // of the first; of the second it is 4
	shuttleOpening    byte = 5
)

// takeBack removes the lines of an exchange that have not left, and tells their kinds.
func (v *Conversation) takeBack(id shuttle.ID) (kinds map[byte]bool) {
	kinds = map[byte]bool{}
	for i := len(v.messages) - 1; i >= 0; i-- {
		m := v.messages[i]
		if m.Craft != ShuttleCraft || m.Direction != Out || m.State != Waiting || v.isSealed(m.Seq) {
			continue
		}
		if of, _, err := shuttle.IDOf([]byte(m.Text)); err != nil || of != id {
			continue
		}
		kind := m.Text[1]
		if kind == shuttleCommitment+1 {
			kind = shuttleCommitment
		}
		kinds[kind] = true
		v.removeLine(i)
	}
	return kinds
}
