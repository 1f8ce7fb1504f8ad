package link

import (
	"fmt"
	"strings"
	"testing"
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

// talk has a relay say what it likes, until another one has heard so many of its messages.
func talk(t *testing.T, from *Gossip, what string, to *jury, times int) {
	t.Helper()
	n := 0
	eventually(t, what, func() bool {
		if n++; n%5 == 1 {
			// Past Publish, which keeps to the rules.
			if err := from.topic.Publish(t.Context(), fmt.Appendf(nil, "%s %d", what, n)); err != nil {
				t.Fatal(err)
			}
		}
		return to.heard(what) >= times
	})
}

// TestWhoBreaksTheRulesIsCutOff: a relay that sends what must be rejected, or what is longer
// than a message may be, is not heard any more after a few times, whatever it says then. Others
// are. What is too long is not even looked at.
func TestWhoBreaksTheRulesIsCutOff(t *testing.T) {
	for _, c := range []struct {
		name   string
		breaks func(t *testing.T, from *Gossip, to *jury)
	}{
		{"rejected", func(t *testing.T, from *Gossip, to *jury) { talk(t, from, "bad", to, 2) }},
		{"too long", func(t *testing.T, from *Gossip, _ *jury) {
			for i := range 3 {
				if err := from.topic.Publish(t.Context(), fmt.Appendf(make([]byte, 0, MaxGossip+100), "long %0*d", MaxGossip, i)); err != nil {
					t.Fatal(err)
				}
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, gossips, juries := chain(t, 3, func(int) bool { return true })
			warm(t, gossips[0], "warm", juries[1:]...)
			warm(t, gossips[2], "back", juries[:2]...)
			c.breaks(t, gossips[0], juries[1])
			talk(t, gossips[2], "meanwhile", juries[1], 2)
			before := juries[1].heard("")
			for i := range 20 {
				if err := gossips[0].Publish(t.Context(), fmt.Appendf(nil, "later %d", i)); err != nil {
					t.Fatal(err)
				}
			}
			talk(t, gossips[2], "afterwards", juries[1], 5)
			if n := juries[1].heard("later"); n > 0 || juries[2].heard("later") > 0 {
				t.Errorf("%d messages of it are heard afterwards", n)
			}
			if n := juries[1].longest(); n > MaxGossip {
				t.Errorf("a message of %d bytes was looked at", n)
			}
			if juries[1].heard("") <= before {
				t.Error("nobody is heard any more")
			}
		})
	}
}
