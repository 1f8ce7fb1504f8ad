package store

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// judgment is how well a classifier tells two kinds apart: the area under its
// curve, and the end of a one-sided interval of 95 % around it, after DeLong.
type judgment struct {
	auc, deviation, upper float64
	best                  string // the feature that tells most by itself, and its area
	alone                 float64
}

const judgeFolds = 5

// judgeOf trains on four fifths and scores the rest, in turn. The score is the mean
// of the ranks that a logistic regression and boosted stumps give. Features whose
// name drop refuses are not looked at.
func judgeOf(plain, hidden []features, drop func(string) bool) judgment {
	var rows [][]float64
	var kinds []float64
	for kind, of := range [][]features{plain, hidden} {
		for _, f := range of {
			var row []float64
			for i, v := range f.values {
				if !drop(f.names[i]) {
					row = append(row, v)
				}
			}
			rows, kinds = append(rows, row), append(kinds, float64(kind))
		}
	}
	fold := make([]int, len(rows))
	for i, at := range rand.New(rand.NewPCG(1, 2)).Perm(len(rows)) {
		fold[at] = i % judgeFolds
	}
	scores := make([]float64, len(rows))
	for k := range judgeFolds {
		var train, test []int
		for i := range rows {
			if fold[i] == k {
				test = append(test, i)
			} else {
				train = append(train, i)
			}
		}
		scoreFold(scaled(rows, train), kinds, train, test, scores)
	}
	j := delong(split(scores, kinds))
	col := 0
	for i, name := range plain[0].names {
		if drop(name) {
			continue
		}
		var one []float64
		for _, row := range rows {
			one = append(one, row[col])
		}
		col++
		if a := delong(split(one, kinds)).auc; math.Abs(a-0.5) > math.Abs(j.alone-0.5) || i == 0 {
			j.best, j.alone = name, a
		}
	}
	return j
}

func split(scores, kinds []float64) (plain, hidden []float64) {
	for i, s := range scores {
		if kinds[i] == 0 {
			plain = append(plain, s)
		} else {
			hidden = append(hidden, s)
		}
	}
	return plain, hidden
}

// scaled brings every feature to one scale, that of the rows to learn from.
func scaled(rows [][]float64, train []int) [][]float64 {
	out := make([][]float64, len(rows))
	for i := range rows {
		out[i] = make([]float64, len(rows[i]))
	}
	for c := range rows[0] {
		var all []float64
		for _, i := range train {
			all = append(all, rows[i][c])
		}
		mean, deviation := meanOf(all)
		if deviation == 0 {
			deviation = 1
		}
		for i := range rows {
			out[i][c] = max(-5, min(5, (rows[i][c]-mean)/deviation))
		}
	}
	return out
}

// scoreFold gives the rows of one fold their scores.
func scoreFold(rows [][]float64, kinds []float64, train, test []int, scores []float64) {
	for _, of := range []map[int]float64{logistic(rows, kinds, train, test), stumps(rows, kinds, train, test)} {
		order := slices.Clone(test)
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(of[a], of[b]) })
		for from := 0; from < len(order); {
			to := from
			for to < len(order) && of[order[to]] == of[order[from]] {
				to++
			}
			for _, i := range order[from:to] {
				scores[i] += float64(from+to-1) / 2 / float64(len(order))
			}
			from = to
		}
	}
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// logistic is a logistic regression with a price on large weights.
func logistic(rows [][]float64, kinds []float64, train, test []int) map[int]float64 {
	w := make([]float64, len(rows[0]))
	dot := func(row []float64) (s float64) {
		for c, x := range row {
			s += x * w[c]
		}
		return s
	}
	for range 150 {
		grad := make([]float64, len(w))
		for _, i := range train {
			e := kinds[i] - sigmoid(dot(rows[i]))
			for c, x := range rows[i] {
				grad[c] += e * x
			}
		}
		for c := range w {
			w[c] += 0.1 * (grad[c]/float64(len(train)) - 0.03*w[c])
		}
	}
	out := map[int]float64{}
	for _, i := range test {
		out[i] = dot(rows[i])
	}
	return out
}

// stumps are boosted decisions on one feature each.
func stumps(rows [][]float64, kinds []float64, train, test []int) map[int]float64 {
	type cut struct {
		c    int
		at   float64
		gain float64
		side [2]float64
	}
	cuts := make([][]float64, len(rows[0]))
	for c := range cuts {
		var all []float64
		for _, i := range train {
			all = append(all, rows[i][c])
		}
		slices.Sort(all)
		for q := 1; q < 12; q++ {
			cuts[c] = append(cuts[c], all[q*len(all)/12])
		}
		cuts[c] = slices.Compact(cuts[c])
	}
	sum := make([]float64, len(rows))
	for range 60 {
		best, chance := cut{gain: -1}, make([]float64, len(rows))
		for _, i := range train {
			chance[i] = sigmoid(sum[i])
		}
		for c := range cuts {
			for _, at := range cuts[c] {
				var g, n [2]float64
				for _, i := range train {
					p := chance[i]
					side := 0
					if rows[i][c] >= at {
						side = 1
					}
					g[side] += kinds[i] - p
					n[side] += p*(1-p) + 1e-3
				}
				gain := g[0]*g[0]/(n[0]+1) + g[1]*g[1]/(n[1]+1)
				if gain > best.gain {
					best = cut{c, at, gain, [2]float64{g[0] / (n[0] + 1), g[1] / (n[1] + 1)}}
				}
			}
		}
		for i, row := range rows {
			if row[best.c] >= best.at {
				sum[i] += 0.2 * best.side[1]
			} else {
				sum[i] += 0.2 * best.side[0]
			}
		}
	}
	out := map[int]float64{}
	for _, i := range test {
		out[i] = sum[i]
	}
	return out
}

// delong is the area under the curve of two heaps of scores, and how sure it is.
func delong(plain, hidden []float64) judgment {
	below := func(s float64, of []float64) (n float64) {
		for _, x := range of {
			switch {
			case x < s:
				n++
			case x == s:
				n += 0.5
			}
		}
		return n / float64(len(of))
	}
	var ofHidden, ofPlain []float64
	for _, s := range hidden {
		ofHidden = append(ofHidden, below(s, plain))
	}
	for _, s := range plain {
		ofPlain = append(ofPlain, 1-below(s, hidden))
	}
	auc, a := meanOf(ofHidden)
	_, b := meanOf(ofPlain)
	sd := math.Sqrt(a*a/float64(len(hidden)) + b*b/float64(len(plain)))
	return judgment{auc: auc, deviation: sd, upper: auc + 1.96*sd, alone: 0.5}
}
