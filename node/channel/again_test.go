package channel_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
)

// TestDoubtEndsWithLife: after a recovery the peer does not confirm what it had confirmed before,
// since nobody says to go on, until that is too old; then the session is made anew, by another
// recovery or by a roll. What was in doubt is shown as expired, and never again as delivered,
// however much it is, and if nothing else happened meanwhile.
func TestDoubtEndsWithLife(t *testing.T) {
	for _, x := range []struct {
		texts int
		rolls bool
	}{{1, false}, {1, true}, {300, false}} {
		w := newWorld(t, 7)
		w.meet()
		w.compare()
		for i := range x.texts {
			w.a.send(fmt.Sprint("said once ", i))
		}
		w.pass(5*time.Second, time.Second)
		states := func() map[channel.State]int {
			n := map[channel.State]int{}
			for _, m := range w.a.c.Transcript(0) {
				if m.Direction == channel.Out {
					n[m.State]++
				}
			}
			return n
		}
		want := func(s channel.State, when string) {
			t.Helper()
			if got := states(); got[s] != x.texts {
				t.Errorf("%+v: %s: %v", x, when, got)
			}
		}
		want(channel.Delivered, "at first")
		recovers := func() {
			w.a.do(w.a.c.RolledBack(w.now))
			w.connect()
			w.settle()
		}
		recovers()
		want(channel.OnItsWay, "after a recovery")
		w.cut()
		w.now = w.now.Add(13 * 24 * time.Hour)
		w.a.restart()
		want(channel.OnItsWay, "in their life")
		if x.rolls {
			w.now = w.now.Add(18 * 24 * time.Hour)
			w.connect()
			w.settle()
		} else {
			w.now = w.now.Add(2 * 24 * time.Hour)
			recovers()
		}
		if got := states(); got[channel.Delivered] > 0 {
			t.Errorf("%+v: after their life: %v", x, got)
		}
		w.pass(time.Minute, time.Second)
		if want(channel.Expired, "in the end"); w.a.c.Epoch() != 3 || w.b.c.Epoch() != 3 {
			t.Errorf("%+v: sessions %d and %d", x, w.a.c.Epoch(), w.b.c.Epoch())
		}
	}
}

// TestDoubtEndsOverDrops does so with a roll over drops, for which both have something in doubt.
func TestDoubtEndsOverDrops(t *testing.T) {
	d := metAtDrops(t, 214)
	w := d.w
	sides := []*side{w.a, w.b}
	seqs := map[*side]uint64{}
	for _, s := range sides {
		seqs[s] = s.send("said once")
	}
	d.days(3, nil)
	w.a.do(w.a.c.RolledBack(w.now))
	d.days(3, nil)
	for _, s := range sides {
		if got := s.state(seqs[s]); got != channel.OnItsWay || noticed(s) != 1 {
			t.Fatalf("%s: %v after %d recoveries", s.name, got, noticed(s))
		}
	}
	d.lossy = true
	w.now = w.now.Add(26 * 24 * time.Hour)
	d.comesTo(3, nil)
	for _, s := range sides {
		if got := s.state(seqs[s]); got != channel.Expired {
			t.Errorf("%s: %v after a roll", s.name, got)
		}
	}
}

// TestDoubtOfAChannel: after a recovery a text of a channel may not leave, since the channel is
// closed, or withheld while the own clock is wrong. Later texts are confirmed; it is not. When the
// clock is right it is said again.
func TestDoubtOfAChannel(t *testing.T) {
	t.Parallel()
	for _, closes := range []bool{true, false} {
		w := newWorld(t, 8)
		others := make([]time.Duration, 4)
		w.a.cfg.Stated = func(time.Time) []time.Duration { return others }
		w.a.restart()
		w.meet()
		w.a.agree(w.a.c.OpenChannel(w.a.now(), w.a.terms("river gauges", 12*time.Hour)))
		w.b.acceptPending(2)
		old := w.b.store.Copy()
		w.a.sayIn(2, "of the channel")
		state := func() channel.State {
			t.Helper()
			list, err := w.a.c.TranscriptIn(w.a.now(), 2, 0)
			for _, m := range list {
				if m.Text == "of the channel" {
					return m.State
				}
			}
			t.Fatalf("closes %v: it is not there: %v", closes, err)
			return 0
		}
		if state() != channel.Delivered {
			t.Fatal("it is not delivered")
		}
		if closes {
			w.a.agree(w.a.c.CloseChannel(w.a.now(), 2))
		} else {
			w.a.ahead, others = 20*time.Hour, slices.Repeat([]time.Duration{-20 * time.Hour}, 4)
		}
		w.b.putBack(old)
		w.recovered()
		seq := w.a.send("later")
		w.pass(5*time.Second, time.Second)
		if got := w.a.state(seq); got != channel.Delivered {
			t.Fatalf("closes %v: a later text is %v", closes, got)
		}
		if got := w.b.textsIn(2); len(got) > 0 {
			t.Fatalf("closes %v: %q came: the test does not test", closes, got)
		}
		w.a.ahead, others = 0, make([]time.Duration, 4)
		if got := state(); got != channel.OnItsWay {
			t.Errorf("closes %v: it is %v, and not there", closes, got)
		}
		w.a.restart()
		w.goOn()
		want := channel.OnItsWay
		if !closes {
			want = channel.Delivered
		}
		if got := state(); got != want || (len(w.b.textsIn(2)) == 1) == closes {
			t.Errorf("closes %v: in the end it is %v, and %q came", closes, got, w.b.textsIn(2))
		}
	}
}

// inDoubt is two who have said and confirmed so many texts each way, and then recovered: nobody
// says to go on, and the texts grow too old.
func inDoubt(d *drops, texts int) {
	w := d.w
	w.connect()
	for i := range texts {
		for _, s := range []*side{w.a, w.b} {
			s.send(fmt.Sprint("said once ", i))
		}
		w.settle()
	}
	w.pass(5*time.Second, time.Second)
	w.a.do(w.a.c.RolledBack(w.now))
	w.connect()
	w.settle()
	w.cut()
	w.now = w.now.Add(31 * 24 * time.Hour)
}

// TestDoubtShownEverywhere: what is in doubt is on its way wherever it is told of, and counts among
// what is not confirmed; it is told as delivered when it is confirmed again.
func TestDoubtShownEverywhere(t *testing.T) {
	w := newWorld(t, 7)
	w.meet()
	w.compare()
	seq := w.a.send("said once")
	w.a.hold(ministry(9), "gauges")
	w.a.show()
	w.pass(5*time.Second, time.Second)
	shown := func(want channel.State, when string) {
		t.Helper()
		out := slices.DeleteFunc(w.a.c.Mandates(w.now), func(m channel.MandateView) bool { return m.State != channel.MandateOut })
		if len(out) != 1 || out[0].Delivery != want {
			t.Errorf("%s, the mandate is %+v", when, out)
		}
	}
	shown(channel.Delivered, "shown")
	w.a.do(w.a.c.RolledBack(w.now))
	w.connect()
	w.settle()
	shown(channel.OnItsWay, "after a recovery")
	doubted := 0
	for _, m := range w.a.c.Transcript(0) {
		if m.Direction == channel.Out && m.State == channel.OnItsWay {
			doubted++
		}
	}
	if n := w.a.c.View().Waiting; doubted < 2 || n != doubted {
		t.Errorf("%d are in doubt, and %d not confirmed", doubted, n)
	}
	w.a.told = nil
	m, out, err := w.a.c.Edit(w.now, seq, "said otherwise")
	if err != nil {
		t.Fatal(err)
	}
	w.a.do(out)
	if len(w.a.told) != 1 || w.a.told[0].State != channel.OnItsWay || m.State != channel.OnItsWay {
		t.Errorf("changed, it was %v, and is told as %+v", m.State, w.a.told)
	}
	w.a.told = nil
	w.goOn()
	shown(channel.Delivered, "confirmed again")
	if n := len(w.a.told); n == 0 || !slices.ContainsFunc(w.a.told, func(m channel.Message) bool { return m.Seq == seq && m.State == channel.Delivered }) {
		t.Errorf("confirmed again, it is told as %+v", w.a.told)
	}
	if n := w.a.c.View().Waiting; n != 0 {
		t.Errorf("confirmed again, %d are not", n)
	}
}

// TestDoubtFillsACommit: if what is to be ended fills a commit, the session that follows is of the
// next one.
func TestDoubtFillsACommit(t *testing.T) {
	d := &drops{w: newWorld(t, 7)}
	w := d.w
	w.meet()
	w.compare()
	inDoubt(d, 101)
	for _, s := range []*side{w.a, w.b} {
		s.do(s.c.RolledBack(w.now))
	}
	w.connect()
	for range 120 {
		w.now = w.now.Add(time.Second)
		for _, s := range []*side{w.a, w.b} {
			s.do(s.c.Tick(s.now()))
			for len(s.inbox) > 0 {
				box := s.inbox[0]
				s.inbox = s.inbox[1:]
				epoch := s.c.Epoch()
				out := s.c.Box(s.now(), s.link, box)
				ended := 0
				for _, write := range out.Writes {
					if write.Key.Kind == channel.KindState {
						ended++
					}
				}
				if s.c.Epoch() > epoch && ended > 100 {
					t.Errorf("%s: a commit ends %d and begins a session", s.name, ended)
				}
				s.do(out)
			}
		}
	}
	if a, b := w.a.c.Epoch(), w.b.c.Epoch(); a != 3 || b != 3 {
		t.Errorf("sessions %d and %d", a, b)
	}
}

// TestDoubtEndsOnAConnection: one of two has gone over to a session that they made at drops, and
// the other has not when a connection comes up, and has more in doubt than one commit ends. It
// ends that and goes over; there is nothing to recover from.
func TestDoubtEndsOnAConnection(t *testing.T) {
	d := metAtDrops(t, 214)
	w := d.w
	inDoubt(d, 250)
	if w.a.c.Epoch() != 2 {
		t.Fatalf("session %d", w.a.c.Epoch())
	}
	first := func() *side { // who has m2
		for _, s := range []*side{w.a, w.b} {
			if len(s.c.Seals()) == 2 {
				return s
			}
		}
		return nil
	}
	for range 40 {
		if first() == nil {
			d.days(1, nil)
		}
	}
	s := first()
	if s == nil || s.c.Epoch() != 2 {
		t.Fatal("nobody has m2: the test does not test")
	}
	for i := 0; i < 100 && s.peer.c.Epoch() == 2; i++ {
		d.write(s)
		for d.read(s.peer) {
		}
	}
	if s.c.Epoch() != 2 || s.peer.c.Epoch() != 3 {
		t.Fatalf("sessions %d and %d: the test does not test", s.c.Epoch(), s.peer.c.Epoch())
	}
	w.connect()
	w.settle()
	w.pass(2*time.Minute, time.Second)
	for _, s := range []*side{w.a, w.b} {
		if v := s.c.View(); noticed(s) != 1 || s.c.Epoch() != 3 || !v.Connected || v.Waiting != 0 {
			t.Errorf("%s: session %d after %d recoveries, %+v", s.name, s.c.Epoch(), noticed(s), v)
		}
		for _, m := range s.c.Transcript(0) {
			if m.Direction == channel.Out && m.State != channel.Expired {
				t.Errorf("%s: %q is %v", s.name, m.Text, m.State)
			}
		}
	}
}
