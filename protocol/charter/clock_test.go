package charter_test

import (
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/charter"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/prototest"
)

// TestWrongClock is the table of what a wrong clock does to a deadline.
func TestWrongClock(t *testing.T) {
	const h = time.Hour
	deadline := uint32(minute)
	for _, x := range []struct {
		name   string
		own    int // minutes from the deadline
		floor  int // likewise; 0: none
		stated []time.Duration
		trust  charter.Trust
		want   charter.Passing
	}{
		{"alone, before", -1, 0, nil, charter.ClockUnchecked, charter.Running},
		{"alone, after", 0, 0, nil, charter.ClockUnchecked, charter.Over},
		{"two are not enough", 0, 0, []time.Duration{-h, -h}, charter.ClockUnchecked, charter.Over},
		{"good, before", -1, 0, []time.Duration{0, time.Minute, -time.Minute}, charter.ClockGood, charter.Running},
		{"good, after", 0, 0, []time.Duration{0, 10 * time.Minute, -10 * time.Minute}, charter.ClockGood, charter.Over},
		{"ahead: nothing is burned, nothing shown", 5, 0, []time.Duration{-h, -h, -h}, charter.ClockAhead, charter.Withheld},
		{"ahead, and it has come", 65, 0, []time.Duration{-h, -h, -h}, charter.ClockAhead, charter.Over},
		{"ahead, and far from it", -90, 0, []time.Duration{-h, -h, -h}, charter.ClockAhead, charter.Running},
		{"behind: it is burned in time", -30, 0, []time.Duration{h, h, h}, charter.ClockBehind, charter.Over},
		{"behind, and not yet", -90, 0, []time.Duration{h, h, h}, charter.ClockBehind, charter.Running},
		{"one liar of three", -90, 0, []time.Duration{9000 * h, 0, time.Second}, charter.ClockGood, charter.Running},
		{"two of four are right", -90, 0, []time.Duration{9000 * h, 9000 * h, 0, 0}, charter.ClockGood, charter.Running},
		{"two of four are right, the other way", 0, 0, []time.Duration{-9000 * h, 0, -9000 * h, 0}, charter.ClockGood, charter.Over},
		{"put back, offline", -5000, -1, nil, charter.ClockPutBack, charter.Running},
		{"put back behind the deadline, offline", -5000, 3, nil, charter.ClockPutBack, charter.Over},
		{"a little back", 2, 3, nil, charter.ClockUnchecked, charter.Over},
		{"a floor that was wrong gives way", -60, 5000, []time.Duration{0, 0, 0}, charter.ClockGood, charter.Running},
	} {
		floor := uint32(0)
		if x.floor != 0 {
			floor = uint32(minute + x.floor)
		}
		c := charter.CheckClock(time.Unix(int64(minute+x.own)*60, 0), floor, x.stated)
		if c.Trust != x.trust || c.Passed(deadline) != x.want {
			t.Errorf("%s: %v, %v; want %v, %v", x.name, c.Trust, c.Passed(deadline), x.trust, x.want)
		}
		if c.Sound() != (x.trust == charter.ClockGood || x.trust == charter.ClockUnchecked) {
			t.Errorf("%s: sound is %v", x.name, c.Sound())
		}
	}
}

// TestStated is what a statement counts for after a while, and after a clock was set.
func TestStated(t *testing.T) {
	const h, days = time.Hour, 72 * time.Hour
	for _, x := range []struct {
		name             string
		ahead, wall, run time.Duration
		want             time.Duration
		ok               bool
	}{
		{"fresh", h, time.Second, time.Second, h, true},
		{"of yesterday", h, 23 * h, 23 * h, h, true},
		{"older", h, 25 * h, 25 * h, h, false},
		{"the own clock was set three days ahead", 0, days + time.Minute, time.Minute, -days, true},
		{"and back", 0, time.Minute - days, time.Minute, days, true},
		{"and nobody was heard since", 0, days + 6*time.Minute, 6 * time.Minute, -days, false},
		{"it slept, and wakes", 0, 8*h + time.Minute, time.Minute, -8 * h, true},
		{"it slept, and is awake for a while", 0, 8*h + 6*time.Minute, 6 * time.Minute, -8 * h, false},
	} {
		if got, ok := charter.Stated(x.ahead, x.wall, x.run); got != x.want || ok != x.ok {
			t.Errorf("%s: %v, %v", x.name, got, ok)
		}
	}
}

func TestNothingIsAgreedByAWrongClock(t *testing.T) {
	wrong := charter.CheckClock(time.Unix(minute*60, 0), 0, []time.Duration{time.Hour, time.Hour, time.Hour})
	if _, err := charter.Propose(identity.Inviter, channel, terms(), wrong); err != charter.ErrClock {
		t.Errorf("proposed: %v", err)
	}
	_, b := begin(t, terms())
	if _, err := b.Accept(b.Pending().Digest(), wrong); err != charter.ErrClock {
		t.Errorf("accepted: %v", err)
	}
	if _, err := b.Decline(b.Pending().Digest()); err != nil {
		t.Errorf("cannot even be declined: %v", err)
	}
}

// TestLiarsGame lets fewer than half of the sources lie as they like, and counts
// how often the judgement leaves the range of the honest ones: never. With half
// or more it does.
func TestLiarsGame(t *testing.T) {
	rng := prototest.Reader(3)
	draw := func(n uint64) int64 { return int64(rng.Uint64() % n) }
	out := [2]int{}
	for range 20_000 {
		n := int(draw(9)) + charter.MinSources
		for many := range 2 {
			liars := int(draw(uint64((n + 1) / 2)))
			if many == 1 {
				liars = n/2 + 1
			}
			lie := time.Duration(draw(1000)-500) * time.Hour
			var stated []time.Duration
			low, high := time.Hour, -time.Hour
			for i := range n {
				if i < liars {
					stated = append(stated, lie)
					continue
				}
				honest := time.Duration(draw(240)-120) * time.Second
				low, high = min(low, honest), max(high, honest)
				stated = append(stated, honest)
			}
			c := charter.CheckClock(time.Unix(minute*60, 0), 0, stated)
			if off := -c.Off; off < low || off > high {
				out[many]++
			}
		}
	}
	if out[0] != 0 || out[1] < 15_000 {
		t.Errorf("out of the honest range: %d times with fewer than half lying, %d with more", out[0], out[1])
	}
}
