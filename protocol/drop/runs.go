package drop

import "github.com/backchannel/backchannel/protocol/cadence"

// A Stretch is periods that were written, both ends included.
type Stretch struct{ From, To uint64 }

// RunsBefore writes the stretches before a period as runs, the newest first, as many
// as there is room for and a drop still keeps. Stretches rise, and do not touch.
func RunsBefore(period uint64, written []Stretch) (runs [MaxRuns]Run) {
	at := period // all from here on is told
	for i, n := len(written)-1, 0; i >= 0 && n < MaxRuns; i-- {
		s := written[i]
		if s.From >= at {
			continue
		}
		s.To = min(s.To, at-1)
		if period > cadence.MaxPeriods {
			s.From = max(s.From, period-cadence.MaxPeriods)
		}
		if s.From > s.To {
			break
		}
		runs[n] = Run{Skip: uint16(at - 1 - s.To), Count: uint16(s.To - s.From + 1)}
		at, n = s.From, n+1
	}
	return runs
}

// Stretches returns what the runs in the box of a period say, the newest first. What
// would lie before the first period there is is left out.
func Stretches(period uint64, runs [MaxRuns]Run) (written []Stretch) {
	at := period
	for _, r := range runs {
		if r.Count == 0 || at < uint64(r.Skip)+uint64(r.Count) {
			break
		}
		at -= uint64(r.Skip)
		written = append(written, Stretch{at - uint64(r.Count), at - 1})
		at -= uint64(r.Count)
	}
	return written
}
