package sim

import (
	"math"
	"testing"
	"time"
)

// TestReckoned: what is reckoned is what a simulation of the same network does.
func TestReckoned(t *testing.T) {
	cfg := small()
	cfg.Users, cfg.TalkingPairs, cfg.Duration = 10, 5, 2*time.Hour
	f, err := Reckon(cfg)
	if err != nil {
		t.Fatal(err)
	}
	bytes := 0
	cfg.Rows = func(r Row) {
		if r.From >= cfg.Relays {
			bytes += r.Size
		}
	}
	w, truth := simulate(t, cfg)
	if got, want := float64(bytes)/float64(cfg.Users)/cfg.Duration.Seconds(), f.Client; math.Abs(got-want) > 0.02*want {
		t.Errorf("a principal sends %.0f bytes a second, reckoned %.0f", got, want)
	}
	var took []float64
	for _, m := range truth.Messages {
		if m.Delivered != nil && m.Size < textPart {
			took = append(took, *m.Delivered-m.Sent)
		}
	}
	t.Logf("%v; reckoned %v, %v", truth.Summary(), f.Median, f.Late)
	held := 0.0
	for _, r := range w.relays {
		held += r.level / float64(len(w.relays))
	}
	if math.Abs(held-f.Held) > 0.1*f.Held || w.relays[0].mean != f.Mean {
		t.Errorf("relays hold %.1f at %v, reckoned %.1f at %v", held, w.relays[0].mean, f.Held, f.Mean)
	}
	early := 0
	for _, s := range took {
		if s < f.Median.Seconds() {
			early++
		}
	}
	if part := float64(early) / float64(len(took)); part < 0.35 || part > 0.65 {
		t.Errorf("%.2f of texts came before the reckoned median, %v", part, f.Median)
	}
}
