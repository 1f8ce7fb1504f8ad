package relayed

import (
	"slices"
	"time"

	"github.com/backchannel/backchannel/protocol/onion"
)

// Avoided names the relays that a person does not want where a machine chooses alone: as
// its guards, and as the drop that its side names. What stands on the ways between them
// is drawn from all relays, by everybody alike: who left some out there would be known
// by it.
type Avoided struct {
	Operators []string
	Relays    []onion.ID
}

// Has reports whether a relay of an operator is avoided.
func (a Avoided) Has(id onion.ID, operator string) bool {
	return slices.Contains(a.Relays, id) || operator != "" && slices.Contains(a.Operators, operator)
}

// SetAvoided says which relays are avoided from now on. A guard among them is replaced at
// once if the view names another; if it names none, there is no guard and nothing is
// sent: a person who distrusts a relay does not get it all the same.
func (m *Machine) SetAvoided(now time.Time, a Avoided) *Output {
	m.begin()
	m.guards.avoided = a
	if m.view != nil {
		m.keepGuards(now)
	}
	return m.end()
}

// leaveAvoided gives up the guards that are avoided, and reports whether there were any.
// A guard that is left comes into use before one is drawn: no more relays than need be
// learn this machine's address.
func (m *Machine) leaveAvoided() bool {
	g, left := &m.guards, false
	for i, p := range g.pinned {
		r, _ := m.view.Member(p.id)
		if p.id == (onion.ID{}) || !g.avoided.Has(p.id, r.Operator) {
			continue
		}
		g.pinned[i], left = guard{}, true
		if i == g.using {
			g.linked = false
		}
	}
	if g.active() == (onion.ID{}) {
		m.useOther()
	}
	return left
}
