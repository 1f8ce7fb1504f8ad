package relayed

import (
	"iter"
	"slices"
	"time"

	"github.com/backchannel/backchannel/protocol/onion"
)

const (
	minClocks = 3                // relays whose clocks must be known, if there are so many beside the guard
	readings  = 8                // of each that are kept
	fresh     = time.Hour        // for how long a reading counts
	jump      = 40 * time.Second // more than links explain
	longLinks = time.Second      // what links take on the way to a drop, at most
)

// clocks is how far the clocks of relays are ahead of this machine's. A reply says when
// it was made. How long each relay kept the packet before and after follows from the
// packet's secrets. What is left is links, half of it before; but a reply may also have
// waited at the guard for a packet that it could answer, and that is after.
type clocks map[onion.ID][]reading

type reading struct {
	at    time.Time
	ahead time.Duration
}

// heard takes what a reply to a packet said that comes now. Relays kept the packet for
// out on its way to the drop, and the reply for back.
func (c clocks) heard(relay onion.ID, sent, now time.Time, out, back time.Duration, said uint32) {
	links := max(0, now.Sub(sent)-out-back)
	made := sent.Add(out + min(links/2, longLinks))
	stamp := time.Unix(int64(said), int64(time.Second/2)) // it was cut to seconds
	ahead := stamp.Sub(made)
	all := c[relay]
	if n := len(all); n > 0 && (all[n-1].ahead-ahead).Abs() > jump {
		all = nil // one of the two clocks was set
	}
	all = append(all, reading{now, ahead})
	c[relay] = all[max(0, len(all)-readings):]
}

// each yields how far the clock of each relay is ahead, by readings that are fresh, and
// forgets others.
func (c clocks) each(now time.Time) iter.Seq2[onion.ID, time.Duration] {
	return func(yield func(onion.ID, time.Duration) bool) {
		for id, rs := range c {
			rs = slices.DeleteFunc(rs, func(r reading) bool { return now.Sub(r.at) > fresh })
			if len(rs) == 0 {
				delete(c, id)
				continue
			}
			c[id] = rs
			var sum time.Duration
			for _, r := range rs {
				sum += r.ahead
			}
			if !yield(id, sum/time.Duration(len(rs))) {
				return
			}
		}
	}
}

// Clocks returns how far the clocks of relays are ahead of this machine's, and when each
// was last read, by replies of the last hour.
func (m *Machine) Clocks(now time.Time) map[onion.ID]Clock {
	all := map[onion.ID]Clock{}
	for id, ahead := range m.clocks.each(now) {
		rs := m.clocks[id]
		all[id] = Clock{ahead, rs[len(rs)-1].at}
	}
	return all
}

// A Clock is that of a relay.
type Clock struct {
	Ahead time.Duration // of this machine's
	Read  time.Time     // by this machine's
}

// ahead returns the median over relays, and whether enough of them are known.
func (c clocks) ahead(now time.Time, relays int) (time.Duration, bool) {
	all := make([]time.Duration, 0, len(c))
	for _, ahead := range c.each(now) {
		all = append(all, ahead)
	}
	slices.Sort(all)
	if len(all) == 0 || len(all) < min(minClocks, relays-1) {
		return 0, false
	}
	return all[len(all)/2], true
}

func (c clocks) keep(v View) {
	for id := range c {
		if _, ok := v.Member(id); !ok {
			delete(c, id)
		}
	}
}
