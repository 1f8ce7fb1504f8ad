package channel_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/wire"
)

// agreedAt is when the soundings of these tests end, and windowAt when they begin.
var (
	agreedAt = start.Add(4 * time.Hour)
	windowAt = agreedAt.Add(-2 * time.Hour)
)

// sound has a side name topics; a zero time is the sounding that is open.
func (s *side) sound(at time.Time, topics ...string) {
	s.w.t.Helper()
	_, out, err := s.c.Sound(s.now(), at, topics)
	if err != nil {
		s.w.t.Fatalf("%s: %v", s.name, err)
	}
	s.do(out)
	s.w.settle()
}

func (s *side) sounding() channel.SoundingView {
	s.w.t.Helper()
	list, _ := s.c.Soundings(s.now())
	if len(list) == 0 {
		return channel.SoundingView{}
	}
	return list[len(list)-1]
}

// passTo lets time go by up to a moment.
func (w *world) passTo(at time.Time) { w.pass(at.Sub(w.now), 30*time.Second) }

func (w *world) wantSounding(what string, state channel.SoundingState, topics ...string) {
	w.t.Helper()
	for _, s := range []*side{w.a, w.b} {
		got := s.sounding()
		var common []string
		for _, c := range got.Common {
			common = append(common, c.Topic)
		}
		if got.State != state || !slices.Equal(common, topics) {
			w.t.Errorf("%s: %s: %q with %q, want %q with %q", what, s.name, got.State, common, state, topics)
		}
	}
}

// TestSounding has two people name a topic each in its own spelling, with clocks that
// differ and restarts between all steps.
func TestSounding(t *testing.T) {
	w := newWorld(t, 60)
	w.b.ahead = -3 * time.Minute
	w.meet()
	w.a.sound(agreedAt, "Embassy  REOPENING", "gauges")
	w.b.sound(time.Time{}, "dams", "embassy reopening")
	again := func() {
		w.a.restart()
		w.b.restart()
		w.connect()
		w.settle()
	}
	again()
	w.wantSounding("named", channel.SoundingOpen)
	for w.now.Before(agreedAt) {
		w.pass(10*time.Minute, 30*time.Second)
		again()
		if w.now.After(windowAt.Add(5*time.Minute)) && w.now.Before(agreedAt) {
			w.wantSounding("in the window", channel.SoundingRuns)
		}
	}
	w.pass(5*time.Minute, 30*time.Second)
	w.wantSounding("at the agreed time", channel.SoundingBoth, "embassy reopening")
	for _, s := range []*side{w.a, w.b} {
		if got := s.sounding(); got.Answered != 21 || got.Common[0].Bits != 40 || len(got.Topics) != 0 {
			t.Errorf("%s ends with %+v", s.name, got)
		}
	}
	again()
	w.wantSounding("after a restart", channel.SoundingBoth, "embassy reopening")
}

// TestSilenceNoAndNotLookedAreAlike plays one sounding four times: the second side's
// owner never looks, names something else, names the same and takes it back, or names
// as much as goes. What travels and when, what the first side sees, and what is left
// at the second, must be the same.
func TestSilenceNoAndNotLookedAreAlike(t *testing.T) {
	type seen struct {
		Trace    []string
		Lines    [2][]string
		Sounding [2]channel.SoundingView
	}
	var first seen
	for i, owner := range []func(*side){
		func(*side) {},
		func(s *side) { s.sound(time.Time{}, "something else") },
		func(s *side) {
			s.sound(time.Time{}, "gauges")
			out, err := s.c.DropSounding(s.now())
			if err != nil {
				t.Fatal(err)
			}
			s.do(out)
		},
		func(s *side) { s.sound(time.Time{}, "1", "2", "3", "4", "5", "6", "7", "8") },
	} {
		w := newWorld(t, 61)
		w.meet()
		var got seen
		w.mangle = func(b *wire.Box) []*wire.Box {
			got.Trace = append(got.Trace, fmt.Sprint(w.now.Format(time.TimeOnly), " ", len(b)))
			return []*wire.Box{b}
		}
		w.a.sound(agreedAt, "gauges")
		owner(w.b)
		w.passTo(agreedAt.Add(2 * time.Minute))
		for n, s := range []*side{w.a, w.b} {
			for _, m := range s.c.Transcript(0) {
				got.Lines[n] = append(got.Lines[n], fmt.Sprint(m.Direction, m.Seq, m.Minute, m.Text))
			}
			got.Sounding[n] = s.sounding()
		}
		if i == 0 {
			first = got
			if first.Sounding[0].State != channel.SoundingNone || first.Sounding[0].Answered != 21 {
				t.Fatalf("the first side sees %+v", first.Sounding[0])
			}
		}
		if !slices.Equal(got.Trace, first.Trace) {
			t.Errorf("owner %d: %d boxes travelled and %d when nobody looked, or at other times", i, len(got.Trace), len(first.Trace))
		}
		if got.Trace = first.Trace; !reflect.DeepEqual(got, first) {
			t.Errorf("owner %d: what is seen is\n%+v, and when nobody looked\n%+v", i, got, first)
		}
	}
}

// TestSoundingOverAbsence has the second side away for most of the window, and then
// until after the agreed time.
func TestSoundingOverAbsence(t *testing.T) {
	w := newWorld(t, 62)
	w.meet()
	w.a.sound(agreedAt, "gauges")
	w.b.sound(time.Time{}, "gauges")
	w.cut()
	w.passTo(agreedAt.Add(-3 * time.Minute))
	w.connect()
	w.pass(2*time.Minute, 5*time.Second)
	w.wantSounding("before the agreed time", channel.SoundingRuns)
	w.passTo(agreedAt.Add(time.Minute))
	w.wantSounding("late, but whole", channel.SoundingBoth, "gauges")

	next := agreedAt.Add(8 * 24 * time.Hour)
	w.now = next.Add(-5 * time.Hour)
	w.connect()
	w.settle()
	w.a.sound(next, "gauges")
	w.b.sound(time.Time{}, "gauges")
	w.cut()
	w.now = next.Add(26 * time.Hour)
	w.b.restart()
	w.wantSounding("a machine that only looks", channel.SoundingNone)
	w.connect()
	w.pass(2*time.Minute, 30*time.Second)
	w.wantSounding("after the agreed time", channel.SoundingNone)
}

// TestSoundingBudget holds each side to one sounding a week, over restarts, burning,
// and a peer who calls as often as it likes.
func TestSoundingBudget(t *testing.T) {
	w := newWorld(t, 63)
	w.meet()
	w.a.sound(agreedAt, "gauges")
	for _, s := range []*side{w.a, w.b} {
		if _, _, err := s.c.Sound(s.now(), agreedAt.Add(time.Hour), []string{"x"}); !errors.Is(err, channel.ErrSoundingOpen) {
			t.Errorf("%s: another one beside: %v", s.name, err)
		}
	}
	w.passTo(agreedAt.Add(time.Minute))
	for _, s := range []*side{w.a, w.b} {
		s.do(s.c.Burn(s.now()))
		s.restart()
		_, _, err := s.c.Sound(s.now(), w.now.Add(6*24*time.Hour), []string{"gauges"})
		if !errors.Is(err, channel.ErrSoundingWeek) {
			t.Errorf("%s: a second one in a week: %v", s.name, err)
		}
	}
	w.connect()
	w.settle()
	before := len(w.b.c.Transcript(0))
	w.a.do(w.a.c.CallSounding(w.a.now(), w.now.Add(6*24*time.Hour), 120))
	w.settle()
	if list, _ := w.b.c.Soundings(w.b.now()); len(list) != 0 || len(w.b.c.Transcript(0)) != before {
		t.Error("the peer's machine takes part in a second one in a week")
	}
	w.a.sound(agreedAt.Add(7*24*time.Hour), "gauges")
	if w.b.sounding().State != channel.SoundingOpen {
		t.Error("after a week there is none")
	}
}

// TestSoundingsThatCross has both people begin one at once: they end in the one that
// the inviter began.
func TestSoundingsThatCross(t *testing.T) {
	for _, later := range []time.Duration{0, time.Hour, -time.Hour} {
		w := newWorld(t, 64)
		w.meet()
		w.cut()
		w.a.sound(agreedAt, "gauges")
		w.b.sound(agreedAt.Add(later), "Gauges")
		w.connect()
		w.settle()
		if w.b.sounding().At != agreedAt || w.b.sounding().Own {
			t.Fatalf("the accepter is at %+v", w.b.sounding())
		}
		w.passTo(agreedAt.Add(2 * time.Minute))
		w.wantSounding("crossed", channel.SoundingBoth, "gauges")
		if list, _ := w.b.c.Soundings(w.b.now()); len(list) != 1 {
			t.Errorf("%d soundings are left", len(list))
		}
	}
}

// TestSoundingPutBack puts the second side back to before the window, and to within it:
// nothing that it answered is answered once more.
func TestSoundingPutBack(t *testing.T) {
	for _, at := range []time.Duration{-time.Minute, time.Hour} {
		w := newWorld(t, 65)
		w.meet()
		w.a.sound(agreedAt, "gauges")
		w.b.sound(time.Time{}, "gauges")
		w.passTo(windowAt.Add(at))
		old := w.b.store.Copy()
		w.pass(20*time.Minute, 30*time.Second)
		heard := w.a.sounding().Answered
		w.b.putBack(old)
		w.connect()
		w.settle()
		w.pass(2*time.Minute, 5*time.Second)
		for _, s := range []*side{w.a, w.b} {
			if out, err := s.c.Consent(s.now()); err == nil {
				s.do(out)
			}
		}
		w.passTo(agreedAt.Add(2 * time.Minute))
		if w.a.c.Epoch() < 2 {
			t.Fatal("nobody noticed")
		}
		if got := w.a.sounding().Answered; got > heard {
			t.Errorf("put back to %v, %d messages were answered, and %d before", at, got, heard)
		}
		if s := w.a.sounding().State; at < 0 && s != channel.SoundingNone {
			t.Errorf("put back to before the window, it ends with %q", s)
		}
	}
}

// TestHostileSoundings has a peer send what an honest machine would not.
func TestHostileSoundings(t *testing.T) {
	w := newWorld(t, 66)
	w.meet()
	before := len(w.b.c.Transcript(0))
	far := uint32(w.now.Unix()/60) + 60*24*60
	for _, content := range [][]byte{
		nil,
		{1},
		{2},
		{1, 0, 0, 0, 1},
		{2, 0, 0, 0, 1, 1, 0},
		{3, 0, 0, 0, 1, 0, 0, 0, 0},
		make([]byte, wire.ContentSize),
		{1, byte(far >> 24), byte(far >> 16), byte(far >> 8), byte(far), 0, 0, 0, 120},
		{1, 0, 0, 0, 1, 0, 0, 0, 120}, // long ago
	} {
		w.a.do(w.a.c.SendSounding(w.a.now(), content))
		w.pass(2*time.Second, time.Second)
	}
	for _, window := range []uint32{0, 29, 1 << 20, 1<<32 - 1} {
		w.a.do(w.a.c.CallSounding(w.a.now(), agreedAt, window))
		w.pass(2*time.Second, time.Second)
	}
	if list, _ := w.b.c.Soundings(w.b.now()); len(list) != 0 || len(w.b.c.Transcript(0)) != before {
		t.Errorf("%d soundings and %d lines came of what is malformed", len(list), len(w.b.c.Transcript(0))-before)
	}
	for _, topics := range [][]string{nil, {""}, {"x", "X "}, make([]string, 9)} {
		if _, _, err := w.b.c.Sound(w.b.now(), agreedAt, topics); !errors.Is(err, channel.ErrSoundingTopic) {
			t.Errorf("%q: %v", topics, err)
		}
	}
	for _, at := range []time.Time{{}, w.now, w.now.Add(2 * time.Hour), w.now.Add(15 * 24 * time.Hour)} {
		_, _, err := w.b.c.Sound(w.b.now(), at, []string{"x"})
		var told *channel.SoundingTimeError
		if !errors.Is(err, channel.ErrSoundingTime) || !errors.As(err, &told) {
			t.Errorf("at %v: %v", at, err)
			continue
		}
		for _, bad := range []time.Time{told.Earliest.Add(-2 * time.Minute), told.Latest.Add(time.Minute)} {
			if _, _, err := w.b.c.Sound(w.b.now(), bad, []string{"x"}); !errors.Is(err, channel.ErrSoundingTime) {
				t.Errorf("told %v, at %v: %v", told, bad, err)
			}
		}
	}
	_, _, err := w.b.c.Sound(w.b.now(), time.Time{}, []string{"x"})
	var told *channel.SoundingTimeError
	if errors.As(err, &told) {
		_, _, err = w.b.c.Sound(w.b.now(), told.Earliest, []string{"x"})
	}
	if err != nil {
		t.Errorf("at the earliest time that was told: %v", err)
	}
}

// TestSoundingThatHasBegun has a peer call with a window that is open: nobody could name
// anything, so nothing is taken up, and nothing of the week is used.
func TestSoundingThatHasBegun(t *testing.T) {
	w := newWorld(t, 67)
	w.meet()
	for _, at := range []time.Duration{time.Hour, 2 * time.Hour} {
		w.a.do(w.a.c.CallSounding(w.a.now(), w.now.Add(at), 120))
		w.pass(2*time.Second, time.Second)
	}
	if list, next := w.b.c.Soundings(w.b.now()); len(list) != 0 || !next.IsZero() {
		t.Errorf("taken up: %+v, the next one at %v", list, next)
	}
	w.a.do(w.a.c.CallSounding(w.a.now(), agreedAt, 120))
	w.pass(2*time.Second, time.Second)
	if got := w.b.sounding().State; got != channel.SoundingOpen {
		t.Errorf("one that is to come is %q", got)
	}
}
