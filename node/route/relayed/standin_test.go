package relayed

import (
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/onion"
)

// TestOwnGuardsAreDrops: two of a pair's three drops are the guards in use of the two, and the
// third dies. It stays in the view, as a relay does that founders have not put out of the
// network, or leaves it as its descriptor has run out. Neither can reach his own guard, so that
// of the set no drop is left where one may put what the other may get. They go on, and at the
// third one when it is back.
func TestOwnGuardsAreDrops(t *testing.T) {
	third := onion.ID{4}
	for _, c := range []struct {
		name           string
		guardA, guardB onion.ID
		leaves         bool // the view
	}{
		{"the third stays in the view", onion.ID{2}, onion.ID{3}, false},
		{"the third leaves the view", onion.ID{3}, onion.ID{2}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 90, 6)
			a, b := w.user(1), w.user(2)
			ta, tb := w.meet(1, a, b, 2, set(1, 2, 3))
			a.pins(c.guardA, onion.ID{1})
			b.pins(c.guardB, onion.ID{1})
			a.start()
			b.start()
			views := func(v View) {
				for _, u := range []*user{a, b} {
					u.turn(u.m.SetView(u.local(), v))
				}
			}
			talk := func(most time.Duration) {
				t.Helper()
				from := len(ta.texts)
				for range 2 {
					ta.write(1)
					tb.write(1)
					w.run(most)
					for _, u := range []*user{a, b} { // as a node does, often
						was := u.m.contacts[0].at
						if u.m.SetDrops(ContactID{1}, ta.set); u.m.contacts[0].at != was {
							t.Error("the same drops again, and boxes lie elsewhere")
						}
					}
				}
				w.run(20 * time.Minute)
				checkAll(t, ta, tb)
				for _, x := range append(slices.Clone(ta.texts[from:]), tb.texts[from:]...) {
					if d := x.read.Sub(x.written); d > most {
						t.Errorf("read after %v, want %v at most", d, most)
					}
				}
			}
			w.run(10 * time.Minute)
			w.relay(third).dead = true
			if c.leaves {
				w.run(2 * time.Minute)
				views(without{w, third})
			}
			talk(30 * time.Minute)
			w.relay(third).dead = false
			views(w)
			talk(20 * time.Minute)
			for _, u := range []*user{a, b} {
				if u.m.contacts[0].at != u.m.contacts[0].set {
					t.Error("a stand-in for a drop that is back")
				}
			}
			if a.m.Guard() != c.guardA || b.m.Guard() != c.guardB {
				t.Error("a guard was left")
			}
			checkOnce(t, w)
		})
	}
}

// TestStandIns goes through all guards that two may have and each drop of theirs that may be
// out of reach: there is a relay that both reach, and at which both look. Who has no guard among
// the drops uses no stand-in, so that nothing tells whether it is his guard.
func TestStandIns(t *testing.T) {
	w := newWorld(t, 91, 7)
	drops := set(1, 2, 3)
	reaches := func(guard, dead onion.ID) (all []onion.ID) {
		m := New(Config{Constants: w.cfg, Onion: w})
		m.view, m.guards.pinned[0].id, m.answers = w, guard, quietBeside
		m.quiet[dead] = quiet{packets: quietPackets}
		at := m.at(drops)
		for place, id := range at {
			switch {
			case id == guard && id != drops[place]:
				t.Errorf("%v stands in, and is the guard", id)
			case id != drops[place] && (!slices.Contains(drops[:], guard) || drops[place] != dead || slices.Contains(drops[:], id)):
				t.Errorf("guard %v: %v stands in for %v", guard, id, drops[place])
			case id != guard && id != dead:
				all = append(all, id)
			}
		}
		return all
	}
	for i := range w.relays {
		for j := range w.relays {
			for k := range w.relays {
				a, b, dead := w.relays[i].ID, w.relays[j].ID, w.relays[k].ID
				if dead == a || dead == b {
					continue // who cannot reach his guard leaves it
				}
				both := slices.DeleteFunc(reaches(a, dead), func(id onion.ID) bool { return !slices.Contains(reaches(b, dead), id) })
				if len(both) == 0 {
					t.Errorf("guards %v and %v, %v is dead: there is nothing that both reach", a, b, dead)
				}
			}
		}
	}
}

// TestQuiet: a relay is out of reach when it leaves packets unanswered while others answer,
// and not when nothing is answered at all.
func TestQuiet(t *testing.T) {
	w := newWorld(t, 92, 6)
	m := New(Config{Constants: w.cfg, Onion: w})
	m.view = w
	x, y := onion.ID{2}, onion.ID{3}
	for range 3 * quietPackets {
		m.unanswered(x)
	}
	if m.outOfReach(x) {
		t.Error("nothing is answered, and one relay is blamed")
	}
	for range quietBeside {
		m.answered(y)
	}
	if !m.outOfReach(x) || m.outOfReach(y) {
		t.Error("a relay that answers nothing is not out of reach, or one that does is")
	}
	m.answered(x)
	if m.outOfReach(x) {
		t.Error("a relay that has answered is out of reach")
	}
	if !m.outOfReach(onion.ID{9}) {
		t.Error("a relay that is not in the view is in reach")
	}
}
