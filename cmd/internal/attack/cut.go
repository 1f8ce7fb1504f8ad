package attack

import (
	"time"

	"github.com/backchannel/backchannel/cmd/internal/sim"
	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/onion"
)

// A Cutting asks how well somebody who holds a drop, and can cut a user's line, finds that
// user's contact. Boxes that are not written then are looked for by the contact, and not
// found: he asks of each get that finds nothing, about as long afterwards as a contact's
// does, which users sent something when it must have left.
type Cutting struct {
	Config   sim.Config    // all but the seed
	Networks int           //
	Slots    int           // that a cut lasts
	Every    time.Duration // from the beginning of one cut to the next, of which each hits the next user
}

// A Cut is what he reached: by one cut, and by all that hit a user in the time of a network;
// and the same of users alone who have boxes of a contact at his drop.
type Cut struct{ Once, All, OnceThere, AllThere Result }

// Run simulates the networks.
func (c Cutting) Run() (cut Cut, err error) {
	var guesses [4][]Guess
	for i := range c.Networks {
		if err := c.play(uint64(i), &guesses); err != nil {
			return cut, err
		}
	}
	return Cut{resultOf(guesses[0]), resultOf(guesses[1]), resultOf(guesses[2]), resultOf(guesses[3])}, nil
}

// play simulates one network, and adds what he says of each user and each other one.
func (c Cutting) play(seed uint64, guesses *[4][]Guess) error {
	cfg := c.Config
	cfg.Seed, cfg.Fast, cfg.Chains, cfg.Watch = cfg.Seed+seed, true, true, 1
	d, err := sim.Expect(cfg)
	if err != nil {
		return err
	}
	w := Watch(&cfg, Delay{Relays: d.Relays, Mean: d.Mean.Seconds(), Links: d.Links.Seconds()})
	slot := sim.Plain().Slot
	cfg.Cut = func(user int, at time.Duration) bool {
		return at >= 0 && at%c.Every < time.Duration(c.Slots)*slot && int(at/c.Every)%cfg.Users == user
	}
	var misses []moment
	there, seen := map[int]bool{}, cfg.Seen
	cfg.Seen = func(s sim.Sight) {
		seen(s)
		switch {
		case s.Command == onion.Put && s.Chain > 0:
			there[s.Writer] = true
		case s.Command == onion.Get && !s.Found:
			misses = append(misses, moment{s.At.Seconds(), s.From})
		}
	}
	world, err := sim.New(cfg)
	if err != nil {
		return err
	}
	truth, err := world.Run()
	if err != nil {
		return err
	}
	contacts := map[[2]int]bool{}
	for _, t := range truth.Conversations {
		contacts[Experiment{}.pair(truth, t.A, t.B)] = true
	}
	for _, s := range truth.Silent {
		contacts[Experiment{}.pair(truth, s[0], s[1])] = true
	}
	sums := map[[2]int]float64{}
	after := time.Duration(1+cadence.ReadLag(d.Mean, slot)) * slot // a contact's get leaves at the earliest
	shape := c.shape(d, slot)
	for n := 0; time.Duration(n+1)*c.Every+after <= cfg.Duration; n++ {
		user, from := n%cfg.Users, (time.Duration(n)*c.Every + after).Seconds()
		scores := w.missed(misses, from, shape)
		for v, score := range scores {
			if v == user {
				continue
			}
			yes := contacts[[2]int{min(user, v), max(user, v)}]
			sums[[2]int{user, v}] += score
			add(guesses, 0, Guess{score, yes, int(seed)}, there[user])
		}
	}
	for p, sum := range sums {
		add(guesses, 1, Guess{sum, contacts[[2]int{min(p[0], p[1]), max(p[0], p[1])}], int(seed)}, there[p[0]])
	}
	return nil
}

func add(guesses *[4][]Guess, kind int, g Guess, there bool) {
	guesses[kind] = append(guesses[kind], g)
	if there {
		guesses[kind+2] = append(guesses[kind+2], g)
	}
}

// shape is how likely a contact's get comes to the drop so long after the earliest moment
// at which it leaves: for each second, of all the slots of a cut.
func (c Cutting) shape(d sim.Passage, slot time.Duration) (shape []float64) {
	s := Smear{Relays: d.Relays, Mean: d.Mean.Seconds(), Slot: slot.Seconds()}
	for second := range int(float64(c.Slots+1)*s.Slot + s.Mean*float64(s.Relays)*5) {
		at := float64(second) - d.Links.Seconds()
		shape = append(shape, s.smeared(at)-s.smeared(at-float64(c.Slots)*s.Slot))
	}
	return shape
}

// missed is of each user how well gets that found nothing fit what he sent.
func (w *Watcher) missed(misses []moment, from float64, shape []float64) []float64 {
	scores := make([]float64, len(w.up))
	for _, m := range misses {
		if second := int(m.at - from); m.at >= from && second < len(shape) {
			for user := range scores {
				scores[user] += shape[second] * w.fits(user, m)
			}
		}
	}
	return scores
}
