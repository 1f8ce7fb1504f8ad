package sim

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
	"time"
)

// small is a network that a test can afford.
func small() Config {
	return Config{
		Users: 6, Relays: 6, Operators: 3, Duration: 30 * time.Minute, TalkingPairs: 2, OnlineHours: 24, Seed: 1, Fast: true,
	}
}

func simulate(t *testing.T, cfg Config) (*World, *Truth) {
	t.Helper()
	w, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	truth, err := w.Run()
	if err != nil {
		t.Fatal(err)
	}
	return w, truth
}

func TestRun(t *testing.T) {
	cfg := small()
	cfg.Duration = 4 * time.Hour
	begin := time.Now()
	_, truth := simulate(t, cfg)
	var took []float64
	for _, m := range truth.Messages {
		if m.Delivered != nil {
			took = append(took, *m.Delivered-m.Sent)
		}
	}
	slices.Sort(took)
	t.Logf("%d messages, %d delivered; %v", len(truth.Messages), len(took), time.Since(begin))
	if len(took) > 0 {
		t.Logf("median %v 95%% %v", took[len(took)/2], took[len(took)*95/100])
	}
	b := new(bytes.Buffer)
	_ = truth.Write(b)
	if !json.Valid(b.Bytes()) {
		t.Error("bad JSON")
	}
}
