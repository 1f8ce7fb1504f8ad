package node_test

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
)

// points are the kinds of moment at which a process is killed. The N-th of each
// is tried for every N that the script comes to.
var points = []bomb{
	{Kind: "commit", When: "before"},
	{Kind: "commit", When: "after"},
	{Kind: "write", When: "before"},
	{Kind: "write", When: "inside"},
	{Kind: "write", When: "after"},
}

// stride leaves points out where there is no time for all; which ones, varies.
func stride() int {
	switch {
	case slow || testing.Short():
		return 5
	case *long:
		return 1
	default:
		return 6
	}
}

// sidesKilled runs a test for either side: the process that is killed, and a
// machine in this process that it talks with.
func sidesKilled(t *testing.T, f func(t *testing.T, killed func(t *testing.T) (*process, *talk))) {
	for _, inviter := range oneOf(true, false) {
		name := "accepter"
		if inviter {
			name = "inviter"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, func(t *testing.T) (*process, *talk) {
				if inviter {
					p := newProcess(t, freeSettings(t))
					m := newMachine(t, freeSettings(t), hooks{})
					return p, newTalk(t, p, m)
				}
				m := newMachine(t, freeSettings(t), hooks{})
				p := newProcess(t, freeSettings(t))
				return p, newTalk(t, m, p)
			})
		})
	}
}

// TestKilledWhileMeeting kills a machine once at each point of a first contact:
// the invitation, the handshake, the exchange and the comparison of words, and a
// text each way that waits for all that.
func TestKilledWhileMeeting(t *testing.T) {
	t.Parallel()
	sidesKilled(t, func(t *testing.T, pair func(t *testing.T) (*process, *talk)) {
		kills := 0
		for _, point := range points {
			last := 0
			for at := 1 + rand.IntN(stride()); ; at += stride() {
				ok := t.Run(fmt.Sprint(point.When, point.Kind, at), func(t *testing.T) {
					p, w := pair(t)
					first := true
					p.next = func() bomb {
						if !first {
							return bomb{}
						}
						first = false
						return bomb{Kind: point.Kind, When: point.When, At: at}
					}
					meetAndCompare(w, p)
					kills += p.kills
					last = p.kills
				})
				if !ok {
					return
				}
				if last == 0 {
					t.Logf("%s %s: %d points", point.When, point.Kind, at-1)
					break
				}
			}
		}
		t.Logf("%d kills", kills)
	})
}

func meetAndCompare(w *talk, p *process) {
	w.t.Helper()
	w.b.accept(w.a.invite())
	w.say(w.a, "from the inviter, before anybody came")
	w.say(w.b, "from the accepter, before anybody came")
	w.connected()
	p.compare(func() string { return spoken(w.t, w.other(p)) })
	w.arrived()
	w.undisturbed()
}

// spoken waits for the words that the person at a machine reads.
func spoken(t testing.TB, p party) (digits string) {
	t.Helper()
	until(t, "there are words", func() bool {
		if p, ok := p.(*process); ok {
			digits = p.digits()
			return digits != ""
		}
		m := p.(*machine)
		sp, err := m.Words(t.Context(), peer)
		if err != nil && !errors.Is(err, channel.ErrNoWords) {
			t.Fatal(err)
		}
		digits = sp.Digits()
		return err == nil
	})
	return digits
}

// TestKilledWhileTalking kills a machine in a conversation that goes on and on:
// each of its lives ends one point later than the one before, until a life sees
// the whole script through.
func TestKilledWhileTalking(t *testing.T) {
	t.Parallel()
	sidesKilled(t, func(t *testing.T, pair func(t *testing.T) (*process, *talk)) {
		p, w := pair(t)
		w.meet()
		kills := 0
		p.died = func(bomb) { kills++ }
		for _, point := range points {
			at := 1 + rand.IntN(stride()) - stride()
			p.next = func() bomb {
				at += stride()
				return bomb{Kind: point.Kind, When: point.When, At: at}
			}
			p.end()
			before := kills
			for before >= 0 {
				w.round(fmt.Sprint(point, kills))
				w.truth()
				if kills == before {
					break
				}
				before = kills
			}
			t.Logf("%s %s: %d points", point.When, point.Kind, at-1)
		}
		w.undisturbed()
		t.Logf("%d kills, %d texts", kills, len(w.said[w.a])+len(w.said[w.b]))
	})
}

// killsEnv asks for another number of kills; see docs/figures.md.
const killsEnv = "NODE_TEST_KILLS"

// TestKilledAtRandom kills both machines by turns, at random moments.
func TestKilledAtRandom(t *testing.T) {
	t.Parallel()
	want, err := strconv.Atoi(cmp.Or(os.Getenv(killsEnv), strconv.Itoa(few(50))))
	if err != nil {
		t.Fatal(err)
	}
	killedAtRandom(t, want, func() bomb { return bomb{Kind: "time", When: "after", At: 1 + rand.IntN(400)} })
}

// TestOutOfMemory takes the memory away from both machines by turns.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	if starve == nil || slow {
		t.Skip("memory cannot be limited here, or the race detector needs more than any limit")
	}
	killedAtRandom(t, few(20), func() bomb { return bomb{Kind: "memory", When: "after", At: 1 + rand.IntN(200)} })
}

// TestOpenedWithLittleMemory starts a machine again and again with a little more
// memory than before, until it has enough to go on.
func TestOpenedWithLittleMemory(t *testing.T) {
	t.Parallel()
	if limitMemory == nil || slow {
		t.Skip("memory cannot be limited here, or the race detector needs more than any limit")
	}
	a, b := newProcess(t, freeSettings(t)), newProcess(t, freeSettings(t))
	w := newTalk(t, a, b)
	w.meet()
	died := false
	a.died = func(bomb) { died = true }
	step := max(1, 18/few(6))
	deaths, lives := 0, 0
	for at := 0; lives < 3; at += max(step, at/3) {
		w.say(a, fmt.Sprint("text ", at))
		a.end()
		first := true
		died = false
		a.next = func() bomb {
			if !first {
				return bomb{}
			}
			first = false
			return bomb{Kind: "memory", When: "before", At: at}
		}
		if w.say(b, fmt.Sprint("answer ", at)); !a.start() {
			a.start()
		}
		if died {
			deaths, lives = deaths+1, 0
		} else {
			lives++
		}
		a.end()
		a.next = nil
		w.truth()
	}
	w.arrived()
	w.undisturbed()
	if deaths < 5 {
		t.Errorf("%d deaths: the limits were too wide to show anything", deaths)
	}
	t.Logf("%d deaths", deaths)
}

func killedAtRandom(t *testing.T, want int, next func() bomb) {
	t.Helper()
	a, b := newProcess(t, freeSettings(t)), newProcess(t, freeSettings(t))
	w := newTalk(t, a, b)
	w.meet()
	a.end()
	b.end()
	kills, turn := 0, a
	for _, p := range []*process{a, b} {
		p.next = func() bomb {
			if p != turn || kills >= want {
				return bomb{}
			}
			return next()
		}
		p.died = func(bomb) { kills++ }
	}
	for i := 0; kills < want; i++ {
		before := kills
		for kills == before {
			for side, p := range w.sides() {
				w.say(p, fmt.Sprintf("%s %d %d", side, i, len(w.said[p])))
			}
		}
		w.truth()
		if turn = a; i%2 == 0 {
			turn = b
		}
		if turn.cmd != nil {
			turn.end() // its next life has a bomb
		}
	}
	w.arrived()
	w.undisturbed()
	t.Logf("%d kills, %d texts, slowest start %v", kills, len(w.said[a])+len(w.said[b]), max(a.slowest, b.slowest).Round(time.Millisecond))
}
