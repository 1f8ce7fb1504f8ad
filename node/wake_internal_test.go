package node

import (
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store/storetest"
)

// TestWakeIsNotPutOff: what is due stays due, whatever else comes before its turn.
func TestWakeIsNotPutOff(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	m, _ := mailWith(&now)
	memory := storetest.NewMemory()
	c := comingFile(t, memory, now, m.network.ID())
	p := &person{conversation: c, wake: now.Add(time.Second)}
	d := m.desk
	d.store, d.people, d.online = memory, map[channel.ContactID]*person{c.ID(): p}, true
	if d.setWake(p); !p.wake.After(now) {
		t.Fatalf("due at %v", p.wake)
	}
	p.wake = now.Add(5 * time.Millisecond)
	for range 4 {
		now = now.Add(6 * time.Millisecond)
		if d.setWake(p); p.wake.After(now) {
			t.Fatalf("put off by %v", p.wake.Sub(now))
		}
	}
}
