package relayed

import (
	"flag"
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
)

// set is three drops of a world, by place.
func set(places ...byte) (s [drop.SetSize]onion.ID) {
	for i, p := range places {
		s[i] = onion.ID{p + 1}
	}
	return s
}

// checkAll holds a conversation to what is promised: all that a side wrote was read
// once, in order, and is called delivered.
func checkAll(t *testing.T, talks ...*talk) {
	t.Helper()
	for _, s := range talks {
		if got := len(s.peer.order); got != len(s.texts) {
			t.Errorf("%v: %d of %d were read", s.direction, got, len(s.texts))
		}
		for i, n := range s.peer.order {
			if n != uint32(i+1) {
				t.Fatalf("%v: out of order at %d", s.direction, i)
			}
		}
		for i, x := range s.texts {
			if x.delivered.IsZero() {
				t.Errorf("%v: text %d is not called delivered", s.direction, i+1)
				break
			}
		}
	}
}

// checkOnce holds the network to what was never done: no address was asked for twice at
// any drop, but by chance.
func checkOnce(t *testing.T, w *world) {
	t.Helper()
	asked := map[drop.Address]int{}
	for _, r := range w.relays {
		for a, n := range r.gets {
			asked[a] += n
		}
	}
	for _, n := range asked {
		if n > 1 {
			t.Error("an address was asked for twice")
		}
	}
}

// latency returns median and 95th percentile of what was read.
func latency(s *talk) (median, p95 time.Duration) {
	var all []time.Duration
	for _, x := range s.texts {
		if !x.read.IsZero() {
			all = append(all, x.read.Sub(x.written))
		}
	}
	if len(all) == 0 {
		return 0, 0
	}
	slices.Sort(all)
	return all[len(all)/2], all[len(all)*95/100]
}

// long plays the long runs in full: "go test ./node/route/relayed -long -timeout 30m".
var long = flag.Bool("long", false, "play all of the long runs")

func TestTalk(t *testing.T) {
	periods := []cadence.Period{1, 2, 4, 8}
	if !*long {
		periods = periods[:2]
	}
	for _, p := range periods {
		w := newWorld(t, byte(p), 6)
		w.loss = 0.0085 // 5 % of ways out, 5 % of ways back
		a, b := w.user(1), w.user(2)
		ta, tb := w.meet(1, a, b, p, set(3, 4, 5))
		a.start()
		b.start()
		w.run(10 * time.Minute)
		for range 60 {
			ta.write(1)
			w.run(3 * time.Minute * time.Duration(p))
			tb.write(1)
			w.run(2 * time.Minute * time.Duration(p))
		}
		w.run(90 * time.Minute)
		checkAll(t, ta, tb)
		checkOnce(t, w)
		median, p95 := latency(ta)
		rule, latest := a.m.Expect(p)
		t.Logf("period %d: %v, 95 %% in %v; expected %v, %v", p, median, p95, rule, latest)
		if median > rule*5/4 || median < rule/2 || p95 > latest*3/2 {
			t.Errorf("period %d: what is expected is not what happens", p)
		}
	}
}

// TestCountsNeverDiffer: a machine without a contact, one that is idle and one that
// writes all day send the same number of packets in every slot, and at moments that
// depend on nothing else.
func TestCountsNeverDiffer(t *testing.T) {
	w := newWorld(t, 3, 6)
	a, b, nobody := w.user(1), w.user(2), w.user(3)
	ta, _ := w.meet(1, a, b, 1, set(3, 4, 5))
	w.meet(2, a, b, 4, set(2, 4, 5))
	for _, u := range []*user{a, b, nobody} {
		u.start()
	}
	for range 40 {
		ta.write(20)
		w.run(15 * time.Minute)
	}
	last, _ := a.m.Slot()
	for _, u := range []*user{a, b, nobody} {
		if u.m.Skipped() > 0 {
			t.Errorf("user %d left out %d packets", u.name, u.m.Skipped())
		}
		for s, n := range u.sent {
			if s < last && n != cadence.Packets {
				t.Errorf("user %d sent %d packets in slot %d", u.name, n, s)
			}
		}
		if len(u.sent) < 1190 {
			t.Errorf("user %d was in %d slots", u.name, len(u.sent))
		}
	}
	// What a drop gets is as much from one as from another: 4 puts in a slot.
	puts := 0
	for _, r := range w.relays {
		puts += r.puts
	}
	if want := 3 * 4 * 1200; puts < want*97/100 || puts > want {
		t.Errorf("%d puts, want about %d", puts, want)
	}
}

// TestEverythingThatGoesWrong: losses, a relay that dies each minute, a drop that is
// wiped, clocks that are off, and both machines stopped at random, also between a
// commit and its packets.
func TestEverythingThatGoesWrong(t *testing.T) {
	seeds := 3
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		everything(t, byte(40+seed), 1000/seeds)
	}
}

func everything(t *testing.T, seed byte, texts int) {
	w := newWorld(t, seed, 8)
	w.loss = 0.0085
	a, b := w.user(1), w.user(2)
	a.off, b.off = 50*time.Second, -58*time.Second
	for i, r := range w.relays {
		r.off = time.Duration(i-4) * 300 * time.Millisecond
	}
	w.relays[7].off = time.Hour // one lies
	ta, tb := w.meet(1, a, b, 1, set(3, 4, 5))
	sa, sb := w.meet(2, a, b, 8, set(2, 4, 6))
	a.start()
	b.start()
	w.run(3 * time.Minute)
	var kill func()
	dead := -1
	kill = func() {
		if dead >= 0 {
			w.relays[dead].dead = false
		}
		dead = w.rand.IntN(len(w.relays))
		w.relays[dead].dead = true
		w.after(time.Minute, kill)
	}
	kill()
	var stop func()
	stop = func() {
		u := []*user{a, b}[w.rand.IntN(2)]
		switch {
		case !u.on:
		case w.rand.IntN(2) == 0:
			u.restart(time.Duration(w.rand.IntN(120)) * time.Second)
		default:
			u.losing = true
		}
		w.after(time.Duration(w.rand.IntN(40))*time.Minute, stop)
	}
	stop()
	for i := range texts {
		ta.write(1)
		tb.write(1)
		w.run(90 * time.Second)
		if i%20 == 0 {
			sa.write(1)
			sb.write(1)
		}
		if i == texts/2 {
			clear(w.relays[4].boxes)
		}
	}
	for range 40 {
		w.run(15 * time.Minute)
	}
	checkAll(t, ta, tb, sa, sb)
	checkOnce(t, w)
	for _, u := range []*user{a, b} {
		if slices.Contains(u.notices, Taken) {
			t.Error("a machine wrote a box twice")
		}
	}
	median, p95 := latency(ta)
	t.Logf("%d texts each way, %d and %d starts: %v, 95 %% in %v", texts, a.runs, b.runs, median, p95)
}

// schedule lets a user be on for some hours of each day.
func (u *user) schedule(from, length time.Duration, days int) {
	for d := range days {
		begin := time.Duration(d)*24*time.Hour + from
		u.w.after(begin, func() { u.start() })
		u.w.after(begin+length, func() { u.stop() })
	}
}

func TestNeverOnTogether(t *testing.T) {
	if testing.Short() {
		t.Skip("it plays days")
	}
	for _, c := range []struct {
		name         string
		fromA, fromB time.Duration
		onA, onB     time.Duration
		days, texts  int
	}{
		{"eight hours each, never together", 8 * time.Hour, 18 * time.Hour, 8 * time.Hour, 8 * time.Hour, 6, 40},
		{"ten minutes a day", 8 * time.Hour, 12 * time.Hour, 10 * time.Minute, 8 * time.Hour, 10, 20},
	} {
		if !*long {
			c.days, c.texts = c.days/2, c.texts/2
		}
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 5, 6)
			w.loss = 0.0085
			a, b := w.user(1), w.user(2)
			ta, tb := w.meet(1, a, b, 1, set(3, 4, 5))
			ta.write(c.texts)
			tb.write(c.texts)
			a.schedule(c.fromA, c.onA, c.days)
			b.schedule(c.fromB, c.onB, c.days)
			w.run(time.Duration(c.days) * 24 * time.Hour)
			checkAll(t, ta, tb)
			checkOnce(t, w)
			ma, pa := latency(ta)
			mb, pb := latency(tb)
			t.Logf("a to b %v, 95 %% in %v; b to a %v, 95 %% in %v", ma, pa, mb, pb)
		})
	}
}

// TestAwayForAWeek: longer than drops keep anything. What is not acknowledged is sent
// again as long as it lives.
func TestAwayForAWeek(t *testing.T) {
	if testing.Short() {
		t.Skip("it plays days")
	}
	w := newWorld(t, 6, 6)
	w.cfg.Slot = 2 * time.Minute // the same in fewer packets
	w.loss = 0.0085
	a, b := w.user(1), w.user(2)
	ta, tb := w.meet(1, a, b, 4, set(3, 4, 5))
	a.start()
	b.start()
	w.run(time.Hour)
	ta.write(3)
	w.run(time.Hour)
	b.stop()
	for range 7 {
		ta.write(10)
		w.run(24 * time.Hour)
	}
	b.start()
	w.run(30 * time.Minute)
	tb.write(5)
	w.run(24 * time.Hour)
	checkAll(t, ta, tb)
	checkOnce(t, w)
	for _, u := range []*user{a, b} {
		if n, blocks := len(u.disk), 96*30/4/cadence.BlockSize; n > 1+1+blocks+2 {
			t.Errorf("%d records are kept", n)
		}
	}
}

// TestDeadDropsStoreNothing: without a drop's own word nothing is called stored, and with that
// of one alone neither: it may be the reader's guard. All comes through one drop. When two of
// three live again, most of what is written then is called stored within three hours, or is
// delivered before.
func TestDeadDropsStoreNothing(t *testing.T) {
	const worlds = 3
	mailed := 0
	for seed := range byte(worlds) {
		mailed += deadDrops(t, 7+seed)
	}
	if mailed < worlds*17 {
		t.Errorf("%d of %d are called stored", mailed, worlds*20)
	}
}

func deadDrops(t *testing.T, seed byte) (mailed int) {
	w := newWorld(t, seed, 8)
	a, b := w.user(1), w.user(2)
	ta, tb := w.meet(1, a, b, 1, set(3, 4, 5))
	a.start()
	b.start()
	w.run(10 * time.Minute)
	for _, i := range []int{3, 4, 5} {
		w.relays[i].dead = true
	}
	w.run(time.Minute) // what was under way
	ta.write(20)
	w.run(2 * time.Hour)
	for i, x := range ta.texts {
		if !x.mailed.IsZero() || !x.delivered.IsZero() {
			t.Errorf("text %d is called stored or delivered", i+1)
		}
	}
	w.relays[4].dead = false // one of three suffices for all to come
	w.run(6 * time.Hour)
	checkAll(t, ta, tb)
	for i, x := range ta.texts {
		if !x.mailed.IsZero() {
			t.Errorf("text %d is called stored when one drop has it", i+1)
		}
	}
	w.relays[5].dead = false
	b.stop()
	ta.write(20)
	w.run(6 * time.Hour)
	for _, x := range ta.texts[20:] {
		if !x.mailed.IsZero() {
			mailed++
		}
	}
	b.start()
	w.run(6 * time.Hour)
	checkAll(t, ta, tb)
	return mailed
}

func TestHostileDrops(t *testing.T) {
	for name, spoil := range map[string]func(*relay){
		"silent": func(r *relay) { r.silent = true },
		"garble": func(r *relay) { r.garble = true },
		"work":   func(r *relay) { r.refuses = true },
		"full":   func(r *relay) { r.full = true },
		"old":    func(r *relay) { r.old = true },
		"early":  func(r *relay) { r.early = true },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 8, 6)
			a, b := w.user(1), w.user(2)
			ta, tb := w.meet(1, a, b, 1, set(3, 4, 5))
			spoil(w.relays[3])
			if name == "full" { // then some periods lie nowhere
				spoil(w.relays[5])
			}
			w.lies = name == "silent" // it is taken at its word, and nothing is lost by that
			a.start()
			b.start()
			for range 30 {
				ta.write(1)
				tb.write(1)
				w.run(4 * time.Minute)
			}
			w.run(30 * time.Minute)
			checkAll(t, ta, tb)
			checkOnce(t, w)
		})
	}
}

// TestRelaysThatLosePackets: one that throws away half or all is found and avoided, also if it
// is of one way only; one that throws away a tenth is not; nobody else is blamed, and all texts
// come.
func TestRelaysThatLosePackets(t *testing.T) {
	for _, c := range []struct {
		losing    float64
		operators int
		which     losses
	}{
		{0.1, 3, bothWays},
		{0.5, 3, bothWays},
		{1, 3, bothWays},
		{0.1, 8, bothWays},
		{0.5, 8, bothWays},
		{1, 8, bothWays},
		{0.5, 3, wayBack},
		{1, 8, wayBack},
		{0.5, 8, wayThere},
		{1, 3, wayThere},
	} {
		losing := c.losing
		w := newWorld(t, 9, 8)
		w.ofOperators(c.operators)
		w.loss = 0.0085
		a, b := w.user(1), w.user(2)
		ta, tb := w.meet(1, a, b, 1, set(3, 4, 5))
		a.start()
		b.start()
		w.run(30 * time.Minute)
		if bad := a.m.Bad(); len(bad) > 0 {
			t.Errorf("%v are blamed for nothing", bad)
		}
		victim := w.relays[2]
		for victim.ID == a.m.Guard() || victim.ID == b.m.Guard() {
			victim = w.relays[victim.ID[0]%8]
		}
		victim.losing, victim.which = losing, c.which
		found := -1
		for slot := range 60 {
			w.run(30 * time.Second)
			if bad := a.m.Bad(); slices.Contains(bad, victim.ID) && found < 0 {
				found = slot
			}
		}
		little := losing < tooMany // it cannot be told from the line, and nobody may be blamed for it
		if bad := a.m.Bad(); little && len(bad) > 0 || !little && !slices.Equal(bad, []onion.ID{victim.ID}) {
			t.Errorf("loses %v on %v: %v are blamed", losing, c.which, bad)
		}
		within := 30
		if losing < 1 && c.which != bothWays {
			within = 45 // half of its trips get lost, where of the others it is three in four
		}
		if !little && (found < 0 || found > within) {
			t.Errorf("loses %v on %v: found after %d slots", losing, c.which, found)
		}
		ta.write(20)
		w.run(90 * time.Minute)
		checkAll(t, ta, tb)
		victim.losing = 0
		w.run(2 * time.Hour)
		if bad := a.m.Bad(); len(bad) > 0 {
			t.Errorf("%v are blamed for what is over", bad)
		}
		t.Logf("loses %v on %v, %d operators: found after %d slots", losing, c.which, c.operators, found)
	}
}

// TestGuards: the other one takes over when one is down for a slot; one that throws half
// away raises an alarm.
func TestGuards(t *testing.T) {
	w := newWorld(t, 10, 6)
	a, b := w.user(1), w.user(2)
	ta, tb := w.meet(1, a, b, 1, set(3, 4, 5))
	a.start()
	b.start()
	w.run(10 * time.Minute)
	was := a.m.Guard()
	for _, id := range set(3, 4, 5) {
		if was == id || b.m.Guard() == id {
			t.Fatal("a guard that keeps the pair's boxes")
		}
	}
	w.relay(was).dead = true
	w.run(2 * time.Minute)
	if a.m.Guard() == was || !slices.Contains(a.notices, Moved) {
		t.Error("the other guard did not take over")
	}
	ta.write(3)
	w.run(15 * time.Minute)
	checkAll(t, ta, tb)
	w.relay(was).dead = false
	now := a.m.Guard()
	w.run(time.Hour)
	if a.m.Guard() != now {
		t.Error("the guard changed without a reason")
	}
	a.restart(time.Second)
	w.run(time.Minute)
	if g := a.m.Guard(); g != was && g != now {
		t.Error("another guard after a restart")
	}
	w.relay(a.m.Guard()).losing = 0.5
	w.run(40 * time.Minute)
	if !slices.Contains(a.notices, Losing) {
		t.Error("no alarm at a guard that throws packets away")
	}
}

// TestGuardsAreKeptForWeeks: they change one at a time, after 60 to 90 days.
func TestGuardsAreKeptForWeeks(t *testing.T) {
	w := newWorld(t, 9, 8)
	u := w.user(1)
	u.start()
	pins := func() [2]onion.ID { return [2]onion.ID{u.m.guards.pinned[0].id, u.m.guards.pinned[1].id} }
	before := pins()
	changes := 0
	for day := range 200 {
		u.turn(u.m.SetView(w.now.Add(time.Duration(day)*24*time.Hour), w))
		after := pins()
		if day < 60 && after != before {
			t.Errorf("changed on day %d", day)
		}
		if after[0] != before[0] && after[1] != before[1] {
			t.Error("both at once")
		}
		if after != before {
			changes++
		}
		before = after
	}
	if changes < 4 || changes > 6 {
		t.Errorf("%d changes in 200 days", changes)
	}
}

// TestNoBurst: a machine that slept sends nothing of what it slept through.
func TestNoBurst(t *testing.T) {
	w := newWorld(t, 12, 6)
	a, b := w.user(1), w.user(2)
	ta, tb := w.meet(1, a, b, 1, set(3, 4, 5))
	a.start()
	b.start()
	w.run(20 * time.Minute)
	for i := range 20 {
		run := a.runs
		a.runs = -1 // its clock goes on, it does not
		ta.write(2)
		pause := time.Duration(1+w.rand.IntN(7200)) * time.Second
		if i%2 == 0 { // within a slot
			pause = time.Duration(8+w.rand.IntN(20)) * time.Second
		}
		w.run(pause)
		a.runs = run
		from := len(a.moments)
		a.tick(run)
		if n := len(a.moments) - from; n > 2 {
			t.Errorf("%d packets at once after %v", n, pause)
		}
		w.run(15 * time.Minute)
		for k := from; k < len(a.moments); k++ {
			in := 0
			for j := k; j < len(a.moments) && a.moments[j].Sub(a.moments[k]) < w.cfg.Slot/2; j++ {
				in++
			}
			if in > 2*cadence.Packets {
				t.Fatalf("%d packets in half a slot", in)
			}
		}
		if burst := len(a.moments) - from; burst > 31*cadence.Packets {
			t.Errorf("%d packets in 15 minutes", burst)
		}
	}
	w.run(2 * time.Hour)
	checkAll(t, ta, tb)
	checkOnce(t, w)
}

// TestLocked: a locked machine sends as much as any other, writes nothing and reads
// nothing.
func TestLocked(t *testing.T) {
	w := newWorld(t, 13, 6)
	a, b := w.user(1), w.user(2)
	ta, _ := w.meet(1, a, b, 1, set(3, 4, 5))
	a.start()
	b.start()
	w.run(10 * time.Minute)
	a.m.SetLocked(true)
	w.run(time.Minute)
	turn := ta.turn
	before := len(a.moments)
	w.run(30 * time.Minute)
	if ta.turn != turn {
		t.Error("a locked machine writes")
	}
	if n := len(a.moments) - before; n < 598 || n > 602 {
		t.Errorf("%d packets in 60 slots", n)
	}
	a.m.SetLocked(false)
	ta.write(1)
	w.run(15 * time.Minute)
	checkAll(t, ta)
}

// TestClocks: slots go by the relays' clocks, whatever this machine's says.
func TestClocks(t *testing.T) {
	w := newWorld(t, 14, 6)
	w.relays[0].off = 5 * time.Hour // a liar is outvoted
	a := w.user(1)
	a.off = 3 * time.Hour
	a.start()
	w.run(20 * time.Minute)
	check := func(when string) {
		t.Helper()
		got, synced := a.m.Slot()
		want, _ := cadence.At(time.Duration(w.now.UnixNano()), w.cfg.Slot)
		if !synced || got+1 < want || got > want+1 {
			t.Errorf("%s: in slot %d, is %d", when, got, want)
		}
	}
	check("at first")
	right, all := 0, a.m.Clocks(a.local())
	for id, c := range all {
		switch off := (c.Ahead + a.off).Abs(); {
		case off < 5*time.Second && !c.Read.After(a.local()):
			right++
		case id != w.relays[0].ID:
			t.Errorf("the clock of relay %v is %v ahead", id, c.Ahead)
		}
	}
	if right < minClocks {
		t.Errorf("%d clocks of %d are right", right, len(all))
	}
	a.off += 100 * 24 * time.Hour
	w.run(time.Hour)
	if _, synced := a.m.Slot(); synced || !slices.Contains(a.notices, ClockOff) {
		t.Error("a clock that is off by months goes unnoticed")
	}
	a.off -= 100 * 24 * time.Hour
	w.run(time.Hour)
	check("after it was set")
	for _, by := range []time.Duration{40 * time.Second, -70 * time.Second, 20 * time.Hour, -30 * time.Hour} {
		before := len(a.moments)
		a.off += by
		w.run(2 * time.Hour)
		if n := len(a.moments) - before; n < 2340 || n > 2440 {
			t.Errorf("%v: %d packets in two hours", by, n)
		}
		check(by.String())
	}
}

// TestManyContacts: lanes that are full, and a machine that is stopped again and again:
// its plans differ after each start, and still no period is written or read twice.
func TestManyContacts(t *testing.T) {
	w := newWorld(t, 15, 8)
	w.loss = 0.0085
	w.cfg.Mean = 2 * time.Second // the delay that the limit of two hours below was set for
	for _, r := range w.relays {
		r.Mean = w.cfg.Mean
	}
	a, b := w.user(1), w.user(2)
	var talks []*talk
	for id := range byte(16) {
		ta, tb := w.meet(id+1, a, b, 8, set(id%3+2, id%2+5, 7))
		talks = append(talks, ta, tb)
	}
	a.start()
	b.start()
	w.run(10 * time.Minute)
	for _, s := range talks {
		s.write(3)
	}
	for range 60 {
		a.restart(time.Duration(w.rand.IntN(40)) * time.Second)
		w.run(time.Duration(80+w.rand.IntN(300)) * time.Second)
	}
	w.run(3 * time.Hour)
	checkAll(t, talks...)
	checkOnce(t, w)
	if slices.Contains(a.notices, Taken) || slices.Contains(b.notices, Taken) {
		t.Error("a period was written twice")
	}
	for _, u := range []*user{a, b} {
		for _, s := range u.talks {
			if median, _ := latency(s); median == 0 || median > 2*time.Hour {
				t.Errorf("a contact waits %v", median)
			}
		}
	}
}

var _ View = (*directory.View)(nil)

// TestTheTraceSaysNothing: what an observer of this machine's link sees is the same, to
// the nanosecond, whether its people write all day or not at all; and what its guard
// sees is the same, too: when each packet comes, which relay it goes to, and from which
// the reply will come.
func TestTheTraceSaysNothing(t *testing.T) {
	trace := func(busy bool) []sight {
		w := newWorld(t, 16, 6)
		a, b := w.user(1), w.user(2)
		ta, tb := w.meet(1, a, b, 1, set(3, 4, 5))
		sa, _ := w.meet(2, a, b, 4, set(2, 3, 4))
		a.start()
		b.start()
		for range 24 {
			if busy {
				ta.write(30)
				tb.write(10)
				sa.write(5)
			}
			w.run(10 * time.Minute)
		}
		if busy && len(tb.order) < 200 {
			t.Fatal("nothing was said")
		}
		return a.seen
	}
	if busy, idle := trace(true), trace(false); !slices.Equal(busy, idle) {
		t.Errorf("%d packets when busy, %d when idle, or other ones", len(busy), len(idle))
	}
}

// TestTheGuardDoesNotLearnDrops: the relays beside the guard are drawn evenly, whichever
// drops the contacts have. If a way avoided its own drop, the drops would come up less
// often there, and two machines with the same drops would be known by them.
func TestTheGuardDoesNotLearnDrops(t *testing.T) {
	if testing.Short() {
		t.Skip("it plays days")
	}
	w := newWorld(t, 18, 9)
	a, b := w.user(1), w.user(2)
	for id := range byte(2) { // both lanes serve contacts, at three drops
		ta, _ := w.meet(id+1, a, b, 1, set(3, 4, 8))
		ta.write(2000)
	}
	a.start()
	b.start()
	w.run(24 * time.Hour)
	g, _ := w.Member(a.m.Guard())
	for name, of := range map[string]func(sight) onion.ID{
		"out": func(s sight) onion.ID { return s.out }, "back": func(s sight) onion.ID { return s.back },
	} {
		count := map[onion.ID]int{}
		for _, s := range a.seen {
			count[of(s)]++
		}
		want := len(a.seen) / 6
		for _, r := range w.relays {
			n := count[r.ID]
			if r.Operator == g.Operator {
				if n > 0 {
					t.Errorf("%s: %d packets over a relay of the guard's operator", name, n)
				}
			} else if n < want*97/100 || n > want*103/100 { // 3.2 standard deviations at 4,800
				t.Errorf("%s: relay %d stands beside the guard %d times, want about %d", name, r.ID[0], n, want)
			}
		}
	}
	if a.m.Skipped() > 0 {
		t.Error("packets were left out")
	}
	// Nearly every packet found a place in its slot.
	puts := 0
	for _, r := range w.relays {
		puts += r.puts
	}
	if want := 2 * 4 * 2880; puts < want*97/100 {
		t.Errorf("%d puts of %d", puts, want)
	}
}

// TestSmallNetworks: three relays are the least that there can be, and then each guard
// is a drop as well.
func TestSmallNetworks(t *testing.T) {
	for relays := 3; relays <= 5; relays++ {
		w := newWorld(t, byte(60+relays), relays)
		w.loss = 0.006
		a, b := w.user(1), w.user(2)
		ta, tb := w.meet(1, a, b, 1, set(0, 1, 2))
		a.start()
		b.start()
		for range 40 {
			ta.write(1)
			tb.write(1)
			w.run(5 * time.Minute)
		}
		w.run(time.Hour)
		checkAll(t, ta, tb)
		checkOnce(t, w)
		median, p95 := latency(ta)
		t.Logf("%d relays: %v, 95 %% in %v; %d packets were left out", relays, median, p95, a.m.Skipped())
		if a.m.Skipped()+b.m.Skipped() > 0 {
			t.Error("packets were left out")
		}
	}
}

// TestSparse: ways with two middles, where not everybody has a link to everybody.
func TestSparse(t *testing.T) {
	w := newWorld(t, 19, 18)
	w.loss = 0.006
	w.links = func(a, b onion.ID) bool { return (int(a[0])*int(b[0])*7919+int(a[0])+int(b[0]))%5 < 3 }
	a, b := w.user(1), w.user(2)
	ta, tb := w.meet(1, a, b, 1, set(3, 4, 5))
	a.start()
	b.start()
	for range 40 {
		ta.write(1)
		tb.write(1)
		w.run(5 * time.Minute)
	}
	w.run(30 * time.Minute)
	checkAll(t, ta, tb)
	checkOnce(t, w)
	if a.m.Skipped()+b.m.Skipped() > 0 {
		t.Errorf("%d and %d packets were left out", a.m.Skipped(), b.m.Skipped())
	}
}

// TestWhatADropSees counts, over a day of two machines that stay on, the boxes that are
// got later than in their turn. Most are got for nothing: of the catch-up gets with nothing
// to ask for one in 16 is, if its packet leads to the drop. The rest are those that did not
// come in their turn, when a text is missed: they are what a drop could learn from, and the
// others hide them.
func TestWhatADropSees(t *testing.T) {
	w := newWorld(t, 17, 6)
	w.loss = 0.0085
	a, b := w.user(1), w.user(2)
	ta, tb := w.meet(1, a, b, 1, set(3, 4, 5))
	a.start()
	b.start()
	w.run(time.Hour)
	w.ages = map[int]int{}
	var nothing, missed int
	w.sends = func(u *user, p *pending) {
		c := p.contact
		switch {
		case p.command != onion.Get || c == nil:
		case slices.ContainsFunc(u.m.slot.lanes[:], func(l laneState) bool { return l.reads == c && l.readPeriod == p.period }):
		case c.book.Has(p.period):
			nothing++
		default:
			missed++
		}
	}
	for range 24 {
		ta.write(5)
		tb.write(5)
		w.run(time.Hour)
	}
	var current, soon, old int // before one could catch up, within 20 slots, later
	for age, n := range w.ages {
		switch {
		case age <= 2*int(a.m.Lag()):
			current += n
		case age <= 20:
			soon += n
		default:
			old += n
		}
	}
	t.Logf("boxes got: %d in their turn, %d within ten minutes, %d later; asked for again: %d for nothing, %d that were missed",
		current, soon, old, nothing, missed)
	// Eight seeds: 509 to 576 for nothing, as one in five found no way, and 301 to 352 missed.
	most := 2 * cadence.Lanes * 2880 / 16
	if nothing > most || nothing < most*5/8 {
		t.Errorf("%d are got for nothing; %d may be", nothing, most)
	}
	if old > most+most/5 || old < most/2 {
		t.Errorf("%d are got late", old)
	}
	if missed > 380 {
		t.Errorf("%d are got as they were missed", missed)
	}
	if soon > 100 || soon+old > nothing+missed {
		t.Errorf("%d and %d are got late, of %d that were asked for", soon, old, nothing+missed)
	}
}
