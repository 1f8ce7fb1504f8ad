package channel_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
)

const (
	hour = time.Hour
	year = 365 * 24 * time.Hour
)

// TestOneClockWrong sets the clock of one machine wrong in the midst of a talk, and
// right again: what is said arrives, through cuts and restarts, and nobody is
// asked to consent to anything. A new session is due under the wrong clock, and
// cannot be made until it is right; the old one goes on.
func TestOneClockWrong(t *testing.T) {
	for _, skew := range []time.Duration{hour, -hour, 24 * hour, -24 * hour, 12 * 24 * hour, 10 * year, -10 * year, -55 * year} {
		for _, which := range []int{0, 1} {
			t.Run(fmt.Sprint(skew, which), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, 110)
				w.meet()
				w.compare()
				wrong := []*side{w.a, w.b}[which]
				talk := func(when string) {
					for i := range 3 {
						w.a.send(fmt.Sprint("a ", when, i))
						w.b.send(fmt.Sprint("b ", when, i))
						w.settle()
					}
					w.pass(40*time.Second, time.Second)
					w.checkAll()
				}
				talk("before")
				wrong.ahead = skew
				talk("on the connection of before")
				w.reconnect(2 * time.Minute)
				talk("on a new connection")
				wrong.restart()
				w.reconnect(2 * time.Minute)
				talk("after a restart")
				wrong.ahead = 0
				talk("when it is right again")
				wrong.peer.restart()
				wrong.restart()
				w.reconnect(2 * time.Minute)
				talk("after all")
				w.now = w.now.Add(31 * 24 * hour)
				w.reconnect(2 * time.Minute)
				talk("in another session")
				for _, s := range []*side{w.a, w.b} {
					if v := s.c.View(); v.Paused || v.Mark != channel.WordsCompared || s.c.Epoch() < 2 {
						t.Errorf("%s: paused %v, %v, session %d", s.name, v.Paused, v.Mark, s.c.Epoch())
					}
				}
			})
		}
	}
}

// TestFirstContactWithWrongClock lets two meet whose clocks lie up to a day apart;
// further apart they do not, and meet when the clock is right.
func TestFirstContactWithWrongClock(t *testing.T) {
	for _, skew := range []time.Duration{hour, -hour, 23 * hour, -23 * hour, 26 * hour, -26 * hour, -10 * year} {
		t.Run(fmt.Sprint(skew), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 112)
			w.b.ahead = skew
			w.connect()
			w.settle()
			w.pass(time.Minute, time.Second)
			if met, can := w.b.c.View().Stage == channel.Met, skew.Abs() <= 24*hour; met != can {
				t.Errorf("met: %v", met)
			}
			w.b.ahead = 0
			w.reconnect(2 * time.Minute)
			w.a.send("hello")
			w.b.send("hello, too")
			w.settle()
			w.pass(40*time.Second, time.Second)
			w.checkAll()
		})
	}
}
