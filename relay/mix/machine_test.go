package mix

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/wire"
	"github.com/backchannel/backchannel/relay/relaytest"
)

func noLoops(c *Config) { c.LoopEvery = -1 }

func TestThereAndBack(t *testing.T) {
	w := newWorld(t, 5, noLoops)
	packet, keys := w.make([]int{0, 1, 2}, []int{3, 0})
	w.fly(0, Source{client, true}, packet)
	w.until(w.now.Add(2 * time.Minute))
	if len(w.inbox[client]) != 1 {
		t.Fatalf("%d replies came", len(w.inbox[client]))
	}
	a, err := keys.Open(w.inbox[client][0])
	if err != nil || a.Status != 3 {
		t.Errorf("the reply: %v, status %d", err, a.Status)
	}
	for i, want := range []Reason{Delivered, Forwarded, Answered, Forwarded} {
		if got := w.machines[i].Counts()[want]; got != 1 {
			t.Errorf("relay %d: %v %d, want 1", i, want, got)
		}
	}
	for i, m := range w.machines {
		if m.Held() != 0 || m.Counts().Dropped() != 0 || len(m.sources) != 0 || len(m.asked) != 0 {
			t.Errorf("relay %d keeps something: held %d, dropped %d", i, m.Held(), m.Counts().Dropped())
		}
	}
}

// TestReplies shows that an answer leaves when its packet says, whatever the drop did, and
// not before 250 ms.
func TestReplies(t *testing.T) {
	w := newWorld(t, 3, noLoops)
	m := w.machines[0]
	for range 200 {
		packet, _ := w.make([]int{0}, []int{1})
		got := m.Packet(w.now, Source{ID: relaytest.ID(2)}, packet)
		if len(got) != 1 || got[0].Kind != Ask {
			t.Fatalf("an exit leads to %v", got)
		}
		h := m.asked[uint64(got[0].Ticket)]
		if h.due.Sub(w.now) < answerAfter || !got[0].Until.Equal(h.due) {
			t.Fatalf("answered after %v", h.due.Sub(w.now))
		}
	}
	// The drop says nothing at all.
	var left int
	for m.Held() > 0 {
		actions, err := m.Advance(m.Next())
		if err != nil {
			t.Fatal(err)
		}
		left += len(actions)
	}
	if left != 200 || m.Counts()[Answered] != 200 {
		t.Errorf("%d replies left, %d counted", left, m.Counts()[Answered])
	}
	m.Answer(1, onion.Answer{}) // too late: nothing happens
}

func TestReplayIsRefused(t *testing.T) {
	w := newWorld(t, 3, func(c *Config) { c.Onion, c.LoopEvery = counted{}, -1 })
	m := w.machines[0]
	const packets = 500_000
	var from [200]Source
	for i := range from {
		from[i].ID = onion.ID{byte(i), 1}
	}
	for pass := range 3 {
		for i := range packets {
			m.Packet(w.now, from[i%len(from)], numbered(i))
			if i%1000 == 0 {
				w.now = w.now.Add(30 * time.Second / 1000)
				if _, err := m.Advance(w.now.Add(time.Minute)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := int(m.Counts()[Replayed]); got != pass*packets {
			t.Fatalf("after pass %d: %d were refused as replays, want %d", pass, got, pass*packets)
		}
	}
}

// TestReplayAcrossEpochs sends one packet again and again: over the end of its epoch, over
// the end of its key, and to the relay after a restart.
func TestReplayAcrossEpochs(t *testing.T) {
	w := newWorld(t, 3, noLoops)
	m, from := w.machines[0], Source{ID: relaytest.ID(2)}
	packet, _ := w.make([]int{0, 1}, []int{2})
	late, _ := w.make([]int{0, 1}, []int{2})
	try := func(when time.Time, p []byte, want Reason) {
		t.Helper()
		before, held := m.Counts(), m.Held()
		m.Packet(when, from, bytes.Clone(p))
		after := m.Counts()
		switch {
		case want == Forwarded && m.Held() != held+1:
			t.Errorf("a packet is not taken: %v", after)
		case want != Forwarded && after[want] != before[want]+1:
			t.Errorf("a packet is not refused as %v: %v", want, after)
		}
	}
	end := w.Network.Begins(498_001)
	try(w.now, packet, Forwarded)
	try(w.now, packet, Replayed)
	try(end.Add(time.Second), packet, Replayed)
	try(end.Add(9*time.Minute), late, Forwarded) // on its way when the epoch ended
	try(end.Add(9*time.Minute+time.Second), late, Replayed)
	try(end.Add(10*time.Minute), packet, BadMAC) // the key is gone
	if m.keyOf(498_000) != nil || len(m.keys) != directory.KeyEpochs {
		t.Errorf("%d keys are left", len(m.keys))
	}

	again := newWorld(t, 3, noLoops)
	packet, _ = again.make([]int{0, 1}, []int{2})
	restarted, err := New(Config{Network: w.Network, ID: relaytest.ID(0)}, again.now)
	if err != nil {
		t.Fatal(err)
	}
	m = restarted
	try(again.now, packet, BadMAC)
}

// TestEarlySender takes the key of the next epoch from whoever's clock is ahead.
func TestEarlySender(t *testing.T) {
	w := newWorld(t, 3, noLoops)
	w.view = nil
	m := w.machines[0]
	key := m.keyOf(498_001).key.Public()
	early := func() []byte {
		hops := []onion.Hop{{ID: relaytest.ID(0), Key: key}}
		back := []onion.Hop{{ID: relaytest.ID(1), Key: m.keys[0].key.Public()}}
		p, _, err := onion.Create(w.coins(), onion.Request{Suite: onion.X25519, Out: hops, Back: back, Home: client, Command: onion.Get, Box: new(wire.Box)})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	end := w.Network.Begins(498_001)
	m.Packet(end.Add(-time.Minute), Source{ID: relaytest.ID(2)}, early())
	if m.Held() != 1 {
		t.Error("a packet a minute early is refused")
	}
	m.Packet(end.Add(-20*time.Minute), Source{ID: relaytest.ID(2)}, early())
	if m.Counts()[BadMAC] != 1 {
		t.Error("a packet twenty minutes early is taken")
	}
}

func TestGarbage(t *testing.T) {
	w := newWorld(t, 3, noLoops)
	m, from := w.machines[0], Source{ID: relaytest.ID(2)}
	valid, _ := w.make([]int{0, 1}, []int{2})
	back, _ := w.make([]int{0, 2}, []int{1})
	flipped := bytes.Clone(valid)
	flipped[100] ^= 1
	point := bytes.Clone(valid)
	clear(point[2:34])
	altered, _ := w.make([]int{0}, []int{1})
	altered[len(altered)-1] ^= 1
	for _, c := range []struct {
		packet []byte
		want   Reason
	}{
		{nil, Malformed},
		{valid[1:], Malformed},
		{make([]byte, len(valid)), Malformed},
		{flipped, BadMAC},
		{point, LowOrder},
		{back, BadRoute},
		{altered, BadPayload},
	} {
		if got := m.Packet(w.now, from, c.packet); got != nil || m.Counts()[c.want] == 0 {
			t.Errorf("%v: %v, %v", c.want, got, m.Counts())
		}
	}
	if m.Held() != 0 {
		t.Errorf("%d packets are held", m.Held())
	}
}

func TestTagsAreBounded(t *testing.T) {
	w := newWorld(t, 3, func(c *Config) { c.Onion, c.LoopEvery, c.Tags = counted{}, -1, 100 })
	m := w.machines[0]
	for i := range 300 {
		m.Packet(w.now, Source{ID: relaytest.ID(2)}, numbered(i%150))
	}
	if m.Held() != 100 || m.Counts()[TagsFull] != 100 || m.Counts()[Replayed] != 100 {
		t.Errorf("held %d, counts %v", m.Held(), m.Counts())
	}
}

// TestDelays looks at when packets leave: exponential, with the mean that is set.
func TestDelays(t *testing.T) {
	w := newWorld(t, 3, noLoops)
	m := w.machines[0]
	m.SetMean(5 * time.Second)
	var sum float64
	const count = 1000
	for range count {
		packet, _ := w.make([]int{0, 1}, []int{2})
		m.Packet(w.now, Source{ID: relaytest.ID(2)}, packet)
		sum += m.Next().Sub(w.now).Seconds()
		if _, err := m.Advance(m.Next()); err != nil {
			t.Fatal(err)
		}
	}
	if mean := sum / count; math.Abs(mean-5) > 0.5 {
		t.Errorf("the mean delay is %.2f s, want 5", mean)
	}
	m.SetMean(0)
	if m.mean != w.Network.Constants.Mean {
		t.Errorf("a mean of zero is taken as %v", m.mean)
	}
}

func TestRaise(t *testing.T) {
	c := directory.Constants{Mean: 2 * time.Second, Pool: 15}
	for _, x := range []struct {
		average     float64
		least, most time.Duration
	}{
		{100, c.Mean, c.Mean},
		{15, c.Mean, c.Mean},
		{6, 5 * time.Second, 5700 * time.Millisecond}, // ten users on six relays
		{0.1, 20 * time.Second, 20 * time.Second},
		{0, 20 * time.Second, 20 * time.Second},
	} {
		if got := Raise(c, x.average, c.Mean); got < x.least || got > x.most {
			t.Errorf("a pool of %v: mean %v, want %v to %v", x.average, got, x.least, x.most)
		}
	}
}

func TestAverage(t *testing.T) {
	w := newWorld(t, 3, func(c *Config) { c.Onion, c.LoopEvery = counted{}, -1 })
	m := w.machines[0]
	m.Average(w.now)
	for i := range 10_000 { // ten a second for a thousand seconds, two seconds each
		packet := numbered(i)
		binary.BigEndian.PutUint64(packet, w.rand.Uint64()) // the delay is drawn from it
		m.Packet(w.now, Source{ID: relaytest.ID(2)}, packet)
		w.now = w.now.Add(100 * time.Millisecond)
		if _, err := m.Advance(w.now); err != nil {
			t.Fatal(err)
		}
	}
	if got := m.Average(w.now); math.Abs(got-20) > 1.5 {
		t.Errorf("the pool held %.1f on average, want about 20", got)
	}
	if got := m.Average(w.now.Add(time.Hour)); got < 1 || got > 25 {
		t.Errorf("the next measurement goes on at %.1f", got) // what was left, for an hour
	}
}
