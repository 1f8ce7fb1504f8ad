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
	index map[relayed.Ends]int
	shown [][]float64 // by guard, each equally likely, then by what is seen: how likely
	mean  []float64   // if nothing is known of the guard
	both  [][]float64 // of two by one writer; nil until it is asked for
}

// BehindOf returns it for one drop of a view. Guards are all relays but the drop: machines
// draw them so, and no relay at which boxes of a talk lie.
func BehindOf(v relayed.View, at onion.ID) *Behind {
	b := &Behind{index: map[relayed.Ends]int{}}
	var all []map[relayed.Ends]float64
	for _, guard := range v.Members() {
		if shown := relayed.Shown(v, guard.ID, at); guard.ID != at && shown != nil {
			all = append(all, shown)
			for e := range shown {
				if _, there := b.index[e]; !there {
					b.index[e] = len(b.index)
				}
			}
		}
	}
	b.mean, b.both = make([]float64, len(b.index)), make([][]float64, len(b.index))
	for _, shown := range all {
		line := make([]float64, len(b.index))
		for e, p := range shown {
			line[b.index[e]] = p
			b.mean[b.index[e]] += p / float64(len(all))
		}
		b.shown = append(b.shown, line)
	}
	return b
}

// Advantage is that of the best guesser, who knows all of this, of whether two boxes are of
// one writer or of two, each with a guard of his own: the distance of the two distributions.
func (b *Behind) Advantage() float64 {
	sum := 0.0
	for i := range b.mean {
		for j, p := range b.after(i) {
			sum += math.Abs(p - b.mean[i]*b.mean[j])
		}
	}
	return sum / 2
}

// OfOne reports whether he says so of two that he sees.
func (b *Behind) OfOne(first, then relayed.Ends) bool {
	i, there := b.index[first]
	j, too := b.index[then]
	return there && too && b.after(i)[j] > b.mean[i]*b.mean[j]
}

// after is how likely one writer's box comes as the i-th, and his next one as each.
func (b *Behind) after(i int) []float64 {
	if b.both[i] == nil {
		b.both[i] = make([]float64, len(b.mean))
		for _, line := range b.shown {
			for j, p := range line {
				b.both[i][j] += line[i] * p / float64(len(b.shown))
			}
		}
	}
	return b.both[i]
}

// Least is what no way of drawing the relay before a drop brings the advantage below, if no
// operator is to stand twice on a way: of an operator that stands there, guards are none. So
// two boxes of one writer come by the same operator more often than two of two writers, by
// the variance over guards of how likely each operator is there; and that is least if they
// share the place so that it is the same for all.
func Least(v relayed.View, at onion.ID) float64 {
	drop, _ := v.Member(at)
	of, there := map[string]float64{}, map[string]bool{}
	guards := float64(len(v.Members()) - 1)
	for _, r := range v.Members() {
		if r.ID != at {
			of[r.Operator] += 1 / guards
		}
		if r.Operator != drop.Operator && v.Linked(r.ID, at) {
			there[r.Operator] = true
		}
	}
	sum := 0.0
	for operator := range there {
		sum += (1 - of[operator]) / of[operator]
	}
	return 1 / sum
}

// Links is the mean advantage over drops of a network, at most so many of them, and the mean
// of the least.
func Links(cfg sim.Config, drops int) (advantage, least float64, err error) {
	v, relays, err := sim.Ways(cfg)
	if err != nil {
		return 0, 0, err
	}
	drops = min(drops, len(relays))
	for _, at := range relays[:drops] {
		advantage += BehindOf(v, at).Advantage() / float64(drops)
		least += Least(v, at) / float64(drops)
	}
	return advantage, least, nil
}
