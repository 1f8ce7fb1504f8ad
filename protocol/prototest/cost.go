package prototest

import (
	"testing"
	"time"
)

// Beside measures work beside its floor, which is the bare arithmetic in it, in turns, so
// that both meet the same machine; on a busy one the least of many turns is what comes
// nearest to the truth. It reports the work in milliseconds, and how many floors it is.
func Beside(b *testing.B, work, floor func()) {
	b.Helper()
	least := [2]time.Duration{time.Hour, time.Hour}
	for b.Loop() {
		for i, run := range []func(){work, floor} {
			start := time.Now()
			run()
			least[i] = min(least[i], time.Since(start))
		}
	}
	b.ReportMetric(0, "ns/op") // of both together: it says nothing
	b.ReportMetric(float64(least[0].Nanoseconds())/1e6, "ms")
	b.ReportMetric(float64(least[0])/float64(least[1]), "of-its-floor")
}
