package relayed

import (
	"bytes"
	"math"
	"slices"
	"time"

	"github.com/backchannel/backchannel/protocol/onion"
)

const (
	window    = 256  // trips that are looked at
	minTrips  = 12   // over a relay before it is judged
	sameTrips = 4    // over one that is blamed already: ways avoid it, so that there are few
	certainty = 2.6  // standard deviations
	tooMany   = 0.2  // of what a relay's trips lose, surely, beyond what others lose
	leastLost = 3    // trips: fewer are never surely too many
	alarming  = 0.35 // of all packets that no relay behind the guard explains
)

// health is what became of the last packets: each trip went over the guard and some
// relays, and came back or did not.
type health struct {
	trips  []trip
	bad    []onion.ID // by all their trips: for people, and for which drop is asked first
	middle []onion.ID // by the trips on which they were no drop: for ways
	losing bool       // at the end of the last slot, what Losing tells
}

type trip struct {
	relays []onion.ID
	exit   onion.ID // the drop, one of them
	back   bool
}

func newHealth() health { return health{} }

func (h *health) ended(relays []onion.ID, exit onion.ID, back bool) {
	h.trips = append(h.trips, trip{relays, exit, back})
	h.trips = h.trips[max(0, len(h.trips)-window):]
}

// isBad reports whether a relay loses packets.
func (h *health) isBad(id onion.ID) bool { return slices.Contains(h.bad, id) }

// isBadMiddle reports whether a relay loses packets that it passes on. Ways avoid such a
// relay where they can: all who meet it find it, so that avoiding it tells nothing of
// anybody. What it loses as a drop does not count here: it could lose what its own
// users ask it for and nothing else, and would make their guards see who they are.
func (h *health) isBadMiddle(id onion.ID) bool { return slices.Contains(h.middle, id) }

func (h *health) keep(v View) {
	gone := func(id onion.ID) bool {
		_, ok := v.Member(id)
		return !ok
	}
	h.bad, h.middle = slices.DeleteFunc(h.bad, gone), slices.DeleteFunc(h.middle, gone)
}

// judge finds the relays to blame: the one whose trips surely lose most, then, without
// its trips, the next, and so on. What is lost of the rest is the guard's doing, or the
// network's.
func (h *health) judge() (rest float64, trips int) {
	bad, left := blame(slices.Clone(h.trips), h.bad)
	h.bad = bad
	h.middle, _ = blame(h.passed(), nil)
	if len(left) == 0 {
		return 0, 0
	}
	return share(left), len(left)
}

// passed is the trips without their drops, and without those to a drop that loses
// packets: which relays were on the way there does not matter.
func (h *health) passed() (all []trip) {
	for _, t := range h.trips {
		if !h.isBad(t.exit) {
			t.relays = slices.DeleteFunc(slices.Clone(t.relays), func(id onion.ID) bool { return id == t.exit })
			all = append(all, t)
		}
	}
	return all
}

// blame returns the relays to blame for what is lost, and the trips that went over none
// of them. Known are those that are blamed already.
func blame(trips []trip, known []onion.ID) (bad []onion.ID, left []trip) {
	for {
		worst, found := worstOf(trips, known)
		if !found {
			return bad, trips
		}
		bad = append(bad, worst)
		trips = slices.DeleteFunc(trips, func(t trip) bool { return slices.Contains(t.relays, worst) })
	}
}

// share is the part of trips that did not come back.
func share(trips []trip) float64 { return float64(lost(trips)) / float64(max(1, len(trips))) }

// lost is how many trips did not come back.
func lost(trips []trip) (n int) {
	for _, t := range trips {
		if !t.back {
			n++
		}
	}
	return n
}

// worstOf returns the relay whose trips lose most compared with those that do not go
// over it, if that is surely too many.
func worstOf(trips []trip, known []onion.ID) (worst onion.ID, found bool) {
	if lost(trips) < leastLost {
		return worst, false
	}
	type record struct{ all, lost int }
	of := map[onion.ID]*record{}
	total := record{}
	for _, t := range trips {
		total.all++
		if !t.back {
			total.lost++
		}
		for i, id := range t.relays {
			if slices.Contains(t.relays[:i], id) {
				continue // it stands on both ways
			}
			r := of[id]
			if r == nil {
				r = &record{}
				of[id] = r
			}
			r.all++
			if !t.back {
				r.lost++
			}
		}
	}
	most := 0.0
	for id, r := range of {
		if r.all < sameTrips || r.all < minTrips && !slices.Contains(known, id) {
			continue
		}
		others := float64(total.lost-r.lost) / float64(max(1, total.all-r.all))
		surely := lower(r.lost, r.all)
		if excess := surely - others; excess > tooMany && (excess > most || excess == most && bytes.Compare(id[:], worst[:]) < 0) {
			worst, most, found = id, excess, true
		}
	}
	return worst, found
}

// lower is the least share that so many of all are likely to stand for (Wilson).
func lower(lost, all int) float64 {
	n, p := float64(all), float64(lost)/float64(all)
	z2 := certainty * certainty
	return (p + z2/(2*n) - certainty*math.Sqrt(p*(1-p)/n+z2/(4*n*n))) / (1 + z2/n)
}

// alarmEvery is how often a person is told that packets are lost.
const alarmEvery = 6 * time.Hour

// judge looks back on the slot that ends.
func (m *Machine) judge(now time.Time) {
	before := m.health.middle
	rest, trips := m.health.judge()
	if !slices.Equal(before, m.health.middle) {
		m.forgetWays()
	}
	m.health.losing = trips >= window/4 && rest > alarming
	if trips >= window/4 && !m.health.losing {
		m.guards.lostBefore = false
	}
	if m.health.losing && now.Sub(m.guards.alarmed) >= alarmEvery {
		m.guards.alarmed = now
		m.notice(Losing, ContactID{})
	}
	m.watchGuard(now)
}

// prefers reports whether drop a rather than b is asked first: b has not answered
// lately, and a has.
func (m *Machine) prefers(a, b onion.ID) bool {
	if m.health.isBad(a) != m.health.isBad(b) {
		return m.health.isBad(b)
	}
	return m.misses[a] == 0 && m.misses[b] >= 3
}

// Losing reports whether many packets are lost at present that no relay behind the guard
// explains: the guard loses them, or the line to it, or somebody holds back all but ours.
func (m *Machine) Losing() bool { return m.health.losing }

// LosingAgain reports whether they were lost at another guard before, too. Then it is the
// line, most likely, and a third guard would not help.
func (m *Machine) LosingAgain() bool { return m.health.losing && m.guards.lostBefore }

// Bad returns the relays behind the guard that lose packets, as far as this machine can
// tell. Loops and all other packets count, so that it needs no contact.
func (m *Machine) Bad() []onion.ID { return slices.Clone(m.health.bad) }
