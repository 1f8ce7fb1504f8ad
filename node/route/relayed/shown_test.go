package relayed

import (
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
)

// ofOperators gives relays to operators in turn.
func (w *world) ofOperators(n int) {
	for i, r := range w.relays {
		r.Operator = strconv.Itoa(i % n)
	}
}

// sparse is a graph of links in which about so many of a hundred are there.
func sparse(hundredths int) func(a, b onion.ID) bool {
	return func(a, b onion.ID) bool {
		x, y := uint32(min(a[0], b[0])), uint32(max(a[0], b[0]))
		return int((x*2654435761^y*2246822519)>>9%100) < hundredths
	}
}

// TestShown: what drops see of a machine's packets is what is reckoned.
func TestShown(t *testing.T) {
	for name, c := range map[string]struct {
		relays, operators int
		links             func(a, b onion.ID) bool
	}{
		"a relay for each operator": {12, 12, nil}, "two for each": {12, 6, nil}, "few": {8, 4, nil}, "three": {9, 3, nil},
		"two middles": {20, 20, sparse(60)}, "two middles, two for each": {24, 12, sparse(50)},
		"two middles, few": {20, 5, sparse(70)},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 71, c.relays)
			w.ofOperators(c.operators)
			w.links = c.links
			a, b := w.user(1), w.user(2)
			w.meet(1, a, b, 1, set(3, 4, 5))
			seen := map[ends]map[Ends]int{} // by guard and drop
			w.made = func(r onion.Request) {
				out, last := r.Out, len(r.Out)-1
				if k := (ends{out[0].ID, out[last].ID}); r.Command == onion.Put {
					if seen[k] == nil {
						seen[k] = map[Ends]int{}
					}
					seen[k][Ends{out[last-1].ID, r.Back[0].ID}]++
				}
			}
			a.start()
			b.start()
			w.run(3 * time.Hour)
			var fits, free, rare, rarely float64
			puts := 0
			for k, of := range seen {
				shown, sum, n := Shown(w, k.a, k.at), 0.0, 0
				for _, p := range shown {
					sum += p
				}
				if math.Abs(sum-1) > 1e-9 {
					t.Errorf("what is shown adds up to %v", sum)
				}
				for e, count := range of {
					if n += count; shown[e] == 0 {
						t.Fatalf("%d times %v to %v at %v, which cannot be", count, e.From[0], e.To[0], k.at[0])
					}
				}
				operator := func(id onion.ID) string { return w.relay(id).Operator }
				for e, p := range shown {
					twice := operator(e.From) == operator(k.at) || operator(e.To) == operator(k.at)
					if want, got := p*float64(n), float64(of[e]); twice || want < 0.5 {
						rare, rarely = rare+want, rarely+got
					} else {
						fits, free = fits+(got-want)*(got-want)/want, free+1
					}
				}
				puts += n
			}
			if puts < 2500 {
				t.Fatalf("%d puts", puts)
			}
			t.Logf("%d puts, %.0f for %.0f degrees of freedom; rare ones %.0f, by arithmetic %.0f", puts, fits, free, rarely, rare)
			if off := (fits - free) / math.Sqrt(2*free); !(off < 5) {
				t.Errorf("%.1f deviations off", off)
			}
			if math.Abs(rare-rarely) > 0.05*float64(puts) {
				t.Errorf("%.0f rare ones, by arithmetic %.0f", rarely, rare)
			}
		})
	}
}

// TestBesideIsDrawnEvenly: each relay beside the guard is as likely as any other.
func TestBesideIsDrawnEvenly(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4, 7} {
		m := New(Config{})
		from := make([]directory.Member, n)
		for i := range from {
			from[i].ID = onion.ID{byte(i + 1)}
		}
		if _, ok := m.drawBeside(from); ok != (n > 1) {
			t.Errorf("%d neighbours, drawn: %v", n, ok)
		}
		if n == 1 {
			continue
		}
		times := map[onion.ID]int{}
		for range 400 * n {
			id, _ := m.drawBeside(from)
			times[id]++
		}
		for _, r := range from {
			if got := times[r.ID]; got < 280 || got > 520 { // six deviations
				t.Errorf("%d neighbours: %v is drawn %d times in %d", n, r.ID[0], got, 400*n)
			}
		}
	}
}
