package channel_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/wire"
)

// named counts the relays that have been in a side's set.
type named map[onion.ID]bool

func (n named) look(s *side) {
	if set := s.c.Drops().Set; set != nil {
		for _, id := range set.Relays {
			n[id] = true
		}
	}
}

// TestDropsNamedWithoutEnd: a hostile contact says each hour for thirty days that drops left
// the network, and names others, to see at which no box of the other side comes. None has
// left. The other side has a relay of his in its set once in ten days, whatever its machine
// is put through.
func TestDropsNamedWithoutEnd(t *testing.T) {
	for i := range 2 {
		w := newWorld(t, 200)
		w.meet()
		w.agree()
		s, hostile := []*side{w.a, w.b}[i], []*side{w.b, w.a}[i]
		seen, next := named{}, byte(10)
		seen.look(s)
		for hour := range 30 * 24 {
			relays := s.c.Drops().Set.Relays
			for place := range relays {
				if hostile.c.ReplacesDrop(place) {
					relays[place] = onion.ID{next, byte(hour >> 8), byte(hour)}
					next++
				}
			}
			hostile.do(hostile.c.TellGone(w.now, relays))
			w.settle()
			w.now = w.now.Add(time.Hour)
			if hour%7 == 0 {
				s.restart()
				w.connect()
				w.settle()
			}
			seen.look(s)
		}
		if got := len(seen) - 3; got < 1 || got > 4 {
			t.Errorf("%s: %d relays that the other side named in thirty days", s.name, got)
		}
	}
}

// TestDropsAgreedWithoutEnd: a hostile contact makes session after session, and agrees on
// drops anew in each.
func TestDropsAgreedWithoutEnd(t *testing.T) {
	w := newWorld(t, 202)
	w.meet()
	w.agree()
	w.cut()
	w.a.cfg.SessionLife = time.Minute
	w.a.restart()
	seen, next := named{}, byte(10)
	seen.look(w.b)
	network := identity.NetworkID{7}
	for range 20 * 2 {
		w.connect()
		w.settle()
		w.pass(4*time.Minute, 20*time.Second)
		w.a.do(w.a.c.TellDrop(w.now, network, onion.ID{next}, cadence.Period(1)))
		w.settle()
		if o := w.b.c.Drops(); o.Set == nil && o.Own == (onion.ID{}) { // as a node does
			w.b.do(w.b.c.OfferDrop(w.now, network, onion.ID{2}, cadence.Period(1)))
			w.settle()
		}
		if o := w.a.c.Drops(); o.Peer != (onion.ID{}) && o.Set == nil {
			set := channel.DropSet{Network: network, Relays: [3]onion.ID{{next}, o.Peer, {next + 1}}, Period: o.Period, First: 9}
			w.a.do(w.a.c.NameDrops(w.now, set))
			w.settle()
			next += 2
		}
		seen.look(w.b)
		w.cut()
		w.now = w.now.Add(12 * time.Hour)
	}
	if w.b.c.Epoch() < 20 {
		t.Errorf("only %d sessions", w.b.c.Epoch())
	}
	if got := len(seen) - 3; got < 2 || got > 4 {
		t.Errorf("%d relays that the other side named in twenty days and %d sessions", got, w.b.c.Epoch())
	}
}

// departures are the times from which machines see that relays left the network.
type departures map[*side]map[onion.ID]time.Time

func (v departures) tell(s *side, relay onion.ID, at time.Time) {
	if v[s] == nil {
		v[s] = map[onion.ID]time.Time{}
	}
	v[s][relay] = at
}

func (v departures) gone(s *side, relay onion.ID) bool {
	at, ok := v[s][relay]
	return ok && !s.now().Before(at)
}

// give has a machine go by its view.
func (v departures) give(s *side) {
	s.cfg.Gone = func(_ identity.NetworkID, relay onion.ID) bool { return v.gone(s, relay) }
	s.restart()
}

// replace does what a node does: it fills places of its own whose relays have left, or clash.
// There are few relays to choose from, so two choose the same now and then. It reports whether
// there was such a place.
func (v departures) replace(s *side) bool {
	o := s.c.Drops()
	if o.Set == nil {
		return false
	}
	for place, id := range o.Set.Relays {
		if !s.c.ReplacesDrop(place) || !v.gone(s, id) && !s.c.DropClashes(s.now(), place) {
			continue
		}
		var free []onion.ID
		for n := byte(1); len(free) < 3; n++ {
			if by := (onion.ID{n}); !v.gone(s, by) && !slices.Contains(s.c.NamedDrops(place), by) {
				free = append(free, by)
			}
		}
		s.do(s.c.ReplaceDrop(s.now(), id, free[s.w.rng.IntN(len(free))]))
		return true
	}
	return false
}

// stir has relays of the set leave, which the two machines see at different times, and one of
// them never now and then.
func (v departures) stir(d *drops, until time.Time) func(*side) {
	return func(s *side) {
		v.replace(s)
		w := d.w
		if o := s.c.Drops(); o.Set != nil && w.now.Before(until) && w.rng.IntN(8) == 0 {
			left := o.Set.Relays[w.rng.IntN(3)]
			for _, s := range []*side{w.a, w.b} {
				if at := w.rng.IntN(15); at < 12 {
					v.tell(s, left, w.now.Add(time.Duration(at)*24*time.Hour))
				}
			}
		}
	}
}

// agreed wants both sides to have one set at last.
func (d *drops) agreed(what string) {
	d.w.t.Helper()
	a, b := d.w.a.c.Drops(), d.w.b.c.Drops()
	if a.Set == nil || b.Set == nil || a.Set.Relays != b.Set.Relays || a.Own != b.Peer || b.Own != a.Peer || a.Own != a.Set.Relays[0] || b.Own != a.Set.Relays[1] {
		d.w.t.Errorf("%s: %+v %+v, %+v %+v", what, a, a.Set, b, b.Set)
	}
	for place := range a.Set.Relays {
		if d.w.a.c.DropWaits(place) || d.w.b.c.DropWaits(place) {
			d.w.t.Errorf("%s: place %d waits", what, place)
		}
	}
}

// TestDropsReplacedRandomly: relays leave, and the views of two honest machines differ for
// days, or for good, while boxes are lost, machines killed, and sessions rolled. In the end both
// have one set, all arrives, and no state is shown that is not true. Neither believes the
// other more than once in ten days.
func TestDropsReplacedRandomly(t *testing.T) {
	last := byte(214)
	if *long {
		last = 250
	}
	for seed := byte(210); seed < last; seed++ {
		d := apart(t, seed)
		w, v, n := d.w, departures{}, 0
		d.crash, d.loss = true, 20
		sides := []*side{w.a, w.b}
		believed, before := map[*side]time.Time{}, map[*side][3]onion.ID{}
		for _, s := range sides {
			v.give(s)
		}
		if seed%2 == 1 {
			w.now = w.now.Add(25 * 24 * time.Hour)
		}
		stir := v.stir(d, w.now.Add(30*24*time.Hour))
		hook := func(at *side) {
			for _, s := range sides {
				set, was := s.c.Drops().Set.Relays, before[s]
				for place, id := range set {
					if s.c.ReplacesDrop(place) || was[place] == (onion.ID{}) || was[place] == id || v.gone(s, was[place]) {
						continue
					}
					if last := believed[s]; w.now.Sub(last) < 9*24*time.Hour {
						t.Errorf("seed %d: %s believes at %v and %v", seed, s.name, last, w.now)
					}
					believed[s] = w.now
				}
				before[s] = set
			}
			if stir(at); w.now.Before(start.Add(60*24*time.Hour)) && w.rng.IntN(3) == 0 {
				n++
				at.send(fmt.Sprint(at.name, n))
			}
		}
		d.days(30, hook)
		d.crash, d.loss = false, 0
		d.days(45, hook)
		d.agreed(fmt.Sprint("seed ", seed))
		w.checkAll()
		if len(believed) == 0 {
			t.Logf("seed %d: nobody had to believe", seed)
		}
	}
}

// TestDropsReplacedAndPutBack: likewise, and a machine is put back to an image of its session,
// without its store noticing: from before drops were replaced, told of, taken, or answered.
func TestDropsReplacedAndPutBack(t *testing.T) {
	last := byte(226)
	if *long {
		last = 250
	}
	for seed := byte(220); seed < last; seed++ {
		d := metAtDrops(t, seed)
		w, v := d.w, departures{}
		d.crash, d.loss, d.lossy = true, 20, true
		sides := []*side{w.a, w.b}
		for _, s := range sides {
			v.give(s)
		}
		hook := v.stir(d, w.now.Add(15*24*time.Hour))
		s := sides[seed%2]
		d.days(3+w.rng.IntN(3), hook)
		old := s.store.Copy()
		d.days(1+w.rng.IntN(9), hook)
		s.putBack(old)
		d.days(10, hook)
		d.crash, d.loss = false, 0
		d.days(60, hook)
		d.agreed(fmt.Sprint("seed ", seed))
	}
}

// TestDropThatIsNotTaken: what a drop says counts on neither side while only one of the two has
// it in its set, though all that was said of it is acknowledged; not before a machine restarts,
// and not after.
func TestDropThatIsNotTaken(t *testing.T) {
	w := newWorld(t, 206)
	w.meet()
	w.agree()
	w.pass(5*time.Second, time.Second)
	left := departures{}
	for _, gone := range []byte{1, 3} {
		w.a.do(w.a.c.ReplaceDrop(w.now, onion.ID{gone}, onion.ID{gone + 10}))
		w.settle()
	}
	if a, b := w.a.c.Drops().Set.Relays, w.b.c.Drops().Set.Relays; a != [3]onion.ID{{11}, {2}, {13}} || b != [3]onion.ID{{11}, {2}, {3}} {
		t.Fatalf("%v, %v", a, b)
	}
	left.tell(w.b, onion.ID{3}, w.now.Add(48*time.Hour))
	w.cut()
	left.give(w.b)
	w.a.restart()
	var bags [2]mailbag
	want := func(what string, period uint64, there bool, relays [2]onion.ID) {
		for i, s := range []*side{w.a, w.b} {
			seq := s.send(what)
			s.fill(&bags[i], period)
			for _, relay := range []onion.ID{{2}, relays[i]} {
				s.do(s.c.Boxed(s.now(), period, relay))
			}
			list := s.c.Transcript(0)
			if got := list[len(list)-1]; got.Seq != seq || (got.State == channel.InMailbox) != there {
				t.Errorf("%s: %s: %q", what, s.name, got.State)
			}
			s.peer.fetch(&bags[i], 0)
		}
	}
	want("each at what it has", 20, false, [2]onion.ID{{13}, {3}})
	w.now = w.now.Add(50 * time.Hour)
	w.b.do(w.b.c.Tick(w.now))
	want("the answer is under way", 23, false, [2]onion.ID{{13}, {3}})
	for period := range uint64(4) {
		for i, s := range []*side{w.a, w.b} {
			s.fill(&bags[i], 30+period)
			for len(bags[i]) > 0 {
				s.peer.fetch(&bags[i], 0)
			}
		}
	}
	want("both have it", 40, true, [2]onion.ID{{13}, {13}})
	w.checkStates()
}

// TestWordOfADropThatIsReplaced: what a drop has said is taken back when the other side says that
// it has another one there, whether that is taken or not.
func TestWordOfADropThatIsReplaced(t *testing.T) {
	w := newWorld(t, 227)
	w.meet()
	w.agree()
	w.pass(5*time.Second, time.Second)
	w.cut()
	var bags [2]mailbag
	period := uint64(20)
	hear := func(gone byte, want [3]onion.ID) {
		t.Helper()
		w.a.do(w.a.c.ReplaceDrop(w.now, onion.ID{gone}, onion.ID{gone + 10}))
		w.a.fill(&bags[0], period)
		period++
		for len(bags[0]) > 0 {
			w.b.fetch(&bags[0], 0)
		}
		if got := w.b.c.Drops().Set.Relays; got != want {
			t.Errorf("%v", got)
		}
	}
	say := func(relays ...byte) {
		w.b.send("at two drops")
		for range 4 {
			w.b.fill(&bags[1], period)
			for _, relay := range relays {
				w.b.do(w.b.c.Boxed(w.now, period, onion.ID{relay}))
			}
			period++
		}
	}
	want := func(what string, state channel.State) {
		t.Helper()
		for _, m := range w.b.c.Transcript(0) {
			if m.Direction == channel.Out && m.Text == "at two drops" && m.State != state {
				t.Errorf("%s: %q", what, m.State)
			}
		}
	}
	say(1, 2)
	want("at both", channel.InMailbox)
	hear(1, [3]onion.ID{{11}, {2}, {3}})
	want("the one that was taken", channel.OnItsWay)
	say(2, 3)
	want("at two again", channel.InMailbox)
	hear(3, [3]onion.ID{{11}, {2}, {3}})
	want("the one that was not", channel.OnItsWay)
	say(2, 11)
	want("at two of three", channel.InMailbox)
	w.b.do(w.b.c.ReplaceDrop(w.now, onion.ID{2}, onion.ID{12}))
	want("the own one", channel.OnItsWay)
}

// TestDropsStayThree: a hostile inviter names relays that the accepter's place had, and has,
// where the accepter sees that drops left. No relay is in two places, the record loads, and it
// is the accepter alone who fills its place.
func TestDropsStayThree(t *testing.T) {
	w := newWorld(t, 207)
	w.meet()
	w.agree()
	w.pass(5*time.Second, time.Second)
	v := departures{}
	for _, relay := range []byte{1, 2, 3} {
		v.tell(w.b, onion.ID{relay}, w.now)
	}
	w.cut()
	v.give(w.b)
	w.connect()
	w.settle()
	for _, replaced := range [][2]byte{{2, 9}, {9, 12}} { // the other side believes the first, and not the second
		w.b.do(w.b.c.ReplaceDrop(w.now, onion.ID{replaced[0]}, onion.ID{replaced[1]}))
		w.settle()
	}
	want := func(what string, relays [3]onion.ID, clashes bool) {
		t.Helper()
		if got := w.b.c.Drops().Set.Relays; got != relays || w.b.c.DropClashes(w.now, 1) != clashes {
			t.Errorf("%s: %v", what, got)
		}
	}
	tell := func(relays ...byte) {
		w.a.do(w.a.c.TellGone(w.now, [3]onion.ID{{relays[0]}, {relays[1]}, {relays[2]}}))
		w.settle()
		w.b.restart()
		w.connect()
		w.settle()
	}
	want("at first", [3]onion.ID{{1}, {12}, {3}}, false)
	if !w.b.c.DropWaits(1) {
		t.Error("the other side does not have it")
	}
	tell(9, 2, 3)
	want("what its place had", [3]onion.ID{{9}, {12}, {3}}, false)
	w.b.do(w.b.c.ReplaceDrop(w.now, onion.ID{12}, onion.ID{9}))
	want("it does not choose what is there", [3]onion.ID{{9}, {12}, {3}}, false)
	tell(9, 9, 12)
	want("one in two places", [3]onion.ID{{9}, {12}, {3}}, false)
	tell(9, 0, 12)
	want("none in a place", [3]onion.ID{{9}, {12}, {3}}, false)
	tell(9, 2, 12)
	want("what its place has", [3]onion.ID{{9}, {12}, {3}}, true)
	w.b.do(w.b.c.ReplaceDrop(w.now, onion.ID{12}, onion.ID{2}))
	want("nor what the other side has", [3]onion.ID{{9}, {12}, {3}}, true)
	w.b.do(w.b.c.ReplaceDrop(w.now, onion.ID{12}, onion.ID{13}))
	want("it has chosen anew", [3]onion.ID{{9}, {13}, {12}}, false)
	tell(13, 2, 12)
	w.now = w.now.Add(time.Hour)
	want("believed, once it has chosen anew", [3]onion.ID{{9}, {13}, {12}}, true)
	w.b.do(w.b.c.ReplaceDrop(w.now, onion.ID{13}, onion.ID{14}))
	want("and it has", [3]onion.ID{{13}, {14}, {12}}, false)
	tell(14, 2, 12)
	want("not again so soon", [3]onion.ID{{13}, {14}, {12}}, false)
	tell(12, 2, 13)
	want("two that change places, neither", [3]onion.ID{{13}, {14}, {12}}, false)
	w.now = w.now.Add(10 * 24 * time.Hour)
	w.b.do(w.b.c.Tick(w.now))
	want("and then they do", [3]onion.ID{{12}, {14}, {13}}, false)
	if o := w.b.c.Drops(); o.Peer != (onion.ID{12}) || o.Own != (onion.ID{14}) {
		t.Errorf("%v, %v", o.Peer, o.Own)
	}
	for _, relay := range []byte{13, 4} {
		v.tell(w.b, onion.ID{relay}, w.now)
	}
	tell(12, 14, 4)
	want("one that left, too, is not taken by sight", [3]onion.ID{{12}, {14}, {13}}, false)
	tell(12, 14, 5)
	want("one that did not is", [3]onion.ID{{12}, {14}, {5}}, false)
	v.tell(w.b, onion.ID{12}, w.now)
	tell(5, 14, 6)
	want("what another place of his has", [3]onion.ID{{12}, {14}, {5}}, false)
}

// TestNoRelayIsChosenTwice: what a place has on the other side still is not put there again,
// though it is back in the network: that the other side has it could be an old word. It may be
// put in another place, and in the end both have it there.
func TestNoRelayIsChosenTwice(t *testing.T) {
	w := newWorld(t, 209)
	w.meet()
	w.agree()
	w.pass(5*time.Second, time.Second)
	replace := func(gone, by byte, a, b [3]onion.ID) {
		t.Helper()
		w.a.do(w.a.c.ReplaceDrop(w.now, onion.ID{gone}, onion.ID{by}))
		w.settle()
		if a != w.a.c.Drops().Set.Relays || b != w.b.c.Drops().Set.Relays {
			t.Errorf("%d, %d: %v, %v", gone, by, w.a.c.Drops().Set.Relays, w.b.c.Drops().Set.Relays)
		}
	}
	replace(1, 11, [3]onion.ID{{11}, {2}, {3}}, [3]onion.ID{{11}, {2}, {3}}) // the other side believes it
	replace(3, 13, [3]onion.ID{{11}, {2}, {13}}, [3]onion.ID{{11}, {2}, {3}})
	replace(13, 3, [3]onion.ID{{11}, {2}, {13}}, [3]onion.ID{{11}, {2}, {3}})
	replace(11, 3, [3]onion.ID{{3}, {2}, {13}}, [3]onion.ID{{11}, {2}, {3}})
	for _, b := range [][3]onion.ID{{{11}, {2}, {13}}, {{3}, {2}, {13}}} {
		w.cut()
		w.now = w.now.Add(10 * 24 * time.Hour)
		w.b.do(w.b.c.Tick(w.now))
		w.connect()
		w.settle()
		if got := w.b.c.Drops().Set.Relays; got != b {
			t.Errorf("%v, not %v", got, b)
		}
	}
	(&drops{w: w}).agreed("in the end")
}

// TestStatementsOfDropsEnd: a hostile contact says thousands of times which drops it has, true
// and untrue, malformed and not, among them what the other side has chosen, while relays leave,
// time passes and the machine restarts at every step. The other side's own place changes by its
// own choice alone; it believes once in ten days; and it says no more than that and what it sees
// make it say, however often it is told something.
func TestStatementsOfDropsEnd(t *testing.T) {
	steps := 400
	if *long {
		steps = 10_000
	}
	for i := range 2 {
		w := newWorld(t, byte(230+i))
		w.meet()
		w.agree()
		w.pass(5*time.Second, time.Second)
		s, hostile := []*side{w.a, w.b}[i], []*side{w.b, w.a}[i]
		v, own, left, believed, last := departures{}, 0, 0, 0, time.Time{}
		v.give(s)
		w.connect()
		w.settle()
		first, epoch := s.c.SentFrames(), s.c.Epoch()
		look := func(was [3]onion.ID, replaced bool) {
			set, believes := s.c.Drops().Set.Relays, false
			for place := range set {
				switch {
				case set[place] == was[place]:
				case s.c.ReplacesDrop(place):
					if !replaced {
						t.Fatalf("%s: %v is %v, though it chose nothing", s.name, was, set)
					}
				case !v.gone(s, was[place]) || v.gone(s, set[place]):
					believes = true
				}
			}
			if believes {
				if w.now.Sub(last) < 239*time.Hour {
					t.Fatalf("%s: believes at %v and %v", s.name, last, w.now)
				}
				believed, last = believed+1, w.now
			}
		}
		for range steps {
			var relays [3]onion.ID
			for place := range relays {
				relays[place] = onion.ID{byte(w.rng.IntN(14))}
			}
			if set := s.c.Drops().Set.Relays; w.rng.IntN(2) == 0 {
				relays[w.rng.IntN(3)] = set[w.rng.IntN(3)]
			}
			was := s.c.Drops().Set.Relays
			hostile.do(hostile.c.TellGone(w.now, relays))
			w.settle()
			look(was, false)
			if w.rng.IntN(20) == 0 {
				if id := was[w.rng.IntN(3)]; !v.gone(s, id) {
					left++
					v.tell(s, id, w.now)
				}
			}
			was = s.c.Drops().Set.Relays
			replaced := v.replace(s)
			if look(was, replaced); replaced {
				own++
			}
			was = s.c.Drops().Set.Relays
			w.now = w.now.Add(time.Duration(w.rng.IntN(120)) * time.Minute)
			s.do(s.c.Tick(s.now()))
			look(was, false)
			was = s.c.Drops().Set.Relays
			s.restart()
			if s.c.Drops().Set.Relays != was {
				t.Fatalf("%s: after a restart %v is %v", s.name, was, s.c.Drops().Set.Relays)
			}
			w.connect()
			w.settle()
			if look(was, false); s.c.Epoch() != epoch {
				t.Fatalf("%s: session %d", s.name, s.c.Epoch())
			}
			for n := range byte(14) { // some of those that left are back
				id := onion.ID{n}
				if v.gone(s, id) && w.rng.IntN(4) == 0 && !slices.ContainsFunc([]int{0, 1, 2}, func(place int) bool { return slices.Contains(s.c.NamedDrops(place), id) }) {
					delete(v[s], id)
				}
			}
		}
		said := int(s.c.SentFrames() - first)
		if said > left+2*believed || believed == 0 || own == 0 {
			t.Errorf("%s: told %d times it said %d, saw %d leave, chose %d, believed %d", s.name, steps, said, left, own, believed)
		}
	}
}

// TestDropsConverge: relays leave, which two honest machines see at different times; they choose
// from few, so that they clash; connections break within a statement, and machines restart at
// every step. As soon as both see the same and have told each other, they have the same three
// relays. Each says its set when it changed, and then no more.
func TestDropsConverge(t *testing.T) {
	last, steps, clashes := byte(244), 60, 0
	if *long {
		last, steps = 254, 2_000
	}
	for seed := byte(240); seed < last; seed++ {
		w := newWorld(t, seed)
		w.meet()
		w.agree()
		w.pass(5*time.Second, time.Second)
		v, changes, checks := departures{}, 0, 0
		sides := []*side{w.a, w.b}
		for _, s := range sides {
			v.give(s)
		}
		w.connect()
		w.settle()
		sent := func() int { return int(w.a.c.SentFrames() + w.b.c.SentFrames()) }
		first, before := sent(), [2][3]onion.ID{w.a.c.Drops().Set.Relays, w.b.c.Drops().Set.Relays}
		look := func() {
			for i, s := range sides {
				if set := s.c.Drops().Set.Relays; set != before[i] {
					before[i] = set
					changes++
				}
				if s.c.DropClashes(w.now, 1) {
					clashes++
				}
			}
		}
		for range steps {
			s := sides[w.rng.IntN(2)]
			switch w.rng.IntN(6) {
			case 0:
				left := s.c.Drops().Set.Relays[w.rng.IntN(3)]
				for _, s := range sides {
					v.tell(s, left, w.now.Add(time.Duration(w.rng.IntN(48))*time.Hour))
				}
			case 1, 2:
				v.replace(s)
			case 3:
				w.now = w.now.Add(time.Duration(w.rng.IntN(48)) * time.Hour)
				s.do(s.c.Tick(w.now))
			case 4:
				if !w.up {
					w.connect()
				}
				for range w.rng.IntN(12) {
					w.step()
					look()
				}
			case 5:
				s.restart()
			}
			if look(); w.rng.IntN(12) != 0 {
				continue
			}
			w.now = w.now.Add(48 * time.Hour) // both see the same
			w.cut()
			for _, s := range sides {
				s.do(s.c.Tick(w.now))
				look()
			}
			w.connect()
			for again := true; again; {
				w.settle()
				look()
				again = false
				for _, s := range sides {
					again = v.replace(s) || again
					look()
				}
			}
			checks++
			(&drops{w: w}).agreed(fmt.Sprint("seed ", seed))
			for n := byte(1); n < 20; n++ { // those that left come back
				if id := (onion.ID{n}); !slices.Contains(w.a.c.NamedDrops(0), id) {
					delete(v[w.a], id)
					delete(v[w.b], id)
				}
			}
		}
		if said := sent() - first; said > changes || said == 0 || checks == 0 {
			t.Errorf("seed %d: %d statements of %d changes, %d checks", seed, said, changes, checks)
		}
	}
	if clashes == 0 {
		t.Error("nobody has chosen what the other has")
	}
}

// TestDropsRecordOfVersion3 loads a record of drops that was written when a statement was of
// one drop, and nothing was known of what the other side has. The set is said anew.
func TestDropsRecordOfVersion3(t *testing.T) {
	w := newWorld(t, 208)
	w.meet()
	w.agree()
	w.pass(5*time.Second, time.Second)
	w.cut()
	w.a.do(w.a.c.ReplaceDrop(w.now, onion.ID{1}, onion.ID{11}))
	w.a.do(w.a.c.ForgetControls(w.now)) // nobody understands what it said
	toVersion3(t, w.a)
	w.connect()
	before := w.a.c.SentFrames()
	w.pass(5*time.Second, time.Second)
	(&drops{w: w}).agreed("after version 3")
	if got := w.b.c.Drops().Set.Relays; got != [3]onion.ID{{11}, {2}, {3}} {
		t.Errorf("%v", got)
	}
	if said := w.a.c.SentFrames() - before; said != 1 {
		t.Errorf("said %d times", said)
	}
}

// TestDropsBelievedWithAWrongClock: a clock that was far ahead when something was believed does
// not stop the next; one that went back a little does.
func TestDropsBelievedWithAWrongClock(t *testing.T) {
	w := newWorld(t, 228)
	w.meet()
	w.agree()
	w.pass(5*time.Second, time.Second)
	w.cut()
	now := w.now
	say := func(by byte, at time.Duration, want bool) {
		t.Helper()
		w.now = now.Add(at)
		w.connect()
		w.a.do(w.a.c.TellGone(w.now, [3]onion.ID{{by}, {2}, {3}}))
		w.settle()
		w.cut()
		w.b.restart()
		if got := w.b.c.Drops().Set.Relays[0] == (onion.ID{by}); got != want {
			t.Errorf("%d, %v: %v", by, at, got)
		}
	}
	say(11, 15*time.Hour, true)
	say(12, 0, false)
	say(13, 254*time.Hour, false)
	say(14, 256*time.Hour, true)
	say(15, 40*time.Hour, true)
	say(16, 41*time.Hour, false)
}

// TestDropsBelievedBeforeARecovery: a recovery brings back the drops of the cards, and does not
// have more believed.
func TestDropsBelievedBeforeARecovery(t *testing.T) {
	w := metAtDrops(t, 226).w
	w.connect()
	w.settle()
	cards := w.b.c.Drops().Set.Relays
	say := func(by byte, want bool) {
		t.Helper()
		w.a.do(w.a.c.TellGone(w.now, [3]onion.ID{{by}, cards[1], cards[2]}))
		w.settle()
		if got := w.b.c.Drops().Set.Relays[0] == (onion.ID{by}); got != want {
			t.Errorf("%d: %v", by, got)
		}
	}
	say(31, true)
	for _, by := range []byte{32, 33} {
		w.cut()
		w.a.do(w.a.c.RolledBack(w.now))
		epoch := w.b.c.Epoch()
		w.connect()
		w.pass(2*time.Minute, time.Second)
		if w.b.c.Epoch() == epoch || w.b.c.Drops().Set.Relays != cards {
			t.Fatalf("session %d: %v", w.b.c.Epoch(), w.b.c.Drops().Set)
		}
		w.b.restart()
		w.connect()
		w.settle()
		say(by, false)
	}
	w.pass(time.Second, time.Second)
	w.cut()
	w.now = w.now.Add(10 * 24 * time.Hour)
	w.connect()
	w.settle()
	say(34, true)
}

// TestDropStatementsThatAreNone: of another network, cut, and while there is no set; and what
// waits to be sent is one statement, however often the set changes.
func TestDropStatementsThatAreNone(t *testing.T) {
	w := newWorld(t, 229)
	w.meet()
	statement := func(network byte, relays ...byte) []byte {
		b := []byte{network, 7: 0}
		for _, r := range relays {
			b = append(b, r)
			b = append(b, make([]byte, onion.IDSize-1)...)
		}
		return b
	}
	say := func(b []byte) {
		w.a.do(w.a.c.TellFrame(w.now, wire.FrameDropGone, b))
		w.settle()
	}
	say(statement(0, 1, 2, 4))
	w.b.do(w.b.c.ReplaceDrop(w.now, onion.ID{}, onion.ID{30}))
	if named := w.b.c.NamedDrops(1); named != nil || w.b.c.DropClashes(w.now, 1) {
		t.Errorf("%v of no set", named)
	}
	w.agree()
	w.pass(5*time.Second, time.Second)
	for _, b := range [][]byte{
		statement(8, 11, 2, 3), statement(7, 11, 2), statement(7, 11, 2, 3, 4), statement(7, 11, 2, 3)[:67],
		statement(7, 11, 2, 2), statement(7, 11, 11, 3), statement(7, 11, 2, 11), statement(7, 11, 2, 0),
		{},
	} {
		if say(b); w.b.c.Drops().Set.Relays != [3]onion.ID{{1}, {2}, {3}} || w.b.c.DropWaits(0) || w.b.c.DropWaits(1) || w.b.c.DropWaits(2) {
			t.Errorf("%x: %v", b, w.b.c.Drops().Set.Relays)
		}
	}
	w.cut()
	_, none := w.b.c.Stored()
	for n := range byte(20) {
		w.b.do(w.b.c.ReplaceDrop(w.now, w.b.c.Drops().Set.Relays[1], onion.ID{30 + n}))
	}
	w.b.do(w.b.c.ReplaceDrop(w.now, onion.ID{49}, onion.ID{}))
	w.b.do(w.b.c.ReplaceDrop(w.now, onion.ID{1}, onion.ID{60}))
	if got := w.b.c.Drops().Set.Relays; got != [3]onion.ID{{1}, {49}, {3}} {
		t.Errorf("%v", got)
	}
	w.b.restart()
	if _, controls := w.b.c.Stored(); controls != none+1 {
		t.Errorf("%d frames wait", controls-none)
	}
	w.connect()
	w.settle()
	say(statement(7, 49, 2, 3)) // both have chosen one: the inviter does not give way
	if w.a.c.DropClashes(w.now, 0) || w.a.c.DropClashes(w.now, 1) || w.b.c.DropClashes(w.now, 0) || !w.b.c.DropClashes(w.now, 1) {
		t.Error("who gives way")
	}
}
