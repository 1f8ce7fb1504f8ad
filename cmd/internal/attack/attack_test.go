package attack

import (
	"flag"
	"testing"
	"time"

	"github.com/backchannel/backchannel/cmd/internal/sim"
)

// Runs of docs/figures.md: "go test ./cmd/internal/attack -run Figures -figures 40 -timeout 10h -v".
var (
	figures = flag.Int("figures", 0, "networks to test on; 0: none")
	train   = flag.Int("train", 12, "networks to train on")
	users   = flag.Int("users", 10, "of each network")
	relays  = flag.Int("relays", 6, "of each network")
	pairs   = flag.Int("pairs", 10, "that talk")
	hours   = flag.Float64("hours", 24, "of each network")
	online  = flag.Float64("online", 24, "hours a day that machines are on")
	only    = flag.String("only", "", "the control to play; all of them if empty")
)

func network() sim.Config {
	return sim.Config{Users: *users, Relays: *relays, Operators: 3, TalkingPairs: *pairs, OnlineHours: *online, Duration: time.Duration(*hours * float64(time.Hour)), Watch: 1}
}

func controls() map[string]func(*sim.Config) {
	all := map[string]func(*sim.Config){
		"protected":   func(*sim.Config) {},
		"unprotected": func(c *sim.Config) { c.Unprotected = true },
	}
	for _, w := range []sim.Control{sim.ZeroDelay, sim.AddedCover, sim.OnDemand} {
		all[w.String()] = func(c *sim.Config) { c.Weaken = w }
	}
	return all
}

func TestFigures(t *testing.T) {
	if *figures == 0 {
		t.Skip("only with -figures")
	}
	for name, change := range controls() {
		if *only != "" && *only != name {
			continue
		}
		e := Experiment{Config: network(), Train: *train, Test: *figures}
		e.Config.Seed = 1000
		change(&e.Config)
		e.Each = func(done int, soFar [3]Result) {
			if done%5 == 0 {
				t.Logf("%s: %d networks: %v", name, done, soFar)
			}
		}
		all, links, drop, err := e.Run()
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s, %d users, %d relays, %.0f h, %d and %d networks:\n all   %v\n links %v\n drop  %v", name, *users, *relays, *hours, *train, *figures, all, links, drop)
	}
}
