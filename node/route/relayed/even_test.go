package relayed

import (
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/onion"
)

// TestWays: replies come back over the relays that packets went out over; talks go on as
// ever, and what the guard sees is drawn from the same relays whatever the drop.
func TestWays(t *testing.T) {
	for name, c := range map[string]struct {
		relays, operators int
		links             func(a, b onion.ID) bool
	}{
		"mesh": {12, 12, nil}, "few": {8, 4, nil}, "sparse": {18, 12, sparse(60)}, "sparse, few": {18, 6, sparse(60)}, "three": {9, 3, nil},
		"sparse, three": {18, 3, sparse(60)},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 72, c.relays)
			w.ofOperators(c.operators)
			w.links, w.loss = c.links, 0.005
			a, b := w.user(1), w.user(2)
			ta, tb := w.meet(1, a, b, 1, set(3, 4, 5))
			same, packets, guards, loops, toGuards := 0, 0, 0, 0, 0
			beside := map[onion.ID]map[onion.ID]int{} // by guard
			w.made = func(r onion.Request) {
				back := slices.Clone(r.Back)
				slices.Reverse(back)
				packets++
				if slices.EqualFunc(r.Out[:len(r.Out)-1], back, func(a, b onion.Hop) bool { return a.ID == b.ID }) {
					same++
				}
				guard := r.Out[0].ID
				own := func(id onion.ID) bool { return w.relay(id).Operator == w.relay(guard).Operator }
				if own(r.Out[len(r.Out)-2].ID) {
					guards++
				}
				if r.Command == onion.Get {
					loops++
					if own(r.Out[len(r.Out)-1].ID) {
						toGuards++
					}
				}
				if beside[guard] == nil {
					beside[guard] = map[onion.ID]int{}
				}
				beside[guard][r.Out[1].ID]++
			}
			a.start()
			b.start()
			for range 12 {
				ta.write(1)
				tb.write(1)
				w.run(5 * time.Minute)
			}
			w.run(40 * time.Minute)
			checkAll(t, ta, tb)
			checkOnce(t, w)
			if guards > packets/50 {
				t.Errorf("a relay of the guard's operator stands before the drop in %d of %d packets", guards, packets)
			}
			if toGuards > loops/2 {
				t.Errorf("%d of %d gets go to the guard's operator", toGuards, loops)
			}
			if same != packets {
				t.Errorf("%d of %d packets come back over the same relays", same, packets)
			}
			for guard, of := range beside {
				m := &Machine{view: w, health: newHealth()}
				m.guards.pinned[0].id = guard
				n, sum := m.neighbours(), 0
				for _, count := range of {
					sum += count
				}
				for _, r := range n {
					if each := sum / len(n); of[r.ID] < each/2 || of[r.ID] > each*2 {
						t.Errorf("%d packets of %d over %v, one of %d relays beside the guard", of[r.ID], sum, r.ID[0], len(n))
					}
				}
			}
		})
	}
}

// TestEven: each relay that links to a drop stands before it as often as any other, whichever
// guard is behind it, where each can be reached over enough of the guard's neighbours; and one
// of the guard's or the drop's operator never does.
func TestEven(t *testing.T) {
	w := newWorld(t, 73, 26)
	w.ofOperators(13)
	w.links = sparse(60)
	at := w.relays[4].Member
	for _, guard := range w.Members() {
		if guard.ID == at.ID {
			continue
		}
		first := map[onion.ID]float64{}
		for e, p := range Shown(w, guard.ID, at.ID) {
			if e.From != e.To {
				t.Fatal("a reply goes to another relay than the packet came from")
			}
			first[e.From] = p
		}
		for _, r := range w.Members() {
			want := 0.0
			if r.ID != at.ID && w.Linked(r.ID, at.ID) && r.Operator != guard.Operator && r.Operator != at.Operator {
				want = 1
			}
			if want *= 1 / float64(len(first)); first[r.ID] < want*0.99 || first[r.ID] > want*1.01 {
				t.Errorf("guard %d: %v stands before the drop %.4f times, want %.4f", guard.ID[0], r.ID[0], first[r.ID], want)
			}
		}
	}
}
