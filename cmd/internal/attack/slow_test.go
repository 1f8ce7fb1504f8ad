package attack

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/cadence"
)

// TestAGuardSeesASlowDrop: a guard that does not know which reply is to which packet sees by the
// sum of their times alone whether a tenth of a client's packets go to a drop that keeps them
// longer: as fast as docs/spec/cadence.md, section 8, says. The control is a drop that does not.
func TestAGuardSeesASlowDrop(t *testing.T) {
	const mean, share, tries = 20.0, 0.1, 100
	perHour := float64(cadence.Packets) * 120
	r := rand.New(rand.NewPCG(7, 8))
	// under is for how long packets are under way on average, as a guard sees it over some hours:
	// what it adds up is when replies came, in whatever order, and when packets left.
	under := func(hours, keeps float64, others int) float64 {
		left, came, n := 0.0, 0.0, int(hours*perHour)
		for i := range n {
			at := float64(i) * 3600 / perHour
			left += at
			for range others {
				at += r.ExpFloat64() * mean
			}
			if r.Float64() < share {
				came += at + r.ExpFloat64()*keeps
			} else {
				came += at + r.ExpFloat64()*mean
			}
		}
		return (came - left) / float64(n)
	}
	for _, c := range []struct {
		hours, keeps float64
		others       int // delays of relays between the guard and the drop, there and back
		seen         bool
	}{{4, 40, 2, true}, {6.4, 40, 4, true}, {4, 20, 2, false}} {
		usual, limit := mean*float64(c.others+1), share*(c.keeps-mean)/2
		wrong := 0.0
		for range tries {
			if under(c.hours, mean, c.others) > usual+limit {
				wrong++
			}
			if under(c.hours, c.keeps, c.others) <= usual+limit {
				wrong++
			}
		}
		if wrong /= 2 * tries; c.seen && wrong > 0.07 || !c.seen && math.Abs(wrong-0.5) > 0.15 {
			t.Errorf("a drop that keeps packets for %v s: wrong %.3f of the times after %v", c.keeps, wrong, time.Duration(c.hours*float64(time.Hour)))
		}
	}
}
