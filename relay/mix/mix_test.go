package mix

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/wire"
	"github.com/backchannel/backchannel/relay/relaytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cables join Mixes without any delay of their own.
type cables struct {
	mu    sync.Mutex
	mixes map[onion.ID]*Mix
	inbox [][]byte
}

type cable struct {
	*cables
	from onion.ID
}

func (c cable) Send(to onion.ID, packet []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.mixes[to]
	if x == nil {
		return ErrNoLink
	}
	if !x.Receive(Source{ID: c.from}, packet) {
		return ErrLinkFull
	}
	return nil
}

func (c cable) Deliver(_ onion.ID, packet []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inbox = append(c.inbox, packet)
	return nil
}

// slowDrop answers gets at once, and puts never.
type slowDrop struct{}

func (slowDrop) Answer(ctx context.Context, b onion.Body) onion.Answer {
	if b.Command == onion.Put {
		<-ctx.Done()
		return onion.Answer{Status: 7, Box: new(wire.Box)}
	}
	return onion.Answer{Status: 4, Box: new(wire.Box)}
}

func TestMixRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, nil)
		time.Sleep(time.Until(w.Network.Begins(498_000)) - time.Minute)
		c := &cables{mixes: map[onion.ID]*Mix{}}
		ctx, cancel := context.WithCancel(t.Context())
		var tasks sync.WaitGroup
		set := directory.NewSet(w.Network)
		for i := range 3 {
			id := relaytest.ID(i)
			x, err := Open(Config{Network: w.Network, ID: id}, cable{c, id}, slowDrop{})
			if err != nil {
				t.Fatal(err)
			}
			c.mixes[id] = x
			tasks.Go(func() {
				if err := x.Run(ctx); err != nil {
					t.Error(err)
				}
			})
			e, keys, err := x.Keys(ctx)
			if err != nil {
				t.Fatal(err)
			}
			w.Add(set, w.Voucher(i, time.Now()), time.Now())
			w.Add(set, w.Descriptor(i, e, keys, nil), time.Now())
		}
		time.Sleep(time.Minute)
		w.view = set.View(498_000)
		for _, x := range c.mixes {
			if err := x.Do(ctx, func(m *Machine) { m.SetView(w.view) }); err != nil {
				t.Fatal(err)
			}
		}
		packet, keys := w.make([]int{0, 1, 2}, []int{1, 0})
		c.mixes[relaytest.ID(0)].Receive(Source{client, true}, packet)
		time.Sleep(5 * time.Minute)
		if len(c.inbox) != 1 {
			t.Fatalf("%d replies", len(c.inbox))
		}
		if a, err := keys.Open(c.inbox[0]); err != nil || a.Status != 4 {
			t.Errorf("status %d: %v", a.Status, err)
		}
		for id, x := range c.mixes {
			counts, err := x.Counts(ctx)
			if err != nil || counts.Dropped() != 0 || counts[OwnLoop] < 15 {
				t.Errorf("%x: %v, %v", id[:2], counts, err)
			}
		}
		cancel()
		tasks.Wait()
		if _, err := c.mixes[relaytest.ID(0)].Counts(t.Context()); !errors.Is(err, ErrEnded) {
			t.Errorf("after the end: %v", err)
		}
	})
}

func BenchmarkPacket(b *testing.B) {
	for _, suite := range []onion.Suite{onion.X25519, onion.Hybrid} {
		b.Run(suite.String(), func(b *testing.B) {
			w := &world{World: relaytest.New(b, directory.Constants{Suite: suite})}
			w.random, w.rand = newWorld(b, 0, nil).random, nil
			now := w.Network.Begins(498_000)
			m, err := New(Config{Network: w.Network, ID: relaytest.ID(0), LoopEvery: -1}, now)
			if err != nil {
				b.Fatal(err)
			}
			hop := onion.Hop{ID: relaytest.ID(0), Key: m.keyOf(m.epoch).key.Public()}
			other := onion.Hop{ID: relaytest.ID(1), Key: hop.Key}
			packets := make([][]byte, b.N)
			for i := range packets {
				packets[i], _, err = onion.Create(w.coins(), onion.Request{
					Suite: suite, Out: []onion.Hop{hop, other}, Back: []onion.Hop{hop}, Home: client, Command: onion.Get, Box: new(wire.Box),
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i, p := range packets {
				m.Packet(now, Source{ID: relaytest.ID(2)}, p)
				if i%32 == 0 {
					now = now.Add(time.Millisecond)
					if _, err := m.Advance(now.Add(time.Minute)); err != nil {
						b.Fatal(err)
					}
				}
			}
			if m.Counts().Dropped() > 0 {
				b.Error(m.Counts())
			}
		})
	}
}
