package relayed

import (
	"slices"
	"time"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// laneState is what a lane does in a slot.
type laneState struct {
	writes  *contact // nil: the lane writes to itself
	period  uint64
	content *Content
	seal    secret.Key // of the session that content is of; empty: of none
	wanted  []wanted   // that leave when the content is there

	reads      *contact // nil: the lane reads what it wrote to itself, or anything
	readPeriod uint64
}

// wanted is a replica that waits for its content.
type wanted struct {
	replica int
	beside  onion.ID
}

// An idlePlace is a box that a lane wrote to itself.
type idlePlace struct {
	lane int
	slot cadence.Slot
}

// planLane says whom a lane serves in the slot that begins. A period that was written
// is not written again, nor one read that was asked for, whatever the plan says: the
// list of contacts may have changed, or a clock.
func (m *Machine) planLane(lane int) (l laneState) {
	if !m.slot.synced || m.locked {
		return l
	}
	if turn := m.slot.writers[lane]; turn.Contact >= 0 {
		if c := m.contacts[turn.Contact]; turn.Period >= c.book.First() && !c.hasWritten(turn.Period) {
			if _, ok := c.writes(m, turn.Period); ok {
				l.writes, l.period = c, turn.Period
			}
		}
	}
	if turn := m.slot.readers[lane]; turn.Contact >= 0 {
		if c := m.contacts[turn.Contact]; !c.book.Known(turn.Period) {
			if _, _, ok := c.reads(m, turn.Period, 0); ok {
				l.reads, l.readPeriod = c, turn.Period
			}
		}
	}
	return l
}

// emit sends one packet of the slot.
func (m *Machine) emit(now time.Time, e cadence.Emission) {
	sent := false
	if m.slot.synced && !m.locked {
		switch e.Kind {
		case cadence.PutFirst:
			sent = m.put(now, e.Lane, 0)
		case cadence.PutSecond:
			sent = m.put(now, e.Lane, 1)
		case cadence.Current:
			sent = m.current(now, e.Lane)
		case cadence.CatchUp:
			sent = m.catchUp(now, e.Lane)
		case cadence.Loop:
			sent = m.errand(now, onion.Put) // if lanes are taken in every slot, nothing else lets it go
		}
	}
	if !sent {
		m.loop(now)
	}
}

// put sends one replica of what the lane writes, or asks for its content first.
func (m *Machine) put(now time.Time, lane, replica int) bool {
	l := &m.slot.lanes[lane]
	switch {
	case l.writes == nil:
		return m.errand(now, onion.Put) || m.putIdle(now, lane, replica)
	case l.content != nil:
		return m.putBox(now, l, replica)
	case len(l.wanted) == 0:
		l.writes.wrote(l.period)
		m.saveRoute(l.writes)
		m.out.Fill = append(m.out.Fill, Fill{l.writes.id, l.period, lane, m.slot.number})
	}
	l.wanted = append(l.wanted, wanted{replica, m.slot.beside})
	return true
}

// Filled takes the content of a box, and sends what waited for it. It is called in the
// same turn as the event that asked for it.
func (m *Machine) Filled(now time.Time, f Fill, content Content) *Output {
	m.begin()
	l := &m.slot.lanes[f.lane]
	if f.slot != m.slot.number || l.writes == nil || l.writes.id != f.Contact || len(l.wanted) == 0 {
		return m.end()
	}
	content.Control.Time = uint32(m.networkTime(now).Unix())
	if content.Control.Flags&drop.FlagFlight != 0 {
		content.Control.Time = 0
	} else if content.Control.Flags&drop.FlagForm == 0 {
		content.Control.Runs = drop.RunsBefore(f.Period, l.writes.written)
	}
	if content.Cell == nil {
		content.Cell = new(wire.Cell)
		m.fill(content.Cell[:])
	}
	l.content = &content
	if len(l.writes.seals) > 0 { // another session may be in use by the time of the second replica
		l.seal.Wipe()
		l.seal = l.writes.seals[0].Key.Clone()
	}
	for _, w := range l.wanted {
		m.slot.beside = w.beside
		if !m.putBox(now, l, w.replica) {
			m.loop(now)
		}
	}
	l.wanted = nil
	return m.end()
}

// Unfilled takes note that a box gets no content, as that it is written could not be
// stored. A loop leaves for each packet, which looks like it to the guard.
func (m *Machine) Unfilled(now time.Time, f Fill) *Output {
	m.begin()
	l := &m.slot.lanes[f.lane]
	if f.slot != m.slot.number || l.writes == nil || l.writes.id != f.Contact {
		return m.end()
	}
	for _, w := range l.wanted {
		m.slot.beside = w.beside
		m.loop(now)
	}
	l.writes, l.wanted = nil, nil // its other replica, too, is somebody else's turn
	return m.end()
}

// Instead sends a loop for each of the last packets, of which so many were not sent: what
// they wrote could not be stored. They look the same to the guard.
func (m *Machine) Instead(now time.Time, packets int) *Output {
	m.begin()
	for _, tag := range slices.Clone(m.waiting[max(0, len(m.waiting)-packets):]) {
		if p := m.pending[tag]; p != nil {
			p.guard = onion.ID{} // no relay lost it
			m.slot.beside = p.relays[0]
			m.loop(now)
		}
	}
	return m.end()
}

// putBox seals one replica under its own keys and sends it.
func (m *Machine) putBox(now time.Time, l *laneState, replica int) bool {
	c := l.writes
	day, ok := c.writes(m, l.period)
	if !ok {
		return false
	}
	keys := drop.DeriveKeys(day, c.direction, l.period, replica)
	defer keys.Wipe()
	var random [32]byte
	m.fill(random[:])
	p := &pending{
		command: onion.Put, contact: c, period: l.period, replica: replica,
		drop: c.set[drop.Pair(day, c.direction, l.period)[replica]],
	}
	return m.send(now, p, keys.Write.Bytes(), m.seal(l.seal, keys.Box, &random, l.content))
}

// putIdle sends one replica of random bytes to where only this machine will look.
func (m *Machine) putIdle(now time.Time, lane, replica int) bool {
	keys := m.idleKeys(lane, m.slot.number, replica)
	defer keys.Wipe()
	var box wire.Box
	m.fill(box[:])
	p := &pending{command: onion.Put, drop: m.ownSet[m.idlePair(lane, m.slot.number)[replica]]}
	if !m.send(now, p, keys.Write.Bytes(), &box) {
		return false
	}
	if replica == 0 {
		m.idles[idlePlace{lane, m.slot.number}] = true
	}
	return true
}

func (m *Machine) idleKeys(lane int, slot cadence.Slot, replica int) drop.Keys {
	day := drop.IdleKey(m.idle, lane)
	defer day.Wipe()
	return drop.DeriveKeys(day, drop.Idle, uint64(slot), replica)
}

func (m *Machine) idlePair(lane int, slot cadence.Slot) [drop.Replicas]int {
	day := drop.IdleKey(m.idle, lane)
	defer day.Wipe()
	return drop.Pair(day, drop.Idle, uint64(slot))
}

// readBack is the idle box that a lane reads in this slot, if it wrote one then.
func (m *Machine) readBack(lane int) idlePlace { return idlePlace{lane, m.slot.number - 1 - m.lag} }

// current sends the current get of a lane.
func (m *Machine) current(now time.Time, lane int) bool {
	if l := m.slot.lanes[lane]; l.reads != nil && !l.reads.book.Known(l.readPeriod) {
		return m.get(now, l.reads, l.readPeriod, 0)
	}
	place := m.readBack(lane)
	if !m.idles[place] {
		return m.errand(now, onion.Get) || m.getAnything(now)
	}
	delete(m.idles, place)
	keys := m.idleKeys(lane, place.slot, 0)
	defer keys.Wipe()
	address := keys.Address()
	p := &pending{command: onion.Get, drop: m.ownSet[m.idlePair(lane, place.slot)[0]]}
	return m.send(now, p, address[:], nil)
}

// catchUp sends the catch-up get of a lane: of what there is to ask, the first that this
// packet leads to. If it leads to none, a loop of the same slot changes places with it.
func (m *Machine) catchUp(now time.Time, lane int) bool {
	if m.errandsTurn(lane) {
		if m.errand(now, onion.Get) {
			return true
		}
		if at, waits := m.wantedAt(); waits && m.later(lane, at) {
			return false
		}
	}
	q := m.ask(lane, true)
	if q.Contact >= 0 {
		return m.get(now, m.contacts[q.Contact], q.Period, q.Replica)
	}
	if later := m.ask(lane, false); later.Contact >= 0 {
		c := m.contacts[later.Contact]
		if q, ok := m.question(c, later.Period, later.Replica); ok && !m.later(lane, q.at) {
			m.unreachable(c, later.Period, later.Replica, q.at)
		}
		return false
	}
	if m.errand(now, onion.Get) {
		return true
	}
	if at, waits := m.wantedAt(); waits && m.later(lane, at) {
		return false
	}
	return m.getAnything(now)
}

func (m *Machine) ask(lane int, fitting bool) cadence.Question {
	readers := make([]cadence.Reader, len(m.contacts))
	for i, c := range m.contacts {
		readers[i] = cadence.Reader{Book: c.book, Period: c.period, Missing: c.missing}
		if fitting {
			readers[i].Skip = func(period uint64, place int) bool {
				q, ok := m.question(c, period, place)
				return !ok || m.fits(q.at, m.slot.beside) == noWay
			}
		}
	}
	return cadence.Ask(m.seed, readers, m.slot.number, m.lag, lane)
}

// unreachable gives up a replica that lies at a relay to which no way leads, and lets
// one that can be reached at another time be.
func (m *Machine) unreachable(c *contact, period uint64, place int, at onion.ID) bool {
	if _, ok := m.view.Member(at); !ok || at == m.guards.active() {
		c.book.Asked(period, place)
		m.failed(&pending{contact: c, period: period, place: place})
		m.saveBook(c, period)
	}
	return false
}

// A question is where a replica of a contact's period is asked for.
type question struct {
	session uint32     // on whose chain
	day     secret.Key // there; not a copy
	replica int
	at      onion.ID
}

// question returns where the replica of a contact's period lies that is asked first or
// second. The two differ, and no chain is asked for one of them twice.
func (m *Machine) question(c *contact, period uint64, place int) (q question, ok bool) {
	if q.session, q.day, ok = c.reads(m, period, place); !ok {
		return q, false
	}
	pair := drop.Pair(q.day, c.direction.Other(), period)
	if place == 0 && m.prefers(c.set[pair[1]], c.set[pair[0]]) {
		c.book.Turn(period)
	}
	q.replica = c.book.Replica(period, place)
	q.at = c.set[pair[q.replica]]
	return q, true
}

// get asks for one replica of a contact's period. That it was asked for is written
// before.
func (m *Machine) get(now time.Time, c *contact, period uint64, place int) bool {
	q, ok := m.question(c, period, place)
	if !ok {
		return false
	}
	if m.fits(q.at, m.slot.beside) == noWay {
		return m.unreachable(c, period, place, q.at)
	}
	keys := drop.DeriveKeys(q.day, c.direction.Other(), period, q.replica)
	address := keys.Address()
	keys.Write.Wipe()
	c.book.Asked(period, place)
	p := &pending{command: onion.Get, contact: c, period: period, place: place, session: q.session, box: keys.Box, drop: q.at}
	sent := m.send(now, p, address[:], nil)
	if !sent {
		m.failed(p)
	}
	m.saveBook(c, period)
	return sent
}

// getAnything asks any drop to which this packet leads for a random address.
func (m *Machine) getAnything(now time.Time) bool {
	address := m.draw()
	defer address.Wipe()
	id, ok := m.anyRelay()
	return ok && m.send(now, &pending{command: onion.Get, drop: id}, address.Bytes(), nil)
}

// loop goes to any relay and comes back. To its exit it is a get like others.
func (m *Machine) loop(now time.Time) {
	if !m.getAnything(now) {
		m.skipped++
	}
}

// networkTime is the time by the relays' clocks, as slots go by it.
func (m *Machine) networkTime(now time.Time) time.Time {
	return now.Add(m.ahead)
}
