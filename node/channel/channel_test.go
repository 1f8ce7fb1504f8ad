package channel_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/wire"
)

func TestTwoPeopleMeetAndTalk(t *testing.T) {
	for seed := range byte(2) { // mutual and strict
		w := newWorld(t, 10*seed+seed)
		w.a.send("written before anybody came")
		w.meet()
		w.compare()
		for _, s := range []*side{w.a, w.b} {
			if v := s.c.View(); v.Mark != channel.WordsCompared {
				t.Errorf("%s: %v", s.name, v.Mark)
			}
		}
		for i := range 20 {
			w.a.send(fmt.Sprint("a", i))
			w.b.send(fmt.Sprint("b", i))
			w.settle()
		}
		w.a.send(strings.Repeat("long ", wire.MaxText/5))
		w.settle()
		w.pass(5*time.Second, time.Second)
		w.checkAll()
	}
}

func TestEveryFlightCanBeLost(t *testing.T) {
	for lost := range 12 {
		w := newWorld(t, 3)
		n := 0
		w.mangle = func(b *wire.Box) []*wire.Box {
			if n++; n-1 == lost {
				return nil
			}
			return []*wire.Box{b}
		}
		w.connect()
		w.settle()
		for range 4 { // as a node does: the connection ends and is made again
			w.a.restart()
			w.b.restart()
			w.connect()
			w.settle()
		}
		w.a.send("x")
		w.settle()
		w.pass(3*time.Second, time.Second)
		w.checkAll()
	}
}

// TestRestartBetweenAllBoxes restarts both sides after each box of a first
// contact and a short talk.
func TestRestartBetweenAllBoxes(t *testing.T) {
	w := newWorld(t, 4)
	w.a.send("one")
	w.b.send("two")
	for range 60 {
		w.connect()
		w.step()
		w.a.restart()
		w.connect()
		w.step()
		w.step()
		w.b.restart()
	}
	w.connect()
	w.settle()
	w.pass(3*time.Second, time.Second)
	w.checkAll()
}

// TestRandomScripts plays long days: texts, cuts, restarts, boxes that are lost,
// doubled, swapped and altered on the way.
func TestRandomScripts(t *testing.T) {
	scripts := byte(12)
	if testing.Short() {
		scripts = 4
	}
	for seed := range scripts {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 40+seed)
			var held *wire.Box
			w.mangle = func(b *wire.Box) []*wire.Box {
				switch w.rng.IntN(20) {
				case 0:
					return nil
				case 1:
					return []*wire.Box{b, b}
				case 2:
					bad := *b
					bad[w.rng.IntN(len(bad))] ^= 1
					return []*wire.Box{&bad}
				case 3:
					held, b = b, held
					if b == nil {
						return nil
					}
				}
				return []*wire.Box{b}
			}
			for i := range 600 {
				s := w.a
				if w.rng.IntN(2) == 0 {
					s = w.b
				}
				switch w.rng.IntN(12) {
				case 0, 1, 2:
					s.send(fmt.Sprintf("%s %d", s.name, i))
				case 3:
					s.send(fmt.Sprintf("%s %d %s", s.name, i, strings.Repeat("…", w.rng.IntN(3000))))
				case 4:
					w.connect()
				case 5:
					s.restart()
				case 6:
					w.pass(time.Duration(w.rng.IntN(60))*time.Second, 7*time.Second)
				default:
					if !w.up {
						w.connect()
					}
					for range w.rng.IntN(20) {
						w.step()
					}
				}
				w.checkStates()
			}
			w.mangle = nil
			w.connect()
			w.settle()
			w.pass(3*time.Minute, 5*time.Second)
			w.checkAll()
		})
	}
}

func TestWindowOf200(t *testing.T) {
	w := newWorld(t, 6)
	w.meet()
	w.mangle = func(*wire.Box) []*wire.Box { return nil } // connected, and nothing arrives
	for i := range 300 {
		w.a.send(fmt.Sprint(i))
	}
	v := w.a.c.View()
	onItsWay := 0
	for _, m := range w.a.c.Transcript(0) {
		if m.State == channel.OnItsWay {
			onItsWay++
		}
	}
	if !v.WindowFull || onItsWay > wire.Window || onItsWay < wire.Window-5 {
		t.Errorf("%d on their way, window full: %v", onItsWay, v.WindowFull)
	}
	w.mangle = nil
	w.connect()
	w.settle()
	w.pass(10*time.Second, time.Second)
	w.checkAll()
}

func TestRecall(t *testing.T) {
	w := newWorld(t, 7)
	seq := w.a.send("not yet")
	out, err := w.a.c.Recall(w.now, seq)
	if err != nil {
		t.Fatal(err)
	}
	w.a.do(out)
	w.a.written = nil
	w.meet()
	gone := w.a.send("gone")
	if _, err := w.a.c.Recall(w.now, gone); !errors.Is(err, channel.ErrTooLate) {
		t.Errorf("recalling what has left: %v", err)
	}
	if _, err := w.a.c.Recall(w.now, 999); !errors.Is(err, channel.ErrNoMessage) {
		t.Errorf("recalling nothing: %v", err)
	}
	w.settle()
	w.pass(3*time.Second, time.Second)
	w.checkAll()
}

func TestMessagesExpire(t *testing.T) {
	w := newWorld(t, 8)
	w.meet()
	w.mangle = func(*wire.Box) []*wire.Box { return nil }
	for i := range 5 {
		w.a.send(fmt.Sprint("lost ", i))
	}
	w.cut()
	w.a.send("waits here")
	w.now = w.now.Add(14*24*time.Hour + 2*time.Minute)
	w.a.do(w.a.c.Tick(w.now))
	for _, m := range w.a.c.Transcript(0) {
		if m.State != channel.Expired {
			t.Errorf("%q is %q", m.Text, m.State)
		}
	}
	w.mangle = nil
	w.a.send("after")
	w.b.send("hello")
	w.connect()
	w.settle()
	w.pass(3*time.Second, time.Second)
	if got := w.b.texts(channel.In); !slices.Equal(got, []string{"after"}) {
		t.Errorf("arrived: %q", got)
	}
	if got := w.b.texts(channel.Notice); !slices.Contains(got, channel.NoteMissing) {
		t.Errorf("notices: %q", got)
	}
	w.a.written = []string{"after"}
	if got := w.a.texts(channel.In); !slices.Equal(got, []string{"hello"}) {
		t.Errorf("arrived: %q", got)
	}
}

// TestSessionIsReplaced lets 31 days go by while the two keep talking.
func TestSessionIsReplaced(t *testing.T) {
	w := newWorld(t, 9)
	w.meet()
	before, _ := w.a.c.Words()
	for day := range 32 {
		w.now = w.now.Add(24 * time.Hour)
		w.connect()
		w.a.send(fmt.Sprint("a", day))
		w.b.send(fmt.Sprint("b", day))
		w.settle()
		w.pass(20*time.Second, time.Second)
	}
	after, err := w.a.c.Words()
	if err != nil || before == after {
		t.Errorf("the words did not change with the session (%v)", err)
	}
	if v := w.a.c.View(); v.Paused {
		t.Error("an ordinary new session paused the contact")
	}
	w.checkAll()
}

// TestWholeMachinePutBack is a backup put back over a living machine, on either
// side, at various distances.
func TestWholeMachinePutBack(t *testing.T) {
	for _, which := range []string{"inviter", "accepter"} {
		for _, since := range []int{1, 3, 30} {
			t.Run(fmt.Sprint(which, since), func(t *testing.T) {
				w := newWorld(t, 20)
				w.meet()
				w.compare()
				s := w.a
				if which == "accepter" {
					s = w.b
				}
				w.a.send("old a")
				w.b.send("old b")
				w.settle()
				w.pass(3*time.Second, time.Second)
				old, oldWritten := s.store.Copy(), len(s.written)
				for i := range since {
					s.send(fmt.Sprint("after the copy ", i))
					s.peer.send(fmt.Sprint("answer ", i))
					w.settle()
				}
				w.pass(3*time.Second, time.Second)
				s.peer.send("unacknowledged")
				s.putBack(old)
				forgotten := s.written[oldWritten:]
				s.written = slices.Clone(s.written[:oldWritten])
				s.send("said after it was put back")
				w.connect()
				w.settle()
				w.pass(time.Minute, time.Second)
				for _, x := range []*side{w.a, w.b} {
					v := x.c.View()
					if !v.Paused || v.Mark != channel.RecoveredNotCompared {
						t.Fatalf("%s: paused %v, %v", x.name, v.Paused, v.Mark)
					}
					if !slices.Contains(x.texts(channel.Notice), channel.NoteRecovered) {
						t.Errorf("%s was not told", x.name)
					}
				}
				if slices.Contains(s.peer.texts(channel.In), "said after it was put back") {
					t.Error("a text was sent before both consented")
				}
				out, err := w.a.c.Consent(w.now)
				if err != nil {
					t.Fatal(err)
				}
				w.a.do(out)
				w.settle()
				if w.a.c.View().Paused == false {
					t.Error("one consent was enough")
				}
				w.compare() // the other consents by comparing words
				w.settle()
				w.pass(3*time.Second, time.Second)
				// The peer has what was said before the copy was put back, too.
				s.written = slices.Concat(s.written[:oldWritten], forgotten, s.written[oldWritten:])
				for _, x := range []*side{w.a, w.b} {
					if got := x.texts(channel.In); !slices.Equal(got, x.peer.written) {
						t.Errorf("%s has %q, want %q", x.name, got, x.peer.written)
					}
				}
			})
		}
	}
}

func TestStoreFoundRolledBack(t *testing.T) {
	w := newWorld(t, 21)
	w.meet()
	w.a.send("x")
	w.settle()
	w.pass(2*time.Second, time.Second)
	w.a.restart()
	w.a.do(w.a.c.RolledBack(w.now))
	w.connect()
	w.settle()
	w.pass(5*time.Second, time.Second)
	if !w.a.c.View().Paused || !w.b.c.View().Paused {
		t.Error("no recovery after a store was found rolled back")
	}
}

func TestInvitationUsedTwice(t *testing.T) {
	for _, verified := range []bool{false, true} {
		w := newWorld(t, 22)
		w.meet()
		if verified {
			w.compare()
		}
		inv, err := identity.NewInvitation(newSeed(22), identity.Place{}, start.Add(48*time.Hour), false)
		if err != nil {
			t.Fatal(err)
		}
		second := w.join("a thief", identity.Accepter, inv, 99)
		second.peer = w.a
		var ha, hs wire.Hello
		ha[0], hs[0] = 1, 2
		out := w.a.c.LinkUp(w.now, 1000, true, false, ha, hs)
		if len(out.Boxes) != 0 || !w.a.c.View().Connected {
			t.Error("a guest got a byte, or disturbed the connection in use")
		}
		card := second.c.LinkUp(w.now, 1000, true, true, hs, ha)
		w.a.do(w.a.c.Box(w.now, 1000, card.Boxes[0]))
		v := w.a.c.View()
		if !v.UsedTwice {
			t.Fatal("no alarm")
		}
		_, _, err = w.a.c.Send(w.now, "secret")
		if verified != (err == nil) {
			t.Errorf("verified %v: sending gives %v", verified, err)
		}
		if !verified {
			w.compare()
			w.a.send("after the words were compared")
		}
	}
}

// TestManInTheMiddle stands between two fake contacts with the invitation: the
// inviter meets him, and he meets the accepter. The words do not fit on either
// side, three misses throw them away, and new ones do not fit either.
func TestManInTheMiddle(t *testing.T) {
	left, right := newWorld(t, 30), newWorld(t, 32)
	left.meet()  // inviter with the middle
	right.meet() // the middle with the accepter
	for round := range 3 {
		for _, victim := range []struct{ hears, other *side }{{left.a, right.b}, {right.b, left.a}} {
			spoken, err := victim.other.c.Words()
			if err != nil {
				t.Fatal(err)
			}
			for try := 1; try <= channel.MaxTries; try++ {
				d, out, err := victim.hears.c.Compare(start, channel.Heard{Words: spoken.Words()})
				if err != nil || d.Match || d.Left != channel.MaxTries-try {
					t.Fatalf("round %d: %+v, %v", round, d, err)
				}
				victim.hears.do(out)
			}
			victim.hears.w.settle()
			if v := victim.hears.c.View(); v.Mark != channel.NotVerified {
				t.Fatalf("verified: %v", v.Mark)
			}
		}
		left.pass(2*time.Second, time.Second)
		right.pass(2*time.Second, time.Second)
	}
}

func TestDigits(t *testing.T) {
	w := newWorld(t, 34)
	w.meet()
	spoken, _ := w.b.c.Words()
	d, out, err := w.a.c.Compare(w.now, channel.Heard{Digits: spoken.Digits()})
	if err != nil || !d.Match {
		t.Fatalf("%+v, %v", d, err)
	}
	w.a.do(out)
	if w.a.c.View().Mark != channel.WordsCompared || w.b.c.View().Mark != channel.NotVerified {
		t.Error("a check of one side changed the other, or not its own")
	}
}

func TestDeadPeerIsNoticed(t *testing.T) {
	w := newWorld(t, 36)
	w.meet()
	w.mangle = func(*wire.Box) []*wire.Box { return nil }
	w.pass(95*time.Second, 5*time.Second)
	if w.a.c.View().Connected || w.b.c.View().Connected {
		t.Error("a connection on which nothing comes is still in use after 95 s")
	}
}

func TestClockFarOff(t *testing.T) {
	w := newWorld(t, 38)
	w.meet()
	w.now = w.now.Add(-10 * 365 * 24 * time.Hour) // a jump back; messaging goes on
	w.a.send("from the past")
	w.settle()
	w.now = w.now.Add(20 * 365 * 24 * time.Hour)
	w.connect()
	w.settle()
	if got := w.b.texts(channel.In); !slices.Equal(got, w.a.written) {
		t.Errorf("arrived: %q", got)
	}
}
