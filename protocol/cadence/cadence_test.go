package cadence_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/secret"
)

const slotLength = 30 * time.Second

var seed = secret.New(&[32]byte{7})

func TestVectors(t *testing.T) {
	var made []prototest.Vector
	for _, x := range []uint64{0, 1, 1 << 32, 1 << 62, 1<<63 - 1, 1 << 63, 0x123456789abcdef0, 1<<64 - 2, 1<<64 - 1} {
		var s [cadence.SeedSize]byte
		binary.BigEndian.PutUint64(s[:], x)
		made = append(made, prototest.Vector{
			"name": "delay", "seed": prototest.Hex(s[:]),
			"mean 2 s": fmt.Sprint(int64(cadence.Delay(s, 2*time.Second))), "mean 7.3 s": fmt.Sprint(int64(cadence.Delay(s, 7300*time.Millisecond))),
		})
	}
	v := prototest.Vector{"name": "slot 59837760 of 30 s: emissions as kind, lane, nanoseconds; seed 07 00.."}
	for i, e := range cadence.Emissions(seed, 59837760, slotLength) {
		v[fmt.Sprintf("%02d", i)] = fmt.Sprintf("%d %d %d", e.Kind, e.Lane, e.At)
	}
	w := prototest.Vector{"name": "turns from slot 59837760 on: contact, period; contacts of periods 1 2 4 8 8; lag 3; seed 07 00.."}
	contacts := []cadence.Period{1, 2, 4, 8, 8}
	for i := range cadence.Slot(8) {
		w[fmt.Sprintf("write %d", i)] = fmt.Sprint(cadence.Writers(seed, contacts, 59837760+i))
		w[fmt.Sprintf("read %d", i)] = fmt.Sprint(cadence.Readers(seed, contacts, 59837760+i, 3))
	}
	prototest.Replay(t, "testdata/cadence.json", append(made, v, w))
}

func TestSlotsAndLag(t *testing.T) {
	if s, in := cadence.At(61*time.Second, slotLength); s != 2 || in != time.Second {
		t.Errorf("At = %d, %v", s, in)
	}
	for mean, want := range map[time.Duration]cadence.Slot{
		time.Millisecond: 3, 2 * time.Second: 3, 5 * time.Second: 3, 5*time.Second + 1: 4, 6 * time.Second: 4, 10*time.Second + 1: 5,
	} {
		if got := cadence.ReadLag(mean, slotLength); got != want {
			t.Errorf("lag at mean %v = %d, want %d", mean, got, want)
		}
	}
}

// TestDelayIsExponential holds it against the library's logarithm, and its
// distribution against the law.
func TestDelayIsExponential(t *testing.T) {
	rng := prototest.Reader(1)
	const mean = 2 * time.Second
	n := 100000
	all := make([]float64, n)
	var sum float64
	for i := range all {
		var s [cadence.SeedSize]byte
		rng.Read(s[:])
		d := cadence.Delay(s, mean)
		u := (float64(binary.BigEndian.Uint64(s[:])) + 1) / math.Exp2(64)
		if want := min(-math.Log(u), cadence.Longest) * float64(mean); math.Abs(float64(d)-want) > 5 {
			t.Fatalf("seed %x: %d ns, want %.1f", s, d, want)
		}
		all[i] = float64(d) / float64(mean)
		sum += all[i]
	}
	if m := sum / float64(n); math.Abs(m-1) > 0.015 {
		t.Errorf("the mean is %.4f of what was asked for", m)
	}
	slices.Sort(all)
	var worst float64 // Kolmogorov and Smirnov
	for i, x := range all {
		if x < cadence.Longest {
			worst = max(worst, math.Abs(1-math.Exp(-x)-float64(i)/float64(n)))
		}
	}
	if worst > 1.95/math.Sqrt(float64(n)) {
		t.Errorf("farthest from the law: %.5f", worst)
	}
}

func TestDelayBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mean := time.Duration(rapid.Int64Range(int64(time.Microsecond), int64(time.Hour)).Draw(t, "mean"))
		a, b := rapid.Uint64().Draw(t, "a"), rapid.Uint64().Draw(t, "b")
		var s, r [cadence.SeedSize]byte
		binary.BigEndian.PutUint64(s[:], min(a, b))
		binary.BigEndian.PutUint64(r[:], max(a, b))
		long, short := cadence.Delay(s, mean), cadence.Delay(r, mean)
		if short < 0 || long < short || long > cadence.Longest*mean {
			t.Fatalf("%v and %v at mean %v", long, short, mean)
		}
	})
	for _, mean := range []time.Duration{0, -1, time.Hour + 1, math.MinInt64} {
		func() {
			defer func() { _ = recover() }()
			cadence.Delay([cadence.SeedSize]byte{}, mean)
			t.Errorf("mean %d: a delay", mean)
		}()
	}
}

// TestEverySlotIsAlike: kinds and lanes are the same in each slot, whatever the
// seed; the moments are spread evenly, and no kind has a place of its own.
func TestEverySlotIsAlike(t *testing.T) {
	const slots = 4000
	var tenths [10]int
	first := map[cadence.Kind]int{}
	for slot := range cadence.Slot(slots) {
		es := cadence.Emissions(seed, slot, slotLength)
		count := map[[2]int]int{}
		for i, e := range es {
			count[[2]int{int(e.Kind), e.Lane}]++
			if e.At < 0 || e.At >= slotLength || i > 0 && e.At < es[i-1].At {
				t.Fatalf("slot %d: emission %d at %v", slot, i, e.At)
			}
			tenths[e.At*10/slotLength]++
		}
		first[es[0].Kind]++
		if len(es) != cadence.Packets || len(count) != 4*cadence.Lanes+1 || count[[2]int{int(cadence.Loop), 0}] != cadence.Loops {
			t.Fatalf("slot %d holds %v", slot, count)
		}
	}
	for i, n := range tenths {
		if math.Abs(float64(n)-slots) > 6*math.Sqrt(slots) {
			t.Errorf("tenth %d of the slot holds %d of %d", i, n, slots*cadence.Packets)
		}
	}
	for k := cadence.PutFirst; k <= cadence.Loop; k++ {
		if math.Abs(float64(first[k])-slots/5) > 6*math.Sqrt(slots/5) {
			t.Errorf("kind %d is the first of %d slots in %d", k, first[k], slots)
		}
	}
}
