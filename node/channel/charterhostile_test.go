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

// force sends a frame that no honest machine would, and lets it arrive.
func (s *side) force(kind wire.FrameKind, n uint32, content []byte) {
	s.w.t.Helper()
	number := s.c.Sent() + 1
	s.do(s.c.SendFrame(s.now(), wire.Frame{
		Kind: kind, Channel: n, Number: number, Parts: 1, ID: wire.MessageID{byte(number), byte(number >> 8), 77}, Minute: uint32(s.now().Unix() / 60), Content: content,
	}))
	s.w.pass(2*time.Second, time.Second)
}

// A message of a charter, whatever it says: see docs/spec/charter.md.
func rawProposal(d charter.Draft) []byte {
	return d.Append(append([]byte{1, 1}, make([]byte, 32)...))
}
func rawAnswer(kind byte, d charter.Digest) []byte { return append([]byte{1, kind}, d[:]...) }

// next is the draft that follows what is agreed, but for what change does to it.
func next(v channel.ChannelView, change func(*charter.Draft)) charter.Draft {
	d := *v.Agreed
	d.Number, d.Before = v.Agreed.Number+1, v.Agreed.Digest()
	change(&d)
	return d
}

// TestHostileCharters has the accepter's machine say whatever could make the inviter's
// hold for agreed, or take, what its person did not accept.
func TestHostileCharters(t *testing.T) {
	t.Parallel()
	week := uint32(7 * 24 * 60)
	for name, play := range map[string]func(w *world, a, b *side){
		"accepts what nobody proposed": func(_ *world, _, b *side) {
			b.force(wire.FrameCharter, 2, rawAnswer(2, charter.Digest{9}))
			b.force(wire.FrameCharter, 3, rawAnswer(2, charter.Digest{9}))
		},
		"makes it publishable": func(_ *world, a, b *side) {
			b.force(wire.FrameCharter, 2, rawProposal(next(a.channel(2), func(d *charter.Draft) { d.Kind = charter.Publishable })))
		},
		"makes it publishable, as if nothing were agreed": func(_ *world, a, b *side) {
			b.force(wire.FrameCharter, 2, rawProposal(next(a.channel(2), func(d *charter.Draft) { d.Kind, d.Before = charter.Publishable, charter.Digest{} })))
		},
		"extends, and accepts that itself": func(_ *world, a, b *side) {
			d := next(a.channel(2), func(d *charter.Draft) { d.Deadline += week; d.Extensions++ })
			b.force(wire.FrameCharter, 2, rawProposal(d))
			b.force(wire.FrameCharter, 2, rawAnswer(2, d.Digest()))
			on := charter.Draft{Terms: d.Terms, Channel: 2, Number: d.Number + 1, Extensions: d.Extensions, Before: d.Digest()}
			b.force(wire.FrameCharter, 2, rawProposal(on)) // as if it had been accepted
		},
		"extends, and does not count it": func(_ *world, a, b *side) {
			b.force(wire.FrameCharter, 2, rawProposal(next(a.channel(2), func(d *charter.Draft) { d.Deadline += week })))
		},
		"proposes a deadline that has passed": func(_ *world, a, b *side) {
			b.force(wire.FrameCharter, 2, rawProposal(next(a.channel(2), func(d *charter.Draft) { d.Deadline = 5 })))
		},
		"proposes a deadline in ten years": func(_ *world, a, b *side) {
			b.force(wire.FrameCharter, 2, rawProposal(next(a.channel(2), func(d *charter.Draft) { d.Deadline += 520 * week; d.Extensions++ })))
		},
		"says an old acceptance again": func(_ *world, a, b *side) {
			old := a.channel(2).Agreed.Digest()
			a.agree(a.c.AmendChannel(a.now(), 2, a.terms("river gauges", 90*time.Hour)))
			b.force(wire.FrameCharter, 2, rawAnswer(2, old))
		},
		"opens a channel under a number of the other's": func(_ *world, a, b *side) {
			d := *a.channel(2).Agreed
			d.Channel = 4
			b.force(wire.FrameCharter, 4, rawProposal(d))
		},
		"proposes for one channel in another": func(_ *world, a, b *side) {
			d := *a.channel(2).Agreed
			d.Channel = 5
			b.force(wire.FrameCharter, 3, rawProposal(d))
		},
		"turns a name around": func(_ *world, a, b *side) {
			d := *a.channel(2).Agreed
			d.Channel, d.Name = 3, "river\u202esegaug"
			b.force(wire.FrameCharter, 3, rawProposal(d))
		},
		"drafts a communiqué in a secret channel": func(_ *world, _, b *side) {
			b.force(wire.FrameCommunique, 2, append([]byte{2, 0, 2}, "text\n"...))
			b.force(wire.FrameCommunique, 2, []byte{1})
			b.force(wire.FrameCommunique, 3, append([]byte{2, 0, 2}, "text\n"...))
		},
		"sends a file, a mandate and a shuttle in a channel": func(_ *world, _, b *side) {
			for _, kind := range []wire.FrameKind{wire.FrameFile, wire.FrameMandate, wire.FrameShuttle, wire.FrameIntroduction, wire.FrameSounding} {
				b.force(kind, 2, []byte{1, 2, 3})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := opened(t, 11)
			before := w.a.channel(2)
			play(w, w.a, w.b)
			after := w.a.channel(2)
			if after.Phase != charter.Open || after.Agreed.Digest() != before.Agreed.Digest() {
				t.Errorf("agreed is %+v in %v", after.Agreed, after.Phase)
			}
			if n := len(w.a.c.Channels(w.a.now())); n != 1 {
				t.Errorf("%d channels", n)
			}
			for _, n := range []uint32{channel.Open, 2} {
				if v, err := w.a.c.Communique(w.a.now(), n); err != nil || len(v.Drafts) != 0 {
					t.Errorf("drafts: %+v, %v", v, err)
				}
			}
			if p := after.Pending; p != nil && name != "extends, and accepts that itself" {
				t.Errorf("a person is asked: %+v", p)
			}
			w.a.restart()
			if again := w.a.channel(2); again.Agreed.Digest() != before.Agreed.Digest() {
				t.Errorf("and after a restart: %+v", again.Agreed)
			}
		})
	}
}

// TestHostileTexts sends texts where nothing flows: before the acceptance, after the
// close, and in a channel that was burned. None is taken, then or later.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 13)
	w.meet()
	w.a.agree(w.a.c.OpenChannel(w.a.now(), w.a.terms("early", 48*time.Hour)))
	accept := rawAnswer(2, w.b.channel(2).Pending.Digest())
	w.b.force(wire.FrameText, 2, []byte("before the acceptance"))
	w.b.force(wire.FrameCharter, 2, accept)
	w.b.force(wire.FrameText, 2, []byte("after it"))
	if v := w.a.channel(2); v.Phase != charter.Closed || slices.Contains(w.a.textsIn(2), "before the acceptance") {
		t.Errorf("a text before the acceptance: %v, %q", v.Phase, w.a.textsIn(2))
	}
	w.a.agree(w.a.c.OpenChannel(w.a.now(), w.a.terms("closed", 48*time.Hour)))
	w.b.acceptPending(4)
	w.b.sayIn(4, "good")
	w.b.force(wire.FrameCharter, 4, charter.CloseMessage())
	w.b.force(wire.FrameText, 4, []byte("after the close"))
	if got := w.a.textsIn(4); !slices.Equal(got, []string{"good"}) {
		t.Errorf("taken: %q", got)
	}
	out, err := w.a.c.BurnChannel(w.a.now(), 2)
	w.a.agree(channel.ChannelView{}, out, err)
	d := charter.Draft{Terms: w.a.terms("again", 48*time.Hour), Channel: 2, Number: 1}
	w.b.force(wire.FrameText, 2, []byte("after the burning"))
	w.b.force(wire.FrameCharter, 2, rawProposal(d))
	w.b.agree(w.b.c.OpenChannel(w.b.now(), w.b.terms("third", 48*time.Hour)))
	out, err = w.a.c.BurnChannel(w.a.now(), 3)
	w.a.agree(channel.ChannelView{}, out, err)
	d.Channel = 3
	w.b.force(wire.FrameCharter, 3, rawProposal(d))
	w.a.restart()
	for _, n := range []uint32{2, 3} {
		if v := w.a.channel(n); !v.Burned {
			t.Errorf("channel %d is %+v", n, v)
		}
	}
	if in := w.a.texts(channel.In); len(in) != 0 {
		t.Errorf("taken: %q", in)
	}
}

// TestAmendedToRelays has a text wait while both agree that texts go over relays alone.
// It does not leave by a direct connection.
func TestAmendedToRelays(t *testing.T) {
	t.Parallel()
	w := opened(t, 21)
	relays := w.a.terms("river gauges", 48*time.Hour)
	relays.Route = charter.RouteRelays
	w.a.agree(w.a.c.AmendChannel(w.a.now(), 2, relays))
	w.cut()
	w.b.sayIn(2, "written before")
	w.b.acceptPending(2)
	w.connect()
	w.pass(5*time.Second, time.Second)
	if v := w.a.channel(2); v.Agreed.Route != charter.RouteRelays || len(w.a.textsIn(2)) != 0 {
		t.Errorf("%v, %q", v.Agreed.Route, w.a.textsIn(2))
	}
	if _, _, err := w.b.c.SendIn(w.b.now(), 2, "more"); !errors.Is(err, channel.ErrCharterRoute) {
		t.Errorf("a text against the charter: %v", err)
	}
}

// TestOldAcceptance has an acceptance wait longer than a message lives. It still comes,
// and before the texts that were written after it.
func TestOldAcceptance(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 19)
	w.meet()
	w.a.agree(w.a.c.OpenChannel(w.a.now(), w.a.terms("river gauges", 60*24*time.Hour)))
	w.cut()
	w.b.acceptPending(2)
	w.b.sayIn(2, "too old")
	w.now = w.now.Add(10 * 24 * time.Hour)
	w.b.sayIn(2, "still good")
	for range 20 {
		w.now = w.now.Add(12 * time.Hour)
		w.b.do(w.b.c.Tick(w.b.now()))
		if next := w.b.c.Next(w.b.now()); !next.After(w.b.now()) {
			t.Fatal("it is never at rest")
		}
	}
	w.b.sayIn(2, "new")
	w.b.restart()
	w.connect()
	w.pass(time.Minute, time.Second)
	if v := w.a.channel(2); v.Phase != charter.Open || !slices.Equal(w.a.textsIn(2), []string{"still good", "new"}) {
		t.Errorf("%v, %q", v.Phase, w.a.textsIn(2))
	}
}

// TestAmendedToSecret drafts and proposes in a publishable channel that is agreed to
// become secret: nothing is begun any more, and it never becomes publishable again.
func TestAmendedToSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 15)
	w.meet()
	open := w.a.terms("wells", 48*time.Hour)
	open.Kind = charter.Publishable
	w.a.agree(w.a.c.OpenChannel(w.a.now(), open))
	w.b.acceptPending(2)
	draft := func(s *side, n uint32, text string) error {
		_, out, err := s.c.Draft(s.now(), n, text)
		if err == nil {
			s.agree(channel.ChannelView{}, out, nil)
		}
		return err
	}
	if err := errors.Join(draft(w.a, 2, "one"), draft(w.b, 2, "two")); err != nil {
		t.Fatal(err)
	}
	shown, err := w.a.c.DraftText(2, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.a.c.Sign(w.a.now(), 2, 1, shown.Digest, w.a.now().Add(72*time.Hour), true); !errors.Is(err, channel.ErrSigningTime) {
		t.Errorf("a signing that outlives its channel: %v", err)
	}
	if _, _, err := w.a.c.Sign(w.a.now(), channel.Open, 1, shown.Digest, w.a.now().Add(time.Hour), true); !errors.Is(err, channel.ErrNotPublishable) {
		t.Errorf("a draft of a channel is signed outside of it: %v", err)
	}
	if v, err := w.b.c.Communique(w.b.now(), 2); err != nil || len(v.Drafts) != 2 {
		t.Fatalf("%+v, %v", v, err)
	}
	w.a.agree(w.a.c.AmendChannel(w.a.now(), 2, w.a.terms("wells", 48*time.Hour)))
	w.b.acceptPending(2)
	for _, s := range []*side{w.a, w.b} {
		if err := draft(s, 2, "three"); !errors.Is(err, channel.ErrStaysSecret) {
			t.Errorf("%s: drafts in a secret channel: %v", s.name, err)
		}
		if err := draft(s, channel.Open, "three"); !errors.Is(err, channel.ErrSecret) {
			t.Errorf("%s: drafts beside a secret channel: %v", s.name, err)
		}
		if _, _, err := s.c.Sign(s.now(), 2, 1, [32]byte{}, s.now().Add(time.Hour), true); !errors.Is(err, channel.ErrStaysSecret) {
			t.Errorf("%s: signs in a secret channel: %v", s.name, err)
		}
		if _, _, err := s.c.AmendChannel(s.now(), 2, open); !errors.Is(err, charter.ErrKind) {
			t.Errorf("%s: makes it publishable again: %v", s.name, err)
		}
	}
}

// TestSigningBurnsWithItsChannel burns a channel in the middle of a signing, and has its
// deadline come.
func TestSigningBurnsWithItsChannel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 23)
	w.meet()
	terms := w.a.terms("wells", 2*time.Hour)
	terms.Kind = charter.Publishable
	w.a.agree(w.a.c.OpenChannel(w.a.now(), terms))
	w.b.acceptPending(2)
	draft, out, err := w.a.c.Draft(w.a.now(), 2, "one")
	w.a.agree(channel.ChannelView{}, out, err)
	_, out, err = w.a.c.Sign(w.a.now(), 2, 1, draft.Digest, w.a.now().Add(119*time.Minute), false)
	w.a.agree(channel.ChannelView{}, out, err)
	records := func(s *side) (n int) {
		for _, err := range s.store.Scan(channel.KindCommunique, s.id) {
			if n++; err != nil {
				t.Fatal(err)
			}
		}
		return n
	}
	if records(w.a) != 1 || records(w.b) != 1 {
		t.Fatal("nothing is being signed")
	}
	out, err = w.a.c.BurnChannel(w.a.now(), 2)
	if err != nil {
		t.Fatal(err)
	}
	w.a.do(out)
	for done := false; !done; {
		out, done = w.a.c.Sweep(w.a.now())
		w.a.do(out)
	}
	if n := records(w.a); n != 0 {
		t.Errorf("burned: %d records of signings are left", n)
	}
	w.cut()
	w.now = w.now.Add(2 * time.Hour)
	w.b.restart()
	for _, s := range []*side{w.a, w.b} {
		s.do(s.c.Tick(s.now()))
		if n := records(s); n != 0 {
			t.Errorf("%s: %d records of signings are left", s.name, n)
		}
	}
}

// TestNoReceipts agrees on a channel without receipts. Nobody is shown what has arrived:
// not by a state, nor by an event, nor by a count.
func TestNoReceipts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 17)
	w.meet()
	terms := w.a.terms("wells", 48*time.Hour)
	terms.Receipts = charter.ReceiptsNone
	w.a.agree(w.a.c.OpenChannel(w.a.now(), terms))
	w.b.acceptPending(2)
	_, out, err := w.a.c.SendIn(w.a.now(), 2, "silent")
	if err != nil {
		t.Fatal(err)
	}
	waiting := w.a.c.View().Waiting
	state := func() channel.State {
		list, err := w.a.c.TranscriptIn(w.a.now(), 2, 0)
		if err != nil || len(list) == 0 {
			t.Fatal(err)
		}
		return list[len(list)-1].State
	}
	w.a.do(out)
	if got := state(); got != channel.OnItsWay {
		t.Fatalf("sent: %v", got)
	}
	told := 0
	for range 5 {
		w.now = w.now.Add(time.Second)
		w.b.do(w.b.c.Tick(w.b.now()))
		outs := []*channel.Output{w.a.c.Tick(w.a.now())}
		for len(w.b.inbox) > 0 {
			box := w.b.inbox[0]
			w.b.inbox = w.b.inbox[1:]
			w.b.do(w.b.c.Box(w.b.now(), w.b.link, box))
		}
		for len(w.a.inbox) > 0 {
			outs = append(outs, w.a.c.Box(w.a.now(), w.a.link, w.a.inbox[0]))
			w.a.inbox = w.a.inbox[1:]
		}
		for _, out := range outs {
			told += len(out.Changed)
			w.a.do(out)
		}
	}
	if got := w.b.textsIn(2); !slices.Equal(got, []string{"silent"}) {
		t.Fatalf("%q", got)
	}
	if got := state(); got != channel.OnItsWay || told != 0 || w.a.c.View().Waiting != waiting {
		t.Errorf("arrived: %v, %d events, %d wait of %d", got, told, w.a.c.View().Waiting, waiting)
	}
	w.a.restart()
	if got := state(); got != channel.OnItsWay {
		t.Errorf("after a restart: %v", got)
	}
}
