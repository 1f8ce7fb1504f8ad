//go:build unix

package relay

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/p2p/link"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
	"github.com/backchannel/backchannel/relay/mix"
	"github.com/backchannel/backchannel/relay/relaytest"
)

// BenchmarkRelay brings packets from two real links through a relay, each to the other.
// The relay is a process with one processor, and nothing else is in it: what it needs of
// the processor for a packet says how many a second a core passes on. Beside it stand the
// floors: to open one layer, and this with AES-GCM for the two links. The links carry
// [benchRate] frames a second each way, packets or padding: what is padded costs as much
// as a packet, but for the opening.
func BenchmarkRelay(b *testing.B) {
	for _, suite := range []onion.Suite{onion.X25519, onion.Hybrid} {
		b.Run(suite.String(), func(b *testing.B) {
			unwrap, floor := floorOf(b, suite)
			p := newPressure(b, aloneConfig{Suite: suite, Mean: 50 * time.Millisecond, Rate: benchRate, Patient: true})
			packets := p.ready(b)
			before := p.relay.look(b)
			b.ResetTimer()
			p.send(b, packets)
			p.wait(b, func() bool { return p.came.Load() == int64(b.N) })
			b.StopTimer()
			after := p.relay.look(b)
			cpu := after.CPU - before.CPU
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "packets/s")
			b.ReportMetric(float64(b.N)/cpu.Seconds(), "packets/cpu-s")
			b.ReportMetric(float64(cpu.Nanoseconds())/1000/float64(b.N), "cpu-µs/packet")
			b.ReportMetric(float64(unwrap.Nanoseconds())/1000, "unwrap-µs")
			b.ReportMetric(float64(cpu)/float64(b.N)/float64(floor), "cpu/floor")
			b.ReportMetric(float64(after.Memory)/(1<<20), "MiB")
		})
	}
}

// BenchmarkFlood sends more than a relay can hold, with long delays, and never waits. It
// must refuse the rest: what it needs of memory is bounded by the share of the pool that
// each neighbour has.
func BenchmarkFlood(b *testing.B) {
	for _, suite := range []onion.Suite{onion.X25519, onion.Hybrid} {
		b.Run(suite.String(), func(b *testing.B) {
			p := newPressure(b, aloneConfig{Suite: suite, Mean: time.Minute, Rate: benchRate})
			packets := p.ready(b)
			before := p.relay.look(b)
			b.ResetTimer()
			p.send(b, packets)
			var after aloneSight
			p.wait(b, func() bool {
				after = p.relay.look(b)
				return after.Counts[mix.Forwarded]+after.Counts.Dropped()+floodShare(suite) >= uint64(b.N)
			})
			b.StopTimer()
			refused := after.Counts.Dropped() - before.Counts.Dropped()
			b.ReportMetric(float64(refused)/float64(b.N), "refused")
			b.ReportMetric(float64(after.Memory)/(1<<20), "MiB")
			if after.Memory > floodMemory {
				b.Errorf("the relay takes %d MiB", after.Memory>>20)
			}
		})
	}
}

const (
	// benchRate is the frames of a slot of a second, each way.
	benchRate = 6000
	// floodMemory is what a flood may take: twice the whole pool. Two neighbours have a
	// quarter of it, and the collector lets as much lie about.
	floodMemory = 512 << 20
)

// floodShare is how many packets of two neighbours a relay holds.
func floodShare(s onion.Suite) uint64 {
	return 2 * (256 << 20 / 8) / uint64(s.Geometry().Packet)
}

// pressure is the two neighbours of a relay that is measured.
type pressure struct {
	suite onion.Suite
	relay *alone
	hosts [2]*link.Host
	came  atomic.Int64
}

func newPressure(b *testing.B, cfg aloneConfig) *pressure {
	b.Helper()
	p := &pressure{suite: cfg.Suite}
	ctx, cancel := context.WithCancel(b.Context())
	var tasks sync.WaitGroup
	b.Cleanup(func() {
		cancel()
		tasks.Wait()
	})
	for i := range p.hosts {
		h, err := link.Open(link.Config{
			Key: relaytest.Key(2 * i), Listen: "127.0.0.1:0", Packet: cfg.Suite.Geometry().Packet, Slot: time.Second,
			Receive: func(onion.ID, bool, []byte) { p.came.Add(1) },
		})
		if err != nil {
			b.Fatal(err)
		}
		tasks.Go(func() { _ = h.Run(ctx) })
		p.hosts[i], cfg.Neighbours[i] = h, h.Address()
	}
	p.relay = newAlone(b, cfg)
	there := link.Neighbour{Relay: relaytest.Identity(1), Addresses: []string{p.relay.look(b).Address}, Rate: cfg.Rate}
	for _, h := range p.hosts {
		if err := h.Neighbours([]link.Neighbour{there}); err != nil {
			b.Fatal(err)
		}
	}
	p.wait(b, func() bool {
		return p.relay.look(b).Linked == len(p.hosts) && len(p.hosts[0].Linked())+len(p.hosts[1].Linked()) == 2
	})
	return p
}

// wait waits until something holds.
func (*pressure) wait(b *testing.B, holds func() bool) {
	b.Helper()
	for end := time.Now().Add(5 * time.Minute); !holds(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(end) {
			b.Fatal("packets were lost, or the links never came")
		}
	}
}

// send lets both neighbours send their halves at once.
func (p *pressure) send(b *testing.B, packets [2][][]byte) {
	b.Helper()
	var both sync.WaitGroup
	for i, h := range p.hosts {
		both.Go(func() {
			for _, packet := range packets[i] {
				for h.Send(relaytest.ID(1), packet) != nil {
					<-time.After(time.Millisecond)
				}
			}
		})
	}
	both.Wait()
}

// used is the processor's time that this process has used.
func used(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// floorOf is the least time of the processor that a packet takes: to open it, and this
// with AES-GCM, once for the link that it came on and once for that on which it leaves.
func floorOf(b *testing.B, suite onion.Suite) (unwrap, floor time.Duration) {
	b.Helper()
	key, err := onion.NewPrivateKey(suite, secret.New(&[32]byte{1}))
	if err != nil {
		b.Fatal(err)
	}
	coins, err := secret.Read(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	here := onion.Hop{ID: relaytest.ID(1), Key: key.Public()}
	packet, _, err := onion.Create(coins, onion.Request{
		Suite: suite, Out: []onion.Hop{here, {ID: relaytest.ID(2), Key: key.Public()}}, Back: []onion.Hop{here}, Home: onion.ID{1},
		Command: onion.Get, Box: new(wire.Box),
	})
	if err != nil {
		b.Fatal(err)
	}
	relay := onion.NewRelay(here.ID, key, func(onion.Tag) bool { return true })
	block, err := aes.NewCipher(make([]byte, 16))
	if err != nil {
		b.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		b.Fatal(err)
	}
	const times = 2000
	nonce, out := make([]byte, gcm.NonceSize()), make([]byte, 0, 2*len(packet))
	before := used(b)
	for range times {
		if _, err := relay.Unwrap(bytes.Clone(packet), onion.ID{3}); err != nil {
			b.Fatal(err)
		}
	}
	unwrap = (used(b) - before) / times
	out = gcm.Seal(out, nonce, packet, nil)
	into := make([]byte, 0, len(packet))
	before = used(b)
	for range times {
		if _, err := gcm.Open(into, nonce, out, nil); err != nil {
			b.Fatal(err)
		}
		gcm.Seal(out[:0], nonce, packet, nil)
	}
	return unwrap, unwrap + (used(b)-before)/times
}

// ready makes b.N packets, half of them for each way.
func (p *pressure) ready(b *testing.B) (packets [2][][]byte) {
	b.Helper()
	key, err := onion.ParsePublicKey(p.suite, p.relay.look(b).Key)
	if err != nil {
		b.Fatal(err)
	}
	here := onion.Hop{ID: relaytest.ID(1), Key: key}
	for n := range b.N {
		i := n % len(p.hosts)
		coins, err := secret.Read(rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		packet, _, err := onion.Create(coins, onion.Request{
			Suite: p.suite, Out: []onion.Hop{here, {ID: relaytest.ID(2 - 2*i), Key: key}},
			Back: []onion.Hop{here}, Home: onion.ID{1}, Command: onion.Get, Box: new(wire.Box),
		})
		if err != nil {
			b.Fatal(err)
		}
		packets[i] = append(packets[i], packet)
	}
	return packets
}
