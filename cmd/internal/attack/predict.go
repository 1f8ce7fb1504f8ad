package attack

import (
	"math"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/drop"
)

// What the drop shows, by arithmetic: nothing is simulated here. A test holds it against
// simulations.

// Smear is what relays between users' links and drops do to the moments of packets.
type Smear struct {
	Relays     int     // on the way to a drop that keep a packet
	Mean, Slot float64 // seconds
}

// Left is the variance of how much likelier than by chance a moment at a drop is, given
// when a machine sent: what is left to see. Machines send [cadence.Packets] in each slot, at
// moments that are drawn anew, so that what is smeared over slots is the same for all.
func (s Smear) Left() float64 {
	const phases = 200
	rate := cadence.Packets / s.Slot
	k := float64(s.Relays)
	whole, _ := math.Lgamma(2*k - 1)
	one, _ := math.Lgamma(k)
	square := math.Exp(whole-2*one-(2*k-1)*math.Ln2) / s.Mean // of the density, over all times
	known := 0.0                                              // what follows from the count in each slot
	for phase := range phases {
		from := (float64(phase)+0.5)/phases*s.Slot - s.Slot
		for at := from; at < s.Mean*(k+30); at += s.Slot {
			p := (s.before(at+s.Slot) - s.before(at)) / s.Slot
			known += cadence.Packets * p * p / phases
		}
	}
	return max(0, rate*square-known) / rate / rate
}

// before is how likely a packet takes less than a time.
func (s Smear) before(t float64) float64 {
	if t <= 0 {
		return 0
	}
	x := t / s.Mean
	term, sum := 1.0, 0.0
	for j := range s.Relays {
		sum += term
		term *= x / float64(j+1)
	}
	return 1 - math.Exp(-x)*sum
}

// smeared is how likely a packet that leaves in a slot has come by a time after the slot
// has begun.
func (s Smear) smeared(t float64) (sum float64) {
	const parts = 20
	for i := range parts {
		sum += s.before(t-(float64(i)+0.5)/parts*s.Slot) / parts
	}
	return sum
}

// Predict is the AUC that the drop alone gives for a pair whose boxes lie at it, with a
// period of one slot, after some days among so many users and relays: each box adds its
// surplus of who put it times that of who got it. A pair that does not use the drop is not
// seen at all: 3 in so many relays do.
func Predict(s Smear, users, relays int, days float64) float64 {
	slots := days * 86400 / s.Slot
	own := 2 * slots / drop.SetSize                                 // each box is at two of three drops, and got at one
	all := float64(users) * cadence.Lanes * slots / float64(relays) // that are put and got there
	stands := s.Left() * own / math.Sqrt(all)                       // in standard deviations
	return 0.5 * (1 + math.Erf(stands/2))
}

// PredictCut is the AUC for who is the contact of a user, for somebody who keeps back all
// packets of that user for some slots, a number of times, and looks for whose gets then find
// nothing at his drop, where the pair's boxes lie. Gets of random addresses, of which each
// machine sends as many as it has lanes, find nothing all the time.
func PredictCut(s Smear, users, relays, slots, cuts int) float64 {
	misses := float64(slots*cuts) / drop.SetSize // of the contact; later ones are spread over hours
	spread := float64(slots) + 2*s.Mean*math.Sqrt(float64(s.Relays))/s.Slot
	all := float64(users*cadence.Lanes*cuts)*spread/float64(relays) + misses
	stands := misses * math.Sqrt(s.Left()/all)
	return 0.5 * (1 + math.Erf(stands/2))
}

// Overall is the AUC over all pairs of a network.
func Overall(atDrop float64, relays int) float64 {
	uses := min(1, drop.SetSize/float64(relays))
	return uses*atDrop + (1-uses)/2
}
