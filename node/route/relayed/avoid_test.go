package relayed

import (
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/onion"
)

// TestAvoidedRelaysAreNoGuards avoids the guard in use, then both, then all: a machine
// never gets a guard that is avoided, keeps the one that is not, and goes on with what it
// had when it is allowed again. What stands beside the guard is drawn from all.
func TestAvoidedRelaysAreNoGuards(t *testing.T) {
	w := newWorld(t, 31, 9)
	a, b := w.user(1), w.user(2)
	ta, tb := w.meet(1, a, b, 1, set(3, 4, 5))
	a.start()
	b.start()
	w.run(10 * time.Minute)
	was, other := a.m.guards.active(), a.m.guards.pinned[1-a.m.guards.using].id

	a.turn(a.m.SetAvoided(w.now, Avoided{Relays: []onion.ID{was}}))
	if g := a.m.Guard(); g != other {
		t.Errorf("guard %v, want the one that was left, %v", g, other)
	}
	if len(a.m.guards.append(nil)) != guardCount*(onion.IDSize+8+8) || a.m.guards.pinned[0].id == was || a.m.guards.pinned[1].id == was {
		t.Error("the guard that is avoided is kept")
	}
	ta.write(5)
	w.run(time.Hour)
	checkAll(t, ta, tb)

	var operators []string
	for _, p := range a.m.guards.pinned {
		operators = append(operators, w.relay(p.id).Operator)
	}
	a.turn(a.m.SetAvoided(w.now, Avoided{Operators: operators}))
	for _, p := range a.m.guards.pinned {
		if r := w.relay(p.id); r == nil || a.m.guards.avoided.Has(r.ID, r.Operator) {
			t.Errorf("a guard of an operator that is avoided: %v", p.id)
		}
	}
	beside := map[string]bool{}
	for _, r := range a.m.neighbours() {
		beside[r.Operator] = true
	}
	for _, name := range operators {
		if guard := w.relay(a.m.Guard()); !beside[name] && name != guard.Operator {
			t.Errorf("nothing of %s stands beside the guard", name)
		}
	}
	ta.write(5)
	w.run(time.Hour)
	checkAll(t, ta, tb)

	a.turn(a.m.SetAvoided(w.now, Avoided{Operators: []string{"a", "b", "c"}}))
	if g := a.m.Guard(); g != (onion.ID{}) {
		t.Errorf("all are avoided, and %v is the guard", g)
	}
	sent := len(a.m.pending)
	w.run(10 * time.Minute)
	if len(a.m.pending) > sent {
		t.Error("packets leave without a guard")
	}
	a.turn(a.m.SetAvoided(w.now, Avoided{}))
	if a.m.Guard() == (onion.ID{}) {
		t.Error("no guard, and none is avoided")
	}
	ta.write(5)
	w.run(time.Hour)
	checkAll(t, ta, tb)
}

// TestTooFewToBlame: whoever loses fewer than leastLost trips is never blamed, and with as
// many he may be. So trips are not counted by relay before so many are lost.
func TestTooFewToBlame(t *testing.T) {
	for all := sameTrips; all <= window; all++ {
		if l := lower(min(leastLost-1, all), all); l > tooMany {
			t.Errorf("%d of %d are too many: %.3f", leastLost-1, all, l)
		}
	}
	if l := lower(leastLost, sameTrips); l <= tooMany {
		t.Errorf("%d of %d: %.3f", leastLost, sameTrips, l)
	}
}
