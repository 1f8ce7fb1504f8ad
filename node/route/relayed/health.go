package relayed

import (
	"bytes"
	"cmp"
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
// relays, and came back or did not. It is counted by relay as trips end, not at each look
// at it: that took a fifth of all time.
type health struct {
	trips  []trip
	names  []onion.ID          // of relays that trips went over; trips have them by place
	places map[onion.ID]uint16 // in names
	whole  counts              // of all trips
	passed counts              // likewise, without the trips' drops

	bad    []onion.ID // by all their trips: for people, and for which drop is asked first
	middle []onion.ID // by the trips on which they were no drop: for ways
	losing bool       // at the end of the last slot, what Losing tells

	operators map[onion.ID]string // of the relays of the view
}

// A trip has its relays by their places.
type trip struct {
	passed [onion.MaxHops]uint16
	n      uint8 // so many
	back   bool
	drop   uint16 // noPlace: it is not known
	beside uint16 // the first relay
}

const noPlace = math.MaxUint16

func newHealth() health { return health{places: map[onion.ID]uint16{}} }

// forget forgets all trips. Who was to blame still is, until there are others.
func (h *health) forget() {
	*h = health{places: map[onion.ID]uint16{}, bad: h.bad, middle: h.middle, losing: h.losing, operators: h.operators}
}

// ended notes what became of a packet that went over some relays, at most MaxHops of
// them, to a drop that is one of them, or is not known, and came back over the same, or not.
func (h *health) ended(relays []onion.ID, exit onion.ID, back bool) {
	t := trip{back: back, drop: noPlace, beside: noPlace}
	for i, id := range relays {
		p := h.place(id)
		if id == exit {
			t.drop = p
		} else {
			t.passed[t.n] = p
			t.n++
		}
		if i == 0 {
			t.beside = p
		}
	}
	h.add(t)
}

func (h *health) place(id onion.ID) uint16 {
	p, ok := h.places[id]
	if !ok {
		p = uint16(len(h.names))
		h.places[id], h.names = p, append(h.names, id)
	}
	return p
}

func (h *health) add(t trip) {
	h.trips = append(h.trips, t)
	h.whole.count(&t, true, 1)
	h.passed.count(&t, false, 1)
	if len(h.trips) > window {
		first := &h.trips[0]
		h.whole.count(first, true, -1)
		h.passed.count(first, false, -1)
		h.trips = h.trips[1:]
	}
}

// isBad reports whether a relay loses packets.
func (h *health) isBad(id onion.ID) bool { return slices.Contains(h.bad, id) }

// isBadMiddle reports whether a relay loses packets that it passes on. Ways avoid such a
// relay where they can: all who meet it find it, so that avoiding it tells nothing of
// anybody. What it loses as a drop does not count here: it could lose what its own
// users ask it for and nothing else, and would make their guards see who they are. It could
// also lose what comes to it over one relay, and have its users avoid that: so a relay is one
// only if it loses too much whichever operator's drops are left out.
func (h *health) isBadMiddle(id onion.ID) bool { return slices.Contains(h.middle, id) }

// keep forgets who is not in the view any more, and the names of whom no trip went over.
func (h *health) keep(v View) {
	gone := func(id onion.ID) bool {
		_, ok := v.Member(id)
		return !ok
	}
	h.bad, h.middle = slices.DeleteFunc(h.bad, gone), slices.DeleteFunc(h.middle, gone)
	h.operators = map[onion.ID]string{}
	for _, r := range v.Members() {
		h.operators[r.ID] = r.Operator
	}
	old := *h
	h.forget()
	move := func(p *uint16) {
		if *p != noPlace {
			*p = h.place(old.names[*p])
		}
	}
	for _, t := range old.trips {
		for i := range t.passed[:t.n] {
			move(&t.passed[i])
		}
		move(&t.drop)
		move(&t.beside)
		h.add(t)
	}
}

// counts is how many trips there were, and how many went over each relay, by its place.
type counts struct {
	all tally
	of  []tally
}

type tally struct{ trips, lost int }

// count counts a trip, or takes it out again. Its drop counts, or does not.
func (c *counts) count(t *trip, drop bool, by int) {
	c.all.count(t, by)
	for _, p := range t.passed[:t.n] {
		c.at(p).count(t, by)
	}
	if drop && t.drop != noPlace {
		c.at(t.drop).count(t, by)
	}
}

func (c *counts) at(p uint16) *tally {
	for int(p) >= len(c.of) {
		c.of = append(c.of, tally{})
	}
	return &c.of[p]
}

func (n *tally) count(t *trip, by int) {
	n.trips += by
	if !t.back {
		n.lost += by
	}
}

// judge finds the relays to blame: the one whose trips surely lose most, then, without
// its trips, the next, and so on. What is lost of the rest is the guard's doing, or the
// network's.
func (h *health) judge() (rest float64, trips int) {
	bad, left := h.blame(h.whole, h.bad, true, func(*trip) bool { return true })
	h.bad = bad
	// Which relays were on the way to a drop that loses packets does not matter.
	passed, honest := h.passed, func(t *trip) bool { return t.drop == noPlace || !h.isBad(h.names[t.drop]) }
	if len(bad) > 0 {
		passed = h.recount(nil, false, honest)
	}
	h.middle, _ = h.blame(passed, nil, false, honest)
	h.middle = h.withoutAny(h.middle, honest)
	return left.share(), left.trips
}

// withoutAny returns those of some relays that are to blame by what they pass on, too, if the
// drops of one operator are left out, whichever that is.
func (h *health) withoutAny(middle []onion.ID, counted func(*trip) bool) []onion.ID {
	tried := map[string]bool{}
	for i := range h.trips {
		if len(middle) == 0 {
			break
		}
		operator := h.hostOf(&h.trips[i])
		if operator == "" || tried[operator] {
			continue
		}
		tried[operator] = true
		others := func(t *trip) bool { return counted(t) && h.hostOf(t) != operator }
		still, _ := h.blame(h.recount(nil, false, others), middle, false, others)
		middle = slices.DeleteFunc(middle, func(id onion.ID) bool { return !slices.Contains(still, id) })
	}
	return middle
}

// hostOf returns the operator of a trip's drop, or empty if the drop is not known. One that no
// operator is known of counts as an operator of its own.
func (h *health) hostOf(t *trip) string {
	if t.drop == noPlace {
		return ""
	}
	id := h.names[t.drop]
	return cmp.Or(h.operators[id], string(id[:]))
}

// blame returns the relays to blame for what is lost, and what is lost of the trips that
// went over none of them. Known are those that are blamed already. Of the trips some
// count, with their drops or without.
func (h *health) blame(c counts, known []onion.ID, drop bool, counted func(*trip) bool) (bad []onion.ID, left tally) {
	var places []uint16
	for {
		worst, found := h.worstOf(c, known)
		if !found {
			return bad, c.all
		}
		bad, places = append(bad, h.names[worst]), append(places, worst)
		c = h.recount(places, drop, counted)
	}
}

// recount counts the trips that went over none of some relays.
func (h *health) recount(without []uint16, drop bool, counted func(*trip) bool) (c counts) {
	for i := range h.trips {
		t := &h.trips[i]
		over := slices.ContainsFunc(without, func(p uint16) bool {
			return drop && p == t.drop || slices.Contains(t.passed[:t.n], p)
		})
		if !over && counted(t) {
			c.count(t, drop, 1)
		}
	}
	return c
}

// share is the part of trips that did not come back.
func (n tally) share() float64 { return float64(n.lost) / float64(max(1, n.trips)) }

// worstOf returns the relay whose trips lose most compared with those that do not go
// over it, if that is surely too many. Where all go over it, as with three relays, what they
// lose may be the guard's doing, and nobody is to blame.
func (h *health) worstOf(c counts, known []onion.ID) (worst uint16, found bool) {
	if c.all.lost < leastLost {
		return worst, false
	}
	most := 0.0
	for i, r := range c.of {
		id := &h.names[i]
		if r.trips < sameTrips || r.trips < minTrips && !slices.Contains(known, *id) {
			continue
		}
		others := tally{c.all.trips - r.trips, c.all.lost - r.lost}
		if others.trips < minTrips {
			continue
		}
		excess := lower(r.lost, r.trips) - others.share()
		if excess > tooMany && (excess > most || excess == most && bytes.Compare(id[:], h.names[worst][:]) < 0) {
			worst, most, found = uint16(i), excess, true
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
	// What is lost is known minutes after what came back: only a full window says that little is.
	if len(m.health.trips) == window && rest <= alarming/2 {
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
