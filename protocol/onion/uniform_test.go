package onion

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"testing"

	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/secret"
)

// A histogram counts the values of bytes, and ones at every position.
type histogram struct {
	values [256]float64
	ones   []float64
	rows   float64
}

func (h *histogram) add(b []byte) {
	if h.ones == nil {
		h.ones = make([]float64, 8*len(b))
	}
	h.rows++
	for i, c := range b {
		h.values[c]++
		for bit := range 8 {
			h.ones[8*i+bit] += float64(c >> bit & 1)
		}
	}
}

// deviations returns how far the byte values, and the bits by their positions,
// lie from uniform: chi-square, as a number of standard deviations from what is
// expected of it; p > 0.001 is below 3.3 or so. worst is the position that lies
// farthest off, alone.
func (h *histogram) deviations() (values, positions, worst float64) {
	want := h.rows * float64(len(h.ones)) / 8 / 256
	for _, n := range h.values {
		values += (n - want) * (n - want) / want
	}
	for _, n := range h.ones {
		d := n - h.rows/2
		positions += d * d / (h.rows / 4)
		worst = max(worst, math.Abs(d)/math.Sqrt(h.rows/4))
	}
	n := float64(len(h.ones))
	return (values - 255) / math.Sqrt(2*255), (positions - n) / math.Sqrt(2*n), worst
}

// twoSample returns how far two histograms of byte values lie from each other, in
// the same measure.
func twoSample(a, b *histogram) float64 {
	var chi float64
	na, nb := a.rows*float64(len(a.ones)), b.rows*float64(len(b.ones))
	for i := range a.values {
		d := a.values[i]*math.Sqrt(nb/na) - b.values[i]*math.Sqrt(na/nb)
		chi += d * d / (a.values[i] + b.values[i])
	}
	return (chi - 255) / math.Sqrt(2*255)
}

// limit is the most that a deviation may be: p = 0.001 for one, less for the
// couple of hundred that are looked at together; and limitOne for a position among
// some millions. The seeds are fixed.
const (
	limit    = 4.5
	limitOne = 6.5
)

// TestHeadersAndLeftoversAreUniform looks at what relays see, for every number of
// hops and at every hop, out and back: the encrypted blocks with their MAC, and
// what is left behind a relay's own block. The ciphertext is left out: an X25519
// key and one of ML-KEM are not uniform bytes, by their nature, and stand at the
// same place in every packet.
func TestHeadersAndLeftoversAreUniform(t *testing.T) {
	rows := 300
	if testing.Short() {
		rows = 60
	}
	forEach(t, func(t *testing.T, s Suite) {
		g := s.Geometry()
		n := newNetwork(t, s, MaxHops+1)
		rng := prototest.Reader(5)
		judge := func(name string, h *histogram) {
			if v, p, w := h.deviations(); v > limit || p > limit || w > limitOne || h.rows == 0 {
				t.Errorf("%s: values %.1f, positions %.1f, one position %.1f deviations from uniform", name, v, p, w)
			}
		}
		var last [MaxHops + 1][2]histogram
		for hops := 1; hops <= MaxHops; hops++ {
			for way, end := range []block{{action: Exit}, {action: Deliver, next: ID{1}, mac: [macSize]byte{2}}} {
				headers := make([]histogram, hops)
				packet := make([]byte, g.Packet)
				for range rows / 2 {
					root, err := secret.Read(rng)
					if err != nil {
						t.Fatal(err)
					}
					b := &builder{suite: s, g: g, root: root, keys: newDeriver(s)}
					if _, err := b.header(packet[:g.Header], 'o', n.hops[:hops], end); err != nil {
						t.Fatal(err)
					}
					next := bytes.Clone(packet)
					for i := range hops {
						headers[i].add(next[adSize+g.Ciphertext : g.Header])
						p := peel(t, s, secret.New(&[32]byte{byte(i + 1)}), n.hops[i].ID, next)
						if i == hops-1 {
							last[hops][way].add(p.leftover)
						}
						next = p.next
					}
				}
				for i := range headers {
					judge("header", &headers[i])
				}
				judge("leftover", &last[hops][way])
			}
		}
		for hops := 2; hops <= MaxHops; hops++ {
			for way := range 2 {
				if d := twoSample(&last[1][way], &last[hops][way]); d > limit {
					t.Errorf("leftovers of 1 and %d hops differ by %.1f deviations", hops, d)
				}
			}
		}
	})
}

// TestUniformityTestNotices shows the measure some faults.
func TestUniformityTestNotices(t *testing.T) {
	rng := prototest.Reader(6)
	for name, spoil := range map[string]func([]byte){
		"a byte that is always zero": func(b []byte) { b[17] = 0 },
		"a bit that is mostly set":   func(b []byte) { b[3] |= b[4] & 1 },
		"a block of zeros":           func(b []byte) { clear(b[72:144]) },
		"values that are slightly rare": func(b []byte) {
			for i := range b {
				b[i] &^= b[i] / 250
			}
		},
	} {
		var h histogram
		for range 300 {
			b := make([]byte, 288)
			rng.Read(b)
			spoil(b)
			h.add(b)
		}
		if v, p, w := h.deviations(); v < limit && p < limit && w < limitOne {
			t.Errorf("%s: not noticed (%.1f, %.1f, %.1f)", name, v, p, w)
		}
	}
}

// TestAlteredPayload flips one bit of a payload as it comes to the first relay, in
// every byte, 10,000 times and more, and looks at the exit: half the bits differ,
// and the exit refuses it.
func TestAlteredPayload(t *testing.T) {
	forEach(t, func(t *testing.T, s Suite) {
		g := s.Geometry()
		trials, stride := max(10000, g.Payload), 1
		if testing.Short() {
			trials, stride = 1000, 11
		}
		n := newNetwork(t, s, 3)
		packet, _ := n.create(t, n.request(2, 1))
		plain := bytes.Clone(packet)
		n.carry(t, plain, 0, 1)
		work := make([]byte, g.Packet)
		var sum, least, most float64 = 0, 1, 0
		size := float64(8 * g.Payload)
		for i := range trials {
			at := i * stride % g.Payload
			copy(work, packet)
			work[g.Header+at] ^= 1 << ((i + i/g.Payload) % 8)
			n.carry(t, work, 0, 0)
			if _, err := n.relays[1].Unwrap(work, ID{}); err != ErrPayload {
				t.Fatalf("byte %d altered: %v", at, err)
			}
			share := differing(work[g.Header:], plain[g.Header:]) / size
			sum, least, most = sum+share, min(least, share), max(most, share)
		}
		spread := 0.5 / math.Sqrt(size) // of one trial
		if mean := sum / float64(trials); math.Abs(mean-0.5) > 0.001 || least < 0.5-6*spread || most > 0.5+6*spread {
			t.Errorf("%.4f of the bits differ, %.4f to %.4f", mean, least, most)
		} else {
			t.Logf("%d trials: %.4f of the bits differ, %.4f to %.4f", trials, mean, least, most)
		}
	})
}

// TestWideBlockMixesEveryBit flips every single bit, in both directions; of the
// longer payload every fifth, which comes to each byte.
func TestWideBlockMixesEveryBit(t *testing.T) {
	forEach(t, func(t *testing.T, s Suite) {
		var key [wideKeySize]byte
		prototest.Reader(1).Read(key[:])
		g := s.Geometry()
		plain := make([]byte, g.Payload)
		prototest.Reader(2).Read(plain)
		step := map[Suite]int{X25519: 1, Hybrid: 5}[s]
		if testing.Short() {
			step = 37
		}
		w := newLioness()
		for name, pass := range map[string]func([]byte){
			"encrypt": func(b []byte) { w.encrypt(&key, b) }, "decrypt": func(b []byte) { w.decrypt(&key, b) },
		} {
			want, work := bytes.Clone(plain), make([]byte, g.Payload)
			pass(want)
			size := float64(8 * g.Payload)
			for bit := 0; bit < 8*g.Payload; bit += step {
				copy(work, plain)
				work[bit/8] ^= 1 << (bit % 8)
				pass(work)
				if share := differing(work, want) / size; math.Abs(share-0.5) > 3.5/math.Sqrt(size) { // seven spreads
					t.Fatalf("%s, bit %d: %.4f of the bits differ", name, bit, share)
				}
			}
		}
	})
}

// differing counts the bits that differ.
func differing(a, b []byte) float64 {
	n := 0
	for ; len(a) >= 8; a, b = a[8:], b[8:] {
		n += bits.OnesCount64(binary.LittleEndian.Uint64(a) ^ binary.LittleEndian.Uint64(b))
	}
	for i := range a {
		n += bits.OnesCount8(a[i] ^ b[i])
	}
	return float64(n)
}
