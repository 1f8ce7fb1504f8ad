package attack

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// A Model says how likely a pair talks.
type Model struct {
	mean, scale, weight []float64
	bias                float64
}

const (
	rounds  = 400
	step    = 0.5
	penalty = 0.01
)

// Train fits a logistic regression, with the same weight for both answers.
func Train(features [][]float64, talks []bool) *Model {
	m := standard(features)
	x := make([][]float64, len(features))
	yes := 0.0
	for i, f := range features {
		x[i] = m.scaled(f)
		if talks[i] {
			yes++
		}
	}
	each := map[bool]float64{true: 0.5 / math.Max(1, yes), false: 0.5 / math.Max(1, float64(len(x))-yes)}
	slope := make([]float64, len(m.weight))
	for range rounds {
		for j := range slope {
			slope[j] = penalty * m.weight[j]
		}
		bias := 0.0
		for i, f := range x {
			miss := 1 / (1 + math.Exp(-m.sum(f)))
			if talks[i] {
				miss--
			}
			miss *= each[talks[i]]
			bias += miss
			for j, v := range f {
				slope[j] += miss * v
			}
		}
		m.bias -= step * bias
		for j := range slope {
			m.weight[j] -= step * slope[j]
		}
	}
	return m
}

// standard returns a model without weights that scales features to mean 0, variance 1.
func standard(features [][]float64) *Model {
	n := len(features[0])
	m := &Model{mean: make([]float64, n), scale: make([]float64, n), weight: make([]float64, n)}
	for j := range n {
		column := make([]float64, len(features))
		for i, f := range features {
			column[i] = f[j]
			m.mean[j] += f[j] / float64(len(features))
		}
		_, variance := centred(column)
		if m.scale[j] = 0; variance > 1e-12 {
			m.scale[j] = 1 / math.Sqrt(variance)
		}
	}
	return m
}

func (m *Model) scaled(f []float64) []float64 {
	out := make([]float64, len(f))
	for j, v := range f {
		out[j] = max(-5, min(5, (v-m.mean[j])*m.scale[j]))
	}
	return out
}

func (m *Model) sum(scaled []float64) float64 {
	s := m.bias
	for j, v := range scaled {
		s += m.weight[j] * v
	}
	return s
}

// Score is higher the likelier the pair talks.
func (m *Model) Score(f []float64) float64 { return m.sum(m.scaled(f)) }

// A Guess is a score and the truth, in one of several networks.
type Guess struct {
	Score   float64
	Talks   bool
	Network int
}

// AUC is the chance that a pair that talks has a higher score than one that does not:
// 0.5 by guessing.
func AUC(guesses []Guess) float64 {
	all := slices.Clone(guesses)
	slices.SortFunc(all, func(a, b Guess) int { return cmp.Compare(a.Score, b.Score) })
	var yes, no, ranks float64
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j].Score == all[i].Score {
			j++
		}
		for _, g := range all[i:j] {
			if g.Talks {
				yes++
				ranks += float64(i+j+1) / 2
			} else {
				no++
			}
		}
		i = j
	}
	if yes == 0 || no == 0 {
		return math.NaN()
	}
	return (ranks - yes*(yes+1)/2) / (yes * no)
}

// Bounds returns the 95 % bounds of the AUC, from networks drawn again and again: pairs of
// one network share users, and are not independent. Of one network alone, which has to be
// large, pairs are drawn.
func Bounds(guesses []Guess) (lower, upper float64) {
	by := map[int][]Guess{}
	networks := []int{}
	for _, g := range guesses {
		if by[g.Network] == nil {
			networks = append(networks, g.Network)
		}
		by[g.Network] = append(by[g.Network], g)
	}
	if len(networks) == 1 {
		by, networks = map[int][]Guess{}, networks[:0]
		for i, g := range guesses {
			by[i], networks = []Guess{g}, append(networks, i)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	var all []float64
	for range 1000 {
		var drawn []Guess
		for range networks {
			drawn = append(drawn, by[networks[random.IntN(len(networks))]]...)
		}
		if a := AUC(drawn); !math.IsNaN(a) {
			all = append(all, a)
		}
	}
	if len(all) == 0 {
		return 0, 1
	}
	slices.Sort(all)
	return all[len(all)*25/1000], all[len(all)*975/1000]
}
