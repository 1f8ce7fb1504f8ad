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

// SetAvoided says which relays are avoided from now on. A guard among them is left at
// once, and replaced if the view names another; if it names none, there is no guard and
// nothing is sent: a person who distrusts a relay does not get it all the same.
func (m *Machine) SetAvoided(now time.Time, a Avoided) *Output {
	m.begin()
	m.guards.avoided = a
	if m.view != nil {
		m.keepGuards(now)
	} else if m.leaveAvoided() {
		m.write(ContactID{}, Guards, 0, m.guards.append(nil))
	}
	return m.end()
}

// leaveAvoided gives up the guards that are avoided, and reports whether there were any.
// A guard that is left comes into use before one is drawn: no more relays than need be
// learn this machine's address.
func (m *Machine) leaveAvoided() bool {
	g, left := &m.guards, false
	for i, p := range g.pinned {
		if p.id == (onion.ID{}) || !m.isAvoided(p.id) {
			continue
		}
		g.pinned[i], left = guard{}, true
		if i == g.using {
			g.linked = false
		}
	}
	if g.active() == (onion.ID{}) && !m.useOther() && m.view == nil && g.pinned[1-g.using].id != (onion.ID{}) {
		g.using, g.reached, g.silent = 1-g.using, false, 0 // a view to come says whether it is there
		m.guardChanged()
	}
	return left
}

// isAvoided reports whether a relay is avoided. One that is not in the view has no
// operator: the owner names it by its ID, if it knows whose it is.
func (m *Machine) isAvoided(id onion.ID) bool {
	operator := ""
	if m.view != nil {
		r, _ := m.view.Member(id)
		operator = r.Operator
	}
	return m.guards.avoided.Has(id, operator)
}
