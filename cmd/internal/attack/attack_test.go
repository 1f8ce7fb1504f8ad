package attack

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/backchannel/backchannel/cmd/internal/sim"
	"github.com/backchannel/backchannel/protocol/onion"
)

// Runs of docs/figures.md: "go test ./cmd/internal/attack -run Figures -figures 80 -timeout 24h -v".
var (
	figures = flag.Int("figures", 0, "networks to test on; 0: none")
	train   = flag.Int("train", 12, "networks to train on")
	users   = flag.Int("users", 10, "of each network")
	relays  = flag.Int("relays", 6, "of each network")
	operate = flag.Int("operators", 3, "of each network's relays")
	pairs   = flag.Int("pairs", 5, "that talk")
	hours   = flag.Float64("hours", 24, "of each network")
	online  = flag.Float64("online", 24, "hours a day that machines are on")
	delay   = flag.Duration("delay", 0, "mean delay of a relay; 0: the default")
	some    = flag.Int("some", 0, "of each network so many pairs that talk, and four times as many others; 0: all")
	guard   = flag.Bool("guard", false, "he holds a guard, too: only pairs count of which one has it")
	keptIn  = flag.String("kept", "", "directory for features of each network and for results: a run that was cut goes on")
	from    = flag.String("from", "", "directory of features that another run kept, to learn from instead of -train networks")
	only    = flag.String("only", "", "the control to play; all of them if empty")
)

func network() sim.Config {
	c := sim.Config{Users: *users, Relays: *relays, Operators: *operate, TalkingPairs: *pairs, OnlineHours: *online, Duration: time.Duration(*hours * float64(time.Hour)), Watch: 1}
	c.Constants.Mean = *delay
	return c
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
		e := Experiment{Config: network(), Train: *train, Test: *figures, Pairs: *some, From: *from, Dir: *keptIn}
		e.Config.Seed = 1000
		if *guard {
			e.Guard = 2
		}
		change(&e.Config)
		e.Each = func(done int, soFar [3]Result) { note(t, name, done, soFar) }
		all, links, drop, err := e.Run()
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s, %d users, %d relays, %.0f h, %d and %d networks:\n all   %v\n links %v\n drop  %v", name, *users, *relays, *hours, *train, *figures, all, links, drop)
	}
}

// note writes down what there is after each network.
func note(t *testing.T, name string, done int, soFar [3]Result) {
	line := fmt.Sprintf("%s, %d users, %.0f h, %.0f h a day: %d networks:\n all   %v\n links %v\n drop  %v\n",
		name, *users, *hours, *online, done, soFar[0], soFar[1], soFar[2])
	if *keptIn == "" {
		if done%5 == 0 {
			t.Log(line)
		}
		return
	}
	f, err := os.OpenFile(filepath.Join(*keptIn, "results.txt"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(line)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Error(err)
	}
}

// TestRunsGoOn: a run takes what an earlier one kept, and has the same result.
func TestRunsGoOn(t *testing.T) {
	e := Experiment{Config: network(), Train: 1, Test: 1, Dir: t.TempDir()}
	e.Config.Users, e.Config.TalkingPairs, e.Config.Duration = 4, 2, 10*time.Minute
	first, _, _, err := e.Run()
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(e.Dir)
	if err != nil || len(files) != 2 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	cut := filepath.Join(e.Dir, files[0].Name())
	if err := os.Remove(cut); err != nil {
		t.Fatal(err)
	}
	if again, _, _, err := e.Run(); err != nil || again != first {
		t.Errorf("%v after a cut, %v without, %v", again, first, err)
	}
	if err := os.WriteFile(cut, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := e.Run(); err == nil {
		t.Error("half a file is taken")
	}
	e.From, e.Train = e.Dir, 0
	if _, _, _, err := e.Run(); err == nil {
		t.Error("half a file is learnt from")
	}
	if err := os.Remove(cut); err != nil {
		t.Fatal(err)
	}
	if one, _, _, err := e.Run(); err != nil || one.Yes != first.Yes || one.Lower >= one.Upper {
		t.Errorf("learnt from what was kept: %v, %v", one, err)
	}
	e.From, e.Train = "", 1
	e.Pairs = 1
	if some, _, _, err := e.Run(); err != nil || some.Yes != 1 || some.No != 4 {
		t.Errorf("of one pair that talks and four others: %v, %v", some, err)
	}
}

// TestAttackerWins: the attacker is good enough to see what he must see, each protection
// that is left out. What he reaches where none is left out stands in docs/figures.md: that
// takes more networks than a test has time for.
func TestAttackerWins(t *testing.T) {
	if testing.Short() {
		t.Skip("plays some networks")
	}
	const allKinds, links, drop = 0, 1, 2
	wants := map[string]struct {
		kind  int
		least float64
	}{
		"unprotected": {allKinds, 0.8}, "zero delay": {drop, 0.65}, "cover added": {links, 0.6}, "catch-up on demand": {links, 0.6},
	}
	for name, change := range controls() {
		want, there := wants[name]
		if !there {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := Experiment{Config: network(), Train: 3, Test: 3}
			e.Config.Users, e.Config.TalkingPairs, e.Config.Duration, e.Config.Seed = 6, 4, time.Hour, 7000
			change(&e.Config)
			all, links, drop, err := e.Run()
			if err != nil {
				t.Fatal(err)
			}
			got := [...]Result{all, links, drop}
			if got[want.kind].AUC < want.least {
				t.Errorf("%v, want %v", got, want.least)
			}
			t.Log(got[allKinds])
		})
	}
}

func TestAUC(t *testing.T) {
	g := []Guess{{1, false, 0}, {2, false, 0}, {3, true, 0}, {4, true, 1}}
	if a := AUC(g); a != 1 {
		t.Errorf("%v, want 1", a)
	}
	g[3].Score = 0
	if a := AUC(g); a != 0.5 {
		t.Errorf("%v, want a half", a)
	}
	for i := range g {
		g[i].Score = 5
	}
	if a := AUC(g); a != 0.5 {
		t.Errorf("%v without any order, want a half", a)
	}
	if !math.IsNaN(AUC(g[:2])) {
		t.Error("an AUC of one kind alone")
	}
}

// TestTrain: what can be learnt is learnt, and what is noise is not.
func TestTrain(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	draw := func(n int, shift float64) (f [][]float64, talks []bool) {
		for i := range n {
			yes := i%3 == 0
			x := []float64{random.NormFloat64(), 1000 + 7*random.NormFloat64(), 5}
			if yes {
				x[1] += 7 * shift
			}
			f, talks = append(f, x), append(talks, yes)
		}
		return f, talks
	}
	for _, c := range []struct{ shift, least, most float64 }{{0, 0.42, 0.58}, {1, 0.7, 0.82}, {4, 0.98, 1}} {
		m := Train(draw(600, c.shift))
		var g []Guess
		f, talks := draw(600, c.shift)
		for i := range f {
			g = append(g, Guess{m.Score(f[i]), talks[i], i % 10})
		}
		lower, upper := Bounds(g)
		if a := AUC(g); a < c.least || a > c.most || a < lower || a > upper || upper-lower > 0.2 {
			t.Errorf("shift %v: AUC %v, %v to %v", c.shift, a, lower, upper)
		}
	}
}

// TestGuardAndDrop: who holds a guard and a drop fits boxes to clients of that guard far
// better than who holds the drop and taps links, and others' boxes no better.
func TestGuardAndDrop(t *testing.T) {
	if testing.Short() {
		t.Skip("plays some networks")
	}
	var own, ownByLinks, others, n, m float64
	for seed := range uint64(1) {
		cfg := network()
		cfg.Users, cfg.TalkingPairs, cfg.Duration, cfg.Seed, cfg.Fast, cfg.Chains = 10, 5, time.Hour, 5000+seed, true, true
		d, err := sim.Expect(cfg)
		if err != nil {
			t.Fatal(err)
		}
		w := Watch(&cfg, Delay{Relays: d.Relays, Mean: d.Mean.Seconds(), Links: d.Links.Seconds()})
		w.HoldGuard(&cfg, -1)
		seen := cfg.Seen
		var puts []sim.Sight
		cfg.Seen = func(s sim.Sight) {
			seen(s)
			if s.Command == onion.Put && s.Chain > 0 && s.At > 5*time.Minute {
				puts = append(puts, s)
			}
		}
		world, err := sim.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := world.Run(); err != nil {
			t.Fatal(err)
		}
		for u, passed := range w.passed {
			for _, p := range puts {
				fit := w.fits(u, moment{p.At.Seconds(), p.From})
				switch {
				case passed == nil:
				case p.Writer == u:
					own, n = own+fit, n+1
					ownByLinks += w.delay.surplus(w.up[u], float64(len(w.up[u]))/w.Duration.Seconds(), p.At.Seconds())
				default:
					others, m = others+fit, m+1
				}
			}
		}
	}
	if n < 50 || m < 500 {
		t.Fatalf("%.0f and %.0f boxes", n, m)
	}
	t.Logf("surplus of the writer %.3f with the guard, %.3f by links; of another client %.3f; %.0f and %.0f boxes", own/n, ownByLinks/n, others/m, n, m)
	if own/n < 0.2 || own/n < 3*ownByLinks/n || others/m > 0.05 { // less than chance: a guard excludes clients who sent nothing to that relay
		t.Error("the guard tells nothing, or of others, too")
	}
}
