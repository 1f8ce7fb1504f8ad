package attack

import (
	"time"

	"github.com/backchannel/backchannel/cmd/internal/sim"
	"github.com/backchannel/backchannel/protocol/onion"
)

// A Watcher keeps what an attacker uses of one network: when each user's link carried a
// packet up and down, and what the drop that he holds saw. Padded links between relays
// are left out: they carry the same in each slot, whatever happens.
type Watcher struct {
	Duration time.Duration
	up       [][]float64 // by user: seconds, rising
	down     [][]float64
	boxes    []box
	puts     map[[16]byte]moment
	delay    Delay
	passed   []map[int][]float64 // by user and next relay: when packets left the guard that he holds
}

// A box was put at the drop and got there.
type box struct{ put, got moment }

// A moment at the drop, and the relay before it.
type moment struct {
	at   float64
	from int
}

// Delay is what the attacker knows of the time from a user's link to a drop: so many
// relays on the way, their mean delay, and what links take.
type Delay struct {
	Relays int
	Mean   float64 // seconds, of one relay
	Links  float64 // seconds, of all links
}

// Watch lets a Watcher see a simulation that is about to run.
func Watch(cfg *sim.Config, d Delay) *Watcher {
	w := &Watcher{
		Duration: cfg.Duration, up: make([][]float64, cfg.Users), down: make([][]float64, cfg.Users),
		puts: map[[16]byte]moment{}, delay: d, passed: make([]map[int][]float64, cfg.Users),
	}
	relays := cfg.Relays
	cfg.Rows = func(r sim.Row) {
		switch at := r.At.Seconds(); {
		case r.Size < 4000 || r.Size > 20_000: // connections and the directory, at their own times
		case r.From >= relays:
			w.up[r.From-relays] = append(w.up[r.From-relays], at)
		case r.To >= relays:
			w.down[r.To-relays] = append(w.down[r.To-relays], at)
		}
	}
	cfg.Seen = func(s sim.Sight) {
		switch put, there := w.puts[s.Address]; {
		case s.Command == onion.Put:
			w.puts[s.Address] = moment{s.At.Seconds(), s.From}
		case s.Found && there && put.at > d.longest():
			// Of what came before the trace had begun nobody's packets are known.
			w.boxes = append(w.boxes, box{put, moment{s.At.Seconds(), s.From}})
		}
	}
	return w
}

// HoldGuard lets it see what the clients of guards send, too: of the guard with a number from
// 1 on, or of all for -1.
func (w *Watcher) HoldGuard(cfg *sim.Config, guard int) {
	cfg.Passed = func(p sim.Passing) {
		if p.At < 0 || guard > 0 && p.Guard != guard-1 {
			return
		}
		if w.passed[p.User] == nil {
			w.passed[p.User] = map[int][]float64{}
		}
		w.passed[p.User][p.To] = append(w.passed[p.User][p.To], p.At.Seconds())
	}
}

// counts returns how many of the times lie in each bin.
func counts(times []float64, bin float64, duration time.Duration) []float64 {
	all := make([]float64, int(duration.Seconds()/bin)+1)
	for _, t := range times {
		if i := int(t / bin); i < len(all) {
			all[i]++
		}
	}
	return all
}
