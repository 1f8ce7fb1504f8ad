package sim

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestFramesHaveMoments: the frames of a slot leave at the moments of spec/link.md, and the
// next is always the one that has not left.
func TestFramesHaveMoments(t *testing.T) {
	l := &link{slot: int64(30 * time.Second), rate: 64}
	for n := range int64(1000) {
		at := l.frameAt(n)
		exact := float64(n/64)*30 + 30.0/16 + float64(2*(n%64)+1)*(7*30.0/8)/(2*64)
		if math.Abs(float64(at)/1e9-exact) > 1e-6 {
			t.Fatalf("frame %d leaves at %d, want %f s", n, at, exact)
		}
		if d := l.due(at); d != n+1 {
			t.Fatalf("frame %d leaves at %d, and the next is %d", n, at, d)
		}
		if d := l.due(at - 1); d != n {
			t.Fatalf("just before frame %d the next is %d", n, d)
		}
	}
}

// TestLinkHoldsSoMany: each packet has a frame of its own, in order; what is more than may
// wait is refused; another rate does not bring two into one frame.
func TestLinkHoldsSoMany(t *testing.T) {
	l := &link{slot: int64(30 * time.Second), rate: 32}
	now, last, sent := int64(90e9), int64(0), 0
	for range 100 {
		at, ok := l.send(now)
		if !ok {
			break
		}
		if at <= last || at <= now {
			t.Fatalf("a frame at %d behind one at %d", at, last)
		}
		last = at
		sent++
	}
	if sent != 64 {
		t.Errorf("%d packets waited", sent)
	}
	l.pad(64, now)
	if at, ok := l.send(now + 31e9); !ok || at <= last {
		t.Errorf("at another rate %v at %d, after %d", ok, at, last)
	}
	l.pad(0, now)
	if at, ok := l.send(now); !ok || at != now {
		t.Error("a link without padding lets a packet wait")
	}
}

// TestQueueSorts: events come by time, and those of one time in their order.
func TestQueueSorts(t *testing.T) {
	var q queue
	random := rand.New(rand.NewPCG(1, 2))
	var want []int64
	for range 5000 {
		if len(want) > 0 && random.IntN(3) == 0 {
			e := q.pop()
			if e.at != slices.Min(want) {
				t.Fatalf("%d came, %d was first", e.at, slices.Min(want))
			}
			i := slices.Index(want, e.at)
			want = slices.Delete(want, i, i+1)
			continue
		}
		at := random.Int64N(50)
		q.push(event{at: at, who: int32(q.seq)})
		want = append(want, at)
	}
	last := event{at: -1}
	for len(q.heap) > 0 {
		e := q.pop()
		if e.before(&last) {
			t.Fatalf("%d after %d", e.at, last.at)
		}
		last = e
	}
}
