package link

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"

	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	packetSize = 5120
	slot       = 500 * time.Millisecond
)

func identity(i int) directory.Identity {
	return directory.Identity(key(i).Public().(ed25519.PublicKey))
}

// inbox is what a Host or a Guard has received.
type inbox struct {
	mu      sync.Mutex
	packets [][]byte
	clients int
	from    onion.ID
}

func (b *inbox) receive(from onion.ID, client bool, packet []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.packets, b.from = append(b.packets, packet), from
	if client {
		b.clients++
	}
}

func (b *inbox) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.packets)
}

// open runs a relay until the test ends.
func open(t *testing.T, i int, change func(*Config)) *Host {
	t.Helper()
	cfg := Config{Key: key(i), Listen: "127.0.0.1:0", Packet: packetSize, Slot: slot, Receive: func(onion.ID, bool, []byte) {}}
	if change != nil {
		change(&cfg)
	}
	h, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return h
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(15 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// join makes two relays neighbours.
func join(t *testing.T, a, b *Host, ia, ib, rate int) {
	t.Helper()
	for _, x := range []struct {
		h    *Host
		to   int
		addr string
	}{{a, ib, b.Address()}, {b, ia, a.Address()}} {
		if err := x.h.Neighbours([]Neighbour{{identity(x.to), []string{x.addr}, rate}}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "a link", func() bool { return len(a.Linked()) == 1 && len(b.Linked()) == 1 })
}

func numbered(n int) []byte {
	p := bytes.Repeat([]byte{1}, packetSize)
	binary.BigEndian.PutUint32(p[4:], uint32(n))
	return p
}

func TestRelaysExchangePackets(t *testing.T) {
	var in inbox
	a, b := open(t, 1, nil), open(t, 2, func(c *Config) { c.Receive = in.receive })
	join(t, a, b, 1, 2, 100)
	for i := range 100 {
		if err := a.Send(identity(2).ID(), numbered(i)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all packets", func() bool { return in.count() == 100 })
	for i, p := range in.packets {
		if !bytes.Equal(p, numbered(i)) {
			t.Fatalf("packet %d is another", i)
		}
	}
	if in.from != identity(1).ID() || in.clients != 0 {
		t.Error("packets are said to come from another")
	}
	if err := a.Send(identity(9).ID(), numbered(0)); !errors.Is(err, ErrNoLink) {
		t.Errorf("to a stranger: %v", err)
	}
	var last error
	for i := 0; i < 2000 && last == nil; i++ {
		last = a.Send(identity(2).ID(), numbered(i))
	}
	if !errors.Is(last, ErrFull) {
		t.Errorf("a queue takes everything: %v", last)
	}
	// The link ends on both sides, and comes back.
	if err := b.Neighbours(nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of the link", func() bool { return len(a.Linked()) == 0 && len(b.Linked()) == 0 })
	if err := b.Neighbours([]Neighbour{{identity(1), []string{a.Address()}, 100}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the link again", func() bool { return len(a.Linked()) == 1 && len(b.Linked()) == 1 })
}

// sheet notes how much was written in each slot.
type sheet struct {
	slots map[int64]int
	block func()
}

func (s *sheet) Write(b []byte) (int, error) {
	if s.block != nil {
		s.block()
	}
	s.slots[time.Now().UnixNano()/int64(slot)] += len(b)
	return len(b), nil
}

func (*sheet) SetWriteDeadline(time.Time) error { return nil }

// TestPaddedLinks compares what an idle link and a busy one carry in each slot, one that
// stalls among them.
func TestPaddedLinks(t *testing.T) {
	for _, rate := range []int{1, 7, 20, 4000} {
		for name, c := range map[string]struct{ load, stall int }{
			"idle": {0, 0}, "busy": {2 * rate, 0}, "half": {rate / 2, 0}, "stalls": {rate, 20},
		} {
			t.Run(fmt.Sprint(rate, name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { padded(t, rate, c.load, c.stall) })
			})
		}
	}
}

func padded(t *testing.T, rate, load, stall int) {
	ctx, cancel := context.WithCancel(t.Context())
	s, queue := &sheet{slots: map[int64]int{}}, make(chan []byte, 2*rate)
	if stall > 0 {
		s.block = func() {
			if r := rand.IntN(1000); r < stall {
				time.Sleep(time.Duration(r) * time.Millisecond)
			}
		}
	}
	done := make(chan error, 1)
	go func() { done <- writeFrames(ctx, s, queue, newPace(slot, rate, time.Now()), 100, func(int) {}) }()
	for range 40 {
		for range load {
			select {
			case queue <- make([]byte, 100):
			default:
			}
		}
		time.Sleep(slot)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	synctest.Wait()
	full := 0
	for _, n := range s.slots {
		if n == rate*101 {
			full++
		}
	}
	if full < 39 {
		t.Errorf("%d of 40 slots have %d frames", full, rate)
	}
}

// TestRealLinkIsPadded looks at the bytes between two relays. The bounds are wide: the
// clock here is the machine's.
func TestRealLinkIsPadded(t *testing.T) {
	const rate, slots = 20, 2
	var sent atomic.Int64
	see := func(c *Config) { c.wire = func(n net.Conn) net.Conn { return counter{n, &sent} } }
	// The one with the lesser name dials; it is the one that is looked at.
	ia, ib := 1, 2
	if ida, idb := identity(ia).ID(), identity(ib).ID(); bytes.Compare(ida[:], idb[:]) > 0 {
		ia, ib = ib, ia
	}
	a, b := open(t, ia, see), open(t, ib, nil)
	join(t, a, b, ia, ib, rate)
	for _, load := range []int{0, rate, 5 * rate} {
		before, began := sent.Load(), time.Now()
		for range slots {
			for k := range load {
				_ = a.Send(identity(ib).ID(), numbered(k))
			}
			<-time.After(slot)
		}
		took := time.Since(began) // handing packets over takes its time, too
		frames := int64(took) * int64(rate*frameSize(packetSize)) / int64(slot)
		if got := sent.Load() - before; got < frames*3/4 || got > frames*5/4 {
			t.Errorf("with %d packets a slot: %d bytes, want about %d", load, got, frames)
		}
	}
}

// counter counts the bytes that a connection writes.
type counter struct {
	net.Conn
	n *atomic.Int64
}

func (c counter) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return c.Conn.Write(b)
}

func TestGuard(t *testing.T) {
	var in inbox
	h := open(t, 1, func(c *Config) { c.Receive, c.PerClient = in.receive, 100 })
	var up, down atomic.Int64
	g, err := DialGuard(t.Context(), GuardConfig{Relay: identity(1), Address: h.Address(), Packet: packetSize})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var got inbox
	done := make(chan error, 1)
	go func() {
		done <- g.Run(ctx, func(p []byte) { got.receive(onion.ID{}, false, p); down.Add(1) })
	}()
	reply := numbered(77)
	for i := range 50 {
		if i == 20 {
			if err := h.Deliver(g.Name(), reply); err != nil {
				t.Fatal(err)
			}
		}
		if err := g.Send(numbered(i)); err != nil {
			t.Fatal(err)
		}
		up.Add(1)
		eventually(t, "an answer", func() bool { return down.Load() == up.Load() })
	}
	if in.count() != 50 || in.clients != 50 || in.from != g.Name() {
		t.Errorf("%d packets came, %d of clients", in.count(), in.clients)
	}
	for i, p := range got.packets {
		if bytes.Equal(p, reply) != (i == 20) {
			t.Errorf("answer %d is not what it should be", i)
		}
		if !bytes.Equal(p[:2], reply[:2]) {
			t.Errorf("answer %d begins otherwise", i)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	eventually(t, "the client is forgotten", func() bool { return h.Clients() == 0 && len(h.host.Network().Peers()) == 0 })
	if err := h.Deliver(g.Name(), reply); !errors.Is(err, ErrNoLink) {
		t.Errorf("to a client that has gone: %v", err)
	}
	eventually(t, "nothing of the client is kept", func() bool {
		return len(h.host.Peerstore().PeersWithKeys()) == 1 && len(h.host.Peerstore().Peers()) <= 1
	})
}

func TestGuardRefusals(t *testing.T) {
	h := open(t, 1, nil)
	if _, err := DialGuard(t.Context(), GuardConfig{Relay: identity(2), Address: h.Address(), Packet: packetSize}); !errors.Is(err, ErrRefused) {
		t.Errorf("another relay at the address: %v", err)
	}
	g, err := DialGuard(t.Context(), GuardConfig{Relay: identity(1), Address: h.Address(), Packet: packetSize})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- g.Run(t.Context(), func([]byte) {}) }()
	for range 100 { // ten a slot are agreed
		if g.Send(numbered(1)) != nil {
			break
		}
	}
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Errorf("a client that floods: %v", err)
	}
	eventually(t, "it is gone", func() bool { return h.Clients() == 0 })
}

func TestAskTheDirectory(t *testing.T) {
	answer := bytes.Repeat([]byte{5}, 1000)
	answers := func(c *Config) {
		c.Answer = func(q []byte) []byte { return append(bytes.Clone(answer), q...) }
	}
	a, b := open(t, 1, answers), open(t, 2, answers)
	join(t, a, b, 1, 2, 10)
	g, err := DialGuard(t.Context(), GuardConfig{Relay: identity(1), Address: a.Address(), Packet: packetSize})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	for name, ask := range map[string]func(context.Context, []byte) ([]byte, error){
		"guard": g.Ask,
		"relay": func(ctx context.Context, q []byte) ([]byte, error) { return a.Ask(ctx, identity(2).ID(), q) },
	} {
		got, err := ask(t.Context(), []byte("question"))
		if err != nil || !bytes.Equal(got, append(bytes.Clone(answer), "question"...)) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		if _, err := ask(t.Context(), make([]byte, questionSize)); err == nil {
			t.Errorf("%s: a question that is too long is sent", name)
		}
	}
}

// TestIdentify asks a relay who it is, with an ordinary libp2p host.
func TestIdentify(t *testing.T) {
	h := open(t, 1, nil)
	relay, err := peerOf(identity(1))
	if err != nil {
		t.Fatal(err)
	}
	other, err := libp2p.New(libp2p.Security(libp2ptls.ID, libp2ptls.New), libp2p.Transport(tcp.NewTCPTransport), libp2p.NoListenAddrs, libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	told, err := other.EventBus().Subscribe(new(event.EvtPeerIdentificationCompleted))
	if err != nil {
		t.Fatal(err)
	}
	defer told.Close()
	if err := other.Connect(t.Context(), peer.AddrInfo{ID: relay, Addrs: h.host.Network().ListenAddresses()}); err != nil {
		t.Fatal(err)
	}
	e := (<-told.Out()).(event.EvtPeerIdentificationCompleted)
	if e.AgentVersion != constantAgent || e.ProtocolVersion != constantAgent || len(e.ListenAddrs) > 0 || e.SignedPeerRecord != nil {
		t.Errorf("it says %q %q %v %v", e.AgentVersion, e.ProtocolVersion, e.ListenAddrs, e.SignedPeerRecord)
	}
	for _, p := range e.Protocols {
		switch string(p) {
		case linkProtocol, guardProtocol, directoryProtocol, identify.ID, identify.IDPush:
		default:
			t.Errorf("it speaks %s", p)
		}
	}
}

func TestBuckets(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	b := newBuckets(func() time.Time { return now })
	a := netip.MustParseAddr("192.0.2.1")
	for i := range 40 {
		if got := b.take(a); got != (i < bucketBurst) {
			t.Fatalf("handshake %d: %v", i, got)
		}
	}
	if !b.take(netip.MustParseAddr("192.0.2.2")) {
		t.Error("another address suffers")
	}
	now = now.Add(bucketEvery)
	if !b.take(a) || b.take(a) {
		t.Error("not one more after a while")
	}
	six := netip.MustParseAddr("2001:db8::1")
	for range bucketBurst {
		b.take(six)
	}
	if b.take(netip.MustParseAddr("2001:db8:0:ff::9")) {
		t.Error("a /56 counts for more than one")
	}
	for i := range 3 * maxBuckets {
		b.take(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
	}
	if len(b.m) > maxBuckets {
		t.Errorf("%d buckets", len(b.m))
	}
	now = now.Add(time.Hour)
	if b.sweep(); len(b.m) != 0 || !b.take(a) {
		t.Error("addresses are remembered")
	}
}

// TestConnectionFlood begins connections from one address, beyond the bucket. No byte is
// answered to those.
func TestConnectionFlood(t *testing.T) {
	h := open(t, 1, nil)
	silent := 0
	for range bucketBurst + 8 {
		c, err := net.Dial("tcp", h.Address())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = c.Write([]byte("\x13/multistream/1.0.0\n"))
		if n, _ := c.Read(make([]byte, 64)); n == 0 {
			silent++
		}
		_ = c.Close()
	}
	if silent < 7 {
		t.Errorf("%d of 8 connections too many are refused", silent)
	}
}

func TestPace(t *testing.T) {
	const rate = 7
	now := time.Unix(1_800_000_000, 0)
	p := newPace(30*time.Second, rate, now)
	counts := map[int64]int{}
	for range 8 * 100 {
		n, wait := p.take(now)
		counts[now.Unix()/30] += n
		now = now.Add(wait)
	}
	delete(counts, now.Unix()/30)
	if len(counts) < 50 {
		t.Errorf("%d slots", len(counts))
	}
	for _, n := range counts {
		if n != rate {
			t.Errorf("%d frames in a slot", n)
		}
	}
	if n, _ := p.take(now.Add(10 * time.Minute)); n > rate {
		t.Errorf("%d frames burst out after a stall", n)
	}
}
