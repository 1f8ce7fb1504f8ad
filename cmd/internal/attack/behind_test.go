package attack

import (
	"math"
	"testing"

	"github.com/backchannel/backchannel/cmd/internal/sim"
)

// byHand is the advantage in a mesh of so many relays, each of an operator of its own: of n
// others than the drop one is the guard, and one of the rest stands beside the drop.
func byHand(relays int) float64 {
	n := float64(relays - 1)
	two := 1 / (n * n)
	same := (n - 1) / n / ((n - 1) * (n - 1))  // a guard that is not this one
	other := (n - 2) / n / ((n - 1) * (n - 1)) // none of these two
	return (n*math.Abs(same-two) + n*(n-1)*math.Abs(other-two)) / 2
}

// TestBehind holds the arithmetic against what can be counted by hand.
func TestBehind(t *testing.T) {
	for _, relays := range []int{6, 8, 10, 12} {
		got, least, err := Links(sim.Config{Users: 10, Relays: relays, Operators: relays, Seed: 2}, relays)
		if want := byHand(relays); err != nil || math.Abs(got-want) > 1e-9 {
			t.Errorf("%d relays: %.5f, by hand %.5f, %v", relays, got, want, err)
		}
		if n := float64(relays - 1); math.Abs(least-1/n/(n-1)) > 1e-9 || math.Abs(got-least) > 1e-9 {
			t.Errorf("%d relays: %.5f, least %.5f", relays, got, least) // nothing could do better
		}
	}
	// Of a sparse graph nothing is counted by hand, but there is a least.
	if got, least, err := Links(sim.Config{Users: 10, Relays: 20, Operators: 10, Seed: 2}, 3); err != nil || got < least {
		t.Errorf("20 relays: %.5f, least %.5f, %v", got, least, err)
	}
}

// TestGuesserReachesIt: who says that two are of one writer when OfOne does has the advantage
// that Advantage says.
func TestGuesserReachesIt(t *testing.T) {
	v, relays, err := sim.Ways(sim.Config{Users: 10, Relays: 8, Operators: 4, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	b := BehindOf(v, relays[0])
	sum := 0.0
	for first, i := range b.index {
		for then, j := range b.index {
			if b.OfOne(first, then) {
				sum += b.after(i)[j] - b.mean[i]*b.mean[j]
			}
		}
	}
	if want := b.Advantage(); math.Abs(sum-want) > 1e-9 || want < 0.1 {
		t.Errorf("%.5f, want %.5f", sum, want)
	}
}
