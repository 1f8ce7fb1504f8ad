package link

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"

	"github.com/backchannel/backchannel/protocol/onion"
)

// guardOf dials a relay as a principal.
func guardOf(t *testing.T, h *Host, i int) *Guard {
	t.Helper()
	g, err := DialGuard(t.Context(), GuardConfig{Relay: identity(i), Address: h.Address(), Packet: packetSize})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

// served runs a principal's link and reports, when it is asked, whether another packet of
// his is answered.
func served(t *testing.T, h *Host, i int) (check func(when string)) {
	t.Helper()
	g := guardOf(t, h, i)
	ctx, cancel := context.WithCancel(t.Context())
	answers, done := make(chan []byte, 100), make(chan error, 1)
	go func() { done <- g.Run(ctx, func(p []byte) { answers <- p }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the link of somebody else ended: %v", err)
		}
	})
	n := 0
	return func(when string) {
		t.Helper()
		n++
		if err := g.Send(numbered(n)); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		select {
		case <-answers:
		case <-time.After(15 * time.Second):
			t.Fatalf("%s: another principal is not answered", when)
		}
	}
}

// TestGuardThatBreaksTheRules: a relay that sends more than it was sent, padding, what is no
// frame, or opens streams without an end is told from one that is only slow or gone.
func TestGuardThatBreaksTheRules(t *testing.T) {
	frame := func(n int) []byte { return appendFrame(nil, numbered(n), packetSize) }
	for name, c := range map[string]struct {
		answer func(s network.Stream)
		want   error
	}{
		"two answers to one packet": {func(s network.Stream) { _, _ = s.Write(slices.Concat(frame(1), frame(2))) }, ErrUnruly},
		"padding":                   {func(s network.Stream) { _, _ = s.Write(appendFrame(nil, nil, packetSize)) }, ErrUnruly},
		"no frame":                  {func(s network.Stream) { _, _ = s.Write(append([]byte{9}, frame(1)...)) }, ErrUnruly},
		"streams without an end": {func(s network.Stream) {
			for range 2 * maxAsked {
				if other, err := s.Conn().NewStream(t.Context()); err == nil {
					_, _ = other.Write([]byte("\x13/multistream/1.0.0\n"))
					_, _ = other.Read(make([]byte, 1))
					_ = other.Reset()
				}
			}
		}, ErrUnruly},
		"an end":                 {func(s network.Stream) { _ = s.Reset() }, ErrClosed},
		"an end within a packet": {func(s network.Stream) { _, _ = s.Write(frame(1)[:100]); _ = s.Close() }, ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			h := open(t, 1, nil)
			h.host.SetStreamHandler(guardProtocol, func(s network.Stream) {
				if _, err := newFrameReader(s, packetSize).next(); err == nil {
					c.answer(s)
				}
			})
			g := guardOf(t, h, 1)
			ended := make(chan error, 1)
			go func() { ended <- g.Run(t.Context(), func([]byte) {}) }()
			if err := g.Send(numbered(1)); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// TestHostileClients: one that does not read, one that sends half a frame, and one whose frames
// have another size. The others are served meanwhile, and nothing of these is left. For one
// that sends too much see TestTooManyPackets.
func TestHostileClients(t *testing.T) {
	var in inbox
	h := open(t, 1, func(c *Config) { c.Receive, c.PerClient = in.receive, 1000 })
	check := served(t, h, 1)
	check("at first")
	silent := guardOf(t, h, 1) // nobody reads what it is answered
	for n := range 100 {
		if err := silent.Send(numbered(n)); err != nil {
			break // a window is full, and the relay waits for this one alone
		}
		if n%10 == 0 {
			check("beside one that does not read")
		}
	}
	for name, bytes := range map[string][]byte{
		"half a frame":  make([]byte, packetSize/2),
		"a longer one":  append(appendFrame(nil, numbered(1), packetSize), bytes.Repeat([]byte{7}, packetSize)...),
		"none":          bytes.Repeat([]byte{0xff}, 100),
		"empty packets": make([]byte, 3*frameSize(packetSize)), // padding, which a principal has none of
	} {
		bad := guardOf(t, h, 1)
		before := in.count()
		if _, err := bad.stream.Write(bytes); err != nil {
			t.Fatal(err)
		}
		check(name)
		if name != "half a frame" { // that one has four slots
			ended := make(chan error, 1)
			go func() { ended <- bad.Run(t.Context(), func([]byte) {}) }()
			bad.sent.Store(1)
			if err := <-ended; !errors.Is(err, ErrClosed) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got := in.count() - before; got > 2 {
			t.Errorf("%s: %d packets were taken", name, got)
		}
		bad.Close()
	}
	silent.Close()
	eventually(t, "the hostile ones are gone", func() bool { return h.Clients() == 1 && len(h.host.Network().Peers()) == 1 })
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.places) != 1 {
		t.Errorf("%d addresses are known of one client", len(h.places))
	}
}

// TestPlaces: an address takes no more places than a fourth of what it leaves, however many
// connections come from it, and nothing is known of one when its last client has gone.
func TestPlaces(t *testing.T) {
	h := &Host{cfg: Config{MaxClients: 4096}, clients: map[passing]*client{}, places: map[netip.Prefix]int{}}
	at := func(n int) netip.Prefix {
		p, _ := blockOf(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}))
		return p
	}
	n := 0
	flood := func(from int) {
		for {
			n++
			if !h.enter(onion.ID{byte(n >> 16), byte(n >> 8), byte(n)}, &client{at: at(from)}) {
				return
			}
		}
	}
	flood(0)
	if got := h.places[at(0)]; got != 820 {
		t.Errorf("one address takes %d of 4096 places", got)
	}
	for from := range 12 {
		flood(1 + from)
	}
	if !h.enter(onion.ID{0xff}, &client{at: at(999)}) {
		t.Error("after a flood from 13 addresses there is no place for another one")
	}
	for id, c := range maps.Clone(h.clients) {
		h.leave(id.ID, c)
	}
	if len(h.places) != 0 || len(h.clients) != 0 {
		t.Errorf("%d addresses and %d clients are left", len(h.places), len(h.clients))
	}
}

// asking is a stream of which only its end matters.
type asking struct {
	network.Stream
	reset bool
}

func (s *asking) Reset() error { s.reset = true; return nil }

// TestQuestionsThatAreNotRead: who asks and does not read keeps one question of his own from
// being answered, and others for five seconds at most.
func TestQuestionsThatAreNotRead(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var a askers
	streams := make([]*asking, maxAsking)
	for i := range streams {
		streams[i] = new(asking)
		if !a.enter(streams[i], onion.ID{byte(i)}, now) {
			t.Fatalf("question %d is not answered", i)
		}
		if a.enter(new(asking), onion.ID{byte(i)}, now) {
			t.Fatalf("two questions of one")
		}
	}
	if a.enter(new(asking), onion.ID{200}, now.Add(leastTime-1)) {
		t.Error("there is room without an end")
	}
	last := new(asking)
	if !a.enter(last, onion.ID{200}, now.Add(leastTime)) || !streams[0].reset || streams[1].reset {
		t.Error("one that waits for ever keeps its place")
	}
	a.leave(streams[0])
	a.leave(last)
	for _, s := range streams[1:] {
		a.leave(s)
	}
	if len(a.all) != 0 {
		t.Errorf("%d are left", len(a.all))
	}
}

// TestIdleConnections: a connection that carries nothing is closed; those of principals and
// neighbours stay.
func TestIdleConnections(t *testing.T) {
	a, b := open(t, 1, nil), open(t, 2, nil)
	join(t, a, b, 1, 2, 10)
	check := served(t, a, 1)
	relay, err := peerOf(identity(1))
	if err != nil {
		t.Fatal(err)
	}
	idle, err := libp2p.New(libp2p.Security(libp2ptls.ID, libp2ptls.New), libp2p.Transport(tcp.NewTCPTransport), libp2p.NoListenAddrs, libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	if err := idle.Connect(t.Context(), peer.AddrInfo{ID: relay, Addrs: a.host.Network().ListenAddresses()}); err != nil {
		t.Fatal(err)
	}
	if a.closeIdle(time.Now()); len(a.host.Network().ConnsToPeer(idle.ID())) != 1 {
		t.Error("a connection is closed before it could ask anything")
	}
	a.closeIdle(time.Now().Add(time.Minute))
	eventually(t, "the idle one is gone", func() bool { return len(a.host.Network().ConnsToPeer(idle.ID())) == 0 })
	check("after that")
	if len(a.Linked()) != 1 || len(b.Linked()) != 1 {
		t.Error("the neighbour's link has ended")
	}
}

// sizes notes how long the writes on a connection are.
type sizes struct {
	net.Conn
	mu *sync.Mutex
	of map[int]int
}

func (s sizes) Write(b []byte) (int, error) {
	s.mu.Lock()
	s.of[len(b)]++
	s.mu.Unlock()
	return s.Conn.Write(b)
}

// TestSizesOnTheWire: what a principal's machine writes to its guard has the same few sizes
// whatever is in it, and none of them comes from one content alone.
func TestSizesOnTheWire(t *testing.T) {
	seen := func(content func(n int) []byte) map[int]int {
		h := open(t, 1, func(c *Config) { c.PerClient = 1000 })
		var mu sync.Mutex
		of := map[int]int{}
		g, err := DialGuard(t.Context(), GuardConfig{
			Relay: identity(1), Address: h.Address(), Packet: packetSize, wire: func(c net.Conn) net.Conn { return sizes{c, &mu, of} },
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		answers, done := make(chan struct{}, 1), make(chan error, 1)
		go func() { done <- g.Run(ctx, func([]byte) { answers <- struct{}{} }) }()
		packets := func(count int) {
			for n := range count {
				if err := g.Send(content(n)); err != nil {
					t.Fatal(err)
				}
				<-answers
			}
		}
		packets(10) // Go's first records on a connection are short, whatever is in them
		mu.Lock()
		clear(of) // how a connection begins is the same for all
		mu.Unlock()
		packets(40)
		mu.Lock()
		got := maps.Clone(of)
		mu.Unlock()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		return got
	}
	full := func(n int) []byte { return bytes.Repeat([]byte{1, byte(n)}, packetSize/2) }
	empty := func(int) []byte { return make([]byte, packetSize) }
	a, b := seen(full), seen(empty)
	frames := func(of map[int]int) (all []string) {
		for size, n := range of {
			if n >= 40 { // once for each packet; the rest is yamux keeping its windows
				all = append(all, fmt.Sprint(size))
			}
		}
		slices.Sort(all)
		return all
	}
	t.Logf("sizes and how often: %v, %v", a, b)
	if x, y := frames(a), frames(b); !slices.Equal(x, y) || len(x) == 0 || len(x) > 2 || len(a) > 6 || len(b) > 6 {
		t.Errorf("sizes %v with one content, %v with another", a, b)
	}
}
