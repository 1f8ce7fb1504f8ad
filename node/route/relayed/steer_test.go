package relayed

import (
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/onion"
)

// TestNobodyToCompareWith: with three relays all packets go over the same two, so that what the
// guard loses is not told from what one of them does: a person is told, and no relay is blamed.
func TestNobodyToCompareWith(t *testing.T) {
	w := newWorld(t, 81, 3)
	u := w.user(1)
	u.start()
	w.run(10 * time.Minute)
	w.relay(u.m.Guard()).losing = 0.4
	w.run(40 * time.Minute)
	if bad := u.m.Bad(); len(bad) > 0 || !u.m.Losing() {
		t.Errorf("%v are blamed for what the guard loses, and losing is %v", bad, u.m.Losing())
	}
}

// TestALineThatLoses: what is lost is known when its reply has been waited for, minutes after
// what came back. A guard of which little has come to light yet has not shown that it loses nothing.
func TestALineThatLoses(t *testing.T) {
	for _, losing := range []float64{0.25, 0.4} { // on the way out, and back
		w := newWorld(t, 83, 9)
		u := w.user(1)
		u.start()
		w.run(5 * time.Minute)
		for _, p := range u.m.guards.pinned {
			w.relay(p.id).losing = losing
		}
		w.run(40 * time.Minute)
		if !u.m.Losing() || u.m.LosingAgain() {
			t.Fatalf("losing %v, at another guard before %v", u.m.Losing(), u.m.LosingAgain())
		}
		u.turn(u.m.SetAvoided(u.local(), Avoided{Relays: []onion.ID{u.m.Guard()}}))
		for range 80 {
			if w.run(30 * time.Second); !u.m.guards.lostBefore {
				t.Fatal("a guard that loses half is taken for one that loses nothing")
			}
		}
		if !u.m.LosingAgain() {
			t.Error("both guards lose, and it is not called the line")
		}
	}
}

// TestADropDoesNotHaveARelayAvoided: drops of one operator that lose what comes to them over
// one relay are no reason to avoid it, however much goes there; one that loses what it passes
// on to all is, with the same packets.
func TestADropDoesNotHaveARelayAvoided(t *testing.T) {
	framed := onion.ID{1}
	hosts := map[onion.ID]string{{5}: "one", {6}: "one", {7}: "other", {8}: "third"}
	for name, c := range map[string]struct {
		lost func(j journey) bool
		want []onion.ID
	}{
		"drops":     {func(j journey) bool { return j.relays[0] == framed && hosts[j.exit] == "one" }, nil},
		"the relay": {func(j journey) bool { return j.relays[0] == framed }, []onion.ID{framed}},
		"both": {func(j journey) bool {
			return j.relays[0] == framed && hosts[j.exit] == "one" || j.relays[0] == onion.ID{2}
		}, []onion.ID{{2}}},
		"nobody": {func(journey) bool { return false }, nil},
	} {
		h := newHealth()
		h.operators = hosts
		for i := range window {
			j := journey{relays: []onion.ID{{byte(i%4 + 1)}, {byte(i/4%4 + 5)}}}
			j.exit = j.relays[1]
			j.back = !c.lost(j)
			h.ended(j.relays, j.exit, j.back)
		}
		if h.judge(); !slices.Equal(h.middle, c.want) {
			t.Errorf("%s lose: %v are avoided, want %v", name, h.middle, c.want)
		}
		bare := h.bare()
		if bare.judge(); !slices.Equal(bare.middle, c.want) {
			t.Errorf("%s lose: %v are avoided after a lock, want %v", name, bare.middle, c.want)
		}
	}
}

// TestADropDoesNotShowItsUsers plays it: who uses a drop that loses what comes over one relay
// goes over that relay as often as who does not.
func TestADropDoesNotShowItsUsers(t *testing.T) {
	w := newWorld(t, 82, 6)
	w.ofOperators(6)
	a, b := w.user(1), w.user(2)
	w.meet(1, a, b, 1, set(3, 4, 5))
	a.start()
	b.start()
	w.run(5 * time.Minute)
	at, over := w.relays[3].ID, w.relays[0].ID
	for over == a.m.Guard() {
		over = w.relays[1].ID
	}
	lost := 0
	w.drops = func(r onion.Request) bool {
		if last := len(r.Out) - 1; r.Out[last].ID != at || r.Out[last-1].ID != over {
			return false
		}
		lost++
		return true
	}
	for range 240 {
		if w.run(30 * time.Second); a.m.health.isBadMiddle(over) {
			t.Fatal("a relay that loses nothing is avoided by who uses a drop")
		}
	}
	if at == a.m.Guard() || lost < 50 {
		t.Fatalf("%d packets are lost: the test does not test", lost)
	}
}

// TestNoLinkWithinASlot: when the guard has links to none any more, nothing is left of the slot.
func TestNoLinkWithinASlot(t *testing.T) {
	w := newWorld(t, 84, 14)
	w.links = func(_, _ onion.ID) bool { return true }
	u := w.user(1)
	u.start()
	w.run(5*time.Minute + time.Second)
	left, end := len(u.m.slot.plan), u.m.slot.end()
	if left < 5 {
		t.Fatalf("%d packets are left of the slot: the test does not test", left)
	}
	guard := u.m.Guard()
	w.links = func(a, b onion.ID) bool { return a != guard && b != guard }
	u.turn(u.m.SetView(u.local(), w))
	from := len(u.moments)
	if w.run(end.Sub(u.local()) - time.Millisecond); len(u.moments) > from {
		t.Errorf("%d packets leave for relays without a link", len(u.moments)-from)
	}
}
