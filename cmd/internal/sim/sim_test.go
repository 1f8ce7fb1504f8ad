package sim

import (
	"bytes"
	"encoding/json"
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

func traceOf(t *testing.T, cfg Config) (trace, truth []byte) {
	t.Helper()
	var rows, said bytes.Buffer
	cfg.Trace, cfg.Each = &rows, true
	_, true := simulate(t, cfg)
	if err := true.Write(&said); err != nil {
		t.Fatal(err)
	}
	return rows.Bytes(), said.Bytes()
}

// TestSameTraceFastOrNot: with cryptography and without it, and a second time, the trace is
// the same to the byte; with another seed it is not.
func TestSameTraceFastOrNot(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"protected":   func(*Config) {},
		"unprotected": func(c *Config) { c.Unprotected = true },
		"loss, hours": func(c *Config) { c.Loss, c.OnlineHours, c.Relays, c.Duration = 0.05, 20, 14, 5*time.Minute },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := small()
			cfg.Duration, cfg.Users = 8*time.Minute, 4
			change(&cfg)
			trace, truth := traceOf(t, cfg)
			cfg.Fast = false
			again, said := traceOf(t, cfg)
			if !bytes.Equal(trace, again) || !bytes.Equal(truth, said) {
				t.Error("the trace depends on cryptography")
			}
			cfg.Fast, cfg.Seed = true, 2
			if other, _ := traceOf(t, cfg); bytes.Equal(trace, other) {
				t.Error("the trace does not depend on the seed")
			}
			if !bytes.HasPrefix(trace, []byte(header)) || bytes.Count(trace, []byte("\n")) < 100 {
				t.Errorf("%d bytes of trace", len(trace))
			}
		})
	}
}

// TestEverybodyReads: all that is written early enough is delivered, once, and later than
// it was sent; the truth is what JSON says.
func TestEverybodyReads(t *testing.T) {
	cfg := small()
	cfg.Duration, cfg.Loss = 4*time.Hour, 0.0085
	_, truth := simulate(t, cfg)
	if len(truth.Messages) < 30 || len(truth.Conversations) < 2 {
		t.Fatalf("%d messages in %d conversations", len(truth.Messages), len(truth.Conversations))
	}
	for _, m := range truth.Messages {
		switch {
		case m.Delivered == nil && m.Sent < 3*3600:
			t.Errorf("a message of %.0f s was not delivered", m.Sent)
		case m.Delivered != nil && *m.Delivered < m.Sent+10:
			t.Errorf("delivered %.1f s after it was sent", *m.Delivered-m.Sent)
		}
	}
	var b bytes.Buffer
	if err := truth.Write(&b); err != nil || !json.Valid(b.Bytes()) {
		t.Error(err)
	}
	t.Log(truth.Summary())
}

// TestCountsNeverDiffer: users who talk, users who do not and their guards send the same
// number of packets in each slot of the network, whatever is written.
func TestCountsNeverDiffer(t *testing.T) {
	cfg := small()
	cfg.Duration = 2 * time.Hour
	type link struct{ from, to int }
	packets := map[link]int{}
	var frame int
	cfg.Rows = func(r Row) {
		if (r.From >= cfg.Relays || r.To >= cfg.Relays) && r.Size == frame {
			packets[link{r.From, r.To}]++
		}
	}
	w, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	frame = w.frame
	if _, err := w.Run(); err != nil {
		t.Fatal(err)
	}
	for l, n := range packets {
		if want := 240 * 10; n < want-10 || n > want+10 {
			t.Errorf("%v: %d packets, want %d", l, n, want)
		}
	}
	if len(packets) != 2*cfg.Users {
		t.Errorf("%d links of users", len(packets))
	}
	for _, u := range w.users {
		if u.m.Skipped() > 10 { // before the first connection
			t.Errorf("%d packets were left out", u.m.Skipped())
		}
	}
}
