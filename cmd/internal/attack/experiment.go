package attack

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/backchannel/backchannel/cmd/internal/sim"
)

// An Experiment trains on some networks and tests on others.
type Experiment struct {
	Config      sim.Config                      // all but the seed
	Train, Test int                             // networks
	Guard       int                             // that he holds, from 1: pairs of which one has it count alone. 0: he holds none
	Pairs       int                             // of a large network, so many that talk, and four times as many others; 0: all
	Contacts    bool                            // pairs that do not talk are contacts, too; else they are any two
	From        string                          // directory of features that were kept, to learn from instead of Train networks; "": none
	Dir         string                          // keeps features of each network, so that a run goes on where one was cut; "": nothing is kept
	Each        func(done int, soFar [3]Result) // nil, or called after each network
}

// A Result is what the attacker reached.
type Result struct {
	AUC, Lower, Upper float64
	Yes, No           int // pairs in the test
}

// String is the result in a line.
func (r Result) String() string {
	return fmt.Sprintf("AUC %.3f, 95 %% %.3f to %.3f, %d pairs that talk and %d that do not", r.AUC, r.Lower, r.Upper, r.Yes, r.No)
}

// Run simulates the networks and returns the results: of links and the drop together, and
// of each alone.
func (e Experiment) Run() (all, links, drop Result, err error) {
	var features [3][][]float64
	var talks []bool
	var guesses [3][]Guess
	var models [3]*Model
	if e.From != "" {
		f, yes, err := kept(e.From)
		if err != nil {
			return all, links, drop, err
		}
		for k := range models {
			models[k] = Train(columns(f, k), yes)
		}
		e.Train = 0
	}
	for i := range e.Train + e.Test {
		f, yes, err := e.network(uint64(i))
		if err != nil {
			return all, links, drop, err
		}
		for k := range models {
			part := columns(f, k)
			if i < e.Train {
				features[k] = append(features[k], part...)
				continue
			}
			if models[k] == nil {
				models[k] = Train(features[k], talks)
			}
			for p := range part {
				guesses[k] = append(guesses[k], Guess{models[k].Score(part[p]), yes[p], i})
			}
		}
		if i < e.Train {
			talks = append(talks, yes...)
		}
		if e.Each != nil {
			e.Each(i+1, [3]Result{resultOf(guesses[0]), resultOf(guesses[1]), resultOf(guesses[2])})
		}
	}
	return resultOf(guesses[0]), resultOf(guesses[1]), resultOf(guesses[2]), nil
}

func resultOf(g []Guess) (r Result) {
	r.AUC = AUC(g)
	r.Lower, r.Upper = Bounds(g)
	for _, x := range g {
		if x.Talks {
			r.Yes++
		} else {
			r.No++
		}
	}
	return r
}

// columns are all features, those of links, or that of the drop, which is the last.
func columns(f [][]float64, kind int) (out [][]float64) {
	for _, x := range f {
		switch last := len(x) - 1; kind {
		case 1:
			x = x[:last]
		case 2:
			x = x[last:]
		}
		out = append(out, x)
	}
	return out
}

// network returns features and truth of the pairs of one network.
func (e Experiment) network(seed uint64) (features [][]float64, talks []bool, err error) {
	cfg := e.Config
	cfg.Seed, cfg.Fast = cfg.Seed+seed, true
	kept, err := e.load(cfg)
	if err != nil {
		return nil, nil, err
	}
	if kept == nil {
		if kept, err = e.play(cfg); err != nil {
			return nil, nil, err
		}
		err = e.keep(cfg, kept)
	}
	return kept.Features, kept.Talks, err
}

// play simulates one network.
func (e Experiment) play(cfg sim.Config) (*record, error) {
	d, err := sim.Expect(cfg)
	if err != nil {
		return nil, err
	}
	w := Watch(&cfg, Delay{Relays: d.Relays, Mean: d.Mean.Seconds(), Links: d.Links.Seconds()})
	if e.Guard > 0 {
		w.HoldGuard(&cfg, e.Guard)
	}
	world, err := sim.New(cfg)
	if err != nil {
		return nil, err
	}
	truth, err := world.Run()
	if err != nil {
		return nil, err
	}
	r := new(record)
	talk, silent := map[[2]int]bool{}, map[[2]int]bool{}
	for _, c := range truth.Conversations {
		talk[e.pair(truth, c.A, c.B)] = true
	}
	for _, s := range truth.Silent {
		silent[e.pair(truth, s[0], s[1])] = true
	}
	var pairs [][2]int
	for _, p := range w.All() {
		if e.Guard > 0 && w.passed[p[0]] == nil && w.passed[p[1]] == nil {
			continue
		}
		if talk[p] || !e.Contacts || silent[p] {
			pairs = append(pairs, p)
		}
	}
	pairs = e.some(pairs, talk, cfg.Seed)
	r.Features = w.Features(pairs)
	for _, p := range pairs {
		r.Talks = append(r.Talks, talk[p])
	}
	return r, nil
}

// some draws the pairs that are looked at.
func (e Experiment) some(pairs [][2]int, talk map[[2]int]bool, seed uint64) (drawn [][2]int) {
	if e.Pairs == 0 {
		return pairs
	}
	random := rand.New(rand.NewPCG(seed, 7))
	random.Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
	left := map[bool]int{true: e.Pairs, false: 4 * e.Pairs}
	for _, p := range pairs {
		if left[talk[p]] > 0 {
			left[talk[p]]--
			drawn = append(drawn, p)
		}
	}
	return drawn
}

func (Experiment) pair(t *sim.Truth, a, b string) [2]int {
	i, j := slices.Index(t.Users, a), slices.Index(t.Users, b)
	return [2]int{min(i, j), max(i, j)}
}
