package attack

import "math"

// Bins in seconds, and how many of them one side may be later than the other.
var bins = []struct {
	width float64
	lags  int
}{{2, 5}, {30, 8}, {300, 2}}

// A user's traffic in bins, without its mean.
type series struct {
	up, down [][]float64 // by bin width
	volume   float64
	unrest   []float64 // variance by bin width
}

// All returns every pair of users a < b, in that order.
func (w *Watcher) All() (pairs [][2]int) {
	for a := range w.up {
		for b := a + 1; b < len(w.up); b++ {
			pairs = append(pairs, [2]int{a, b})
		}
	}
	return pairs
}

// Features returns those of pairs, less what they are on average: he sees all of the
// network, and looks for pairs that differ in it.
func (w *Watcher) Features(pairs [][2]int) (features [][]float64) {
	users := map[int]*series{}
	for _, p := range pairs {
		for _, u := range p {
			if users[u] == nil {
				s := w.series(u)
				users[u] = &s
			}
		}
	}
	near := w.atDrop(users)
	for _, p := range pairs {
		features = append(features, append(between(users[p[0]], users[p[1]]), near(p[0], p[1])))
	}
	centre(features)
	return features
}

// centre takes from each feature its mean.
func centre(features [][]float64) {
	if len(features) == 0 {
		return
	}
	for j := range features[0] {
		mean := 0.0
		for _, f := range features {
			mean += f[j] / float64(len(features))
		}
		for _, f := range features {
			f[j] -= mean
		}
	}
}

func (w *Watcher) series(user int) (s series) {
	s.volume = float64(len(w.up[user]) + len(w.down[user]))
	for _, b := range bins {
		up, unrest := centred(counts(w.up[user], b.width, w.Duration))
		down, _ := centred(counts(w.down[user], b.width, w.Duration))
		s.up, s.down, s.unrest = append(s.up, up), append(s.down, down), append(s.unrest, unrest)
	}
	return s
}

func centred(x []float64) (y []float64, variance float64) {
	mean := 0.0
	for _, v := range x {
		mean += v
	}
	mean /= float64(len(x))
	y = make([]float64, len(x))
	for i, v := range x {
		y[i] = v - mean
		variance += y[i] * y[i]
	}
	return y, variance / float64(len(x))
}

// between are the features of two users' links: how what one sends goes with what the
// other sends, and receives, at the best lag and on average; their volumes and unrest.
func between(a, b *series) (f []float64) {
	for i, bin := range bins {
		for _, s := range [][2][]float64{{a.up[i], b.up[i]}, {a.up[i], b.down[i]}, {a.down[i], b.up[i]}} {
			most, sum := -1.0, 0.0
			for lag := -bin.lags; lag <= bin.lags; lag++ {
				c := correlation(s[0], s[1], lag)
				most, sum = math.Max(most, c), sum+c
			}
			f = append(f, most, sum, correlation(s[0], s[1], 0))
		}
		f = append(f, a.unrest[i]+b.unrest[i], math.Abs(a.unrest[i]-b.unrest[i]), a.unrest[i]*b.unrest[i])
	}
	return append(f, a.volume+b.volume, math.Abs(a.volume-b.volume), math.Log1p(a.volume)*math.Log1p(b.volume))
}

func correlation(x, y []float64, lag int) float64 {
	var xy, xx, yy float64
	for i := max(0, -lag); i < len(x) && i+lag < len(y); i++ {
		xy += x[i] * y[i+lag]
		xx += x[i] * x[i]
		yy += y[i+lag] * y[i+lag]
	}
	if xx == 0 || yy == 0 {
		return 0
	}
	return xy / math.Sqrt(xx*yy)
}

// atDrop returns how well boxes at the drop fit two users: of each box, whether one of
// them sent something when it must have left, and the other when it was asked for. For
// every box the two surpluses over what chance gives are multiplied.
func (w *Watcher) atDrop(users map[int]*series) func(a, b int) float64 {
	put, got := map[int][]float64{}, map[int][]float64{}
	for u := range users {
		put[u], got[u] = make([]float64, len(w.boxes)), make([]float64, len(w.boxes))
		for i, b := range w.boxes {
			put[u][i], got[u][i] = w.fits(u, b.put), w.fits(u, b.got)
		}
	}
	return func(a, b int) float64 {
		sum := 0.0
		for i := range w.boxes {
			sum += put[a][i]*got[b][i] + put[b][i]*got[a][i]
		}
		return sum / math.Sqrt(float64(len(w.boxes))+1)
	}
}

// fits is the surplus of a moment for a user: by what he sent, or, if his guard is held, by
// what left it for the relay from which the drop had the packet.
func (w *Watcher) fits(user int, m moment) float64 {
	d, times := w.delay, w.up[user]
	if passed := w.passed[user]; passed != nil {
		times = passed[m.from]
		d.Links *= float64(d.Relays) / float64(d.Relays+1)
		d.Relays--
	}
	return d.surplus(times, float64(len(times))/w.Duration.Seconds(), m.at)
}

// surplus is how much likelier a moment at the drop is, given when a user sent, than by
// chance, less one.
func (d Delay) surplus(times []float64, rate, at float64) float64 {
	if rate == 0 {
		return -1
	}
	sum := 0.0
	for i := after(times, at-d.longest()); i < len(times) && times[i] < at; i++ {
		sum += d.density(at - times[i])
	}
	return sum/rate - 1
}

// longest is what a packet takes at most, but for one in a thousand.
func (d Delay) longest() float64 { return d.Links + d.Mean*float64(d.Relays)*5 + 1 }

func after(times []float64, at float64) int {
	low, high := 0, len(times)
	for low < high {
		if mid := (low + high) / 2; times[mid] < at {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

// density is that of the sum of the relays' delays, after what links take; links spread it
// by a fourth of that.
func (d Delay) density(t float64) float64 {
	scale := math.Hypot(d.Mean, d.Links/4/math.Sqrt(float64(d.Relays)))
	x := (t - d.Links + float64(d.Relays)*(scale-d.Mean)) / scale
	if x <= 0 {
		return 0
	}
	k := float64(d.Relays)
	g, _ := math.Lgamma(k)
	return math.Exp((k-1)*math.Log(x)-x-g) / scale
}
