package main

import (
	"strings"
	"testing"
	"time"
)

// TestDemoClock: a clock of the demo goes ahead as it is told, says so, and is not put back.
func TestDemoClock(t *testing.T) {
	for _, c := range []struct {
		orders, answers string
		ahead           time.Duration
	}{
		{"", "", 0},
		{"3h\n", "3h0m0s\n", 3 * time.Hour},
		{"1h\n1h\n49h0m1s\n", "1h0m0s\n1h0m0s\n49h0m1s\n", 49*time.Hour + time.Second},
		{"2h\n1h\n5h\n", "2h0m0s\n", 2 * time.Hour},
		{"-1h\n5h\n", "", 0},
		{"2h\ntomorrow\n5h\n", "2h0m0s\n", 2 * time.Hour},
		{strings.Repeat("1", 100_000) + "\n5h\n", "", 0},
	} {
		var clock demoClock
		var out strings.Builder
		clock.follow(strings.NewReader(c.orders), &out)
		before := time.Now()
		now := clock.now()
		if out.String() != c.answers || now.Before(before.Add(c.ahead)) || now.After(time.Now().Add(c.ahead)) {
			t.Errorf("%.20q: it answers %q, and is %v ahead", c.orders, out.String(), now.Sub(before))
		}
	}
}
