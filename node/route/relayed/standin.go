package relayed

import (
	"slices"

	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
)

// Nobody can reach a drop that is his own guard. If two of a pair's three drops are the
// guards of the two, all that they say goes over the third. A relay that dies stays a drop
// until founders put it out of the network, which may take weeks. So a machine whose guard is
// one of the drops goes on without any word of the other: for each of them that is out of
// reach it uses a stand-in, which follows from the set and the view.
//
// A machine whose guard is none of the drops has two left then, and does not do so: it would
// else show a contact whether the stand-in is its guard. Of one whose guard is among the drops
// the contact sees that in any case.

const (
	// quietPackets is how many packets in a row a relay leaves unanswered, and quietBeside how
	// many answers others give meanwhile, until it counts as out of reach. With a third of all
	// packets lost on the way one relay in 500,000 would be taken for it.
	quietPackets = 12
	quietBeside  = 2 * quietPackets
)

// quiet is what is known of a relay that did not answer the last packets.
type quiet struct {
	packets int
	answers int // of all relays, until the first of these was given up
}

// answered takes note that a relay gave an answer.
func (m *Machine) answered(id onion.ID) {
	m.answers++
	delete(m.quiet, id)
}

// unanswered takes note that the answer of a relay did not come.
func (m *Machine) unanswered(id onion.ID) {
	q, known := m.quiet[id]
	if !known {
		q.answers = m.answers
	}
	q.packets++
	m.quiet[id] = q
}

// outOfReach reports whether a relay is not in the view, or does not answer while others do.
func (m *Machine) outOfReach(id onion.ID) bool {
	q := m.quiet[id]
	_, there := m.view.Member(id)
	return !there || q.packets >= quietPackets && m.answers-q.answers >= quietBeside
}

// standIn finds where the boxes of all contacts lie in the slot that begins.
func (m *Machine) standIn() {
	for _, c := range m.contacts {
		c.at = m.at(c.set)
	}
}

// awaited returns a drop that a stand-in stands for, once in a slot and if the packet that
// leaves now leads there: the two of a pair should see soon, and both, that it is back.
func (m *Machine) awaited() (onion.ID, bool) {
	if m.slot.awaited || m.locked {
		return onion.ID{}, false
	}
	var all []onion.ID
	for _, c := range m.contacts {
		for place, id := range c.set {
			if c.at[place] != id && m.fits(id, m.slot.beside) != noWay {
				all = append(all, id)
			}
		}
	}
	if len(all) == 0 {
		return onion.ID{}, false
	}
	m.slot.awaited = true
	return all[m.below(len(all))], true
}

// at returns a set with stand-ins in the places of drops that are out of reach, if this
// machine's guard is one of the drops, else the set as it is.
func (m *Machine) at(set [drop.SetSize]onion.ID) [drop.SetSize]onion.ID {
	at, guard := set, m.guards.active()
	if m.view == nil || !slices.Contains(set[:], guard) {
		return at
	}
	for place, id := range set {
		if id == guard || !m.outOfReach(id) {
			continue
		}
		if other, ok := m.standInOf(set, place, at); ok {
			at[place] = other
		}
	}
	return at
}

// standInOf returns the relay that stands in for the drop in a place: of another operator
// than those of the two others if there is one.
func (m *Machine) standInOf(set [drop.SetSize]onion.ID, place int, at [drop.SetSize]onion.ID) (onion.ID, bool) {
	var all, strict []directory.Member
	for _, r := range m.view.Members() {
		if slices.Contains(set[:], r.ID) || slices.Contains(at[:], r.ID) || m.outOfReach(r.ID) {
			continue
		}
		all = append(all, r)
		if !slices.ContainsFunc(set[:], func(id onion.ID) bool {
			d, ok := m.view.Member(id)
			return ok && id != set[place] && d.Operator == r.Operator
		}) {
			strict = append(strict, r)
		}
	}
	if len(strict) > 0 {
		all = strict
	}
	if len(all) == 0 {
		return onion.ID{}, false
	}
	return slices.MinFunc(all, func(a, b directory.Member) int { return drop.StandIn(set, place, a.ID, b.ID) }).ID, true
}
