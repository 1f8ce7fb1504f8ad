package node_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/store"
)

// filler is of no kind that a node knows.
const filler store.Kind = 200

// fillDeepest fills the deepest level of a closed store to the brim.
func fillDeepest(t *testing.T, dir string) {
	t.Helper()
	s, err := store.Open(store.Config{Dir: dir, Cost: store.Cheap}, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Online(); err != nil {
		t.Fatal(err)
	}
	var ticket uint64
	settle := func() {
		for s.Durable() < ticket {
			if err := s.Tick(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, refused := uint64(0), 0; refused < 2; i++ { // what is staged takes room twice
		next, err := s.Stage(store.Write{Key: store.Key{Kind: filler, Seq: i}, Value: make([]byte, 700)})
		switch {
		case err == nil:
			ticket, refused = next, 0
		case errors.Is(err, store.ErrLevelFull):
			refused++
			settle()
		default:
			t.Fatal(err)
		}
	}
	if u := s.Usage(); u.Pages < u.Limit*9/10 {
		t.Errorf("%+v: this is not full", u)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// A sample is what was measured with one passphrase, in seconds.
type sample struct{ n, mean, squares float64 }

// add takes a value over, by Welford's method.
func (s *sample) add(d time.Duration) {
	x := d.Seconds()
	s.n++
	off := x - s.mean
	s.mean += off / s.n
	s.squares += off * (x - s.mean)
}

func (s sample) variance() float64 { return s.squares / (s.n - 1) }

// welch is the t of Welch's test: how far two means lie apart, in standard errors.
func welch(a, b sample) float64 { return (a.mean - b.mean) / spread(a, b) }

// spread is the standard error of a difference of means.
func spread(a, b sample) float64 { return math.Sqrt(a.variance()/a.n + b.variance()/b.n) }

// TestDuressTimes unlocks with each passphrase in a random order, and reads: with
// what lies beneath empty and full, no time tells which passphrase it was.
func TestDuressTimes(t *testing.T) {
	times := few(120)
	if *long {
		times = 1000
	}
	for _, full := range []bool{false, true} {
		m := newCompartments(t, hooks{})
		m.settings = freeSettings(t)
		m.end()
		m.start()
		for _, pass := range [][]byte{shallower, passphrase} {
			if err := errors.Join(m.Unlock(t.Context(), pass), m.GoOnline(t.Context())); err != nil {
				t.Fatal(err)
			}
			m.invite()
			m.Lock()
		}
		if full {
			fillDeepest(t, m.dir)
		}
		var unlock, read [2]sample
		for range times {
			first := rand.IntN(2)
			for _, which := range []int{first, 1 - first} {
				began := time.Now()
				if err := m.Unlock(t.Context(), [][]byte{passphrase, shallower}[which]); err != nil {
					t.Fatal(err)
				}
				unlocked := time.Now()
				if _, err := m.Read(t.Context(), peer, 0); err != nil {
					t.Fatal(err)
				}
				unlock[which].add(unlocked.Sub(began))
				read[which].add(time.Since(began))
				m.Lock()
			}
		}
		for what, s := range map[string][2]sample{"to the unlock": unlock, "to the first read": read} {
			got := welch(s[0], s[1])
			t.Logf("full %v, %s: %.3f ms and %.3f ms, t = %.2f; %.3f ms would be seen", full, what,
				1e3*s[0].mean, 1e3*s[1].mean, got, 4.5e3*spread(s[0], s[1]))
			if math.Abs(got) >= 4.5 {
				t.Errorf("full %v, %s: t = %.2f with %d unlocks each", full, what, got, times)
			}
		}
	}
}
