package channel_test

import (
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/store/storetest"
	"github.com/backchannel/backchannel/protocol/charter"
)

// TestChannelPutBack puts the side that opened a channel back to several moments of it.
// What was agreed comes again before what was said under it, however long ago it was
// agreed.
func TestChannelPutBack(t *testing.T) {
	t.Parallel()
	for name, moment := range map[string]struct {
		at  int           // after so many steps
		age time.Duration // between what was agreed and what is said
	}{
		"proposed":           {1, 0},
		"proposed, long ago": {1, 20 * 24 * time.Hour},
		"accepted":           {2, 0},
		"one text came":      {3, 0},
		"an extension came":  {4, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 13)
			w.meet()
			var copies []*storetest.Memory
			keep := func() { copies = append(copies, w.a.store.Copy()) }
			keep()
			w.a.agree(w.a.c.OpenChannel(w.a.now(), w.a.terms("river gauges", 60*24*time.Hour)))
			keep()
			w.b.acceptPending(2)
			keep()
			w.now = w.now.Add(moment.age)
			w.connect()
			w.pass(2*time.Second, time.Second)
			w.b.sayIn(2, "one")
			keep()
			w.b.agree(w.b.c.AmendChannel(w.b.now(), 2, w.b.terms("river gauges", 70*24*time.Hour)))
			keep()
			w.b.sayIn(2, "two")
			w.a.putBack(copies[moment.at])
			w.recovered()
			for _, s := range []*side{w.a, w.b} {
				if got := s.textsIn(2); !slices.Equal(got, []string{"one", "two"}) {
					t.Errorf("%s has %q", s.name, got)
				}
				if v := s.channel(2); v.Phase != charter.Open {
					t.Errorf("%s: the channel is %v", s.name, v.Phase)
				}
			}
			if a, b := w.a.channel(2), w.b.channel(2); a.Agreed == nil || b.Agreed == nil || a.Agreed.Digest() != b.Agreed.Digest() ||
				a.Pending == nil || b.Own == nil || a.Pending.Digest() != b.Own.Digest() {
				t.Errorf("one side has %+v, the other %+v", a, b)
			}
		})
	}
}

// recovered lets the two find out that one was put back, and go on.
func (w *world) recovered() {
	w.t.Helper()
	w.goOn()
	if w.a.c.Epoch() < 2 {
		w.t.Fatal("nobody noticed")
	}
}

// goOn connects the two, and has both agree to what they are asked.
func (w *world) goOn() {
	w.t.Helper()
	w.connect()
	w.settle()
	w.pass(2*time.Minute, 5*time.Second)
	for _, s := range []*side{w.a, w.b} {
		if out, err := s.c.Consent(s.now()); err == nil {
			s.do(out)
		}
	}
	w.pass(2*time.Minute, 5*time.Second)
}
