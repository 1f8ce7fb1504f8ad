package link

import (
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/backchannel/backchannel/protocol/onion"
)

// leastTime is what a question that is being answered may take, however many others come:
// 128 KiB over a line of 200 kbit/s.
const leastTime = 5 * time.Second

// askers are those whose questions are being answered: one of each. Who comes when there
// are as many as may be takes the place of the one that has taken longest, if that is more
// than it needs: those who ask and do not read do not keep the others from asking.
type askers struct {
	mu  sync.Mutex
	all []asker // by the time at which they came; guarded by mu
}

type asker struct {
	stream network.Stream
	from   onion.ID
	came   time.Time
}

// enter reports whether a question is answered now.
func (a *askers) enter(s network.Stream, from onion.ID, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, x := range a.all {
		if x.from == from {
			return false
		}
	}
	if len(a.all) >= maxAsking {
		first := a.all[0]
		if now.Sub(first.came) < leastTime {
			return false
		}
		_ = first.stream.Reset()
		a.remove(0)
	}
	a.all = append(a.all, asker{s, from, now})
	return true
}

// leave forgets a question.
func (a *askers) leave(s network.Stream) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, x := range a.all {
		if x.stream == s {
			a.remove(i)
			return
		}
	}
}

// remove leaves nothing of a question behind; mu is held.
func (a *askers) remove(i int) { a.all = slices.Delete(a.all, i, i+1) }
