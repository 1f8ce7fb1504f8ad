package link

import (
	"context"
	"testing"
	"time"
)

// TestTooManyFrames: a relay that sends more frames than both have agreed on loses the link,
// after twice as many and sixteen; what comes behind them is not taken.
func TestTooManyFrames(t *testing.T) {
	const rate, most = 3, 2*3 + 16
	var in inbox
	long := func(c *Config) { c.Slot = time.Hour } // nothing else is sent meanwhile
	bad := open(t, 1, long)
	good := open(t, 2, func(c *Config) { long(c); c.Receive = in.receive })
	join(t, bad, good, 1, 2, rate)
	bad.mu.Lock()
	n := bad.neighbours[identity(2).ID()]
	link := n.link
	bad.mu.Unlock()
	var frames []byte
	for i := range 2 * most {
		frames = appendFrame(frames, numbered(i), packetSize)
	}
	_, _ = link.Write(frames) // it may break off
	eventually(t, "the end of the link", func() bool {
		bad.mu.Lock()
		defer bad.mu.Unlock()
		return n.link != link
	})
	if got := in.count(); got != most {
		t.Errorf("%d packets were taken, want %d", got, most)
	}
	eventually(t, "another link", func() bool { return len(bad.Linked()) == 1 && len(good.Linked()) == 1 })
}

// TestTooManyPackets: the same of a principal, who is counted by what a machine sends in a slot.
// Another one is not counted with him.
func TestTooManyPackets(t *testing.T) {
	const perClient, most = 3, 2*3 + 16
	var in inbox
	h := open(t, 1, func(c *Config) { c.Slot, c.PerClient, c.Receive = time.Hour, perClient, in.receive })
	other, bad := guardOf(t, h, 1), guardOf(t, h, 1)
	eventually(t, "both are there", func() bool { return h.Clients() == 2 })
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- bad.Run(ctx, func([]byte) {}) }()
	for i := range 2 * most {
		if bad.Send(numbered(i)) != nil {
			break
		}
	}
	if err := <-ended; err == nil {
		t.Error("the link has not been broken off")
	}
	eventually(t, "one is left", func() bool { return h.Clients() == 1 })
	if got := in.count(); got != most {
		t.Errorf("%d packets were taken, want %d", got, most)
	}
	if err := other.Send(numbered(0)); err != nil {
		t.Error(err)
	}
	eventually(t, "the packet of another", func() bool { return in.count() == most+1 })
}
