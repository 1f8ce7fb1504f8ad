package mix

import (
	"fmt"
	"io"
	"math/big"
	"time"

	crand "crypto/rand"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// What loops are judged by.
const (
	window     = 32 // loops that are looked at
	fewest     = 8  // with fewer nothing is said
	maxPending = 256
	// patience is how many times its mean a loop may take; one in 30,000 takes longer. Half
	// a slot more is for links: so a relay that holds all back for a minute is found.
	patience = 4
)

// Health is what a relay's own loops say.
type Health struct {
	Sent     uint64
	Returned uint64
	Lost     uint64 // did not come back in time, or altered
	// Alarm: of the last 32 loops half or more were lost. Somebody near this relay holds
	// back what he does not know, or most ways are broken.
	Alarm bool
	// Suspects are relays of whose last loops half or more were lost, while of those that
	// did not touch them most came back.
	Suspects []onion.ID
}

type loop struct {
	relays   []onion.ID
	deadline time.Time
	check    func([]byte) error
}

type outcome struct {
	relays []onion.ID
	lost   bool
}

// loops are the packets that a relay sends to itself.
type loops struct {
	interval time.Time // beginning of the interval that the next one falls into
	at       time.Time
	pending  map[onion.Tag]*loop
	waiting  []onion.Tag // of pending, and of some that came back, by rising time
	recent   []outcome
	health   Health
}

func (l *loops) init(m *Machine, now time.Time) {
	l.pending = map[onion.Tag]*loop{}
	l.interval = now
	l.draw(m)
}

// draw picks the moment in the interval, so that loops come at a rate that does not
// change and nobody knows when.
func (l *loops) draw(m *Machine) {
	if m.cfg.LoopEvery > 0 {
		l.at = l.interval.Add(time.Duration(m.random(int64(m.cfg.LoopEvery))))
	}
}

// next returns when the next loop leaves or is given up.
func (l *loops) next() (time.Time, bool) {
	at := l.at
	for _, tag := range l.waiting {
		if p := l.pending[tag]; p != nil {
			if at.IsZero() || p.deadline.Before(at) {
				at = p.deadline
			}
			break
		}
	}
	return at, !at.IsZero()
}

func (l *loops) advance(m *Machine, now time.Time) {
	l.giveUp(now)
	if m.cfg.LoopEvery <= 0 || now.Before(l.at) {
		return
	}
	if err := l.send(m, now); err != nil {
		m.counts[NoLink]++
	}
	// After a stall nothing is made up for.
	l.interval = l.interval.Add(m.cfg.LoopEvery)
	if now.After(l.interval.Add(m.cfg.LoopEvery)) {
		l.interval = now
	}
	l.draw(m)
}

// send puts a loop into the pool, as if it had come over a link.
func (l *loops) send(m *Machine, now time.Time) error {
	if m.view == nil || len(l.pending) >= maxPending {
		return nil
	}
	if _, ok := m.room(Source{ID: m.cfg.ID}); !ok {
		return nil
	}
	request, relays, took, err := m.loopRequest()
	if err != nil {
		return err
	}
	coins, err := secret.Read(m.cfg.Random)
	if err != nil {
		return fmt.Errorf("drawing coins: %w", err)
	}
	packet, tag, check, err := m.cfg.Onion.Create(coins, request)
	coins.Wipe()
	if err != nil {
		return fmt.Errorf("making a loop: %w", err)
	}
	var seed onion.Seed
	if _, err := io.ReadFull(m.cfg.Random, seed[:]); err != nil {
		return fmt.Errorf("drawing a delay: %w", err)
	}
	delay := cadence.Delay(seed, m.mean)
	m.hold(now, &held{
		source: Source{ID: m.cfg.ID}, due: now.Add(delay),
		action: Action{Kind: Send, To: request.Out[0].ID, Packet: packet},
	})
	l.pending[tag] = &loop{relays, now.Add(delay + patience*took + m.cfg.Network.Constants.Slot/2), check}
	l.waiting = append(l.waiting, tag)
	l.health.Sent++
	return nil
}

// loopRequest draws a way to an exit and back. The exit is asked for an address that
// nobody has: it cannot tell a loop from a reader who finds nothing.
func (m *Machine) loopRequest() (r onion.Request, relays []onion.ID, took time.Duration, err error) {
	members := m.view.Members()
	if len(members) < 3 {
		return r, nil, 0, ErrNoLink
	}
	exit := members[m.random(int64(len(members)))].ID
	for exit == m.cfg.ID {
		exit = members[m.random(int64(len(members)))].ID
	}
	out, err := m.view.Way(m.cfg.Random, m.cfg.ID, exit)
	if err != nil {
		return r, nil, 0, fmt.Errorf("drawing a way out: %w", err)
	}
	back, err := m.view.Way(m.cfg.Random, exit, m.cfg.ID, out[1:len(out)-1]...)
	if err != nil {
		return r, nil, 0, fmt.Errorf("drawing a way back: %w", err)
	}
	r = onion.Request{Suite: m.cfg.Network.Constants.Suite, Home: m.cfg.ID, Command: onion.Get, Box: m.randomBox()}
	if _, err := io.ReadFull(m.cfg.Random, r.Key[:]); err != nil {
		return r, nil, 0, fmt.Errorf("drawing an address: %w", err)
	}
	for i, id := range append(out[1:], back[1:]...) {
		hop, _ := m.view.Member(id)
		took += hop.Mean
		if i < len(out)-1 {
			r.Out = append(r.Out, onion.Hop{ID: id, Key: hop.Key})
		} else {
			r.Back = append(r.Back, onion.Hop{ID: id, Key: hop.Key})
		}
		if id != m.cfg.ID {
			relays = append(relays, id)
		}
	}
	return r, relays, took + answerAfter, nil
}

// back takes a packet that was delivered to this relay itself.
func (l *loops) back(m *Machine, packet []byte) {
	tag, err := m.cfg.Onion.Tag(packet)
	p := l.pending[tag]
	if err != nil || p == nil {
		m.counts[UnknownReply]++
		return
	}
	delete(l.pending, tag)
	m.counts[OwnLoop]++
	l.settle(p, p.check(packet) != nil)
}

func (l *loops) giveUp(now time.Time) {
	for len(l.waiting) > 0 {
		p := l.pending[l.waiting[0]]
		if p != nil {
			if now.Before(p.deadline) {
				return
			}
			delete(l.pending, l.waiting[0])
			l.settle(p, true)
		}
		l.waiting = l.waiting[1:]
	}
}

func (l *loops) settle(p *loop, lost bool) {
	if lost {
		l.health.Lost++
	} else {
		l.health.Returned++
	}
	if l.recent = append(l.recent, outcome{p.relays, lost}); len(l.recent) > window {
		l.recent = append(l.recent[:0], l.recent[1:]...)
	}
}

// Health returns what the loops say now.
func (m *Machine) Health() Health {
	h := m.loops.health
	with, without := map[onion.ID]*tally{}, map[onion.ID]*tally{}
	var all tally
	for _, o := range m.loops.recent {
		all.add(o.lost)
		for _, id := range o.relays {
			if with[id] == nil {
				with[id], without[id] = new(tally), new(tally)
			}
		}
	}
	h.Alarm = all.bad()
	for id := range with {
		for _, o := range m.loops.recent {
			if touches(o.relays, id) {
				with[id].add(o.lost)
			} else {
				without[id].add(o.lost)
			}
		}
		if with[id].bad() && !without[id].bad() {
			h.Suspects = append(h.Suspects, id)
		}
	}
	return h
}

type tally struct{ all, lost int }

func (t *tally) add(lost bool) {
	t.all++
	if lost {
		t.lost++
	}
}

func (t *tally) bad() bool { return t.all >= fewest && 2*t.lost >= t.all }

func touches(relays []onion.ID, id onion.ID) bool {
	for _, r := range relays {
		if r == id {
			return true
		}
	}
	return false
}

// randomBox returns what lies in a packet or an answer that has no box.
func (m *Machine) randomBox() *wire.Box {
	box := new(wire.Box)
	if _, err := io.ReadFull(m.cfg.Random, box[:]); err != nil {
		panic("mix: the source of randomness failed")
	}
	return box
}

// random draws a number below n.
func (m *Machine) random(n int64) int64 {
	x, err := crand.Int(m.cfg.Random, big.NewInt(n))
	if err != nil {
		panic("mix: the source of randomness failed")
	}
	return x.Int64()
}
