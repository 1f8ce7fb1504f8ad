package node_test

import (
	"context"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
)

// performSounding is performCraft for soundings. Topics stand one on a line; one that
// is begun ends in four hours, and its window opens in two.
func performSounding(ctx context.Context, n *node.Node, c command, a *answer) (handled bool, err error) {
	switch c.Do {
	case "sounding/begin":
		_, err = n.Sound(ctx, peer, time.Now().Add(4*time.Hour), strings.Split(c.Text, "\n"))
	case "sounding/join":
		_, err = n.Sound(ctx, peer, time.Time{}, strings.Split(c.Text, "\n"))
	case "sounding/show":
		list, err := n.Soundings(ctx, peer)
		if err == nil && len(list[0].List) > 0 {
			a.Sounding = list[0].List[len(list[0].List)-1]
		}
		return true, err
	default:
		return false, nil
	}
	return true, err
}

func (w *talk) sounding(p party) channel.SoundingView {
	w.t.Helper()
	return w.do(p, command{Do: "sounding/show"}).Sounding
}

// advance starts both parties again with clocks that are ahead.
func advance(p *process, m *machine, ahead time.Duration) {
	p.end()
	p.ahead = ahead
	m.end()
	m.hooks.now = func() time.Time { return time.Now().Add(ahead) }
	m.start()
	m.unlock()
}

// TestKilledOverSounding kills the one who called, or was called, again and again
// while the machines are at it, at all points in turn. Both end with the same.
func TestKilledOverSounding(t *testing.T) {
	t.Parallel()
	for _, role := range oneOf("caller", "called") {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			p, m := newProcess(t, freeSettings(t)), newMachine(t, freeSettings(t), hooks{})
			w := newTalk(t, p, m)
			w.meet()
			var first, second party = p, m
			if role == "called" {
				first, second = m, p
			}
			w.do(first, command{Do: "sounding/begin", Text: "gauges\nEmbassy reopening"})
			until(t, "the other machine takes part", func() bool { return w.sounding(second).State == channel.SoundingOpen })
			w.do(second, command{Do: "sounding/join", Text: "dams\nGAUGES "})

			lives, kills := 0, 0
			p.next = func() bomb {
				if lives++; lives > 4 {
					return bomb{}
				}
				point := points[lives%len(points)]
				return bomb{Kind: point.Kind, When: point.When, At: 2 + mathrand.IntN(6)}
			}
			p.died = func(bomb) { kills++ }
			advance(p, m, 4*time.Hour-2*time.Minute)
			slowly(t, "all messages were exchanged", func() bool {
				a, b := w.sounding(first), w.sounding(second)
				return a.Answered == 21 && b.Answered == 21
			})
			for _, side := range []party{first, second} {
				if s := w.sounding(side); s.State != channel.SoundingRuns || len(s.Common) != 0 {
					t.Errorf("before the agreed time: %+v", s)
				}
			}
			p.next = nil
			advance(p, m, 70*time.Hour)
			for _, side := range []party{first, second} {
				s := w.sounding(side)
				if got := fmt.Sprint(s.State, s.Common); got != "both named it [{gauges 40}]" {
					t.Errorf("it ends with %s", got)
				}
			}
			if kills < 3 {
				t.Errorf("%d kills", kills)
			}
			t.Logf("%d kills", kills)
		})
	}
}
