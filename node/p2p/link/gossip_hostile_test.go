package link

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// longest remembers the longest message that it was asked about.
func (j *jury) longest() (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for m := range j.seen {
		n = max(n, len(m))
	}
	return n
}

// heard counts the messages that begin so.
func (j *jury) heard(with string) (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for m := range j.seen {
		if strings.HasPrefix(m, with) {
			n++
		}
	}
	return n
}

// say publishes past Publish, which keeps to the rules.
func say(t *testing.T, from *Gossip, message string) {
	t.Helper()
	if err := from.topic.Publish(t.Context(), []byte(message)); err != nil {
		t.Fatal(err)
	}
}

// deaf reports whether a relay hears a neighbour's next words no more, while it hears another
// one's. There are few: of many it would hear none anyhow.
func deaf(t *testing.T, of, other *Gossip, to *jury) bool {
	t.Helper()
	const rounds, enough = 15, 3
	not := 0
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n := 0; n < rounds && not < enough; n++ {
		one, two := fmt.Sprintf("later %d.", n), fmt.Sprintf("meanwhile %d.", n)
		say(t, of, one)
		say(t, other, two)
		for wait := 0; wait < 100 && (to.heard(two) == 0 || wait < 10); wait++ {
			<-tick.C
		}
		switch {
		case to.heard(one) > 0:
			not = 0
		case to.heard(two) > 0:
			not++
		}
	}
	return not == enough
}

// TestWhoBreaksTheRulesIsCutOff: a relay that sends what must be rejected, or what is longer
// than a message may be, is not heard any more, whatever it says then. Others are. What is too
// long is not even looked at.
func TestWhoBreaksTheRulesIsCutOff(t *testing.T) {
	for _, c := range []struct {
		name, message string
		seen          int // at least, by the one that judges it
	}{
		{"nothing", "fine %d", 1},
		{"rejected", "bad %d", 1},
		{"too long", "long " + strings.Repeat("x", MaxGossip) + " %d", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, gossips, juries := chain(t, 3, func(int) bool { return true })
			warm(t, gossips[0], "warm", juries[1:]...)
			warm(t, gossips[2], "back", juries[:2]...)
			for i := range 5 {
				say(t, gossips[0], fmt.Sprintf(c.message, i))
			}
			eventually(t, "the first of them", func() bool { return juries[1].heard(c.message[:4]) >= c.seen })
			if got := deaf(t, gossips[0], gossips[2], juries[1]); got != (c.name != "nothing") {
				t.Errorf("it is cut off: %v", got)
			}
			if n := juries[1].longest(); n > MaxGossip {
				t.Errorf("a message of %d bytes was looked at", n)
			}
		})
	}
}
