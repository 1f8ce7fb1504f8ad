package sim

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/backchannel/backchannel/node/route/relayed"
	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
	padding "github.com/backchannel/backchannel/relay"
)

// Figures are what a network costs, reckoned and not simulated (docs/users-and-relays.md).
type Figures struct {
	Slot      time.Duration
	Mean      time.Duration // of a relay's delay, by the pool rule
	Lag       cadence.Slot
	Rate      float64 // packets a second that a relay takes
	Held      float64 // packets in its pool
	Packet    int     // bytes
	Links     float64 // of a relay to others
	Frames    float64 // in a slot, on each of them, each way
	Relay     float64 // bytes a second that a relay sends, and is sent
	Client    float64 // bytes a second that a principal sends, and is sent
	Directory int     // bytes of all of it
	// From sending a text to its reading by somebody who is on, with a period of one slot and
	// nothing lost.
	Median, Late time.Duration // half, and 95 of 100, are there by then
}

// Reckon returns them for so many users, relays and operators with a network's constants.
// The view, its links and their rates are made by the code of relays.
func Reckon(cfg Config) (f Figures, err error) {
	w, size, err := onPaper(cfg)
	if err != nil {
		return f, err
	}
	const held, voucher = 4, 150 // epochs; bytes, with one founder
	f.Directory = held*size + cfg.Relays*voucher
	level, mean := w.expected()
	c := w.network.Constants
	f.Slot, f.Mean, f.Held, f.Packet, f.Lag = c.Slot, mean, level, c.Suite.Geometry().Packet, cadence.ReadLag(mean, c.Slot)
	f.Rate = level / mean.Seconds()
	w.links(&f)
	slot := c.Slot.Seconds()
	f.Client = float64(c.Packets()*w.frame)/slot + onWire64(answer)/c.Epoch.Seconds()
	f.Relay = f.Links*f.Frames*float64(w.frame)/slot + f.Client*float64(cfg.Users)/float64(cfg.Relays)
	f.Median, f.Late = w.latency(f)
	return f, nil
}

// onPaper makes a network in which nothing happens, and returns the bytes of its relays'
// descriptors.
func onPaper(cfg Config) (w *World, size int, err error) {
	if cfg.Relays < 4 || cfg.Relays > 250 || cfg.Operators < 2 || cfg.Operators > cfg.Relays || cfg.Users < 2 {
		return nil, 0, ErrConfig
	}
	w = &World{cfg: cfg, now: -int64(warmUp), places: map[onion.ID]uint8{}}
	if err := w.found(); err != nil {
		return nil, 0, err
	}
	w.frame = onWire(frameKind + w.network.Constants.Suite.Geometry().Packet)
	for i := range cfg.Relays {
		r, err := w.newRelay(i)
		if err != nil {
			return nil, 0, err
		}
		w.relays = append(w.relays, r)
		if err := w.admit(r); err != nil {
			return nil, 0, err
		}
		n, err := w.publish(r, w.time().Add(-w.network.Constants.Epoch))
		if err != nil {
			return nil, 0, err
		}
		size += n
	}
	return w, size, nil
}

// Ways returns the relays of a network and their links, by the code of relays, as they are
// in the first epoch of the trace of a simulation of the same Config; and their names in the
// order of their numbers.
func Ways(cfg Config) (v relayed.View, relays []onion.ID, err error) {
	w, _, err := onPaper(cfg)
	if err != nil {
		return nil, nil, err
	}
	for _, r := range w.relays {
		relays = append(relays, r.id)
	}
	return newView(w.set.View(w.network.EpochAt(begin))), relays, nil
}

func onWire64(n int) float64 { return float64(onWire(n)) }

// links counts those of the view, and the frames of the first some: the rate looks at all
// links of both ends, and all relays hold as much.
func (w *World) links(f *Figures) {
	const some = 40
	v := w.set.View(w.network.EpochAt(w.time()))
	members := v.Members()
	count, frames := 0, 0
	for i, a := range members {
		for _, b := range members[i+1:] {
			if !v.Linked(a.ID, b.ID) {
				continue
			}
			if count++; count <= some {
				frames += padding.Rate(v, w.network.Constants.Slot, a.ID, b.ID)
			}
		}
	}
	f.Links = 2 * float64(count) / float64(len(members))
	f.Frames = float64(frames) / float64(max(1, min(some, count)))
}

// latency plays a machine that is alone with its guard: packets leave at the moments of
// slots, each reply comes after the delays of all relays, and waits at the guard for a
// packet that it may answer. A text leaves with the next box, which is got as many slots
// later as the lag says.
func (w *World) latency(f Figures) (median, late time.Duration) {
	const slots = 4 * 2880
	c, random := w.network.Constants, rand.New(rand.NewPCG(1, 2))
	slot := c.Slot.Seconds()
	relays := visits(w.cfg.Relays)
	links := 2 * (time.Duration(relays/2+1)*(83*time.Millisecond+jitter) +
		time.Duration(float64(relays/2)*slot*7/16/f.Frames*float64(time.Second))).Seconds()
	puts, reads := make([]float64, slots), make([]int, slots) // when the first put leaves; which packet the get is
	sent := make([]float64, 0, slots*cadence.Packets)
	for s := range slots {
		moments := make([]float64, cadence.Packets)
		for i := range moments {
			moments[i] = (float64(s) + random.Float64()) * slot
		}
		puts[s] = moments[cadence.PutFirst]
		get := moments[cadence.Current]
		slices.Sort(moments)
		reads[s] = len(sent) + slices.Index(moments, get)
		sent = append(sent, moments...)
	}
	there := answered(sent, func() float64 {
		d := links
		for range relays {
			d += min(cadence.Longest, -math.Log(1-random.Float64())) * f.Mean.Seconds()
		}
		return d
	})
	var took []float64
	for s := 1; s+1+int(f.Lag) < slots; s++ {
		wrote := puts[s-1] + (puts[s]-puts[s-1])*random.Float64()
		at := there[reads[s+1+int(f.Lag)]]
		if s > slots/8 && !math.IsInf(at, 1) { // texts are as likely to be written in a long gap as it is long
			for range int(1 + (puts[s]-puts[s-1])*4/slot) {
				took = append(took, at-wrote)
			}
		}
	}
	slices.Sort(took)
	of := func(part float64) time.Duration {
		return time.Duration(took[int(part*float64(len(took)))] * float64(time.Second))
	}
	return of(0.5), of(0.95)
}

// answered returns when the reply to each packet is there: the guard sends one with the next
// frame that is free.
func answered(sent []float64, trip func() float64) (there []float64) {
	type reply struct {
		at float64
		of int
	}
	replies := make([]reply, len(sent))
	there = make([]float64, len(sent))
	for i, at := range sent {
		replies[i] = reply{at + trip(), i}
		there[i] = math.Inf(1)
	}
	slices.SortFunc(replies, func(a, b reply) int {
		if a.at < b.at {
			return -1
		}
		return 1
	})
	next := 0
	for _, r := range replies {
		for next < len(sent) && sent[next] < r.at {
			next++
		}
		if next == len(sent) {
			break
		}
		there[r.of] = sent[next]
		next++
	}
	return there
}

// Plain returns the constants of a network that leaves them to their defaults.
func Plain() directory.Constants {
	w := &World{}
	if err := w.found(); err != nil {
		return directory.Constants{}
	}
	return w.network.Constants
}
