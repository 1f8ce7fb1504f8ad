package relay

import (
	"context"
	"crypto/rand"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/backchannel/backchannel/node/p2p/link"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
	"github.com/backchannel/backchannel/relay/relaytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo is a drop that returns what it is sent.
type echo struct{}

func (echo) Answer(_ context.Context, b onion.Body) onion.Answer {
	box := *b.Box
	return onion.Answer{Status: 3, Box: &box}
}

// soon returns the length of an epoch, ten to thirty seconds, one of which ends in four
// seconds or little more.
func soon() time.Duration {
	const least, enough = 10, 4
	now := time.Now().Unix()
	left := func(s int64) int64 { return s - now%s }
	best := int64(least)
	for s := best; s <= 3*least; s++ {
		if l := left(s); l >= enough && (left(best) < enough || l < left(best)) {
			best = s
		}
	}
	return time.Duration(best) * time.Second
}

// TestNetwork starts four relays that know vouchers alone. They learn each other's keys by
// gossip, and in the next epoch a principal's packet goes around them.
func TestNetwork(t *testing.T) {
	const relays = 4
	w := relaytest.New(t, directory.Constants{Epoch: soon(), Slot: time.Second, Mean: 20 * time.Millisecond, Pool: 1})
	ctx, cancel := context.WithCancel(t.Context())
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel()
	all := start(ctx, w, relays, &tasks)
	wait(t, "everybody is in the view and linked", func() bool {
		for _, r := range all {
			v := r.View(w.Network.EpochAt(time.Now()))
			if len(v.Members()) != relays || v.Hash() != all[0].View(v.Epoch()).Hash() || len(r.Linked()) != relays-1 {
				return false
			}
		}
		return true
	})
	exchange(t, w, all)
	wait(t, "loops come back", func() bool {
		h, err := all[1].Health(ctx)
		return err == nil && h.Returned > 0
	})
}

func start(ctx context.Context, w *relaytest.World, n int, tasks *sync.WaitGroup) (all []*Relay) {
	var items []directory.Item
	places := make([]identity.Place, n)
	for i := range n {
		places[i] = w.Place(free(w))
		items = append(items, w.VoucherAt(i, time.Now(), places[i]))
	}
	for i := range n {
		r, err := Open(Config{
			Network: w.Network, Key: relaytest.Key(i), Items: items, Listen: places[i].Address(), Dir: w.TempDir(), Drop: echo{},
		})
		if err != nil {
			w.Fatal(err)
		}
		all = append(all, r)
		tasks.Go(func() {
			if err := r.Run(ctx); err != nil {
				w.Error(err)
			}
		})
	}
	return all
}

// free returns an address that nobody listens on at the moment.
func free(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// exchange sends packets of a principal around all relays, until a reply has come.
func exchange(t *testing.T, w *relaytest.World, all []*Relay) {
	t.Helper()
	guard, err := link.DialGuard(t.Context(), link.GuardConfig{
		Relay: relaytest.Identity(0), Address: all[0].Address(), Packet: w.Network.Constants.Suite.Geometry().Packet,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	keys, opened := map[onion.Tag]*onion.ReplyKeys{}, 0
	done := make(chan error, 1)
	go func() {
		done <- guard.Run(ctx, func(packet []byte) {
			mu.Lock()
			defer mu.Unlock()
			tag, err := onion.ReplyTag(w.Network.Constants.Suite, packet)
			if k := keys[tag]; err == nil && k != nil {
				if a, err := k.Open(packet); err != nil || a.Status != 3 || a.Box[0] != 77 {
					t.Errorf("a reply: %v", err)
				}
				opened++
			}
		})
	}()
	var sent time.Time
	wait(t, "replies", func() bool {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(sent) > 100*time.Millisecond {
			sent = time.Now()
			packet, k := create(t, w, all[0].View(w.Network.EpochAt(sent)), guard.Name(), []int{0, 1, 2}, []int{3, 0})
			keys[k.Tag] = k
			if err := guard.Send(packet); err != nil {
				t.Fatal(err)
			}
		}
		return opened >= 3
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// create makes a packet that stores a box under a key of its own, over relays of a view.
func create(t *testing.T, w *relaytest.World, v *directory.View, home onion.ID, out, back []int) ([]byte, *onion.ReplyKeys) {
	t.Helper()
	hops := func(way []int) (all []onion.Hop) {
		for _, i := range way {
			m, _ := v.Member(relaytest.ID(i))
			all = append(all, onion.Hop{ID: m.ID, Key: m.Key})
		}
		return all
	}
	var key [onion.KeySize]byte
	if _, err := rand.Read(key[:]); err != nil {
		t.Fatal(err)
	}
	coins, err := secret.Read(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	packet, keys, err := onion.Create(coins, onion.Request{
		Suite: w.Network.Constants.Suite, Out: hops(out), Back: hops(back), Home: home,
		Command: onion.Put, Key: key, Box: &wire.Box{77},
	})
	if err != nil {
		t.Fatal(err)
	}
	return packet, keys
}

func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}
