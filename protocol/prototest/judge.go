package prototest

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// alpha is the chance that a fair classifier cries out, over all tests of
// one kind together. The seeds are fixed: it cannot fail now and then.
const alpha = 1e-3

// A Verdict is what a judge says of two heaps: what is genuine, and what was forged.
type Verdict struct {
	worst    string  // the feature that differs most
	distance float64 // of it, and what is too much
	limit    float64
	Found    []string // features beyond the limit
	AUC      float64  // of a classifier trained on one half, on the other
	AUCLimit float64  // what is too far from a half is not by chance
}

// Told reports whether the two can be told apart.
func (v Verdict) Told() bool {
	return len(v.Found) > 0 || v.AUC > v.AUCLimit || v.AUC < 1-v.AUCLimit
}

// String says it in one line.
func (v Verdict) String() string {
	s := fmt.Sprintf("AUC %.3f (limit %.3f); worst is %q with %.3f (limit %.3f)", v.AUC, v.AUCLimit, v.worst, v.distance, v.limit)
	if len(v.Found) > 0 {
		s += "; beyond it: " + strings.Join(v.Found[:min(len(v.Found), 12)], "; ")
	}
	return s
}

// Heaps holds the named features of what is genuine and of what was forged.
type Heaps struct{ genuine, forged [][]float64 }

// Add adds one of each.
func (c *Heaps) Add(genuine, forged []float64) {
	c.genuine, c.forged = append(c.genuine, genuine), append(c.forged, forged)
}

// Judge compares each feature with the test of Kolmogorov and Smirnov, and trains
// a logistic regression on all of them.
func (c *Heaps) Judge(names []string) Verdict {
	n := float64(len(c.genuine))
	v := Verdict{limit: math.Sqrt(-math.Log(alpha/float64(len(names))/2)/2) * math.Sqrt(2/n)}
	for i, name := range names {
		d := kolmogorovSmirnov(column(c.genuine, i), column(c.forged, i))
		if d > v.distance {
			v.distance, v.worst = d, name
		}
		if d > v.limit {
			v.Found = append(v.Found, fmt.Sprintf("%s (%.2f)", name, d))
		}
	}
	half := len(c.genuine) / 2
	m := train(c.genuine[:half], c.forged[:half])
	v.AUC = area(m.scores(c.genuine[half:]), m.scores(c.forged[half:]))
	v.AUCLimit = areaLimit(len(c.genuine) - half)
	return v
}

func column(rows [][]float64, i int) []float64 {
	v := make([]float64, len(rows))
	for j := range rows {
		v[j] = rows[j][i]
	}
	slices.Sort(v)
	return v
}

// kolmogorovSmirnov is the greatest distance between two distributions.
func kolmogorovSmirnov(a, b []float64) float64 {
	d, i, j := 0.0, 0, 0
	for i < len(a) && j < len(b) {
		x := min(a[i], b[j])
		for i < len(a) && a[i] == x {
			i++
		}
		for j < len(b) && b[j] == x {
			j++
		}
		d = max(d, math.Abs(float64(i)/float64(len(a))-float64(j)/float64(len(b))))
	}
	return d
}

// area is the chance that a forged one scores above a genuine one.
func area(genuine, forged []float64) float64 {
	slices.Sort(genuine)
	sum := 0.0
	for _, s := range forged {
		below, _ := slices.BinarySearch(genuine, s)
		upTo, _ := slices.BinarySearch(genuine, math.Nextafter(s, math.Inf(1)))
		sum += float64(below+upTo) / 2
	}
	return sum / float64(len(genuine)) / float64(len(forged))
}

// areaLimit is 3.5 standard deviations above a half, for m against m.
func areaLimit(m int) float64 {
	return 0.5 + 3.5*math.Sqrt(float64(2*m+1)/(12*float64(m)*float64(m)))
}

// A model is a logistic regression over features brought to one scale.
type model struct{ mean, scale, weight []float64 }

func (m *model) row(v []float64) []float64 {
	out := make([]float64, len(v))
	for i := range v {
		out[i] = max(-6, min(6, (v[i]-m.mean[i])*m.scale[i]))
	}
	return out
}

func (m *model) score(row []float64) (s float64) {
	for i, x := range row {
		s += x * m.weight[i]
	}
	return s
}

func (m *model) scores(rows [][]float64) []float64 {
	out := make([]float64, len(rows))
	for i := range rows {
		out[i] = m.score(m.row(rows[i]))
	}
	return out
}

// train descends the gradient, with a pull of the weights towards zero.
func train(genuine, forged [][]float64) *model {
	const steps, rate, pull = 150, 0.3, 1e-2
	size := len(genuine[0])
	m := &model{mean: make([]float64, size), scale: make([]float64, size), weight: make([]float64, size)}
	n := float64(len(genuine) + len(forged))
	all := append(slices.Clone(genuine), forged...)
	for i := range size {
		sum, squares := 0.0, 0.0
		for _, row := range all {
			sum += row[i]
		}
		m.mean[i] = sum / n
		for _, row := range all {
			squares += (row[i] - m.mean[i]) * (row[i] - m.mean[i])
		}
		if squares > 0 {
			m.scale[i] = 1 / math.Sqrt(squares/n)
		}
	}
	for i := range all {
		all[i] = m.row(all[i])
	}
	for range steps {
		gradient := make([]float64, size)
		for i, row := range all {
			label := 0.0
			if i >= len(genuine) {
				label = 1
			}
			miss := 1/(1+math.Exp(-m.score(row))) - label
			for j, x := range row {
				gradient[j] += miss * x
			}
		}
		for j := range gradient {
			m.weight[j] -= rate * (gradient[j]/n + pull*m.weight[j])
		}
	}
	return m
}

// Places judges by place: the mean of every byte in both heaps, and the
// nearer of two centres. It learns from the first pairs and scores the others.
type Places struct {
	learn        int
	n            int
	sum, squares [2][]float64
	centre       [2][]float64
	spread       []float64
	scores       [2][]float64
}

// NewPlaces begins with so many pairs to learn from.
func NewPlaces(learn int) *Places { return &Places{learn: learn} }

// Count is how many places there are.
func (p *Places) Count() int { return len(p.sum[0]) }

// Add adds one of each.
func (p *Places) Add(genuine, forged []float64) {
	for heap, v := range [][]float64{genuine, forged} {
		if p.sum[heap] == nil {
			p.sum[heap], p.squares[heap] = make([]float64, len(v)), make([]float64, len(v))
		}
		if p.n >= p.learn {
			p.scores[heap] = append(p.scores[heap], p.score(v))
		}
		for i, x := range v {
			p.sum[heap][i] += x
			p.squares[heap][i] += x * x
		}
	}
	if p.n++; p.n == p.learn {
		p.centre = [2][]float64{slices.Clone(p.sum[0]), slices.Clone(p.sum[1])}
		p.spread = make([]float64, p.Count())
		for i := range p.spread {
			p.spread[i] = p.variance(0, i) + p.variance(1, i)
			p.centre[0][i] /= float64(p.n)
			p.centre[1][i] /= float64(p.n)
		}
	}
}

func (p *Places) variance(heap, i int) float64 {
	n := float64(p.n)
	mean := p.sum[heap][i] / n
	return max(0, p.squares[heap][i]/n-mean*mean)
}

// score is above zero if the centre of the forged is nearer.
func (p *Places) score(v []float64) (s float64) {
	for i, x := range v {
		if p.spread[i] > 1e-9 {
			middle := (p.centre[0][i] + p.centre[1][i]) / 2
			s += (x - middle) * (p.centre[1][i] - p.centre[0][i]) / p.spread[i]
		} else if p.centre[0][i] != p.centre[1][i] {
			s += 100 * math.Copysign(1, math.Abs(x-p.centre[0][i])-math.Abs(x-p.centre[1][i]))
		}
	}
	return s
}

// Judge compares the means of each place, and counts how often the nearer centre is right.
func (p *Places) Judge() Verdict {
	n := float64(p.n)
	v := Verdict{limit: math.Sqrt2 * math.Erfcinv(alpha/float64(p.Count()))}
	for i := range p.Count() {
		apart := math.Abs(p.sum[0][i]-p.sum[1][i]) / n
		spread := math.Sqrt((p.variance(0, i) + p.variance(1, i)) / n)
		z := 0.0
		if apart > 1e-9 {
			z = apart / max(spread, 1e-9)
		}
		name := fmt.Sprintf("place %d", i)
		if z > v.distance {
			v.distance, v.worst = z, name
		}
		if z > v.limit {
			v.Found = append(v.Found, fmt.Sprintf("%s (%.1f)", name, z))
		}
	}
	v.AUC = area(p.scores[0], p.scores[1])
	v.AUCLimit = areaLimit(p.n - p.learn)
	return v
}
