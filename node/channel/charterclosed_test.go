package channel_test

import (
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/charter"
	"github.com/backchannel/backchannel/protocol/wire"
)

// TestNothingLeavesAfterTheClose closes a channel in which a text waits and another may
// have left in a session before.
func TestNothingLeavesAfterTheClose(t *testing.T) {
	t.Parallel()
	w := opened(t, 21)
	w.mangle = func(*wire.Box) []*wire.Box { return nil }
	w.a.sayIn(2, "may have left")
	w.cut()
	w.mangle = nil
	w.a.sayIn(2, "waits")
	w.a.agree(w.a.c.CloseChannel(w.a.now(), 2))
	w.a.do(w.a.c.RolledBack(w.a.now())) // the session is not used again
	w.a.restart()
	w.recovered()
	if v := w.b.channel(2); !v.Closed || len(w.b.textsIn(2)) != 0 {
		t.Errorf("after the close came %q; %+v", w.b.textsIn(2), v)
	}
	list, _ := w.a.c.TranscriptIn(w.a.now(), 2, 0)
	for _, m := range list {
		if m.Text == "waits" && m.State != channel.Expired || m.Text == "may have left" && m.State != channel.OnItsWay {
			t.Errorf("%q is %v", m.Text, m.State)
		}
	}
}

// TestAcceptedAfterTheClose has the other side's machine accept an extension after this
// side has closed, and after it has taken it back: nothing is kept for longer.
func TestAcceptedAfterTheClose(t *testing.T) {
	t.Parallel()
	for _, closed := range []bool{true, false} {
		w := opened(t, 23)
		deadline := w.a.channel(2).Deadline
		w.a.agree(w.a.c.AmendChannel(w.a.now(), 2, w.a.terms("river gauges", 300*24*time.Hour)))
		accept := rawAnswer(2, w.a.channel(2).Own.Digest())
		end := w.a.c.WithdrawDraft
		if closed {
			end = w.a.c.CloseChannel
		}
		_, out, err := end(w.a.now(), 2)
		if err != nil {
			t.Fatal(err)
		}
		w.a.do(out)
		w.b.inbox = nil // the other side's machine says that it has it, and does nothing
		w.b.do(w.b.c.SendControl(w.b.now(), wire.Control{Sent: w.b.c.Sent(), Received: w.a.c.Sent()}))
		w.settle()
		w.b.force(wire.FrameCharter, 2, accept)
		w.a.restart()
		if v := w.a.channel(2); v.Agreed.Extensions != 1 || v.Deadline != deadline {
			t.Errorf("closed %v: %d extensions, burned at %v and not %v", closed, v.Agreed.Extensions, v.Deadline, deadline)
		}
	}
}

// TestBurnedIsNotStored has frames of channels that were burned come before their turn,
// before the burning and after it.
func TestBurnedIsNotStored(t *testing.T) {
	t.Parallel()
	for name, burn := range map[string]func(s *side) (*channel.Output, error){
		"the channel":      func(s *side) (*channel.Output, error) { return s.c.BurnChannel(s.now(), 2) },
		"the conversation": func(s *side) (*channel.Output, error) { return s.c.Burn(s.now()), nil },
	} {
		w := opened(t, 25)
		early := func() {
			number := w.b.c.Sent() + 1
			w.b.do(w.b.c.SendFrame(w.b.now(), wire.Frame{
				Kind: wire.FrameText, Channel: 2, Number: number, Parts: 1, ID: wire.MessageID{byte(number)}, Content: []byte("text"),
			}))
			w.settle()
		}
		w.mangle = func(*wire.Box) []*wire.Box { return nil }
		w.b.sayIn(2, "missing")
		w.mangle = nil
		early()
		out, err := burn(w.a)
		if err != nil {
			t.Fatal(err)
		}
		w.a.do(out)
		early()
		frames := 0
		for r, err := range w.a.store.Scan(channel.KindInbound, w.a.id) {
			frames++
			if f, bad := wire.ParseFrame(r.Value); err != nil || bad != nil || len(f.Content) != 0 {
				t.Errorf("%s: %q is stored (%v, %v)", name, f.Content, err, bad)
			}
		}
		if frames != 2 {
			t.Errorf("%s: %d frames wait", name, frames)
		}
	}
}

// TestLinesMoveAtTheDeadline has a deadline come with the very call that names a line.
func TestLinesMoveAtTheDeadline(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(s *side, seq uint64) error{
		"recall": func(s *side, seq uint64) error { _, err := s.c.Recall(s.now(), seq); return err },
		"remove": func(s *side, seq uint64) error { _, _, err := s.c.Remove(s.now(), seq); return err },
		"edit":   func(s *side, seq uint64) error { _, _, err := s.c.Edit(s.now(), seq, "other"); return err },
	} {
		w := opened(t, 27)
		w.cut()
		_, out, err := w.a.c.SendIn(w.a.now(), 2, "burned")
		if err != nil {
			t.Fatal(err)
		}
		w.a.do(out)
		first, second := w.a.send("first"), w.a.send("second")
		w.now = w.now.Add(49 * time.Hour)
		if got := w.a.c.Current(w.a.now(), slices.Clone(out.Changed)); len(got) != 0 {
			t.Errorf("%s: told of %+v", name, got)
		}
		w.a.restart() // as it was stored before
		if err := call(w.a, second); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, m := range w.a.c.Transcript(0) {
			if m.Seq == first && m.Text != "first" || m.Seq == second && (name != "edit" || m.Text != "other") {
				t.Errorf("%s: line %d is %q", name, m.Seq, m.Text)
			}
		}
	}
}

// TestNextByAWrongClock is not asked at once again while a channel is withheld, and within
// a minute by a clock that is behind.
func TestNextByAWrongClock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 29)
	var others []time.Duration
	w.a.cfg.Stated = func(time.Time) []time.Duration { return others }
	w.a.restart()
	w.meet()
	w.b.agree(w.b.c.OpenChannel(w.b.now(), w.b.terms("river gauges", 2*time.Hour)))
	w.a.acceptPending(3)
	w.cut()
	for _, ahead := range []time.Duration{3 * time.Hour, -time.Hour} {
		w.a.ahead, others = ahead, slices.Repeat([]time.Duration{-ahead}, 3)
		w.a.do(w.a.c.Tick(w.a.now()))
		if d := w.a.c.Next(w.a.now()).Sub(w.a.now()); d < time.Second || d > time.Minute {
			t.Errorf("ahead by %v: it is asked again after %v", ahead, d)
		}
	}
}

// TestAheadOfTheOnlyOne opens a channel by a clock that is far ahead of the only other
// one. Set right, it is not held for one that was put back.
func TestAheadOfTheOnlyOne(t *testing.T) {
	t.Parallel()
	w := opened(t, 31)
	w.cut()
	w.a.ahead = 100 * 24 * time.Hour
	w.a.cfg.Stated = func(time.Time) []time.Duration { return []time.Duration{-w.a.ahead} }
	w.a.restart()
	w.a.agree(w.a.c.OpenChannel(w.a.now(), w.a.terms("far ahead", 102*24*time.Hour)))
	w.a.ahead = 0
	if v := w.a.channel(4); v.Trust != charter.ClockUnchecked {
		t.Errorf("set right, the clock is %v", v.Trust)
	}
}

// TestGivenUpByAWrongClock has a clock jump beyond a deadline, so that the peer is told that a
// text of the channel is owed no more, and the process ends before the channel's end is stored.
// By the right clock the channel goes on, and the text is sent under another number: it never
// stands as delivered without being there.
func TestGivenUpByAWrongClock(t *testing.T) {
	t.Parallel()
	for name, answered := range map[string]bool{"before the answer": false, "after it": true} {
		w := opened(t, 31)
		w.mangle = func(*wire.Box) []*wire.Box { return nil }
		w.a.sayIn(2, "kept")
		w.mangle = nil
		w.a.ahead = 49 * time.Hour
		w.a.send("outside")
		for answered && w.step() {
		}
		for len(w.b.inbox) > 0 {
			box := w.b.inbox[0]
			w.b.inbox = w.b.inbox[1:]
			w.b.do(w.b.c.Box(w.b.now(), w.b.link, box))
		}
		w.a.ahead = 0
		w.a.restart()
		w.connect()
		for range 60 {
			w.now = w.now.Add(time.Second)
			w.a.do(w.a.c.Tick(w.a.now()))
			w.b.do(w.b.c.Tick(w.b.now()))
			for w.step() {
				list, _ := w.a.c.TranscriptIn(w.a.now(), 2, 0)
				for _, m := range list {
					if m.Text == "kept" && m.State == channel.Delivered && !slices.Contains(w.b.textsIn(2), "kept") {
						t.Fatalf("%s: delivered, and not there", name)
					}
				}
			}
		}
		if got := w.b.textsIn(2); !slices.Equal(got, []string{"kept"}) {
			t.Errorf("%s: %q came", name, got)
		}
		if list, _ := w.a.c.TranscriptIn(w.a.now(), 2, 0); list[len(list)-1].State != channel.Delivered {
			t.Errorf("%s: it came, and is %v", name, list[len(list)-1].State)
		}
		if n := len(w.b.c.Transcript(0)); !slices.Contains(w.b.texts(channel.In), "outside") {
			t.Errorf("%s: what was said outside is not among %d lines", name, n)
		}
	}
}
