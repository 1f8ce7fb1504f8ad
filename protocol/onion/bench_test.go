package onion

import (
	"crypto/rand"
	"slices"
	"testing"
	"time"

	curve "github.com/cloudflare/circl/dh/x25519"

	"github.com/backchannel/backchannel/protocol/kem"
	"github.com/backchannel/backchannel/protocol/secret"
)

// A step is one thing that is timed, and its place in a table.
type step struct {
	name string
	run  func()
}

// fastest runs the steps in turns, and returns the least time that each took: on
// a busy machine the least is what comes nearest to the truth, and turns let all
// of them meet the same machine.
func fastest(rounds int, steps []step) []time.Duration {
	const batch = 4
	best := slices.Repeat([]time.Duration{time.Hour}, len(steps))
	for range rounds {
		for i, s := range steps {
			start := time.Now()
			for range batch {
				s.run()
			}
			best[i] = min(best[i], time.Since(start)/batch)
		}
	}
	return best
}

// BenchmarkBesideTheFloor measures a relay's and a sender's work beside the bare
// key exchanges, KEM and symmetric passes in it, in one run.
func BenchmarkBesideTheFloor(b *testing.B) {
	for _, s := range []Suite{X25519, Hybrid} {
		b.Run(s.String(), func(b *testing.B) {
			n := newNetwork(b, s, 8)
			req := n.request(4, 4)
			packet, _ := n.create(b, req)
			work := make([]byte, len(packet))
			forward := func() {
				copy(work, packet)
				if _, err := n.relays[0].Unwrap(work, ID{}); err != nil {
					b.Fatal(err)
				}
			}
			short := n.request(3, 2)
			coins := secret.FromBytes(random32())
			create := func(r Request) func() {
				return func() {
					if _, _, err := Create(coins, r); err != nil {
						b.Fatal(err)
					}
				}
			}
			oneWay := func() {
				g := s.Geometry()
				bd := &builder{suite: s, g: g, root: coins, keys: newDeriver(s)}
				keys, err := bd.header(work[:g.Header], 'o', req.Out, block{action: Exit})
				if err != nil {
					b.Fatal(err)
				}
				for i := range keys {
					newLioness().encrypt(&keys[i].wide, work[g.Header:])
				}
			}
			steps := append(floor(s, n, packet), step{"unwrap", forward}, step{"create, 4 hops out", oneWay},
				step{"create, 3 out and 2 back", create(short)}, step{"create, 4 out and 4 back", create(req)})
			var best []time.Duration
			for b.Loop() {
				best = fastest(200, steps)
			}
			report(b, steps, best)
		})
	}
}

// floor lists the bare work in one unwrap.
func floor(s Suite, n *network, packet []byte) []step {
	var shared, private, public curve.Key
	copy(private[:], random32())
	copy(public[:], n.hops[0].Key.Bytes())
	var key [wideKeySize]byte
	g, wide, hash := s.Geometry(), newLioness(), newHasher()
	payload, header := slices.Clone(packet[g.Header:]), slices.Clone(packet[:g.Header+g.Block])
	var sum [32]byte
	steps := []step{
		{"X25519", func() { curve.Shared(&shared, &private, &public) }},
		{"X25519 key", func() { curve.KeyGen(&shared, &private) }},
		{"wide block", func() { wide.decrypt(&key, payload) }},
		{"header: HMAC and AES", func() { hash.mac(&sum, sum[:], header); xorStream(&sum, header) }},
	}
	if s == Hybrid {
		ct := (*[kem.CiphertextSize]byte)(packet[adSize+exchange:])
		ek := (*[kem.PublicSize]byte)(n.hops[0].Key.Bytes()[exchange:])
		steps = append(steps, step{"ML-KEM decapsulation", func() { n.keys[0].kem.Decapsulate(&sum, ct) }},
			step{"ML-KEM encapsulation", func() { _, _, _ = kem.Encapsulate(ek, &sum) }})
	}
	return steps
}

// report prints the table and the ratios.
func report(b *testing.B, steps []step, best []time.Duration) {
	took := map[string]float64{}
	for i, st := range steps {
		took[st.name] = float64(best[i].Nanoseconds()) / 1000
		b.Logf("%-26s %8.1f µs", st.name, took[st.name])
	}
	hop := took["X25519"] + took["X25519 key"] + took["ML-KEM encapsulation"]
	bare := took["X25519"] + took["ML-KEM decapsulation"] + took["wide block"] + took["header: HMAC and AES"]
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(took["unwrap"], "unwrap-µs")
	b.ReportMetric(took["unwrap"]/bare, "unwrap/floor")
	b.ReportMetric(took["create, 4 hops out"], "create4-µs")
	b.ReportMetric(took["create, 4 hops out"]/(4*(hop+took["wide block"])), "create4/floor")
	b.ReportMetric(took["create, 4 out and 4 back"]/(8*hop+4*took["wide block"]), "create8/floor")
}

func random32() []byte {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	return b
}
