//go:build unix

package relay

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/p2p/link"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
	"github.com/backchannel/backchannel/relay/mix"
	"github.com/backchannel/backchannel/relay/relaytest"
)

// BenchmarkRelay brings packets from one real link through a mix to another. The two other
// ends are in this process, too: a relay alone does more. Beside it stands the floor: to
// open one layer, and to seal and open a packet's bytes on each of two links. Time is that
// of the processor, so that other programs on the machine do not matter. The links carry
// [benchRate] frames a second each way, packets or padding: what is padded costs as much
// as a packet, but for the opening.
func BenchmarkRelay(b *testing.B) {
	for _, suite := range []onion.Suite{onion.X25519, onion.Hybrid} {
		b.Run(suite.String(), func(b *testing.B) { through(b, suite) })
	}
}

func through(b *testing.B, suite onion.Suite) {
	floor := floorOf(b, suite)
	w := relaytest.New(b, directory.Constants{Suite: suite, Slot: time.Second, Mean: 50 * time.Millisecond})
	ctx, cancel := context.WithCancel(b.Context())
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel()
	var came atomic.Int64
	var r Relay
	host := func(i int, receive func(onion.ID, bool, []byte)) *link.Host {
		h, err := link.Open(link.Config{
			Key: relaytest.Key(i), Listen: "127.0.0.1:0", Packet: suite.Geometry().Packet, Slot: time.Second, Receive: receive,
		})
		if err != nil {
			b.Fatal(err)
		}
		tasks.Go(func() { _ = h.Run(ctx) })
		return h
	}
	from := host(0, func(onion.ID, bool, []byte) {})
	r.host = host(1, func(id onion.ID, _ bool, p []byte) {
		for !r.mix.Receive(mix.Source{ID: id}, p) {
			<-time.After(time.Millisecond) // so that nothing is refused: the sender waits
		}
	})
	to := host(2, func(onion.ID, bool, []byte) { came.Add(1) })
	var err error
	if r.mix, err = mix.Open(mix.Config{Network: w.Network, ID: relaytest.ID(1), LoopEvery: -1}, links{&r}, nil); err != nil {
		b.Fatal(err)
	}
	tasks.Go(func() { _ = r.mix.Run(ctx) })
	near := func(i int, h *link.Host) link.Neighbour {
		return link.Neighbour{Relay: relaytest.Identity(i), Addresses: []string{h.Address()}, Rate: benchRate}
	}
	if err := errors.Join(from.Neighbours([]link.Neighbour{near(1, r.host)}), to.Neighbours([]link.Neighbour{near(1, r.host)}),
		r.host.Neighbours([]link.Neighbour{near(0, from), near(2, to)})); err != nil {
		b.Fatal(err)
	}
	for len(r.host.Linked()) < 2 {
		<-time.After(10 * time.Millisecond)
	}
	packets := ready(ctx, b, &r, suite)
	b.ResetTimer()
	before := used(b)
	for _, p := range packets {
		for from.Send(relaytest.ID(1), p) != nil {
			<-time.After(time.Millisecond)
		}
	}
	for came.Load() < int64(b.N) {
		<-time.After(time.Millisecond)
	}
	cpu := used(b) - before
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "packets/s")
	b.ReportMetric(float64(cpu.Microseconds())/float64(b.N), "cpu-µs/packet")
	b.ReportMetric(float64(floor.Nanoseconds())/1000, "floor-µs")
	b.ReportMetric(float64(cpu)/float64(b.N)/float64(floor), "cpu/floor")
}

// benchRate is the frames of a slot of a second, each way.
const benchRate = 1 << 14

// used is the processor's time that this process has used.
func used(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// floorOf is the least time of the processor that a packet takes: to open it, and AES-GCM
// four times.
func floorOf(b *testing.B, suite onion.Suite) time.Duration {
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
		for range 2 {
			out = gcm.Seal(out[:0], nonce, packet, nil)
			if _, err := gcm.Open(out[:0], nonce, out, nil); err != nil {
				b.Fatal(err)
			}
		}
	}
	return (used(b) - before) / times
}

// ready makes packets that relay 1 passes on to relay 2.
func ready(ctx context.Context, b *testing.B, r *Relay, suite onion.Suite) [][]byte {
	_, keys, err := r.mix.Keys(ctx)
	if err != nil {
		b.Fatal(err)
	}
	request := onion.Request{
		Suite: suite, Out: []onion.Hop{{ID: relaytest.ID(1), Key: keys[0]}, {ID: relaytest.ID(2), Key: keys[0]}},
		Back: []onion.Hop{{ID: relaytest.ID(1), Key: keys[0]}}, Home: onion.ID{1}, Command: onion.Get, Box: new(wire.Box),
	}
	packets := make([][]byte, b.N)
	for i := range packets {
		coins, err := secret.Read(rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		if packets[i], _, err = onion.Create(coins, request); err != nil {
			b.Fatal(err)
		}
	}
	return packets
}
