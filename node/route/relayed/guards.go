package relayed

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
)

// A machine keeps two guards for weeks: of relays that are chosen anew each time, one
// that is hostile would come up soon.
const (
	guardCount  = 2
	guardLeast  = 60 * 24 * time.Hour
	guardSpread = 30 // days, drawn
	// guardGone is for how long a guard may be missing from the view.
	guardGone = 7 * 24 * time.Hour
	// silentSlots is after how many slots without any reply, and those that a trip takes,
	// the other guard takes over, if there is a connection; without one it is one slot.
	silentSlots = 3
	// guardLeft is for how long a guard that broke the rules, or brought nothing back, is
	// not the first choice of a machine that starts.
	guardLeft = 24 * time.Hour
)

type guard struct {
	id    onion.ID
	until time.Time // it is replaced then
	seen  time.Time // when it was last in the view
	left  time.Time // it is returned to then, or when the other one fails
}

type guards struct {
	pinned  [guardCount]guard
	avoided Avoided
	using   int
	home    onion.ID // the machine's name at the guard, while there is a connection
	linked  bool
	reached bool // there was a connection since it is in use
	silent  int
	alarmed time.Time
	// lostBefore says that packets were lost at a guard before the one in use, too, and
	// that the one in use has not shown yet that it loses none.
	lostBefore bool
	clockTold  time.Time
}

func (g *guards) active() onion.ID { return g.pinned[g.using].id }

// Guard returns the relay to which the owner keeps a connection; zero while there is
// none.
func (m *Machine) Guard() onion.ID { return m.guards.active() }

// linked reports whether packets can leave.
func (m *Machine) linked() bool { return m.guards.linked }

// LinkUp tells that there is a connection to the guard, and the name that it gave it.
func (m *Machine) LinkUp(guard, home onion.ID) {
	if guard == m.guards.active() {
		m.guards.linked, m.guards.reached, m.guards.home, m.guards.silent = true, true, home, 0
	}
}

// LinkDown tells that the connection to a guard ended, or could not be made.
func (m *Machine) LinkDown(guard onion.ID) {
	if guard == m.guards.active() {
		m.guards.linked = false
	}
}

// watchGuard lets the other guard take over when the one in use was down for a slot, or
// nothing has come back for some. The one that takes over stays in use.
func (m *Machine) watchGuard(now time.Time) {
	g := &m.guards
	patience := silentSlots + int(m.trip/m.cfg.Constants.Slot)
	_, there := m.view.Member(g.active()) // no way leads over one that is not, whatever its link does
	switch {
	case (!g.linked || !there) && m.slot.running && m.slot.sent == 0:
		g.silent += patience
	case m.slot.sent > 0 && m.slot.replies == 0:
		g.silent++
	case m.slot.replies > 0:
		g.silent = 0
	}
	if g.silent < patience {
		return
	}
	was, linked, reached := g.using, g.linked, g.reached
	if !m.useOther() {
		return
	}
	if reached {
		m.notice(Moved, ContactID{})
	}
	if linked { // it was there, and brought nothing back
		m.leave(was, now)
	}
}

// leave takes note, for later runs as well, that a guard was left for a fault of its own.
func (m *Machine) leave(place int, now time.Time) {
	m.guards.pinned[place].left = now.Add(guardLeft)
	m.write(ContactID{}, Guards, 0, m.guards.append(nil))
}

// Distrust tells that a guard broke the rules of a link: it sent more than it was asked
// for, or what is nothing at all. The other one takes over, and this one is not returned
// to for a day, whenever the machine is started, unless the other one fails.
func (m *Machine) Distrust(now time.Time, guard onion.ID) *Output {
	m.begin()
	for i, p := range m.guards.pinned {
		if p.id != guard || guard == (onion.ID{}) {
			continue
		}
		m.leave(i, now)
		if i == m.guards.using && m.useOther() {
			m.notice(Moved, ContactID{})
		}
	}
	return m.end()
}

// useOther lets the other guard take over, if it can.
func (m *Machine) useOther() bool {
	g := &m.guards
	other := g.pinned[1-g.using].id
	if m.view == nil || other == (onion.ID{}) {
		return false
	}
	if _, ok := m.view.Member(other); !ok {
		return false
	}
	g.using, g.linked, g.reached, g.silent = 1-g.using, false, false, 0
	m.guardChanged()
	return true
}

// guardChanged begins anew what is only true of one guard: what became of its packets,
// the ways behind it, and what is left of the slot.
func (m *Machine) guardChanged() {
	m.guards.lostBefore = m.guards.lostBefore || m.health.losing
	m.health.forget()
	m.health.losing = false
	m.forgetWays()
	if m.view == nil {
		return
	}
	for i := range m.slot.plan {
		m.slot.plan[i].beside = onion.ID{}
	}
	m.drawAnew()
}

// drawAnew draws what the guard is to see of packets of this slot for which there is nothing
// that it has a link to any more. If it has links to fewer than two, nothing is left of the slot:
// what was to leave would be lost, and taken for sent.
func (m *Machine) drawAnew() {
	from := m.neighbours()
	if len(from) < 2 {
		m.slot.plan = nil
	}
	for i := range m.slot.plan {
		s := &m.slot.plan[i]
		if slices.ContainsFunc(from, func(r directory.Member) bool { return r.ID == s.beside }) {
			continue
		}
		if id, ok := m.drawBeside(from); ok {
			s.beside = id
		}
	}
}

// keepGuards replaces guards whose time is over, or that are gone. Never both at once,
// but at the very beginning.
func (m *Machine) keepGuards(now time.Time) {
	was := m.guards.active()
	changed := m.leaveAvoided()
	for i := range m.guards.pinned {
		g := &m.guards.pinned[i]
		if _, ok := m.view.Member(g.id); ok {
			g.seen = now
		}
		fresh := g.id == onion.ID{}
		if !fresh && (changed || now.Before(g.until) && now.Sub(g.seen) < guardGone) {
			continue
		}
		id, ok := m.newGuard(i)
		if !ok {
			continue
		}
		*g = guard{id: id, until: now.Add(guardLeast + time.Duration(m.below(guardSpread*24))*time.Hour), seen: now}
		changed = true
		if i == m.guards.using {
			m.guards.linked = false
		}
	}
	if m.guards.active() != was {
		m.guardChanged()
	}
	if changed {
		m.write(ContactID{}, Guards, 0, m.guards.append(nil))
	}
}

// newGuard draws a relay that is not avoided and not the other guard, and at which no
// contact's boxes lie, of another operator than the other guard. In a small network the last and then
// the second of these conditions are given up.
func (m *Machine) newGuard(place int) (onion.ID, bool) {
	other := m.guards.pinned[1-place].id
	beside, _ := m.view.Member(other)
	atDrop := map[onion.ID]bool{}
	for _, c := range m.contacts {
		for _, id := range c.set {
			atDrop[id] = true
		}
	}
	for given := range 3 {
		var from []directory.Member
		for _, r := range m.view.Members() {
			switch {
			case r.ID == other || r.ID == m.guards.pinned[place].id || m.guards.avoided.Has(r.ID, r.Operator):
			case given < 2 && atDrop[r.ID]:
			case given < 1 && beside.Operator != "" && r.Operator == beside.Operator:
			default:
				from = append(from, r)
			}
		}
		if len(from) > 0 {
			return from[m.below(len(from))].ID, true
		}
	}
	return onion.ID{}, false
}

// append writes the record of the guards: of each its ID 20 and until 8, seconds; then of
// each when it is returned to 8, seconds, zero if it was not left.
func (g *guards) append(b []byte) []byte {
	for _, p := range g.pinned {
		b = append(b, p.id[:]...)
		b = binary.BigEndian.AppendUint64(b, uint64(p.until.Unix()))
	}
	for _, p := range g.pinned {
		b = binary.BigEndian.AppendUint64(b, uint64(max(0, p.left.Unix())))
	}
	return b
}

// LoadGuards takes the record of an earlier run. It is called before SetView. A record
// without the times at which guards are returned to is one of guards that were not left.
func (m *Machine) LoadGuards(now time.Time, b []byte) error {
	const size, pinned = onion.IDSize + 8, guardCount * (onion.IDSize + 8)
	if len(b) != pinned && len(b) != pinned+guardCount*8 {
		return ErrRecord
	}
	m.guards.using, m.guards.linked = 0, false
	for i := range m.guards.pinned {
		at := b[i*size:]
		m.guards.pinned[i] = guard{id: onion.ID(at), until: seconds(at[onion.IDSize:]), seen: now}
		if len(b) > pinned {
			m.guards.pinned[i].left = earlier(seconds(b[pinned+i*8:]), now.Add(guardLeft)) // a clock may have been set
		}
	}
	switch first, second := m.guards.pinned[0], m.guards.pinned[1]; {
	case first.id == (onion.ID{}): // it was avoided
		m.guards.using = 1
	case second.id != (onion.ID{}) && first.left.After(now) && first.left.After(second.left):
		m.guards.using = 1
	}
	return nil
}

func seconds(b []byte) time.Time { return time.Unix(int64(binary.BigEndian.Uint64(b)), 0) }

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
