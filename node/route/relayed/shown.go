package relayed

import (
	"math"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/onion"
)

// Ends is what a drop sees of the ways of a packet: the relay that it came from, and the
// one that its reply goes to.
type Ends struct{ From, To onion.ID }

// Shown returns how likely a drop is to see each, of a packet of a machine with a guard,
// while no relay loses packets. Nil: none leads there. It is what [Machine] draws, reckoned
// by the same rules, for a packet that has all moments of its slot to choose from: where
// few relays lead to a drop, others of the slot take some of them.
func Shown(v View, guard, at onion.ID) map[Ends]float64 {
	m := &Machine{view: v, health: newHealth()}
	m.forgetWays()
	m.guards.pinned[0].id = guard
	var lead [well + 1][]onion.ID
	all := m.neighbours()
	if len(all) < 2 {
		return nil
	}
	for _, a := range all {
		f := m.fits(at, a.ID)
		lead[f] = append(lead[f], a.ID)
	}
	// It goes well if any relay that is drawn for the slot leads well.
	none := math.Pow(1-float64(len(lead[well]))/float64(max(1, len(all))), cadence.Packets)
	part := [well + 1]float64{well: 1 - none, poorly: none}
	switch {
	case len(lead[well])+len(lead[poorly]) == 0:
		return nil
	case len(lead[poorly]) == 0:
		part = [well + 1]float64{well: 1}
	}
	shown := map[Ends]float64{}
	for f, beside := range lead {
		if part[f] == 0 {
			continue
		}
		for _, a := range beside {
			for x, p := range m.lasts(a, at) {
				shown[Ends{x, x}] += part[f] / float64(len(beside)) * p
			}
		}
	}
	return shown
}

// lasts returns which relay may stand before the drop, and how likely each is.
func (m *Machine) lasts(a, at onion.ID) map[onion.ID]float64 {
	if m.view.Middles() == 1 {
		return map[onion.ID]float64{a: 1}
	}
	all := map[onion.ID]float64{}
	between := m.between(a, at).relays
	for i, p := range m.parts(between, at) {
		all[between[i]] = p
	}
	return all
}
