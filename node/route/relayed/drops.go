package relayed

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
)

// Neutral returns the third drop of a pair, from a secret that both have: the inviter
// names it inside the session. It is neither side's choice, and of an operator of its
// own if there is one.
func Neutral(v View, pair secret.Key, inviter, accepter onion.ID) (onion.ID, bool) {
	a, _ := v.Member(inviter)
	b, _ := v.Member(accepter)
	rank := func(id onion.ID) uint64 {
		sum := label.MAC(label.DropNeutral, pair.Bytes(), id[:])
		return binary.BigEndian.Uint64(sum[:])
	}
	var best onion.ID
	found := false
	for _, strict := range []bool{true, false} {
		for _, r := range v.Members() {
			if r.ID == inviter || r.ID == accepter || strict && (r.Operator == a.Operator || r.Operator == b.Operator) {
				continue
			}
			if !found || rank(r.ID) < rank(best) {
				best, found = r.ID, true
			}
		}
		if found {
			break
		}
	}
	return best, found
}

// chooseOwnSet draws the drops of idle boxes, once in a run and again when one is gone.
func (m *Machine) chooseOwnSet() {
	there := func(id onion.ID) bool {
		_, ok := m.view.Member(id)
		return ok
	}
	for i, id := range m.ownSet {
		if there(id) {
			continue
		}
		from := slices.DeleteFunc(slices.Clone(m.view.Members()), func(r directory.Member) bool {
			return slices.Contains(m.ownSet[:], r.ID) || r.ID == m.guards.pinned[0].id || r.ID == m.guards.pinned[1].id
		})
		if len(from) > 0 {
			m.ownSet[i] = from[m.below(len(from))].ID
		}
	}
}

// Expect returns when a text that is written now is likely to be read by a peer whose
// machine is on: as a rule, and at the latest if nothing is lost.
func (m *Machine) Expect(p cadence.Period) (rule, latest time.Duration) {
	slot := m.cfg.Constants.Slot
	between := time.Duration(m.lag)*slot + slot + m.trip + m.cfg.Lead
	return between + time.Duration(p)*slot/2 + slot/2, between + time.Duration(p)*slot + 2*slot + m.trip
}

// BoxEvery returns how long it is from one box of a contact to the next: its period, or
// longer if all contacts together have more boxes than the lanes. Each box has room for a
// cell, so that is what a piece of a file takes if nothing else is said meanwhile.
func (m *Machine) BoxEvery(p cadence.Period) time.Duration {
	every := time.Duration(p) * m.cfg.Constants.Slot
	load := 0 // boxes in eight slots
	for _, c := range m.contacts {
		load += 8 / int(c.period)
	}
	return every * time.Duration(max(load, 8*cadence.Lanes)) / (8 * cadence.Lanes)
}

// A Watcher is one relay on the ways of a contact's boxes, and what it sees.
type Watcher struct {
	Relay    onion.ID
	Operator string
	Role     string
}

// Watchers returns who sees what of a contact's talk: the guard, which knows this
// machine's address; the drops, which know boxes. Middles know neither. Twice says that
// one operator stands in two of these places.
func (m *Machine) Watchers(id ContactID) (all []Watcher, twice bool) {
	if m.view == nil {
		return nil, false
	}
	add := func(relay onion.ID, role string) {
		r, _ := m.view.Member(relay)
		for _, w := range all {
			twice = twice || w.Relay == relay || r.Operator != "" && w.Operator == r.Operator
		}
		all = append(all, Watcher{relay, r.Operator, role})
	}
	add(m.guards.active(), "guard")
	for _, c := range m.contacts {
		if c.id != id {
			continue
		}
		for _, relay := range c.set {
			add(relay, "drop")
		}
	}
	return all, twice
}
