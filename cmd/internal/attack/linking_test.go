package attack

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/backchannel/backchannel/cmd/internal/sim"
)

func linking(relays, operators int) Linking {
	return Linking{Config: sim.Config{
		Users: 12, Relays: relays, Operators: operators, TalkingPairs: 6, OnlineHours: 24, Duration: time.Hour, Seed: 9000,
	}, Train: 2, Test: 2}
}

// TestDropDoesNotLinkByTimes: a drop's host does not see by the times of boxes which ones
// are of one writer. With three operators he sees it by the relay before him: that is the
// control, which shows that he would see it. Figures for other networks: docs/figures.md.
func TestDropDoesNotLinkByTimes(t *testing.T) {
	if testing.Short() {
		t.Skip("plays some networks")
	}
	a, err := linking(6, 3).Run()
	if err != nil {
		t.Fatal(err)
	}
	t.Log(a)
	if a.Pairs < 300 || a.Times > a.Wide+0.02 {
		t.Errorf("times link boxes: %v", a)
	}
	if a.Relays < 0.1 {
		t.Errorf("three operators, and the relay before the drop tells nothing: %v", a)
	}
}

// TestLinkingFigures is a run of docs/figures.md, with the flags of the others.
func TestLinkingFigures(t *testing.T) {
	if *figures == 0 {
		t.Skip("only with -figures")
	}
	l := Linking{Config: network(), Train: *train, Test: *figures}
	l.Config.Seed = 9000
	a, err := l.Run()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d users, %d relays, %d operators, %.1f h, %d and %d networks: %v", *users, *relays, *operate, *hours, *train, *figures, a)
}

// TestLinkerSees: what is drawn with a writer's own habit is linked, and what is not is not.
func TestLinkerSees(t *testing.T) {
	for name, c := range map[string]struct {
		habit       float64 // how often a writer's box comes his own way
		late        float64 // seconds that his boxes always come late by, at most
		least, most float64
	}{
		"none": {0, 0, -0.03, 0.03}, "the same relay": {1, 0, 0.8, 1}, "at the same moment": {0, 200, 0.3, 1},
	} {
		l := linking(40, 10)
		var tables table
		random := rand.New(rand.NewPCG(1, 2))
		var got float64
		for round := range 2 {
			var puts []put
			offset := [10]float64{}
			for w := range offset {
				offset[w] = random.Float64() * c.late
			}
			for period := range uint64(800) {
				for w := range 10 {
					p := put{at: float64(period)*30 + offset[w] + random.Float64()*30, from: random.IntN(40), to: random.IntN(40), chain: w + 1, period: period}
					if random.Float64() < c.habit {
						p.from = 4*w + w%4
					}
					puts = append(puts, p)
				}
			}
			same, other := l.shown(seen{puts: puts}, random)
			s, o := make([]int, len(same)), make([]int, len(same))
			for i := range same {
				s[i], o[i] = same[i].way*times+same[i].time, other[i].way*times+other[i].time
			}
			if round == 0 {
				tables.learn(s, o)
			} else {
				got = tables.advantage(s, o)
			}
		}
		if got < c.least || got > c.most {
			t.Errorf("%s: advantage %.3f", name, got)
		}
	}
}
