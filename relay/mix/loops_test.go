package mix

import (
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/relay/relaytest"
)

func TestLoopsComeBack(t *testing.T) {
	w := newWorld(t, 5, nil)
	w.until(w.now.Add(20 * time.Minute))
	for i, m := range w.machines {
		h := m.Health()
		if h.Sent < 75 || h.Sent > 85 || h.Lost != 0 || h.Sent-h.Returned > 4 || h.Alarm || len(h.Suspects) > 0 {
			t.Errorf("relay %d: %+v", i, h)
		}
		if m.Counts().Dropped() != 0 || len(m.loops.waiting) > 10 {
			t.Errorf("relay %d: %v dropped, %d loops are waited for", i, m.Counts().Dropped(), len(m.loops.waiting))
		}
	}
}

// TestFloodedButOne is the n-1 attack on relay 0: its neighbours hold back half of what
// they send it.
func TestFloodedButOne(t *testing.T) {
	w := newWorld(t, 5, nil)
	w.lose = func(_, to int) bool { return to == 0 && w.rand.IntN(2) == 0 }
	w.until(w.now.Add(15 * time.Minute))
	if h := w.machines[0].Health(); !h.Alarm {
		t.Errorf("half of its loops do not come back, and no alarm: %+v", h)
	}
}

func TestRelayThatDropsIsSuspected(t *testing.T) {
	w := newWorld(t, 6, nil)
	w.lose = func(from, _ int) bool { return from == 3 }
	w.until(w.now.Add(30 * time.Minute))
	seen := 0
	for i, m := range w.machines {
		if i == 3 {
			continue
		}
		h := m.Health()
		if slices.Contains(h.Suspects, relaytest.ID(3)) {
			seen++
		}
	}
	if seen < 4 {
		t.Errorf("%d of 5 relays suspect the one that drops everything", seen)
	}
}

// TestRelayThatDelaysIsSuspected: one that holds everything back for a minute is as good as
// one that drops it, and found as that one is.
func TestRelayThatDelaysIsSuspected(t *testing.T) {
	w := newWorld(t, 6, nil)
	w.late = map[int]time.Duration{3: time.Minute}
	w.until(w.now.Add(30 * time.Minute))
	seen := 0
	for i, m := range w.machines {
		h := m.Health()
		if i != 3 && slices.Contains(h.Suspects, relaytest.ID(3)) {
			seen++
		}
		if h.Sent > 125 {
			t.Errorf("relay %d sends %d loops: it makes up for those that are late", i, h.Sent)
		}
	}
	if seen < 4 {
		t.Errorf("%d of 5 relays suspect the one that delays everything", seen)
	}
}

// TestRelayThatDoubles: what a relay sends twice dies at the next hop, and one reply comes to
// one packet. Loops come back, and nobody is suspected.
func TestRelayThatDoubles(t *testing.T) {
	w := newWorld(t, 5, nil)
	w.doubles = map[int]bool{1: true}
	const packets = 50
	for range packets {
		packet, _ := w.make([]int{0, 1, 2}, []int{1, 0})
		w.fly(0, Source{client, true}, packet)
		w.until(w.now.Add(10 * time.Second))
	}
	w.until(w.now.Add(2 * time.Minute))
	if got := len(w.inbox[client]); got != packets {
		t.Errorf("%d replies came to %d packets", got, packets)
	}
	var doubles, refused uint64
	for i, m := range w.machines {
		refused += m.Counts()[Replayed]
		if i == 1 {
			doubles = m.Counts()[Forwarded]
		}
		if h := m.Health(); h.Lost > 0 || len(h.Suspects) > 0 {
			t.Errorf("relay %d: %+v", i, h)
		}
	}
	if doubles == 0 || refused != doubles {
		t.Errorf("%d packets were sent twice, %d refused", doubles, refused)
	}
}

func TestStallMakesNothingUp(t *testing.T) {
	w := newWorld(t, 5, nil)
	w.until(w.now.Add(5 * time.Minute))
	before := w.machines[0].Health().Sent
	for range 100 {
		if _, err := w.machines[0].Advance(w.now.Add(30 * time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	if sent := w.machines[0].Health().Sent - before; sent > 3 {
		t.Errorf("%d loops leave at once after a stall", sent)
	}
}

func TestNoViewNoLoops(t *testing.T) {
	w := newWorld(t, 2, nil) // two relays: no way leads around
	w.until(w.now.Add(5 * time.Minute))
	if h := w.machines[0].Health(); h.Sent != 0 {
		t.Errorf("%+v", h)
	}
}

// TestHealth: nothing is said of few loops, nor of those of long ago, and of a relay only
// what became of the loops that touched it.
func TestHealth(t *testing.T) {
	w := newWorld(t, 3, noLoops)
	a, b := relaytest.ID(1), relaytest.ID(2)
	type loops struct {
		relay onion.ID
		lost  bool
		count int
	}
	for name, c := range map[string]struct {
		loops    []loops
		alarm    bool
		suspects []onion.ID
	}{
		"too few":                   {[]loops{{a, true, fewest - 1}}, false, nil},
		"enough":                    {[]loops{{a, true, fewest}}, true, []onion.ID{a}},
		"half of them":              {[]loops{{a, true, fewest / 2}, {a, false, fewest / 2}}, true, []onion.ID{a}},
		"less than half":            {[]loops{{a, true, fewest / 2}, {a, false, fewest/2 + 1}}, false, nil},
		"all of one":                {[]loops{{a, true, fewest}, {b, false, fewest + 1}}, false, []onion.ID{a}},
		"all of one, few of others": {[]loops{{a, true, fewest}, {b, false, fewest - 1}}, true, []onion.ID{a}},
		"of one too few":            {[]loops{{a, true, fewest - 1}, {b, false, fewest}}, false, nil},
		"of both":                   {[]loops{{a, true, fewest}, {b, true, fewest}}, true, nil},
		"long ago":                  {[]loops{{a, true, 100}, {b, false, window - fewest + 1}}, false, nil},
	} {
		m := w.machines[0]
		m.loops.recent = nil
		for _, l := range c.loops {
			for range l.count {
				m.loops.settle(&loop{relays: []onion.ID{l.relay}}, l.lost)
			}
		}
		if h := m.Health(); h.Alarm != c.alarm || !slices.Equal(h.Suspects, c.suspects) {
			t.Errorf("%s: %+v", name, h)
		}
	}
}
