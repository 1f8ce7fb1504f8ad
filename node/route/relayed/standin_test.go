package relayed

import (
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/onion"
)

// TestOwnGuardsAreDrops: two of a pair's three drops are the guards in use of the two, and the
// third dies. It stays in the view, as a relay does that founders have not put out of the
// network, or leaves it as its descriptor has run out. Neither can reach his own guard, so that
// no drop is left where one may put what the other may get.
func TestOwnGuardsAreDrops(t *testing.T) {
	const dead = 4
	for _, c := range []struct {
		name           string
		guardA, guardB byte
		leaves         bool // the view
	}{
		{"both guards, the third stays in the view", 2, 3, false},
		{"both guards, the third leaves the view", 3, 2, true},
		{"one guard of both", 2, 2, false},
		{"one guard of one", 2, 6, false},
		{"no guard", 5, 6, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 90, 6)
			a, b := w.user(1), w.user(2)
			ta, tb := w.meet(1, a, b, 2, set(1, 2, dead-1))
			a.pins(onion.ID{c.guardA}, onion.ID{1})
			b.pins(onion.ID{c.guardB}, onion.ID{1})
			a.start()
			b.start()
			ta.write(3)
			tb.write(3)
			w.run(time.Hour)
			checkAll(t, ta, tb)
			w.relay(onion.ID{dead}).dead = true
			if c.leaves {
				w.run(time.Hour)
				for _, u := range []*user{a, b} {
					u.turn(u.m.SetView(u.local(), without{w, onion.ID{dead}}))
				}
			}
			w.run(time.Hour)
			ta.write(3)
			tb.write(3)
			w.run(2 * time.Hour)
			checkAll(t, ta, tb)
			if a.m.Guard() != (onion.ID{c.guardA}) || b.m.Guard() != (onion.ID{c.guardB}) {
				t.Error("a guard was left")
			}
		})
	}
}
