package sim

import (
	"crypto/ed25519"
	"fmt"
	"time"

	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/relay/mix"
)

// A relay is a mix, its links, its clients and its drop.
type relay struct {
	w        *World
	place    identity.Place
	index    int
	name     string
	id       onion.ID
	key      ed25519.PrivateKey
	operator string
	off      time.Duration // its clock
	mix      *mix.Machine
	woken    int64 // when wake is due
	level    float64
	mean     time.Duration
	links    []*link
	clients  map[onion.ID]*client
	boxes    memory
	blur     blur // of the pool; nil: it is not kept
}

func (r *relay) identity() directory.Identity {
	return directory.Identity(r.key.Public().(ed25519.PublicKey))
}

func (r *relay) clock(now int64) time.Time { return begin.Add(time.Duration(now) + r.off) }

func (r *relay) unix(now int64) int64 { return begin.UnixNano() + now + int64(r.off) }

// since is the time of the simulation at a moment on the relay's clock.
func (r *relay) since(t time.Time) int64 { return int64(t.Sub(begin) - r.off) }

func (w *World) newRelay(i int) (*relay, error) {
	random := w.rand(forRelay, -1-i)
	r := &relay{
		w: w, index: i, name: fmt.Sprintf("r%02d", i+1), key: w.key(i), operator: fmt.Sprintf("operator-%d", i%w.cfg.Operators+1),
		off: time.Duration(random.NormFloat64() * float64(30*time.Millisecond)), clients: map[onion.ID]*client{},
	}
	r.id = r.identity().ID()
	r.boxes = memory{w: w, boxes: map[[16]byte]kept{}}
	var err error
	if r.place, err = identity.PlaceOf(fmt.Sprintf("10.0.%d.1:4001", i)); err != nil {
		return nil, fmt.Errorf("a place: %w", err)
	}
	cfg := mix.Config{Network: w.network, ID: r.id, Random: w.source(forRelay, i, 0), Onion: w.onion()}
	if w.cfg.Unprotected {
		cfg.LoopEvery = -1
	}
	w.places[r.id] = uint8(i)
	if r.mix, err = mix.New(cfg, begin.Add(-time.Minute)); err != nil {
		return nil, fmt.Errorf("making a mix: %w", err)
	}
	r.level, r.mean = w.expected()
	r.blur = w.newBlur()
	return r, nil
}

func (w *World) onion() mix.Onion {
	if w.cfg.Fast {
		return fastRelay{w}
	}
	return realRelay{w}
}

// take gives the mix a packet.
func (r *relay) take(from mix.Source, packet []byte) {
	now := r.clock(r.w.now)
	held, l := r.mix.Held(), r.w.letterOf(packet)
	actions := r.mix.Packet(now, from, packet)
	if r.mix.Held() > held {
		r.entered(l, len(actions) > 0)
		if l != nil {
			l.first = from.Client
		}
	}
	for _, a := range actions {
		r.ask(now, from, a)
	}
	r.schedule()
}

// ask asks the drop, which answers at once: what the answer waits for is the packet's
// own delay.
func (r *relay) ask(now time.Time, from mix.Source, a mix.Action) {
	status, box := r.boxes.answer(now, a.Body)
	if r.w.cfg.Watch == r.index+1 || r.w.cfg.WatchAll {
		address := a.Body.Key
		if a.Body.Command == onion.Put {
			address = drop.AddressOf(a.Body.Key[:])
		}
		s := Sight{
			At: time.Duration(r.w.now), Command: a.Body.Command, Address: short(address), Found: status == drop.Found,
			From: int(r.w.place(from.ID)), To: int(r.w.place(a.Body.SURB.First)), Drop: r.index,
		}
		if b, ok := r.w.real[s.Address]; ok {
			s.Chain, s.Period, s.Writer = b.t.number, b.period, b.t.u.index
		}
		r.w.cfg.Seen(s)
	}
	r.mix.Answer(a.Ticket, onion.Answer{Status: byte(status), Time: uint32(now.Unix()), Box: box})
}

// schedule sees to it that the mix is woken in time.
func (r *relay) schedule() {
	at := max(r.w.now, r.since(r.mix.Next()))
	if r.woken > r.w.now && r.woken <= at {
		return
	}
	r.woken = at
	r.w.queue.push(event{at: at, kind: wake, who: int32(r.index)})
}

// wake lets what is due leave.
func (r *relay) wake() error {
	if r.w.now != r.woken {
		return nil // it was woken before
	}
	held, loops := r.mix.Held(), r.w.loops
	actions, err := r.mix.Advance(r.clock(r.w.now))
	if err != nil {
		return fmt.Errorf("a mix: %w", err)
	}
	for ; loops < r.w.loops; loops++ {
		held++
		r.blur.comes(nil, held)
	}
	for _, a := range actions {
		switch a.Kind {
		case mix.Send:
			r.send(a)
		case mix.Deliver:
			r.deliver(a)
		case mix.Ask:
		}
	}
	r.woken = -1
	r.schedule()
	return nil
}

func (r *relay) send(a mix.Action) {
	l := r.links[r.w.place(a.To)]
	if a.Packet == nil || l == nil || r.w.padded() && l.rate == 0 {
		r.mix.Count(mix.NoLink)
		return
	}
	leaves, ok := l.send(r.unix(r.w.now))
	if !ok {
		r.mix.Count(mix.LinkFull)
		r.w.ends(a.Packet)
		return
	}
	r.mix.Count(mix.Forwarded)
	if l := r.w.letterOf(a.Packet); l != nil {
		r.left(l, a)
	}
	at := max(r.w.now, leaves-r.unix(0))
	if !r.w.padded() {
		r.w.row(at, r.index, l.to.index, r.w.frame)
	}
	if r.w.lost() {
		r.w.ends(a.Packet)
		return
	}
	r.w.queue.push(event{at: l.take(r.w, at), kind: toRelay, who: int32(l.to.index), from: int32(r.index), packet: a.Packet})
}

// left notes that a packet leaves the pool for another relay.
func (r *relay) left(l *letter, a mix.Action) {
	if r.blur != nil {
		l.blur = r.blur.leaves()
	}
	if l.first && r.w.cfg.Passed != nil {
		r.w.cfg.Passed(Passing{time.Duration(r.w.now), l.sender, r.index, int(r.w.place(a.To))})
	}
	l.first = false
}

// beat writes the rows of padded links: all of a slot in one row, or each frame.
func (r *relay) beat() {
	w := r.w
	slot := int64(w.network.Constants.Slot)
	for _, l := range r.links {
		if l == nil || l.rate == 0 {
			continue
		}
		if !w.cfg.Each {
			w.row(w.now, r.index, l.to.index, int(l.rate)*w.frame)
			continue
		}
		first := (r.unix(w.now) + slot/2) / slot * l.rate
		w.each(r, l, first, first+l.rate)
	}
	w.after(slot, r.beat)
}

// each writes the rows of frames at their moments.
func (w *World) each(r *relay, l *link, n, end int64) {
	if n == end || l.rate == 0 {
		return
	}
	w.at(max(w.now, l.frameAt(n)-r.unix(0)), func() {
		w.row(w.now, r.index, l.to.index, w.frame)
		w.each(r, l, n+1, end)
	})
}
