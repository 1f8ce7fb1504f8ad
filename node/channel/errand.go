package channel

import (
	"slices"

	"github.com/backchannel/backchannel/protocol/shuttle"
)

const (
	errandVersion = 1
	maxErrands    = 8  // of which nothing is open
	maxOpened     = 16 // with both offers and the words; more are opened only if they were called before
	maxUnseen     = 4  // messages of one of the two that the mediator's node has not seen to
)

// What a record is of.
const (
	errandMediator byte = iota
	errandParty
	errandDropped
)

// An errand is an exchange of sealed offers: with a mediator, who is the contact, or
// as the mediator, for whom the contact is one of the two.
type errand struct {
	party   *shuttle.Party // as one of the two
	dropped bool           // as one of the two: only id and expiry are kept

	// As the mediator.
	id      shuttle.ID     // by which the contact knows it
	role    shuttle.Role   // the contact's
	other   ContactID      // the other of the two
	round   *shuttle.Round // kept with the first of the two alone
	expiry  uint32
	subject string
	unseen  [][]byte // messages of the contact that were not seen to
}

func (e *errand) append(b []byte) []byte {
	c := encoder{b}
	c.u8(errandVersion)
	switch {
	case e.dropped:
		c.u8(errandDropped)
		c.fixed(e.id[:])
		c.u32(e.expiry)
		return c.b
	case e.party != nil:
		c.u8(errandParty)
		c.fixed(e.party.Append(nil))
		return c.b
	}
	c.u8(errandMediator)
	c.fixed(e.id[:])
	c.u8(byte(e.role))
	c.fixed(e.other[:])
	c.u32(e.expiry)
	c.bytes([]byte(e.subject))
	c.flag(e.round != nil)
	if e.round != nil {
		c.fixed(e.round.Append(nil))
	}
	c.u8(byte(len(e.unseen)))
	for _, m := range e.unseen {
		c.bytes(m)
	}
	return c.b
}

func parseErrand(b []byte) (*errand, error) {
	d := decoder{b: b}
	if err := d.version(errandVersion); err != nil {
		return nil, err
	}
	e := &errand{}
	var err error
	switch d.u8() {
	case errandDropped:
		e.dropped, e.id, e.expiry = true, shuttle.ID(d.fixed(16)), d.u32()
		return e, d.end()
	case errandParty:
		raw := d.fixed(shuttle.PartySize)
		if e.party, err = shuttle.ParseParty(raw); err != nil {
			return nil, ErrRecord
		}
		return e, d.end()
	case errandMediator:
	default:
		return nil, ErrRecord
	}
	e.id, e.role, e.other, e.expiry, e.subject = shuttle.ID(d.fixed(16)), shuttle.Role(d.u8()), ContactID(d.fixed(16)), d.u32(), string(d.bytes())
	if d.flag() {
		if e.round, err = shuttle.ParseRound(d.fixed(shuttle.RoundSize)); err != nil {
			return nil, ErrRecord
		}
	}
	for n := d.u8(); n > 0 && !d.bad; n-- {
		e.unseen = append(e.unseen, d.bytes())
	}
	if e.role != shuttle.First && e.role != shuttle.Second || (e.round != nil) != (e.role == shuttle.First) {
		return nil, ErrRecord
	}
	return e, d.end()
}

func (v *Conversation) loadErrands() error {
	for r, err := range v.cfg.Records.Scan(KindShuttle, v.id) {
		if err != nil {
			return err
		}
		if v.c.stage == Leaving {
			v.stale = append(v.stale, r.Key)
			continue
		}
		if v.errands[r.Key.Seq], err = parseErrand(r.Value); err != nil {
			return err
		}
	}
	return nil
}

func (v *Conversation) saveErrand(n uint64) { v.put(KindShuttle, n, v.errands[n].append(nil)) }

func (v *Conversation) dropErrand(n uint64) {
	v.errands[n].wipe()
	delete(v.errands, n)
	v.drop(KindShuttle, n)
}

func (e *errand) wipe() {
	if e.party != nil {
		e.party.Wipe()
	}
}

func (v *Conversation) errandNumbers() []uint64 {
	numbers := make([]uint64, 0, len(v.errands))
	for n := range v.errands {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	return numbers
}

// errandBy finds an exchange by the name that the contact knows it by.
func (v *Conversation) errandBy(id shuttle.ID) (uint64, *errand) {
	for n, e := range v.errands {
		if e.party != nil && e.party.ID() == id || e.party == nil && e.id == id {
			return n, e
		}
	}
	return 0, nil
}

// roundFor finds, in the conversation with the first, what the mediator keeps of an
// exchange that one of the two knows by that name.
func (v *Conversation) roundFor(id shuttle.ID) (uint64, *errand) {
	for n, e := range v.errands {
		if e.round != nil && (e.round.ID(shuttle.First) == id || e.round.ID(shuttle.Second) == id) {
			return n, e
		}
	}
	return 0, nil
}

// over reports whether nothing can come of an exchange any more.
func (e *errand) over(now uint32) bool {
	switch {
	case e.party != nil:
		return e.party.Stage() == shuttle.Opened || now >= e.party.Expiry()
	case e.round != nil && e.round.Released():
		return true
	default:
		return now >= e.expiry
	}
}

// opened reports whether this side has read the other's offer. What it holds then
// stands nowhere else, and the comparison of words may come years later.
func (e *errand) opened() bool { return e.party != nil && e.party.Stage() == shuttle.Opened }

// keepErrand numbers a new one. When there are many, the oldest that is over goes; but
// none that was opened: only its person deletes it.
func (v *Conversation) keepErrand(e *errand) bool {
	n := uint64(1)
	var rest []uint64
	for _, used := range v.errandNumbers() {
		if n = used + 1; !v.errands[used].opened() && !v.errands[used].dropped {
			rest = append(rest, used)
		}
	}
	opened := 0
	for _, other := range v.errands {
		if other.opened() {
			opened++
		}
	}
	if e.party != nil && opened >= maxOpened {
		return false
	}
	if len(rest) >= maxErrands {
		i := slices.IndexFunc(rest, func(n uint64) bool { return v.errands[n].over(minute(v.now)) })
		if i < 0 {
			return false
		}
		v.dropErrand(rest[i])
	}
	v.errands[n] = e
	v.saveErrand(n)
	return true
}
