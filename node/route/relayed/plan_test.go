package relayed

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/onion"
)

// TestDistribute: of the packets of a slot as many as possible are led well, and then as many as
// possible at all; counted by another way of matching them.
func TestDistribute(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 1))
	for range 500 {
		w := newWorld(t, 74, 5+r.IntN(4))
		w.ofOperators(3 + r.IntN(2))
		m := New(Config{Constants: w.cfg, Onion: w})
		m.SetView(w.now, w)
		m.guards.pinned[0].id = w.relays[0].ID
		m.forgetWays()
		from := m.neighbours()
		steps, at := make([]step, 10), make([]onion.ID, 10)
		for i := range steps {
			steps[i].beside = from[r.IntN(len(from))].ID
			if i < 6 {
				at[i] = w.relays[r.IntN(min(4, len(w.relays)))].ID
			}
		}
		who := m.distribute(steps, at)
		got := map[fit]int{}
		for i, p := range who {
			if at[p] != (onion.ID{}) {
				got[m.fits(at[p], steps[i].beside)]++
			}
		}
		if slices.Sort(who); !slices.Equal(who, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) {
			t.Fatalf("%v are distributed", who)
		}
		if n, best := matched(m, steps, at); got[well]+got[poorly] != n || got[well] != best {
			t.Fatalf("%d are led, %d of them well; %d and %d could be", got[well]+got[poorly], got[well], n, best)
		}
	}
}

// matched returns how many packets can be led at once, and how many of so many well: by trying
// all.
func matched(m *Machine, steps []step, at []onion.ID) (n, wells int) {
	type led struct{ n, wells int }
	best := map[int]led{0: {}} // by the steps that are taken, as bits
	for _, where := range at {
		next := map[int]led{}
		keep := func(used int, l led) {
			if was, ok := next[used]; !ok || l.n > was.n || l.n == was.n && l.wells > was.wells {
				next[used] = l
			}
		}
		for used, l := range best {
			keep(used, l)
			for i, s := range steps {
				if f := m.fits(where, s.beside); where != (onion.ID{}) && used>>i&1 == 0 && f > noWay {
					keep(used|1<<i, led{l.n + 1, l.wells + int(f-poorly)})
				}
			}
		}
		best = next
	}
	for _, l := range best {
		if l.n > n || l.n == n && l.wells > wells {
			n, wells = l.n, l.wells
		}
	}
	return n, wells
}

// TestViewWithinASlot: what is left of a slot goes to relays that are there, and that the guard
// has a link to, when a new view comes in the middle of it.
func TestViewWithinASlot(t *testing.T) {
	w := newWorld(t, 75, 8)
	u := w.user(1)
	u.start()
	w.run(5*time.Minute + time.Second)
	gone := w.relays[7].ID
	for gone == u.m.Guard() {
		gone = w.relays[6].ID
	}
	had := 0
	for i := range u.m.slot.plan {
		u.m.slot.plan[i].beside = gone
		had++
	}
	w.links = func(a, b onion.ID) bool { return a != gone && b != gone }
	u.m.SetView(u.local(), w)
	for _, s := range u.m.slot.plan {
		if s.beside == gone {
			t.Error("a packet is to go to a relay without a link")
		}
	}
	if had < 5 {
		t.Fatalf("%d packets are left of the slot: the test does not test", had)
	}
}

// TestBetween: what links two is taken of operators that stand nowhere else, then of those that
// lose packets, then of operators that stand at either end, and of the guard's at the very last.
func TestBetween(t *testing.T) {
	w := newWorld(t, 76, 8)
	for i, operator := range []string{"guard", "first", "last", "good", "losing", "first", "last", "guard"} {
		w.relays[i].Operator = operator
	}
	guard, a, at := w.relays[0].ID, w.relays[1].ID, w.relays[2].ID
	gone := map[onion.ID]bool{}
	w.links = func(x, y onion.ID) bool {
		return !gone[x] && !gone[y] && (x != a || y != at) && (x != at || y != a)
	}
	m := New(Config{Constants: w.cfg, Onion: w})
	m.SetView(w.now, w)
	m.guards.pinned[0].id = guard
	m.health.middle = []onion.ID{w.relays[4].ID}
	for _, c := range []struct {
		want fit
		by   []int
	}{{well, []int{3}}, {well, []int{4}}, {poorly, []int{5, 6}}, {poorly, []int{7}}, {noWay, nil}} {
		m.forgetWays()
		var want []onion.ID
		for _, i := range c.by {
			want = append(want, w.relays[i].ID)
		}
		if got := m.between(a, at).relays; !slices.Equal(got, want) || m.fits(at, a) != c.want {
			t.Errorf("%v link them, want %v; %d and not %d", got, want, m.fits(at, a), c.want)
		}
		for _, id := range want {
			gone[id] = true
		}
	}
}
