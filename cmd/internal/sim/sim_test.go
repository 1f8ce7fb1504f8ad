package sim

import (
	"bytes"
	"encoding/json"
	"math"
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

func traceOf(t *testing.T, cfg Config) (trace, truth []byte) {
	t.Helper()
	var rows, said bytes.Buffer
	cfg.Trace, cfg.Each = &rows, true
	_, is := simulate(t, cfg)
	if err := is.Write(&said); err != nil {
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

// clients keeps when each user's link carried a packet, up and down, in seconds.
func clients(t *testing.T, cfg Config) (up, down [][]float64, w *World) {
	t.Helper()
	up, down = make([][]float64, cfg.Users), make([][]float64, cfg.Users)
	cfg.Rows = func(r Row) {
		if r.Size != onWire(frameKind+16384) {
			return
		}
		if r.From >= cfg.Relays {
			up[r.From-cfg.Relays] = append(up[r.From-cfg.Relays], r.At.Seconds())
		} else if r.To >= cfg.Relays {
			down[r.To-cfg.Relays] = append(down[r.To-cfg.Relays], r.At.Seconds())
		}
	}
	w, _ = simulate(t, cfg)
	return up, down, w
}

// followed is by how many seconds all slots together may shift: a machine follows the
// clocks of relays, of which it knows more with each reply.
const followed = 8

// inSlots reports whether there are slots of 30 s, beginning at some moment, each with ten
// of the times.
func inSlots(times []float64) bool {
	for skip := range 10 { // of the slot in which the trace begins
		earliest, latest := math.Inf(1), math.Inf(-1) // beginning of slot 0
		for i := skip; i+10 <= len(times); i += 10 {
			k := float64((i - skip) / 10)
			earliest = min(earliest, times[i]-30*k)
			latest = max(latest, times[i+9]-30*k-30)
		}
		if latest < earliest+followed {
			return true
		}
	}
	return false
}

// TestCountsNeverDiffer: users who talk and send files, and users who do not, have ten
// packets in each slot, and each of them is answered by one, at once. So it is with losses
// on every link, of which those that come back are fewer; and with machines that are
// switched on and off, which find a backlog each time, while they are on.
func TestCountsNeverDiffer(t *testing.T) {
	t.Run("plain", func(t *testing.T) {
		cfg := small()
		cfg.Duration, cfg.Constants.Pool = time.Hour, 1 // the mean delay is not raised
		up, down, w := clients(t, cfg)
		for u := range up {
			wantTen(t, u, up[u], 1190)
			if d := len(up[u]) - len(down[u]); d < -1 || d > 1 {
				t.Errorf("user %d sent %d packets and was sent %d", u, len(up[u]), len(down[u]))
			}
			for i := range min(len(up[u]), len(down[u])) - 1 {
				if late := down[u][i] - up[u][i]; len(up[u]) == len(down[u]) && (late < 0 || late > 0.3) {
					t.Fatalf("user %d was answered %.3f s later", u, late)
				}
			}
			if n := w.users[u].m.Skipped(); n > 10 { // before the first connection
				t.Errorf("user %d left out %d packets", u, n)
			}
		}
	})
	t.Run("loss", func(t *testing.T) {
		cfg := small()
		cfg.Duration, cfg.Constants.Pool, cfg.Loss = time.Hour, 1, 0.01
		up, down, _ := clients(t, cfg)
		for u := range up {
			wantTen(t, u, up[u], 1190)
			if n := len(down[u]); n < len(up[u])*95/100 || n > len(up[u]) {
				t.Errorf("user %d sent %d packets and was sent %d", u, len(up[u]), n)
			}
		}
	})
	t.Run("hours", func(t *testing.T) {
		if testing.Short() {
			t.Skip("it plays a day")
		}
		cfg := small()
		cfg.Duration, cfg.Constants.Pool, cfg.OnlineHours = 24*time.Hour, 1, 8
		up, _, _ := clients(t, cfg)
		for u := range up {
			stretches := 0
			for from, i := 0, 1; i <= len(up[u]); i++ {
				if i < len(up[u]) && up[u][i]-up[u][i-1] < 120 {
					continue
				}
				// In its first slots a machine learns what the time is.
				if all := up[u][from:i]; len(all) > 100 {
					wantTen(t, u, all[40:len(all)-20], 0)
					stretches++
				}
				from = i
			}
			if stretches == 0 || len(up[u]) < 8*1150 || len(up[u]) > 8*1210 {
				t.Errorf("user %d was on %d times, and sent %d packets", u, stretches, len(up[u]))
			}
		}
	})
}

// wantTen wants ten packets of a user in each slot, and so many in all, or 20 more.
func wantTen(t *testing.T, user int, times []float64, least int) {
	t.Helper()
	if !inSlots(times) {
		t.Errorf("user %d has not ten packets in each slot", user)
	}
	if n := len(times); least > 0 && (n < least || n > least+20) {
		t.Errorf("user %d sent %d packets", user, n)
	}
}

// TestWhatIsWrittenDoesNotShow: the same network without a talk has the same packets on
// users' links and the same frames between relays, to the microsecond.
func TestWhatIsWrittenDoesNotShow(t *testing.T) {
	cfg := small()
	cfg.Constants.Pool = 1
	up, _, _ := clients(t, cfg)
	between := frames(t, cfg)
	cfg.TalkingPairs = 0
	idle, _, _ := clients(t, cfg)
	for u := range up {
		if !slices.Equal(up[u], idle[u]) {
			t.Errorf("user %d shows that somebody writes", u)
		}
	}
	if quiet := frames(t, cfg); len(between) < 1000 || !slices.Equal(between, quiet) {
		t.Errorf("%d rows between relays while somebody writes, %d else, or other ones", len(between), len(quiet))
	}
}

// frames returns all rows between relays.
func frames(t *testing.T, cfg Config) (all []Row) {
	t.Helper()
	cfg.Each = true
	cfg.Rows = func(r Row) {
		if r.From < cfg.Relays && r.To < cfg.Relays {
			all = append(all, r)
		}
	}
	simulate(t, cfg)
	return all
}

// TestTwoOperators: a network of two operators, the least that a view may have, delivers.
func TestTwoOperators(t *testing.T) {
	cfg := small()
	cfg.Operators, cfg.Users, cfg.Duration, cfg.Constants.Pool = 2, 4, 2*time.Hour, 1
	_, truth := simulate(t, cfg)
	n := 0
	for _, m := range truth.Messages {
		if m.Delivered != nil {
			n++
		}
	}
	if n < len(truth.Messages)/2 {
		t.Error(truth.Summary())
	}
}
