package relayed

import (
	"encoding/binary"

	"github.com/backchannel/backchannel/protocol/onion"
)

// What a drop sees of a packet is the relay before it and the one that the reply goes to.
// If these depend on the guard, it sees by them which boxes come from clients of one guard.
// They have to, a little: no operator is to stand twice on a way. The rest is taken out: one
// relay stands there for both, since two leave out more guards, and each relay that links to
// the drop does so equally often, whichever guard is behind it.

// forgetWays lets ways be found anew: the view, the guard, or the relays that lose packets
// have changed.
func (m *Machine) forgetWays() {
	m.middles, m.evens = map[ends]middles{}, map[onion.ID]map[onion.ID]float64{}
}

// drawLast draws the relay between one beside the guard and a drop.
func (m *Machine) drawLast(a, at onion.ID) onion.ID {
	between := m.between(a, at).relays
	var b [8]byte
	m.fill(b[:])
	left := float64(binary.BigEndian.Uint64(b[:])>>11) / (1 << 53)
	for i, p := range m.parts(between, at) {
		if left -= p; left < 0 {
			return between[i]
		}
	}
	return between[len(between)-1]
}

// parts returns how likely each of the relays between is to be drawn.
func (m *Machine) parts(between []onion.ID, at onion.ID) []float64 {
	parts, sum := make([]float64, len(between)), 0.0
	weights := m.even(at)
	for i, id := range between {
		parts[i] = 1
		if w, there := weights[id]; there {
			parts[i] = w
		}
		sum += parts[i]
	}
	for i := range parts {
		parts[i] /= sum
	}
	return parts
}

// evenRounds is after how many rounds weights are good enough: 200 leave as much to see, to
// the fourth digit.
const evenRounds = 50

// even returns weights of the relays that link to a drop: drawn by these, each of them stands
// before it equally often, as far as the links of the guard's neighbours allow. Round by round
// each is given as much more weight as it is drawn too seldom.
func (m *Machine) even(at onion.ID) map[onion.ID]float64 {
	if known := m.evens[at]; known != nil {
		return known
	}
	weights := map[onion.ID]float64{}
	var all [][]onion.ID // of each relay beside the guard that leads there
	for _, least := range []fit{well, poorly} {
		for _, a := range m.neighbours() {
			if m.fits(at, a.ID) < least {
				continue
			}
			between := m.between(a.ID, at).relays
			all = append(all, between)
			for _, id := range between {
				weights[id] = 1
			}
		}
		if len(all) > 0 {
			break
		}
	}
	drawn := map[onion.ID]float64{}
	for range evenRounds {
		clear(drawn)
		for _, between := range all {
			sum := 0.0
			for _, id := range between {
				sum += weights[id]
			}
			for _, id := range between {
				drawn[id] += weights[id] / sum
			}
		}
		for id := range weights {
			weights[id] *= float64(len(all)) / float64(len(weights)) / drawn[id]
		}
	}
	m.evens[at] = weights
	return weights
}
