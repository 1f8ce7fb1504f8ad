package relayed

import (
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
)

// without is a world's view that leaves a relay out.
type without struct {
	*world
	gone onion.ID
}

func (v without) Members() []directory.Member {
	return slices.DeleteFunc(v.world.Members(), func(r directory.Member) bool { return r.ID == v.gone })
}

func (v without) Member(id onion.ID) (directory.Member, bool) {
	if id == v.gone {
		return directory.Member{}, false
	}
	return v.world.Member(id)
}

// TestGuardLeavesTheView: a guard that keeps its link, and is not in the view any more,
// leads nowhere: the other one takes over.
func TestGuardLeavesTheView(t *testing.T) {
	w := newWorld(t, 32, 6)
	u := w.user(1)
	u.start()
	w.run(5 * time.Minute)
	was, other := u.m.Guard(), u.m.guards.pinned[1-u.m.guards.using].id
	u.turn(u.m.SetView(u.local(), without{w, was}))
	w.run(2 * time.Minute)
	if u.m.Guard() != other || !slices.Contains(u.notices, Moved) {
		t.Errorf("guard %v, want %v", u.m.Guard(), other)
	}
	from := len(u.moments)
	w.run(5 * time.Minute)
	if n := len(u.moments) - from; n < 9*cadence.Packets {
		t.Errorf("%d packets left in ten slots", n)
	}
	if p := u.m.guards.pinned; p[0].id != was && p[1].id != was {
		t.Error("a guard that is gone for minutes is replaced")
	}
}

// TestAvoidedWithoutAView: a machine that knows no relays yet leaves its guards all the
// same, and keeps none that is avoided.
func TestAvoidedWithoutAView(t *testing.T) {
	w := newWorld(t, 33, 6)
	u := w.user(1)
	u.start()
	kept := u.m.guards.append(nil)
	first, second := u.m.guards.pinned[0].id, u.m.guards.pinned[1].id
	m := New(Config{Constants: w.cfg, Onion: w})
	if err := m.LoadGuards(w.now, kept); err != nil {
		t.Fatal(err)
	}
	if out := m.SetAvoided(w.now, Avoided{Relays: []onion.ID{first}}); m.Guard() != second || len(out.Writes) != 1 {
		t.Errorf("guard %v, want %v; %d writes", m.Guard(), second, len(out.Writes))
	}
	if m.SetView(w.now, w); m.Guard() != second || m.guards.pinned[0].id == first {
		t.Errorf("with a view the guard is %v, want %v", m.Guard(), second)
	}
	m.SetView(w.now, nil)
	if m.SetAvoided(w.now, Avoided{Operators: []string{"a", "b", "c"}, Relays: []onion.ID{m.guards.pinned[0].id, second}}); m.Guard() != (onion.ID{}) {
		t.Errorf("both are avoided, and %v is the guard", m.Guard())
	}
}

// TestLosingAtBothGuards: what is lost at one guard says nothing of another; what is lost
// at the second, too, is the line.
func TestLosingAtBothGuards(t *testing.T) {
	w := newWorld(t, 34, 9)
	u := w.user(1)
	u.start()
	w.run(5 * time.Minute)
	for _, p := range u.m.guards.pinned {
		w.relay(p.id).losing = 0.4
	}
	w.run(30 * time.Minute)
	if !u.m.Losing() || u.m.LosingAgain() {
		t.Fatalf("losing %v, at another guard before %v", u.m.Losing(), u.m.LosingAgain())
	}
	u.turn(u.m.SetAvoided(u.local(), Avoided{Relays: []onion.ID{u.m.Guard()}}))
	if u.m.Losing() {
		t.Error("what the guard that was left has lost is held against the next")
	}
	w.run(30 * time.Minute)
	if !u.m.LosingAgain() {
		t.Error("both guards lose, and it is not called the line")
	}
	w.relay(u.m.Guard()).losing = 0
	w.run(time.Hour)
	if u.m.Losing() || u.m.guards.lostBefore {
		t.Error("a guard that loses nothing is suspected")
	}
}

// A journey is what became of a packet.
type journey struct {
	relays []onion.ID
	exit   onion.ID
	back   bool
}

// TestDropsDoNotSteerWays: what a drop loses of its own users is told to people, and ways
// go over it as before; what it does not pass on counts.
func TestDropsDoNotSteerWays(t *testing.T) {
	x := onion.ID{9}
	judged := func(lost func(t journey) bool) health {
		h := newHealth()
		for i := range window {
			t := journey{relays: []onion.ID{{byte(i%5 + 1)}, {byte(i%4 + 6)}}}
			t.exit = t.relays[1]
			if i%7 == 0 {
				t.relays[0] = x
			}
			t.back = !lost(t)
			h.ended(t.relays, t.exit, t.back)
		}
		h.judge()
		return h
	}
	if h := judged(func(t journey) bool { return t.exit == x }); !h.isBad(x) || len(h.middle) > 0 {
		t.Errorf("as a drop: bad %v, on ways %v", h.bad, h.middle)
	}
	if h := judged(func(t journey) bool { return t.relays[0] == x }); !slices.Equal(h.middle, []onion.ID{x}) {
		t.Errorf("on ways: bad %v, on ways %v", h.bad, h.middle)
	}
}

// TestInstead: packets that must not leave are made up for, one for one, and look the same
// to the guard; no relay is blamed for them.
func TestInstead(t *testing.T) {
	w := newWorld(t, 35, 6)
	a, b := w.user(1), w.user(2)
	w.meet(1, a, b, 1, set(3, 4, 5))
	a.start()
	b.start()
	w.run(5 * time.Minute)
	sights := func(tags []onion.Tag) (all []onion.ID) {
		for _, tag := range tags {
			all = append(all, a.m.pending[tag].relays[0])
		}
		return all
	}
	n := min(3, len(a.m.waiting))
	last := slices.Clone(a.m.waiting[len(a.m.waiting)-n:])
	last = slices.DeleteFunc(last, func(tag onion.Tag) bool { return a.m.pending[tag] == nil })
	out := a.m.Instead(a.local(), n)
	made := a.m.waiting[len(a.m.waiting)-len(last):]
	if len(last) == 0 || len(out.Packets) != len(last) || !slices.Equal(sights(made), sights(last)) {
		t.Errorf("%d loops for %d packets, or at other relays", len(out.Packets), len(last))
	}
}

// TestUnfilled: a box whose period could not be noted is not put, and its packets leave
// as loops.
func TestUnfilled(t *testing.T) {
	w := newWorld(t, 36, 6)
	a, b := w.user(1), w.user(2)
	w.meet(1, a, b, 1, set(3, 4, 5))
	a.start()
	b.start()
	w.run(5 * time.Minute)
	a.runs = -1 // its clock is ours
	for range 40 {
		w.now = a.m.Next(w.now)
		out := a.m.Tick(w.now)
		for _, f := range out.Fill {
			if got := a.m.Unfilled(w.now, f); len(got.Packets) != 1 {
				t.Errorf("%d packets in place of one", len(got.Packets))
			}
			if again := a.m.Filled(w.now, f, Content{}); len(again.Packets) != 0 {
				t.Error("it is put all the same")
			}
			return
		}
	}
	t.Error("nothing was to be filled")
}
