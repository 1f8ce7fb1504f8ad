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
// few pairs lead to a drop, others of the slot take some of them.
func Shown(v View, guard, at onion.ID) map[Ends]float64 {
	m := &Machine{view: v, evenly: evenly(v), health: newHealth()}
	m.forgetWays()
	m.guards.pinned[0].id = guard
	var lead [well + 1][]beside
	all := m.pairs(m.neighbours())
	for _, b := range all {
		f := m.fits(at, b)
		lead[f] = append(lead[f], b)
	}
	// It goes well if any pair of the slot leads well.
	none := math.Pow(1-float64(len(lead[well]))/float64(max(1, len(all))), cadence.Packets)
	part := [well + 1]float64{well: 1 - none, poorly: none}
	switch {
	case len(lead[well])+len(lead[poorly]) == 0:
		return nil
	case len(lead[poorly]) == 0:
		part = [well + 1]float64{well: 1}
	}
	shown := map[Ends]float64{}
	for f, pairs := range lead {
		if part[f] == 0 {
			continue
		}
		for _, b := range pairs {
			each := part[f] / float64(len(pairs))
			out, back := m.lasts(b.out, at), m.lasts(b.back, at)
			for x, p := range out {
				if m.evenly {
					shown[Ends{x, x}] += each * p
					continue
				}
				for y, q := range back {
					shown[Ends{x, y}] += each * p * q
				}
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
	between := m.between(a, at)
	for i, p := range m.parts(between, at) {
		all[between[i]] = p
	}
	return all
}
