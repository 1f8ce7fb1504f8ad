package attack

import (
	"testing"
	"time"

	"github.com/backchannel/backchannel/cmd/internal/sim"
)

// TestCutShows: who cuts a line and holds a drop finds the contact where relays do not
// delay.
func TestCutShows(t *testing.T) {
	if testing.Short() {
		t.Skip("plays some networks")
	}
	c := Cutting{Config: network(), Networks: 4, Slots: 10, Every: 6 * time.Minute}
	c.Config.Users, c.Config.TalkingPairs, c.Config.Duration = 8, 4, time.Hour
	c.Config.Weaken, c.Config.Seed = sim.ZeroDelay, 5000
	cut, err := c.Run()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("one cut: %v; of users there: %v", cut.Once, cut.OnceThere)
	t.Logf("all cuts: %v; of users there: %v", cut.All, cut.AllThere)
	if cut.OnceThere.AUC < 0.65 || cut.AllThere.AUC < 0.65 {
		t.Error("he does not find contacts")
	}
}

// TestCutFigures is a run of docs/figures.md, with the flags of the others.
func TestCutFigures(t *testing.T) {
	if *figures == 0 {
		t.Skip("only with -figures")
	}
	c := Cutting{Config: network(), Networks: *figures, Slots: 5, Every: 12 * time.Minute}
	c.Config.Seed = 9500
	cut, err := c.Run()
	if err != nil {
		t.Fatal(err)
	}
	s := Smear{2, c.Config.Constants.Mean.Seconds(), 30}
	t.Logf("one cut: %v; of users there: %v; by arithmetic, there: %.3f", cut.Once, cut.OnceThere, PredictCut(s, *users, *relays, 5, 1))
	t.Logf("all cuts: %v; of users there: %v", cut.All, cut.AllThere)
}
