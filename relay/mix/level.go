package mix

import (
	"time"

	"github.com/backchannel/backchannel/protocol/directory"
)

// A level measures how many packets the pool holds on average.
type level struct {
	begun time.Time // of the measurement
	since time.Time // of the last change
	sum   time.Duration
}

// change is called before the pool changes, with how many it held until now.
func (l *level) change(now time.Time, count int) {
	if now.After(l.since) {
		l.sum += time.Duration(count) * now.Sub(l.since)
		l.since = now
	}
}

// Average returns how many packets the pool held on average since the last Average, or
// since New. A relay calls it once an epoch, for its descriptor.
func (m *Machine) Average(now time.Time) float64 {
	m.level.change(now, len(m.pool))
	took := now.Sub(m.level.begun)
	average := float64(len(m.pool))
	if took > 0 {
		average = float64(m.level.sum) / float64(took)
	}
	m.level.begun, m.level.sum = now, 0
	return average
}

// Raise returns the mean delay with which a relay that held so many packets on average,
// at the given mean, would hold as many as the network wants. It is a step of an eighth
// above the network's mean or another, so that a descriptor does not tell the traffic to
// the packet; at least the network's mean and at most [directory.MeanRaise] times that.
func Raise(c directory.Constants, average float64, mean time.Duration) time.Duration {
	most := directory.MeanRaise * c.Mean
	want := most
	if average > 0 {
		if exact := float64(mean) * float64(c.Pool) / average; exact < float64(most) {
			want = time.Duration(exact)
		}
	}
	raised := c.Mean
	for raised < want {
		raised += max(raised/8, time.Millisecond)
	}
	return min(raised, most).Truncate(time.Millisecond)
}
