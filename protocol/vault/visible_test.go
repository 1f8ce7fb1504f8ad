package vault

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// sight is what the holder of some keys sees of one tick: where it wrote, and
// what opens there.
type sight struct {
	touched []uint32
	opens   map[uint32]plain // with the body
}

// see looks at changes with the keys of the first levels.
func see(t *testing.T, d *disk, changes []Change, keys []*slotKeys) sight {
	t.Helper()
	s := sight{opens: map[uint32]plain{}}
	for _, c := range changes {
		s.touched = append(s.touched, c.Index)
		lies := d.vault.owner[c.Index]
		shown := false
		for n, k := range keys {
			if !k.matches(c.Slot[:]) {
				continue
			}
			if _, err := k.openSlot(place(&d.vault.store, c.Index), c.Slot); err != nil || lies == nil || lies.level != n {
				t.Fatalf("what opens at level %d does not lie there: %v", n, err)
			}
			s.opens[c.Index] = *lies.plain
			shown = true
		}
		if lies != nil && lies.level < len(keys) && !shown && lies.plain.front().kind != kindHeader {
			t.Fatal("what lies at a level does not open there")
		}
	}
	return s
}

// visibleRun plays one script on the first shown levels of a store, and others on
// those beneath, which write as much as they can.
func visibleRun(t *testing.T, shown, levels int, seed byte) []sight {
	var sights []sight
	d := newDisk(t, small, levels, seed)
	keys := make([]*slotKeys, shown)
	for n := range keys {
		keys[n] = levelKeys(d.vault.roots[n])
	}
	d.seen = func(changes []Change) { sights = append(sights, see(t, d, changes, keys)) }
	r := make([]*rand.Rand, levels)
	for n := range r {
		r[n] = rand.New(rand.NewPCG(uint64(seed), uint64(n)))
	}
	for i := range 120 {
		for n := range levels {
			for range 1 + 3*min(n, 1) {
				_, _ = d.vault.Level(n).Stage(script(r[n])) // full is a state like any other
			}
			if n == 0 && i%40 == 39 {
				if _, err := d.vault.Level(0).Drop([16]byte{2}); err != nil {
					t.Fatal(err)
				}
			}
		}
		d.tick()
		if i%50 == 49 {
			d.reopen(levels - 1)
		}
	}
	return sights
}

// TestVisibleIsIdentical is the promise of the package: for the same coins and the
// same visible script, what is touched and where visible blocks land is identical
// with no, one and two levels beneath.
func TestVisibleIsIdentical(t *testing.T) {
	for seed := range byte(3) {
		for shown := 1; shown < MaxLevels; shown++ {
			want := visibleRun(t, shown, shown, seed)
			moving := 0
			for levels := shown + 1; levels <= MaxLevels; levels++ {
				got := visibleRun(t, shown, levels, seed)
				for i := range want {
					if !slices.Equal(got[i].touched, want[i].touched) {
						t.Fatalf("tick %d touches other slots with %d levels than with %d", i, levels, shown)
					}
					if !maps.Equal(got[i].opens, want[i].opens) {
						t.Fatalf("in tick %d %d visible levels lie otherwise with %d levels", i, shown, levels)
					}
					moving += len(want[i].opens)
				}
			}
			if moving < 1000 {
				t.Errorf("only %d visible blocks were written", moving)
			}
		}
	}
}

// TestLandingsTellNothing scores how evenly the new blocks of level 0 land, over
// many ticks with coins of their own. The score of the rule must be that of a
// store without deeper levels; a placement that spares deeper blocks is caught.
func TestLandingsTellNothing(t *testing.T) {
	none := landings(0, assign, 1)
	rule := landings(2, assign, 2)
	naive := landings(2, assignNaively, 3)
	t.Logf("dispersion: %.1f with no deeper level, %.1f with two, %.1f with two that are spared", none, rule, naive)
	if math.Abs(rule-none) > 6 {
		t.Errorf("two deeper levels show: %.1f against %.1f", rule, none)
	}
	if naive-none < 20 {
		t.Errorf("the placement that spares deeper blocks is not caught: %.1f against %.1f", naive, none)
	}
}

type placement func([]uint32, []demand, func(int) stream) ([]assignment, bool)

// landings simulates placement alone. Each level has an eighth of the slots live;
// level 0 writes eight of its blocks anew in each tick, a deeper one one in eight.
func landings(deeper int, assign placement, seed byte) float64 {
	const slots, ticks, writes = 2048, 2000, 8
	r := rand.NewChaCha8([32]byte{seed, 77})
	choice := rand.New(r)
	owner := map[uint32]int{}
	lies := make([][]uint32, 1+deeper) // slots of a level's blocks
	for n := range lies {
		for len(lies[n]) < slots/share {
			slot := choice.Uint32N(slots)
			if _, ok := owner[slot]; !ok {
				owner[slot] = n
				lies[n] = append(lies[n], slot)
			}
		}
	}
	var count [slots]float64
	for tick := range ticks {
		var coins Coins
		_, _ = r.Read(coins[:])
		touched := coins.stream("touch", 0).choose(slots, Touch)
		slices.Sort(touched)
		demands := make([]demand, len(lies))
		for n := range demands {
			demands[n] = demand{
				holds: func(slot uint32) bool { at, ok := owner[slot]; return ok && at == n },
				fresh: func(room int) int {
					if n == 0 {
						return min(room, writes)
					}
					return min(room, max(0, 1-tick%8))
				},
			}
		}
		shares, ok := assign(touched, demands, func(n int) stream { return coins.stream("place", n) })
		if !ok {
			continue
		}
		for n := range lies {
			for i, slot := range lies[n] {
				if to, ok := shares[n].moved[slot]; ok {
					lies[n][i] = to
				}
			}
			for _, slot := range shares[n].fresh {
				lies[n][choice.IntN(len(lies[n]))] = slot
				if n == 0 {
					count[slot]++
				}
			}
		}
		clear(owner)
		for n := range lies {
			for _, slot := range lies[n] {
				owner[slot] = n
			}
		}
	}
	return dispersion(count[:])
}

// dispersion is chi square over the slots, in standard deviations from what even
// landings give.
func dispersion(count []float64) float64 {
	total := 0.0
	for _, c := range count {
		total += c
	}
	mean, sum := total/float64(len(count)), 0.0
	for _, c := range count {
		sum += (c - mean) * (c - mean) / mean
	}
	free := float64(len(count) - 1)
	return (sum - free) / math.Sqrt(2*free)
}

// assignNaively gives new blocks only slots where no level has anything.
func assignNaively(touched []uint32, demands []demand, draw func(int) stream) ([]assignment, bool) {
	var open []uint32
	for _, slot := range touched {
		if !slices.ContainsFunc(demands, func(d demand) bool { return d.holds(slot) }) {
			open = append(open, slot)
		}
	}
	out := make([]assignment, len(demands))
	for n, d := range demands {
		for _, at := range draw(n).choose(uint32(len(open)), uint32(d.fresh(len(open)))) {
			out[n].fresh = append(out[n].fresh, open[at])
		}
		open = slices.DeleteFunc(open, func(slot uint32) bool { return slices.Contains(out[n].fresh, slot) })
	}
	return out, true
}

// TestRedrawIsRare works out how likely a tick fails for a store with three full
// levels that all write as much as they may: docs/spec/vault.md promises 2^-75.
func TestRedrawIsRare(t *testing.T) {
	for slots := MinSlots; slots <= MaxSlots; slots *= 2 {
		total := 0.0
		for level := 1; level < MaxLevels; level++ {
			live := (level + 1) * slots / share
			total += hypergeometricTail(slots, live, Touch, Touch-level*Fresh)
		}
		if bits := math.Log2(total); bits > -75 {
			t.Errorf("%d slots: a tick fails with probability 2^%.1f", slots, bits)
		} else {
			t.Logf("%d slots: 2^%.1f", slots, bits)
		}
	}
}

// hypergeometricTail is the chance that of drawn slots more than most are live.
func hypergeometricTail(slots, live, drawn, most int) float64 {
	choose := func(n, k int) float64 {
		a, _ := math.Lgamma(float64(n + 1))
		b, _ := math.Lgamma(float64(k + 1))
		c, _ := math.Lgamma(float64(n - k + 1))
		return a - b - c
	}
	sum := 0.0
	for k := most + 1; k <= drawn; k++ {
		sum += math.Exp(choose(live, k) + choose(slots-live, drawn-k) - choose(slots, drawn))
	}
	return sum
}
