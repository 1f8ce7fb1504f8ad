package onion

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/secret"
)

// auc is the chance that a positive scores above a negative.
func auc(positive, negative []float64) float64 {
	var won float64
	for _, p := range positive {
		for _, n := range negative {
			switch {
			case p > n:
				won++
			case p == n:
				won += 0.5
			}
		}
	}
	return won / float64(len(positive)*len(negative))
}

// A linear classifier weighs every bit by the difference of its means in two sets.
type linear []float64

func trainBits(a, b [][]byte) linear {
	w := make(linear, 8*len(a[0]))
	for sign, set := range map[float64][][]byte{1: a, -1: b} {
		for _, row := range set {
			for i := range w {
				w[i] += sign * float64(row[i/8]>>(i%8)&1) / float64(len(set))
			}
		}
	}
	return w
}

func (w linear) score(row []byte) (sum float64) {
	for i := range w {
		sum += w[i] * float64(row[i/8]>>(i%8)&1)
	}
	return sum
}

// learned trains on the first half of both sets and returns the AUC on the second.
func learned(a, b [][]byte) float64 {
	h := len(a) / 2
	w := trainBits(a[:h], b[:h])
	var pa, pb []float64
	for i := h; i < len(a); i++ {
		pa, pb = append(pa, w.score(a[i])), append(pb, w.score(b[i]))
	}
	return auc(pa, pb)
}

// A traveller makes packets with fresh coins.
type traveller struct {
	*network
	rng interface{ Read([]byte) (int, error) }
}

func (v traveller) create(t *testing.T, r Request) ([]byte, *ReplyKeys) {
	t.Helper()
	coins, err := secret.Read(v.rng)
	if err != nil {
		t.Fatal(err)
	}
	packet, keys, err := Create(coins, r)
	if err != nil {
		t.Fatal(err)
	}
	return packet, keys
}

// seen is all that relay i of the network can compute from a packet: what came, its
// keys, what stands behind its block, what goes on. Its own block is left out: it
// names the next relay, which the relay may know.
func (v traveller) seen(t *testing.T, i int, packet []byte) []byte {
	p := peel(t, v.suite, secret.New(&[32]byte{byte(i + 1)}), v.hops[i].ID, packet)
	return slices.Concat(packet, p.keys, p.leftover, p.own[40+exchange:], p.next)
}

// TestForwardAndReplyLookAlike trains a classifier to tell packets on their way out
// from replies, and long ways from short ones, at one relay that passes both on.
func TestForwardAndReplyLookAlike(t *testing.T) {
	each := 300
	if testing.Short() {
		each = 100
	}
	// Four and a half standard deviations of what chance gives on the half that is
	// not trained on.
	chance := 4.5 * math.Sqrt(float64(each+1)/12) / (float64(each) / 2)
	forEach(t, func(t *testing.T, s Suite) {
		v := traveller{newNetwork(t, s, 5), prototest.Reader(11)}
		if s == Hybrid {
			v.rng = prototest.Reader(12)
		}
		const at = 1 // the second hop out, and the second one back
		long, short, reply := v.request(4, 1), v.request(4, 1), v.request(1, 1)
		long.Out = []Hop{v.hops[0], v.hops[1], v.hops[2], v.hops[3]}
		short.Out = []Hop{v.hops[0], v.hops[1], v.hops[2]}
		long.Back, short.Back = v.hops[4:], v.hops[4:]
		reply.Out, reply.Back = v.hops[3:4], []Hop{v.hops[0], v.hops[1], v.hops[2]}
		var rows [3][][]byte
		for range each {
			for class, r := range []Request{long, short} {
				packet, _ := v.create(t, r)
				rows[class] = append(rows[class], v.seen(t, at, v.carry(t, packet, 0, 0).Packet))
			}
			packet, _ := v.create(t, reply)
			surb := v.carry(t, packet, 3, 3).Body.SURB
			packet = v.carry(t, surb.Use(Answer{Box: exampleBox(1)}), 0, 0).Packet
			rows[2] = append(rows[2], v.seen(t, at, packet))
		}
		for name, pair := range map[string][2]int{"long and short": {0, 1}, "out and back": {1, 2}} {
			if got := learned(rows[pair[0]], rows[pair[1]]); math.Abs(got-0.5) > chance {
				t.Errorf("%s: area under the curve %.3f", name, got)
			} else {
				t.Logf("%s: area under the curve %.3f", name, got)
			}
		}
		for _, row := range rows[2] { // control: one byte that is mostly zero
			row[1000] &= row[1001]
			row[1000] &= row[1002]
		}
		planted := 8 * 1000
		if w := trainBits(rows[1], rows[2]); math.Abs(w[planted]) < 0.2 {
			t.Errorf("the classifier gives a planted byte the weight %.2f", w[planted])
		}
	})
}

// TestTwoRelaysAroundAnHonestOne: the relays before and after an honest one try to
// see that a packet is the same. What the first put out is held against what the
// last can compute, at every distance of a block, bit for bit.
func TestTwoRelaysAroundAnHonestOne(t *testing.T) {
	const each = 200
	forEach(t, func(t *testing.T, s Suite) {
		v := traveller{newNetwork(t, s, 4), prototest.Reader(13)}
		g := s.Geometry()
		first, last := make([][]byte, each), make([][]byte, each)
		for i := range each {
			packet, _ := v.create(t, v.request(3, 1))
			p := peel(t, s, secret.New(&[32]byte{1}), v.hops[0].ID, packet)
			first[i] = slices.Concat(packet[adSize:], p.next[adSize:], p.leftover)
			n := v.carry(t, packet, 0, 1).Packet
			p = peel(t, s, secret.New(&[32]byte{3}), v.hops[2].ID, n)
			last[i] = slices.Concat(n[adSize:], p.next[adSize:], p.leftover)
		}
		score := func(a, b []byte) (worst float64) {
			for shift := -4; shift <= 4; shift++ {
				x, y := a[max(0, shift)*g.Block:], b[max(0, -shift)*g.Block:]
				n := min(len(x), len(y))
				for from := 0; from+g.Block <= n; from += g.Block {
					d := differing(x[from:from+g.Block], y[from:from+g.Block])
					worst = max(worst, math.Abs(d-float64(4*g.Block)))
				}
			}
			return worst
		}
		var same, other []float64
		for i := range each {
			same = append(same, score(first[i], last[i]))
			other = append(other, score(first[i], last[(i+1)%each]))
		}
		got := auc(same, other)
		if math.Abs(got-0.5) > 0.12 {
			t.Errorf("area under the curve %.3f", got)
		}
		t.Logf("area under the curve %.3f", got)
		subtle.XORBytes(last[0][:g.Block], first[0][g.Block:], make([]byte, g.Block)) // control
		if score(first[0], last[0]) <= slices.Max(other) {
			t.Error("one block that is the same is not noticed")
		}
	})
}

// TestTagging is what remains: the first relay alters a payload, and a last one in
// league with it sees that a payload is noise. That is one bit, the packet is lost,
// and its sender misses the reply. The test says how far it goes: the noise says
// nothing of what was altered, the mark does not reach the header, and a second
// mark cannot undo the first.
func TestTagging(t *testing.T) {
	forEach(t, func(t *testing.T, s Suite) {
		v := traveller{newNetwork(t, s, 4), prototest.Reader(14)}
		g := s.Geometry()
		packet, _ := v.create(t, v.request(3, 1))
		noise := func(mark, undo []byte) []byte {
			b := bytes.Clone(packet)
			subtle.XORBytes(b[g.Header:], b[g.Header:], mark)
			v.carry(t, b, 0, 1) // through the honest one: it notices nothing
			subtle.XORBytes(b[g.Header:], b[g.Header:], undo)
			if _, err := v.relays[2].Unwrap(b, ID{}); !errors.Is(err, ErrPayload) {
				t.Fatalf("an altered payload at the exit: %v", err)
			}
			return b[g.Header:]
		}
		zero, mark, other := make([]byte, g.Payload), make([]byte, g.Payload), make([]byte, g.Payload)
		mark[40], other[40] = 1, 2
		a, b, c := noise(mark, zero), noise(other, zero), noise(mark, mark)
		spread := 3.5 * math.Sqrt(8*float64(g.Payload)) // seven deviations
		for name, pair := range map[string][2][]byte{"two marks": {a, b}, "mark undone": {a, c}, "mark and undone": {b, c}} {
			if d := differing(pair[0], pair[1]); math.Abs(d-4*float64(g.Payload)) > spread {
				t.Errorf("%s: %v bits differ", name, d)
			}
		}
	})
}
