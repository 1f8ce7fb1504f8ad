package relayed

import (
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/onion"
)

// checkCounts holds machines to one count of packets in every slot in which they were on
// from its beginning to its end.
func checkCounts(t *testing.T, users ...*user) {
	t.Helper()
	for _, u := range users {
		last, _ := u.m.Slot()
		for s, n := range u.sent {
			if s != last && n != cadence.Packets {
				t.Errorf("user %d sent %d packets in slot %d", u.name, n, s)
			}
		}
	}
}

// other returns a relay that is neither's guard, from a place on.
func (w *world) other(place int, users ...*user) *relay {
	r := w.relays[place]
	for slices.ContainsFunc(users, func(u *user) bool { return u.m.Guard() == r.ID }) {
		r = w.relays[int(r.ID[0])%len(w.relays)]
	}
	return r
}

// TestRelayThatDelays: one that holds everything back for a minute is found and avoided. No
// packet more leaves for it, and all that was said arrives, once and in order.
func TestRelayThatDelays(t *testing.T) {
	w := newWorld(t, 50, 8)
	a, b := w.user(1), w.user(2)
	ta, tb := w.meet(1, a, b, 1, set(3, 4, 5))
	a.start()
	b.start()
	w.run(30 * time.Minute)
	if bad := slices.Concat(a.m.Bad(), b.m.Bad()); len(bad) > 0 {
		t.Errorf("%v are blamed for nothing", bad)
	}
	victim := w.other(3, a, b) // a drop of the two
	victim.late = time.Minute
	found := -1
	for slot := range 60 {
		ta.write(1)
		w.run(30 * time.Second)
		if slices.Contains(a.m.Bad(), victim.ID) && found < 0 {
			found = slot
		}
	}
	if bad := a.m.Bad(); found < 0 || found > 40 || !slices.Equal(bad, []onion.ID{victim.ID}) {
		t.Errorf("found after %d slots; %v are blamed", found, bad)
	}
	w.run(2 * time.Hour)
	checkAll(t, ta, tb)
	checkOnce(t, w)
	checkCounts(t, a, b)
	again := 0
	for _, x := range ta.carried {
		if x > 0 {
			again++
		}
	}
	if again > 3*len(ta.texts) {
		t.Errorf("%d texts were sent %d times", len(ta.texts), again)
	}
	t.Logf("found after %d slots; %d texts in %d boxes", found, len(ta.texts), again)
}

// TestRelayThatReorders: one that passes on what came in 20 seconds at once, the last one
// first. Nobody sees anything of it.
func TestRelayThatReorders(t *testing.T) {
	w := newWorld(t, 51, 6)
	a, b := w.user(1), w.user(2)
	ta, tb := w.meet(1, a, b, 1, set(3, 4, 5))
	for _, r := range w.relays[2:5] {
		r.turns = true
	}
	a.start()
	b.start()
	for range 40 {
		ta.write(3)
		tb.write(1)
		w.run(3 * time.Minute)
	}
	w.run(time.Hour)
	checkAll(t, ta, tb)
	checkOnce(t, w)
	checkCounts(t, a, b)
	if len(a.notices)+len(b.notices) > 0 {
		t.Errorf("people are told %v, %v", a.notices, b.notices)
	}
}

// TestRelayThatDoubles: what a relay sends twice dies at the next hop; a reply that a guard
// delivers twice is taken once, and a box that is put twice is one.
func TestRelayThatDoubles(t *testing.T) {
	w := newWorld(t, 52, 6)
	w.unwrap(onion.X25519)
	for _, r := range w.relays {
		r.doubles = true
	}
	a, b := w.user(1), w.user(2)
	ta, tb := w.meet(1, a, b, 1, set(3, 4, 5))
	a.start()
	b.start()
	w.run(3 * time.Minute)
	ta.write(4)
	tb.write(4)
	w.run(20 * time.Minute)
	checkAll(t, ta, tb)
	checkOnce(t, w)
	checkCounts(t, a, b)
	if w.replays < 1000 || len(a.m.Bad())+len(a.notices) > 0 {
		t.Errorf("%d doubles were refused; %v are blamed, people are told %v", w.replays, a.m.Bad(), a.notices)
	}
}

// TestGuardThatGarbles: a guard that alters every reply is left for the other one, and not
// returned to by a restart; a day later it may be.
func TestGuardThatGarbles(t *testing.T) {
	w := newWorld(t, 53, 6)
	a, b := w.user(1), w.user(2)
	ta, tb := w.meet(1, a, b, 1, set(3, 4, 5))
	a.start()
	b.start()
	w.run(10 * time.Minute)
	was := a.m.Guard()
	w.relay(was).spoils = true
	w.run(4 * time.Minute)
	left := a.m.Guard()
	if left == was || !slices.Contains(a.notices, Moved) {
		t.Fatal("a guard that alters all replies stays in use")
	}
	for range 3 {
		a.restart(time.Second)
		w.run(2 * time.Minute)
		if a.m.Guard() != left {
			t.Error("a restart returns to it")
		}
	}
	ta.write(10)
	tb.write(10)
	w.run(30 * time.Minute)
	checkAll(t, ta, tb)
	w.relay(was).spoils = false
	a.stop()
	b.stop()
	w.run(25 * time.Hour)
	a.start()
	w.run(2 * time.Minute)
	if g := a.m.Guard(); g != was {
		t.Errorf("a day later the guard is %v, want %v", g, was)
	}
}

// TestDistrustedGuard: one that broke the rules is left at once. Of two that did the one that
// did so earlier is taken again; a record of another size is none, and a clock that was set
// does not keep a guard out for more than a day.
func TestDistrustedGuard(t *testing.T) {
	w := newWorld(t, 54, 6)
	u := w.user(1)
	u.start()
	w.run(5 * time.Minute)
	first, second := u.m.guards.pinned[0].id, u.m.guards.pinned[1].id
	kept := func() []byte { return u.disk[recordName{ContactID{}, Guards, 0}] }
	started := func(after time.Duration, record []byte) onion.ID {
		m := New(Config{Constants: w.cfg, Onion: w})
		if err := m.LoadGuards(w.now.Add(after), record); err != nil {
			t.Fatal(err)
		}
		return m.Guard()
	}
	u.turn(u.m.Distrust(w.now, onion.ID{99}))
	if u.m.Guard() != first || started(0, kept()) != first {
		t.Fatal("a guard is left for what another relay did")
	}
	u.turn(u.m.Distrust(w.now, first))
	if u.m.Guard() != second || !slices.Contains(u.notices, Moved) {
		t.Error("the guard is kept")
	}
	if started(time.Hour, kept()) != second || started(25*time.Hour, kept()) != first {
		t.Error("a restart an hour later returns to it, or one a day later does not")
	}
	if started(-1000*time.Hour, kept()) != second {
		t.Error("a clock that was put back")
	}
	w.run(time.Hour)
	if n := len(u.moments); n < 2000/2 {
		t.Errorf("%d packets left", n)
	}
	u.turn(u.m.Distrust(w.now, second))
	if u.m.Guard() != first || started(time.Minute, kept()) != first {
		t.Error("of two that were left the later one is used")
	}
	record := kept()
	if started(0, record[:guardCount*(onion.IDSize+8)]) != first {
		t.Error("a record from before guards could be left")
	}
	for n := range record {
		if n != guardCount*(onion.IDSize+8) && New(Config{Constants: w.cfg}).LoadGuards(w.now, record[:n]) == nil {
			t.Errorf("a record cut to %d bytes is taken", n)
		}
	}
}

// TestADayOfForty: forty people, each with two contacts, of whom some are on for fifteen hours
// a day; one relay throws packets away, delays others and garbles boxes, one stores nothing
// that it is given, one is full for hours, one or another is killed every ten minutes, machines are stopped at
// any moment, also between a commit and its packets, and links lose 5 % of all ways.
// Nothing is lost, doubled or out of order, and nothing is said that is not so.
func TestADayOfForty(t *testing.T) {
	const people = 40
	w := newWorld(t, 55, 9)
	if w.cfg.Slot = 15 * time.Minute; *long {
		w.cfg.Slot = 30 * time.Second
	}
	w.loss, w.lies = 0.0085, true
	var users []*user
	for i := range people {
		u := w.user(byte(i + 1))
		u.off = time.Duration(i-people/2) * time.Second
		users = append(users, u)
	}
	var talks []*talk
	for i := range users {
		x, y := w.meet(byte(i+1), users[i], users[(i+1)%people], 2, set(byte(i%3), byte(3+i%3), byte(6+i%3)))
		talks = append(talks, x, y)
	}
	for i, u := range users {
		if i%4 == 0 {
			u.schedule(time.Duration(i%9)*time.Hour, 15*time.Hour, 3)
		} else {
			w.after(time.Duration(i)*time.Second, u.start)
		}
	}
	w.relays[1].losing, w.relays[1].late, w.relays[1].garble = 0.3, 20*time.Second, true
	w.relays[4].silent = true
	w.after(6*time.Hour, func() { w.relays[8].full = true })
	w.after(12*time.Hour, func() { w.relays[8].full = false })
	dead := 2
	var kill, stop func()
	kill = func() {
		w.relays[dead].dead = false
		if dead = 2 + w.rand.IntN(len(w.relays)-2); w.now.Day() == 3 {
			w.relays[dead].dead = true
			w.after(10*time.Minute, kill)
		}
	}
	stop = func() {
		u := users[w.rand.IntN(people)]
		switch {
		case !u.on || int(u.name-1)%4 == 0: // those have hours of their own
		case w.rand.IntN(2) == 0:
			u.restart(time.Duration(w.rand.IntN(20)) * time.Minute)
		default:
			u.losing = true
		}
		if w.now.Day() == 3 {
			w.after(time.Duration(w.rand.IntN(20))*time.Minute, stop)
		}
	}
	kill()
	stop()
	for range 12 {
		for _, s := range talks {
			s.write(1)
		}
		w.run(2 * time.Hour)
	}
	w.run(36 * time.Hour)
	checkAll(t, talks...)
	checkOnce(t, w)
	for _, u := range users {
		if slices.Contains(u.notices, Taken) {
			t.Errorf("user %d wrote a box twice", u.name)
		}
	}
}
