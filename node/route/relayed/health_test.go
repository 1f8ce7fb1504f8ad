package relayed

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/backchannel/backchannel/protocol/onion"
)

// TestCountsStayTrue: what is counted as trips end and are forgotten is what a count of the
// last trips gives, at every moment, whoever leaves the view.
func TestCountsStayTrue(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	w := newWorld(t, 41, 6)
	h := newHealth()
	var last []journey
	for i := range 4 * window {
		var j journey
		for _, id := range r.Perm(9)[:1+r.IntN(onion.MaxHops)] {
			j.relays = append(j.relays, onion.ID{byte(id)})
		}
		if j.exit = j.relays[r.IntN(len(j.relays))]; r.IntN(10) == 0 {
			j.exit = onion.ID{99} // nobody knows it
		}
		j.back = r.IntN(4) > 0
		h.ended(j.relays, j.exit, j.back)
		last = append(last, j)
		last = last[max(0, len(last)-window):]
		switch {
		case i%100 == 99:
			h.keep(w) // in which none of them is
		case i%601 == 600:
			h.forget()
			last = nil
		}
		for id := range byte(10) {
			whole, passed := countOf(last, onion.ID{id})
			if got := tallyOf(&h, h.whole, onion.ID{id}); got != whole {
				t.Fatalf("after %d, relay %d: %+v, not %+v", i, id, got, whole)
			}
			if got := tallyOf(&h, h.passed, onion.ID{id}); got != passed {
				t.Fatalf("after %d, relay %d on ways: %+v, not %+v", i, id, got, passed)
			}
		}
		if len(h.names) > 4*window || len(h.names) != len(h.places) || h.whole.all.trips != len(last) || h.whole.all != h.passed.all {
			t.Fatalf("%d names, %d places, %+v", len(h.names), len(h.places), h.whole.all)
		}
	}
}

func tallyOf(h *health, c counts, id onion.ID) tally {
	p, ok := h.places[id]
	if !ok || int(p) >= len(c.of) {
		return tally{}
	}
	return c.of[p]
}

func countOf(all []journey, id onion.ID) (whole, passed tally) {
	for _, j := range all {
		lost := 1
		if j.back {
			lost = 0
		}
		if slices.Contains(j.relays, id) {
			whole.trips, whole.lost = whole.trips+1, whole.lost+lost
			if j.exit != id {
				passed.trips, passed.lost = passed.trips+1, passed.lost+lost
			}
		}
	}
	return whole, passed
}
