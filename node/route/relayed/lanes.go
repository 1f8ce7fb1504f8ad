package relayed

import (
	"time"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/wire"
)

// laneState is what a lane does in a slot.
type laneState struct {
	writes  *contact // nil: the lane writes to itself
	period  uint64
	content *Content
	wanted  []int // replicas that leave when the content is there

	reads      *contact // nil: the lane reads what it wrote to itself, or anything
	readPeriod uint64
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
		if c := m.contacts[turn.Contact]; !c.hasWritten(turn.Period) && c.readable(m, turn.Period) {
			l.writes, l.period = c, turn.Period
		}
	}
	if turn := m.slot.readers[lane]; turn.Contact >= 0 {
		if c := m.contacts[turn.Contact]; !c.book.Known(turn.Period) && c.readable(m, turn.Period) {
			l.reads, l.readPeriod = c, turn.Period
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
	l.wanted = append(l.wanted, replica)
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
	for _, replica := range l.wanted {
		if !m.putBox(now, l, replica) {
			m.loop(now)
		}
	}
	l.wanted = nil
	return m.end()
}

// putBox seals one replica under its own keys and sends it.
func (m *Machine) putBox(now time.Time, l *laneState, replica int) bool {
	c := l.writes
	day, ok := c.dayKey(m, l.period)
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
	return m.send(now, p, keys.Write.Bytes(), drop.Seal(keys.Box, &random, l.content.Control, l.content.Cell))
}

// putIdle sends one replica of random bytes to where only this machine will look.
func (m *Machine) putIdle(now time.Time, lane, replica int) bool {
	day := drop.IdleKey(m.idle, lane)
	defer day.Wipe()
	keys := drop.DeriveKeys(day, drop.Idle, uint64(m.slot.number), replica)
	defer keys.Wipe()
	var box wire.Box
	m.fill(box[:])
	p := &pending{command: onion.Put, drop: m.ownSet[drop.Pair(day, drop.Idle, uint64(m.slot.number))[replica]]}
	if !m.send(now, p, keys.Write.Bytes(), &box) {
		return false
	}
	if replica == 0 {
		m.idles[idlePlace{lane, m.slot.number}] = true
	}
	return true
}

// current sends the current get of a lane.
func (m *Machine) current(now time.Time, lane int) bool {
	if l := m.slot.lanes[lane]; l.reads != nil && !l.reads.book.Known(l.readPeriod) {
		return m.get(now, l.reads, l.readPeriod, 0)
	}
	place := idlePlace{lane, m.slot.number - 1 - m.lag}
	if !m.idles[place] {
		return m.errand(now, onion.Get) || m.getAnything(now)
	}
	delete(m.idles, place)
	day := drop.IdleKey(m.idle, lane)
	defer day.Wipe()
	keys := drop.DeriveKeys(day, drop.Idle, uint64(place.slot), 0)
	defer keys.Wipe()
	address := keys.Address()
	p := &pending{command: onion.Get, drop: m.ownSet[drop.Pair(day, drop.Idle, uint64(place.slot))[0]]}
	return m.send(now, p, address[:], nil)
}

// catchUp sends the catch-up get of a lane.
func (m *Machine) catchUp(now time.Time, lane int) bool {
	readers := make([]cadence.Reader, len(m.contacts))
	for i, c := range m.contacts {
		readers[i] = cadence.Reader{Book: c.book, Period: c.period, Missing: c.missing}
	}
	q := cadence.Ask(m.seed, readers, m.slot.number, m.lag, lane)
	if q.Contact < 0 {
		return m.errand(now, onion.Get) || m.getAnything(now)
	}
	return m.get(now, m.contacts[q.Contact], q.Period, q.Replica)
}

// get asks for one replica of a contact's period. That it was asked for is written
// before.
func (m *Machine) get(now time.Time, c *contact, period uint64, place int) bool {
	day, ok := c.dayKey(m, period)
	if !ok {
		return false
	}
	from := c.direction.Other()
	pair := drop.Pair(day, from, period)
	if place == 0 && m.prefers(c.set[pair[1]], c.set[pair[0]]) {
		c.book.Turn(period)
	}
	replica := c.book.Replica(period, place)
	keys := drop.DeriveKeys(day, from, period, replica)
	address := keys.Address()
	keys.Write.Wipe()
	c.book.Asked(period, place)
	p := &pending{command: onion.Get, contact: c, period: period, place: place, box: keys.Box, drop: c.set[pair[replica]]}
	sent := m.send(now, p, address[:], nil)
	if !sent {
		m.failed(p)
	}
	m.saveBook(c, period)
	return sent
}

// getAnything asks any drop for a random address.
func (m *Machine) getAnything(now time.Time) bool {
	address := m.draw()
	defer address.Wipe()
	id, ok := m.anyRelay()
	return ok && m.send(now, &pending{command: onion.Get, drop: id}, address.Bytes(), nil)
}

// loop goes to any relay and comes back. To its exit it is a get like others.
func (m *Machine) loop(now time.Time) {
	for range 8 { // from some relays there is no way
		if m.getAnything(now) {
			return
		}
	}
	m.skipped++
}

// networkTime is the time by the relays' clocks.
func (m *Machine) networkTime(now time.Time) time.Time {
	ahead, _ := m.clocks.ahead(now)
	return now.Add(ahead)
}
