package attack

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/cadence"
)

// TestSmearLeaves holds the arithmetic against moments that are drawn.
func TestSmearLeaves(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 9))
	const slots = 20_000
	for _, s := range []Smear{{2, 2, 30}, {2, 15, 30}, {3, 5, 30}} {
		var moments []float64
		for slot := range slots {
			for range cadence.Packets {
				moments = append(moments, (float64(slot)+random.Float64())*s.Slot)
			}
		}
		d := Delay{Relays: s.Relays, Mean: s.Mean}
		rate := cadence.Packets / s.Slot
		sum, squares := 0.0, 0.0
		next := 0
		const looks = 30_000
		for look := range looks {
			at := s.Slot * (100 + float64(look)*(slots-200)/looks)
			for moments[next] < at-s.Mean*30 {
				next++
			}
			fits := 0.0
			for i := next; i < len(moments) && moments[i] < at+s.Slot; i++ {
				fits += d.density(at - moments[i])
			}
			surplus := fits/rate - 1
			sum, squares = sum+surplus, squares+surplus*surplus
		}
		mean := sum / looks
		if got, want := squares/looks-mean*mean, s.Left(); math.Abs(got-want) > 0.1*want {
			t.Errorf("%+v: %.5f, by arithmetic %.5f", s, got, want)
		}
	}
}

// TestPrediction: what the drop alone shows in simulations is what the arithmetic says, with
// a delay that shows something in the time that a test has.
func TestPrediction(t *testing.T) {
	if testing.Short() {
		t.Skip("plays some networks")
	}
	e := Experiment{Config: network()}
	e.Config.Users, e.Config.TalkingPairs, e.Config.Duration = 10, 5, 45*time.Minute
	e.Config.Constants.Mean, e.Config.Constants.Pool, e.Config.Seed = time.Second, 1, 4000
	var g []Guess
	for i := range 6 {
		features, talks, err := e.network(uint64(i))
		if err != nil {
			t.Fatal(err)
		}
		for p, f := range columns(features, 2) {
			g = append(g, Guess{f[0], talks[p], i})
		}
	}
	want := Overall(Predict(Smear{2, 1, 30}, 10, 6, 45./1440), 6)
	// Users' own boxes are noise beyond what the arithmetic counts, the more so the shorter
	// the delay.
	if got := AUC(g); got > want+0.08 || got < 0.5+(want-0.5)/3 {
		t.Errorf("AUC %.3f, by arithmetic %.3f", got, want)
	}
	t.Logf("AUC %.3f, by arithmetic %.3f", AUC(g), want)
}

// TestPredictKnowsItsLimits: nothing is seen in no time, everything in the end, less with more
// users or longer delays.
func TestPredictKnowsItsLimits(t *testing.T) {
	s := Smear{2, 15, 30}
	if p := Predict(s, 10, 6, 1e-9); p > 0.501 {
		t.Errorf("%v at once", p)
	}
	if p := Predict(s, 10, 6, 1e6); p < 0.999 {
		t.Errorf("%v in the end", p)
	}
	for name, less := range map[string]float64{
		"more users": Predict(s, 100, 6, 7), "longer delays": Predict(Smear{2, 30, 30}, 10, 6, 7), "less time": Predict(s, 10, 6, 1),
	} {
		if all := Predict(s, 10, 6, 7); less >= all || less <= 0.5 {
			t.Errorf("%s: %v, else %v", name, less, all)
		}
	}
	// Who cuts a user off for five slots learns next to nothing, and more each time.
	once, often := PredictCut(s, 10, 6, 5, 1), PredictCut(s, 10, 6, 5, 1000)
	if once < 0.5 || once > 0.52 || often < 0.7 || PredictCut(Smear{2, 1, 30}, 10, 6, 5, 1) < once+0.05 {
		t.Errorf("cut off once %v, a thousand times %v", once, often)
	}
	t.Logf("cut off once %.3f, each hour for a day %.3f, for a week %.3f", once, PredictCut(s, 10, 6, 5, 24), PredictCut(s, 10, 6, 5, 168))
	if Overall(1, 6) != 0.75 || Overall(0.5, 50) != 0.5 {
		t.Error("pairs that do not use the drop")
	}
}
