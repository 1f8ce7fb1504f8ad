package channel_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/charter"
	"github.com/backchannel/backchannel/protocol/wire"
)

func (s *side) terms(name string, life time.Duration) charter.Terms {
	return charter.Terms{
		Name: name, Purpose: "agree a first joint reading", Kind: charter.Secret, Route: charter.RouteDirect,
		Receipts: charter.ReceiptsLate, Deadline: uint32(s.w.now.Add(life).Unix() / 60),
	}
}

// agree carries out what a person decided about a channel, and lets it arrive.
func (s *side) agree(v channel.ChannelView, out *channel.Output, err error) channel.ChannelView {
	s.w.t.Helper()
	if err != nil {
		s.w.t.Fatal(err)
	}
	s.do(out)
	s.w.pass(2*time.Second, time.Second)
	return v
}

func (s *side) channel(n uint32) channel.ChannelView {
	s.w.t.Helper()
	v, err := s.c.Channel(s.now(), n)
	if err != nil {
		s.w.t.Fatal(err)
	}
	return v
}

func (s *side) acceptPending(n uint32) channel.ChannelView {
	s.w.t.Helper()
	p := s.channel(n).Pending
	if p == nil {
		s.w.t.Fatal("nothing waits for an answer")
	}
	return s.agree(s.c.AcceptChannel(s.now(), n, p.Digest()))
}

// sayIn sends a text in a channel, and lets it arrive.
func (s *side) sayIn(n uint32, text string) {
	s.w.t.Helper()
	_, out, err := s.c.SendIn(s.now(), n, text)
	if err != nil {
		s.w.t.Fatal(err)
	}
	s.do(out)
	s.w.pass(2*time.Second, time.Second)
}

func (s *side) textsIn(n uint32) (texts []string) {
	list, _ := s.c.TranscriptIn(s.now(), n, 0)
	for _, m := range list {
		if m.Craft == channel.NoCraft {
			texts = append(texts, m.Text)
		}
	}
	return texts
}

// opened is a world in which a channel, the inviter's first, is open.
func opened(t *testing.T, seed byte) *world {
	t.Helper()
	w := newWorld(t, seed)
	w.meet()
	v := w.a.agree(w.a.c.OpenChannel(w.a.now(), w.a.terms("river gauges", 48*time.Hour)))
	if v.Number != 2 {
		t.Fatalf("channel %d", v.Number)
	}
	w.b.acceptPending(2)
	if a, b := w.a.channel(2), w.b.channel(2); a.Phase != charter.Open || b.Phase != charter.Open || a.Agreed.Digest() != b.Agreed.Digest() {
		t.Fatalf("%v and %v", a.Phase, b.Phase)
	}
	return w
}

// TestChannel plays a channel from its first draft to its deadline, with restarts of
// both sides between all steps.
func TestChannel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.meet()
	again := func() { w.a.restart(); w.b.restart(); w.connect(); w.pass(2*time.Second, time.Second) }
	w.a.agree(w.a.c.OpenChannel(w.a.now(), w.a.terms("river gauges", 48*time.Hour)))
	for _, s := range []*side{w.a, w.b} {
		if _, _, err := s.c.SendIn(s.now(), 2, "early"); !errors.Is(err, channel.ErrNotAgreed) {
			t.Fatalf("%s: a text before both accepted: %v", s.name, err)
		}
	}
	again()
	w.b.acceptPending(2)
	again()
	w.a.sayIn(2, "one")
	w.b.sayIn(2, "two")
	w.a.send("outside")
	w.settle()
	again()
	for _, s := range []*side{w.a, w.b} {
		if got := s.textsIn(2); !slices.Equal(got, []string{"one", "two"}) {
			t.Fatalf("%s: %q", s.name, got)
		}
	}
	if slices.Contains(w.b.texts(channel.In), "one") || !slices.Contains(w.b.texts(channel.In), "outside") {
		t.Fatal("the channel and the conversation are mixed")
	}
	w.b.agree(w.b.c.AmendChannel(w.b.now(), 2, w.b.terms("river gauges", 72*time.Hour)))
	if w.a.channel(2).Agreed.Extensions != 0 {
		t.Fatal("an extension counts before it is accepted")
	}
	again()
	w.a.acceptPending(2)
	open := w.a.terms("river gauges", 72*time.Hour)
	open.Kind = charter.Publishable
	if _, _, err := w.a.c.AmendChannel(w.a.now(), 2, open); !errors.Is(err, charter.ErrKind) {
		t.Fatalf("a secret channel is made publishable: %v", err)
	}
	if _, _, err := w.a.c.Draft(w.a.now(), channel.Open, "text"); !errors.Is(err, channel.ErrSecret) {
		t.Fatalf("a communiqué beside a secret channel: %v", err)
	}
	again()
	for _, s := range []*side{w.a, w.b} {
		if v := s.channel(2); v.Agreed.Extensions != 1 {
			t.Fatalf("%s: %d extensions", s.name, v.Agreed.Extensions)
		}
	}
	w.cut() // the second is off at the deadline
	old := w.b.c
	w.now = w.now.Add(73 * time.Hour)
	w.a.do(w.a.c.Tick(w.a.now()))
	w.b.restart()
	for _, s := range []*side{w.a, w.b} {
		if v := s.channel(2); !v.Burned || v.Agreed != nil {
			t.Fatalf("%s: %+v", s.name, v)
		}
		if _, err := s.c.TranscriptIn(s.now(), 2, 0); !errors.Is(err, channel.ErrBurned) {
			t.Fatalf("%s: read after the deadline: %v", s.name, err)
		}
	}
	old.Close()
	w.b.do(w.b.c.Tick(w.b.now()))
	for _, s := range []*side{w.a, w.b} {
		for r, err := range s.store.Scan(channel.KindMessage, s.id) {
			if m, bad := channel.ParseMessage(r.Key.Seq, r.Value); err != nil || bad != nil || m.Channel > channel.Open {
				t.Fatalf("%s: a line of the channel is stored: %v", s.name, err)
			}
		}
		n := 0
		for r, err := range s.store.Scan(channel.KindCharter, s.id) {
			if n++; err != nil || r.Key.Seq != 0 {
				t.Fatalf("%s: the charter is stored", s.name)
			}
		}
		if n != 1 {
			t.Fatalf("%s: %d records say which numbers were used", s.name, n)
		}
	}
	again()
	w.a.send("after")
	w.settle()
	if got := w.a.agree(w.a.c.OpenChannel(w.a.now(), w.a.terms("again", time.Hour))); got.Number != 4 {
		t.Fatalf("the number of a burned channel is given out again: %d", got.Number)
	}
	w.checkAll()
}

// TestChannelEnds declines, withdraws, closes and burns.
func TestChannelEnds(t *testing.T) {
	t.Parallel()
	w := opened(t, 3)
	w.b.agree(w.b.c.OpenChannel(w.b.now(), w.b.terms("third", time.Hour)))
	w.a.agree(w.a.c.DeclineChannel(w.a.now(), 3, w.a.channel(3).Pending.Digest()))
	if a, b := w.a.channel(3).Phase, w.b.channel(3).Phase; a != charter.Declined || b != charter.Declined {
		t.Fatalf("%v and %v", a, b)
	}
	w.b.agree(w.b.c.AmendChannel(w.b.now(), 2, w.b.terms("other", time.Hour)))
	w.b.agree(w.b.c.WithdrawDraft(w.b.now(), 2))
	if w.a.channel(2).Pending != nil || w.b.channel(2).Own != nil {
		t.Fatal("a draft that was withdrawn stands")
	}
	w.a.sayIn(2, "one")
	w.b.agree(w.b.c.CloseChannel(w.b.now(), 2))
	for _, s := range []*side{w.a, w.b} {
		if _, _, err := s.c.SendIn(s.now(), 2, "late"); !errors.Is(err, charter.ErrEnded) {
			t.Fatalf("%s: a text in a closed channel: %v", s.name, err)
		}
		if got := s.textsIn(2); !slices.Equal(got, []string{"one"}) {
			t.Fatalf("%s: %q", s.name, got)
		}
	}
	w.a.agree(w.a.c.OpenChannel(w.a.now(), w.a.terms("fourth", time.Hour)))
	w.b.acceptPending(4)
	out, err := w.a.c.BurnChannel(w.a.now(), 4)
	w.a.agree(channel.ChannelView{}, out, err)
	if a, b := w.a.channel(4), w.b.channel(4); !a.Burned || !b.Closed {
		t.Fatalf("after burning: %+v, %+v", a, b)
	}
}

// TestUnknownChannel sends what belongs to no channel. The answer closes it, and
// nobody answers that.
func TestUnknownChannel(t *testing.T) {
	t.Parallel()
	w := opened(t, 5)
	n := w.b.c.Sent()
	for i, f := range []wire.Frame{
		{Kind: wire.FrameText, Channel: 3, Content: []byte("text")},
		{Kind: wire.FrameCharter, Channel: 900, Content: charter.CloseMessage()},
		{Kind: wire.FrameCharter, Channel: 0, Content: charter.CloseMessage()},
		{Kind: wire.FrameCharter, Channel: 1 << 31, Content: []byte("garbage")},
	} {
		f.Number, f.Parts, f.ID = n+1+uint32(i), 1, wire.MessageID{byte(i + 1)}
		before := w.a.c.Sent()
		w.b.do(w.b.c.SendFrame(w.b.now(), f))
		w.pass(3*time.Second, time.Second)
		want := uint32(1)
		if i == 1 || i == 2 {
			want = 0
		}
		if got := w.a.c.Sent() - before; got != want {
			t.Errorf("frame %d: %d answers, want %d", i, got, want)
		}
	}
}

// TestFloodOfDrafts withdraws and proposes without end: the channel is closed, and
// what is kept stays bounded.
func TestFloodOfDrafts(t *testing.T) {
	t.Parallel()
	w := opened(t, 7)
	for i := range 200 {
		_, out, err := w.b.c.AmendChannel(w.b.now(), 2, w.b.terms("flood", time.Duration(i+60)*time.Minute))
		if err != nil {
			if !errors.Is(err, charter.ErrTooMany) || i < 20 {
				t.Fatalf("draft %d: %v", i, err)
			}
			break
		}
		w.b.agree(channel.ChannelView{}, out, nil)
		w.b.agree(w.b.c.WithdrawDraft(w.b.now(), 2))
	}
	for range 30 {
		_, out, err := w.b.c.OpenChannel(w.b.now(), w.b.terms("many", time.Hour))
		if err != nil {
			break
		}
		w.b.agree(channel.ChannelView{}, out, nil)
	}
	if n := len(w.a.c.Channels(w.a.now())); n > 16 {
		t.Errorf("%d channels", n)
	}
}

// TestWrongClock has a clock ahead of three others: nothing of the channel is shown,
// and nothing burned; set right, it is there again. Put back with nobody to ask, a
// clock revives nothing.
func TestWrongClock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 9)
	var others []time.Duration
	w.a.cfg.Stated = func(time.Time) []time.Duration { return others }
	w.meet()
	w.a.restart() // with the clock
	w.connect()
	w.pass(2*time.Second, time.Second)
	w.b.agree(w.b.c.OpenChannel(w.b.now(), w.b.terms("river gauges", 2*time.Hour)))
	w.a.acceptPending(3)
	w.a.sayIn(3, "one")
	w.cut()
	w.a.ahead = 3 * time.Hour
	others = []time.Duration{-3 * time.Hour, -3 * time.Hour, -3 * time.Hour}
	w.a.do(w.a.c.Tick(w.a.now()))
	if v := w.a.channel(3); v.Passing != charter.Withheld || v.Agreed != nil || v.Trust != charter.ClockAhead {
		t.Fatalf("ahead: %+v", v)
	}
	if _, err := w.a.c.TranscriptIn(w.a.now(), 3, 0); !errors.Is(err, charter.ErrClock) {
		t.Fatalf("read by a clock that is ahead: %v", err)
	}
	if _, _, err := w.a.c.OpenChannel(w.a.now(), w.a.terms("more", 9*time.Hour)); !errors.Is(err, charter.ErrClock) {
		t.Fatalf("proposed by a clock that is ahead: %v", err)
	}
	w.a.ahead, others = 0, nil
	if got := w.a.textsIn(3); !slices.Equal(got, []string{"one"}) {
		t.Fatalf("set right: %q", got)
	}
	w.now = w.now.Add(90 * time.Minute)
	w.a.do(w.a.c.Tick(w.a.now())) // the floor
	w.a.ahead = -24 * time.Hour
	w.a.restart()
	if v := w.a.channel(3); v.Trust != charter.ClockPutBack || v.Passing != charter.Running {
		t.Fatalf("put back: %v, %v", v.Trust, v.Passing)
	}
	w.a.ahead = 0
	w.now = w.now.Add(time.Hour)
	w.a.do(w.a.c.Tick(w.a.now()))
	w.a.ahead = -24 * time.Hour
	w.a.restart()
	if !w.a.channel(3).Burned {
		t.Fatal("a clock that was put back revives a channel")
	}
}
