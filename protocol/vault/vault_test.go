package vault

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"testing"
)

func TestCreateAndOpen(t *testing.T) {
	for levels := 1; levels <= MaxLevels; levels++ {
		d := newDisk(t, small, levels, byte(levels))
		for n := range levels {
			d.stage(n, put(key(1, 1, 1), 100*(n+1), byte(n)))
		}
		d.settle()
		for n := range MaxLevels {
			v, err := d.open(n)
			if n >= levels {
				if !errors.Is(err, ErrKey) {
					t.Fatalf("level %d of %d: %v", n, levels, err)
				}
				continue
			}
			if err != nil || v.Depth() != n+1 {
				t.Fatalf("level %d of %d: %v", n, levels, err)
			}
			for i := range n + 1 {
				if got, ok := v.Level(i).Get(key(1, 1, 1)); !ok || !bytes.Equal(got, bytes.Repeat([]byte{byte(i)}, 100*(i+1))) {
					t.Errorf("level %d of %d through %d: %v", i, levels, n, ok)
				}
				if v.Level(i).RolledBack() {
					t.Errorf("level %d of %d through %d is rolled back", i, levels, n)
				}
			}
			if len(v.Level(n).extra) != 0 {
				t.Errorf("level %d: %d header copies are gone", n, len(v.Level(n).extra))
			}
		}
	}
}

// TestHistories plays random scripts on three levels; after every tick the
// process dies, and what opens must be a state between commits: all that was
// durable, and nothing of what was not.
func TestHistories(t *testing.T) {
	for seed := range byte(4) {
		r := rand.New(rand.NewPCG(uint64(seed), 9))
		d := newDisk(t, small, MaxLevels, seed)
		type version struct {
			ticket uint64
			state  model
		}
		states := make([][]version, MaxLevels)
		for n := range states {
			states[n] = []version{{0, model{}}}
		}
		long := 0
		for range 150 {
			for n := range MaxLevels {
				if r.IntN(3) == 0 {
					continue
				}
				writes := script(r)
				ticket, err := d.vault.Level(n).Stage(writes)
				if errors.Is(err, ErrFull) {
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				next := maps.Clone(states[n][len(states[n])-1].state)
				next.apply(writes)
				states[n] = append(states[n], version{ticket, next})
			}
			d.tick()
			v, err := d.open(MaxLevels - 1)
			if err != nil {
				t.Fatal(err)
			}
			for n := range MaxLevels {
				durable, current := d.vault.Level(n).Durable(), 0
				for i, s := range states[n] {
					if s.ticket <= durable {
						current = i
					}
				}
				if v.Level(n).RolledBack() {
					t.Fatalf("seed %d: level %d is rolled back", seed, n)
				}
				if err := states[n][current].state.compare(v.Level(n)); err != nil {
					t.Fatalf("seed %d, tick %d, level %d: %v", seed, v.Ticks(), n, err)
				}
				if current < len(states[n])-1 {
					long++
				}
				states[n] = states[n][current:]
				if r.IntN(10) != 0 {
					continue
				}
				for n := range states { // go on with what the dead process left
					at := 0
					for i, s := range states[n] {
						if s.ticket <= d.vault.Level(n).Durable() {
							at = i
						}
					}
					states[n] = states[n][at : at+1]
					states[n][0].ticket = 0
				}
				d.vault = v
				break
			}
		}
		if long == 0 {
			t.Error("no commit took more than one tick: the test shows less than it should")
		}
	}
}
