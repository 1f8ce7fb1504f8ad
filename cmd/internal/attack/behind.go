package attack

import (
	"math"

	"github.com/backchannel/backchannel/cmd/internal/sim"
	"github.com/backchannel/backchannel/node/route/relayed"
	"github.com/backchannel/backchannel/protocol/onion"
)

// What relays beside a drop say of guards, by arithmetic. No operator is to stand twice on
// a way, and in a sparse graph links are few: so which relays a drop sees depends on the
// guard, and two boxes of one writer have the same. A test holds it against simulations.

// A Behind is what a drop sees of packets, for each guard that their writer may have.
type Behind struct {
	Guards int         // each equally likely
	Index  map[relayed.Ends]int
	Shown  [][]float64 // by guard, then what is seen: how likely
}

// BehindOf returns it for one drop of a view. Guards are all relays but the drop: machines
// draw them so, and no relay at which boxes of a talk lie.
func BehindOf(v relayed.View, at onion.ID) *Behind {
	b := &Behind{Index: map[relayed.Ends]int{}}
	var all []map[relayed.Ends]float64
	for _, guard := range v.Members() {
		if guard.ID == at {
			continue
		}
		shown := relayed.Shown(v, guard.ID, at)
		if shown == nil {
			continue
		}
		all = append(all, shown)
		for e := range shown {
			if _, there := b.Index[e]; !there {
				b.Index[e] = len(b.Index)
			}
		}
	}
	b.Guards = len(all)
	for _, shown := range all {
		line := make([]float64, len(b.Index))
		for e, p := range shown {
			line[b.Index[e]] = p
		}
		b.Shown = append(b.Shown, line)
	}
	return b
}

// Mean is how likely each sight is if nothing is known of the guard.
func (b *Behind) Mean() []float64 {
	mean := make([]float64, len(b.Index))
	for _, line := range b.Shown {
		for i, p := range line {
			mean[i] += p / float64(b.Guards)
		}
	}
	return mean
}

// Advantage is that of the best guesser, who knows all of this, of whether two boxes are of
// one writer or of two, each with a guard of his own: the distance of the two distributions.
func (b *Behind) Advantage() float64 {
	mean := b.Mean()
	sum := 0.0
	both := make([]float64, len(mean))
	for i := range mean {
		clear(both)
		for _, line := range b.Shown {
			if w := line[i] / float64(b.Guards); w > 0 {
				for j, p := range line {
					both[j] += w * p
				}
			}
		}
		for j, q := range mean {
			sum += math.Abs(both[j] - mean[i]*q)
		}
	}
	return sum / 2
}

// Links is the mean advantage over drops of a network, at most so many of them.
func Links(cfg sim.Config, drops int) (float64, error) {
	v, relays, err := sim.Ways(cfg)
	if err != nil {
		return 0, err
	}
	drops = min(drops, len(relays))
	sum := 0.0
	for _, at := range relays[:drops] {
		sum += BehindOf(v, at).Advantage()
	}
	return sum / float64(drops), nil
}
