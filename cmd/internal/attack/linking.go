package attack

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/backchannel/backchannel/cmd/internal/sim"
	"github.com/backchannel/backchannel/protocol/onion"
)

// A Linking asks how well somebody who holds a drop tells whether two boxes that were put
// there one after the other are of one writer. He is shown a writer's box and his next one
// there, or a box and one of another writer's of the same period as that.
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
	Wide   float64 // half of the 95 % interval, as if shown pairs were independent
	Pairs  int     // that he was shown in the test, of each kind
}

// String is the advantage in a line.
func (a Advantage) String() string {
	return fmt.Sprintf("advantage by times %.3f, by relays %.3f, by both %.3f, each ± %.3f, %d pairs of each kind", a.Times, a.Relays, a.Both, a.Wide, a.Pairs)
}

// A put is a box as the drop sees it come, and whose it is.
type put struct {
	at       float64
	from, to int
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

type clue struct{ way, time int }

func (l Linking) clue(a, b put) (c clue) {
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

// shown is a network's pairs: of one writer, and not.
func (l Linking) shown(puts []put, random *rand.Rand) (same, other []clue) {
	// By period, not as they come: a box may overtake the one before it, and who is shown
	// only those that did not could tell them by that.
	puts = slices.Clone(puts)
	slices.SortStableFunc(puts, func(a, b put) int { return cmp.Compare(a.period, b.period) })
	last := map[int]put{}
	of := map[uint64][]put{}
	for _, p := range puts {
		of[p.period] = append(of[p.period], p)
	}
	for _, p := range puts {
		before, there := last[p.chain]
		if last[p.chain] = p; !there || p.period <= before.period {
			continue
		}
		if next := of[p.period]; len(next) > 1 {
			if q := next[random.IntN(len(next))]; q.chain != p.chain {
				same, other = append(same, l.clue(before, p)), append(other, l.clue(before, q))
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
	sums := [3]*float64{&a.Times, &a.Relays, &a.Both}
	for i := range l.Train + l.Test {
		puts, err := l.play(uint64(i))
		if err != nil {
			return a, err
		}
		same, other := l.shown(puts, rand.New(rand.NewPCG(uint64(i), 3)))
		for k, kind := range kinds {
			s, o := make([]int, len(same)), make([]int, len(same))
			for j := range same {
				s[j], o[j] = kind(same[j]), kind(other[j])
			}
			if i < l.Train {
				tables[k].learn(s, o)
				continue
			}
			*sums[k] += tables[k].advantage(s, o) * float64(len(same))
		}
		if i >= l.Train {
			a.Pairs += len(same)
		}
	}
	for _, sum := range sums {
		*sum /= float64(max(1, a.Pairs))
	}
	a.Wide = 1.96 * math.Sqrt(0.5/float64(max(1, a.Pairs)))
	return a, nil
}

// play simulates one network, and returns the boxes of contacts that were put at the drop.
func (l Linking) play(seed uint64) (puts []put, err error) {
	cfg := l.Config
	cfg.Seed, cfg.Fast, cfg.Chains, cfg.Watch = cfg.Seed+seed, true, true, 1
	cfg.Seen = func(s sim.Sight) {
		if s.Command == onion.Put && s.Chain > 0 {
			puts = append(puts, put{s.At.Seconds(), s.From, s.To, s.Chain, s.Period})
		}
	}
	w, err := sim.New(cfg)
	if err != nil {
		return nil, err
	}
	_, err = w.Run()
	return puts, err
}
