package sim

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// entropies plays a network and returns the entropy of each packet at its drop, rising.
func entropies(t *testing.T, cfg Config) (all []float64) {
	t.Helper()
	cfg.Bits = func(bits float64) { all = append(all, bits) }
	simulate(t, cfg)
	if len(all) < 1000 {
		t.Fatalf("%d packets came to a drop", len(all))
	}
	slices.Sort(all)
	return all
}

// TestEntropy: with ten users on six relays, at the mean delay that the pool rule chooses,
// each packet hides among 64 or more; with a delay of a second it does not.
func TestEntropy(t *testing.T) {
	cfg := small()
	cfg.Users, cfg.TalkingPairs, cfg.Duration = 10, 5, time.Hour
	all := entropies(t, cfg)
	t.Logf("%d packets: least %.2f bits, 5 %% below %.2f, median %.2f", len(all), all[0], all[len(all)/20], all[len(all)/2])
	if all[0] < 6 {
		t.Errorf("a packet has %.2f bits", all[0])
	}
	cfg.Constants.Mean, cfg.Constants.Pool, cfg.Duration = time.Second, 1, 20*time.Minute
	if all = entropies(t, cfg); all[len(all)/2] > 5 {
		t.Errorf("%.2f bits without much delay", all[len(all)/2])
	}
}

// TestEntropyDoesNotChangeTimes: to look at a simulation changes nothing in it.
func TestEntropyDoesNotChangeTimes(t *testing.T) {
	cfg := small()
	cfg.Duration = 5 * time.Minute
	before, _ := traceOf(t, cfg)
	cfg.Bits = func(float64) {}
	if after, _ := traceOf(t, cfg); !slices.Equal(before, after) {
		t.Error("the trace is another")
	}
}

// TestBlur: two packets in a pool, and one of three, by hand; then many mixes drawn, and how
// often each packet was the one that left.
func TestBlur(t *testing.T) {
	one := func(n uint64) blur { return blur{{n, []float64{1}}} }
	pool := make(blur, 2)
	pool.comes(one(5), 1)
	if b := pool.leaves()[1]; b.bits() != 0 {
		t.Errorf("%v bits alone", b.bits())
	}
	pool.comes(one(7), 2)
	if b := pool.leaves()[1]; b.bits() != 1 {
		t.Errorf("%v bits of two", b.bits())
	}
	pool.comes(nil, 3) // a relay's own: it is none of them
	if b := pool.leaves()[1]; math.Abs(b.bits()-1) > 1e-9 || math.Abs(b.share[0]-1./3) > 1e-9 {
		t.Errorf("%v bits, %v", b.bits(), b.share)
	}
	pool.comes(one(8), 3) // one of the three has left
	left := pool.leaves()[1]
	want := []float64{2. / 9, 0, 2. / 9, 1. / 3}
	for i, p := range want {
		if math.Abs(left.share[i]-p) > 1e-9 {
			t.Errorf("%v, want %v", left.share, want)
		}
	}
	random, times := rand.New(rand.NewPCG(5, 6)), map[int]int{}
	const draws = 90_000
	for range draws {
		in := []int{5, 7, -1}
		in[random.IntN(3)] = 8 // who has left made room
		times[in[random.IntN(3)]]++
	}
	for i, p := range want {
		if n := 5 + i; math.Abs(float64(times[n])/draws-p) > 0.01 {
			t.Errorf("packet %d left %d times of %d, want %.3f", n, times[n], draws, p)
		}
	}
}
