package charter

import (
	"slices"
	"time"
)

// A clock is held against at least MinSources others, and is right if it is
// within Tolerance of their median.
const (
	MinSources = 3
	Tolerance  = 10 * time.Minute
)

// statementLife is for how long what somebody said the time was counts.
const statementLife = 24 * time.Hour

// Trust says what the comparison of clocks came to.
type Trust byte

// The outcomes.
const (
	ClockUnchecked Trust = iota // fewer than MinSources others; the own clock decides
	ClockGood                   // within Tolerance of the others
	ClockAhead                  // later than the others
	ClockBehind                 // earlier than the others
	ClockPutBack                // nobody to ask, and it was later than this before
)

// String says it in words.
func (t Trust) String() string {
	switch t {
	case ClockUnchecked:
		return "not checked"
	case ClockGood:
		return "good"
	case ClockAhead:
		return "ahead"
	case ClockBehind:
		return "behind"
	case ClockPutBack:
		return "put back"
	}
	return "unknown"
}

// A Clock is what a node takes the time to be. Only [CheckClock] makes one.
type Clock struct {
	// Now is the best knowledge of the time, in minutes since 1970.
	Now uint32
	// Trust says how it was come by.
	Trust Trust
	// Off is how far the own clock is ahead of Now; negative if it is behind.
	Off time.Duration

	own uint32
}

// CheckClock judges the own clock. Each of stated is what one contact or one
// relay said the time was, less what the own clock said when it arrived: one for
// each, of the last day. floor is the Floor of the last judgement, in minutes
// since 1970, or 0.
func CheckClock(own time.Time, floor uint32, stated []time.Duration) Clock {
	c := Clock{own: minutes(own)}
	if len(stated) < MinSources {
		c.Now = max(c.own, floor)
		if put := time.Duration(floor-min(floor, c.own)) * time.Minute; put > Tolerance {
			c.Trust, c.Off = ClockPutBack, -put
		}
		c.own = c.Now
		return c
	}
	m := median(stated)
	c.Now, c.Off = minutes(own.Add(m)), -m
	switch {
	case m > Tolerance:
		c.Trust = ClockBehind
	case m < -Tolerance:
		c.Trust = ClockAhead
	default:
		c.Now, c.Trust = c.own, ClockGood
	}
	return c
}

// jumpLife is how long a statement counts after one of the two clocks was set.
const jumpLife = 5 * time.Minute

// Stated is what a statement says now that was ahead of the own clock when it came.
// Since then wall has passed by the own clock, and run by one that nobody sets and that
// may stand still while the machine sleeps. If the two differ, the own clock was set,
// or the machine slept: for a moment the statement counts by the time that ran, so that
// a clock that jumps does not burn anything before others were heard again.
func Stated(ahead, wall, run time.Duration) (now time.Duration, ok bool) {
	if set := wall - run; set.Abs() > Tolerance {
		return ahead - set, run >= 0 && run <= jumpLife
	}
	return ahead, wall >= -Tolerance && wall <= statementLife
}

// Floor is what is stored for the next judgement: without anybody to ask, time
// does not go back behind it.
func (c Clock) Floor() uint32 { return c.Now }

// Sound reports whether terms may be agreed on by this clock.
func (c Clock) Sound() bool { return c.Trust == ClockGood || c.Trust == ClockUnchecked }

// A Passing says whether a deadline has come.
type Passing byte

// The answers.
const (
	// Running: it has not.
	Running Passing = iota
	// Withheld: the own clock says that it has, and the others say that it has not.
	// Nothing flows and nothing is shown, and nothing is burned.
	Withheld
	// Over: it has, and everything is to be burned.
	Over
)

// String says it in a word.
func (p Passing) String() string {
	switch p {
	case Running:
		return "running"
	case Withheld:
		return "withheld"
	case Over:
		return "over"
	}
	return "unknown"
}

// Passed says whether a deadline, in minutes since 1970, has come.
func (c Clock) Passed(deadline uint32) Passing {
	switch {
	case c.Now >= deadline:
		return Over
	case c.own >= deadline:
		return Withheld
	}
	return Running
}

// median is the middle one; of two middle ones, the one nearer to the own clock.
// As long as fewer than half lie, it is no further off than some honest one.
func median(stated []time.Duration) time.Duration {
	s := slices.Sorted(slices.Values(stated))
	low, high := s[(len(s)-1)/2], s[len(s)/2]
	if low.Abs() <= high.Abs() {
		return low
	}
	return high
}

// minutes counts whole minutes since 1970, within what four bytes hold.
func minutes(t time.Time) uint32 {
	return uint32(min(max(t.Unix()/60, 0), 1<<32-1))
}
