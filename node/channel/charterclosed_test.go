package channel_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store"
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

// TestTakenByAWrongClock has the reader's clock jump beyond the deadline of a channel, a text of it
// come, and the process end before the channel's end is stored. By the right clock the channel
// goes on: the text is there, and was not acknowledged before.
func TestTakenByAWrongClock(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"alone", "after one that is missing", "given up meanwhile"} {
		w := opened(t, 31)
		say := func(text string) uint64 {
			m, out, err := w.a.c.SendIn(w.a.now(), 2, text)
			if err != nil {
				t.Fatal(err)
			}
			w.a.do(out)
			return m.Seq
		}
		want := []string{"kept"}
		if name == "given up meanwhile" {
			w.mangle = func(*wire.Box) []*wire.Box { return nil }
			seqs := []uint64{say("first")}
			w.mangle = nil
			seqs = append(seqs, say("kept"))
			w.settle()
			for _, seq := range seqs {
				_, out, err := w.a.c.Remove(w.a.now(), seq)
				if err != nil {
					t.Fatal(err)
				}
				w.a.do(out)
			}
			w.b.ahead = 49 * time.Hour
			w.a.send("outside")
			w.settle()
			w.b.ahead = 0
			w.b.restart()
			w.connect()
			w.pass(time.Minute, time.Second)
			if got := w.b.textsIn(2); !slices.Equal(got, want) || w.a.channel(2).Closed {
				t.Errorf("%s: %q came, closed %v", name, got, w.a.channel(2).Closed)
			}
			continue
		}
		if name == "after one that is missing" {
			w.mangle = func(*wire.Box) []*wire.Box { return nil }
			say("first")
			w.mangle = nil
			want = []string{"first", "kept"}
		}
		w.b.ahead = 49 * time.Hour
		say("kept")
		w.settle()
		w.b.ahead = 0
		list, _ := w.a.c.TranscriptIn(w.a.now(), 2, 0)
		if m := list[len(list)-1]; m.Text != "kept" || m.State != channel.OnItsWay {
			t.Errorf("%s: %q is %v, and nobody has it", name, m.Text, m.State)
		}
		w.b.restart()
		w.connect()
		w.pass(time.Minute, time.Second)
		if got := w.b.textsIn(2); !slices.Equal(got, want) || w.a.channel(2).Closed {
			t.Errorf("%s: %q came, closed %v", name, got, w.a.channel(2).Closed)
		}
		w.b.ahead = 49 * time.Hour
		say("too late")
		w.settle()
		w.cut()
		w.b.do(w.b.c.Tick(w.b.now())) // with the end stored it goes on
		if waiting, _ := w.b.c.Stored(); waiting > 0 {
			t.Errorf("%s: %d wait for ever", name, waiting)
		}
		w.connect()
		w.pass(5*time.Second, time.Second)
		if v := w.a.channel(2); !v.Closed || len(w.a.c.Transcript(0)) > 0 {
			t.Errorf("%s: burned there, it is %+v", name, v)
		}
	}
}

// TestEndIsStoredWhole has a deadline come with a call, or a box, that stores something of channels,
// and the process end at once: what is stored is the end of the channel, and nothing of it is left.
func TestEndIsStoredWhole(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(w *world) *channel.Output{
		"a proposal": func(w *world) *channel.Output {
			_, out, err := w.a.c.OpenChannel(w.a.now(), w.a.terms("another", 99*time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			return out
		},
		"one of the other side": func(w *world) *channel.Output {
			_, out, err := w.b.c.OpenChannel(w.b.now(), w.b.terms("another", 99*time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			w.b.do(out)
			box := w.a.inbox[len(w.a.inbox)-1]
			return w.a.c.Box(w.a.now(), w.a.link, box)
		},
		"a sweep": func(w *world) *channel.Output { out, _ := w.a.c.Sweep(w.a.now()); return out },
		"a burn":  func(w *world) *channel.Output { return w.a.c.Burn(w.a.now()) },
		"a farewell": func(w *world) *channel.Output {
			for {
				out, done := w.a.c.Forget(w.a.now())
				if done {
					return out
				}
				w.a.do(out)
			}
		},
	} {
		w := opened(t, 33)
		w.a.sayIn(2, "of the channel")
		list, _ := w.a.c.TranscriptIn(w.a.now(), 2, 0)
		seq := list[len(list)-1].Seq
		w.a.ahead = 49 * time.Hour
		if err := w.a.store.Commit(call(w).Writes...); err != nil {
			t.Fatal(err)
		}
		w.a.ahead = 0
		for r, err := range w.a.store.Scan(channel.KindCharter, w.a.id) {
			if err != nil || r.Key.Seq == 2 {
				t.Errorf("%s: the charter is there (%v)", name, err)
			}
		}
		if name == "a farewell" {
			continue
		}
		w.a.restart()
		if v := w.a.channel(2); !v.Burned || len(w.a.textsIn(2)) > 0 {
			t.Errorf("%s: half of it is left: %+v", name, v)
		}
		w.a.do(w.a.c.Tick(w.a.now()))
		w.a.restart()
		if got := w.a.send("next"); got <= seq {
			t.Errorf("%s: line %d is numbered after %d", name, got, seq)
		}
	}
}

// TestPartsStayTogether has a text of a channel wait, since the clock is wrong, while the parts of
// a long one leave one by one, in boxes at drops. When it may leave it does so after them: else the
// reader would be told that a message is missing.
func TestPartsStayTogether(t *testing.T) {
	t.Parallel()
	d := metAtDrops(t, 214)
	w := d.w
	others := make([]time.Duration, 4)
	w.a.cfg.Stated = func(time.Time) []time.Duration { return others }
	w.a.restart()
	w.connect()
	w.pass(2*time.Second, time.Second)
	w.a.agree(w.a.c.OpenChannel(w.a.now(), w.a.terms("river gauges", 10*24*time.Hour)))
	w.b.acceptPending(2)
	w.cut()
	d.days(2, nil)
	_, out, err := w.a.c.SendIn(w.a.now(), 2, "of the channel")
	if err != nil {
		t.Fatal(err)
	}
	w.a.do(out)
	w.a.ahead, others = 11*24*time.Hour, slices.Repeat([]time.Duration{-11 * 24 * time.Hour}, 4)
	w.a.do(w.a.c.Tick(w.a.now()))
	long := strings.Repeat("long ", 4000)
	w.a.send(long)
	for range 3 {
		d.write(w.a)
	}
	w.a.ahead, others = 0, make([]time.Duration, 4)
	d.days(4, nil)
	if got := w.b.texts(channel.In); !slices.Equal(got, []string{long}) || !slices.Equal(w.b.textsIn(2), []string{"of the channel"}) {
		t.Errorf("%d texts came, and %q", len(got), w.b.textsIn(2))
	}
	if w.b.saw(channel.NoteMissing, start) {
		t.Error("the reader is told that a message is missing")
	}
}

// TestEndIsNotPutOff has a deadline come by the reader's clock, which is a little ahead, while much
// goes to and fro, as with a file. The owner asks after each event when there is something to do
// next: the end is stored soon all the same, and what was said after it is taken.
func TestEndIsNotPutOff(t *testing.T) {
	t.Parallel()
	w := opened(t, 31)
	w.cut()
	w.now = w.a.channel(2).Deadline.Add(-5 * time.Second)
	w.connect()
	w.pass(2*time.Second, time.Second)
	w.b.ahead = 10 * time.Second
	_, out, err := w.a.c.SendIn(w.a.now(), 2, "too late")
	if err != nil {
		t.Fatal(err)
	}
	w.a.do(out)
	w.a.send("after it")
	for range 20 {
		for w.step() {
		}
		w.b.send("answer")
		wake, next := w.b.c.Next(w.b.now()), w.b.now().Add(300*time.Millisecond)
		if w.now = w.now.Add(300 * time.Millisecond); !wake.After(next) {
			w.b.do(w.b.c.Tick(w.b.now()))
		}
	}
	if got := w.b.texts(channel.In); w.b.c.Lapsed() || !slices.Equal(got, []string{"after it"}) {
		t.Errorf("the end waits: %v; %q came", w.b.c.Lapsed(), got)
	}
}

// TestBurnedIsBlankInTheSessionBefore has a frame of a channel wait for its turn in the session
// before the one in use when the channel is burned; and it ends before it is blank.
func TestBurnedIsBlankInTheSessionBefore(t *testing.T) {
	t.Parallel()
	for _, off := range []bool{false, true} {
		d := metAtDrops(t, 214)
		w := d.w
		w.connect()
		w.pass(2*time.Second, time.Second)
		w.a.agree(w.a.c.OpenChannel(w.a.now(), w.a.terms("river gauges", 60*24*time.Hour)))
		w.b.acceptPending(2)
		w.cut()
		w.now = w.now.Add(31 * 24 * time.Hour)
		for range 30 {
			if w.b.c.Epoch() == 1 {
				d.days(1, nil)
			}
		}
		if w.b.c.Epoch() != 2 {
			t.Fatalf("session %d", w.b.c.Epoch())
		}
		const number = 1_000
		f := wire.Frame{Kind: wire.FrameText, Channel: 2, Number: number, Parts: 1, ID: wire.MessageID{1}, Content: []byte("text")}
		key := store.Key{Kind: channel.KindInbound, Object: w.b.id, Seq: 1<<32 | number}
		if err := w.b.store.Commit(store.Write{Key: key, Value: f.Append(nil)}); err != nil {
			t.Fatal(err)
		}
		w.b.restart()
		burn, err := w.b.c.BurnChannel(w.b.now(), 2)
		if err != nil {
			t.Fatal(err)
		}
		if w.b.do(burn); off {
			if err := w.b.store.Commit(store.Write{Key: key, Value: f.Append(nil)}); err != nil {
				t.Fatal(err)
			}
			w.b.restart()
			w.b.do(w.b.c.Tick(w.b.now()))
		}
		raw, err := w.b.store.Get(key)
		if err != nil {
			t.Fatal(err)
		}
		if kept, err := wire.ParseFrame(raw); err != nil || kept.Number != number || len(kept.Content) > 0 {
			t.Errorf("off %v: %q is stored (%v)", off, kept.Content, err)
		}
	}
}
