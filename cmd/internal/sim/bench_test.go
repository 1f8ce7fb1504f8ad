package sim

import (
	"testing"
	"time"
)

// BenchmarkThousand is a few minutes of 1,000 users on 50 relays, with the ten before them.
func BenchmarkThousand(b *testing.B) {
	const minutes = 2
	for range b.N {
		cfg := small()
		cfg.Users, cfg.Relays, cfg.Operators, cfg.TalkingPairs, cfg.Duration = 1000, 50, 10, 200, minutes*time.Minute
		w, err := New(cfg)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.Run(); err != nil {
			b.Fatal(err)
		}
	}
	packets := float64(b.N) * 1000 * 20 * (minutes + warmUp.Minutes())
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/packets/1000, "µs/packet")
}
