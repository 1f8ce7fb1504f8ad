package channel_test

import (
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/identity"
)

// views are the relays that a machine sees: the same in each epoch of an hour, and it is
// asked for those that it knows.
type views struct {
	w      *world
	sees   byte // names which relays
	from   time.Time
	silent bool
}

func (s *views) Newest() (directory.Statement, bool) {
	e := directory.Epoch(s.w.now.Unix() / 3600)
	h, ok := s.Membership(identity.NetworkID{7}, e)
	return directory.Statement{Network: identity.NetworkID{7}, Epoch: e, Membership: h}, ok
}

func (s *views) Membership(n identity.NetworkID, e directory.Epoch) ([32]byte, bool) {
	known := !s.silent && n == identity.NetworkID{7} && int64(e) >= s.from.Unix()/3600
	return [32]byte{s.sees}, known
}

// statesWorld is two who have met, talk over drops, and see relays.
func statesWorld(t *testing.T, seed byte) (w *world, a, b *views) {
	t.Helper()
	w = newWorld(t, seed)
	w.meet()
	w.agree()
	w.compare()
	w.cut()
	a, b = &views{w: w, sees: 1, from: w.now}, &views{w: w, sees: 1, from: w.now}
	w.a.cfg.Memberships, w.b.cfg.Memberships = a, b
	w.a.restart()
	w.b.restart()
	return w, a, b
}

// hours has both write and read a box every ten minutes, and counts the cells in them that
// neither person's words are in.
func (w *world) hours(n int, period *uint64) (stated int) {
	w.t.Helper()
	for range 6 * n {
		w.now = w.now.Add(10 * time.Minute)
		for _, s := range []*side{w.a, w.b} {
			var bag mailbag
			before := len(w.records(s, channel.KindMembership))
			was := w.records(s, channel.KindMembership)
			s.fill(&bag, *period)
			if now := w.records(s, channel.KindMembership); before == 0 && len(now) == 1 || before == 1 && !slices.Equal(now[0], was[0]) {
				stated++
			}
			s.peer.fetch(&bag, 0)
			s.boxed(*period)
		}
		*period++
	}
	return stated
}

func (w *world) records(s *side, kind store.Kind) (all [][]byte) {
	w.t.Helper()
	for r, err := range s.store.Scan(kind, s.id) {
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, slices.Clone(r.Value))
	}
	return all
}

func (w *world) notices(text string) (n int) {
	for _, s := range []*side{w.a, w.b} {
		for _, m := range s.texts(channel.Notice) {
			if m == text {
				n++
			}
		}
	}
	return n
}

// TestStatedOnceADay: each side says once a day which relays it sees, in a box that would
// carry nothing else; after restarts, too. Two who see the same hear nothing of it.
func TestStatedOnceADay(t *testing.T) {
	t.Parallel()
	w, _, _ := statesWorld(t, 120)
	period := uint64(20)
	if got := w.hours(1, &period); got != 2 {
		t.Fatalf("in the first hour %d were stated", got)
	}
	for day := range 3 {
		w.a.restart()
		w.b.restart()
		if got := w.hours(22, &period); got != 0 {
			t.Errorf("day %d: %d were stated before it was over", day, got)
		}
		w.a.restart()
		w.a.send("Does this come first?")
		if got := w.hours(2, &period); got != 2 {
			t.Errorf("day %d: %d were stated", day, got)
		}
	}
	w.checkAll()
	if w.notices(channel.NoteOtherRelays)+w.notices(channel.NoteSameRelays) != 0 || w.a.c.OtherRelays() || w.b.c.OtherRelays() {
		t.Error("two who see the same are told something")
	}
}

// TestStatementWaits: texts leave first, and nothing is stated while the last statement is
// not confirmed.
func TestStatementWaits(t *testing.T) {
	t.Parallel()
	w, _, _ := statesWorld(t, 121)
	var bag mailbag
	w.a.send("one")
	w.a.send("two")
	period := uint64(20)
	next := func() {
		w.a.fill(&bag, period)
		w.a.boxed(period)
		period++
	}
	for len(w.records(w.a, channel.KindMembership)) == 0 {
		if next(); period > 40 {
			t.Fatal("nothing is stated")
		}
	}
	if w.a.state(1) != channel.InMailbox || w.a.state(2) != channel.InMailbox {
		t.Errorf("it is stated while texts wait: %s, %s", w.a.state(1), w.a.state(2))
	}
	first := w.records(w.a, channel.KindMembership)[0]
	for range 30 { // the peer reads nothing for a month
		w.now = w.now.Add(24 * time.Hour)
		next()
	}
	if now := w.records(w.a, channel.KindMembership)[0]; !slices.Equal(now, first) {
		t.Error("it is stated again, and the last was not confirmed")
	}
}

// differs counts on how many sides the last statements that came differ so often.
func (w *world) differs(often byte) (n int) {
	for _, s := range []*side{w.a, w.b} {
		for _, r := range w.records(s, channel.KindMembership) {
			if r[len(r)-1] == often {
				n++
			}
		}
	}
	return n
}

// until lets hours pass until both sides hold the last statements to differ so often.
func (w *world) until(often byte, hours int, period *uint64) {
	w.t.Helper()
	for n := 0; w.differs(often) < 2; n++ {
		if n == hours {
			w.t.Fatalf("after %d hours they do not differ %d times", hours, often)
		}
		w.hours(1, period)
	}
}

// TestOtherRelays: one difference is no news; if the next statement differs, too, both are
// told, once; and again when they see the same.
func TestOtherRelays(t *testing.T) {
	t.Parallel()
	w, a, b := statesWorld(t, 122)
	period := uint64(20)
	w.hours(2, &period)
	for range 3 { // differences that heal
		a.sees = 2
		w.until(1, 25, &period)
		a.sees = 1
		w.until(0, 25, &period)
	}
	if w.notices(channel.NoteOtherRelays) != 0 || w.a.c.OtherRelays() || w.b.c.OtherRelays() {
		t.Error("differences that heal are called a false network")
	}
	b.sees = 2
	w.until(1, 25, &period)
	if w.notices(channel.NoteOtherRelays) != 0 {
		t.Error("one difference is called a false network")
	}
	w.a.restart()
	w.b.restart()
	w.until(2, 8, &period) // it is stated again before a day has passed
	for _, s := range []*side{w.a, w.b} {
		if v := s.c.View(); !v.OtherRelays || !s.c.Standing().OtherRelays || !slices.Contains(s.texts(channel.Notice), channel.NoteOtherRelays) {
			t.Errorf("%s is not told of a difference that lasts", s.name)
		}
	}
	w.hours(30, &period)
	w.a.restart()
	w.b.restart()
	if got := w.notices(channel.NoteOtherRelays); got != 2 || !w.a.c.OtherRelays() || !w.b.c.OtherRelays() {
		t.Errorf("told %d times of one difference; %v, %v", got, w.a.c.OtherRelays(), w.b.c.OtherRelays())
	}
	a.sees = 2
	w.until(0, 25, &period)
	if w.notices(channel.NoteSameRelays) != 2 || w.a.c.OtherRelays() || w.b.c.OtherRelays() {
		t.Error("not told that they see the same again")
	}
	w.checkAll()
}

// TestStatementsAtWill: a peer whose program says each hour what it likes cannot have the
// notice come and go with that.
func TestStatementsAtWill(t *testing.T) {
	t.Parallel()
	w, _, b := statesWorld(t, 127)
	period := uint64(20)
	for hour := range 60 {
		b.sees = byte(1 + hour/2%2)
		if err := w.b.store.Commit(store.Write{Key: store.Key{Kind: channel.KindMembership, Object: w.b.id}, Delete: true}); err != nil {
			t.Fatal(err)
		}
		w.b.restart()
		w.hours(1, &period)
	}
	n := 0
	for _, text := range w.a.texts(channel.Notice) {
		if text == channel.NoteOtherRelays || text == channel.NoteSameRelays {
			n++
		}
	}
	if n > 60/5 {
		t.Errorf("told %d times in 60 hours", n)
	}
}

// TestNothingToCompare: an epoch that this machine does not know, another network, and a
// peer that is in none or does not know the frame: nothing is said, and talk goes on.
func TestNothingToCompare(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(w *world, a, b *views){
		"began after it": func(w *world, _, b *views) { b.from = w.now.Add(1000 * time.Hour) },
		"knows nothing":  func(_ *world, _, b *views) { b.silent = true },
		"in no network":  func(w *world, _, _ *views) { w.b.cfg.Memberships = nil; w.b.restart() },
	} {
		t.Run(what, func(t *testing.T) {
			w, a, b := statesWorld(t, 123)
			a.sees = 2
			change(w, a, b)
			period := uint64(20)
			if got := w.hours(1, &period); got != 1 {
				t.Errorf("%d were stated", got)
			}
			w.hours(100, &period)
			w.a.send("still here")
			w.b.send("so am I")
			w.hours(1, &period)
			w.checkAll()
			if w.notices(channel.NoteOtherRelays) != 0 {
				t.Error("told of a difference with what is not known")
			}
		})
	}
}

// TestStatedOnAConnection: on a direct connection it goes in a box that would have left
// without it.
func TestStatedOnAConnection(t *testing.T) {
	t.Parallel()
	w, a, _ := statesWorld(t, 124)
	a.sees = 2
	w.connect()
	w.settle()
	w.pass(20*time.Minute, 10*time.Second)
	quiet := w.cells
	w.pass(time.Hour, 10*time.Second)
	quiet, w.cells = w.cells-quiet, 0
	w.pass(23*time.Hour, 10*time.Second) // the second is due
	w.cells = 0
	w.pass(time.Hour, 10*time.Second)
	if w.cells > quiet+2 {
		t.Errorf("%d boxes in an hour in which it is stated, %d in another", w.cells, quiet)
	}
	w.pass(7*time.Hour, 10*time.Second)
	if w.notices(channel.NoteOtherRelays) != 2 {
		t.Errorf("told %d times", w.notices(channel.NoteOtherRelays))
	}
}
