package link

import "time"

// least is the shortest time between two wakings of a sender.
const least = time.Millisecond

// margin is the part of a slot, in so many, that is left free at either end: a machine
// that stalls for less than two of them has the same count in each slot all the same.
const margin = 16

// A pace says how many frames are due: rate in each slot, evenly, on the clock. What a
// stall has missed is made up for within the slot and never later, so that the count of a
// slot does not depend on what this machine had to do.
type pace struct {
	slot int64 // nanoseconds
	rate int64
	now  int64 // number of the slot that sent belongs to
	sent int64
}

func newPace(slot time.Duration, rate int, now time.Time) *pace {
	p := &pace{slot: int64(slot), rate: int64(rate)}
	p.now, p.sent = p.due(now) // what this slot would have had before the link was there is left out
	return p
}

// due returns the slot of a moment, and how many frames have left in it by then.
func (p *pace) due(now time.Time) (slot, count int64) {
	at := now.UnixNano()
	slot = at / p.slot
	into := at%p.slot - p.slot/margin
	beats := p.slot - 2*(p.slot/margin) // the time in which there are any
	if into < 0 {
		return slot, 0
	}
	return slot, min(p.rate, (2*into*p.rate+beats)/(2*beats))
}

// take returns how many frames leave now, and the time until the next is due.
func (p *pace) take(now time.Time) (count int, wait time.Duration) {
	slot, due := p.due(now)
	if slot != p.now {
		p.now, p.sent = slot, 0
	}
	if due > p.sent {
		count = int(due - p.sent)
		p.sent = due
	}
	next := p.slot/margin + p.slot*slot
	if p.sent == p.rate {
		next += p.slot
	} else {
		beats := p.slot - 2*(p.slot/margin)
		next += ((2*p.sent+1)*beats-1)/(2*p.rate) + 1
	}
	return count, max(least, time.Duration(next-now.UnixNano()))
}
