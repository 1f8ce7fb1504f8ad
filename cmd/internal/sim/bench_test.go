package sim

import (
	"testing"
	"time"
)

// BenchmarkHour is an hour of 200 users on 20 relays.
func BenchmarkHour(b *testing.B) {
	for range b.N {
		cfg := small()
		cfg.Users, cfg.Relays, cfg.Operators, cfg.TalkingPairs, cfg.Duration = 200, 20, 5, 40, time.Hour
		w, err := New(cfg)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.Run(); err != nil {
			b.Fatal(err)
		}
	}
	packets := float64(b.N) * 200 * 10 * (60 + 10) * 2
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/packets/1000, "µs/packet")
}
