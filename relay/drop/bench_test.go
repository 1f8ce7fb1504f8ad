package drop

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/backchannel/backchannel/protocol/drop"
)

// BenchmarkPut measures puts that come at once from many callers, as they do at a
// relay, each answered when it is on the disk.
func BenchmarkPut(b *testing.B) {
	cfg := testConfig(b, nil)
	cfg.small, cfg.Limit = false, 1<<40
	s := mustOpen(b, cfg)
	var next atomic.Uint64
	b.SetParallelism(64 / runtime.GOMAXPROCS(0))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			w, box := numbered(next.Add(1))
			if got := s.Put(context.Background(), w, box, nil); got != drop.Stored {
				b.Errorf("%v", got)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
}

// BenchmarkGet measures hits and misses in a drop that holds boxes of five days.
func BenchmarkGet(b *testing.B) {
	c := newClock()
	cfg := testConfig(b, c)
	cfg.small, cfg.Limit = false, 1<<40
	s := mustOpen(b, cfg)
	const boxes = 2000
	for n := range uint64(boxes) {
		mustPut(b, s, n)
		if n%(boxes/5) == boxes/5-1 && n < boxes-1 {
			c.forward(cfg.withDefaults().span())
		}
	}
	for _, kind := range []struct {
		name   string
		first  uint64
		status drop.Status
	}{{"hit", 0, drop.Found}, {"miss", boxes, drop.None}} {
		b.Run(kind.name, func(b *testing.B) {
			n := uint64(0)
			for b.Loop() {
				n++
				if got, _ := s.Get(address(kind.first + n%boxes)); got != kind.status {
					b.Fatalf("%v", got)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "gets/s")
		})
	}
}
