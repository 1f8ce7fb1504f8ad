package sim

import (
	"math/rand/v2"
	"time"

	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
)

// warmUp is simulated before the trace begins: a network that somebody records is not
// about to start.
const warmUp = 10 * time.Minute

// A World is all of a simulation. It has one owner.
type World struct {
	cfg      Config
	now      int64 // nanoseconds from the beginning of the trace
	queue    queue
	random   *rand.Rand // of links
	network  *directory.Network
	set      *directory.Set
	view     *view
	relays   []*relay
	places   map[onion.ID]uint8
	users    []*user
	talks    []*talk
	post     post
	marks    map[mac]mark
	real     map[[16]byte]boxOf // boxes of contacts, without cover
	numbered uint64             // packets of users, for their entropy
	loops    int                // of relays
	frame    int                // bytes of a packet's frame on the wire
	trace    trace
	truth    Truth
	failed   error
}

// New makes a World of which no time has passed.
func New(cfg Config) (*World, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	w := &World{cfg: cfg, now: -int64(warmUp), places: map[onion.ID]uint8{}, marks: map[mac]mark{}, real: map[[16]byte]boxOf{}}
	w.random = w.rand(forWorld, 0)
	if err := w.found(); err != nil {
		return nil, err
	}
	w.frame = onWire(frameKind + w.network.Constants.Suite.Geometry().Packet)
	for i := range cfg.Relays {
		r, err := w.newRelay(i)
		if err != nil {
			return nil, err
		}
		w.relays = append(w.relays, r)
	}
	if err := w.connect(); err != nil {
		return nil, err
	}
	w.trace.open(w)
	if err := w.epoch(); err != nil {
		return nil, err
	}
	w.people()
	return w, nil
}

// connect lets the relays be known, and makes their links.
func (w *World) connect() error {
	before := w.time().Add(-w.network.Constants.Epoch)
	for _, r := range w.relays {
		if err := w.admit(r); err != nil {
			return err
		}
		if _, err := w.publish(r, before); err != nil {
			return err
		}
		r.links = make([]*link, len(w.relays))
		for j, to := range w.relays {
			if j != r.index {
				low, high := min(j, r.index), max(j, r.index)
				r.links[j] = &link{path: w.newPath(low<<8 | high), to: to, slot: int64(w.network.Constants.Slot)}
			}
		}
		if w.padded() {
			slot := int64(w.network.Constants.Slot)
			w.at(w.now-w.now%slot-int64(r.off)+slot, r.beat)
		}
	}
	return nil
}

// padded reports whether links carry frames for nobody.
func (w *World) padded() bool { return !w.cfg.Unprotected }

func (w *World) time() time.Time { return begin.Add(time.Duration(w.now)) }

func (w *World) place(id onion.ID) uint8 { return w.places[id] }

func (w *World) at(at int64, do func()) { w.queue.push(event{at: max(at, w.now), do: do}) }

func (w *World) after(d int64, do func()) { w.at(w.now+d, do) }

// lost draws whether a packet gets lost on a link.
func (w *World) lost() bool { return w.cfg.Loss > 0 && w.random.Float64() < w.cfg.Loss }

// lostTo draws whether a packet gets lost between a user and a guard.
func (w *World) lostTo(user int) bool {
	lost := w.lost()
	return lost || w.cfg.Cut != nil && w.cfg.Cut(user, time.Duration(w.now))
}

// epoch begins one: relays tell what they have measured, and everybody has the new view.
func (w *World) epoch() error {
	for _, r := range w.relays {
		now := r.clock(w.now)
		if e := w.network.EpochAt(w.time()); w.network.EpochAt(now) != e {
			now = w.network.Begins(e) // of clocks that are a little slow
		}
		switch {
		case w.now <= 0:
			_ = r.mix.Average(now)
		default:
			w.measure(r, now)
		}
		size, err := w.publish(r, now)
		if err != nil {
			return err
		}
		w.gossip(r, size)
	}
	w.view = newView(w.set.View(w.network.EpochAt(w.time())))
	for _, r := range w.relays {
		r.mix.SetView(w.view.View)
		r.mix.SetMean(r.mean)
		r.schedule()
	}
	w.relink()
	for _, u := range w.users {
		u.newView()
	}
	w.expectBoxes()
	next := w.network.Begins(w.network.EpochAt(w.time()) + 1)
	w.at(int64(next.Sub(begin)), func() {
		if err := w.epoch(); err != nil {
			w.failed = err
		}
	})
	return nil
}

// Run lets all of the time pass, and returns what was true.
func (w *World) Run() (*Truth, error) {
	end := int64(w.cfg.Duration)
	for hour := int64(3600e9); w.failed == nil && len(w.queue.heap) > 0 && w.queue.heap[0].at < end; {
		e := w.queue.pop()
		w.now = e.at
		w.happen(&e)
		for ; w.now >= hour; hour += 3600e9 {
			if w.cfg.Progress != nil {
				w.cfg.Progress(time.Duration(hour))
			}
		}
	}
	w.now = end
	if w.failed == nil {
		w.failed = w.trace.close()
	}
	return &w.truth, w.failed
}

func (w *World) happen(e *event) {
	switch e.kind {
	case call:
		e.do()
	case tick:
		w.users[e.who].tick(e.run)
	case wake:
		if err := w.relays[e.who].wake(); err != nil {
			w.failed = err
		}
	case toRelay:
		w.relays[e.who].take(w.relays[e.from].source(), e.packet)
	case toGuard:
		u := w.users[e.from]
		if u.client == nil || u.run != e.run || u.client.guard.index != int(e.who) {
			w.ends(e.packet)
			return
		}
		u.client.frame(e.packet)
	case toClient:
		if u := w.users[e.who]; u.on && u.run == e.run {
			u.turn(u.m.Reply(u.clock(), e.packet))
		}
		w.ends(e.packet)
	}
}
