package attack

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/backchannel/backchannel/cmd/internal/sim"
	"github.com/backchannel/backchannel/node/route/relayed"
	"github.com/backchannel/backchannel/protocol/onion"
)

// A Linking asks how well somebody who holds a drop tells whether two boxes that were put
// there one after the other are of one writer. He is shown a writer's box and his next one
// there, or a box and one of another writer's of the same period as that. All drops of a
// network are played, each by itself.
type Linking struct {
	Config      sim.Config // all but the seed
	Train, Test int        // networks
}

// An Advantage is how much more often he says yes when it is so than when it is not: 0 by
// guessing, 1 if he knows.
type Advantage struct {
	Times  float64 // by times alone
	Relays float64 // by the relays before the drop, and those that replies go to
	Both   float64
	Known  float64 // by the relays, if he knows how they are drawn: see Behind
	Wide   float64 // half of the 95 % interval, the widest of the four
	Pairs  int     // that he was shown in the test, of each kind
}

// String is the advantage in a line.
func (a Advantage) String() string {
	return fmt.Sprintf("advantage by times %.3f, by relays %.3f, by both %.3f, by relays and how they are drawn %.4f, each ± %.4f, %d pairs of each kind", a.Times, a.Relays, a.Both, a.Known, a.Wide, a.Pairs)
}

// A put is a box as the drop sees it come, and whose it is.
type put struct {
	at       float64
	from, to int
	drop     int
	chain    int
	period   uint64
}

// What he uses: which of the relays and operators are the same, and how far apart the boxes
// came, less the slots between their periods.
const (
	ways      = 16
	times     = 16
	timesWide = 15.0 // seconds
)

type clue struct {
	way, time int
	likelier  bool // of one writer than of two, by how relays are drawn
}

func (l Linking) clue(a, b put, how map[int]*Behind, relays []onion.ID) (c clue) {
	if h := how[a.drop]; h != nil {
		c.likelier = h.OfOne(relayed.Ends{From: relays[a.from], To: relays[a.to]}, relayed.Ends{From: relays[b.from], To: relays[b.to]})
	}
	operators := l.Config.Operators
	for i, same := range []bool{a.from == b.from, a.from%operators == b.from%operators, a.to == b.to, a.to%operators == b.to%operators} {
		if same {
			c.way |= 1 << i
		}
	}
	apart := b.at - a.at - float64(b.period-a.period)*sim.Plain().Slot.Seconds()
	c.time = max(0, min(times-1, times/2+int(math.Floor(apart/timesWide))))
	return c
}

// seen is a network as its drops see it: who is shown it does not know chains.
type seen struct {
	puts   []put
	relays []onion.ID      // by number
	how    map[int]*Behind // by drop; nil: not known
}

// shown is a network's pairs: of one writer, and not.
func (l Linking) shown(n seen, random *rand.Rand) (same, other []clue) {
	// By period, not as they come: a box may overtake the one before it, and who is shown
	// only those that did not could tell them by that.
	puts := slices.Clone(n.puts)
	slices.SortStableFunc(puts, func(a, b put) int { return cmp.Compare(a.period, b.period) })
	type writer struct{ drop, chain int }
	type moment struct {
		drop   int
		period uint64
	}
	last := map[writer]put{}
	of := map[moment][]put{}
	for _, p := range puts {
		m := moment{p.drop, p.period}
		of[m] = append(of[m], p)
	}
	for _, p := range puts {
		w := writer{p.drop, p.chain}
		before, there := last[w]
		if last[w] = p; !there || p.period <= before.period {
			continue
		}
		if next := of[moment{p.drop, p.period}]; len(next) > 1 {
			if q := next[random.IntN(len(next))]; q.chain != p.chain {
				same, other = append(same, l.clue(before, p, n.how, n.relays)), append(other, l.clue(before, q, n.how, n.relays))
			}
		}
	}
	return same, other
}

// A table is how often each clue came of boxes of one writer, and of two.
type table struct{ same, other [ways * times]float64 }

func (t *table) learn(same, other []int) {
	for i := range same {
		t.same[same[i]]++
		t.other[other[i]]++
	}
}

// advantage is that of saying yes when the clue was likelier of one writer.
func (t *table) advantage(same, other []int) float64 {
	yes := 0
	for i := range same {
		if t.same[same[i]] > t.other[same[i]] {
			yes++
		}
		if t.same[other[i]] > t.other[other[i]] {
			yes--
		}
	}
	return float64(yes) / float64(max(1, len(same)))
}

// Run simulates the networks.
func (l Linking) Run() (a Advantage, err error) {
	kinds := []func(clue) int{
		func(c clue) int { return c.time }, func(c clue) int { return c.way }, func(c clue) int { return c.way*times + c.time },
	}
	var tables [3]table
	var of [4][]float64 // by network
	var pairs []int
	for i := range l.Train + l.Test {
		n, err := l.play(uint64(i))
		if err != nil {
			return a, err
		}
		same, other := l.shown(n, rand.New(rand.NewPCG(uint64(i), 3)))
		for k, kind := range kinds {
			s, o := make([]int, len(same)), make([]int, len(same))
			for j := range same {
				s[j], o[j] = kind(same[j]), kind(other[j])
			}
			if i < l.Train {
				tables[k].learn(s, o)
				continue
			}
			of[k] = append(of[k], tables[k].advantage(s, o))
		}
		if i >= l.Train {
			of[3], pairs = append(of[3], known(same, other)), append(pairs, len(same))
			a.Pairs += len(same)
		}
	}
	for k, sum := range []*float64{&a.Times, &a.Relays, &a.Both, &a.Known} {
		var wide float64
		*sum, wide = mean(of[k], pairs)
		a.Wide = max(a.Wide, wide)
	}
	return a, nil
}

// known is the advantage of who says yes when that is likelier by how relays are drawn.
func known(same, other []clue) float64 {
	yes := 0
	for i := range same {
		if same[i].likelier {
			yes++
		}
		if other[i].likelier {
			yes--
		}
	}
	return float64(yes) / float64(max(1, len(same)))
}

// mean is that of networks by their pairs, and half of its 95 % interval: from how networks
// differ, since pairs of one share writers, or as if pairs were independent, if that is wider.
func mean(of []float64, pairs []int) (mean, wide float64) {
	all, spread := 0.0, 0.0
	for i, x := range of {
		mean += x * float64(pairs[i])
		all += float64(pairs[i])
	}
	all = max(1, all)
	mean /= all
	for i, x := range of {
		d := (x - mean) * float64(pairs[i]) / all
		spread += d * d
	}
	return mean, 1.96 * math.Sqrt(max(spread, 0.5/all))
}

// play simulates one network, and returns the boxes of contacts that were put at its drops. In
// a sparse graph links are others in each epoch: there it is those of the first.
func (l Linking) play(seed uint64) (n seen, err error) {
	cfg := l.Config
	cfg.Seed, cfg.Fast, cfg.Chains, cfg.WatchAll = cfg.Seed+seed, true, true, true
	view, relays, err := sim.Ways(cfg)
	if err != nil {
		return n, err
	}
	n.relays, n.how = relays, map[int]*Behind{}
	from, until := -math.MaxFloat64, math.MaxFloat64
	if view.Middles() > 1 {
		from, until = 180, sim.Plain().Epoch.Seconds()
	}
	cfg.Seen = func(s sim.Sight) {
		if at := s.At.Seconds(); s.Command == onion.Put && s.Chain > 0 && at >= from && at < until {
			n.puts = append(n.puts, put{at, s.From, s.To, s.Drop, s.Chain, s.Period})
			if n.how[s.Drop] == nil {
				n.how[s.Drop] = BehindOf(view, relays[s.Drop])
			}
		}
	}
	w, err := sim.New(cfg)
	if err != nil {
		return n, err
	}
	_, err = w.Run()
	return n, err
}
