package p2p

import (
	"crypto/rand"
	"runtime"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
)

// bareHost is an ordinary libp2p host with TCP and Noise.
func bareHost(b *testing.B) host.Host {
	b.Helper()
	k, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	h, err := libp2p.New(
		libp2p.Identity(k), libp2p.Security(noise.ID, noise.New), libp2p.Transport(tcp.NewTCPTransport),
		libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableMetrics(),
	)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = h.Close() })
	return h
}

// BenchmarkConnect measures a connection with its stream and one byte back,
// through the gate with 20 pairs, and reports it beside a bare libp2p host's.
func BenchmarkConnect(b *testing.B) {
	var as, bs []Pair
	for i := range 20 {
		pa, pb := pairOf(i)
		as, bs = append(as, pa), append(bs, pb)
	}
	here, there := started(b, Config{}, as...), started(b, Config{Listen: loopback}, bs...)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for in := range there.Accept() {
			_, _ = in.Conn.Write([]byte{1})
			_ = in.Conn.Close()
		}
	}()
	var ours, bare time.Duration
	n := 0
	from, to := bareHost(b), bareHost(b)
	to.SetStreamHandler(streamProtocol, func(s network.Stream) { _, _ = s.Write([]byte{1}); _ = s.Close() })
	info := peer.AddrInfo{ID: to.ID(), Addrs: to.Addrs()}
	for b.Loop() {
		at := time.Now()
		c := dial(b, here, as[n%20].Handle, there.Addr().String())
		if _, err := c.Read(make([]byte, 1)); err != nil {
			b.Fatal(err)
		}
		ours += time.Since(at)
		_ = c.Close()

		at = time.Now()
		if err := from.Connect(b.Context(), info); err != nil {
			b.Fatal(err)
		}
		s, err := from.NewStream(b.Context(), to.ID(), streamProtocol)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.Read(make([]byte, 1)); err != nil {
			b.Fatal(err)
		}
		bare += time.Since(at)
		_ = from.Network().ClosePeer(to.ID())
		n++
	}
	b.ReportMetric(float64(ours.Microseconds())/float64(n), "gate-µs")
	b.ReportMetric(float64(ours)/float64(bare), "gate/bare")
}

// BenchmarkIdlePair measures what a pair costs while nothing happens.
func BenchmarkIdlePair(b *testing.B) {
	const pairs = 50
	used := func() (bytes uint64, goroutines int) {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse, runtime.NumGoroutine()
	}
	for b.Loop() {
		n := started(b, Config{Listen: loopback})
		before, many := used()
		for i := range pairs {
			p, _ := pairOf(i)
			if err := n.Add(p); err != nil {
				b.Fatal(err)
			}
		}
		middle, more := used()
		for range pairs {
			bareHost(b)
		}
		after, _ := used()
		b.ReportMetric(float64(middle-before)/pairs/1024, "KiB/pair")
		b.ReportMetric(float64(more-many)/pairs, "goroutines/pair")
		b.ReportMetric(float64(middle-before)/float64(after-middle), "pair/bare")
	}
}
