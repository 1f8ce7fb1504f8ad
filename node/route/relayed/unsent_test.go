package relayed

import (
	"testing"
	"time"
)

// TestUnsentPackets: a machine that is too busy to send four packets of ten at their moments
// takes no relay, and no network, for one that loses them. One that does not say so does.
func TestUnsentPackets(t *testing.T) {
	for _, silent := range []bool{false, true} {
		w := newWorld(t, 53, 6)
		a, b := w.user(1), w.user(2)
		ta, tb := w.meet(1, a, b, 1, set(3, 4, 5))
		a.starved, a.silent = 0.4, silent
		a.start()
		b.start()
		losing := false
		for range 30 {
			ta.write(1)
			w.run(5 * time.Minute)
			losing = losing || a.m.Losing() || len(a.m.Bad()) > 0
		}
		a.starved = 0
		w.run(2 * time.Hour)
		checkAll(t, ta, tb)
		if losing != silent {
			t.Errorf("silent %v: it says that packets get lost: %v", silent, losing)
		}
	}
}
