// Package peers_test measures the packets of relays beside those of another
// program, in one run. It is a module of its own, so that the other program is
// none of this one's dependencies:
//
//	cd protocol/onion/testdata/peers && go test -bench . -benchtime 1x -cpu 1
package peers_test

import (
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"
	sphinx "github.com/lightningnetwork/lightning-onion"

	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

const hops = 4

// BenchmarkBesideLightning compares one unwrap, without a log of replays on either
// side, and the making of a packet over four hops. Lightning's packet has 1,366
// bytes and no payload; ours carry a box and a reply block with a way of its own.
func BenchmarkBesideLightning(b *testing.B) {
	names := []string{"lightning", "X25519", "Hybrid"}
	create := []func(){lightningCreate(b), ourCreate(b, onion.X25519), ourCreate(b, onion.Hybrid)}
	unwrap := []func(){lightningUnwrap(b), ourUnwrap(b, onion.X25519), ourUnwrap(b, onion.Hybrid)}
	made, opened := make([]time.Duration, 3), make([]time.Duration, 3)
	for b.Loop() {
		for round := range 300 {
			for i := range names {
				fastest(&made[i], create[i], round)
				fastest(&opened[i], unwrap[i], round)
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	for i, name := range names {
		b.ReportMetric(float64(opened[i].Nanoseconds())/1000, name+"-unwrap-µs")
		b.ReportMetric(float64(made[i].Nanoseconds())/1000, name+"-create-µs")
		b.Logf("%-10s unwrap %8v, lightning takes %.2f times as long; create %8v, %.2f", name,
			opened[i], float64(opened[0])/float64(opened[i]), made[i], float64(made[0])/float64(made[i]))
	}
}

func fastest(best *time.Duration, run func(), round int) {
	start := time.Now()
	run()
	if took := time.Since(start); round == 0 || took < *best {
		*best = took
	}
}

func lightningPath(b *testing.B) (*sphinx.PaymentPath, *btcec.PrivateKey) {
	var path sphinx.PaymentPath
	var first *btcec.PrivateKey
	for i := range hops {
		key, err := btcec.NewPrivateKey()
		if err != nil {
			b.Fatal(err)
		}
		if i == 0 {
			first = key
		}
		payload, err := sphinx.NewLegacyHopPayload(&sphinx.HopData{NextAddress: [8]byte{byte(i)}})
		if err != nil {
			b.Fatal(err)
		}
		path[i] = sphinx.OnionHop{NodePub: *key.PubKey(), HopPayload: payload}
	}
	return &path, first
}

func lightningCreate(b *testing.B) func() {
	path, session := lightningPath(b)
	return func() {
		if _, err := sphinx.NewOnionPacket(path, session, nil, sphinx.DeterministicPacketFiller); err != nil {
			b.Fatal(err)
		}
	}
}

func lightningUnwrap(b *testing.B) func() {
	path, first := lightningPath(b)
	session, err := btcec.NewPrivateKey()
	if err != nil {
		b.Fatal(err)
	}
	packet, err := sphinx.NewOnionPacket(path, session, nil, sphinx.DeterministicPacketFiller)
	if err != nil {
		b.Fatal(err)
	}
	router := sphinx.NewRouter(&sphinx.PrivKeyECDH{PrivKey: first}, sphinx.NewMemoryReplayLog())
	return func() {
		if _, err := router.ReconstructOnionPacket(packet, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func ours(b *testing.B, s onion.Suite) (onion.Request, *onion.Relay) {
	var first *onion.Relay
	var way []onion.Hop
	for i := range 2 * hops {
		key, err := onion.NewPrivateKey(s, secret.New(&[32]byte{byte(i)}))
		if err != nil {
			b.Fatal(err)
		}
		id := onion.ID{byte(i + 1)}
		if i == 0 {
			first = onion.NewRelay(id, key, func(onion.Tag) bool { return true })
		}
		way = append(way, onion.Hop{ID: id, Key: key.Public()})
	}
	return onion.Request{Suite: s, Out: way[:hops], Back: way[hops:], Home: onion.ID{1}, Command: onion.Get, Box: new(wire.Box)}, first
}

func ourCreate(b *testing.B, s onion.Suite) func() {
	request, _ := ours(b, s)
	return func() {
		if _, _, err := onion.Create(secret.New(&[32]byte{1}), request); err != nil {
			b.Fatal(err)
		}
	}
}

func ourUnwrap(b *testing.B, s onion.Suite) func() {
	request, relay := ours(b, s)
	packet, _, err := onion.Create(secret.New(&[32]byte{1}), request)
	if err != nil {
		b.Fatal(err)
	}
	work := make([]byte, len(packet))
	return func() {
		copy(work, packet)
		if _, err := relay.Unwrap(work, onion.ID{}); err != nil {
			b.Fatal(err)
		}
	}
}
