package relayed

import (
	"slices"
	"time"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/onion"
)

// Successor returns a locked Machine that goes on where m is in its slot, with the same
// guards, relays and link, and wipes m, which is not used after that. Nothing of a contact
// goes over: no key, no drop, no reply that is waited for, no seed from which could be told
// who was served when. It is made up of what the machine is, whatever vault was open:
// what is left of the slot leaves at the moments that were drawn for it, as loops.
func (m *Machine) Successor(now time.Time) *Machine {
	s := New(m.cfg)
	s.locked = true
	s.view, s.lag, s.trip = m.view, m.lag, m.trip
	s.guards, s.skipped = m.guards, m.skipped
	s.guards.silent = 0 // replies to what m sent are none to s
	s.health = m.health.bare()
	s.slot = slotState{
		number: m.slot.number, begin: m.slot.begin, length: m.slot.length, plan: slices.Clone(m.slot.plan),
		synced: m.slot.synced, running: m.slot.running, replies: m.slot.replies, sent: m.slot.sent,
	}
	for i := range s.slot.plan {
		s.slot.plan[i].Kind, s.slot.plan[i].Lane = cadence.Loop, 0
	}
	if s.view != nil {
		s.chooseOwnSet()
	}
	if s.ahead = m.ahead; m.slot.synced && s.view != nil {
		// Which relays were heard last tells whose boxes lie there. What is taken over is what
		// slots go by, as if each relay had said it.
		for _, r := range s.view.Members() {
			s.clocks[r.ID] = []reading{{now, m.ahead}}
		}
	}
	m.Wipe()
	return s
}

// bare is what may be kept of the last packets when nothing of a contact is: which relays
// stood beside the guard, and what came back. Drops are left out, and packets to those that
// lose some: who asked there, and how often, is a contact's. What was lost over a relay that is
// not to blame is held against nobody: a drop may have lost it, and without drops that would not
// be told any more (see isBadMiddle).
func (h *health) bare() health {
	b := newHealth()
	b.middle, b.losing, b.operators = slices.Clone(h.middle), h.losing, h.operators
	for _, t := range h.trips {
		if t.drop != noPlace && h.isBad(h.names[t.drop]) {
			continue
		}
		var over []onion.ID
		if t.beside != noPlace && (t.back || h.isBadMiddle(h.names[t.beside])) {
			over = []onion.ID{h.names[t.beside]}
		}
		b.ended(over, onion.ID{}, t.back)
	}
	return b
}

// Loop makes one loop, for a moment that was drawn for another packet. There is none while
// there is no guard to send it to.
func (m *Machine) Loop(at time.Time) *Output {
	m.begin()
	if m.view != nil && m.linked() {
		if b, ok := m.drawBeside(m.neighbours()); ok {
			m.slot.beside = b
			m.loop(at)
		}
	}
	return m.end()
}
